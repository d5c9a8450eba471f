//! Reads ahead what a block is going to need of a base that takes its time.
//!
//! Owns the order: of each transaction in turn whom it names, and what the access list says it changes;
//! then the rest of the list. Many reads are on their way at once, by threads that mostly wait. What
//! they fetch is remembered in the multi-version memory, where whoever needs it finds it. A read that
//! fails, or panics, is met again by whoever needs it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use alloy_primitives::{Address, U256};
use blockloom_state::{
    Base, AccessListIndex, Memory,
    sync::{AtomicBool, AtomicU32, Ordering},
};
use revm::context_interface::{Transaction as _, transaction::AccessListItemTr as _};

use crate::block::{
    block::{Block, Transaction},
    config::{Hints, Use},
};

/// Something that is going to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PrefetchItem {
    Account(Address),
    Slot(Address, U256),
}

/// What is to be read ahead, and how far that is.
#[derive(Debug)]
pub(crate) struct Prefetcher {
    needs: Vec<PrefetchItem>,
    next: AtomicU32,
    is_over: AtomicBool,
}

impl Prefetcher {
    /// What `hints` tell of a block's reads.
    pub(crate) fn of(block: &Block, hints: Hints) -> Self {
        Self { needs: needs(block, hints), next: AtomicU32::new(0), is_over: AtomicBool::new(false) }
    }

    /// Whether there is nothing to be read.
    pub(crate) fn are_idle(&self) -> bool {
        self.needs.is_empty()
    }

    /// Reads one thing after the other until there is nothing left, or it is over. Any number of
    /// threads may do so at once.
    pub(crate) fn work<B: Base>(&self, memory: &Memory, base: &B) {
        // ORDER: Relaxed: a thread that learns of it later reads one thing more.
        while !self.is_over.load(Ordering::Relaxed) {
            // ORDER: Relaxed: the needs do not change, and each number is given out once.
            let next = self.next.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(need) = self.needs.get(next) else { return };
            let _ = catch_unwind(AssertUnwindSafe(|| match need {
                PrefetchItem::Account(address) => memory.fetch_account(base, *address).map(drop),
                PrefetchItem::Slot(address, key) => memory.fetch_slot(base, *address, *key),
            }));
        }
    }

    /// Nobody needs anything any more once this is dropped.
    pub(crate) fn until_dropped(&self) -> OverOnDrop<'_> {
        OverOnDrop(self)
    }

    /// How many things were read ahead, or are being read.
    pub(crate) fn taken(&self) -> u64 {
        // ORDER: Relaxed: a count.
        (self.next.load(Ordering::Relaxed) as usize).min(self.needs.len()) as u64
    }
}

/// Ends reading ahead, with a panic or without.
pub(crate) struct OverOnDrop<'r>(&'r Prefetcher);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        // ORDER: Relaxed: see `work`.
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// In the order in which they are going to be needed, each once.
fn needs(block: &Block, hints: Hints) -> Vec<PrefetchItem> {
    let mut first = BTreeMap::new();
    let mut add = |need, when: u64| {
        let known = first.entry(need).or_insert(when);
        *known = when.min(*known);
    };
    if hints.parties == Use::On {
        add(PrefetchItem::Account(block.env.beneficiary), 0);
    }
    // Transaction `i` is index `i + 1` of a list.
    for (when, transaction) in (1..).zip(&block.transactions) {
        if hints.parties == Use::On {
            transaction.parties().for_each(|party| add(PrefetchItem::Account(party), when));
        }
        if hints.access_lists == Use::On {
            named(transaction).for_each(|need| add(need, when));
        }
    }
    if let (Use::On, Some(foresight)) = (hints.given_lists, block.list.foresight()) {
        add_listed(foresight, &mut add);
    }
    let mut needs: Vec<_> = first.into_iter().map(|(need, when)| (when, need)).collect();
    needs.sort_unstable();
    needs.into_iter().map(|(_, need)| need).collect()
}

/// What a transaction names in its own access list (EIP-2930).
fn named(transaction: &Transaction) -> impl Iterator<Item = PrefetchItem> {
    let items = transaction.env.access_list().into_iter().flatten();
    items.flat_map(|item| {
        let address = *item.address();
        let slot = move |key: &alloy_primitives::B256| PrefetchItem::Slot(address, (*key).into());
        [PrefetchItem::Account(address)].into_iter().chain(item.storage_slots().map(slot))
    })
}

