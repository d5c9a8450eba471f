//! Ways in and out of the engine: bases behind trait objects, errors down to the base's own, revm's and alloy's types,
//! and serde.

use std::{error::Error, sync::atomic::AtomicI64};

use alloy_consensus::{
    BlobTransactionSidecar, BlockBody, EthereumTxEnvelope, Header, ReceiptEnvelope, Signed, TxEip4844,
    TxEip4844Variant, TxEip4844WithSidecar,
};
use alloy_evm::block::BlockExecutionResult;
use alloy_hardforks::EthereumHardfork::{Amsterdam, Cancun, Osaka, Prague};
use alloy_primitives::{B256, Signature, U256};
use blockloom_engine::{
    Block, BlockError, Config, CustomPrecompiles, Engine, GivenList, Lists, Outcome, Reason, Rules,
    SignedTransaction, TestMode,
};
use blockloom_fuzz::{HostileBlock, bundle_difference, bundle_of_revm, hostile_block};
use blockloom_state::{Changes, MissingCode};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{RngSeed, TestRunner},
};
use revm::{
    DatabaseRef,
    precompile::{PrecompileSpecId, Precompiles},
};

use crate::faults::{Failing, Fault, Occurrence, ReadFailed};

/// Valid blocks with their outcomes, always the same ones.
pub(crate) fn blocks(count: usize) -> Vec<(HostileBlock, Outcome)> {
    let config = proptest::test_runner::Config { rng_seed: RngSeed::Fixed(19), ..Default::default() };
    let mut runner = TestRunner::new(config);
    let blocks = hostile_block(vec![Cancun, Prague, Osaka]);
    let engine = Engine::new(Config { lists: Lists::Always, ..Config::sequential() });
    let mut found = Vec::new();
    while found.len() < count {
        let hostile = blocks.new_tree(&mut runner).unwrap().current();
        if let Ok(outcome) = engine.execute(&hostile.base, &hostile.block)
            && outcome.receipts.len() > 3
        {
            found.push((hostile, outcome));
        }
    }
    found
}

fn engines() -> [Engine; 2] {
    let parallel = Engine::new(Config::with_threads(2)).with_test_mode(TestMode::AlwaysParallel);
    [Engine::new(Config::sequential()), parallel]
}

#[test]
fn a_base_behind_a_trait_object_is_a_base() {
    for (HostileBlock { base, block, .. }, expected) in blocks(10) {
        let base: &(dyn DatabaseRef<Error = MissingCode> + Sync) = &base;
        for engine in engines() {
            let outcome = engine.execute(base, &block).unwrap();
            assert_eq!(outcome.changes, expected.changes);
        }
    }
}

#[test]
fn the_source_of_an_error_is_the_error_of_the_base_itself() {
    let mut failures = 0;
    for (HostileBlock { base, block, .. }, _) in blocks(10) {
        for (engine, reads) in
            engines().into_iter().flat_map(|engine| [0, 3, 7].map(|reads| (engine.clone(), reads)))
        {
            let fault = Fault::Error(Occurrence::Always);
            let base = Failing { store: &base, reads_left: AtomicI64::new(reads), fault, counted: None };
            let Err(error) = engine.execute(&base, &block) else { continue };
            assert!(matches!(error.reason, Reason::Base { .. }), "{error}");
            let source = error.source().expect("the base failed");
            assert!(source.is::<ReadFailed>(), "{source:?}");
            assert!(error.to_string().ends_with("reading the base failed: the read failed"), "{error}");
            failures += 1;
        }
    }
    assert!(failures > 20, "only {failures} blocks failed");
}

#[test]
fn the_source_of_an_invalid_transaction_is_the_rule_that_it_breaks() {
    let (HostileBlock { base, mut block, .. }, _) = blocks(1).remove(0);
    block.transactions[1].env.nonce += 7;
    for engine in engines() {
        let error: BlockError = engine.execute(&base, &block).unwrap_err();
        let source = error.source().expect("a rule is broken");
        assert!(source.is::<blockloom_engine::TransactionError>(), "{source:?}");
    }
}

#[test]
fn an_outcome_becomes_alloys_result_and_revms_bundle() {
    let mut compared = 0;
    for (HostileBlock { base, block, .. }, outcome) in blocks(20) {
        let (result, bundle) = outcome.clone().into_execution::<ReceiptEnvelope>();
        let BlockExecutionResult { receipts, requests, gas_used, blob_gas_used } = result;
        let expected: Vec<ReceiptEnvelope> = outcome.receipts.into_iter().map(Into::into).collect();
        assert_eq!(receipts, expected);
        assert_eq!(requests, outcome.requests.unwrap_or_default());
        assert_eq!((gas_used, blob_gas_used), (outcome.gas_used, outcome.blob_gas_used));
        // revm lets contracts be created at accounts that have nothing but storage (EIP-7610).
        if block.rules.storage_only.is_none() {
            let of_revm = bundle_of_revm(&base, &block).unwrap();
            assert_eq!(bundle_difference(&of_revm, &bundle), None);
            compared += 1;
        }
    }
    assert!(compared >= 10, "only {compared} bundles were compared");
}

