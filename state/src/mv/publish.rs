//! Publishes the effects of runs in the memory, and withdraws them.
//!
//! Effects of accounts that have no id in the memory are not published: a run leaves such accounts while
//! publication is withheld.

use alloy_primitives::U256;

use crate::{
    model::index::{AccessIndex, Incarnation, MemoryAccountId, TxIndex, Version},
    mv::{memory::Memory, versions::SlotVersions},
    record::{
        effect::{BalanceEffect, LifeChange},
        publication::Published,
        record::{AccountRecord, Record, SlotRecord},
    },
    sync::Ordering,
};

/// The writer of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The steps before the first transaction.
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

impl Memory {
    /// Publishes the effects of a run in place of those of an earlier run of the same transaction, whose record
    /// is `before`, and adds to `stale` the transactions whose reads no longer hold. Payments are not published:
    /// nearly every transaction makes some, and few transactions read such an account exactly. While publication
    /// is withheld, only effects that replace earlier ones are published.
    pub fn publish(
        &self,
        writer: Writer,
        record: &Record,
        before: Option<&Record>,
        stale: &mut Vec<TxIndex>,
    ) -> Published {
        if !self.is_publishing() && (before.is_none() || !self.has_visible_writes()) {
            return Published::Partly;
        }
        let (index, incarnation) = writer.parts();
        let mut published = Published::All;
        for account in record.accounts.iter().filter(|account| account.effect.is_some()) {
            match account.id {
                Some(id) => self.publish_account(index, incarnation, id, account, stale),
                None => published = Published::Partly,
            }
        }
        for SlotRecord { account, key, value, .. } in &record.writes {
            let Some(account) = record.accounts[*account as usize].id else {
                published = Published::Partly;
                continue;
            };
            let publish = |versions: &mut SlotVersions| versions.publish(index, incarnation, *value, stale);
            self.slots.get_or_insert(account, *key, publish);
        }
        if let Some(before) = before {
            self.withdraw(index, incarnation, before, stale);
        }
        published
    }

    /// Turns the slot writes of a stale run into predictions: its transaction is expected to write the same slots
    /// again. Its effects on accounts stay readable.
    pub fn predict(&self, version: Version, record: &Record) {
        for (account, key) in written(record) {
            let predict =
                |versions: &mut SlotVersions| versions.predict(version.index.into(), version.incarnation);
            self.slots.find(account, key, predict);
        }
    }

    fn withdraw(
        &self,
        index: AccessIndex,
        incarnation: Incarnation,
        before: &Record,
        stale: &mut Vec<TxIndex>,
    ) {
        let changed = before.accounts.iter().filter(|account| account.effect.is_some());
        for id in changed.filter_map(|account| account.id) {
            self.accounts.with(id, |versions| versions.withdraw(index, incarnation, stale));
        }
        for (account, key) in written(before) {
            let withdraw = |versions: &mut SlotVersions| versions.withdraw(index, incarnation, stale);
            self.slots.find(account, key, withdraw);
        }
    }

    fn publish_account(
        &self,
        index: AccessIndex,
        incarnation: Incarnation,
        id: MemoryAccountId,
        account: &AccountRecord,
        stale: &mut Vec<TxIndex>,
    ) {
        let Some(effect) = &account.effect else { return };
        let mut effect = effect.clone();
        if let Some(coinbase) = self.coinbase(&account.address) {
            effect.balance = BalanceEffect::Keep;
            if !effect.changes_anything() {
                return;
            }
            coinbase.note_change();
        }
        let changes_life = effect.life_change != LifeChange::Continues;
        let frontier = || self.frontier();
        self.accounts.with(id, |versions| versions.publish(index, incarnation, effect, frontier, stale));
        if changes_life {
            // ORDER: Release pairs with the Acquire in `life`: a reader that sees the flag finds the life.
            self.has_life_changes.store(true, Ordering::Release);
        }
    }
}

