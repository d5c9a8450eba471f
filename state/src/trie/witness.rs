//! The witness of a block: the part of the state that the block accesses, with its proof.
//!
//! Owns the raw nodes. Promises that each account or slot that it returns belongs to the state with the
//! given root, and that the root after changes is that of the full state, or an error. Never reads a node
//! that the answer does not need.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::TrieAccount;

use crate::{
    model::{account::Account, changes::Changes},
    trie::{
        error::{TrieError, WitnessError},
        node::UnknownSibling,
        node_index::NodeIndex,
        slot_key,
        state_tries::{LeafName, StateTries, decode_value, root_after, without_root},
    },
};

/// The raw trie nodes that prove a part of the state before a block.
///
/// Nodes of the account trie and of the storage tries may be mixed in any order. Unreferenced nodes are ignored.
///
/// ```
/// use alloy_primitives::Address;
/// use alloy_trie::EMPTY_ROOT_HASH;
/// use blockloom_state::{Changes, Witness};
///
/// let nothing = Witness::new([]);
/// assert_eq!(nothing.account(EMPTY_ROOT_HASH, Address::ZERO), Ok(None));
/// assert_eq!(nothing.root_after(EMPTY_ROOT_HASH, &Changes::default()), Ok(EMPTY_ROOT_HASH));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Witness {
    nodes: NodeIndex,
}

impl Witness {
    /// A witness of these nodes, each as its RLP encoding. Nodes are hashed here and decoded on use, so that an
    /// invalid node is reported on use only.
    pub fn new(nodes: impl IntoIterator<Item = Bytes>) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }

    /// The same witness. If a removal leaves a branch with a single child whose node is missing,
    /// [`root_after`](Self::root_after) takes that child for a branch, instead of failing.
    ///
    /// Some witnesses contain such a child only if it is a leaf or an extension. Without a node that is one, the
    /// root is wrong, and there is no error.
    #[must_use]
    pub fn without_branches_beside(self) -> Self {
        Self { nodes: self.nodes.with_unknown_sibling(UnknownSibling::Branch) }
    }

    /// The account at `address` in the state with this root, and its storage root. `None` if the witness proves
    /// that the account does not exist.
    ///
    /// # Errors
    ///
    /// If a node on its path is missing or malformed.
    pub fn account(&self, root: B256, address: Address) -> Result<Option<(Account, B256)>, WitnessError> {
        let key = keccak256(address);
        let value = self.nodes.find(root, key);
        let leaf = value.and_then(|value| value.map(|value| decode_value(key, &value)).transpose());
        let leaf: Option<TrieAccount> =
            leaf.map_err(|reason| WitnessTries::error(LeafName::Account(address), reason))?;
        Ok(leaf.map(|leaf| (without_root(&leaf), leaf.storage_root)))
    }

    /// The value of the slot `key` of the account at `address`, in the storage with this root; zero if the witness
    /// proves that the slot is empty.
    ///
    /// # Errors
    ///
    /// If a node on its path is missing or malformed.
    pub fn slot(&self, address: Address, storage_root: B256, key: U256) -> Result<U256, WitnessError> {
        let hash = slot_key(&key);
        let value = self.nodes.find(storage_root, hash);
        let value = value.and_then(|value| value.map(|value| decode_value(hash, &value)).transpose());
        let value = value.map(Option::unwrap_or_default);
        value.map_err(|reason| WitnessTries::error(LeafName::Slot(address, key), reason))
    }

    /// The state root after `changes` are applied to the state with the root `parent_root`.
    ///
    /// # Errors
    ///
    /// If a required node is missing or malformed; [`WitnessError::Mismatch`] for the first location, in order of
    /// addresses, that differs from the value that the changes started from.
    pub fn root_after(&self, parent_root: B256, changes: &Changes) -> Result<B256, WitnessError> {
        root_after(&WitnessTries { nodes: &self.nodes, root: parent_root }, changes)
    }

    /// The position of the node with this hash.
    pub(crate) fn position(&self, hash: &B256) -> Option<usize> {
        self.nodes.position(hash)
    }

    /// The hash of the node at a position.
    pub(crate) fn hash_at(&self, position: usize) -> Option<B256> {
        self.nodes.hash_at(position)
    }
}

/// The tries of a state of which only some nodes are known.
pub(crate) struct WitnessTries<'w> {
    pub(crate) nodes: &'w NodeIndex,
    pub(crate) root: B256,
}

impl<'w> StateTries for WitnessTries<'w> {
    type Nodes = &'w NodeIndex;
    type Error = WitnessError;

    fn accounts(&self) -> (&'w NodeIndex, B256) {
        (self.nodes, self.root)
    }

