//! Access lists (EIP-7928) that come with a block, right and wrong, as a hint and as a claim.

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
use blockloom_fuzz::{difference, engine_on, kept_waiting};
use blockloom_state::{ListItem, ListValue, MemoryStore, Parting, TxIndex};
use revm::{bytecode::opcode::*, context::TxEnv};

use crate::{code::Code, scene::*, shuffle::agree};

/// What in a played scene lists are about: a contract that counts its calls in slot 0, which it is
/// called ten times.
struct Played {
    base: MemoryStore,
    block: Block,
    header: Header,
    outcome: Outcome,
    /// The positions of the calls.
    calls: Vec<usize>,
}

impl Played {
    fn new() -> Self {
        let mut scene = Scene::new(Osaka, 0);
        scene.contract(CONTRACT, &Code::new().increment(0, 1).push(7).ops([SLOAD, POP]), &[]);
        let calls = (0..10).map(|number| scene.call(sender(number), CONTRACT, 0)).collect();
        Self::of(scene, calls)
    }

    fn of(scene: Scene, calls: Vec<usize>) -> Self {
        let (block, header, base) = (scene.block(), scene.header, scene.base);
        let outcome = agree(&base, &block).result.unwrap();
        Self { base, block, header, outcome, calls }
    }

    /// What execution yields, changed so.
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

    /// Why the block is refused with a list that its header commits to, before or while it is executed.
    fn refusal(&self, list: BlockAccessList) -> ListError {
        let invalid = self.claiming(list).map(|block| match agree(&self.base, &block).result {
            Err(error) => error.reason,
            Ok(_) => panic!("it is accepted"),
        });
        match invalid {
            Err(Invalid::List(error)) | Ok(Reason::Invalid(Invalid::List(error))) => error,
            other => panic!("refused for something else: {other:?}"),
        }
    }

    /// Where list and execution part first, and in how many places.
    fn parting(&self, change: impl FnOnce(&mut BlockAccessList)) -> (Parting, usize) {
        match self.refusal(self.list(change)) {
            ListError::Parts { first, count } => (*first, count),
            other => panic!("refused for something else: {other}"),
        }
    }

    /// How many runs a block with a list takes whose workers have time to run ahead.
    fn runs(&self, engine: &Engine, block: &Block) -> u64 {
        let outcome = kept_waiting(engine, &self.base, block, Duration::from_micros(50));
        assert_eq!(difference(&Ok(self.outcome.clone()), &outcome), None);
        outcome.unwrap().statistics.incarnations
    }
}

