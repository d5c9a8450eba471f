//! Proofs of accounts and slots (EIP-1186): the nodes on the way from the root to them.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles,
    proof::{ProofVerificationError, verify_proof},
};

use crate::{
    model::account::Account,
    stores::disk::{DiskStore, error::DiskError, keys::TrieId, nodes::StoredNodes},
    trie::{sparse::SparseTrie, slot_key},
};

/// What an account is in a state, or that it is not, and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// Its address.
    pub address: Address,
    /// The account; `None` if there is none.
    pub account: Option<Account>,
    /// The root of its storage.
    pub storage_root: B256,
    /// The nodes on the way to it, from the root of the state on.
    pub nodes: Vec<Bytes>,
    /// The slots that were asked for, in that order.
    pub slots: Vec<SlotProof>,
}

/// What a slot holds, and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    /// Its key.
    pub key: U256,
    /// What it holds.
    pub value: U256,
    /// The nodes on the way to it, from the root of the storage on.
    pub nodes: Vec<Bytes>,
}

/// Why a proof proves nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The nodes do not lead from the state root to the account.
    #[error("account {address}: {reason}")]
    Account {
        /// Its address.
        address: Address,
        /// What is wrong.
        reason: Box<ProofVerificationError>,
    },
    /// The nodes do not lead from the storage root to the slot.
    #[error("slot {key} of account {address}: {reason}")]
    Slot {
        /// The address of the account.
        address: Address,
        /// The key of the slot.
        key: U256,
        /// What is wrong.
        reason: Box<ProofVerificationError>,
    },
    /// It speaks of the storage of an account that it says there is not.
    #[error("account {0}: it does not exist, but is said to have storage")]
    StorageOfNobody(Address),
}

impl AccountProof {
    /// Checks that it is true of the state with the root `root`.
    ///
    /// # Errors
    ///
    /// The first thing that is not proven.
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
    /// Proves what an account is after the last block, and what some of its slots hold.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn prove(&self, address: Address, keys: &[U256]) -> Result<AccountProof, DiskError> {
        let mut accounts = SparseTrie::new(StoredNodes::new(self, TrieId::Accounts), self.head.root);
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
