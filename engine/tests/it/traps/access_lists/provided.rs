//! Access lists (EIP-7928) that come with a block: correct and wrong ones, as hints and as claims.

use std::time::Duration;

use alloy_consensus::Header;
use alloy_eips::{
    eip4788::BEACON_ROOTS_ADDRESS,
    eip7928::{
        AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, BlockAccessListValidationError,
        CodeChange, ITEM_COST, compute_block_access_list_hash, total_bal_items,
    },
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, bytes};
use blockloom_engine::{Block, Engine, Invalid, ListError, Outcome, Reason, TransactionError};
use blockloom_fuzz::{difference, engine_on, execute_with_delayed_commits};
use blockloom_state::{ListDifference, ListItem, ListValue, MemoryStore, TxIndex};
use revm::{bytecode::opcode::*, context::TxEnv};

use super::super::{code::Code, differential::execute_in_every_way, scenario::*};

/// An executed block, and the result that its lists are compared with.
struct ListedBlock {
    base: MemoryStore,
    block: Block,
    header: Header,
    outcome: Outcome,
    /// The positions of the calls.
    calls: Vec<usize>,
}

impl ListedBlock {
    /// A block with ten calls of a contract that counts them in slot 0.
    fn new() -> Self {
        let mut scenario = Scenario::new(Osaka, 0);
        scenario.contract(CONTRACT, &Code::new().increment(0, 1).push(7).ops([SLOAD, POP]), &[]);
        let calls = (0..10).map(|number| scenario.call(sender(number), CONTRACT, 0)).collect();
        Self::of(scenario, calls)
    }

    fn of(scenario: Scenario, calls: Vec<usize>) -> Self {
        let (block, header, base) = (scenario.block(), scenario.header, scenario.base);
        let outcome = execute_in_every_way(&base, &block).result.unwrap();
        Self { base, block, header, outcome, calls }
    }

    /// The list that execution yields, with a change.
    fn list(&self, change: impl FnOnce(&mut BlockAccessList)) -> BlockAccessList {
        let mut list = self.outcome.access_list.clone().unwrap();
        change(&mut list);
        list
    }

    /// The block with a list that its header commits to.
    fn claiming(&self, list: BlockAccessList) -> Result<Block, Invalid> {
        let hash = compute_block_access_list_hash(&list);
        let header = Header { block_access_list_hash: Some(hash), ..self.header.clone() };
        self.block.clone().with_claim(&header, list)
    }

    /// The block with a list yields the outcome of the block without one.
    fn assert_same_outcome(&self, block: &Block) {
        let found = execute_in_every_way(&self.base, block).result;
        assert_eq!(difference(&Ok(self.outcome.clone()), &found), None);
    }

    /// Why the block is invalid with a list that its header commits to: before or during execution.
    fn rejection(&self, list: BlockAccessList) -> ListError {
        let invalid =
            self.claiming(list).map(|block| match execute_in_every_way(&self.base, &block).result {
                Err(error) => error.reason,
                Ok(_) => panic!("the list is accepted"),
            });
        match invalid {
            Err(Invalid::List(error)) | Ok(Reason::Invalid(Invalid::List(error))) => error,
            other => panic!("another error: {other:?}"),
        }
    }

    /// The first difference between list and execution, and the number of differences.
    fn mismatch(&self, change: impl FnOnce(&mut BlockAccessList)) -> (ListDifference, usize) {
        match self.rejection(self.list(change)) {
            ListError::Differs { first, count } => (*first, count),
            other => panic!("another error: {other}"),
        }
    }

    /// The number of runs of a block, with time for the workers to run ahead.
    fn runs(&self, engine: &Engine, block: &Block) -> u64 {
        let outcome = execute_with_delayed_commits(engine, &self.base, block, Duration::from_micros(50));
        assert_eq!(difference(&Ok(self.outcome.clone()), &outcome), None);
        outcome.unwrap().statistics.incarnations
    }
}

fn account_in(list: &mut BlockAccessList, address: Address) -> &mut AccountChanges {
    list.iter_mut().find(|account| account.address == address).unwrap()
}

/// The index of a transaction.
fn at(position: usize) -> BlockAccessIndex {
    BlockAccessIndex::from_tx_index(position as u64)
}

fn number(value: u64) -> Option<ListValue> {
    Some(ListValue::Number(word(value)))
}

