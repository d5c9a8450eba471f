//! A stream of consecutive blocks: what each of them yields, and how it ends early.

use std::{ops::ControlFlow, sync::Arc, thread, time::Duration};

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_hardforks::EthereumHardfork::{self, Berlin, London, Paris, Shanghai, SpuriousDragon};
use alloy_primitives::{Address, B256, TxKind, U256, bytes};
use blockloom_engine::{
    Block, BlockError, BlockStep, Config, Engine, Invalid, Outcome, Reason, Rules, Transaction,
};
use blockloom_fuzz::engine_on;
use blockloom_state::{Allocation, MemoryStore, TxIndex};
use revm::context::TxEnv;

const SENDER: Address = Address::with_last_byte(0x11);
const COINBASE: Address = Address::with_last_byte(0xc0);
const OTHER_COINBASE: Address = Address::with_last_byte(0xc1);
/// Adds one to its slot 0.
const COUNTER: Address = Address::with_last_byte(0xcc);
/// Keeps the hash of the block before in the slot with the block's number.
const HASHES: Address = Address::with_last_byte(0xaa);
/// Returns nothing if PUSH0 is an instruction, and halts otherwise.
const PUSH_0: Address = Address::with_last_byte(0xbb);

fn base() -> MemoryStore {
    let rich = Allocation { balance: U256::from(u64::MAX), ..Allocation::default() };
    let contract = |code| Allocation { nonce: 1, code, ..Allocation::default() };
    MemoryStore::from_genesis([
        (SENDER, rich),
        // PUSH1 0, SLOAD, PUSH1 1, ADD, PUSH1 0, SSTORE
        (COUNTER, contract(bytes!("60005460010160005500"))),
        // PUSH1 1, NUMBER, SUB, BLOCKHASH, NUMBER, SSTORE
        (HASHES, contract(bytes!("6001430340435500"))),
        (PUSH_0, contract(bytes!("5f00"))),
    ])
}

fn call(caller: Address, nonce: u64, to: Address) -> Transaction {
    let env = TxEnv {
        caller,
        nonce,
        kind: TxKind::Call(to),
        gas_limit: 100_000,
        gas_price: 10,
        ..TxEnv::default()
    };
    Transaction { hash: B256::left_padding_from(&nonce.to_be_bytes()), env }
}

fn block(fork: EthereumHardfork, number: u64, transactions: Vec<Transaction>) -> Block {
    let header = Header {
        number,
        parent_hash: hash_before(number),
        timestamp: 12 * number,
        gas_limit: 30_000_000,
        beneficiary: COINBASE,
        base_fee_per_gas: (fork >= London).then_some(1),
        ..Header::default()
    };
    Block { transactions, ..Block::without_body(Rules::mainnet(fork), &header) }
}

/// The hash of the block before the one with this number.
fn hash_before(number: u64) -> B256 {
    B256::repeat_byte(number as u8 - 1)
}

/// Three blocks with two calls each to an account.
fn calls_to(account: Address) -> Vec<Block> {
    let of_block =
        |block: u64| (2 * block..2 * block + 2).map(|nonce| call(SENDER, nonce, account)).collect();
    (0..3).map(|number| block(Berlin, 10 + number, of_block(number))).collect()
}

fn engines() -> [Engine; 3] {
    [1, 2, 3].map(engine_on)
}

/// The outcomes of a stream of blocks, and its error.
fn outcomes(engine: &Engine, base: &MemoryStore, blocks: &[Block]) -> (Vec<Outcome>, Option<BlockError>) {
    let mut outcomes = Vec::new();
    let result = engine.execute_blocks(base, blocks, |outcome| {
        outcomes.push(outcome);
        ControlFlow::Continue(())
    });
    (outcomes, result.err())
}

/// The state after these outcomes.
fn after(outcomes: &[Outcome]) -> MemoryStore {
    let mut state = base();
    outcomes.iter().for_each(|outcome| drop(state.apply(&outcome.changes).unwrap()));
    state
}

