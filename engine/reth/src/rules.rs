//! reth's chain specification as the engine's rules, and reth's blocks as the engine's.

use alloy_consensus::Header;
use alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
use alloy_evm::{FromRecoveredTx, eth::spec::EthExecutorSpec};
use alloy_hardforks::EthereumHardfork;
use blockloom_engine::{AccessLists, Block as EngineBlock, Rules, Transaction};
use reth_chainspec::EthChainSpec;
use reth_ethereum_primitives::Block;
use reth_primitives_traits::RecoveredBlock;
use revm::context::TxEnv;

/// The rules for the block with this header.
pub(crate) fn rules(spec: &(impl EthExecutorSpec + EthChainSpec), header: &Header) -> Rules {
    let is_active = |fork: &&EthereumHardfork| {
        let start = spec.ethereum_fork_activation(**fork);
        **fork != EthereumHardfork::Dao
            && start.active_at_timestamp_or_number(header.timestamp, header.number)
    };
    let fork = EthereumHardfork::VARIANTS.iter().rev().find(is_active).unwrap_or(&EthereumHardfork::Frontier);
    let has_list = header.block_access_list_hash.is_some();
    Rules {
        chain_id: spec.chain().id(),
        blobs: spec.blob_params_at_timestamp(header.timestamp),
        // As alloy-evm has it for a chain whose specification names none.
        deposit_contract: spec.deposit_contract_address().unwrap_or(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        dao_block: spec.ethereum_fork_activation(EthereumHardfork::Dao).block_number(),
        access_lists: if has_list { AccessLists::Committed } else { AccessLists::Absent },
        ..Rules::mainnet(*fork)
    }
}

/// The block in the engine's form.
pub(crate) fn engine_block(rules: Rules, block: &RecoveredBlock<Block>) -> EngineBlock {
    let transactions = block.transactions_with_sender().map(|(sender, signed)| Transaction {
        hash: *signed.tx_hash(),
        env: TxEnv::from_recovered_tx(signed, *sender),
    });
    let body = block.body();
    EngineBlock {
        transactions: transactions.collect(),
        ommers: body.ommers.clone(),
        withdrawals: body.withdrawals.clone().map(|withdrawals| withdrawals.into_inner()),
        ..EngineBlock::without_body(rules, block.header())
    }
}
