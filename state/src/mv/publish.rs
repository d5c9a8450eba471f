//! How what a run does comes into the memory, and how it goes out of it again.
//!
//! Who has no name here is told of to nobody: a run that was made while those who run ahead were
//! hushed leaves such accounts.

use alloy_primitives::U256;
use revm_state::AccountId;

use crate::{
    model::index::{Incarnation, AccessIndex, TxIndex, Version},
    mv::{memory::Memory, versions::SlotVersions},
    record::record::{AccountRecord, BalanceEffect, LifeChange, Record, SlotRecord},
    sync::Ordering,
};

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// What happens before the transactions.
    Opening,
    /// A run of a transaction.
    Run(Version),
}

impl Writer {
    fn parts(self) -> (AccessIndex, Incarnation) {
        match self {
            Self::Opening => (AccessIndex::OPENING, Incarnation::FIRST),
            Self::Run(version) => (version.index.into(), version.incarnation),
        }
    }
}

/// Whether others were told of what a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Telling {
    /// They were, of all of it.
    #[default]
    Told,
    /// Not of all of it.
    Untold,
}

impl Memory {
    /// Puts the effects of a run in place of what an earlier run of the same transaction left, and
    /// tells who read what is no longer so. The earlier run's effects that the new one does not
    /// have are taken away: `before` is its record. Payments are left out: nearly every transaction has
    /// some, and hardly any looks at such an account exactly. While those who run ahead are hushed only
    /// what replaces something is put there.
    pub fn publish(
        &self,
        writer: Writer,
        record: &Record,
        before: Option<&Record>,
        stale: &mut Vec<TxIndex>,
    ) -> Telling {
        if !self.is_told() && (before.is_none() || !self.is_clear()) {
            return Telling::Untold;
        }
        let (moment, incarnation) = writer.parts();
        let mut telling = Telling::Told;
        for account in record.accounts.iter().filter(|account| account.effect.is_some()) {
            match account.id {
                Some(id) => self.publish_account(moment, incarnation, id, account, stale),
                None => telling = Telling::Untold,
            }
        }
        for SlotRecord { account, key, value, .. } in &record.writes {
            let Some(account) = record.accounts[*account as usize].id else {
                telling = Telling::Untold;
                continue;
            };
            let publish = |cell: &mut SlotVersions| cell.publish(moment, incarnation, *value, stale);
            self.slots.get_or_insert(account, *key, publish);
        }
        if let Some(before) = before {
            self.withdraw(moment, incarnation, before, stale);
        }
        telling
    }

    /// A run is stale: what it wrote into slots becomes a prediction that its transaction writes
    /// there again. What it did to accounts stays as a guess.
    pub fn predict(&self, version: Version, record: &Record) {
        for (account, key) in written(record) {
            let predict = |cell: &mut SlotVersions| cell.predict(version.index.into(), version.incarnation);
            self.slots.find(account, key, predict);
        }
    }

    fn withdraw(&self, moment: AccessIndex, incarnation: Incarnation, before: &Record, stale: &mut Vec<TxIndex>) {
        let changed = before.accounts.iter().filter(|account| account.effect.is_some());
        for id in changed.filter_map(|account| account.id) {
            self.accounts.with(id, |cell| cell.withdraw(moment, incarnation, stale));
        }
        for (account, key) in written(before) {
            let withdraw = |cell: &mut SlotVersions| cell.withdraw(moment, incarnation, stale);
            self.slots.find(account, key, withdraw);
        }
    }

    fn publish_account(
        &self,
        moment: AccessIndex,
        incarnation: Incarnation,
        id: AccountId,
        account: &AccountRecord,
        stale: &mut Vec<TxIndex>,
    ) {
        let Some(effect) = &account.effect else { return };
        let mut effect = effect.clone();
        if account.address == self.coinbase {
            effect.balance = BalanceEffect::Keep;
            if !effect.changes_anything() {
                return;
            }
            // ORDER: Relaxed: see `is_coinbase_quiet`.
            self.has_news_of_coinbase.store(true, Ordering::Relaxed);
        }
        let is_life = effect.life_change != LifeChange::Continues;
        let frontier = || self.frontier();
        self.accounts.with(id, |cell| cell.publish(moment, incarnation, effect, frontier, stale));
        if is_life {
            // ORDER: Release pairs with the Acquire in `life`: who sees the flag finds the life.
            self.has_lives.store(true, Ordering::Release);
        }
    }
}

