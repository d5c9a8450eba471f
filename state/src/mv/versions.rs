//! All versions under one account or one slot. Pure: no locks, no threads.
//!
//! A version is visible to every transaction after the one that wrote it, up to the next version.
//! A slot's cell remembers who read it, so that whoever publishes learns whose observation that
//! breaks.

use alloy_primitives::U256;
use revm_state::{AccountId, AccountInfo};
use smallvec::SmallVec;

use crate::{
    model::index::{Incarnation, AccessIndex, TxIndex},
    record::record::{AccountEffect, LifeChange, Origin},
};

/// How many final versions of an account are kept before all but the newest go.
const FINAL_VERSIONS: usize = 16;

/// One account without its storage.
#[derive(Debug)]
pub(crate) struct AccountVersions {
    base: Option<AccountInfo>,
    /// What the base calls this account, to be handed back when it is asked for a slot.
    pub(crate) base_id: Option<AccountId>,
    /// What became of it. Of most accounts nothing is ever published.
    story: Option<Box<PublishedVersions>>,
}

/// What is published of an account, and who is to be told of it.
#[derive(Debug, Default)]
struct PublishedVersions {
    /// In order. Most accounts are changed by one transaction of a block, or by none.
    versions: SmallVec<[AccountVersion; 1]>,
    /// Who needs something exactly; hardly ever anybody.
    readers: Vec<(TxIndex, Exact)>,
}

#[derive(Debug)]
struct AccountVersion {
    moment: AccessIndex,
    incarnation: Incarnation,
    effect: AccountEffect,
    after: StateAfter,
}

/// An account after a version and all before it.
#[derive(Clone, Debug)]
struct StateAfter {
    info: Option<AccountInfo>,
    /// When the life that it lives began, if a transaction began it.
    life: Option<AccessIndex>,
}

/// What a reader saw of an account and needs exactly so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exact {
    Balance(U256),
    Nonce(u64),
}

impl Exact {
    /// Whether an account is still as it was seen.
    fn holds(self, info: Option<&AccountInfo>) -> bool {
        match self {
            Self::Balance(balance) => info.map_or(U256::ZERO, |info| info.balance) == balance,
            Self::Nonce(nonce) => info.map_or(0, |info| info.nonce) == nonce,
        }
    }
}

impl AccountVersions {
    pub(crate) fn new(base: Option<AccountInfo>, base_id: Option<AccountId>) -> Self {
        Self { base, base_id, story: None }
    }

    /// The account as the base has it.
    pub(crate) fn base(&self) -> Option<&AccountInfo> {
        self.base.as_ref()
    }

    /// The account as it seems to be just before `reader`, and where that comes from.
    pub(crate) fn before(&self, reader: AccessIndex) -> (Option<&AccountInfo>, Origin) {
        match self.story.as_ref().and_then(|story| story.newest_before(reader)) {
            Some(version) => (version.after.info.as_ref(), Origin::Block),
            None => (self.base.as_ref(), Origin::Base),
        }
    }

    /// When the life that the account lives just before `reader` began, if a transaction began it.
    pub(crate) fn life_before(&self, reader: AccessIndex) -> Option<AccessIndex> {
        self.story.as_ref()?.newest_before(reader)?.after.life
    }

    /// Puts a version, in place of the one that an earlier run left, and tells who sees something
    /// else now than what it needs.
    pub(crate) fn publish(
        &mut self,
        moment: AccessIndex,
        incarnation: Incarnation,
        effect: AccountEffect,
        frontier: impl FnOnce() -> AccessIndex,
        stale: &mut Vec<TxIndex>,
    ) {
        let story = self.story.get_or_insert_default();
        let position = story.versions.partition_point(|version| version.moment < moment);
        let after = StateAfter { info: None, life: None };
        let version = AccountVersion { moment, incarnation, effect, after };
        match story.versions.get_mut(position) {
            Some(old) if old.moment == moment => *old = version,
            _ => story.versions.insert(position, version),
        }
        story.add_up_from(position, self.base.as_ref());
        story.find_stale(moment, self.base.as_ref(), stale);
        story.forget(frontier);
    }

    /// Takes away what a run before `incarnation` left.
    pub(crate) fn withdraw(&mut self, moment: AccessIndex, incarnation: Incarnation, stale: &mut Vec<TxIndex>) {
        let Some(story) = &mut self.story else { return };
        let position = story.versions.partition_point(|version| version.moment < moment);
        let is_old = |version: &AccountVersion| version.moment == moment && version.incarnation < incarnation;
        if story.versions.get(position).is_some_and(is_old) {
            story.versions.remove(position);
            story.add_up_from(position, self.base.as_ref());
            story.find_stale(moment, self.base.as_ref(), stale);
        }
    }

