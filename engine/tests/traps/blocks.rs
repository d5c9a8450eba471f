//! What a block as a whole decides: who is admitted, its hashes, its blobs, receipts and withdrawals.

use alloy_consensus::Eip658Value;
use alloy_eips::{
    eip4895::Withdrawal, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{Frame, TransactionError};
use revm::{bytecode::opcode::*, context::TxEnv};

use crate::{code::Code, scene::*};

#[test]
fn gas_is_admitted_by_limit_against_what_earlier_transactions_really_used() {
    for excess in [0, 1] {
        everywhere(&[Frontier, London, Prague], |mut scene| {
            scene.header.gas_limit = 2_000_000;
            scene.strangers(4);
            let greedy = TxEnv { gas_limit: 1_000_000, ..scene.to(sender(0), HEIR, 1) };
            scene.send(greedy);
            // Everybody so far used what a transfer takes, whatever the limit was.
            scene.strangers(3);
            let available = 2_000_000 - scene.length() as u64 * TRANSFER_GAS;
            let last = TxEnv { gas_limit: available + excess, ..scene.to(sender(1), HEIR, 1) };
            let last = scene.send_next(last);
            if excess == 0 {
                let after = scene.play_to_the_end();
                assert_eq!(after.outcome.gas_used, (last as u64 + 1) * TRANSFER_GAS, "{}", after.fork);
                return;
            }
            let reason = TransactionError::GasAboveBlock { limit: available + 1, available };
            assert_eq!(scene.refusal(), (last, reason));
        });
    }
}

#[test]
fn a_transaction_that_does_not_fit_is_named_though_a_later_one_is_invalid_too() {
    everywhere(&[Byzantium, Cancun], |mut scene| {
        scene.header.gas_limit = 1_000_000;
        let burning = scene.to(sender(0), CONTRACT, 0);
        scene.contract(CONTRACT, &Code::new().ops([INVALID]), &[]);
        let first = scene.send(burning.clone());
        let available = 1_000_000 - 400_000 - first as u64 * TRANSFER_GAS;
        let second = scene.send_next(TxEnv { gas_limit: available, ..burning });
        let third = scene.send_next(TxEnv { gas_limit: TRANSFER_GAS, ..scene.to(sender(1), HEIR, 1) });
        let wrong = TxEnv { nonce: 77, ..scene.to(sender(2), HEIR, 1) };
        scene.send_as_it_is(wrong);
        assert_eq!((second, third), (first + 1, first + 2));
        let reason = TransactionError::GasAboveBlock { limit: TRANSFER_GAS, available: 0 };
        assert_eq!(scene.refusal(), (third, reason));
    });
}

#[test]
fn from_amsterdam_on_execution_and_state_have_budgets_of_their_own() {
    // Makes eight slots, which is nearly all of it state.
    let growing =
        (0..8).fold(Code::new(), |code, key| code.argument(0).push(key).ops([ADD]).ops([DUP1, SSTORE]));
    let scene = |extra: Option<u64>| {
        let mut scene = Scene::new(Amsterdam, 2);
        scene.header.gas_limit = 30_000_000;
        scene.contract(CONTRACT, &growing, &[]);
        for turn in 0..6 {
            let data = word(100 * (turn + 1)).to_be_bytes_vec().into();
            scene.send(TxEnv { gas_limit: 3_000_000, data, ..scene.to(sender(turn as usize), CONTRACT, 0) });
        }
        let last = extra.map(|gas_limit| {
            let last = TxEnv { gas_limit, ..scene.to(sender(7), HEIR, 1) };
            scene.send_next(last)
        });
        (scene, last)
    };
    let after = scene(None).0.play_to_the_end();
    let (fuller, paid) = (after.outcome.gas_used, after.all_gas());
    assert!(fuller < paid, "{fuller} of {paid}: the rest is in the other budget");
    let available = 30_000_000 - fuller;
    assert!(available > 30_000_000 - paid);
    scene(Some(available)).0.play_to_the_end();
    let (scene, last) = scene(Some(available + 1));
    let reason = TransactionError::GasAboveBlock { limit: available + 1, available };
    assert_eq!(Some(scene.refusal()), last.map(|last| (last, reason)));
}

#[test]
fn the_hashes_of_earlier_blocks_are_those_of_the_base() {
    let code = Code::new().argument(0).ops([BLOCKHASH]).store_where_told();
    everywhere(&FORKS, |mut scene| {
        let hash = |number: u64| B256::from(U256::from(number) << 128 | U256::from(7));
        (THIS_BLOCK - 300..THIS_BLOCK + 2)
            .for_each(|number| scene.base.set_block_hash(number, Some(hash(number))));
        scene.contract(CONTRACT, &code, &[(THIS_BLOCK, 5), (THIS_BLOCK - 257, 5)]);
        let asked = [1, 2, 255, 256, 257, 1].map(|age| THIS_BLOCK - age);
        for (turn, number) in asked.into_iter().chain([THIS_BLOCK, THIS_BLOCK + 1]).enumerate() {
            scene.tell(sender(turn), CONTRACT, &[word(number)]);
        }
        let after = scene.play();
        for number in asked {
            let expected = if number == THIS_BLOCK - 257 { U256::ZERO } else { hash(number).into() };
            assert_eq!(after.slot(CONTRACT, number), expected, "{} {number}", after.fork);
        }
        assert_eq!(after.slot(CONTRACT, THIS_BLOCK), U256::ZERO);
        assert_eq!(after.slot(CONTRACT, THIS_BLOCK + 1), U256::ZERO);
    });
}

fn with_blobs(scene: &Scene, from: Address, blobs: usize) -> TxEnv {
    TxEnv {
        tx_type: 3,
        gas_priority_fee: Some(u128::from(PRICE - BASE_FEE)),
        blob_hashes: vec![B256::with_last_byte(1) | B256::from(U256::ONE << 248); blobs],
        max_fee_per_blob_gas: 5,
        ..scene.to(from, HEIR, 1)
    }
}

#[test]
fn blobs_are_paid_for_and_fill_the_block() {
    for (fork, counts) in [(Cancun, [2, 1, 3]), (Prague, [2, 4, 3]), (Osaka, [6, 1, 2])] {
        everywhere(&[fork], |mut scene| {
            for (turn, blobs) in counts.into_iter().enumerate() {
                let transaction = with_blobs(&scene, sender(turn), blobs);
                scene.send(transaction);
            }
            let after = scene.play();
            for (turn, blobs) in counts.into_iter().enumerate() {
                // Blob gas costs one wei as long as there is no excess.
                let paid = TRANSFER_GAS * PRICE + 1 + (blobs as u64) * 131_072;
                assert_eq!(after.balance(sender(turn)), RICH - paid, "{fork}");
            }
            let blobs = counts.iter().sum::<usize>() as u64;
            assert_eq!((after.outcome.blob_gas_used, after.balance(HEIR)), (blobs * 131_072, 3));
        });
    }
}

#[test]
fn the_transaction_whose_blobs_do_not_fit_any_more_makes_the_block_invalid() {
    for (fork, counts, left) in [(Cancun, [4, 1, 2], 1), (Prague, [5, 3, 2], 1), (Osaka, [6, 2, 3], 1)] {
        everywhere(&[fork], |mut scene| {
            let mut last = 0;
            for (turn, blobs) in counts.into_iter().enumerate() {
                let transaction = with_blobs(&scene, sender(turn), blobs);
                last = scene.send(transaction);
            }
            let wanted = counts[2] as u64 * 131_072;
            let reason = TransactionError::BlobsAboveBlock { wanted, available: left * 131_072 };
            assert_eq!(scene.refusal(), (last, reason), "{fork}");
        });
    }
}

#[test]
fn a_sender_that_cannot_pay_its_blobs_after_an_earlier_transaction_is_refused() {
    everywhere(&[Cancun, Osaka], |mut scene| {
        let poor = Address::repeat_byte(0x5e);
        // The limit counts, and the most that the blobs may cost.
        let fee = 400_000 * PRICE + 1 + 131_072 * 5;
        scene.fund(poor, fee + TRANSFER_GAS * PRICE);
        scene.transfer(poor, HEIR, 1);
        let transaction = with_blobs(&scene, poor, 1);
        let refused = scene.send(transaction);
        let (index, reason) = scene.refusal();
        assert_eq!(index, refused);
        assert_eq!(reason.to_string(), format!("lack of funds ({}) for max fee ({fee})", fee - 1));
    });
}

#[test]
fn before_byzantium_receipts_have_the_state_root_after_each_transaction() {
    let code = Code::new().increment(1, 1);
    everywhere(&forks(Frontier, SpuriousDragon), |mut scene| {
        scene.contract(CONTRACT, &code, &[]);
        let first = scene.call(sender(0), CONTRACT, 0);
        scene.call(sender(1), CONTRACT, 0);
        let mut state = scene.base.clone();
        let mut expected = scene.base.clone();
        expected.set_slot(CONTRACT, word(1), word(1));
        let after = scene.play();
        let mut roots = Vec::new();
        // Nothing happens before and after the transactions of a scene.
        for told in after.steps.iter().filter(|told| told.receipt.is_some()) {
            state.apply(&told.changes).unwrap();
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
fn withdrawals_reach_accounts_that_transactions_changed() {
    const GWEI: u64 = 1_000_000_000;
    everywhere(&[Shanghai, Cancun, Prague, Osaka], |mut scene| {
        scene.frame = Frame::Full;
        for contract in [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS] {
            scene.contract(contract, &Code::new().ops([STOP]), &[]);
        }
        let to = |address, amount| Withdrawal { address, amount, ..Withdrawal::default() };
        scene.withdrawals = vec![
            to(sender(0), 1),
            to(HEIR, 2),
            to(CONTRACT, 3),
            to(THE_COINBASE, 4),
            to(OTHER, 0),
            to(HEIR, 5),
        ];
        scene.rich_contract(CONTRACT, 9, &Code::new().destroy(HEIR), &[(1, 1)]);
        scene.transfer(sender(0), HEIR, 10);
        scene.call(sender(1), CONTRACT, 1);
        scene.transfer(sender(2), OTHER, 0);
        let tip = scene.tip();
        let after = scene.play();
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
    everywhere(&[London, Cancun, Osaka], |mut scene| {
        let mut sent = Vec::new();
        for turn in 0..12u8 {
            let tx_type = turn % 3;
            let gas_priority_fee = (tx_type == 2).then_some(1);
            let to = scene.to(sender(turn.into()), HEIR, 1);
            sent.push((
                scene.send(TxEnv { tx_type, gas_priority_fee, gas_limit: TRANSFER_GAS, ..to }),
                tx_type,
            ));
        }
        let after = scene.play();
        for (turn, (position, tx_type)) in sent.into_iter().enumerate() {
            assert_eq!(after.outcome.receipts[position].tx_type as u8, tx_type, "{}", after.fork);
            let price = if tx_type == 2 { BASE_FEE + 1 } else { PRICE };
            assert_eq!(after.balance(sender(turn)), RICH - 1 - price * TRANSFER_GAS);
        }
        let tips = (after.all_gas() - 4 * TRANSFER_GAS) * (PRICE - BASE_FEE) + 4 * TRANSFER_GAS;
        assert_eq!((after.balance(THE_COINBASE), after.balance(HEIR)), (tips, 12));
    });
}
