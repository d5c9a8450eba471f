//! All versions under one account or one slot. Pure: no locks, no threads.
//!
//! A version is visible to every transaction after the one that wrote it, up to the next version.
//! A slot's cell remembers who read it, so that whoever publishes learns whose observation that
//! breaks.

use alloy_primitives::U256;
use revm_state::{AccountId, AccountInfo};
use smallvec::SmallVec;

use crate::{
    AccountEffect, Fate, TxIndex,
    index::{Incarnation, Moment},
};

/// How many versions of an account may lie below the frontier before they become one.
const VERSIONS_TO_FOLD: usize = 16;

/// One account without its storage.
#[derive(Debug)]
pub(crate) struct AccountCell {
    base: Option<AccountInfo>,
    /// What the base calls this account, to be handed back when it is asked for a slot.
    pub(crate) base_id: Option<AccountId>,
    folded: Option<Box<Folded>>,
    /// In order. Most accounts are changed by one transaction of a block, or by none.
    versions: SmallVec<[AccountVersion; 1]>,
}

/// What the versions that were folded came to.
#[derive(Debug)]
struct Folded {
    info: Option<AccountInfo>,
    life: Option<Moment>,
}

#[derive(Debug)]
struct AccountVersion {
    moment: Moment,
    incarnation: Incarnation,
    effect: AccountEffect,
}

impl AccountCell {
    pub(crate) fn new(base: Option<AccountInfo>, base_id: Option<AccountId>) -> Self {
        Self { base, base_id, folded: None, versions: SmallVec::new() }
    }

    /// The account as the base has it.
    pub(crate) fn base(&self) -> Option<&AccountInfo> {
        self.base.as_ref()
    }

    /// The account as it seems to be just before `reader`.
    pub(crate) fn before(&self, reader: Moment) -> Option<AccountInfo> {
        let mut info = self.folded.as_ref().map_or(&self.base, |folded| &folded.info).clone();
        for version in self.versions.iter().take_while(|version| version.moment < reader) {
            version.effect.apply(&mut info);
        }
        info
    }

    /// When the life that the account lives just before `reader` began, if a transaction began it.
    pub(crate) fn life_before(&self, reader: Moment) -> Option<Moment> {
        let visible = self.versions.iter().rev().skip_while(|version| version.moment >= reader);
        let mut births = visible.filter(|version| version.effect.fate != Fate::Lives);
        let newest = births.next().map(|version| version.moment);
        newest.or_else(|| self.folded.as_ref().and_then(|folded| folded.life))
    }

    /// Puts a version, in place of the one that an earlier run left.
    pub(crate) fn publish(
        &mut self,
        moment: Moment,
        incarnation: Incarnation,
        effect: AccountEffect,
        frontier: Moment,
    ) {
        let position = self.versions.partition_point(|version| version.moment < moment);
        let version = AccountVersion { moment, incarnation, effect };
        match self.versions.get_mut(position) {
            Some(old) if old.moment == moment => *old = version,
            _ => self.versions.insert(position, version),
        }
        if self.versions.len() > VERSIONS_TO_FOLD {
            self.fold(frontier);
        }
    }

    /// Takes away what a run before `incarnation` left.
    pub(crate) fn withdraw(&mut self, moment: Moment, incarnation: Incarnation) {
        self.versions.retain(|version| version.moment != moment || version.incarnation >= incarnation);
    }

    /// Makes one of all versions below the frontier: nobody who still counts reads between them.
    fn fold(&mut self, frontier: Moment) {
        let final_ones = self.versions.partition_point(|version| version.moment < frontier);
        if final_ones == 0 {
            return;
        }
        let folded = Folded { info: self.before(frontier), life: self.life_before(frontier) };
        self.folded = Some(Box::new(folded));
        self.versions.drain(..final_ones);
    }
}

/// One slot.
#[derive(Debug, Default)]
pub(crate) struct SlotCell {
    /// What the base holds, once it was asked.
    pub(crate) base: Option<U256>,
    versions: SmallVec<[SlotVersion; 1]>,
    readers: SmallVec<[SlotReader; 2]>,
}

#[derive(Debug)]
struct SlotVersion {
    moment: Moment,
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
    source: Option<Moment>,
}

/// What a reader finds in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A value.
    Value(U256),
    /// Nothing yet, but this transaction is expected to write it.
    Awaited(TxIndex),
    /// The value of the base, which was not asked yet.
    AskBase,
}

impl SlotCell {
    /// What `reader` sees, and that it saw it. `life` is when the life of the account that `reader`
    /// sees began.
    pub(crate) fn read(&mut self, reader: TxIndex, life: Option<Moment>, frontier: Moment) -> Found {
        let moment = Moment::from(reader);
        let newest = self.versions.iter().rev().find(|version| version.moment < moment);
        let (source, value) = match newest.filter(|version| life <= Some(version.moment)) {
            Some(SlotVersion { moment, trust: Trust::Predicted, .. }) => {
                return Found::Awaited(moment.index().expect("the opening is never run again"));
            }
            Some(version) => (Some(version.moment), version.value),
            None if life.is_some() => (life, U256::ZERO),
            None => match self.base {
                Some(value) => (None, value),
                None => return Found::AskBase,
            },
        };
        if self.readers.len() == self.readers.capacity() {
            self.readers.retain(|reader| Moment::from(reader.reader) >= frontier);
        }
        self.readers.push(SlotReader { reader, source });
        Found::Value(value)
    }

