//! Prefetches the accounts and slots of blocks from a high-latency base.
//!
//! Owns the order of the reads: by the first transaction that is expected to need them. Many threads
//! read at once, and mostly wait for the base. The values go into the multi-version memory, where runs
//! find them. A read that fails or panics is ignored: a run that needs it repeats it.
//! May import `block`.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use alloy_primitives::{Address, U256};
use blockloom_state::{
    AccessListIndex, Base, Memory,
    sync::{AtomicBool, AtomicU32, Ordering},
};
use revm::context_interface::{Transaction as _, transaction::AccessListItemTr as _};

use crate::block::{
    block::Transaction,
    config::{Hints, Use},
    steps::Steps,
};

/// One base read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PrefetchItem {
    Account(Address),
    Slot(Address, U256),
}

/// The base reads to prefetch, and the progress.
#[derive(Debug)]
pub(crate) struct Prefetcher {
    items: Vec<PrefetchItem>,
    next: AtomicU32,
    is_cancelled: AtomicBool,
}

impl Prefetcher {
    /// A prefetcher of the reads that `hints` name.
    pub(crate) fn new(steps: &Steps<'_>, hints: Hints) -> Self {
        Self { items: items_of(steps, hints), next: AtomicU32::new(0), is_cancelled: AtomicBool::new(false) }
    }

    /// Whether there is nothing to prefetch.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Reads one item after the other, until none is left or the prefetcher is cancelled. Any number of
    /// threads may call this at once.
    pub(crate) fn run<B: Base + ?Sized>(&self, memory: &Memory, base: &B) {
        // ORDER: Relaxed: a thread that sees the flag late reads one more item.
        while !self.is_cancelled.load(Ordering::Relaxed) {
            // ORDER: Relaxed: the items do not change, and each position is taken once.
            let next = self.next.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(item) = self.items.get(next) else { return };
            let _ = catch_unwind(AssertUnwindSafe(|| match item {
                PrefetchItem::Account(address) => memory.prefetch_account(base, *address).map(drop),
                PrefetchItem::Slot(address, key) => memory.prefetch_slot(base, *address, *key),
            }));
        }
    }

    /// A guard that cancels the prefetcher when it is dropped.
    pub(crate) fn cancel_on_drop(&self) -> CancelOnDrop<'_> {
        CancelOnDrop(self)
    }

    /// The number of reads that were started.
    pub(crate) fn started(&self) -> u64 {
        // ORDER: Relaxed: a count.
        (self.next.load(Ordering::Relaxed) as usize).min(self.items.len()) as u64
    }
}

/// Cancels the prefetcher when it is dropped, also during a panic.
pub(crate) struct CancelOnDrop<'r>(&'r Prefetcher);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        // ORDER: Relaxed: see `run`.
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// The reads that `hints` name, each once, in the expected order of use.
fn items_of(steps: &Steps<'_>, hints: Hints) -> Vec<PrefetchItem> {
    let mut first = BTreeMap::new();
    let mut add = |item, index: u64| {
        let earliest = first.entry(item).or_insert(index);
        *earliest = index.min(*earliest);
    };
    for (position, block) in steps.blocks().iter().enumerate() {
        // Transaction `i` of a block has index `i + 1` in its access list.
        let opening = steps.range(position).start as u64;
        if hints.parties == Use::On {
            add(PrefetchItem::Account(block.env.beneficiary), opening);
        }
        for (index, transaction) in (opening + 1..).zip(&block.transactions) {
            if hints.parties == Use::On {
                transaction.parties().for_each(|party| add(PrefetchItem::Account(party), index));
            }
            if hints.access_lists == Use::On {
                listed_by(transaction).for_each(|item| add(item, index));
            }
        }
        if let (Use::On, Some(list)) = (hints.given_lists, block.list.index()) {
            add_list(list, &mut |item, index| add(item, opening + index));
        }
    }
    let mut items: Vec<_> = first.into_iter().map(|(item, index)| (index, item)).collect();
    items.sort_unstable();
    items.into_iter().map(|(_, item)| item).collect()
}

/// The reads that a transaction names in its access list (EIP-2930).
fn listed_by(transaction: &Transaction) -> impl Iterator<Item = PrefetchItem> {
    let items = transaction.env.access_list().into_iter().flatten();
    items.flat_map(|item| {
        let address = *item.address();
        let slot = move |key: &alloy_primitives::B256| PrefetchItem::Slot(address, (*key).into());
        [PrefetchItem::Account(address)].into_iter().chain(item.storage_slots().map(slot))
    })
}