#[test]
fn each_block_has_the_changes_since_the_one_before_it() {
    for engine in engines() {
        let (found, error) = outcomes(&engine, &base(), &calls_to(COUNTER));
        assert!(error.is_none(), "{error:?}");
        let counted = |outcome: &Outcome| {
            let slot = outcome.changes.accounts[&COUNTER].slots[&U256::ZERO];
            (slot.before.to::<u64>(), slot.after.to::<u64>())
        };
        assert_eq!(found.iter().map(counted).collect::<Vec<_>>(), [(0, 2), (2, 4), (4, 6)]);
        for outcome in &found {
            assert_eq!(outcome.receipts.len(), 2);
            assert_eq!(outcome.receipts[1].cumulative_gas_used, outcome.gas_used, "gas is counted by block");
        }
    }
}

#[test]
fn the_total_has_the_changes_of_all_blocks() {
    for engine in engines() {
        let mut outcomes = Vec::new();
        let total = engine.execute_blocks(&base(), &calls_to(COUNTER), |outcome| {
            outcomes.push(outcome);
            ControlFlow::Continue(())
        });
        let mut state = base();
        state.apply(&total.unwrap().changes).unwrap();
        assert_eq!(state.first_difference(&after(&outcomes)), None);
    }
}

#[test]
fn a_block_finds_the_hashes_of_the_blocks_before_it() {
    let mut base = base();
    base.set_block_hash(9, Some(hash_before(10)));
    for engine in engines() {
        let (found, error) = outcomes(&engine, &base, &calls_to(HASHES));
        assert!(error.is_none(), "{error:?}");
        let state = after(&found);
        for number in 10..13 {
            let kept = state.account(&HASHES).unwrap().slots[&U256::from(number)];
            assert_eq!(B256::from(kept), hash_before(number), "block {number}");
        }
    }
}

#[test]
fn each_block_has_its_own_rules_and_its_own_coinbase() {
    let mut blocks: Vec<_> = [(Paris, COINBASE), (Shanghai, OTHER_COINBASE), (Paris, COINBASE)]
        .into_iter()
        .enumerate()
        .map(|(position, (fork, coinbase))| {
            let number = position as u64;
            let mut block = block(fork, 10 + number, vec![call(SENDER, number, PUSH_0)]);
            block.env.beneficiary = coinbase;
            block
        })
        .collect();
    let withdrawal = Withdrawal { address: COINBASE, amount: 1, ..Withdrawal::default() };
    blocks[1].withdrawals = Some(vec![withdrawal]);
    for engine in engines() {
        let (found, error) = outcomes(&engine, &base(), &blocks);
        assert!(error.is_none(), "{error:?}");
        let succeeded = found.iter().map(|outcome| outcome.receipts[0].status.coerce_status());
        assert_eq!(succeeded.collect::<Vec<_>>(), [false, true, false], "only Shanghai has PUSH0");
        let paid = |outcome: &Outcome, account| {
            let change = outcome.changes.accounts.get(&account)?.account;
            Some(change.after?.balance - change.before.map_or(U256::ZERO, |before| before.balance))
        };
        let fee = |outcome: &Outcome| U256::from(9 * outcome.gas_used);
        assert_eq!(paid(&found[0], COINBASE), Some(fee(&found[0])));
        assert_eq!(paid(&found[1], OTHER_COINBASE), Some(fee(&found[1])));
        assert_eq!(paid(&found[1], COINBASE), Some(U256::from(1_000_000_000)), "a withdrawal in gwei");
        assert_eq!(paid(&found[2], COINBASE), Some(fee(&found[2])));
    }
}

#[test]
fn a_coinbase_can_spend_its_fees_in_the_next_block() {
    let price = |mut transaction: Transaction, wei| {
        transaction.env.gas_price = wei;
        transaction
    };
    let first = block(Berlin, 10, vec![price(call(SENDER, 0, COUNTER), 1_000)]);
    let second = block(Berlin, 11, vec![price(call(COINBASE, 0, COUNTER), 1)]);
    for engine in engines() {
        let (found, error) = outcomes(&engine, &base(), &[first.clone(), second.clone()]);
        assert!(error.is_none(), "{error:?}");
        assert!(found[1].receipts[0].status.coerce_status());
    }
}