    /// Remembers what a reader needs exactly.
    pub(crate) fn need(&mut self, reader: TxIndex, exact: Exact, frontier: impl FnOnce() -> AccessIndex) {
        let readers = &mut self.story.get_or_insert_default().readers;
        if readers.len() == readers.capacity() {
            let frontier = frontier();
            readers.retain(|(reader, _)| AccessIndex::from(*reader) >= frontier);
        }
        readers.push((reader, exact));
    }
}

impl PublishedVersions {
    fn newest_before(&self, reader: AccessIndex) -> Option<&AccountVersion> {
        self.versions.iter().rev().find(|version| version.moment < reader)
    }

    /// Works out what the account is after the version at `position` and all that follow.
    fn add_up_from(&mut self, position: usize, base: Option<&AccountInfo>) {
        let before = position.checked_sub(1).map(|before| &self.versions[before].after);
        let mut after = before.cloned().unwrap_or_else(|| StateAfter { info: base.cloned(), life: None });
        for version in &mut self.versions[position..] {
            version.effect.apply(&mut after.info);
            if version.effect.life_change != LifeChange::Continues {
                after.life = Some(version.moment);
            }
            version.after.clone_from(&after);
        }
    }

    /// Tells who sees something else than what it needs, now that the versions from `moment` on
    /// have changed.
    fn find_stale(&mut self, moment: AccessIndex, base: Option<&AccountInfo>, stale: &mut Vec<TxIndex>) {
        let mut readers = std::mem::take(&mut self.readers);
        readers.retain(|(reader, exact)| {
            let reader_moment = AccessIndex::from(*reader);
            let seen =
                || self.newest_before(reader_moment).map_or(base, |version| version.after.info.as_ref());
            let holds = reader_moment <= moment || exact.holds(seen());
            if !holds {
                stale.push(*reader);
            }
            holds
        });
        self.readers = readers;
    }

    /// Forgets all versions below the frontier but the newest: nobody who still counts reads
    /// between them.
    fn forget(&mut self, frontier: impl FnOnce() -> AccessIndex) {
        let Some(version) = self.versions.get(FINAL_VERSIONS) else { return };
        let frontier = frontier();
        if version.moment < frontier {
            let final_ones = self.versions.partition_point(|version| version.moment < frontier);
            self.versions.drain(..final_ones - 1);
        }
    }
}

/// One slot.
#[derive(Debug, Default)]
pub(crate) struct SlotVersions {
    /// What the base holds, if that is worth remembering. Who saw it without is told of every version.
    pub(crate) base: Option<U256>,
    versions: SmallVec<[SlotVersion; 1]>,
    readers: SmallVec<[SlotReader; 2]>,
}

#[derive(Debug)]
struct SlotVersion {
    moment: AccessIndex,
    incarnation: Incarnation,
    value: U256,
    trust: Trust,
}

/// Whether the run that wrote a version still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// As far as anybody knows.
    Published,
    /// No, but its transaction is expected to write here again.
    Predicted,
}

#[derive(Debug)]
struct SlotReader {
    reader: TxIndex,
    /// Whose value it saw; `None` for the base's.
    source: Option<AccessIndex>,
}

/// What a reader finds in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotLookup {
    /// A value, and whether it is the base's.
    Value(U256, Origin),
    /// Nothing yet, but this transaction is expected to write it.
    Awaited(TxIndex),
    /// The value of the base, for which nobody asked yet.
    ReadBase,
    /// The value of the base, for which somebody asked already.
    ReadBaseAgain,
}

impl SlotVersions {
    /// What `reader` sees, and that it saw it. `life` is when the life of the account that `reader`
    /// sees began.
    pub(crate) fn read(
        &mut self,
        reader: TxIndex,
        life: Option<AccessIndex>,
        frontier: impl FnOnce() -> AccessIndex,
    ) -> SlotLookup {
        let moment = AccessIndex::from(reader);
        let newest = self.versions.iter().rev().find(|version| version.moment < moment);
        let (source, value) = match newest.filter(|version| life <= Some(version.moment)) {
            Some(SlotVersion { moment, trust: Trust::Predicted, .. }) => {
                return SlotLookup::Predicted(moment.index().expect("the opening is never run again"));
            }
            Some(version) => (Some(version.moment), version.value),
            None if life.is_some() => (life, U256::ZERO),
            None => {
                let is_first = self.readers.is_empty();
                self.note(SlotReader { reader, source: None }, frontier);
                return match self.base {
                    Some(value) => SlotLookup::Value(value, Origin::Base),
                    None if is_first => SlotLookup::ReadBase,
                    None => SlotLookup::ReadBaseAgain,
                };
            }
        };
        self.note(SlotReader { reader, source }, frontier);
        SlotLookup::Value(value, Origin::Block)
    }