/// What a block's access list names. What is only read has no index: it is taken to be needed with the
/// first change of its account, and at once if there is none.
fn add_listed(foresight: &AccessListIndex, add: &mut impl FnMut(PrefetchItem, u64)) {
    for account in foresight.list() {
        let of_account = (account.balance_changes.iter().map(|change| change.block_access_index))
            .chain(account.nonce_changes.iter().map(|change| change.block_access_index))
            .chain(account.code_changes.iter().map(|change| change.block_access_index))
            .map(|index| index.0);
        let of_slots = account.storage_changes.iter().filter_map(|slot| slot.changes.first());
        let of_slots = of_slots.map(|change| change.block_access_index.0);
        let when = of_account.chain(of_slots).min().unwrap_or(0);
        add(PrefetchItem::Account(account.address), when);
        for slot in &account.storage_changes {
            let first = slot.changes.first().map_or(when, |change| change.block_access_index.0);
            add(PrefetchItem::Slot(account.address, slot.slot), first);
        }
        account.storage_reads.iter().for_each(|key| add(PrefetchItem::Slot(account.address, *key), when));
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::convert::Infallible;

    use alloy_consensus::Header;
    use alloy_eips::eip7928::{AccountChanges, BalanceChange, BlockAccessIndex};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{B256, TxKind};
    use blockloom_state::{Allocation, MemoryStore, Origin, Recall, SlotRead, TxIndex};
    use revm::context::{
        TxEnv,
        transaction::{AccessList, AccessListItem},
    };

    use super::*;
    use crate::block::rules::Rules;

    fn address(number: u8) -> Address {
        Address::with_last_byte(number)
    }

    /// Account 1 calls account 2, with slot 9 of account 3 in its access list; account 4 calls account 5.
    fn block() -> Block {
        let named = AccessListItem { address: address(3), storage_keys: vec![B256::with_last_byte(9)] };
        let call = |caller, callee, access_list| Transaction {
            hash: B256::ZERO,
            env: TxEnv {
                caller: address(caller),
                kind: TxKind::Call(address(callee)),
                access_list,
                ..TxEnv::default()
            },
        };
        let transactions = vec![call(1, 2, AccessList(vec![named])), call(4, 5, AccessList::default())];
        let block = Block::without_body(Rules::mainnet(EthereumHardfork::Osaka), &Header::default());
        Block { transactions, ..block }
    }

    fn account(number: u8) -> PrefetchItem {
        PrefetchItem::Account(address(number))
    }

    #[test]
    fn what_transactions_name_is_read_in_their_order_as_far_as_hints_are_used() {
        let slot = PrefetchItem::Slot(address(3), U256::from(9));
        let all = [0, 1, 2, 3].map(account).into_iter().chain([slot, account(4), account(5)]);
        assert_eq!(needs(&block(), Hints::default()), all.collect::<Vec<_>>());
        let hints = Hints { parties: Use::Off, ..Hints::default() };
        assert_eq!(needs(&block(), hints), [account(3), slot]);
        let hints = Hints { access_lists: Use::Off, ..Hints::default() };
        assert_eq!(needs(&block(), hints), [0, 1, 2, 4, 5].map(account));
    }

    #[test]
    fn what_a_list_says_is_read_when_it_changes_and_what_does_not_change_first() {
        let paid = BalanceChange::new(BlockAccessIndex(2), U256::from(1));
        let changed = AccountChanges { balance_changes: vec![paid], ..AccountChanges::new(address(7)) };
        let read = AccountChanges { storage_reads: vec![U256::from(1)], ..AccountChanges::new(address(8)) };
        let block = block().with_hint(vec![changed, read]).expect("it is in order");
        let only_lists = Hints { parties: Use::Off, access_lists: Use::Off, ..Hints::default() };
        let slot = PrefetchItem::Slot(address(8), U256::from(1));
        assert_eq!(needs(&block, only_lists), [account(8), slot, account(7)]);
        let none = Hints { given_lists: Use::Off, ..only_lists };
        assert_eq!(needs(&block, none), []);
    }

    #[test]
    fn what_was_read_ahead_is_not_asked_for_again_and_nothing_is_read_when_it_is_over() {
        let storage = [(U256::from(9), U256::from(5))].into();
        let store = MemoryStore::from_genesis([(
            address(3),
            Allocation { nonce: 1, storage, ..Allocation::default() },
        )]);
        let (memory, readers) = (Memory::default(), Prefetcher::of(&block(), Hints::default()));
        readers.work(&memory, &store);
        assert_eq!(readers.taken(), 7);
        let reader = TxIndex::new(1);
        let known = |number| {
            let ask = || panic!("account {number} was read ahead");
            memory.account::<Infallible>(address(number), reader, Recall::WithCode, ask)
        };
        let [_, _, _, Ok(named), ..] = [0, 1, 2, 3, 4, 5].map(known);
        assert_eq!(named.info.map(|info| info.nonce), Some(1));
        let ask = || panic!("the slot was read ahead");
        let slot = memory.slot::<Infallible>(named.id.expect("it is remembered"), U256::from(9), reader, ask);
        assert_eq!(slot, Ok(SlotRead::Value(U256::from(5), Origin::Base)));
        let readers = Prefetcher::of(&block(), Hints::default());
        drop(readers.until_dropped());
        readers.work(&memory, &store);
        assert_eq!(readers.taken(), 0);
    }
}