    fn storage(&self, _: Address) -> Result<&'w NodeIndex, WitnessError> {
        Ok(self.nodes)
    }

    fn error(leaf: LeafName, reason: TrieError) -> WitnessError {
        let reason = Box::new(reason);
        match leaf {
            LeafName::Account(address) => WitnessError::Account { address, reason },
            LeafName::Slot(address, key) => WitnessError::Slot { address, key, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_trie::Nibbles;

    use super::*;
    use crate::{
        model::{
            allocation::Allocation,
            changes::{AccountChange, Change, Life},
            mismatch::{Location, Mismatch, Value},
        },
        stores::memory::MemoryStore,
        trie::tests::full::FullTrie,
    };

    fn address(byte: u8) -> Address {
        Address::with_last_byte(byte)
    }

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    /// Forty accounts, the first with three slots, and every node of both tries.
    fn state() -> (MemoryStore, Vec<Bytes>) {
        let mut store = MemoryStore::new();
        for byte in 1..=40 {
            let storage = (1..=3).filter(|_| byte == 1).map(|key| (word(key), word(key * 100))).collect();
            store.insert(address(byte), Allocation { nonce: byte.into(), storage, ..Default::default() });
        }
        let (accounts, storages) = FullTrie::of_store(&store);
        let nodes = storages.values().chain([&accounts]).flat_map(FullTrie::nodes).collect();
        (store, nodes)
    }

    fn changes(byte: u8, change: AccountChange) -> Changes {
        Changes { accounts: [(address(byte), change)].into_iter().collect(), ..Changes::default() }
    }

    fn unchanged(store: &MemoryStore, byte: u8) -> Change<Option<Account>> {
        let account = store.account(&address(byte)).map(|stored| stored.account);
        Change { before: account, after: account }
    }

    fn write(key: u64, before: u64, after: u64) -> (U256, Change<U256>) {
        (word(key), Change { before: word(before), after: word(after) })
    }

    #[test]
    fn accounts_and_slots_are_proven_and_so_is_their_absence() {
        let (store, nodes) = state();
        let (witness, root) = (Witness::new(nodes), store.root());
        let (account, storage_root) = witness.account(root, address(1)).unwrap().unwrap();
        assert_eq!(account, store.account(&address(1)).unwrap().account);
        assert_eq!(witness.slot(address(1), storage_root, word(2)), Ok(word(200)));
        assert_eq!(witness.slot(address(1), storage_root, word(4)), Ok(word(0)));
        assert_eq!(witness.account(root, address(99)), Ok(None));
    }

    #[test]
    fn no_change_leaves_the_root_and_needs_no_node() {
        let root = B256::repeat_byte(7);
        assert_eq!(Witness::default().root_after(root, &Changes::default()), Ok(root));
    }

    #[test]
    fn a_new_life_drops_every_slot_and_reads_none() {
        let (mut store, _) = state();
        let (accounts, _) = FullTrie::of_store(&store);
        let change = AccountChange {
            account: unchanged(&store, 1),
            life: Life::New,
            slots: [write(3, 0, 5)].into_iter().collect(),
        };
        let (root, changes) = (store.root(), changes(1, change));
        let after = Witness::new(accounts.nodes()).root_after(root, &changes);
        store.apply(&changes).unwrap();
        assert_eq!(after, Ok(store.root()));
    }

    #[test]
    fn a_new_life_that_starts_with_a_slot_is_a_mismatch() {
        let (store, nodes) = state();
        let slots = [write(3, 300, 5)].into_iter().collect();
        let change = AccountChange { account: unchanged(&store, 1), life: Life::New, slots };
        let error = Witness::new(nodes).root_after(store.root(), &changes(1, change)).unwrap_err();
        let location = Location::Slot(address(1), word(3));
        let (expected, found) = (Value::Word(word(300)), Value::Word(word(0)));
        assert_eq!(error, Mismatch { location, expected, found }.into());
    }

    #[test]
    fn changes_that_start_from_another_account_are_a_mismatch() {
        let (store, nodes) = state();
        let mut change = AccountChange { account: unchanged(&store, 5), ..Default::default() };
        change.account.before.as_mut().unwrap().nonce = 6;
        let error = Witness::new(nodes).root_after(store.root(), &changes(5, change)).unwrap_err();
        let (expected, found) = (Value::Count(6), Value::Count(5));
        assert_eq!(error, Mismatch { location: Location::Nonce(address(5)), expected, found }.into());
        assert!(error.to_string().contains("expected 6, found 5"));
    }

    #[test]
    fn changes_that_start_from_another_slot_are_a_mismatch_even_if_the_account_is_destroyed() {
        let (store, nodes) = state();
        let mut change = AccountChange { account: unchanged(&store, 1), ..Default::default() };
        change.account.after = None;
        change.slots.extend([write(2, 201, 0)]);
        let error = Witness::new(nodes).root_after(store.root(), &changes(1, change)).unwrap_err();
        let location = Location::Slot(address(1), word(2));
        let (expected, found) = (Value::Word(word(201)), Value::Word(word(200)));
        assert_eq!(error, Mismatch { location, expected, found }.into());
    }

    #[test]
    fn the_error_of_an_incomplete_witness_is_its_first_missing_node() {
        let (store, mut nodes) = state();
        let root = store.root();
        let reason = Box::new(TrieError::Missing { hash: root, path: Nibbles::new() });
        let missing = WitnessError::Account { address: address(1), reason };
        assert_eq!(Witness::default().account(root, address(1)), Err(missing.clone()));
        nodes.retain(|node| keccak256(node) != root);
        assert_eq!(Witness::new(nodes).account(root, address(1)), Err(missing));
    }

    #[test]
    fn a_required_node_that_is_garbage_is_malformed_and_other_garbage_is_ignored() {
        let garbage = Bytes::from_static(b"this is no node");
        let root = keccak256(&garbage);
        let error = Witness::new([garbage.clone()]).account(root, address(1)).unwrap_err();
        assert!(matches!(error.of_trie(), Some(TrieError::Malformed { hash, .. }) if *hash == root));
        let (store, nodes) = state();
        let witness = Witness::new(nodes.into_iter().chain([garbage, Bytes::new()]));
        assert!(witness.account(store.root(), address(1)).unwrap().is_some());
    }

    #[test]
    fn a_leaf_that_is_no_account_is_an_error() {
        let key = keccak256(address(1));
        let leaves = [(key, alloy_rlp::encode(word(5)))].into_iter().collect();
        let full = FullTrie::of(&leaves);
        let error = Witness::new(full.nodes()).account(full.root, address(1)).unwrap_err();
        assert!(matches!(error.of_trie(), Some(TrieError::Value { key: at, .. }) if *at == key));
    }
}