    /// Puts a version, in place of the one that an earlier run left, and tells who saw another value
    /// than they would see now.
    pub(crate) fn publish(
        &mut self,
        moment: Moment,
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
            if Moment::from(reader.reader) <= moment || reader.source > Some(moment) {
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
    pub(crate) fn withdraw(&mut self, moment: Moment, incarnation: Incarnation, stale: &mut Vec<TxIndex>) {
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
    pub(crate) fn predict(&mut self, moment: Moment, incarnation: Incarnation) {
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
    use crate::BalanceEffect;

    const FIRST: Incarnation = Incarnation::FIRST;

    fn at(index: usize) -> Moment {
        TxIndex::new(index).into()
    }

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    fn slot() -> SlotCell {
        SlotCell { base: Some(word(7)), ..SlotCell::default() }
    }

    fn read(cell: &mut SlotCell, reader: usize) -> Found {
        cell.read(TxIndex::new(reader), None, Moment::OPENING)
    }

    fn publish(cell: &mut SlotCell, writer: usize, incarnation: Incarnation, value: u64) -> Vec<usize> {
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
            assert_eq!(read(&mut cell, reader), Found::Value(word(value)), "reader {reader}");
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
        assert_eq!(read(&mut cell, 3), Found::Value(word(20)), "that run is not the one that was stale");
        cell.predict(at(2), FIRST);
        assert_eq!(read(&mut cell, 5), Found::Awaited(TxIndex::new(2)));
        assert_eq!(publish(&mut cell, 2, FIRST.next(), 21), [3]);
        assert_eq!(read(&mut cell, 5), Found::Value(word(21)));
        let mut stale = Vec::new();
        cell.withdraw(at(2), FIRST.next().next(), &mut stale);
        assert_eq!(stale, [TxIndex::new(5)]);
        assert_eq!(read(&mut cell, 5), Found::Value(word(7)));
    }

    #[test]
    fn a_new_life_hides_what_was_there_before() {
        let mut cell = slot();
        publish(&mut cell, 2, FIRST, 20);
        let born = Some(at(3));
        assert_eq!(cell.read(TxIndex::new(4), born, Moment::OPENING), Found::Value(U256::ZERO));
        publish(&mut cell, 3, FIRST, 30);
        assert_eq!(cell.read(TxIndex::new(5), born, Moment::OPENING), Found::Value(word(30)));
    }

    #[test]
    fn readers_below_the_frontier_are_forgotten() {
        let mut cell = slot();
        for reader in 0..10_000 {
            cell.read(TxIndex::new(reader), None, at(reader.saturating_sub(8)));
        }
        assert!(cell.readers.capacity() < 64, "{} readers remembered", cell.readers.capacity());
    }

    fn gain(amount: u64) -> AccountEffect {
        AccountEffect {
            fate: Fate::Lives,
            balance: BalanceEffect::Add(word(amount)),
            nonce: None,
            code: None,
        }
    }

    #[test]
    fn additions_add_up_and_fold_below_the_frontier() {
        let mut cell = AccountCell::new(None, None);
        for writer in 0..100 {
            cell.publish(at(writer), FIRST, gain(1), at(writer));
            let seen = cell.before(at(writer + 1)).unwrap();
            assert_eq!(seen.balance, word(writer as u64 + 1));
        }
        assert!(cell.versions.len() <= VERSIONS_TO_FOLD);
        cell.withdraw(at(99), FIRST.next());
        assert_eq!(cell.before(at(100)).unwrap().balance, word(99));
    }

    #[test]
    fn an_account_that_ends_is_absent_until_it_begins_anew() {
        let mut cell = AccountCell::new(Some(AccountInfo::from_balance(word(5))), None);
        cell.publish(at(1), FIRST, AccountEffect { fate: Fate::Ends, ..gain(0) }, at(0));
        let reborn = AccountEffect { fate: Fate::Begins, nonce: Some(1), ..gain(3) };
        cell.publish(at(3), FIRST, reborn, at(0));
        assert_eq!(cell.before(at(1)).unwrap().balance, word(5));
        assert_eq!(cell.before(at(2)), None);
        let reborn = cell.before(at(4)).unwrap();
        assert_eq!((reborn.balance, reborn.nonce), (word(3), 1));
        let lives = [1, 2, 3, 4].map(|reader| cell.life_before(at(reader)));
        assert_eq!(lives, [None, Some(at(1)), Some(at(1)), Some(at(3))]);
    }
}
