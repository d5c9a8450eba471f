//! The coinbase: nearly every transaction pays it, and few read its balance.

use alloy_eips::eip7702::{Authorization, RecoveredAuthority, RecoveredAuthorization};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::U256;
use blockloom_state::Allocation;
use revm::{
    bytecode::opcode::*,
    context::TxEnv,
    context_interface::{either::Either, result::InvalidTransaction},
};

use super::{code::Code, scenario::*};

#[test]
fn a_builder_can_pay_out_the_fees_of_its_own_block_and_not_a_wei_more() {
    for excess in [0, 1] {
        for_each_fork(&FORKS, |mut scenario| {
            for i in 0..12 {
                scenario.transfer(sender(i), HEIR, 1);
            }
            scenario.add_unrelated_transfers(20);
            let fees = scenario.length() as u64 * TRANSFER_GAS * scenario.tip();
            // The last payment has no tip. Before London the coinbase pays the fee to itself.
            let cost = TRANSFER_GAS * BASE_FEE;
            let payment = TxEnv {
                gas_price: BASE_FEE.into(),
                ..scenario.to(THE_COINBASE, OTHER, fees - cost + excess)
            };
            let last = scenario.send_next(TxEnv { gas_limit: TRANSFER_GAS, ..payment });
            if excess > 0 {
                let (fee, balance) = (Box::new(word(fees + 1)), Box::new(word(fees)));
                let reason = InvalidTransaction::LackOfFundForMaxFee { fee, balance };
                assert_eq!(scenario.rejection(), (last, reason.into()));
                return;
            }
            let london = scenario.fork >= London;
            let after = scenario.execute_as_is();
            assert_eq!(after.balance(OTHER), fees - cost, "{}", after.fork);
            assert_eq!(after.balance(THE_COINBASE), if london { 0 } else { cost });
            assert_eq!(after.nonce(THE_COINBASE), 1);
        });
    }
}

#[test]
fn a_coinbase_that_sends_and_receives_still_collects_its_fees() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.fund(THE_COINBASE, RICH);
        for i in 0..10 {
            scenario.transfer(sender(i), THE_COINBASE, 1000);
            scenario.transfer(THE_COINBASE, HEIR, 7);
        }
        let tip = scenario.tip();
        let after = scenario.execute();
        assert_eq!(after.nonce(THE_COINBASE), 10, "{}", after.fork);
        let expected = RICH + 10 * (1000 - 7) + after.all_gas() * tip - 10 * TRANSFER_GAS * PRICE;
        assert_eq!(after.balance(THE_COINBASE), expected);
        assert_eq!(after.balance(HEIR), 70);
    });
}

#[test]
fn a_contract_that_reads_the_coinbase_balance_sees_all_earlier_fees() {
    let reading = Code::new().ops([COINBASE, BALANCE]).store_at_argument();
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &reading, &[]);
        scenario.fund(THE_COINBASE, 5);
        let reads = (0..8).map(|i| scenario.call_with_words(sender(i), CONTRACT, &[word(i as u64)]));
        let reads: Vec<_> = reads.collect();
        let tip = scenario.tip();
        let after = scenario.execute();
        for (i, position) in reads.into_iter().enumerate() {
            let found = after.slot(CONTRACT, i as u64);
            assert_eq!(found, word(5 + after.gas_before(position) * tip), "{} {i}", after.fork);
        }
        assert_eq!(after.balance(THE_COINBASE), 5 + after.all_gas() * tip);
    });
}

#[test]
fn a_coinbase_contract_sees_its_fees_and_its_calls() {
    // With data it records its balance. Without data it passes 3 wei on and counts the call.
    let reading = Code::new().ops([ADDRESS, BALANCE]).store_at_argument();
    let paying = Code::new().call(HEIR, 3).ops([POP]).increment(100, 1);
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), reading, paying);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(THE_COINBASE, 50, &code, &[]);
        scenario.fund(HEIR, 1);
        let mut reads = Vec::new();
        for i in 0..5 {
            scenario.call(sender(i), THE_COINBASE, 1);
            reads.push(scenario.call_with_words(sender(i + 5), THE_COINBASE, &[word(i as u64)]));
        }
        let tip = scenario.tip();
        let after = scenario.execute();
        for (i, position) in (0..).zip(reads) {
            let found = after.slot(THE_COINBASE, i);
            assert_eq!(found, word(50 - 2 * (i + 1) + after.gas_before(position) * tip), "{}", after.fork);
        }
        assert_eq!((after.slot(THE_COINBASE, 100), after.balance(HEIR)), (word(5), 16));
        assert_eq!(after.balance(THE_COINBASE), 50 - 10 + after.all_gas() * tip);
    });
}

#[test]
fn fees_after_the_destruction_of_the_coinbase_go_to_a_new_account() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(THE_COINBASE, 50, &Code::new().destroy(HEIR), &[(1, 1)]);
        scenario.fund(HEIR, 1);
        scenario.add_unrelated_transfers(5);
        let destroying = scenario.call(sender(0), THE_COINBASE, 4);
        scenario.transfer(sender(1), OTHER, 1);
        let tip = scenario.tip();
        let after = scenario.execute();
        let inherited = 54 + after.gas_before(destroying) * tip;
        assert_eq!(after.balance(HEIR), 1 + inherited, "{}", after.fork);
        if after.fork < Cancun {
            // The fee of the destroying transaction is destroyed with the coinbase.
            let later = after.all_gas() - after.gas_before(destroying + 1);
            assert_eq!((after.balance(THE_COINBASE), after.nonce(THE_COINBASE)), (later * tip, 0));
            assert_eq!(after.slots(THE_COINBASE), []);
        } else {
            let later = after.all_gas() - after.gas_before(destroying);
            assert_eq!((after.balance(THE_COINBASE), after.nonce(THE_COINBASE)), (later * tip, 1));
            assert_eq!(after.slots(THE_COINBASE), [(1, 1)]);
        }
    });
}

