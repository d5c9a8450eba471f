//! Blocks on bases that many threads read at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256};
use blockloom_reth::SharedProviders;
use reth_evm::{ConfigureEvm, execute::Executor};
use reth_storage_errors::provider::ProviderError;
use revm::{
    DatabaseRef,
    state::{AccountInfo, Bytecode},
};

use crate::chain::*;

#[test]
fn a_range_on_a_base_yields_what_it_yields_in_reths_executor() {
    for chain in TestChain::all() {
        let expected = chain.reth().batch_executor(chain.db()).execute_batch(&chain.blocks).unwrap();
        let found = chain.blockloom().execute_range_on(&chain.base, &chain.blocks).unwrap();
        assert_same_outcome(found, expected);
    }
}

/// A database as reth's over a state provider. It must not be used by two threads at once.
struct Provider<'c> {
    chain: &'c TestChain,
    reads: std::cell::Cell<usize>,
}

impl Provider<'_> {
    fn read<T>(&self, read: impl FnOnce(&Db<'_>) -> T) -> Result<T, ProviderError> {
        self.reads.set(self.reads.get() + 1);
        Ok(read(&self.chain.db()))
    }
}

impl DatabaseRef for Provider<'_> {
    type Error = ProviderError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ProviderError> {
        self.read(|db| db.0.basic_ref(address).unwrap())
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ProviderError> {
        self.read(|db| db.0.code_by_hash_ref(code_hash).unwrap())
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, ProviderError> {
        self.read(|db| db.0.storage_ref(address, index).unwrap())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ProviderError> {
        self.read(|db| db.0.block_hash_ref(number).unwrap())
    }
}

#[test]
fn each_thread_has_a_state_provider_of_its_own() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let made = AtomicUsize::new(0);
    let base = SharedProviders::new(|| {
        made.fetch_add(1, Ordering::Relaxed);
        Ok(Provider { chain: &chain, reads: Default::default() })
    });
    let expected = chain.reth().executor(chain.db()).execute(&chain.blocks[0]).unwrap();
    let found = chain.blockloom().execute_on(&base, &chain.blocks[0]).unwrap();
    assert_eq!(found.result, expected.result);
    assert_same_bundle(found.state, expected.state);
    let made = made.into_inner();
    assert!((1..=8).contains(&made), "{made} providers for three threads and those that prefetch");
}

#[test]
fn a_provider_that_cannot_be_made_is_an_internal_error() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let base = SharedProviders::new(|| Err::<Provider<'_>, _>(ProviderError::BestBlockNotFound));
    let error = chain.blockloom().execute_on(&base, &chain.blocks[0]).unwrap_err();
    assert!(error.as_validation().is_none(), "{error:?}");
    assert!(error.to_string().contains("best block"), "{error}");
}

#[test]
fn an_invalid_block_on_a_base_is_a_validation_error() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let (block, mut senders) = chain.blocks[0].clone().split();
    senders[9] = alloy_primitives::Address::repeat_byte(0x99);
    let block = reth_primitives_traits::RecoveredBlock::new_unhashed(block, senders);
    let error = chain.blockloom().execute_on(&chain.base, &block).unwrap_err();
    assert!(error.as_validation().is_some(), "{error:?}");
}
