//! A block and the state before it, executed by alloy-evm's own executor and by the engine's.

use std::borrow::Cow;

use alloy_consensus::{ReceiptEnvelope, Signed, TxEnvelope, TxLegacy, transaction::Recovered};
use alloy_eips::eip4895::Withdrawal;
use alloy_evm::{
    Evm, EvmEnv, EvmFactory, FromRecoveredTx,
    block::{BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockExecutorFactory, TxResult},
    eth::{
        EthBlockExecutionCtx, EthBlockExecutorFactory, EthEvmFactory, receipt_builder::AlloyReceiptBuilder,
    },
};
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Signature, TxKind, U256, bytes};
use blockloom_engine::{Block, ParallelExecutorFactory, Rules, Transaction};
use blockloom_fuzz::engine_on;
use blockloom_state::{Allocation, MemoryStore};
use revm::{
    context::{BlockEnv, TxEnv},
    context_interface::result::{ExecutionResult, HaltReason},
    database::{AccountStatus, BundleState, State, WrapDatabaseRef, states::bundle_state::BundleRetention},
};

pub(crate) const SENDER: Address = Address::repeat_byte(0x51);
pub(crate) const OTHER: Address = Address::repeat_byte(0x52);
pub(crate) const CONTRACT: Address = Address::repeat_byte(0xcc);
pub(crate) const DESTRUCTIBLE: Address = Address::repeat_byte(0xdd);

/// Writes the block number and the call value into two slots.
pub(crate) const WRITER: Bytes = bytes!("436000553460015500");

/// A block in the types of a client, and the state before it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) store: MemoryStore,
    pub(crate) rules: Rules,
    pub(crate) env: BlockEnv,
    pub(crate) withdrawals: Option<Vec<Withdrawal>>,
    pub(crate) transactions: Vec<Recovered<TxEnvelope>>,
}

impl Case {
    pub(crate) fn new(
        fork: EthereumHardfork,
        accounts: impl IntoIterator<Item = (Address, Allocation)>,
    ) -> Self {
        let rich = Allocation { balance: U256::from(u64::MAX), ..Allocation::default() };
        let senders = [(SENDER, rich.clone()), (OTHER, rich)];
        let header = alloy_consensus::Header {
            number: 10,
            timestamp: 1000,
            gas_limit: 30_000_000,
            beneficiary: Address::repeat_byte(0xc0),
            base_fee_per_gas: (fork >= London).then_some(1),
            excess_blob_gas: (fork >= Cancun).then_some(0),
            ..Default::default()
        };
        let block = Block::without_body(Rules::mainnet(fork), &header);
        Self {
            store: MemoryStore::from_genesis(senders.into_iter().chain(accounts)),
            rules: block.rules,
            env: block.env,
            withdrawals: block.withdrawals,
            transactions: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, transactions: impl IntoIterator<Item = Recovered<TxEnvelope>>) -> Self {
        self.transactions.extend(transactions);
        self
    }

    pub(crate) fn env(&self) -> EvmEnv {
        let header = alloy_consensus::Header::default();
        let mut env = EvmEnv::for_eth_block(&header, &self.rules, self.rules.chain_id, self.rules.blobs);
        env.block_env = self.env.clone();
        env
    }

    pub(crate) fn ctx(&self) -> EthBlockExecutionCtx<'_> {
        EthBlockExecutionCtx {
            tx_count_hint: Some(self.transactions.len()),
            parent_hash: B256::repeat_byte(0xaa),
            parent_beacon_block_root: self.rules.is_active(Cancun).then(|| B256::repeat_byte(0xbe)),
            ommers: &[],
            withdrawals: self.withdrawals.as_deref().map(Cow::Borrowed),
            extra_data: Bytes::new(),
            slot_number: None,
        }
    }

