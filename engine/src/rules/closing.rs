//! The steps of a block after its last transaction: withdrawals, rewards and requests.

use alloy_consensus::Header;
use alloy_eips::{
    eip6110::DEPOSIT_REQUEST_TYPE,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7685::Requests,
    eip8282::{BUILDER_DEPOSIT_CONTRACT_ADDRESS, BUILDER_EXIT_CONTRACT_ADDRESS},
};
use alloy_evm::block::{SystemCaller, state_changes::post_block_balance_increments};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;
use blockloom_state::{Account, Base, Overlay};
use revm::{Database, database::DatabaseCommitExt};

use crate::{
    block::{
        block::Block,
        error::{BlockStep, Invalid, Reason, SystemCallError, ommers::OmmerError},
        outcome::Receipt,
    },
    evm::{CommittedMachine, handling::Handling, watch::Watch},
    rules::{
        deposits::deposits,
        opening::{base_error, system_call_error},
    },
};

/// The greatest age of a rewarded ommer, in generations: the reward decreases to zero with the age.
const OLDEST_OMMER: u64 = 7;

/// The contracts that are called for requests, and their forks. By EIP-7002, EIP-7251 and EIP-8282 a block is invalid
/// if one of them has no code.
const REQUEST_CONTRACTS: [(EthereumHardfork, Address); 4] = [
    (EthereumHardfork::Prague, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
    (EthereumHardfork::Prague, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
    (EthereumHardfork::Amsterdam, BUILDER_DEPOSIT_CONTRACT_ADDRESS),
    (EthereumHardfork::Amsterdam, BUILDER_EXIT_CONTRACT_ADDRESS),
];

/// Refuses ommers for which no reward can be computed. [`check_ommers`](crate::check_ommers) checks
/// whether they may be included.
fn check_rewarded(block: &Block) -> Result<(), Invalid> {
    let number = block.number();
    let is_rewarded = |ommer: &Header| {
        number.checked_sub(ommer.number).is_some_and(|age| (1..=OLDEST_OMMER).contains(&age))
    };
    match block.ommers.iter().position(|ommer| !is_rewarded(ommer)) {
        Some(position) => {
            let reason = OmmerError::UnknownParent { parent: block.ommers[position].parent_hash };
            Err(Invalid::Ommer { position, reason })
        }
        None => Ok(()),
    }
}

/// Pays withdrawals and rewards, and collects the requests to the consensus layer.
pub(crate) fn close<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>>(
    machine: &mut CommittedMachine<'a, B, H, W>,
    block: &Block,
    receipts: &[Receipt],
) -> Result<Option<Requests>, Reason> {
    if !block.frame.has_closing() {
        return Ok(None);
    }
    check_rewarded(block)?;
    let increments =
        post_block_balance_increments(&block.rules, &block.env, &block.ommers, block.withdrawals.as_deref());
    let paid = machine.overlay().increment_balances(increments);
    paid.map_err(|error| base_error(BlockStep::Closing, error))?;
    if !block.rules.is_active(EthereumHardfork::Prague) {
        return Ok(None);
    }

    let mut requests = Requests::default();
    let deposits = deposits(block.rules.deposit_contract, receipts)?;
    if !deposits.is_empty() {
        requests.push_request_with_type(DEPOSIT_REQUEST_TYPE, deposits);
    }
    for (since, contract) in REQUEST_CONTRACTS {
        if !block.rules.is_active(since) {
            continue;
        }
        let info =
            machine.overlay().basic(contract).map_err(|error| base_error(BlockStep::Closing, error))?;
        if !info.is_some_and(|info| Account::from(&info).has_code()) {
            return Err(Invalid::SystemCall { contract, reason: SystemCallError::NoCode }.into());
        }
    }
    SystemCaller::new(&block.rules)
        .append_post_execution_changes(machine, &mut requests)
        .map_err(|error| system_call_error(machine, BlockStep::Closing, error))?;
    Ok(Some(requests))
}
