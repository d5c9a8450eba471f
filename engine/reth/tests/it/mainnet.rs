//! Blocks of mainnet through reth's traits, under reth's own specification of mainnet.

use blockloom_fixtures::{BlockCase, Case, Sources, read};
use blockloom_fuzz::suites::Suites;
use blockloom_reth::BlockloomEvmConfig;
use reth_ethereum_primitives::Block;
use reth_evm::{ConfigureEvm, execute::Executor};
use reth_evm_ethereum::EthEvmConfig;
use reth_primitives_traits::RecoveredBlock;
use revm::database::WrapDatabaseRef;

use crate::chain::{assert_all_parallel, assert_same_bundle, parallel_engine};

#[test]
fn real_blocks_yield_what_they_yield_in_reths_executor() {
    let suites = Suites::find().unwrap();
    let Some(folder) = suites.suite("mainnet") else {
        println!("skipped: there is no suite of mainnet blocks; {suites}");
        return;
    };
    let reth = EthEvmConfig::mainnet();
    let config = BlockloomEvmConfig::new(reth.clone(), parallel_engine()).with_messages();
    let mut blocks = 0;
    for case in Sources::new([folder]).flat_map(|source| read(&source.unwrap()).unwrap().cases) {
        let Case::Block(case) = case else { continue };
        let BlockCase { header, transactions, senders, withdrawals, ommers, state, .. } = *case;
        // The suite has the hashes of ommers only.
        if transactions.len() < 2 || !ommers.is_empty() {
            continue;
        }
        let body = alloy_consensus::BlockBody {
            transactions,
            ommers: Vec::new(),
            withdrawals: withdrawals.map(Into::into),
        };
        let block = RecoveredBlock::new_unhashed(Block { header, body }, senders);
        let db = || WrapDatabaseRef(&state);
        let expected = reth.executor(db()).execute(&block).unwrap();
        assert_eq!(expected.result.gas_used, block.header().gas_used);
        let found =
            [config.executor(db()).execute(&block).unwrap(), config.execute_on(&state, &block).unwrap()];
        for found in found {
            assert!(found.result == expected.result, "{}", block.header().number);
            assert_same_bundle(found.state, expected.state.clone());
        }
        blocks += 1;
    }
    assert!(blocks > 20, "only {blocks} blocks");
    assert_all_parallel(config.counts(), blocks);
}
