//! Merkle proofs of accounts and slots (EIP-1186).

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    proof::{ProofVerificationError, verify_proof},
};

use crate::{
    model::account::Account,
    stores::disk::{DiskStore, error::DiskError, keys::TrieId, nodes::StoredNodes},
    trie::{slot_key, sparse::SparseTrie},
};

/// An account of a state, or its absence, with the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The address.
    pub address: Address,
    /// The account; `None` if it does not exist.
    pub account: Option<Account>,
    /// The storage root.
    pub storage_root: B256,
    /// The nodes on the path from the state root to the account.
    pub nodes: Vec<Bytes>,
    /// The requested slots, in the order of the request.
    pub slots: Vec<SlotProof>,
}

/// The value of a slot, with the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    /// The key.
    pub key: U256,
    /// The value.
    pub value: U256,
    /// The nodes on the path from the storage root to the slot.
    pub nodes: Vec<Bytes>,
}

/// Why a proof is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The nodes do not prove the account.
    #[error("account {address}: {reason}")]
    Account {
        /// The address of the account.
        address: Address,
        /// What is wrong with the nodes.
        reason: Box<ProofVerificationError>,
    },
    /// The nodes do not prove the slot.
    #[error("slot {key} of account {address}: {reason}")]
    Slot {
        /// The address of the account.
        address: Address,
        /// The key of the slot.
        key: U256,
        /// What is wrong with the nodes.
        reason: Box<ProofVerificationError>,
    },
    /// The account does not exist, but the proof has a storage root for it.
    #[error("account {0}: it does not exist, but the proof has a storage root")]
    StorageWithoutAccount(Address),
}

impl AccountProof {
    /// Verifies the proof for the state with this root.
    ///
    /// # Errors
    ///
    /// The first part that is not proven.
    pub fn verify(&self, root: B256) -> Result<(), ProofError> {
        let Self { address, account, storage_root, nodes, slots } = self;
        let leaf = account.map(|account| alloy_rlp::encode(account.into_leaf(*storage_root)));
        if account.is_none() && *storage_root != EMPTY_ROOT_HASH {
            return Err(ProofError::StorageWithoutAccount(*address));
        }
        verify_proof(root, Nibbles::unpack(keccak256(address)), leaf, nodes)
            .map_err(|reason| ProofError::Account { address: *address, reason: Box::new(reason) })?;
        slots.iter().try_for_each(|slot| slot.verify(*address, *storage_root))
    }
}

impl SlotProof {
    fn verify(&self, address: Address, storage_root: B256) -> Result<(), ProofError> {
        let Self { key, value, nodes } = self;
        let leaf = (!value.is_zero()).then(|| alloy_rlp::encode(value));
        verify_proof(storage_root, Nibbles::unpack(slot_key(key)), leaf, nodes)
            .map_err(|reason| ProofError::Slot { address, key: *key, reason: Box::new(reason) })
    }
}

impl DiskStore {
    /// Proves an account and some of its slots after the last block.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn prove(&self, address: Address, keys: &[U256]) -> Result<AccountProof, DiskError> {
        let mut accounts = SparseTrie::new(StoredNodes::new(self, TrieId::Accounts), self.root());
        let nodes = accounts.prove(keccak256(address))?;
        let entry = self.entry(address)?;
        let storage = entry.and_then(|entry| entry.storage);
        let mut trie = storage.map(|storage| self.storage_trie(storage.life, storage.root));
        let slots = keys.iter().map(|key| {
            let nodes = trie.as_mut().map_or(Ok(Vec::new()), |trie| trie.prove(slot_key(key)))?;
            let value = storage.map_or(Ok(U256::ZERO), |storage| self.slot(storage.life, *key))?;
            Ok(SlotProof { key: *key, value, nodes })
        });
        let slots = slots.collect::<Result<_, DiskError>>()?;
        let account = entry.map(|entry| entry.account);
        let storage_root = entry.map_or(EMPTY_ROOT_HASH, |entry| entry.storage_root());
        Ok(AccountProof { address, account, storage_root, nodes, slots })
    }
}