#[test]
fn with_a_correct_list_each_transaction_of_a_dependent_chain_runs_once() {
    let listed = ListedBlock::new();
    let list = listed.list(|_| {});
    for block in [listed.block.clone().with_hint(list.clone()).unwrap(), listed.claiming(list).unwrap()] {
        listed.assert_same_outcome(&block);
        for threads in [2, 3, 8] {
            let engine = engine_on(threads);
            assert_eq!(listed.runs(&engine, &block), listed.block.transactions.len() as u64);
        }
    }
}

#[test]
fn a_wrong_value_in_a_hint_costs_one_run_and_changes_no_outcome() {
    let listed = ListedBlock::new();
    let list =
        listed.list(|list| account_in(list, CONTRACT).storage_changes[0].changes[4].new_value = word(77));
    let block = listed.block.clone().with_hint(list).unwrap();
    listed.assert_same_outcome(&block);
    let (engine, transactions) = (engine_on(2), listed.block.transactions.len() as u64);
    let runs: Vec<_> = (0..50).map(|_| listed.runs(&engine, &block)).collect();
    // Only the sixth call can read the wrong value, and does not if it runs at the gate.
    assert!(runs.iter().all(|runs| (transactions..=transactions + 1).contains(runs)), "{runs:?}");
    assert!(runs.contains(&(transactions + 1)), "{runs:?}");
}

#[test]
fn an_empty_hint_changes_nothing() {
    let listed = ListedBlock::new();
    let block = listed.block.clone().with_hint(Vec::new()).unwrap();
    listed.assert_same_outcome(&block);
}

#[test]
fn a_claim_with_a_wrong_entry_is_rejected_with_that_entry() {
    let listed = ListedBlock::new();
    let index = Some(at(listed.calls[4]));
    let (first, count) =
        listed.mismatch(|list| account_in(list, CONTRACT).storage_changes[0].changes[4].new_value = word(77));
    let expected = ListDifference {
        index,
        address: CONTRACT,
        item: ListItem::Slot(word(0)),
        declared: number(77),
        actual: number(5),
    };
    assert_eq!((first, count), (expected, 1));
    let (first, count) =
        listed.mismatch(|list| account_in(list, sender(4)).nonce_changes[0].new_nonce = u64::MAX);
    let expected = ListDifference {
        index,
        address: sender(4),
        item: ListItem::Nonce,
        declared: number(u64::MAX),
        actual: number(1),
    };
    assert_eq!((first, count), (expected, 1));
}

#[test]
fn a_claim_with_a_missing_entry_is_rejected_with_that_entry() {
    let listed = ListedBlock::new();
    let (first, count) = listed.mismatch(|list| list.retain(|account| account.address != sender(4)));
    let left = RICH - listed.gas(4) * PRICE;
    let expected = ListDifference {
        index: Some(at(listed.calls[4])),
        address: sender(4),
        item: ListItem::Balance,
        declared: None,
        actual: number(left),
    };
    assert_eq!((first, count), (expected, 3), "a balance, a nonce, and the account");
    let (first, count) = listed.mismatch(|list| account_in(list, CONTRACT).storage_reads.clear());
    let expected = ListDifference {
        index: None,
        address: CONTRACT,
        item: ListItem::Read(word(7)),
        declared: None,
        actual: Some(ListValue::Accessed),
    };
    assert_eq!((first, count), (expected, 1));
}

#[test]
fn a_claim_with_extra_entries_is_rejected_with_the_first_of_them() {
    let listed = ListedBlock::new();
    let end = at(listed.block.transactions.len());
    let (first, count) = listed.mismatch(|list| {
        account_in(list, CONTRACT).balance_changes.push(BalanceChange::new(end, word(3)));
        account_in(list, CONTRACT).code_changes.push(CodeChange::new(at(2), bytes!("5b")));
        account_in(list, CONTRACT).storage_reads.push(word(9));
        list.push(AccountChanges::new(Address::repeat_byte(0xff)));
    });
    let expected = ListDifference {
        index: Some(at(2)),
        address: CONTRACT,
        item: ListItem::Code,
        declared: Some(ListValue::Code(bytes!("5b"))),
        actual: None,
    };
    assert_eq!((first, count), (expected, 4));
}

impl ListedBlock {
    /// The gas that a call used.
    fn gas(&self, call: usize) -> u64 {
        let receipts = &self.outcome.receipts;
        let until = |position: usize| receipts[position].cumulative_gas_used;
        until(self.calls[call]) - until(self.calls[call] - 1)
    }
}

