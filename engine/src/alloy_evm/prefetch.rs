//! What a block will certainly read, read before it runs.
//!
//! A question to the owner of a lent database takes a message there and one back. Coinbase,
//! senders, recipients, authorities and declared access lists stand in the block, so they are read
//! at once, in its order, and found later without asking. A read that fails is left out: it fails
//! again if somebody needs it.

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

/// Accounts and slots of a database.
#[derive(Debug, Default)]
pub(super) struct PrefetchedReads {
    accounts: AddressMap<Option<AccountInfo>>,
    slots: HashMap<(Address, U256), U256>,
}

impl PrefetchedReads {
    /// Everything that `block` says it will read.
    pub(super) fn read(database: &mut impl Database, block: &Block) -> Self {
        let mut known = Self::default();
        known.read_account(database, block.env.beneficiary);
        for transaction in &block.transactions {
            known.read_transaction(database, &transaction.env);
        }
        known
    }

    /// The account, if it is known: it may be known not to exist.
    pub(super) fn account(&self, address: &Address) -> Option<&Option<AccountInfo>> {
        self.accounts.get(address)
    }

    /// The slot, if it is known.
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

    /// Reads an account and its code, unless it is known.
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