    pub(crate) fn state(&self) -> CaseState<'_> {
        State::builder().with_database(WrapDatabaseRef(&self.store)).with_bundle_update().build()
    }

    pub(crate) fn eth(&self) -> EthBlockExecutorFactory<AlloyReceiptBuilder, Rules> {
        EthBlockExecutorFactory::new(
            AlloyReceiptBuilder::default(),
            self.rules.clone(),
            EthEvmFactory::default(),
        )
    }

    pub(crate) fn parallel(&self) -> ParallelExecutorFactory<AlloyReceiptBuilder, Rules> {
        ParallelExecutorFactory::new(self.eth(), engine_on(2))
    }

    /// Executes the block with threads that share the database behind a lock.
    fn execute_locking(&self) -> Executed {
        let factory = self.parallel();
        let mut state = self.state();
        let evm = factory.evm_factory().create_evm(&mut state, self.env());
        let executor = factory.create_locking_executor(evm, self.ctx());
        assert_eq!(executor.obstacle(), None, "this test needs the parallel path");
        let result = executor.execute_block(&self.transactions);
        state.merge_transitions(BundleRetention::Reverts);
        Executed { result, bundle: state.take_bundle() }
    }

    /// The transactions as a client announces them.
    pub(crate) fn announced(&self) -> Vec<Transaction> {
        let announced = |signed: &Recovered<TxEnvelope>| Transaction {
            hash: *signed.hash(),
            env: TxEnv::from_recovered_tx(signed.inner(), signed.signer()),
        };
        self.transactions.iter().map(announced).collect()
    }

    /// Executes announced transactions one by one, and asserts that each of them returns what it returns in
    /// sequential execution.
    fn execute_announced(&self) -> Executed {
        let (mut state, factory) = (self.state(), self.eth());
        let evm = factory.evm_factory().create_evm(&mut state, self.env());
        let (_, expected) = one_by_one(factory.create_executor(evm, self.ctx()), &self.transactions);

        let (mut state, factory) = (self.state(), self.parallel());
        let evm = factory.evm_factory().create_evm(&mut state, self.env());
        let executor = factory.create_executor(evm, self.ctx()).announce(|| Some(self.announced()));
        let (result, found) = one_by_one(executor, &self.transactions);
        assert_eq!(found, expected);
        // A block may fail before its first transaction.
        let is_parallel = self.transactions.len() > 1 && !found.is_empty();
        assert!(!is_parallel || factory.counts().parallel() == 1, "this test needs the parallel path");
        state.merge_transitions(BundleRetention::Reverts);
        Executed { result, bundle: state.take_bundle() }
    }

    /// Executes the block with both executors, compares the results, and returns them.
    #[track_caller]
    pub(crate) fn execute(&self) -> Executed {
        let expected = import(&self.eth(), self, Granularity::Block);
        let found = import(&self.parallel(), self, Granularity::Block);
        let one_by_one = import(&self.parallel(), self, Granularity::Transaction);
        assert_same(&expected, &found);
        assert_same(&expected, &one_by_one);
        assert_same(&expected, &self.execute_locking());
        assert_same(&expected, &self.execute_announced());
        found
    }
}

pub(crate) fn pay(
    sender: Address,
    nonce: u64,
    to: impl Into<TxKind>,
    value: u64,
    input: Bytes,
) -> Recovered<TxEnvelope> {
    let transaction = TxLegacy {
        chain_id: None,
        nonce,
        gas_price: 10,
        gas_limit: 300_000,
        to: to.into(),
        value: U256::from(value),
        input,
    };
    recovered(transaction, sender)
}

pub(crate) fn recovered(transaction: TxLegacy, sender: Address) -> Recovered<TxEnvelope> {
    let signed = Signed::new_unhashed(transaction, Signature::test_signature());
    Recovered::new_unchecked(TxEnvelope::Legacy(signed), sender)
}

pub(crate) fn contract(code: Bytes) -> Allocation {
    Allocation { balance: U256::from(9), nonce: 1, code, ..Allocation::default() }
}