/// A block of 30 transfers, of 21,000 gas each.
fn transfers(gas_limit: u64) -> ListedBlock {
    let mut scenario = Scenario::new(Osaka, 0);
    scenario.header.gas_limit = gas_limit;
    scenario.add_unrelated_transfers(30);
    ListedBlock::of(scenario, Vec::new())
}

/// Adds an account with this number of read slots to a list.
fn add_reads(list: &mut BlockAccessList, address: Address, reads: u64) {
    let account =
        AccountChanges { storage_reads: (0..reads).map(word).collect(), ..AccountChanges::new(address) };
    let place = list.partition_point(|account| account.address < address);
    list.insert(place, account);
}

#[test]
fn a_list_with_more_reads_than_the_gas_pays_for_is_rejected_as_soon_as_that_is_certain() {
    let listed = transfers(1_000_000);
    // 895,000 gas is left before transaction 5 and pays for 447 reads. 874,000 is left before the next.
    let rejected = |address| listed.rejection(listed.list(|list| add_reads(list, address, 447)));
    let expected = ListError::Unjustified { index: TxIndex::new(6), reads: 447, gas: 874_000 };
    assert_eq!(rejected(HEIR), expected);
    let text = "before transaction 6 the list still has 447 reads, and 874000 gas is left for them";
    assert_eq!(expected.to_string(), text);
    // Reads of the system contracts are not paid for with gas.
    let error = rejected(BEACON_ROOTS_ADDRESS);
    assert!(matches!(error, ListError::Differs { count: 448, .. }), "{error}");
}

#[test]
fn reads_that_the_gas_exactly_pays_for_are_accepted() {
    let reading = |gas_limit: u64, block_limit: u64| {
        let mut scenario = Scenario::new(Osaka, 0);
        scenario.header.gas_limit = block_limit;
        let code = (0..150).fold(Code::new(), |code, key| code.push(key).ops([SLOAD, POP]));
        scenario.contract(CONTRACT, &code, &[]);
        let call = TxEnv { gas_limit, ..scenario.to(sender(0), CONTRACT, 0) };
        let call = scenario.send(call);
        ListedBlock::of(scenario, vec![call])
    };
    let first = reading(400_000, 100_000_000);
    let tight = reading(first.gas(0), first.outcome.gas_used);
    let block = tight.claiming(tight.list(|_| {})).unwrap();
    tight.assert_same_outcome(&block);
    let one_more = tight.rejection(tight.list(|list| add_reads(list, HEIR, 1)));
    assert!(
        matches!(one_more, ListError::Differs { count: 2, .. }),
        "150 reads took 2,107 gas each: {one_more}"
    );
    let many_more = tight.rejection(tight.list(|list| add_reads(list, HEIR, 22)));
    let left = first.gas(0);
    assert_eq!(many_more, ListError::Unjustified { index: TxIndex::new(10), reads: 172, gas: left });
}

#[test]
fn the_slots_of_an_account_created_twice_in_one_transaction_count_once() {
    let mut scenario = Scenario::new(Osaka, 0);
    scenario.header.gas_limit = 1_500_000;
    let init = (0..20).fold(Code::new(), |code, key| code.sstore(key, 1)).push(0).push(0).ops([REVERT]);
    let twice = Code::new().create2(&init.bytes(), 0).create2(&init.bytes(), 0);
    scenario.contract(CONTRACT, &twice, &[]);
    let calls = vec![TxEnv { gas_limit: 1_000_000, ..scenario.to(sender(0), CONTRACT, 0) }];
    let calls = calls.into_iter().map(|call| scenario.send(call)).collect();
    scenario.add_unrelated_transfers(10);
    let listed = ListedBlock::of(scenario, calls);
    let left = 1_500_000 - listed.outcome.receipts[14].cumulative_gas_used;
    // Before transaction 15 the reads of the creations are counted, and the added ones remain.
    let reads = left / ITEM_COST as u64 + 1;
    let error = listed.rejection(listed.list(|list| add_reads(list, HEIR, reads)));
    let expected = ListError::Unjustified { index: TxIndex::new(15), reads, gas: left };
    assert_eq!(error, expected);
}

