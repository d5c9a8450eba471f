//! Where a view reads from: the access list, the multi-version memory, or the base.
//!
//! Owns what one thread caches from run to run: codes, the coinbase as the base has it, and the latency of
//! the base.

use alloy_primitives::{Address, B256, U256};
use revm_state::{AccountInfo, Bytecode};

use crate::{
    model::{
        base::Base,
        index::{ListAccountId, TxIndex},
    },
    mv::{
        latency::LatencyMeter,
        memory::{AccountRead, CachedAccounts, Memory, SlotRead},
    },
    record::observation::Origin,
    run::{code_cache::CodeCache, tracked_account::TrackedAccount},
};

/// The sources of the runs of one thread.
#[derive(Debug)]
pub(super) struct ReadSource<'m, B> {
    pub(super) memory: &'m Memory,
    base: &'m B,
    /// Codes that this or an earlier run needed.
    codes: CodeCache,
    latency: LatencyMeter,
    /// The coinbase as the base has it, once it was read: every run reads it.
    coinbase: Option<AccountRead>,
}

impl<'m, B: Base> ReadSource<'m, B> {
    pub(super) fn new(memory: &'m Memory, base: &'m B) -> Self {
        Self { memory, base, codes: CodeCache::default(), latency: LatencyMeter::default(), coinbase: None }
    }

    /// An account as `reader` sees it, without what the access list says of it.
    pub(super) fn account(&mut self, address: Address, reader: TxIndex) -> Result<AccountRead, B::Error> {
        let is_coinbase = address == self.memory.coinbase();
        if let Some(read) = &self.coinbase
            && is_coinbase
            && self.memory.coinbase_has_only_fees()
        {
            return Ok(read.clone());
        }
        let Self { memory, base, latency, codes, .. } = self;
        let codes = &*codes;
        if latency.is_high() {
            memory.note_high_latency();
        }
        let cached =
            if memory.base_has_high_latency() { CachedAccounts::All } else { CachedAccounts::WithCode };
        let read_base = || latency.measure(|| base.basic_ref(address));
        // A code that this thread caches is not cloned: that would write its shared reference count.
        let copied = |info: &AccountInfo| match codes.contains(&info.code_hash) {
            true => info.copy_without_code(),
            false => info.clone(),
        };
        let read = memory.account_as(address, reader, cached, copied, read_base)?;
        if is_coinbase && read.origin == Origin::Base {
            self.coinbase = Some(read.clone());
        }
        Ok(read)
    }

    /// Turns an account into what the access list says that it is for `reader`; returns its id there.
    #[inline]
    pub(super) fn apply_list(
        &self,
        address: &Address,
        reader: TxIndex,
        info: &mut Option<AccountInfo>,
    ) -> Option<ListAccountId> {
        let list = self.memory.access_list()?;
        let id = list.find(address)?;
        list.apply(id, reader, info);
        Some(id)
    }

    /// Gives an account the thread's copy of its code, if there is one.
    #[inline]
    pub(super) fn put_code(&mut self, info: &mut AccountInfo) {
        self.codes.put_into(info);
    }

    /// A slot as `reader` sees it.
    #[inline]
    pub(super) fn slot(
        &self,
        account: &mut TrackedAccount,
        key: U256,
        reader: TxIndex,
    ) -> Result<SlotRead, B::Error> {
        let Self { memory, base, .. } = *self;
        let (address, base_id) = (account.address, account.base_id);
        let read_base = || match base_id {
            Some(base_id) => base.storage_by_account_id_ref(address, base_id.into_revm(), key),
            None => base.storage_ref(address, key),
        };
        let listed = memory.access_list().and_then(|list| list.slot(account.list_id?, key, reader));
        match listed {
            Some(value) => Ok(SlotRead::Value(value, Origin::Block)),
            // While no run publishes, the memory can only save reads of a slow base.
            None if !memory.is_publishing() && !memory.base_has_high_latency() => {
                read_base().map(|value| SlotRead::Value(value, Origin::Base))
            }
            None => memory.slot(account.get_or_insert_id(memory), key, reader, read_base),
        }
    }

    pub(super) fn code(&mut self, hash: B256) -> Result<Bytecode, B::Error> {
        if let Some(known) = self.codes.get(&hash) {
            return Ok(known);
        }
        let code = self.memory.code(self.base, hash)?;
        Ok(self.codes.add(hash, code))
    }

    pub(super) fn block_hash(&self, number: u64) -> Result<B256, B::Error> {
        self.memory.block_hash(self.base, number)
    }
}