#[test]
fn transactions_with_and_without_sidecars_make_the_same_block() {
    let transaction = TxEip4844 {
        chain_id: 1,
        gas_limit: 21_000,
        max_fee_per_gas: 7,
        max_fee_per_blob_gas: 1,
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        value: U256::from(3),
        ..TxEip4844::default()
    };
    let hash = *SignedTransaction::from(sign(transaction.clone())).tx_hash();
    let sidecar = BlobTransactionSidecar::default();
    let with_sidecar = TxEip4844WithSidecar::from_tx_and_sidecar(transaction.clone(), sidecar);
    let plain: SignedTransaction = sign(transaction.clone()).into();
    let variant = TxEip4844Variant::<BlobTransactionSidecar>::TxEip4844(transaction);
    let expected = recovered(plain);
    assert_eq!(
        recovered(EthereumTxEnvelope::Eip4844(sign_as(variant, hash))).transactions,
        expected.transactions
    );
    let variant = TxEip4844Variant::TxEip4844WithSidecar(with_sidecar.clone());
    assert_eq!(
        recovered(EthereumTxEnvelope::Eip4844(sign_as(variant, hash))).transactions,
        expected.transactions
    );
    let pooled = EthereumTxEnvelope::Eip4844(sign_as(with_sidecar, hash));
    assert_eq!(recovered(pooled).transactions, expected.transactions);
    assert_eq!(expected.transactions[0].env.blob_hashes, [B256::with_last_byte(1)]);
}

fn sign(transaction: TxEip4844) -> Signed<TxEip4844> {
    let hash = Signed::new_unhashed(transaction.clone(), Signature::test_signature()).hash().to_owned();
    sign_as(transaction, hash)
}

fn sign_as<T>(transaction: T, hash: B256) -> Signed<T> {
    Signed::new_unchecked(transaction, Signature::test_signature(), hash)
}

fn recovered<T: Into<SignedTransaction>>(transaction: T) -> Block {
    let body = BlockBody { transactions: vec![transaction], ..BlockBody::default() };
    let header = Header { gas_limit: 30_000_000, ..Header::default() };
    Block::recover(Rules::mainnet(Cancun), alloy_consensus::Block { header, body }).unwrap()
}

#[test]
fn statistics_say_how_many_threads_ran_and_how_far() {
    for (HostileBlock { base, block, .. }, _) in blocks(20) {
        let [sequential, parallel] =
            engines().map(|engine| engine.execute(&base, &block).unwrap().statistics);
        assert_eq!((sequential.threads, sequential.threads_used, sequential.farthest_batch), (1, 1, 0));
        assert_eq!(parallel.threads, 2);
        assert!((1..=2).contains(&parallel.threads_used), "{parallel:?}");
        assert!(parallel.farthest_batch < block.transactions.len(), "{parallel:?}");
        let ran_ahead = parallel.incarnations > parallel.at_gate;
        assert!(ran_ahead || (parallel.threads_used, parallel.farthest_batch) == (1, 0), "{parallel:?}");
    }
}

#[test]
fn blocks_outcomes_and_changes_survive_json() {
    for (HostileBlock { base, block, .. }, outcome) in blocks(10) {
        let list = outcome.access_list.clone().unwrap();
        let block = Block { list: GivenList::Nothing, ..block }.with_hint(list).unwrap();
        let text = serde_json::to_string(&block).unwrap();
        let read: Block = serde_json::from_str(&text).unwrap();
        assert_eq!(read.rules, block.rules);
        assert_eq!(read.transactions, block.transactions);
        let lists = [&read, &block].map(|block| block.list.index().unwrap().list().clone());
        assert_eq!(lists[0], lists[1]);
        assert!(matches!(read.list, GivenList::Hint(_)));
        let engine = Engine::new(Config { lists: Lists::Always, ..Config::sequential() });
        assert_eq!(engine.execute(&base, &read).unwrap(), outcome);

        let read: Outcome = serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
        assert_eq!(read, outcome);
        assert_eq!(read.statistics, outcome.statistics);
        let read: Changes = serde_json::from_str(&serde_json::to_string(&outcome.changes).unwrap()).unwrap();
        assert_eq!(read, outcome.changes);
    }
}

#[test]
fn a_malformed_list_is_refused_when_a_block_is_read() {
    let (HostileBlock { block, .. }, outcome) = blocks(1).remove(0);
    let block = Block { list: GivenList::Nothing, ..block }.with_hint(outcome.access_list.unwrap()).unwrap();
    let mut json = serde_json::to_value(&block).unwrap();
    let accounts = json["list"]["Hint"].as_array_mut().unwrap();
    accounts.reverse();
    let error = serde_json::from_value::<Block>(json).unwrap_err();
    assert!(error.to_string().contains("malformed"), "{error}");
}

#[test]
fn precompiles_of_a_chains_own_are_not_written() {
    let own = CustomPrecompiles(Precompiles::new(PrecompileSpecId::OSAKA));
    let rules = Rules { precompiles: Some(own), ..Rules::mainnet(Amsterdam) };
    let error = serde_json::to_string(&rules).unwrap_err();
    assert!(error.to_string().contains("precompiled"), "{error}");
    let rules = Rules::mainnet(Amsterdam);
    let read: Rules = serde_json::from_str(&serde_json::to_string(&rules).unwrap()).unwrap();
    assert_eq!(read, rules);
}
