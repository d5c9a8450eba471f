//! Blocks on bases that many threads read at once.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{CancelHandle, Obstacle};
use blockloom_reth::{BlockloomEvmConfig, SharedProviders};
use blockloom_state::MemoryStore;
use reth_evm::{ConfigureEvm, execute::Executor};
use reth_primitives_traits::RecoveredBlock;
use reth_storage_errors::provider::ProviderError;
use revm::{
    DatabaseRef,
    database::WrapDatabaseRef,
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
    base: &'c MemoryStore,
    reads: Cell<usize>,
}

impl Provider<'_> {
    fn read<T, E: fmt::Debug>(
        &self,
        read: impl FnOnce(&MemoryStore) -> Result<T, E>,
    ) -> Result<T, ProviderError> {
        self.reads.set(self.reads.get() + 1);
        Ok(read(self.base).unwrap())
    }
}

impl DatabaseRef for Provider<'_> {
    type Error = ProviderError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ProviderError> {
        self.read(|base| base.basic_ref(address))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ProviderError> {
        self.read(|base| base.code_by_hash_ref(code_hash))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, ProviderError> {
        self.read(|base| base.storage_ref(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ProviderError> {
        self.read(|base| base.block_hash_ref(number))
    }
}

#[test]
fn a_block_on_state_providers_yields_what_it_yields_in_reths_executor() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let base = SharedProviders::new(|| Ok(Provider { base: &chain.base, reads: Cell::default() }));
    let expected = chain.reth().executor(chain.db()).execute(&chain.blocks[0]).unwrap();
    let found = chain.blockloom().execute_on(&base, &chain.blocks[0]).unwrap();
    assert_eq!(found.result, expected.result);
    assert_same_bundle(found.state, expected.state);
}

/// A database whose reads wait for each other.
struct Meeting(Arc<Barrier>);

impl DatabaseRef for Meeting {
    type Error = ProviderError;

    fn basic_ref(&self, _address: Address) -> Result<Option<AccountInfo>, ProviderError> {
        self.0.wait();
        Ok(None)
    }

    fn code_by_hash_ref(&self, _code_hash: B256) -> Result<Bytecode, ProviderError> {
        Ok(Bytecode::default())
    }

    fn storage_ref(&self, _address: Address, _index: U256) -> Result<U256, ProviderError> {
        Ok(U256::ZERO)
    }

    fn block_hash_ref(&self, _number: u64) -> Result<B256, ProviderError> {
        Ok(B256::ZERO)
    }
}

#[test]
fn threads_that_read_at_once_have_a_state_provider_each_and_later_reads_use_them_again() {
    const THREADS: usize = 3;
    let made = AtomicUsize::new(0);
    let barrier = Arc::new(Barrier::new(THREADS));
    let base = SharedProviders::new(|| {
        made.fetch_add(1, Ordering::Relaxed);
        Ok(Meeting(Arc::clone(&barrier)))
    });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..4).for_each(|_| assert_eq!(base.basic_ref(Address::ZERO).unwrap(), None)));
        }
    });
    assert_eq!(base.storage_ref(Address::ZERO, U256::ZERO).unwrap(), U256::ZERO);
    assert_eq!(made.load(Ordering::Relaxed), THREADS);
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
fn an_invalid_block_on_a_base_has_the_error_of_reths_executor() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let (block, mut senders) = chain.blocks[0].clone().split();
    senders[9] = Address::repeat_byte(0x99);
    let block = RecoveredBlock::new_unhashed(block, senders);
    let config = chain.blockloom();
    let found = config.execute_on(&chain.base, &block).unwrap_err();
    let expected = chain.reth().executor(chain.db()).execute(&block).unwrap_err();
    assert!(found.as_validation().is_some(), "{found:?}");
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    assert_eq!(config.counts().sequential(Obstacle::Failed), 0);
}

#[test]
fn a_chain_without_system_contracts_is_valid_as_it_is_in_reth() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let base = chain.base_without_system_contracts();
    let blocks = &chain.blocks[..3];
    let expected = chain.reth().batch_executor(WrapDatabaseRef(&base)).execute_batch(blocks).unwrap();
    let config = chain.blockloom();
    let found = config.execute_range_on(&base, blocks).unwrap();
    assert_same_outcome(found, expected);
    assert_eq!(config.counts().sequential(Obstacle::Failed), 3);
}

#[test]
fn deposits_are_found_if_the_specification_names_no_contract() {
    let mut chain = TestChain::new(EthereumHardfork::Osaka);
    Arc::make_mut(&mut chain.spec).deposit_contract = None;
    let expected = chain.reth().executor(chain.db()).execute(&chain.blocks[0]).unwrap();
    let deposits = &expected.result.requests[0];
    assert_eq!((deposits[0], deposits.len()), (DEPOSIT_REQUEST_TYPE, 1 + 48 + 32 + 8 + 96 + 8));
    let config = chain.blockloom();
    let found = config.execute_on(&chain.base, &chain.blocks[0]).unwrap();
    assert_eq!(found.result, expected.result);
    assert_eq!(config.counts().sequential(Obstacle::Failed), 0);
}

#[test]
fn a_cancelled_block_is_not_executed_by_reth() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let handle = CancelHandle::new();
    handle.cancel();
    let config = BlockloomEvmConfig::new(chain.reth(), parallel_engine().cancelled_by(&handle));
    let error = config.execute_on(&chain.base, &chain.blocks[0]).unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
}
