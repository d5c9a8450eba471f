//! The in-memory store: a full state in memory. Changes can be applied and reverted.

use alloy_primitives::{
    Address, B256, Bytes, U256, keccak256,
    map::{AddressMap, B256Map, HashMap, U256Map},
};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountInfo, Bytecode};

use crate::{
    model::{
        accesses::Accesses,
        account::Account,
        allocation::{Allocation, StoredAccount, bytecode_of},
        base::MissingCode,
        changes::{AccountChange, Change, Changes, Life, account_difference},
        mismatch::Mismatch,
    },
    root::state_root,
    trie::{
        error::WitnessError, memory_trie::MemoryTrie, slot_key, state_tries::witness_nodes,
        witness::WitnessTries,
    },
};

/// A state held in memory.
///
/// ```
/// use alloy_primitives::{Address, U256};
/// use blockloom_state::{Allocation, MemoryStore};
///
/// let rich = Allocation { balance: U256::from(100), ..Allocation::default() };
/// let store = MemoryStore::from_genesis([(Address::ZERO, rich)]);
/// assert_eq!(store.account(&Address::ZERO).unwrap().account.balance, U256::from(100));
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    accounts: AddressMap<StoredAccount>,
    codes: B256Map<Bytecode>,
    block_hashes: HashMap<u64, B256>,
}

impl MemoryStore {
    /// An empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state that a genesis file describes.
    pub fn from_genesis(allocations: impl IntoIterator<Item = (Address, Allocation)>) -> Self {
        let mut store = Self::new();
        let allocations = allocations.into_iter();
        store.accounts.reserve(allocations.size_hint().0);
        for (address, allocation) in allocations {
            store.insert(address, allocation);
        }
        store
    }

    /// Inserts an account, or replaces the account at its address.
    pub fn insert(&mut self, address: Address, allocation: Allocation) {
        let code_hash = self.insert_code(allocation.code);
        let account = Account { balance: allocation.balance, nonce: allocation.nonce, code_hash };
        let slots = allocation.storage.into_iter().filter(|(_, value)| !value.is_zero()).collect();
        self.accounts.insert(address, StoredAccount { account, slots });
    }

    /// Inserts an account whose code is known by hash only, or replaces the account at its address. Running its
    /// code fails with [`MissingCode`] unless the code is inserted as well.
    pub fn insert_account(&mut self, address: Address, stored: StoredAccount) {
        self.accounts.insert(address, stored);
    }

    /// Adds a code and returns its hash.
    pub fn insert_code(&mut self, code: Bytes) -> B256 {
        let code = bytecode_of(code);
        let hash = code.hash_slow();
        if !code.is_empty() {
            self.codes.insert(hash, code);
        }
        hash
    }

    /// Sets the hash that BLOCKHASH returns for `number`; `None` removes it.
    pub fn set_block_hash(&mut self, number: u64, hash: Option<B256>) {
        match hash {
            Some(hash) => self.block_hashes.insert(number, hash),
            None => self.block_hashes.remove(&number),
        };
    }

    /// The account at `address`.
    pub fn account(&self, address: &Address) -> Option<&StoredAccount> {
        self.accounts.get(address)
    }

    /// The code with the given hash.
    pub fn code(&self, hash: &B256) -> Option<&Bytecode> {
        self.codes.get(hash)
    }