#[test]
fn a_contract_is_created_where_an_earlier_block_cleared_an_account_with_only_storage() {
    let created = SENDER.create(1);
    let storage = [(U256::from(7), U256::from(5))].into();
    let mut base = base();
    base.insert(created, Allocation { storage, ..Allocation::default() });
    let mut create = call(SENDER, 1, created);
    create.env.kind = TxKind::Create;
    let blocks = [(10, call(SENDER, 0, created)), (11, create)].map(|(number, transaction)| {
        let mut block = block(SpuriousDragon, number, vec![transaction]);
        block.rules.storage_only = Some(Arc::new([created].into_iter().collect()));
        block
    });
    for engine in engines() {
        let (found, error) = outcomes(&engine, &base, &blocks);
        assert!(error.is_none(), "{error:?}");
        let mut state = base.clone();
        for (block, outcome) in blocks.iter().zip(&found) {
            assert!(outcome.receipts[0].status.coerce_status(), "block {}", block.number());
            assert_eq!(engine.execute(&state, block).unwrap(), *outcome, "the block alone");
            state.apply(&outcome.changes).unwrap();
        }
        assert!(state.account(&created).unwrap().slots.is_empty());
    }
}

#[test]
fn an_invalid_block_ends_the_stream_and_the_blocks_before_it_are_passed_on() {
    for position in 0..3 {
        let mut blocks = calls_to(COUNTER);
        blocks[position].transactions[1].env.nonce = 77;
        for engine in engines() {
            let (found, error) = outcomes(&engine, &base(), &blocks);
            assert_eq!(found.len(), position);
            let BlockError { number, reason, .. } = error.expect("a block is invalid");
            assert_eq!(number, 10 + position as u64);
            let Reason::Invalid(Invalid::Transaction { index, .. }) = reason else { panic!("{reason:?}") };
            assert_eq!(index, TxIndex::new(1), "the index is that in its block");
            // The engine serves the next stream.
            assert_eq!(outcomes(&engine, &base(), &calls_to(COUNTER)).0.len(), 3);
        }
    }
}

#[test]
fn a_break_cancels_the_blocks_after_it() {
    for wanted in 1..=3 {
        for engine in engines() {
            let mut seen = 0;
            let result = engine.execute_blocks(&base(), &calls_to(COUNTER), |_| {
                seen += 1;
                if seen == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let BlockError { number, reason, .. } = result.unwrap_err();
            assert_eq!((seen, number), (wanted, 9 + wanted));
            assert!(matches!(reason, Reason::Cancelled { step: BlockStep::Closing }), "{reason:?}");
        }
    }
}

#[test]
fn a_panic_of_the_callback_is_an_error_that_names_the_block() {
    for engine in engines() {
        for wanted in 1..=3 {
            let mut seen = 0;
            let result = engine.execute_blocks(&base(), &calls_to(COUNTER), |_| {
                seen += 1;
                assert!(seen < wanted, "this callback panics");
                ControlFlow::Continue(())
            });
            let error = result.unwrap_err();
            assert_eq!(error.number, 9 + wanted);
            assert!(matches!(error.reason, Reason::Panicked { step: BlockStep::Closing, .. }), "{error}");
        }
    }
}

#[test]
fn transactions_of_the_next_block_run_while_a_border_is_crossed() {
    let senders = (0..40).map(|number| Address::with_last_byte(0x40 + number));
    let mut base = base();
    senders.clone().for_each(|sender| {
        base.insert(sender, Allocation { balance: U256::from(u64::MAX), ..Allocation::default() });
    });
    let calls: Vec<_> = senders.map(|sender| call(sender, 0, sender)).collect();
    let blocks = [block(Berlin, 10, vec![call(SENDER, 0, COUNTER)]), block(Berlin, 11, calls)];
    let engine = engine_on(2);
    // The border takes long, so the helper has the time for the second block, unless it gets no core.
    let committed = (0..50).map(|_| {
        let total = engine.execute_blocks(&base, &blocks, |_| {
            thread::sleep(Duration::from_millis(5));
            ControlFlow::Continue(())
        });
        total.unwrap().statistics.committed
    });
    assert!(committed.into_iter().any(|committed| committed > 10), "no run crossed the border");
}

#[test]
fn no_block_is_no_work() {
    let total = Engine::new(Config::default()).execute_blocks(&base(), &[], |_| unreachable!());
    assert_eq!(total.unwrap().statistics.incarnations, 0);
}
