//! Prefetched reads: the accounts and slots that a block names, read before its execution.
//!
//! A request to a database actor takes two messages between threads. Coinbase, senders, recipients,
//! authorities and access lists are in the block, so the owner of the database reads them before the
//! execution. A failed read is left out: it fails again when a run needs it.

use alloy_primitives::{
    Address, TxKind, U256,
    map::{AddressMap, HashMap},
};
use revm::{
    Database,
    context::TxEnv,
    context_interface::{either::Either, transaction::RecoveredAuthorization},
    state::AccountInfo,
};

use crate::block::block::Block;

/// Prefetched accounts and slots of a database.
#[derive(Debug, Default)]
pub(super) struct PrefetchedReads {
    accounts: AddressMap<Option<AccountInfo>>,
    slots: HashMap<(Address, U256), U256>,
}

impl PrefetchedReads {
    /// Reads everything that `block` names.
    pub(super) fn of_block(database: &mut impl Database, block: &Block) -> Self {
        let mut reads = Self::default();
        reads.read_account(database, block.env.beneficiary);
        for transaction in &block.transactions {
            reads.read_transaction(database, &transaction.env);
        }
        reads
    }

    /// The account, if it was prefetched; `Some(None)` if it does not exist.
    pub(super) fn account(&self, address: &Address) -> Option<&Option<AccountInfo>> {
        self.accounts.get(address)
    }

    /// The slot, if it was prefetched.
    pub(super) fn slot(&self, address: Address, key: U256) -> Option<U256> {
        self.slots.get(&(address, key)).copied()
    }

    fn read_transaction(&mut self, database: &mut impl Database, transaction: &TxEnv) {
        self.read_account(database, transaction.caller);
        if let TxKind::Call(recipient) = transaction.kind {
            self.read_account(database, recipient);
        }
        for authorization in &transaction.authorization_list {
            let authority = match authorization {
                Either::Left(signed) => signed.recover_authority().ok(),
                Either::Right(recovered) => RecoveredAuthorization::authority(recovered),
            };
            if let Some(authority) = authority {
                self.read_account(database, authority);
            }
        }
        for item in transaction.access_list.iter() {
            self.read_account(database, item.address);
            for key in &item.storage_keys {
                self.read_slot(database, item.address, (*key).into());
            }
        }
    }

    /// Reads an account and its code, unless it was prefetched before.
    pub(super) fn read_account(&mut self, database: &mut impl Database, address: Address) {
        if self.accounts.contains_key(&address) {
            return;
        }
        let Ok(mut info) = database.basic(address) else { return };
        if let Some(info) = &mut info
            && info.code.is_none()
            && !info.is_empty_code_hash()
        {
            info.code = database.code_by_hash(info.code_hash).ok();
        }
        self.accounts.insert(address, info);
    }

    fn read_slot(&mut self, database: &mut impl Database, address: Address, key: U256) {
        if let Ok(value) = database.storage(address, key) {
            self.slots.insert((address, key), value);
        }
    }
}