    /// All accounts, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = (&Address, &StoredAccount)> {
        self.accounts.iter()
    }

    /// Sets a slot of an account. Creates the account if it does not exist.
    pub fn set_slot(&mut self, address: Address, key: U256, value: U256) {
        let slots = &mut self.accounts.entry(address).or_default().slots;
        if value.is_zero() {
            slots.remove(&key);
        } else {
            slots.insert(key, value);
        }
    }

    /// The accounts that have storage but neither nonce nor code (EIP-7610).
    pub fn storage_only(&self) -> impl Iterator<Item = Address> {
        let has_only_storage = |stored: &StoredAccount| {
            stored.account.nonce == 0 && !stored.account.has_code() && !stored.slots.is_empty()
        };
        self.accounts.iter().filter(move |(_, stored)| has_only_storage(stored)).map(|(address, _)| *address)
    }

    /// The Merkle root of the full state, computed from scratch.
    pub fn root(&self) -> B256 {
        state_root(&self.accounts)
    }

    /// The first location, in order of addresses and slots, at which this state and `other` differ. `expected` in
    /// the result is the value of this state.
    pub fn first_difference(&self, other: &Self) -> Option<Mismatch> {
        let mut addresses: Vec<_> = self.accounts.keys().chain(other.accounts.keys()).copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        let none = StoredAccount::default();
        addresses.into_iter().find_map(|address| {
            let (ours, theirs) = (self.accounts.get(&address), other.accounts.get(&address));
            let account = |stored: &StoredAccount| stored.account;
            account_difference(address, ours.map(account), theirs.map(account)).or_else(|| {
                slot_difference(address, &ours.unwrap_or(&none).slots, &theirs.unwrap_or(&none).slots)
            })
        })
    }

    /// Applies `changes` and returns their inverse. Applying the inverse restores every account and slot, also the
    /// slots of ended lives.
    ///
    /// # Errors
    ///
    /// The first location, in order of addresses, that differs from the value that the changes started from. The
    /// state is then unchanged.
    pub fn apply(&mut self, changes: &Changes) -> Result<Changes, Box<Mismatch>> {
        self.check_fits(changes)?;
        for (hash, code) in &changes.codes {
            self.codes.entry(*hash).or_insert_with(|| code.clone());
        }
        let accounts = changes
            .accounts
            .iter()
            .map(|(address, change)| (*address, self.apply_to_account(*address, change)))
            .collect();
        Ok(Changes { accounts, codes: B256Map::default() })
    }

    /// The nodes of the tries that prove `accesses` and the root after `changes`, in the order of their hashes: each of
    /// them is needed. Builds all tries, which takes long for a large state.
    ///
    /// # Errors
    ///
    /// The first location, in order of addresses, that differs from the value that the changes started from.
    pub fn witness(&self, accesses: &Accesses, changes: &Changes) -> Result<Vec<Bytes>, Box<Mismatch>> {
        let mut nodes = Vec::new();
        let leaves = self.accounts.iter().map(|(address, StoredAccount { account, slots })| {
            let slots = slots.iter().map(|(key, value)| (slot_key(key), alloy_rlp::encode(value)));
            let storage_root = all_nodes(slots, &mut nodes);
            (keccak256(address), alloy_rlp::encode(account.into_leaf(storage_root)))
        });
        let leaves: Vec<_> = leaves.collect();
        let root = all_nodes(leaves, &mut nodes);
        let nodes = nodes.into_iter().collect();
        witness_nodes(&WitnessTries { nodes: &nodes, root }, accesses, changes).map_err(|error| match error {
            WitnessError::Mismatch(mismatch) => mismatch,
            error => unreachable!("every node is there: {error}"),
        })
    }

    fn check_fits(&self, changes: &Changes) -> Result<(), Box<Mismatch>> {
        let mismatches = changes.accounts.iter().filter_map(|(address, change)| {
            let stored = self.accounts.get(address);
            account_difference(*address, change.account.before, stored.map(|stored| stored.account))
                .or_else(|| first_slot_mismatch(*address, change, stored))
        });
        mismatches
            .min_by_key(|mismatch| mismatch.location.address())
            .map_or(Ok(()), |mismatch| Err(Box::new(mismatch)))
    }

    fn apply_to_account(&mut self, address: Address, change: &AccountChange) -> AccountChange {
        let old = self.accounts.remove(&address).unwrap_or_default();
        let mut slots = old.slots;
        // An account that no longer exists has no storage, whether the change says so or not.
        let life = if change.account.after.is_none() { Life::New } else { change.life };
        let mut undo = AccountChange {
            account: change.account.inverse(),
            life,
            slots: change.slots.iter().map(|(key, slot)| (*key, slot.inverse())).collect(),
        };
        if life == Life::New {
            // The inverse is a new life as well: it starts empty and gets the slots of the old life.
            let restored = |(key, after)| (key, Change { before: U256::ZERO, after });
            undo.slots = std::mem::take(&mut slots).into_iter().map(restored).collect();
        }
        if let Some(account) = change.account.after {
            for (key, slot) in &change.slots {
                if slot.after.is_zero() {
                    slots.remove(key);
                } else {
                    slots.insert(*key, slot.after);
                }
            }
            self.accounts.insert(address, StoredAccount { account, slots });
        }
        undo
    }
}

/// Builds the trie with these leaves, adds all of its nodes to `nodes`, and returns its root.
fn all_nodes(leaves: impl IntoIterator<Item = (B256, Vec<u8>)>, nodes: &mut Vec<Bytes>) -> B256 {
    let mut trie = MemoryTrie::new();
    leaves.into_iter().for_each(|(key, value)| trie.insert(key, value));
    let root = trie.root();
    trie.add_nodes(nodes);
    root
}