/// The slots that a run writes in accounts that have a name.
fn written(record: &Record) -> impl Iterator<Item = (AccountId, U256)> {
    let named = |write: &SlotRecord| Some((record.accounts[write.account as usize].id?, write.key));
    record.writes.iter().filter_map(named)
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::convert::Infallible;

    use alloy_primitives::Address;

    use super::*;
    use crate::{
        mv::memory::SlotRead,
        record::record::{AccountObservation, Origin},
    };

    const WRITER: usize = 0;

    /// A record of a run that writes slot 0 of these accounts.
    fn writing(accounts: &[Option<AccountId>], value: u64) -> Record {
        let account = |id: &Option<AccountId>| AccountRecord {
            address: Address::ZERO,
            id: *id,
            observed: AccountObservation::NOTHING,
            effect: None,
        };
        let write = |account| SlotRecord {
            account: account as u32,
            key: U256::ZERO,
            original: U256::ZERO,
            value: U256::from(value),
        };
        Record {
            accounts: accounts.iter().map(account).collect(),
            writes: (0..accounts.len()).map(write).collect(),
            ..Record::default()
        }
    }

    fn publish(
        memory: &Memory,
        incarnation: Incarnation,
        record: &Record,
        before: Option<&Record>,
    ) -> Telling {
        memory.publish(
            Writer::Run(Version { index: TxIndex::new(WRITER), incarnation }),
            record,
            before,
            &mut Vec::new(),
        )
    }

    /// What a later transaction sees of slot 0 of an account.
    fn seen(memory: &Memory, account: AccountId) -> SlotRead {
        let ask = || Ok::<_, Infallible>(U256::ZERO);
        memory.slot(account, U256::ZERO, TxIndex::new(5), ask).unwrap()
    }

    fn from_block(value: u64) -> SlotRead {
        SlotRead::Value(U256::from(value), Origin::Block)
    }

    const FROM_BASE: SlotRead = SlotRead::Value(U256::ZERO, Origin::Base);

    #[test]
    fn who_has_no_name_is_told_of_to_nobody_and_the_others_are() {
        let memory = Memory::default();
        let named = memory.introduce(Address::ZERO, None, None);
        let telling = publish(&memory, Incarnation::FIRST, &writing(&[Some(named), None], 7), None);
        assert_eq!((telling, seen(&memory, named)), (Telling::Untold, from_block(7)));
        let telling = publish(&memory, Incarnation::FIRST, &writing(&[Some(named)], 8), None);
        assert_eq!((telling, seen(&memory, named)), (Telling::Told, from_block(8)));
    }

    #[test]
    fn those_who_are_hushed_tell_only_what_replaces_something() {
        let memory = Memory::default();
        let named = memory.introduce(Address::ZERO, None, None);
        let first = writing(&[Some(named)], 7);
        memory.hush();
        assert_eq!(publish(&memory, Incarnation::FIRST, &first, None), Telling::Untold);
        assert_eq!(seen(&memory, named), FROM_BASE);
        memory.speak_up();
        publish(&memory, Incarnation::FIRST, &first, None);
        memory.hush();
        let (second, third) = (writing(&[Some(named)], 8), Record::default());
        publish(&memory, Incarnation::FIRST.next(), &second, Some(&first));
        assert_eq!(seen(&memory, named), from_block(8));
        publish(&memory, Incarnation::FIRST.next().next(), &third, Some(&second));
        assert_eq!(seen(&memory, named), FROM_BASE, "it is not written any more");
    }

    #[test]
    fn a_memory_that_was_reset_is_not_hushed() {
        let mut memory = Memory::default();
        memory.hush();
        memory.reset();
        assert!(memory.is_told());
    }
}