#[test]
fn a_malformed_list_is_rejected_before_execution() {
    use BlockAccessListValidationError as E;
    let listed = ListedBlock::new();
    let rejected = |change: fn(&mut BlockAccessList)| {
        let list = listed.list(change);
        let hinted = listed.block.clone().with_hint(list.clone()).unwrap_err();
        let claimed = listed.claiming(list).unwrap_err();
        assert_eq!(claimed, Invalid::List(hinted.clone()));
        match hinted {
            ListError::Form(error) => error,
            other => panic!("{other}"),
        }
    };
    let swapped = rejected(|list| list.swap(0, 1));
    assert!(matches!(swapped, E::AccountsOutOfOrder { .. }), "{swapped}");
    let repeated = rejected(|list| list.insert(0, list[0].clone()));
    assert!(matches!(repeated, E::DuplicateAccount { .. }), "{repeated}");
    let unordered = rejected(|list| account_in(list, CONTRACT).storage_changes[0].changes.swap(0, 1));
    assert!(matches!(unordered, E::ChangeIndicesOutOfOrder { address: CONTRACT, .. }), "{unordered}");
    let emptied = rejected(|list| account_in(list, CONTRACT).storage_changes[0].changes.clear());
    assert_eq!(emptied, E::EmptyStorageChanges { address: CONTRACT, slot: word(0) });
    let both = rejected(|list| account_in(list, CONTRACT).storage_reads.insert(0, word(0)));
    assert_eq!(both, E::DuplicateStorageKey { address: CONTRACT, slot: word(0) });
    let out_of_range = rejected(|list| {
        account_in(list, CONTRACT).balance_changes.push(BalanceChange::new(BlockAccessIndex(22), word(3)));
    });
    assert!(
        matches!(out_of_range, E::BlockAccessIndexExceedsBlock { max: BlockAccessIndex(21), .. }),
        "{out_of_range}"
    );
}

#[test]
fn a_list_that_is_too_long_or_does_not_match_the_header_is_rejected() {
    let listed = transfers(700_000);
    let found = |list: &BlockAccessList| total_bal_items(list);
    let limit = 700_000 / ITEM_COST as u64;
    let longest = listed.list(|list| add_reads(list, BEACON_ROOTS_ADDRESS, limit - 1 - found(list)));
    assert_eq!(found(&longest), limit);
    assert!(listed.claiming(longest.clone()).is_ok());
    let too_long = listed.list(|list| add_reads(list, BEACON_ROOTS_ADDRESS, limit - found(list)));
    let rejected = listed.claiming(too_long.clone()).unwrap_err();
    assert_eq!(rejected, ListError::Items { limit, found: limit + 1 }.into());
    // A transaction with a gas limit above the block's is reported before the length of the list.
    let mut greedy_block = transfers(700_000);
    greedy_block.block.transactions[7].env.gas_limit = 700_001;
    let rejected = greedy_block.claiming(too_long).unwrap_err();
    let above_block = TransactionError::GasAboveBlock { limit: 700_001, available: 700_000 };
    assert!(
        matches!(rejected, Invalid::Transaction { index, reason, .. } if index.get() == 7 && reason == above_block)
    );
    let expected = Some(compute_block_access_list_hash(&longest));
    let header = Header { block_access_list_hash: expected, ..listed.header.clone() };
    let other = listed.list(|_| {});
    let other_hash = compute_block_access_list_hash(&other);
    let rejected = listed.block.with_claim(&header, other).unwrap_err();
    assert_eq!(rejected, ListError::Hash { expected, found: other_hash }.into());
}

/// Before London (EIP-3541) a contract could be deployed with the bytes of a delegation designator
/// (EIP-7702). They are executed as instructions there, and the first of them is unknown.
#[test]
fn before_delegations_exist_the_bytes_of_a_designator_are_executed_as_code() {
    for_each_fork(&[Frontier, Byzantium, Berlin], |mut scenario| {
        let designator_bytes = [&[0xef, 1, 0][..], OTHER.as_slice()].concat();
        let from = sender(0);
        let created = from.create(*scenario.nonce(from));
        scenario.contract(OTHER, &Code::new().increment(0, 1), &[]);
        scenario.create(from, &Code::new().deploying(&Code::new().ops(designator_bytes)), 0);
        scenario.add_unrelated_transfers(5);
        let call = scenario.call(sender(1), created, 0);
        let (base, block) = (scenario.base.clone(), scenario.block());
        let outcome = execute_in_every_way(&base, &block).result.unwrap();
        assert!(!outcome.receipts[call].status.coerce_status(), "the first instruction is unknown");
        let hinted = block.with_hint(outcome.access_list.clone().unwrap()).unwrap();
        assert_eq!(difference(&Ok(outcome), &execute_in_every_way(&base, &hinted).result), None);
    });
}