/// The slots that a run writes in accounts that have an id in the memory.
fn written(record: &Record) -> impl Iterator<Item = (MemoryAccountId, U256)> {
    let slot = |write: &SlotRecord| Some((record.accounts[write.account as usize].id?, write.key));
    record.writes.iter().filter_map(slot)
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use alloy_primitives::Address;
    use revm_state::AccountInfo;

    use super::*;
    use crate::{
        mv::memory::{SlotRead, Visibility},
        record::{
            effect::AccountEffect,
            observation::{AccountObservation, Origin},
            publication::Publication,
        },
    };

    const WRITER: usize = 0;

    /// A record of a run that writes slot 0 of these accounts.
    fn writing(accounts: &[Option<MemoryAccountId>], value: u64) -> Record {
        let account = |id: &Option<MemoryAccountId>| AccountRecord {
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
    ) -> Published {
        memory.publish(
            Writer::Run(Version { index: TxIndex::new(WRITER), incarnation }),
            record,
            before,
            &mut Vec::new(),
        )
    }

    /// Slot 0 of an account as a later transaction sees it.
    fn read_slot(memory: &Memory, account: MemoryAccountId) -> SlotRead {
        let read_base = || Ok::<_, Infallible>(U256::ZERO);
        memory.slot(account, U256::ZERO, TxIndex::new(5), read_base).unwrap()
    }

    fn from_block(value: u64) -> SlotRead {
        SlotRead::Value(U256::from(value), Origin::Block)
    }

    const FROM_BASE: SlotRead = SlotRead::Value(U256::ZERO, Origin::Base);

    #[test]
    fn only_accounts_with_an_id_are_published() {
        let memory = Memory::default();
        let known = memory.insert_account(Address::ZERO, None, None);
        let published = publish(&memory, Incarnation::FIRST, &writing(&[Some(known), None], 7), None);
        assert_eq!((published, read_slot(&memory, known)), (Published::Partly, from_block(7)));
        let published = publish(&memory, Incarnation::FIRST, &writing(&[Some(known)], 8), None);
        assert_eq!((published, read_slot(&memory, known)), (Published::All, from_block(8)));
    }

    #[test]
    fn the_base_of_an_account_is_not_what_a_run_published() {
        let mut memory = Memory::default();
        memory.open([Address::repeat_byte(1)], Visibility::Published);
        let base = Some(AccountInfo::from_balance(U256::from(5)));
        let id = memory.insert_account(Address::ZERO, base.clone(), None);
        let effect = AccountEffect {
            life_change: LifeChange::Continues,
            balance: BalanceEffect::Add(U256::ONE),
            nonce: None,
            code: None,
        };
        let observed = AccountObservation::NOTHING;
        let account = AccountRecord { address: Address::ZERO, id: Some(id), observed, effect: Some(effect) };
        let record = Record { accounts: vec![account], ..writing(&[Some(id)], 7) };
        publish(&memory, Incarnation::FIRST, &record, None);
        assert_eq!(memory.base_account(Address::ZERO), Some((id, base)));
        assert_eq!(memory.base_slot(id, U256::ZERO), None);
    }

    #[test]
    fn while_publication_is_withheld_only_replacements_are_published() {
        let memory = Memory::default();
        let known = memory.insert_account(Address::ZERO, None, None);
        let first = writing(&[Some(known)], 7);
        memory.set_publication(Publication::OnMiss);
        assert_eq!(publish(&memory, Incarnation::FIRST, &first, None), Published::Partly);
        assert_eq!(read_slot(&memory, known), FROM_BASE);
        memory.set_publication(Publication::Immediate);
        publish(&memory, Incarnation::FIRST, &first, None);
        memory.set_publication(Publication::OnMiss);
        let (second, third) = (writing(&[Some(known)], 8), Record::default());
        publish(&memory, Incarnation::FIRST.next(), &second, Some(&first));
        assert_eq!(read_slot(&memory, known), from_block(8));
        publish(&memory, Incarnation::FIRST.next().next(), &third, Some(&second));
        assert_eq!(read_slot(&memory, known), FROM_BASE, "the last run does not write the slot");
    }

    #[test]
    fn reset_ends_withholding() {
        let mut memory = Memory::default();
        memory.set_publication(Publication::OnMiss);
        memory.reset();
        assert!(memory.is_publishing());
    }

    #[test]
    fn a_reader_awaits_the_slot_that_a_stale_run_wrote() {
        let memory = Memory::default();
        let known = memory.insert_account(Address::ZERO, None, None);
        let first = writing(&[Some(known)], 7);
        publish(&memory, Incarnation::FIRST, &first, None);
        let writer = TxIndex::new(WRITER);
        memory.predict(Version { index: writer, incarnation: Incarnation::FIRST }, &first);
        assert_eq!(read_slot(&memory, known), SlotRead::Awaits(writer));
    }
}
