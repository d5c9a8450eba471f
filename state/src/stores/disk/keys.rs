//! Under which keys things are kept: one ordered space of keys, divided by the first byte.
//!
//! Accounts and slots stand under the hashes of their names, as the tries have them: so the leaves
//! below any node of a trie follow each other.

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

/// Where something is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(SmallVec<[u8; 48]>);

/// Whose trie a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TrieId {
    /// That of the accounts.
    Accounts,
    /// That of the slots of a life.
    Storage(LifeId),
}

impl TrieId {
    /// What the keys of all leaves begin with.
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

    /// Where the leaf with this key keeps what it holds.
    pub(super) fn leaf(self, key: B256) -> Key {
        self.prefix().join(key.as_slice())
    }

    /// Where the first leaf below `path` keeps what it holds, if there is one.
    pub(super) fn first_leaf(self, path: &Nibbles) -> Key {
        self.prefix().join(&path.pack())
    }

    /// Where whatever follows the leaves is kept.
    pub(super) fn end(self) -> Key {
        match self {
            Self::Accounts => Key::of(ACCOUNT + 1, [&[]]),
            Self::Storage(life) => Self::Storage(life.next()).prefix(),
        }
    }

    /// The key of the leaf that keeps what it holds here; `None` if it belongs to another trie.
    pub(super) fn leaf_key(self, key: &[u8]) -> Option<B256> {
        B256::try_from(key.strip_prefix(self.prefix().as_slice())?).ok()
    }

    /// Where a branch or an extension is kept.
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

    /// The number of the last block.
    pub(super) fn head() -> Self {
        Self::of(META, [b"head"])
    }

    /// The life that begins next.
    pub(super) fn next_life() -> Self {
        Self::of(META, [b"next life"])
    }

    /// A code.
    pub(super) fn code(hash: B256) -> Self {
        Self::of(CODE, [hash.as_slice()])
    }

    /// Where the codes begin, and where they end.
    pub(super) fn all_codes() -> (Self, Self) {
        (Self::of(CODE, [&[]]), Self::of(CODE + 1, [&[]]))
    }

    /// Where everything begins, and where it ends.
    pub(super) fn everything() -> (Self, Self) {
        (Self::of(META, [&[]]), Self::of(u8::MAX, [&[]]))
    }

    /// Where what is no state begins, and where all ends.
    pub(super) fn all_else() -> (Self, Self) {
        (Self::of(BLOCK, [&[]]), Self::of(u8::MAX, [&[]]))
    }

    /// What is known of a block.
    pub(super) fn block(number: u64) -> Self {
        Self::of(BLOCK, [&number.to_be_bytes()])
    }

    /// What undoes a block.
    pub(super) fn undo(number: u64) -> Self {
        Self::of(UNDO, [&number.to_be_bytes()])
    }

    /// A life that ended with a block, and whose slots are still there.
    pub(super) fn ended(number: u64, life: LifeId) -> Self {
        Self::of(ENDED, [&number.to_be_bytes(), &life.to_bytes()])
    }

    /// Where the lives that ended are listed, and where that list ends.
    pub(super) fn all_ended() -> (Self, Self) {
        (Self::of(ENDED, [&[]]), Self::of(ENDED + 1, [&[]]))
    }

    /// The block and the life that such a key tells of.
    pub(super) fn parse_ended(key: &[u8]) -> Option<(u64, LifeId)> {
        let (number, life) = key.strip_prefix(&[ENDED])?.split_first_chunk()?;
        Some((u64::from_be_bytes(*number), LifeId::from_bytes(life.try_into().ok()?)))
    }

    /// Where the slots of a life begin, where they end, and the same for its nodes.
    pub(super) fn of_life(life: LifeId) -> [(Self, Self); 2] {
        [SLOT, NODE].map(|table| {
            let [from, to] = [life, life.next()].map(|life| Self::of(table, [&life.to_bytes()]));
            (from, to)
        })
    }

    /// The first key after it.
    pub(super) fn after(self) -> Self {
        self.join(&[0])
    }

    /// How much memory it takes beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}
