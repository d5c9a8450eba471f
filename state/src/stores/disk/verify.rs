//! Verifies a store: computes the root of the flat state from scratch, and checks every trie node against the hash in
//! its parent.

use std::ops::AddAssign;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles};
use rayon::prelude::*;

use crate::{
    stores::disk::{
        DiskStore,
        account_entry::{AccountEntry, LifeId},
        block_metadata::BlockMetadata,
        error::DiskError,
        keys::{Key, TrieId},
        nodes::StoredNodes,
    },
    trie::sparse::SparseTrie,
};

/// The counts of verified entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number of accounts.
    pub accounts: u64,
    /// The number of slots.
    pub slots: u64,
    /// The number of stored trie nodes.
    pub nodes: u64,
    /// The number of codes.
    pub codes: u64,
}

impl AddAssign for Verified {
    fn add_assign(&mut self, other: Self) {
        self.accounts += other.accounts;
        self.slots += other.slots;
        self.nodes += other.nodes;
        self.codes += other.codes;
    }
}

/// The verified part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The accounts and slots.
    Flat,
    /// Also the nodes of the storage tries.
    FlatAndNodes,
}

/// The part of the trie with the accounts whose hashes have the same first byte.
struct Section {
    /// The hash of the branch above these accounts; `None` if they are too few for a branch at this path.
    branch: Option<B256>,
    verified: Verified,
}

impl DiskStore {
    /// Verifies that the accounts and slots have the state root of the last block, that the tries have that root and
    /// every leaf, and that every code has its hash. Reads the whole store.
    ///
    /// # Errors
    ///
    /// The first damage.
    pub fn verify(&self) -> Result<Verified, DiskError> {
        let (found, mut verified) = self.full_root(Extent::FlatAndNodes)?;
        let BlockMetadata { number, root: expected, .. } = self.head();
        if found != expected {
            return Err(DiskError::Root { number, expected, found });
        }
        verified.nodes += self.check_nodes(TrieId::Accounts, expected, verified.accounts)?;
        verified.codes = self.check_codes()?;
        let (from, to) = Key::all_but_state();
        self.tables.range(&from, &to)?.try_for_each(|pair| pair.map(drop))?;
        Ok(verified)
    }

    /// The root of the accounts and slots, computed from scratch.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or the slots of an account have another root than the account.
    pub fn rebuild_root(&self) -> Result<B256, DiskError> {
        Ok(self.full_root(Extent::Flat)?.0)
    }

    fn full_root(&self, extent: Extent) -> Result<(B256, Verified), DiskError> {
        let sections = (0..=u8::MAX).into_par_iter().map(|first| self.section(first, extent));
        let sections = sections.collect::<Result<Vec<_>, _>>()?;
        let mut builder = HashBuilder::default();
        let mut verified = Verified::default();
        for (first, section) in (0..=u8::MAX).zip(sections) {
            verified += section.verified;
            match section.branch {
                Some(branch) => builder.add_branch(Nibbles::unpack([first]), branch, false),
                None => self.for_accounts(first, |hash, entry| {
                    builder.add_leaf(Nibbles::unpack(hash), &alloy_rlp::encode(entry.leaf()));
                    Ok(())
                })?,
            }
        }
        Ok((builder.root(), verified))
    }

    /// Verifies the accounts whose hashes have this first byte.
    fn section(&self, first: u8, extent: Extent) -> Result<Section, DiskError> {
        let mut builder = HashBuilder::default();
        let mut verified = Verified::default();
        let mut nibbles = 0u16;
        let mut encoded = Vec::new();
        self.for_accounts(first, |hash, entry| {
            let path = Nibbles::unpack(hash).slice(2..);
            nibbles |= 1 << path.get_unchecked(0);
            encoded.clear();
            alloy_rlp::Encodable::encode(&entry.leaf(), &mut encoded);
            builder.add_leaf(path, &encoded);
            verified.accounts += 1;
            self.check_storage(hash, &entry, extent, &mut verified)
        })?;
        let is_branch = nibbles.count_ones() > 1;
        Ok(Section { branch: is_branch.then(|| builder.root()), verified })
    }

    fn for_accounts(
        &self,
        first: u8,
        mut each: impl FnMut(B256, AccountEntry) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let from = TrieId::Accounts.first_leaf(&Nibbles::unpack([first]));
        let to = match first.checked_add(1) {
            Some(next) => TrieId::Accounts.first_leaf(&Nibbles::unpack([next])),
            None => TrieId::Accounts.end(),
        };
        for pair in self.tables.range(&from, &to)? {
            let (key, value) = pair?;
            let hash = TrieId::Accounts.leaf_key(&key);
            let hash = hash.ok_or_else(|| self.damaged("the accounts", "a key is no hash"))?;
            each(hash, AccountEntry::decode(&value).ok_or_else(|| self.damaged_account(hash))?)?;
        }
        Ok(())
    }

    fn check_storage(
        &self,
        account: B256,
        entry: &AccountEntry,
        extent: Extent,
        verified: &mut Verified,
    ) -> Result<(), DiskError> {
        let Some(storage) = entry.storage else { return Ok(()) };
        let (found, slots) = self.full_storage_root(storage.life)?;
        if found != storage.root {
            return Err(DiskError::StorageRoot { account, expected: storage.root, found });
        }
        verified.slots += slots;
        if extent == Extent::FlatAndNodes {
            verified.nodes += self.check_nodes(TrieId::Storage(storage.life), storage.root, slots)?;
        }
        Ok(())
    }

    fn full_storage_root(&self, life: LifeId) -> Result<(B256, u64), DiskError> {
        let trie = TrieId::Storage(life);
        let mut builder = HashBuilder::default();
        let mut slots = 0;
        for pair in self.tables.range(&trie.prefix(), &trie.end())? {
            let (key, value) = pair?;
            let hash = trie.leaf_key(&key);
            let hash = hash.ok_or_else(|| self.damaged("the slots", "a key is no hash"))?;
            let word = U256::try_from_be_slice(&value).filter(|word| !word.is_zero());
            let word = word.ok_or_else(|| self.damaged_slot(hash))?;
            builder.add_leaf(Nibbles::unpack(hash), &alloy_rlp::encode(word));
            slots += 1;
        }
        Ok((builder.root(), slots))
    }

    /// Verifies and counts the stored nodes of a trie, which must have this many leaves.
    fn check_nodes(&self, trie: TrieId, root: B256, leaves: u64) -> Result<u64, DiskError> {
        let count = SparseTrie::new(StoredNodes::in_database(self, trie), root).check_stored()?;
        if count.leaves != leaves {
            let reason = format!("it has {} leaves instead of {leaves}", count.leaves);
            return Err(self.damaged(format!("the trie with the root {root}"), reason));
        }
        Ok(count.inner)
    }

    fn check_codes(&self) -> Result<u64, DiskError> {
        let mut codes = 0;
        let (from, to) = Key::all_codes();
        for pair in self.tables.range(&from, &to)? {
            let (key, code) = pair?;
            let hash = keccak256(code);
            if key != Key::code(hash).as_slice() {
                return Err(self.damaged(format!("the code {hash}"), "it is stored under another hash"));
            }
            codes += 1;
        }
        Ok(codes)
    }
}
