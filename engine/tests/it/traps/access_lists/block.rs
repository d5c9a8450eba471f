//! What access lists say about fees, and about the steps before and after the transactions.

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::{BEACON_ROOTS_ADDRESS, SYSTEM_ADDRESS},
    eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, U256};
use blockloom_engine::Frame;
use revm::bytecode::opcode::*;

use super::{
    super::{code::Code, scenario::*},
    Listed, at,
};

const GWEI: u64 = 1_000_000_000;

/// A scenario with all steps before and after the transactions. The request contracts have the given
/// codes. The contracts for beacon roots and block hashes only write slot 7.
fn full_scenario(mut scenario: Scenario, withdrawals: &Code, consolidations: &Code) -> Scenario {
    scenario.frame = Frame::Full;
    scenario.contract(BEACON_ROOTS_ADDRESS, &Code::new().sstore(7, 1), &[]);
    scenario.contract(HISTORY_STORAGE_ADDRESS, &Code::new().sstore(7, 2), &[(7, 2)]);
    scenario.contract(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, withdrawals, &[(0, 5)]);
    scenario.contract(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, consolidations, &[(0, 5)]);
    scenario
}

fn pay(address: Address, amount: u64) -> Withdrawal {
    Withdrawal { address, amount, ..Withdrawal::default() }
}

#[test]
fn the_coinbase_is_listed_with_each_fee_and_also_without_fees() {
    for_each_fork(&forks(London, Osaka), |mut scenario| {
        scenario.price = BASE_FEE;
        scenario.transfer(sender(0), HEIR, 0);
        let after = scenario.execute();
        assert_eq!(after.listed(THE_COINBASE), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(HEIR), Some(Listed::untouched()));
    });
    for_each_fork(&FORKS, |mut scenario| {
        let position = scenario.transfer(sender(0), HEIR, 7);
        let tip = scenario.tip();
        let after = scenario.execute();
        let balances = (0..after.outcome.receipts.len())
            .map(|position| (at(position), after.gas_before(position + 1) * tip));
        let expected = Listed { balances: balances.collect(), ..Listed::default() };
        assert_eq!(after.listed(THE_COINBASE), Some(expected), "{}", after.fork);
        let heir = Listed { balances: vec![(at(position), 7)], ..Listed::default() };
        assert_eq!(after.listed(HEIR), Some(heir));
        let left = RICH - 7 - TRANSFER_GAS * PRICE;
        let (balances, nonces) = (vec![(at(position), left)], vec![(at(position), 1)]);
        assert_eq!(after.listed(sender(0)), Some(Listed { balances, nonces, ..Listed::default() }));
    });
}

#[test]
fn a_block_without_transactions_does_not_list_its_coinbase() {
    let after = Scenario::new(Osaka, 0).execute_as_is();
    assert_eq!(after.outcome.access_list, Some(vec![]));
}

#[test]
fn system_calls_are_listed_and_their_caller_is_not() {
    for_each_fork(&[Prague, Osaka], |scenario| {
        let mut scenario = full_scenario(scenario, &Code::new().increment(0, 1), &Code::new().ops([STOP]));
        scenario.withdrawals = vec![pay(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 3)];
        scenario.transfer(sender(0), HEIR, 1);
        let after = scenario.execute();
        let opening = Listed { writes: vec![(7, vec![(0, 1)])], ..Listed::default() };
        assert_eq!(after.listed(BEACON_ROOTS_ADDRESS), Some(opening), "{}", after.fork);
        assert_eq!(after.listed(HISTORY_STORAGE_ADDRESS), Some(Listed::reading(&[7])));
        let closing = Listed {
            writes: vec![(0, vec![(after.end(), 6)])],
            balances: vec![(after.end(), 3 * GWEI)],
            ..Listed::default()
        };
        assert_eq!(after.listed(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), Some(closing));
        assert_eq!(after.listed(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS), Some(Listed::untouched()));
        assert_eq!(after.listed(SYSTEM_ADDRESS), None);
    });
}

#[test]
fn changes_that_cancel_out_at_one_index_are_not_listed() {
    // Each system call turns 5 into 9 and 9 into 5. The first one also sends the withdrawal on.
    let toggling = Code::new().push(0).ops([SLOAD]).push(14).ops([SUB]).store_top(0);
    let first = Code::new().call(OTHER, 0).ops([POP]).call(HEIR, GWEI);
    for_each_fork(&[Prague, Osaka], |scenario| {
        let mut scenario = full_scenario(scenario, &first, &Code::new().call(OTHER, 0));
        scenario.contract(OTHER, &toggling, &[(0, 5)]);
        scenario.withdrawals = vec![pay(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 1)];
        let after = scenario.execute();
        assert_eq!(after.slots(OTHER), [(0, 5)], "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::reading(&[0])));
        assert_eq!(after.listed(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), Some(Listed::untouched()));
        let heir = Listed { balances: vec![(after.end(), GWEI)], ..Listed::default() };
        assert_eq!(after.listed(HEIR), Some(heir));
    });
}

#[test]
fn withdrawals_are_listed_after_the_transactions_also_those_of_zero() {
    for_each_fork(&[Shanghai, Cancun, Prague, Osaka], |scenario| {
        let stop = Code::new().ops([STOP]);
        let mut scenario = full_scenario(scenario, &stop, &stop);
        scenario.withdrawals = vec![pay(HEIR, 2), pay(OTHER, 0), pay(HEIR, 5)];
        let position = scenario.transfer(sender(0), HEIR, 1);
        let after = scenario.execute();
        let balances = vec![(at(position), 1), (after.end(), 1 + 7 * GWEI)];
        let heir = Listed { balances, ..Listed::default() };
        assert_eq!(after.listed(HEIR), Some(heir), "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::untouched()));
        assert!(!after.exists(OTHER));
    });
}

#[test]
fn the_list_is_ordered_and_has_no_duplicates() {
    let busy = Code::new().increment(1, 1).increment(300, 1).argument(0).ops([SLOAD, POP]).sstore(2, 9);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &busy, &[(2, 9)]);
        for i in 0..40 {
            scenario.call_with_words(sender(i % 16), CONTRACT, &[word(i as u64 * 7 % 30)]);
        }
        let after = scenario.execute();
        let list = after.outcome.access_list.unwrap();
        let transactions = after.outcome.receipts.len();
        alloy_eips::eip7928::validate_block_access_list(&list, transactions).unwrap();
        let contract = list.iter().find(|account| account.address == CONTRACT).unwrap();
        assert_eq!(contract.storage_changes.len(), 2, "{}", after.fork);
        assert!(contract.storage_changes.iter().all(|slot| slot.changes.len() == 40));
        assert!(contract.storage_reads.contains(&U256::from(2)));
    });
}
