//! All versions of one account or one slot. Pure: no locks, no threads.
//!
//! A version is visible to every transaction after its writer, up to the next version. The readers of a slot and of
//! exact account values are recorded, so that a publisher learns which observations its writes make stale.

use alloy_primitives::U256;
use revm_state::AccountInfo;
use smallvec::SmallVec;

use crate::{
    model::index::{AccessIndex, BaseAccountId, Incarnation, TxIndex},
    record::{
        effect::{AccountEffect, LifeChange},
        observation::Origin,
    },
};

/// The number of versions of an account from which on all final ones but the newest are removed.
const FINAL_VERSIONS: usize = 16;

/// The versions of one account, without its storage.
#[derive(Debug)]
pub(crate) struct AccountVersions {
    base: Option<AccountInfo>,
    /// The base's id of the account, for reads of its slots.
    pub(crate) base_id: Option<BaseAccountId>,
    /// The published versions. Most accounts have none.
    published: Option<Box<PublishedVersions>>,
}

/// The published versions of an account, and their exact readers.
#[derive(Debug, Default)]
struct PublishedVersions {
    /// In order. Most accounts are changed by at most one transaction of a block.
    versions: SmallVec<[AccountVersion; 1]>,
    /// The transactions that read an exact value. Most accounts have none.
    readers: Vec<(TxIndex, ExactRead)>,
}

#[derive(Debug)]
struct AccountVersion {
    index: AccessIndex,
    incarnation: Incarnation,
    effect: AccountEffect,
    after: StateAfter,
}

/// An account after a version and all earlier versions.
#[derive(Clone, Debug)]
struct StateAfter {
    info: Option<AccountInfo>,
    /// The beginning of its current life, if it began in this block.
    life: Option<AccessIndex>,
}

/// An exact value of an account that a transaction read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExactRead {
    Balance(U256),
    Nonce(u64),
}

impl ExactRead {
    /// Whether the account still has this value.
    fn holds(self, info: Option<&AccountInfo>) -> bool {
        match self {
            Self::Balance(balance) => info.map_or(U256::ZERO, |info| info.balance) == balance,
            Self::Nonce(nonce) => info.map_or(0, |info| info.nonce) == nonce,
        }
    }
}

impl AccountVersions {
    pub(crate) fn new(base: Option<AccountInfo>, base_id: Option<BaseAccountId>) -> Self {
        Self { base, base_id, published: None }
    }

    /// The account in the base.
    pub(crate) fn base(&self) -> Option<&AccountInfo> {
        self.base.as_ref()
    }

    /// The account just before `reader`, according to the versions, and its origin.
    pub(crate) fn before(&self, reader: AccessIndex) -> (Option<&AccountInfo>, Origin) {
        match self.published.as_ref().and_then(|published| published.newest_before(reader)) {
            Some(version) => (version.after.info.as_ref(), Origin::Block),
            None => (self.base.as_ref(), Origin::Base),
        }
    }

    /// The beginning of the account's life just before `reader`, if it began in this block.
    pub(crate) fn life_before(&self, reader: AccessIndex) -> Option<AccessIndex> {
        self.published.as_ref()?.newest_before(reader)?.after.life
    }

    /// Inserts a version, or replaces that of an earlier run. Adds the readers whose exact values changed to `stale`.
    pub(crate) fn publish(
        &mut self,
        index: AccessIndex,
        incarnation: Incarnation,
        effect: AccountEffect,
        frontier: impl FnOnce() -> AccessIndex,
        stale: &mut Vec<TxIndex>,
    ) {
        let published = self.published.get_or_insert_default();
        let position = published.versions.partition_point(|version| version.index < index);
        let after = StateAfter { info: None, life: None };
        let version = AccountVersion { index, incarnation, effect, after };
        match published.versions.get_mut(position) {
            Some(old) if old.index == index => *old = version,
            _ => published.versions.insert(position, version),
        }
        published.recompute_from(position, self.base.as_ref());
        published.take_stale(index, self.base.as_ref(), stale);
        published.remove_final(frontier);
    }