    fn note(&mut self, reader: SlotReader, frontier: impl FnOnce() -> AccessIndex) {
        if self.readers.len() == self.readers.capacity() {
            let frontier = frontier();
            self.readers.retain(|reader| AccessIndex::from(reader.reader) >= frontier);
        }
        self.readers.push(reader);
    }

    /// Puts a version, in place of the one that an earlier run left, and tells who saw another value
    /// than they would see now.
    pub(crate) fn publish(
        &mut self,
        moment: AccessIndex,
        incarnation: Incarnation,
        value: U256,
        stale: &mut Vec<TxIndex>,
    ) {
        let position = self.versions.partition_point(|version| version.moment < moment);
        let under = self.under(position);
        let version = SlotVersion { moment, incarnation, value, trust: Trust::Published };
        let mut replaced = None;
        match self.versions.get_mut(position) {
            Some(old) if old.moment == moment => {
                replaced = Some(old.value);
                *old = version;
            }
            _ => self.versions.insert(position, version),
        }
        self.readers.retain_mut(|reader| {
            if AccessIndex::from(reader.reader) <= moment || reader.source > Some(moment) {
                return true;
            }
            let seen = if reader.source == Some(moment) { replaced } else { under };
            reader.source = Some(moment);
            let is_stale = seen != Some(value);
            if is_stale {
                stale.push(reader.reader);
            }
            !is_stale
        });
    }

    /// Takes away what a run before `incarnation` left, and tells who saw it.
    pub(crate) fn withdraw(&mut self, moment: AccessIndex, incarnation: Incarnation, stale: &mut Vec<TxIndex>) {
        let position = self.versions.partition_point(|version| version.moment < moment);
        let Some(old) = self.versions.get(position) else { return };
        if old.moment != moment || old.incarnation >= incarnation {
            return;
        }
        self.versions.remove(position);
        self.readers.retain(|reader| {
            let saw_it = reader.source == Some(moment);
            if saw_it {
                stale.push(reader.reader);
            }
            !saw_it
        });
    }

    /// The run is stale: what it left becomes a prediction.
    pub(crate) fn predict(&mut self, moment: AccessIndex, incarnation: Incarnation) {
        let position = self.versions.partition_point(|version| version.moment < moment);
        if let Some(version) = self.versions.get_mut(position)
            && version.moment == moment
            && version.incarnation == incarnation
        {
            version.trust = Trust::Predicted;
        }
    }

