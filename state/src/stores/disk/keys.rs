//! The keys of the database: one ordered key space, divided into tables by the first byte.
//!
//! The keys of accounts and slots are hashes, as in the tries, so that the leaves below any node of a trie are
//! adjacent.

use alloy_primitives::B256;
use alloy_trie::Nibbles;
use smallvec::SmallVec;

use crate::stores::disk::account_entry::LifeId;

const META: u8 = 0;
const ACCOUNT: u8 = 1;
const SLOT: u8 = 2;
const NODE: u8 = 3;
const CODE: u8 = 4;
const BLOCK: u8 = 5;
const UNDO: u8 = 6;
const ENDED: u8 = 7;
const ENCODED: u8 = 8;

/// A key of the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(SmallVec<[u8; 48]>);

/// The identity of a trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TrieId {
    /// The account trie.
    Accounts,
    /// The storage trie of a life.
    Storage(LifeId),
}

impl TrieId {
    /// The common prefix of the keys of all leaves.
    pub(super) fn prefix(self) -> Key {
        match self {
            Self::Accounts => Key::of(ACCOUNT, [&[]]),
            Self::Storage(life) => Key::of(SLOT, [&life.to_bytes()]),
        }
    }

    fn number(self) -> [u8; 8] {
        match self {
            Self::Accounts => [0; 8],
            Self::Storage(life) => life.to_bytes(),
        }
    }

    /// The database key of the leaf with this key.
    pub(super) fn leaf(self, key: B256) -> Key {
        self.prefix().join(key.as_slice())
    }

    /// The lowest possible database key of a leaf below `path`.
    pub(super) fn first_leaf(self, path: &Nibbles) -> Key {
        self.prefix().join(&path.pack())
    }

    /// The lowest key after those of all leaves.
    pub(super) fn end(self) -> Key {
        match self {
            Self::Accounts => Key::of(ACCOUNT + 1, [&[]]),
            Self::Storage(life) => Self::Storage(life.next()).prefix(),
        }
    }

    /// The leaf key of a database key; `None` if the key belongs to another trie.
    pub(super) fn leaf_key(self, key: &[u8]) -> Option<B256> {
        B256::try_from(key.strip_prefix(self.prefix().as_slice())?).ok()
    }

    /// The database key of a branch or extension.
    pub(super) fn node(self, path: &Nibbles) -> Key {
        Key::of(NODE, [&self.number()[..], &path.to_vec()])
    }
}

impl Key {
    fn of<const N: usize>(table: u8, parts: [&[u8]; N]) -> Self {
        let mut key = SmallVec::new();
        key.push(table);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        Self(key)
    }

    fn join(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(part);
        self
    }

    /// The key of the number of the last block.
    pub(super) fn head() -> Self {
        Self::of(META, [b"head"])
    }

    /// The key of the next life.
    pub(super) fn next_life() -> Self {
        Self::of(META, [b"next life"])
    }

    /// The key of a code.
    pub(super) fn code(hash: B256) -> Self {
        Self::of(CODE, [hash.as_slice()])
    }

    /// The key range of all codes.
    pub(super) fn all_codes() -> (Self, Self) {
        (Self::of(CODE, [&[]]), Self::of(CODE + 1, [&[]]))
    }

    /// The range of all keys.
    pub(super) fn everything() -> (Self, Self) {
        (Self::of(META, [&[]]), Self::of(u8::MAX, [&[]]))
    }

    /// The key range of everything but the state.
    pub(super) fn all_but_state() -> (Self, Self) {
        (Self::of(BLOCK, [&[]]), Self::of(u8::MAX, [&[]]))
    }

    /// The key of the metadata of a block.
    pub(super) fn block(number: u64) -> Self {
        Self::of(BLOCK, [&number.to_be_bytes()])
    }

    /// The key of the undo data of a block.
    pub(super) fn undo(number: u64) -> Self {
        Self::of(UNDO, [&number.to_be_bytes()])
    }

    /// The key of an encoded block.
    pub(super) fn encoded(number: u64) -> Self {
        Self::of(ENCODED, [&number.to_be_bytes()])
    }

    /// The key range of all encoded blocks.
    pub(super) fn all_encoded() -> (Self, Self) {
        (Self::of(ENCODED, [&[]]), Self::of(ENCODED + 1, [&[]]))
    }

    /// The number in the key of an encoded block.
    pub(super) fn parse_encoded(key: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(key.strip_prefix(&[ENCODED])?.try_into().ok()?))
    }

    /// The key of a life that ended with a block and is not pruned yet.
    pub(super) fn ended(number: u64, life: LifeId) -> Self {
        Self::of(ENDED, [&number.to_be_bytes(), &life.to_bytes()])
    }

    /// The key range of all ended lives.
    pub(super) fn all_ended() -> (Self, Self) {
        (Self::of(ENDED, [&[]]), Self::of(ENDED + 1, [&[]]))
    }

    /// The block and the life in the key of an ended life.
    pub(super) fn parse_ended(key: &[u8]) -> Option<(u64, LifeId)> {
        let (number, life) = key.strip_prefix(&[ENDED])?.split_first_chunk()?;
        Some((u64::from_be_bytes(*number), LifeId::from_bytes(life.try_into().ok()?)))
    }

    /// The key ranges of the slots and of the nodes of a life.
    pub(super) fn of_life(life: LifeId) -> [(Self, Self); 2] {
        [SLOT, NODE].map(|table| {
            let [from, to] = [life, life.next()].map(|life| Self::of(table, [&life.to_bytes()]));
            (from, to)
        })
    }

    /// The next possible key.
    pub(super) fn after(self) -> Self {
        self.join(&[0])
    }

    /// The memory that the key uses on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }

    /// The bytes of the key.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}