    /// Removes the version of a run before `incarnation`. Adds the readers whose exact values changed to `stale`.
    pub(crate) fn withdraw(
        &mut self,
        index: AccessIndex,
        incarnation: Incarnation,
        stale: &mut Vec<TxIndex>,
    ) {
        let Some(published) = &mut self.published else { return };
        let position = published.versions.partition_point(|version| version.index < index);
        let is_old = |version: &AccountVersion| version.index == index && version.incarnation < incarnation;
        if published.versions.get(position).is_some_and(is_old) {
            published.versions.remove(position);
            published.recompute_from(position, self.base.as_ref());
            published.take_stale(index, self.base.as_ref(), stale);
        }
    }

    /// Records an exact read.
    pub(crate) fn add_reader(
        &mut self,
        reader: TxIndex,
        exact: ExactRead,
        frontier: impl FnOnce() -> AccessIndex,
    ) {
        let readers = &mut self.published.get_or_insert_default().readers;
        if readers.len() == readers.capacity() {
            let frontier = frontier();
            readers.retain(|(reader, _)| AccessIndex::from(*reader) >= frontier);
        }
        readers.push((reader, exact));
    }
}

impl PublishedVersions {
    fn newest_before(&self, reader: AccessIndex) -> Option<&AccountVersion> {
        self.versions.iter().rev().find(|version| version.index < reader)
    }

    /// Recomputes the account after the version at `position` and after all later versions.
    fn recompute_from(&mut self, position: usize, base: Option<&AccountInfo>) {
        let before = position.checked_sub(1).map(|before| &self.versions[before].after);
        let mut after = before.cloned().unwrap_or_else(|| StateAfter { info: base.cloned(), life: None });
        for version in &mut self.versions[position..] {
            version.effect.apply(&mut after.info);
            if version.effect.life_change != LifeChange::Continues {
                after.life = Some(version.index);
            }
            version.after.clone_from(&after);
        }
    }

    /// Moves the readers whose exact values changed to `stale`. The versions from `index` on have changed.
    fn take_stale(&mut self, index: AccessIndex, base: Option<&AccountInfo>, stale: &mut Vec<TxIndex>) {
        let mut readers = std::mem::take(&mut self.readers);
        readers.retain(|(reader, exact)| {
            let reader_index = AccessIndex::from(*reader);
            let current =
                || self.newest_before(reader_index).map_or(base, |version| version.after.info.as_ref());
            let holds = reader_index <= index || exact.holds(current());
            if !holds {
                stale.push(*reader);
            }
            holds
        });
        self.readers = readers;
    }

    /// Removes all versions below the frontier but the newest: no unfinished transaction reads between them.
    fn remove_final(&mut self, frontier: impl FnOnce() -> AccessIndex) {
        let Some(version) = self.versions.get(FINAL_VERSIONS) else { return };
        let frontier = frontier();
        if version.index < frontier {
            let final_versions = self.versions.partition_point(|version| version.index < frontier);
            self.versions.drain(..final_versions - 1);
        }
    }
}

/// The versions of one slot.
#[derive(Debug, Default)]
pub(crate) struct SlotVersions {
    /// The cached value of the base. A reader of the base's value without it becomes stale with every version.
    pub(crate) base: Option<U256>,
    versions: SmallVec<[SlotVersion; 1]>,
    readers: SmallVec<[SlotReader; 2]>,
}

#[derive(Debug)]
struct SlotVersion {
    index: AccessIndex,
    incarnation: Incarnation,
    value: U256,
    kind: VersionKind,
}

/// The kind of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VersionKind {
    /// The write of a run that is not known to be stale.
    Published,
    /// A prediction: the run is stale, but its transaction is expected to write the slot again.
    Predicted,
}

#[derive(Debug)]
struct SlotReader {
    reader: TxIndex,
    /// The writer of the value that was read; `None` for the base.
    source: Option<AccessIndex>,
}

/// The result of reading a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotLookup {
    /// A value, and its origin.
    Value(U256, Origin),
    /// No value yet: this transaction is expected to write the slot.
    Predicted(TxIndex),
    /// The value of the base, which no transaction read yet.
    ReadBase,
    /// The value of the base, which another transaction read already.
    ReadBaseAgain,
}

