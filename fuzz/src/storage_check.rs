//! The check of EIP-7610, which revm leaves to its caller: no contract is created at an address with storage.

use std::sync::Arc;

use alloy_hardforks::EthereumHardfork::SpuriousDragon;
use alloy_primitives::{Address, map::AddressSet};
use blockloom_engine::Block;
use blockloom_state::MemoryStore;
use revm::{
    Inspector,
    context_interface::JournalTr as _,
    database::{AccountState, CacheDB},
    handler::MainnetContext,
    interpreter::{CreateInputs, CreateOutcome},
};

/// The context of revm on its own cache.
pub type CacheContext<'a> = MainnetContext<CacheDB<&'a MemoryStore>>;

/// An inspector that makes revm refuse a creation at an account that has nothing but storage.
#[derive(Clone, Debug, Default)]
pub struct StorageCheck {
    /// The accounts with nothing but storage before the block.
    storage_only: Option<Arc<AddressSet>>,
    /// Whether a transaction clears the empty accounts that it touches (EIP-161).
    clears_empty: bool,
    /// The account at which a creation is being refused.
    refused: Option<Address>,
}

impl StorageCheck {
    /// The check under a block's rules.
    pub fn new(block: &Block) -> Self {
        let storage_only = block.rules.storage_only.clone();
        Self { storage_only, clears_empty: block.rules.is_active(SpuriousDragon), refused: None }
    }

    /// Whether a creation is being refused.
    pub fn is_refusing(&self) -> bool {
        self.refused.is_some()
    }

    /// Clears accounts with nothing but storage that the last transaction touched and left empty. revm's
    /// cache keeps such accounts and their storage. To be called after each transaction.
    pub fn after_transaction(&self, cache: &mut CacheDB<&MemoryStore>) {
        for address in self.storage_only.iter().flat_map(|accounts| accounts.iter()) {
            let Some(account) = cache.cache.accounts.get_mut(address) else { continue };
            let is_touched = account.account_state == AccountState::Touched;
            if self.clears_empty && is_touched && account.info.is_empty() {
                account.account_state = AccountState::StorageCleared;
                account.storage.clear();
            }
        }
    }

    /// The address of a creation, if it has nothing but storage; `None` if revm refuses the creation anyway.
    fn storage_only(&self, context: &mut CacheContext<'_>, inputs: &CreateInputs) -> Option<Address> {
        let storage_only = self.storage_only.as_ref()?;
        let journal = &mut context.journaled_state;
        let creator = &journal.load_account(inputs.caller()).ok()?.data.info;
        if creator.balance < inputs.value() || creator.nonce == u64::MAX {
            return None;
        }
        let address = inputs.created_address(creator.nonce);
        if !storage_only.contains(&address) {
            return None;
        }
        // revm loads the account next, so loading it here changes no gas.
        let created = &journal.load_account(address).ok()?.data.info;
        let has_neither = created.nonce == 0 && created.is_empty_code_hash();
        let cached = journal.database.cache.accounts.get(&address);
        let has_storage = cached.is_none_or(|account| {
            matches!(account.account_state, AccountState::None | AccountState::Touched)
        });
        (has_neither && has_storage).then_some(address)
    }
}

impl<'a> Inspector<CacheContext<'a>> for StorageCheck {
    /// Gives the account a nonce, so that revm refuses the creation.
    fn create(&mut self, context: &mut CacheContext<'a>, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.refused = self.storage_only(context, inputs);
        if let Some(address) = self.refused {
            set_nonce(context, address, 1);
        }
        None
    }

    fn create_end(&mut self, context: &mut CacheContext<'a>, _: &CreateInputs, _: &mut CreateOutcome) {
        // A refused creation ends before another begins.
        if let Some(address) = self.refused.take() {
            set_nonce(context, address, 0);
        }
    }
}

fn set_nonce(context: &mut CacheContext<'_>, address: Address, nonce: u64) {
    let account = context.journaled_state.inner.state.get_mut(&address);
    account.expect("the account was loaded").info.nonce = nonce;
}