#[test]
fn a_zero_fee_creates_an_empty_coinbase_before_eip_161_only() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.price = scenario.header.base_fee_per_gas.unwrap_or_default();
        scenario.transfer(sender(0), HEIR, 1);
        scenario.transfer(sender(1), HEIR, 1);
        let after = scenario.execute();
        assert_eq!(after.exists(THE_COINBASE), after.fork < SpuriousDragon, "{}", after.fork);
        assert_eq!((after.balance(THE_COINBASE), after.balance(HEIR)), (0, 2));
    });
}

#[test]
fn a_zero_fee_clears_an_empty_coinbase_from_eip_161_on() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.base.insert(THE_COINBASE, Allocation::default());
        scenario.price = scenario.header.base_fee_per_gas.unwrap_or_default();
        scenario.transfer(sender(0), HEIR, 1);
        let after = scenario.execute();
        assert_eq!(after.exists(THE_COINBASE), after.fork < SpuriousDragon, "{}", after.fork);
    });
}

#[test]
fn a_call_to_the_coinbase_pays_the_new_account_cost_until_the_first_fee() {
    // The unrelated transfers have no tip. One transaction in the middle has one.
    let paying = Code::new().call_argument(1);
    for_each_fork(&forks(SpuriousDragon, Osaka), |mut scenario| {
        scenario.rich_contract(CONTRACT, 50, &paying, &[]);
        scenario.price = scenario.header.base_fee_per_gas.unwrap_or_default();
        let argument: U256 = super::code::Word::from(THE_COINBASE).0;
        let failing = TxEnv { gas_limit: 22_500, ..scenario.to(sender(0), CONTRACT, 0) };
        scenario.send(TxEnv { data: argument.to_be_bytes_vec().into(), ..failing });
        let first = scenario.call_with_words(sender(1), CONTRACT, &[argument]);
        let second = scenario.call_with_words(sender(2), CONTRACT, &[argument]);
        let tipping = TxEnv { gas_price: u128::from(scenario.price) + 2, ..scenario.to(sender(3), HEIR, 1) };
        scenario.send(tipping);
        let third = scenario.call_with_words(sender(4), CONTRACT, &[argument]);
        let after = scenario.execute();
        // From Shanghai on the coinbase is warm, for all three calls alike.
        assert_eq!(after.gas(first), after.gas(second) + 25_000, "{}", after.fork);
        assert_eq!(after.gas(second), after.gas(third));
        assert_eq!(after.balance(THE_COINBASE), 3 + 2 * TRANSFER_GAS);
    });
}

#[test]
fn a_coinbase_that_delegates_sees_its_fees_when_it_is_called() {
    let reading = Code::new().ops([SELFBALANCE]).store_at_argument();
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        scenario.contract(CONTRACT, &reading, &[]);
        scenario.fund(THE_COINBASE, 5);
        let recovered = RecoveredAuthorization::new_unchecked(
            Authorization { chain_id: U256::ONE, address: CONTRACT, nonce: 0 },
            RecoveredAuthority::Valid(THE_COINBASE),
        );
        let authorization_list = vec![Either::Right(recovered)];
        let to = scenario.to(sender(0), sender(1), 0);
        scenario.send(TxEnv { tx_type: 4, gas_priority_fee: Some(3), authorization_list, ..to });
        let reads: Vec<_> =
            (0..4).map(|key| scenario.call_with_words(sender(2), THE_COINBASE, &[word(key)])).collect();
        let tip = scenario.tip();
        let after = scenario.execute();
        for (key, position) in (0..).zip(reads) {
            assert_eq!(
                after.slot(THE_COINBASE, key),
                word(5 + after.gas_before(position) * tip),
                "{}",
                after.fork
            );
        }
        assert_eq!((after.nonce(THE_COINBASE), after.code(THE_COINBASE).len()), (1, 23));
        assert_eq!(after.balance(THE_COINBASE), 5 + after.all_gas() * tip);
    });
}

#[test]
fn the_coinbase_can_inherit_from_one_contract_and_create_another() {
    let child = THE_COINBASE.create(1);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.fund(THE_COINBASE, RICH);
        scenario.rich_contract(CONTRACT, 33, &Code::new().destroy(THE_COINBASE), &[]);
        let paying = scenario.transfer(THE_COINBASE, HEIR, 1);
        scenario.call(sender(0), CONTRACT, 0);
        let creating =
            scenario.create(THE_COINBASE, &Code::new().deploying(&Code::new().destroy(THE_COINBASE)), 9);
        scenario.call(sender(1), child, 2);
        let tip = scenario.tip();
        let after = scenario.execute();
        let own = (after.gas(paying) + after.gas(creating)) * PRICE;
        assert_eq!(
            after.balance(THE_COINBASE),
            RICH - 1 + 33 + 2 + after.all_gas() * tip - own,
            "{}",
            after.fork
        );
        assert_eq!(after.nonce(THE_COINBASE), 2);
    });
}