/// Adds the entries of a block's access list. The list has no index for a slot that is only read: the
/// index of the first change of the account stands for it, or 0 if there is none.
fn add_list(list: &AccessListIndex, add: &mut impl FnMut(PrefetchItem, u64)) {
    for account in list.list() {
        let of_account = (account.balance_changes.iter().map(|change| change.block_access_index))
            .chain(account.nonce_changes.iter().map(|change| change.block_access_index))
            .chain(account.code_changes.iter().map(|change| change.block_access_index))
            .map(|index| index.0);
        let of_slots = account.storage_changes.iter().filter_map(|slot| slot.changes.first());
        let of_slots = of_slots.map(|change| change.block_access_index.0);
        let first_change = of_account.chain(of_slots).min().unwrap_or(0);
        add(PrefetchItem::Account(account.address), first_change);
        for slot in &account.storage_changes {
            let first = slot.changes.first().map_or(first_change, |change| change.block_access_index.0);
            add(PrefetchItem::Slot(account.address, slot.slot), first);
        }
        account
            .storage_reads
            .iter()
            .for_each(|key| add(PrefetchItem::Slot(account.address, *key), first_change));
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::{convert::Infallible, slice::from_ref};

    use alloy_consensus::Header;
    use alloy_eips::eip7928::{AccountChanges, BalanceChange, BlockAccessIndex};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{B256, TxKind};
    use blockloom_state::{Allocation, CachedAccounts, MemoryStore, Origin, SlotRead, TxIndex};
    use revm::context::{
        TxEnv,
        transaction::{AccessList, AccessListItem},
    };

    use super::*;
    use crate::block::{block::Block, rules::Rules};

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

    /// The reads of a block.
    fn items(block: &Block, hints: Hints) -> Vec<PrefetchItem> {
        items_of(&Steps::new(from_ref(block)), hints)
    }

    fn account(number: u8) -> PrefetchItem {
        PrefetchItem::Account(address(number))
    }

    #[test]
    fn reads_of_transactions_are_prefetched_in_order_if_hints_are_on() {
        let slot = PrefetchItem::Slot(address(3), U256::from(9));
        let all = [0, 1, 2, 3].map(account).into_iter().chain([slot, account(4), account(5)]);
        assert_eq!(items(&block(), Hints::default()), all.collect::<Vec<_>>());
        let hints = Hints { parties: Use::Off, ..Hints::default() };
        assert_eq!(items(&block(), hints), [account(3), slot]);
        let hints = Hints { access_lists: Use::Off, ..Hints::default() };
        assert_eq!(items(&block(), hints), [0, 1, 2, 4, 5].map(account));
    }

    #[test]
    fn entries_of_a_list_are_ordered_by_their_first_change_and_unchanged_ones_come_first() {
        let paid = BalanceChange::new(BlockAccessIndex(2), U256::from(1));
        let changed = AccountChanges { balance_changes: vec![paid], ..AccountChanges::new(address(7)) };
        let read = AccountChanges { storage_reads: vec![U256::from(1)], ..AccountChanges::new(address(8)) };
        let block = block().with_hint(vec![changed, read]).expect("it is in order");
        let only_lists = Hints { parties: Use::Off, access_lists: Use::Off, ..Hints::default() };
        let slot = PrefetchItem::Slot(address(8), U256::from(1));
        assert_eq!(items(&block, only_lists), [account(8), slot, account(7)]);
        let none = Hints { given_lists: Use::Off, ..only_lists };
        assert_eq!(items(&block, none), []);
    }

    #[test]
    fn prefetched_values_are_not_read_again_and_a_cancelled_prefetcher_reads_nothing() {
        let storage = [(U256::from(9), U256::from(5))].into();
        let store = MemoryStore::from_genesis([(
            address(3),
            Allocation { nonce: 1, storage, ..Allocation::default() },
        )]);
        let block = block();
        let steps = Steps::new(from_ref(&block));
        let (memory, prefetcher) = (Memory::default(), Prefetcher::new(&steps, Hints::default()));
        prefetcher.run(&memory, &store);
        assert_eq!(prefetcher.started(), 7);
        let reader = TxIndex::new(1);
        let account_of = |number| {
            let read_base = || panic!("account {number} was prefetched");
            memory.account::<Infallible>(address(number), reader, CachedAccounts::WithCode, read_base)
        };
        let [_, _, _, Ok(named), ..] = [0, 1, 2, 3, 4, 5].map(account_of);
        assert_eq!(named.info.map(|info| info.nonce), Some(1));
        let read_base = || panic!("the slot was prefetched");
        let slot = memory.slot::<Infallible>(
            named.id.expect("the account has an id"),
            U256::from(9),
            reader,
            read_base,
        );
        assert_eq!(slot, Ok(SlotRead::Value(U256::from(5), Origin::Base)));
        let prefetcher = Prefetcher::new(&steps, Hints::default());
        drop(prefetcher.cancel_on_drop());
        prefetcher.run(&memory, &store);
        assert_eq!(prefetcher.started(), 0);
    }
}
