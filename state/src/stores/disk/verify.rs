//! Verifying a store: the root of the whole flat state, computed from nothing, and every node of every
//! trie against the hash that its parent holds of it.

use std::ops::AddAssign;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles};
use rayon::prelude::*;

use crate::{
    stores::disk::{
        DiskStore,
        account_entry::{AccountEntry, LifeId},
        error::DiskError,
        keys::{Key, TrieId},
        nodes::StoredNodes,
    },
    trie::sparse::SparseTrie,
};

/// What was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many accounts there are.
    pub accounts: u64,
    /// How many slots they have.
    pub slots: u64,
    /// How many nodes their tries keep.
    pub nodes: u64,
    /// How many codes are kept.
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

/// What of the state is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The accounts and slots.
    Flat,
    /// The nodes of the slots' tries as well.
    FlatAndNodes,
}

/// What the accounts whose hashes begin with the same byte are in the trie.
struct Section {
    /// The hash of the branch that they are below; `None` where there is none at that place, as they
    /// are so few.
    branch: Option<B256>,
    verified: Verified,
}

impl DiskStore {
    /// Verifies that the accounts and slots have the root that the last block says, that the tries lead
    /// to it and to every one of them, and that every code has its hash. Reads everything.
    ///
    /// # Errors
    ///
    /// The first thing that is not as it should be.
    pub fn verify(&self) -> Result<Verified, DiskError> {
        let (found, mut verified) = self.full_root(Extent::FlatAndNodes)?;
        let (number, expected) = (self.head.number, self.head.root);
        if found != expected {
            return Err(DiskError::Root { number, expected, found });
        }
        verified.nodes += self.check_nodes(TrieId::Accounts, expected, verified.accounts)?;
        verified.codes = self.check_codes()?;
        let (from, to) = Key::all_else();
        self.tables.range(&from, &to)?.try_for_each(|pair| pair.map(drop))?;
        Ok(verified)
    }

    /// The root of the accounts and slots, computed from nothing.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or the slots of an account have another root than it says.
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

    /// Verifies the accounts whose hashes begin with this byte.
    fn section(&self, first: u8, extent: Extent) -> Result<Section, DiskError> {
        let mut builder = HashBuilder::default();
        let mut verified = Verified::default();
        let mut turns = 0u16;
        let mut encoded = Vec::new();
        self.for_accounts(first, |hash, entry| {
            let path = Nibbles::unpack(hash).slice(2..);
            turns |= 1 << path.get_unchecked(0);
            encoded.clear();
            alloy_rlp::Encodable::encode(&entry.leaf(), &mut encoded);
            builder.add_leaf(path, &encoded);
            verified.accounts += 1;
            self.check_storage(hash, &entry, extent, &mut verified)
        })?;
        let is_branch = turns.count_ones() > 1;
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

    /// Verifies every node of a trie that is kept, and counts them. The trie must have so many leaves.
    fn check_nodes(&self, trie: TrieId, root: B256, leaves: u64) -> Result<u64, DiskError> {
        let count = SparseTrie::new(StoredNodes::in_file(self, trie), root).check_stored()?;
        if count.leaves != leaves {
            let reason = format!("it has {} leaves, but there are {leaves} of them", count.leaves);
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
                return Err(self.damaged(format!("the code {hash}"), "it stands under another hash"));
            }
            codes += 1;
        }
        Ok(codes)
    }
}
