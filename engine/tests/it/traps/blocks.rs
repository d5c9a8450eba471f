//! Rules of the whole block: gas admission, block hashes, blobs, receipts and withdrawals.

use alloy_consensus::Eip658Value;
use alloy_eips::{
    eip4895::Withdrawal, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{Frame, TransactionError};
use revm::{bytecode::opcode::*, context::TxEnv};

use super::{code::Code, scenario::*};

#[test]
fn the_gas_limit_of_a_transaction_must_fit_into_the_gas_that_earlier_ones_left() {
    for excess in [0, 1] {
        for_each_fork(&[Frontier, London, Prague], |mut scenario| {
            scenario.header.gas_limit = 2_000_000;
            scenario.add_unrelated_transfers(4);
            let greedy = TxEnv { gas_limit: 1_000_000, ..scenario.to(sender(0), HEIR, 1) };
            scenario.send(greedy);
            // Each transaction so far used the gas of a transfer, whatever its limit was.
            scenario.add_unrelated_transfers(3);
            let available = 2_000_000 - scenario.length() as u64 * TRANSFER_GAS;
            let last = TxEnv { gas_limit: available + excess, ..scenario.to(sender(1), HEIR, 1) };
            let last = scenario.send_next(last);
            if excess == 0 {
                let after = scenario.execute_as_is();
                assert_eq!(after.outcome.gas_used, (last as u64 + 1) * TRANSFER_GAS, "{}", after.fork);
                return;
            }
            let reason = TransactionError::GasAboveBlock { limit: available + 1, available };
            assert_eq!(scenario.rejection(), (last, reason));
        });
    }
}

#[test]
fn of_a_transaction_that_does_not_fit_and_a_later_invalid_one_the_first_is_reported() {
    for_each_fork(&[Byzantium, Cancun], |mut scenario| {
        scenario.header.gas_limit = 1_000_000;
        let burning = scenario.to(sender(0), CONTRACT, 0);
        scenario.contract(CONTRACT, &Code::new().ops([INVALID]), &[]);
        let first = scenario.send(burning.clone());
        let available = 1_000_000 - 400_000 - first as u64 * TRANSFER_GAS;
        let second = scenario.send_next(TxEnv { gas_limit: available, ..burning });
        let third = scenario.send_next(TxEnv { gas_limit: TRANSFER_GAS, ..scenario.to(sender(1), HEIR, 1) });
        let wrong_nonce = TxEnv { nonce: 77, ..scenario.to(sender(2), HEIR, 1) };
        scenario.send_unchanged(wrong_nonce);
        assert_eq!((second, third), (first + 1, first + 2));
        let reason = TransactionError::GasAboveBlock { limit: TRANSFER_GAS, available: 0 };
        assert_eq!(scenario.rejection(), (third, reason));
    });
}

#[test]
fn from_amsterdam_on_execution_and_state_have_budgets_of_their_own() {
    // Creates eight slots: nearly all of its gas is state gas.
    let growing =
        (0..8).fold(Code::new(), |code, key| code.argument(0).push(key).ops([ADD]).ops([DUP1, SSTORE]));
    let scenario = |extra: Option<u64>| {
        let mut scenario = Scenario::new(Amsterdam, 2);
        scenario.header.gas_limit = 30_000_000;
        scenario.contract(CONTRACT, &growing, &[]);
        for i in 0..6 {
            let data = word(100 * (i + 1)).to_be_bytes_vec().into();
            scenario.send(TxEnv {
                gas_limit: 3_000_000,
                data,
                ..scenario.to(sender(i as usize), CONTRACT, 0)
            });
        }
        let last = extra.map(|gas_limit| {
            let last = TxEnv { gas_limit, ..scenario.to(sender(7), HEIR, 1) };
            scenario.send_next(last)
        });
        (scenario, last)
    };
    let after = scenario(None).0.execute_as_is();
    let (fuller, paid) = (after.outcome.gas_used, after.all_gas());
    assert!(fuller < paid, "{fuller} of {paid}: the rest counts against the other budget");
    let available = 30_000_000 - fuller;
    assert!(available > 30_000_000 - paid);
    scenario(Some(available)).0.execute_as_is();
    let (scenario, last) = scenario(Some(available + 1));
    let reason = TransactionError::GasAboveBlock { limit: available + 1, available };
    assert_eq!(Some(scenario.rejection()), last.map(|last| (last, reason)));
}

#[test]
fn block_hashes_of_earlier_blocks_come_from_the_base() {
    let code = Code::new().argument(0).ops([BLOCKHASH]).store_at_argument();
    for_each_fork(&FORKS, |mut scenario| {
        let hash = |number: u64| B256::from(U256::from(number) << 128 | U256::from(7));
        (THIS_BLOCK - 300..THIS_BLOCK + 2)
            .for_each(|number| scenario.base.set_block_hash(number, Some(hash(number))));
        scenario.contract(CONTRACT, &code, &[(THIS_BLOCK, 5), (THIS_BLOCK - 257, 5)]);
        let numbers = [1, 2, 255, 256, 257, 1].map(|age| THIS_BLOCK - age);
        for (i, number) in numbers.into_iter().chain([THIS_BLOCK, THIS_BLOCK + 1]).enumerate() {
            scenario.call_with_words(sender(i), CONTRACT, &[word(number)]);
        }
        let after = scenario.execute();
        for number in numbers {
            let expected = if number == THIS_BLOCK - 257 { U256::ZERO } else { hash(number).into() };
            assert_eq!(after.slot(CONTRACT, number), expected, "{} {number}", after.fork);
        }
        assert_eq!(after.slot(CONTRACT, THIS_BLOCK), U256::ZERO);
        assert_eq!(after.slot(CONTRACT, THIS_BLOCK + 1), U256::ZERO);
    });
}

fn with_blobs(scenario: &Scenario, from: Address, blobs: usize) -> TxEnv {
    TxEnv {
        tx_type: 3,
        gas_priority_fee: Some(u128::from(PRICE - BASE_FEE)),
        blob_hashes: vec![B256::with_last_byte(1) | B256::from(U256::ONE << 248); blobs],
        max_fee_per_blob_gas: 5,
        ..scenario.to(from, HEIR, 1)
    }
}

#[test]
fn blobs_are_paid_for_and_fill_the_block() {
    for (fork, counts) in [(Cancun, [2, 1, 3]), (Prague, [2, 4, 3]), (Osaka, [6, 1, 2])] {
        for_each_fork(&[fork], |mut scenario| {
            for (i, blobs) in counts.into_iter().enumerate() {
                let transaction = with_blobs(&scenario, sender(i), blobs);
                scenario.send(transaction);
            }
            let after = scenario.execute();
            for (i, blobs) in counts.into_iter().enumerate() {
                // Blob gas costs one wei as long as there is no excess.
                let paid = TRANSFER_GAS * PRICE + 1 + (blobs as u64) * 131_072;
                assert_eq!(after.balance(sender(i)), RICH - paid, "{fork}");
            }
            let blobs = counts.iter().sum::<usize>() as u64;
            assert_eq!((after.outcome.blob_gas_used, after.balance(HEIR)), (blobs * 131_072, 3));
        });
    }
}

#[test]
fn a_transaction_whose_blobs_exceed_what_is_left_makes_the_block_invalid() {
    for (fork, counts, left) in [(Cancun, [4, 1, 2], 1), (Prague, [5, 3, 2], 1), (Osaka, [6, 2, 3], 1)] {
        for_each_fork(&[fork], |mut scenario| {
            let mut last = 0;
            for (i, blobs) in counts.into_iter().enumerate() {
                let transaction = with_blobs(&scenario, sender(i), blobs);
                last = scenario.send(transaction);
            }
            let wanted = counts[2] as u64 * 131_072;
            let reason = TransactionError::BlobsAboveBlock { wanted, available: left * 131_072 };
            assert_eq!(scenario.rejection(), (last, reason), "{fork}");
        });
    }
}

#[test]
fn a_sender_that_cannot_pay_for_its_blobs_after_an_earlier_transaction_is_rejected() {
    for_each_fork(&[Cancun, Osaka], |mut scenario| {
        let poor = Address::repeat_byte(0x5e);
        // The check counts the whole gas limit and the maximal blob fee.
        let fee = 400_000 * PRICE + 1 + 131_072 * 5;
        scenario.fund(poor, fee + TRANSFER_GAS * PRICE);
        scenario.transfer(poor, HEIR, 1);
        let transaction = with_blobs(&scenario, poor, 1);
        let rejected = scenario.send(transaction);
        let (index, reason) = scenario.rejection();
        assert_eq!(index, rejected);
        assert_eq!(reason.to_string(), format!("lack of funds ({}) for max fee ({fee})", fee - 1));
    });
}

#[test]
fn before_byzantium_each_receipt_holds_the_state_root_after_its_transaction() {
    let code = Code::new().increment(1, 1);
    for_each_fork(&forks(Frontier, SpuriousDragon), |mut scenario| {
        scenario.contract(CONTRACT, &code, &[]);
        let first = scenario.call(sender(0), CONTRACT, 0);
        scenario.call(sender(1), CONTRACT, 0);
        let mut state = scenario.base.clone();
        let mut expected = scenario.base.clone();
        expected.set_slot(CONTRACT, word(1), word(1));
        let after = scenario.execute();
        let mut roots = Vec::new();
        // The steps before and after the transactions change nothing in a scenario.
        for step in after.steps.iter().filter(|step| step.receipt.is_some()) {
            state.apply(&step.changes).unwrap();
            roots.push(state.root());
            if roots.len() == first + 1 {
                assert_eq!(state.account(&CONTRACT), expected.account(&CONTRACT), "{}", after.fork);
            }
        }
        assert_eq!(roots.last(), Some(&after.state.root()));
        let outcome = after.outcome.clone().with_post_states(&roots);
        for (receipt, root) in outcome.receipts.iter().zip(roots) {
            assert_eq!(receipt.status, Eip658Value::PostState(root));
        }
        assert_eq!(after.slots(CONTRACT), [(1, 2)]);
    });
}

#[test]
fn withdrawals_are_added_to_accounts_that_transactions_changed() {
    const GWEI: u64 = 1_000_000_000;
    for_each_fork(&[Shanghai, Cancun, Prague, Osaka], |mut scenario| {
        scenario.frame = Frame::Full;
        for contract in [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS] {
            scenario.contract(contract, &Code::new().ops([STOP]), &[]);
        }
        let to = |address, amount| Withdrawal { address, amount, ..Withdrawal::default() };
        scenario.withdrawals = vec![
            to(sender(0), 1),
            to(HEIR, 2),
            to(CONTRACT, 3),
            to(THE_COINBASE, 4),
            to(OTHER, 0),
            to(HEIR, 5),
        ];
        scenario.rich_contract(CONTRACT, 9, &Code::new().destroy(HEIR), &[(1, 1)]);
        scenario.transfer(sender(0), HEIR, 10);
        scenario.call(sender(1), CONTRACT, 1);
        scenario.transfer(sender(2), OTHER, 0);
        let tip = scenario.tip();
        let after = scenario.execute();
        assert_eq!(after.balance(sender(0)), RICH - 10 - TRANSFER_GAS * PRICE + GWEI, "{}", after.fork);
        assert_eq!(after.balance(HEIR), 20 + 7 * GWEI);
        assert_eq!(after.balance(CONTRACT), 3 * GWEI);
        assert_eq!(after.nonce(CONTRACT), u64::from(after.fork >= Cancun));
        assert_eq!(after.slots(CONTRACT).len(), usize::from(after.fork >= Cancun));
        assert_eq!(after.balance(THE_COINBASE), 4 * GWEI + after.all_gas() * tip);
        assert!(!after.exists(OTHER));
    });
}

#[test]
fn transactions_of_different_types_keep_their_types_and_prices() {
    for_each_fork(&[London, Cancun, Osaka], |mut scenario| {
        let mut sent = Vec::new();
        for i in 0..12u8 {
            let tx_type = i % 3;
            let gas_priority_fee = (tx_type == 2).then_some(1);
            let to = scenario.to(sender(i.into()), HEIR, 1);
            sent.push((
                scenario.send(TxEnv { tx_type, gas_priority_fee, gas_limit: TRANSFER_GAS, ..to }),
                tx_type,
            ));
        }
        let after = scenario.execute();
        for (i, (position, tx_type)) in sent.into_iter().enumerate() {
            assert_eq!(after.outcome.receipts[position].tx_type as u8, tx_type, "{}", after.fork);
            let price = if tx_type == 2 { BASE_FEE + 1 } else { PRICE };
            assert_eq!(after.balance(sender(i)), RICH - 1 - price * TRANSFER_GAS);
        }
        let tips = (after.all_gas() - 4 * TRANSFER_GAS) * (PRICE - BASE_FEE) + 4 * TRANSFER_GAS;
        assert_eq!((after.balance(THE_COINBASE), after.balance(HEIR)), (tips, 12));
    });
}