fn of(list: &mut BlockAccessList, address: Address) -> &mut AccountChanges {
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
fn with_a_right_list_each_transaction_runs_once_though_all_depend_on_each_other() {
    let played = Played::new();
    let list = played.list(|_| {});
    for block in [played.block.clone().with_hint(list.clone()).unwrap(), played.claiming(list).unwrap()] {
        assert_eq!(difference(&Ok(played.outcome.clone()), &agree(&played.base, &block).result), None);
        for threads in [2, 3, 8] {
            let engine = engine_on(threads);
            assert_eq!(played.runs(&engine, &block), played.block.transactions.len() as u64);
        }
    }
}

#[test]
fn a_wrong_value_in_a_hint_costs_a_run_and_not_the_outcome() {
    let played = Played::new();
    let list = played.list(|list| of(list, CONTRACT).storage_changes[0].changes[4].new_value = word(77));
    let block = played.block.clone().with_hint(list).unwrap();
    assert_eq!(difference(&Ok(played.outcome.clone()), &agree(&played.base, &block).result), None);
    let (engine, transactions) = (engine_on(2), played.block.transactions.len() as u64);
    let runs: Vec<_> = (0..50).map(|_| played.runs(&engine, &block)).collect();
    // Only the sixth call sees the wrong value; where it runs at the gate at once, it does not.
    assert!(runs.iter().all(|runs| (transactions..=transactions + 1).contains(runs)), "{runs:?}");
    assert!(runs.contains(&(transactions + 1)), "{runs:?}");
}

#[test]
fn a_hint_that_says_nothing_changes_nothing() {
    let played = Played::new();
    let block = played.block.clone().with_hint(Vec::new()).unwrap();
    assert_eq!(difference(&Ok(played.outcome.clone()), &agree(&played.base, &block).result), None);
}

#[test]
fn a_claim_is_refused_with_what_it_says_wrongly() {
    let played = Played::new();
    let index = Some(at(played.calls[4]));
    let (parting, count) =
        played.parting(|list| of(list, CONTRACT).storage_changes[0].changes[4].new_value = word(77));
    let expected = Parting {
        index,
        address: CONTRACT,
        item: ListItem::Slot(word(0)),
        declared: number(77),
        actual: number(5),
    };
    assert_eq!((parting, count), (expected, 1));
    let (parting, count) = played.parting(|list| of(list, sender(4)).nonce_changes[0].new_nonce = u64::MAX);
    let expected = Parting {
        index,
        address: sender(4),
        item: ListItem::Nonce,
        declared: number(u64::MAX),
        actual: number(1),
    };
    assert_eq!((parting, count), (expected, 1));
}

#[test]
fn a_claim_is_refused_with_what_it_lacks() {
    let played = Played::new();
    let (parting, count) = played.parting(|list| list.retain(|account| account.address != sender(4)));
    let left = RICH - played.gas(4) * PRICE;
    let expected = Parting {
        index: Some(at(played.calls[4])),
        address: sender(4),
        item: ListItem::Balance,
        declared: None,
        actual: number(left),
    };
    assert_eq!((parting, count), (expected, 3), "a balance, a nonce, and the account");
    let (parting, count) = played.parting(|list| of(list, CONTRACT).storage_reads.clear());
    let expected = Parting {
        index: None,
        address: CONTRACT,
        item: ListItem::Read(word(7)),
        declared: None,
        actual: Some(ListValue::Accessed),
    };
    assert_eq!((parting, count), (expected, 1));
}

#[test]
fn a_claim_is_refused_with_what_it_has_too_much() {
    let played = Played::new();
    let end = at(played.block.transactions.len());
    let (parting, count) = played.parting(|list| {
        of(list, CONTRACT).balance_changes.push(BalanceChange::new(end, word(3)));
        of(list, CONTRACT).code_changes.push(CodeChange::new(at(2), bytes!("5b")));
        of(list, CONTRACT).storage_reads.push(word(9));
        list.push(AccountChanges::new(Address::repeat_byte(0xff)));
    });
    let expected = Parting {
        index: Some(at(2)),
        address: CONTRACT,
        item: ListItem::Code,
        declared: Some(ListValue::Code(bytes!("5b"))),
        actual: None,
    };
    assert_eq!((parting, count), (expected, 4));
}

impl Played {
    /// The gas that a call paid for.
    fn gas(&self, call: usize) -> u64 {
        let receipts = &self.outcome.receipts;
        let until = |position: usize| receipts[position].cumulative_gas_used;
        until(self.calls[call]) - until(self.calls[call] - 1)
    }
}

/// A block of 30 transfers and nothing else, each of which takes 21,000 gas.
fn transfers(gas_limit: u64) -> Played {
    let mut scene = Scene::new(Osaka, 0);
    scene.header.gas_limit = gas_limit;
    scene.strangers(30);
    Played::of(scene, Vec::new())
}

/// Adds reads of slots of this account to a list.
fn add_reads(list: &mut BlockAccessList, address: Address, reads: u64) {
    let account =
        AccountChanges { storage_reads: (0..reads).map(word).collect(), ..AccountChanges::new(address) };
    let place = list.partition_point(|account| account.address < address);
    list.insert(place, account);
}

#[test]
fn reads_that_the_gas_does_not_pay_for_are_refused_before_the_transaction_that_leaves_too_little() {
    let played = transfers(1_000_000);
    // Before transaction 5 there are 895,000 gas left, which pay for 447 reads; before the next, 874,000.
    let refused = |address| played.refusal(played.list(|list| add_reads(list, address, 447)));
    let expected = ListError::Unjustified { index: TxIndex::new(6), reads: 447, gas: 874_000 };
    assert_eq!(refused(HEIR), expected);
    let text = "before transaction 6 the list still has 447 reads, and 874000 gas is left for them";
    assert_eq!(expected.to_string(), text);
    // The protocol pays for the slots of its own contracts.
    let error = refused(BEACON_ROOTS_ADDRESS);
    assert!(matches!(error, ListError::Parts { count: 448, .. }), "{error}");
}

#[test]
fn reads_that_the_gas_just_pays_for_are_justified() {
    let reading = |gas_limit: u64, block_limit: u64| {
        let mut scene = Scene::new(Osaka, 0);
        scene.header.gas_limit = block_limit;
        let code = (0..150).fold(Code::new(), |code, key| code.push(key).ops([SLOAD, POP]));
        scene.contract(CONTRACT, &code, &[]);
        let call = TxEnv { gas_limit, ..scene.to(sender(0), CONTRACT, 0) };
        let call = scene.send(call);
        Played::of(scene, vec![call])
    };
    let roomy = reading(400_000, 100_000_000);
    let tight = reading(roomy.gas(0), roomy.outcome.gas_used);
    let block = tight.claiming(tight.list(|_| {})).unwrap();
    assert_eq!(difference(&Ok(tight.outcome.clone()), &agree(&tight.base, &block).result), None);
    let one_more = tight.refusal(tight.list(|list| add_reads(list, HEIR, 1)));
    assert!(
        matches!(one_more, ListError::Parts { count: 2, .. }),
        "150 reads took 2,107 gas each: {one_more}"
    );
    let many_more = tight.refusal(tight.list(|list| add_reads(list, HEIR, 22)));
    let left = roomy.gas(0);
    assert_eq!(many_more, ListError::Unjustified { index: TxIndex::new(10), reads: 172, gas: left });
}

#[test]
fn the_slots_of_who_is_created_twice_in_one_transaction_are_counted_once() {
    let mut scene = Scene::new(Osaka, 0);
    scene.header.gas_limit = 1_500_000;
    let init = (0..20).fold(Code::new(), |code, key| code.sstore(key, 1)).push(0).push(0).ops([REVERT]);
    let twice = Code::new().create2(&init.bytes(), 0).create2(&init.bytes(), 0);
    scene.contract(CONTRACT, &twice, &[]);
    let calls = vec![TxEnv { gas_limit: 1_000_000, ..scene.to(sender(0), CONTRACT, 0) }];
    let calls = calls.into_iter().map(|call| scene.send(call)).collect();
    scene.strangers(10);
    let played = Played::of(scene, calls);
    let left = 1_500_000 - played.outcome.receipts[14].cumulative_gas_used;
    // Before transaction 15 all reads are justified but those of the creations, which the list has too.
    let reads = left / ITEM_COST as u64 + 1;
    let error = played.refusal(played.list(|list| add_reads(list, HEIR, reads)));
    let expected = ListError::Unjustified { index: TxIndex::new(15), reads, gas: left };
    assert_eq!(error, expected);
}

#[test]
fn a_malformed_list_is_refused_before_execution() {
    use BlockAccessListValidationError as E;
    let played = Played::new();
    let refused = |change: fn(&mut BlockAccessList)| {
        let list = played.list(change);
        let hinted = played.block.clone().with_hint(list.clone()).unwrap_err();
        let claimed = played.claiming(list).unwrap_err();
        assert_eq!(claimed, Invalid::List(hinted.clone()));
        match hinted {
            ListError::Form(error) => error,
            other => panic!("{other}"),
        }
    };
    let swapped = refused(|list| list.swap(0, 1));
    assert!(matches!(swapped, E::AccountsOutOfOrder { .. }), "{swapped}");
    let repeated = refused(|list| list.insert(0, list[0].clone()));
    assert!(matches!(repeated, E::DuplicateAccount { .. }), "{repeated}");
    let early = refused(|list| of(list, CONTRACT).storage_changes[0].changes.swap(0, 1));
    assert!(matches!(early, E::ChangeIndicesOutOfOrder { address: CONTRACT, .. }), "{early}");
    let emptied = refused(|list| of(list, CONTRACT).storage_changes[0].changes.clear());
    assert_eq!(emptied, E::EmptyStorageChanges { address: CONTRACT, slot: word(0) });
    let both = refused(|list| of(list, CONTRACT).storage_reads.insert(0, word(0)));
    assert_eq!(both, E::DuplicateStorageKey { address: CONTRACT, slot: word(0) });
    let late = refused(|list| {
        of(list, CONTRACT).balance_changes.push(BalanceChange::new(BlockAccessIndex(22), word(3)));
    });
    assert!(matches!(late, E::BlockAccessIndexExceedsBlock { max: BlockAccessIndex(21), .. }), "{late}");
}

#[test]
fn a_list_is_refused_that_is_longer_than_the_gas_limit_or_not_the_one_in_the_header() {
    let played = transfers(700_000);
    let found = |list: &BlockAccessList| total_bal_items(list);
    let limit = 700_000 / ITEM_COST as u64;
    let longest = played.list(|list| add_reads(list, BEACON_ROOTS_ADDRESS, limit - 1 - found(list)));
    assert_eq!(found(&longest), limit);
    assert!(played.claiming(longest.clone()).is_ok());
    let too_long = played.list(|list| add_reads(list, BEACON_ROOTS_ADDRESS, limit - found(list)));
    let refused = played.claiming(too_long.clone()).unwrap_err();
    assert_eq!(refused, ListError::Items { limit, found: limit + 1 }.into());
    // A transaction that asks for more than the block has explains why the list is too long.
    let mut greedy = transfers(700_000);
    greedy.block.transactions[7].env.gas_limit = 700_001;
    let refused = greedy.claiming(too_long).unwrap_err();
    let asks = TransactionError::GasAboveBlock { limit: 700_001, available: 700_000 };
    assert!(
        matches!(refused, Invalid::Transaction { index, reason, .. } if index.get() == 7 && reason == asks)
    );
    let expected = Some(compute_block_access_list_hash(&longest));
    let header = Header { block_access_list_hash: expected, ..played.header.clone() };
    let other = played.list(|_| {});
    let other_hash = compute_block_access_list_hash(&other);
    let refused = played.block.with_claim(&header, other).unwrap_err();
    assert_eq!(refused, ListError::Hash { expected, found: other_hash }.into());
}

/// Before London (EIP-3541) anybody could deploy bytes that look as if they delegated (EIP-7702). They are
/// instructions, the first of which there is none.
#[test]
fn bytes_that_look_like_a_delegation_are_instructions_where_there_is_none() {
    everywhere(&[Frontier, Byzantium, Berlin], |mut scene| {
        let looks_like_it = [&[0xef, 1, 0][..], OTHER.as_slice()].concat();
        let from = sender(0);
        let made = from.create(*scene.nonce(from));
        scene.contract(OTHER, &Code::new().increment(0, 1), &[]);
        scene.create(from, &Code::new().deploying(&Code::new().ops(looks_like_it)), 0);
        scene.strangers(5);
        let call = scene.call(sender(1), made, 0);
        let (base, block) = (scene.base.clone(), scene.block());
        let outcome = agree(&base, &block).result.unwrap();
        assert!(!outcome.receipts[call].status.coerce_status(), "there is no such instruction");
        let hinted = block.with_hint(outcome.access_list.clone().unwrap()).unwrap();
        assert_eq!(difference(&Ok(outcome), &agree(&base, &hinted).result), None);
    });
}
