//! A base with changes on top that it does not have yet.
//!
//! A stream of blocks executes on the state after blocks that the store is still taking over. Each layer has the changes
//! of some consecutive blocks, and the hashes of those blocks. A store may take a layer over at any time: what it then
//! answers is what the layer says.

use std::{fmt, sync::Arc};

use alloy_primitives::{Address, B256, U256};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::model::{
    account::Account,
    base::Base,
    changes::{AccountChange, Change, Changes, Life},
};

/// What consecutive blocks changed.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Their changes together.
    pub changes: Changes,
    /// The numbers and hashes of the blocks.
    pub block_hashes: Vec<(u64, B256)>,
}

/// A base, and layers of changes on top of it, the earliest first.
#[derive(Clone)]
pub struct Layered<'b, B: ?Sized> {
    base: &'b B,
    layers: Vec<Arc<Layer>>,
}

impl<'b, B: Base + ?Sized> Layered<'b, B> {
    /// `base` with these layers on top, the earliest first.
    pub fn new(base: &'b B, layers: impl IntoIterator<Item = Arc<Layer>>) -> Self {
        Self { base, layers: layers.into_iter().collect() }
    }

    /// The layers that say something of an account, the latest first.
    fn changes_of(&self, address: Address) -> impl Iterator<Item = &AccountChange> {
        self.layers.iter().rev().filter_map(move |layer| layer.changes.accounts.get(&address))
    }

    /// A code that one of the layers brought.
    fn new_code(&self, hash: B256) -> Option<&Bytecode> {
        self.layers.iter().rev().find_map(|layer| layer.changes.codes.get(&hash))
    }

    /// The account, with its code if that can be read with the account only.
    fn info(&self, address: Address, account: Account) -> Result<AccountInfo, B::Error> {
        let mut code = self.new_code(account.code_hash).cloned();
        if code.is_none() && account.has_code() {
            let of_base = self.base.basic_ref(address)?;
            code = of_base.filter(|info| info.code_hash == account.code_hash).and_then(|info| info.code);
        }
        Ok(account.into_info(code, None))
    }
}

impl<B: Base + ?Sized> DatabaseRef for Layered<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        let latest = self.changes_of(address).next();
        match latest {
            Some(change) => change.account.after.map(|account| self.info(address, account)).transpose(),
            None => self.base.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        self.new_code(hash).map_or_else(|| self.base.code_by_hash_ref(hash), |code| Ok(code.clone()))
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, B::Error> {
        for change in self.changes_of(address) {
            if let Some(slot) = change.slots.get(&key) {
                return Ok(slot.after);
            }
            // The storage of an account that was not there, or is gone, is empty.
            let Change { before, after } = change.account;
            if change.life == Life::New || before.is_none() || after.is_none() {
                return Ok(U256::ZERO);
            }
        }
        self.base.storage_ref(address, key)
    }

    fn storage_by_account_id_ref(
        &self,
        address: Address,
        id: AccountId,
        key: U256,
    ) -> Result<U256, B::Error> {
        // Only accounts that no layer has come with an id.
        self.base.storage_by_account_id_ref(address, id, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        let hashes = self.layers.iter().rev().flat_map(|layer| &layer.block_hashes);
        let known = hashes.into_iter().find(|(of, _)| *of == number);
        known.map_or_else(|| self.base.block_hash_ref(number), |(_, hash)| Ok(*hash))
    }
}

impl<B: ?Sized> fmt::Debug for Layered<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}