pub(crate) struct Executed {
    pub(crate) result: Result<BlockExecutionResult<ReceiptEnvelope>, BlockExecutionError>,
    pub(crate) bundle: BundleState,
}

#[derive(Clone, Copy)]
/// How a client calls the executor: for a whole block, or for each transaction.
pub(crate) enum Granularity {
    Block,
    Transaction,
}

/// The bounds that a client puts on its executor factory.
pub(crate) trait Factory:
    for<'a> BlockExecutorFactory<
        EvmFactory = EthEvmFactory,
        ExecutionCtx<'a> = EthBlockExecutionCtx<'a>,
        Transaction = TxEnvelope,
        Receipt = ReceiptEnvelope,
    >
{
}

impl<F> Factory for F where
    F: for<'a> BlockExecutorFactory<
            EvmFactory = EthEvmFactory,
            ExecutionCtx<'a> = EthBlockExecutionCtx<'a>,
            Transaction = TxEnvelope,
            Receipt = ReceiptEnvelope,
        >
{
}

pub(crate) type CaseState<'a> = State<WrapDatabaseRef<&'a MemoryStore>>;

/// Imports a block as a client does that uses only the traits of alloy-evm.
pub(crate) fn import(factory: &impl Factory, case: &Case, granularity: Granularity) -> Executed {
    let mut state = case.state();
    let evm = factory.evm_factory().create_evm(&mut state, case.env());
    let executor = factory.create_executor(evm, case.ctx());
    let result = match granularity {
        Granularity::Block => executor.execute_block(&case.transactions),
        Granularity::Transaction => one_by_one(executor, &case.transactions).0,
    };
    state.merge_transitions(BundleRetention::Reverts);
    Executed { result, bundle: state.take_bundle() }
}

/// Executes the transactions one by one, and returns the result of each as well.
pub(crate) fn one_by_one<E: BlockExecutor<Transaction = TxEnvelope, Evm: Evm<HaltReason = HaltReason>>>(
    mut executor: E,
    transactions: &[Recovered<TxEnvelope>],
) -> (Result<BlockExecutionResult<E::Receipt>, BlockExecutionError>, Vec<ExecutionResult>) {
    let mut results = Vec::new();
    let executed = (|| {
        executor.apply_pre_execution_changes()?;
        for (count, transaction) in transactions.iter().enumerate() {
            executor.execute_transaction_with_result_closure(transaction, |result| {
                results.push(result.result().result.clone());
            })?;
            assert_eq!(executor.receipts().len(), count + 1, "a receipt is there at once");
        }
        executor.apply_post_execution_changes()
    })();
    (executed, results)
}

#[track_caller]
pub(crate) fn assert_same(expected: &Executed, found: &Executed) {
    match (&expected.result, &found.result) {
        (Ok(expected), Ok(found)) => assert_eq!(found, expected),
        (expected, found) => assert_eq!(format!("{found:?}"), format!("{expected:?}")),
    }
    let (expected, found) = (normalized(&expected.bundle), normalized(&found.bundle));
    // Account by account first: the diff of two whole bundles is unreadable.
    for address in expected.state.keys().chain(found.state.keys()) {
        assert_eq!(found.state.get(address), expected.state.get(address), "{address}");
    }
    assert_eq!(found.contracts, expected.contracts);
    assert_eq!(found.reverts, expected.reverts);
    assert_eq!(found, expected);
}

/// A bundle without two details that do not follow from the changes of a block. A destroyed account
/// has another status if it was created and destroyed once more within one transaction. The empty code
/// is listed or not, depending on how the creation of an account without code ended.
fn normalized(bundle: &BundleState) -> BundleState {
    let mut bundle = bundle.clone();
    bundle.contracts.remove(&KECCAK256_EMPTY);
    for account in bundle.state.values_mut() {
        if account.status == AccountStatus::DestroyedAgain {
            account.status = AccountStatus::Destroyed;
        }
    }
    bundle
}