    /// What is visible just under the version at `position`.
    fn under(&self, position: usize) -> Option<U256> {
        position.checked_sub(1).map_or(self.base, |below| Some(self.versions[below].value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::record::BalanceEffect;

    const FIRST: Incarnation = Incarnation::FIRST;

    fn at(index: usize) -> AccessIndex {
        TxIndex::new(index).into()
    }

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    fn slot() -> SlotVersions {
        SlotVersions { base: Some(word(7)), ..SlotVersions::default() }
    }

    fn read(cell: &mut SlotVersions, reader: usize) -> Option<U256> {
        value(cell.read(TxIndex::new(reader), None, || AccessIndex::OPENING))
    }

    fn value(found: SlotLookup) -> Option<U256> {
        match found {
            SlotLookup::Value(value, _) => Some(value),
            SlotLookup::Predicted(_) | SlotLookup::ReadBase | SlotLookup::ReadBaseAgain => None,
        }
    }

    fn publish(cell: &mut SlotVersions, writer: usize, incarnation: Incarnation, value: u64) -> Vec<usize> {
        let mut stale = Vec::new();
        cell.publish(at(writer), incarnation, word(value), &mut stale);
        stale.into_iter().map(TxIndex::get).collect()
    }

    #[test]
    fn a_reader_sees_the_newest_version_before_it() {
        let mut cell = slot();
        publish(&mut cell, 4, FIRST, 40);
        publish(&mut cell, 2, FIRST, 20);
        for (reader, value) in [(0, 7), (2, 7), (3, 20), (4, 20), (5, 40), (9, 40)] {
            assert_eq!(read(&mut cell, reader), Some(word(value)), "reader {reader}");
        }
    }

    #[test]
    fn who_saw_another_value_is_told_and_who_saw_an_equal_one_is_not() {
        let mut cell = slot();
        for reader in 0..6 {
            read(&mut cell, reader);
        }
        assert_eq!(publish(&mut cell, 2, FIRST, 7), [0; 0], "an equal value breaks nothing");
        assert_eq!(publish(&mut cell, 3, FIRST, 8), [4, 5]);
        read(&mut cell, 4);
        assert_eq!(publish(&mut cell, 2, FIRST.next(), 9), [3], "transaction 4 saw the version of 3");
        assert_eq!(publish(&mut cell, 3, FIRST.next(), 8), [0; 0]);
    }

    #[test]
    fn a_prediction_makes_readers_wait_until_it_comes_true_or_is_withdrawn() {
        let mut cell = slot();
        publish(&mut cell, 2, FIRST, 20);
        cell.predict(at(2), FIRST.next());
        assert_eq!(read(&mut cell, 3), Some(word(20)), "that run is not the one that was stale");
        cell.predict(at(2), FIRST);
        assert_eq!(cell.read(TxIndex::new(5), None, || AccessIndex::OPENING), SlotLookup::Predicted(TxIndex::new(2)));
        assert_eq!(publish(&mut cell, 2, FIRST.next(), 21), [3]);
        assert_eq!(read(&mut cell, 5), Some(word(21)));
        let mut stale = Vec::new();
        cell.withdraw(at(2), FIRST.next().next(), &mut stale);
        assert_eq!(stale, [TxIndex::new(5)]);
        assert_eq!(read(&mut cell, 5), Some(word(7)));
    }

    #[test]
    fn a_new_life_hides_what_was_there_before() {
        let mut cell = slot();
        publish(&mut cell, 2, FIRST, 20);
        let born = Some(at(3));
        assert_eq!(value(cell.read(TxIndex::new(4), born, || AccessIndex::OPENING)), Some(U256::ZERO));
        publish(&mut cell, 3, FIRST, 30);
        assert_eq!(value(cell.read(TxIndex::new(5), born, || AccessIndex::OPENING)), Some(word(30)));
    }

    #[test]
    fn readers_below_the_frontier_are_forgotten() {
        let mut cell = slot();
        for reader in 0..10_000 {
            cell.read(TxIndex::new(reader), None, || at(reader.saturating_sub(8)));
        }
        assert!(cell.readers.capacity() < 64, "{} readers remembered", cell.readers.capacity());
    }

    fn gain(amount: u64) -> AccountEffect {
        AccountEffect {
            life_change: LifeChange::Continues,
            balance: BalanceEffect::Add(word(amount)),
            nonce: None,
            code: None,
        }
    }

    #[test]
    fn additions_add_up_and_final_versions_are_forgotten() {
        let mut cell = AccountVersions::new(None, None);
        for writer in 0..100 {
            cell.publish(at(writer), FIRST, gain(1), || at(writer), &mut Vec::new());
            let seen = cell.before(at(writer + 1)).0.unwrap();
            assert_eq!(seen.balance, word(writer as u64 + 1));
        }
        assert!(cell.story.as_ref().unwrap().versions.len() <= FINAL_VERSIONS + 2);
        cell.withdraw(at(99), FIRST.next(), &mut Vec::new());
        assert_eq!(cell.before(at(100)).0.unwrap().balance, word(99));
    }

    #[test]
    fn who_needs_a_balance_exactly_is_told_when_it_changes() {
        let mut cell = AccountVersions::new(Some(AccountInfo::from_balance(word(5))), None);
        let publish = |cell: &mut AccountVersions, writer, amount| {
            let mut stale = Vec::new();
            cell.publish(at(writer), FIRST, gain(amount), || at(0), &mut stale);
            stale.into_iter().map(TxIndex::get).collect::<Vec<_>>()
        };
        for reader in [2, 4] {
            cell.need(TxIndex::new(reader), Exact::Balance(word(5)), || at(0));
            cell.need(TxIndex::new(reader), Exact::Nonce(0), || at(0));
        }
        assert_eq!(publish(&mut cell, 1, 0), [0; 0], "an equal balance breaks nothing");
        assert_eq!(publish(&mut cell, 3, 1), [4]);
        assert_eq!(publish(&mut cell, 1, 2), [2]);
    }

    #[test]
    fn an_account_that_ends_is_absent_until_it_begins_anew() {
        let mut cell = AccountVersions::new(Some(AccountInfo::from_balance(word(5))), None);
        let stale = &mut Vec::new();
        cell.publish(at(1), FIRST, AccountEffect { life_change: LifeChange::Ends, ..gain(0) }, || at(0), stale);
        let reborn = AccountEffect { life_change: LifeChange::Begins, nonce: Some(1), ..gain(3) };
        cell.publish(at(3), FIRST, reborn, || at(0), stale);
        assert_eq!(cell.before(at(1)).0.unwrap().balance, word(5));
        assert_eq!(cell.before(at(2)), (None, Origin::Block));
        let reborn = cell.before(at(4)).0.unwrap();
        assert_eq!((reborn.balance, reborn.nonce), (word(3), 1));
        let lives = [1, 2, 3, 4].map(|reader| cell.life_before(at(reader)));
        assert_eq!(lives, [None, Some(at(1)), Some(at(1)), Some(at(3))]);
    }
}