impl SlotVersions {
    /// Reads the slot for `reader` and records the read. `life` is the beginning of the account's life just before
    /// `reader`, if it began in this block.
    pub(crate) fn read(
        &mut self,
        reader: TxIndex,
        life: Option<AccessIndex>,
        frontier: impl FnOnce() -> AccessIndex,
    ) -> SlotLookup {
        let index = AccessIndex::from(reader);
        let newest = self.versions.iter().rev().find(|version| version.index < index);
        let (source, value) = match newest.filter(|version| life <= Some(version.index)) {
            Some(SlotVersion { index, kind: VersionKind::Predicted, .. }) => {
                return SlotLookup::Predicted(index.index().expect("the opening runs once"));
            }
            Some(version) => (Some(version.index), version.value),
            None if life.is_some() => (life, U256::ZERO),
            None => {
                let is_first = self.readers.is_empty();
                self.add_reader(SlotReader { reader, source: None }, frontier);
                return match self.base {
                    Some(value) => SlotLookup::Value(value, Origin::Base),
                    None if is_first => SlotLookup::ReadBase,
                    None => SlotLookup::ReadBaseAgain,
                };
            }
        };
        self.add_reader(SlotReader { reader, source }, frontier);
        SlotLookup::Value(value, Origin::Block)
    }

    fn add_reader(&mut self, reader: SlotReader, frontier: impl FnOnce() -> AccessIndex) {
        if self.readers.len() == self.readers.capacity() {
            let frontier = frontier();
            self.readers.retain(|reader| AccessIndex::from(reader.reader) >= frontier);
        }
        self.readers.push(reader);
    }

    /// Inserts a version, or replaces that of an earlier run. Moves the readers that would read another value now to
    /// `stale`.
    pub(crate) fn publish(
        &mut self,
        index: AccessIndex,
        incarnation: Incarnation,
        value: U256,
        stale: &mut Vec<TxIndex>,
    ) {
        let position = self.versions.partition_point(|version| version.index < index);
        let below = self.value_below(position);
        let version = SlotVersion { index, incarnation, value, kind: VersionKind::Published };
        let mut replaced = None;
        match self.versions.get_mut(position) {
            Some(old) if old.index == index => {
                replaced = Some(old.value);
                *old = version;
            }
            _ => self.versions.insert(position, version),
        }
        self.readers.retain_mut(|reader| {
            if AccessIndex::from(reader.reader) <= index || reader.source > Some(index) {
                return true;
            }
            let seen = if reader.source == Some(index) { replaced } else { below };
            reader.source = Some(index);
            let is_stale = seen != Some(value);
            if is_stale {
                stale.push(reader.reader);
            }
            !is_stale
        });
    }

    /// Removes the version of a run before `incarnation`. Moves its readers to `stale`.
    pub(crate) fn withdraw(
        &mut self,
        index: AccessIndex,
        incarnation: Incarnation,
        stale: &mut Vec<TxIndex>,
    ) {
        let position = self.versions.partition_point(|version| version.index < index);
        let Some(old) = self.versions.get(position) else { return };
        if old.index != index || old.incarnation >= incarnation {
            return;
        }
        self.versions.remove(position);
        self.readers.retain(|reader| {
            let is_stale = reader.source == Some(index);
            if is_stale {
                stale.push(reader.reader);
            }
            !is_stale
        });
    }

    /// Turns the version of a stale run into a prediction.
    pub(crate) fn predict(&mut self, index: AccessIndex, incarnation: Incarnation) {
        let position = self.versions.partition_point(|version| version.index < index);
        if let Some(version) = self.versions.get_mut(position)
            && version.index == index
            && version.incarnation == incarnation
        {
            version.kind = VersionKind::Predicted;
        }
    }

    /// The value just below the version at `position`.
    fn value_below(&self, position: usize) -> Option<U256> {
        position.checked_sub(1).map_or(self.base, |below| Some(self.versions[below].value))
    }
}

#[cfg(test)]
mod tests;
