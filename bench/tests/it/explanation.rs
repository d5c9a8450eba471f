//! Blocks with a planted cause: the explanation names it first, with the limit that the block has without it.

use std::{num::NonZeroUsize, time::Duration};

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes};
use blockloom_bench::{
    explanation::{COMPARED, Explanation, Subject},
    limit::{WorkerCount, limit, shortest_time},
    rounds::Rounds,
};
use blockloom_engine::{Block, Engine, Rules, Transaction};
use blockloom_state::{Allocation, Location, MemoryStore, TxIndex};
use revm::context::TxEnv;

const TRANSACTIONS: usize = 200;
const LOOPS: u64 = 4_000;
/// The contract that all blocks call, and another one with the same code for each transaction.
const WORK: Address = Address::repeat_byte(0xcc);
/// Counts down from the second word of the input, then adds one to the slot that the first word names.
const WORK_CODE: Bytes = bytes!("6020355b8015601057600190036003565b5060003580546001019055");
fn sender(position: usize) -> Address {
    Address::left_padding_from(&(1 << 40 | position as u64).to_be_bytes())
}

fn contract(position: usize) -> Address {
    Address::left_padding_from(&(2 << 40 | position as u64).to_be_bytes())
}

/// One transaction of a block.
#[derive(Clone, Copy)]
struct Call {
    sender: usize,
    to: Address,
    slot: usize,
    value: u64,
    loops: u64,
}

impl Call {
    /// A call that has nothing in common with any other.
    fn independent(position: usize) -> Self {
        let slot = 1_000 + position;
        Self { sender: position, to: contract(position), slot, value: 0, loops: LOOPS }
    }
}

fn base() -> MemoryStore {
    let rich = Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() };
    let contract_of = || Allocation { nonce: 1, code: WORK_CODE, ..Allocation::default() };
    let senders = (0..TRANSACTIONS).map(|position| (sender(position), rich.clone()));
    let contracts = (0..TRANSACTIONS).map(contract).chain([WORK]);
    MemoryStore::from_genesis(senders.chain(contracts.map(|address| (address, contract_of()))))
}

fn block(call: impl Fn(usize) -> Call) -> Block {
    let header = Header { number: 1, gas_limit: 1 << 40, ..Header::default() };
    let mut nonces = [0; TRANSACTIONS];
    let transactions = (0..TRANSACTIONS).map(|position| {
        let Call { sender: from, to, slot, value, loops } = call(position);
        nonces[from] += 1;
        let input = [U256::from(slot), U256::from(loops)].map(|word| word.to_be_bytes::<32>());
        let env = TxEnv {
            caller: sender(from),
            nonce: nonces[from] - 1,
            kind: TxKind::Call(to),
            value: U256::from(value),
            data: input.concat().into(),
            gas_limit: 1 << 30,
            gas_price: 1,
            ..TxEnv::default()
        };
        Transaction { hash: B256::from(U256::from(position)), env }
    });
    let transactions = transactions.collect();
    let empty = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &header);
    Block { transactions, ..empty }
}

fn explain(block: &Block) -> Explanation {
    let [threads, rounds] = [2, 3].map(|number| NonZeroUsize::new(number).unwrap());
    Explanation::of(&base(), block, threads, Rounds::Exactly(rounds), || true).unwrap()
}

/// Asserts that the first cause of a block is the planted one, and that the limit without it is that of `private`, in which
/// it is not planted.
fn assert_names(planted: &Block, private: &Block, is_planted: impl Fn(Subject) -> bool) {
    let mut limits = (0..5).map(|_| {
        let found = explain(planted);
        let first = found.causes.first().expect("something is used twice");
        assert!(is_planted(first.subject), "{:?}", &found.causes[..found.causes.len().min(3)]);
        let graph = Engine::default().dependencies(&base(), private, 5).unwrap();
        (first.limit_without, limit(&graph, WorkerCount::Exactly(COMPARED)))
    });
    // Other programs may disturb a measurement.
    let is_right = |(found, expected): (f64, f64)| (found / expected - 1.0).abs() < 0.03;
    let all: Vec<_> = limits.by_ref().take_while(|limits| !is_right(*limits)).collect();
    assert!(all.len() < 5, "{all:?}");
}

/// The positions of 30 % of the transactions, over the block and at its end.
const THIRTY_PERCENT: [fn(usize) -> bool; 2] =
    [|position| position % 10 < 3, |position| position >= TRANSACTIONS - TRANSACTIONS * 3 / 10];

#[test]
fn a_slot_that_thirty_percent_write_is_named() {
    for is_one in THIRTY_PERCENT {
        let calls = |slot: usize| {
            block(move |position| {
                let call = Call { to: WORK, ..Call::independent(position) };
                if is_one(position) && slot == 0 { Call { slot, ..call } } else { call }
            })
        };
        let slot = Subject::Location(Location::Slot(WORK, U256::ZERO));
        assert_names(&calls(0), &calls(1), |subject| subject == slot);
    }
}

#[test]
fn an_account_that_all_pay_is_named() {
    let calls = |to: Option<Address>| {
        block(move |position| {
            let call = Call { value: 1, ..Call::independent(position) };
            Call { to: to.unwrap_or(call.to), ..call }
        })
    };
    let account = Subject::Location(Location::Balance(WORK));
    assert_names(&calls(Some(WORK)), &calls(None), |subject| subject == account);
}

#[test]
fn a_sender_of_a_third_is_named() {
    let is_third = |position: usize| position.is_multiple_of(3);
    let calls = |is_planted: bool| {
        block(move |position| {
            let call = Call::independent(position);
            if is_planted && is_third(position) { Call { sender: 0, ..call } } else { call }
        })
    };
    assert_names(
        &calls(true),
        &calls(false),
        |subject| matches!(subject, Subject::Location(location) if location.address() == sender(0)),
    );
}

#[test]
fn a_transaction_that_takes_half_of_the_time_is_named() {
    for long in [TRANSACTIONS / 2, TRANSACTIONS - 1] {
        let calls = |loops: u64| {
            block(move |position| {
                let call = Call::independent(position);
                if position == long { Call { loops, ..call } } else { call }
            })
        };
        let transaction = Subject::Transaction(TxIndex::new(long));
        let all = LOOPS * (TRANSACTIONS as u64 - 1);
        assert_names(&calls(all), &calls(0), |subject| subject == transaction);
    }
}

#[test]
fn the_critical_path_is_as_long_as_the_limit_says_and_the_parts_add_up() {
    let block = block(|position| {
        let call = Call { to: WORK, ..Call::independent(position) };
        if THIRTY_PERCENT[0](position) { Call { slot: 0, ..call } } else { call }
    });
    let found = explain(&block);
    let graph = &found.graph;
    let path: Duration = found.critical_path.iter().map(|step| graph.transactions[step.position].time).sum();
    assert_eq!(path + graph.opening + graph.closing, shortest_time(graph, WorkerCount::Unlimited));
    assert_eq!(found.critical_path.len(), TRANSACTIONS * 3 / 10);
    let parts: Duration = found.spent.parts().iter().map(|(_, time)| *time).sum();
    assert_eq!(parts, found.spent.total, "{:?}", found.spent);
    let committed = found.trace.statistics.committed + found.trace.statistics.at_gate;
    assert_eq!(committed, TRANSACTIONS as u64);
    let lost = found.trace.statistics.incarnations - committed;
    assert_eq!(found.lost.len() as u64, lost, "{:?}", found.lost);
}