/// The lowest slot that differs from the value that the change started from. A new life starts with empty slots.
fn first_slot_mismatch(
    address: Address,
    change: &AccountChange,
    stored: Option<&StoredAccount>,
) -> Option<Mismatch> {
    let slots = stored.filter(|_| change.life == Life::Same).map(|stored| &stored.slots);
    let current = |key| slots.and_then(|slots| slots.get(key)).copied().unwrap_or_default();
    let mismatches = change.slots.iter().filter(|(key, slot)| current(key) != slot.before);
    let (key, slot) = mismatches.min_by_key(|(key, _)| **key)?;
    Some(Mismatch::of_slot(address, *key, slot.before, current(key)))
}

/// The lowest slot in which two storages differ.
fn slot_difference(address: Address, ours: &U256Map<U256>, theirs: &U256Map<U256>) -> Option<Mismatch> {
    let value = |slots: &U256Map<U256>, key| slots.get(key).copied().unwrap_or_default();
    let keys = ours.keys().chain(theirs.keys()).filter(|key| value(ours, key) != value(theirs, key));
    keys.min().map(|key| Mismatch::of_slot(address, *key, value(ours, key), value(theirs, key)))
}

impl DatabaseRef for MemoryStore {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        Ok(self.accounts.get(&address).map(|StoredAccount { account, .. }| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: self.codes.get(&account.code_hash).cloned(),
            account_id: None,
        }))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, MissingCode> {
        if code_hash == Account::EMPTY.code_hash {
            return Ok(Bytecode::default());
        }
        self.codes.get(&code_hash).cloned().ok_or(MissingCode(code_hash))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, MissingCode> {
        let slot = self.accounts.get(&address).and_then(|stored| stored.slots.get(&index));
        Ok(slot.copied().unwrap_or_default())
    }

    /// Zero for a block whose hash was not set.
    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        Ok(self.block_hashes.get(&number).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::mismatch::{Location, Value};

    fn address(byte: u8) -> Address {
        Address::with_last_byte(byte)
    }

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    fn store() -> MemoryStore {
        let storage = BTreeMap::from([(word(1), word(11)), (word(2), word(22)), (word(3), U256::ZERO)]);
        let contract = Allocation { balance: word(5), nonce: 1, code: Bytes::from_static(&[0x00]), storage };
        MemoryStore::from_genesis([(address(1), contract)])
    }

    fn destroyed(store: &MemoryStore, byte: u8) -> Changes {
        let before = store.account(&address(byte)).map(|stored| stored.account);
        let account = Change { before, after: None };
        let change = AccountChange { account, life: Life::New, ..AccountChange::default() };
        Changes { accounts: [(address(byte), change)].into_iter().collect(), ..Changes::default() }
    }

    #[test]
    fn destroying_a_contract_and_reverting_puts_every_slot_back() {
        let mut store = store();
        let (root, accounts) = (store.root(), store.accounts.clone());
        let undo = store.apply(&destroyed(&store, 1)).unwrap();
        assert_eq!(store.account(&address(1)), None);
        assert_ne!(store.root(), root);
        store.apply(&undo).unwrap();
        assert_eq!(store.accounts, accounts);
        assert_eq!(store.root(), root);
    }

    #[test]
    fn changes_that_do_not_fit_are_refused_as_a_whole() {
        let mut store = store();
        let accounts = store.accounts.clone();
        let mut changes = destroyed(&store, 1);
        let slot = Change { before: word(7), after: word(8) };
        let wrong = AccountChange { slots: [(word(9), slot)].into_iter().collect(), ..Default::default() };
        changes.accounts.insert(address(2), wrong);
        let mismatch = store.apply(&changes).unwrap_err();
        assert_eq!(mismatch.location, Location::Slot(address(2), word(9)));
        assert_eq!((mismatch.expected, mismatch.found), (Value::Word(word(7)), Value::Word(word(0))));
        assert_eq!(store.accounts, accounts);
    }

    #[test]
    fn a_code_known_by_hash_only_is_an_error_only_when_it_is_run() {
        let mut store = MemoryStore::new();
        let account = Account { code_hash: B256::repeat_byte(1), ..Account::EMPTY };
        store.insert_account(address(3), StoredAccount { account, ..Default::default() });
        let info = store.basic_ref(address(3)).unwrap().unwrap();
        assert_eq!(info.code, None);
        assert_eq!(store.code_by_hash_ref(info.code_hash), Err(MissingCode(B256::repeat_byte(1))));
    }

    #[test]
    fn bytes_that_look_like_an_invalid_delegation_are_ordinary_code() {
        let mut store = MemoryStore::new();
        let hash = store.insert_code(Bytes::from_static(&[0xef, 0x01, 0x00, 0x01]));
        assert!(!store.code(&hash).unwrap().is_eip7702());
    }
}
