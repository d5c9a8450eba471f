//! The checks of a header against its parent and the rules of its fork.
//!
//! Owns every rule that needs neither the body nor execution, for all forks. Promises that a valid
//! header is a child of its parent, has exactly the fields of its fork, and has values that the parent
//! allows. Takes the parent as checked, but no parent makes a check panic. Never checks the proof of
//! work, signatures, or the clock.

use std::cmp::Ordering;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip4844::DATA_GAS_PER_BLOB, eip7840::BlobParams};
use alloy_hardforks::EthereumHardfork::{Amsterdam, Cancun, London, Paris, Prague, Shanghai};
use alloy_primitives::{B64, Bytes, U256};

use crate::{
    block::{
        error::header::HeaderError,
        rules::{AccessLists, Rules},
    },
    rules::difficulty::next_difficulty,
};

/// The least gas limit of a block.
const LEAST_GAS_LIMIT: u64 = 5_000;

/// The greatest gas limit of a block (EIP-1985).
const MOST_GAS_LIMIT: u64 = i64::MAX as u64;

/// The gas limit changes by less than one part in this number.
const GAS_LIMIT_SHARE: u64 = 1_024;

/// The gas limit divided by the gas target (EIP-1559).
const ELASTICITY: u64 = 2;

/// The base fee changes by at most about one part in this number (EIP-1559).
const BASE_FEE_SHARE: u128 = 8;

/// The most bytes of extra data.
const MOST_EXTRA_DATA: usize = 32;

/// The extra data of the first blocks from the DAO's irregular state change on.
const DAO_EXTRA_DATA: Bytes = Bytes::from_static(b"dao-hard-fork");

/// The number of these blocks.
const DAO_BLOCKS: u64 = 10;

/// Checks all rules of a header that need only its parent and its fork.
///
/// The proof of work is not checked.
///
/// # Errors
///
/// The first rule that the header breaks: position in the chain, then fields, then values.
pub fn check_header(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let (expected, found) = (parent.hash_slow(), header.parent_hash);
    if found != expected {
        return Err(HeaderError::ParentHash { expected, found });
    }
    check_child(rules, header, parent)
}

/// The same checks without the parent hash, which is known to be the hash of `parent`.
pub(super) fn check_child(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    check_position(header, parent)?;
    check_fields(rules, header)?;
    check_gas(header, parent)?;
    check_extra_data(rules, header)?;
    check_base_fee(header, parent)?;
    check_work(rules, header, parent)?;
    check_blobs(rules, header, parent)?;
    check_slot(header, parent)
}

fn check_position(header: &Header, parent: &Header) -> Result<(), HeaderError> {
    if parent.number.checked_add(1) != Some(header.number) {
        return Err(HeaderError::Number { parent: parent.number, found: header.number });
    }
    if header.timestamp <= parent.timestamp {
        return Err(HeaderError::Timestamp { parent: parent.timestamp, found: header.timestamp });
    }
    Ok(())
}

/// Each field exists exactly from its fork on.
fn check_fields(rules: &Rules, header: &Header) -> Result<(), HeaderError> {
    use crate::block::error::header::HeaderField::*;
    let since = |fork| rules.is_active(fork);
    let has_access_list = rules.access_lists == AccessLists::Committed;
    let table = [
        (BaseFeePerGas, header.base_fee_per_gas.is_some(), since(London)),
        (WithdrawalsRoot, header.withdrawals_root.is_some(), since(Shanghai)),
        (BlobGasUsed, header.blob_gas_used.is_some(), since(Cancun)),
        (ExcessBlobGas, header.excess_blob_gas.is_some(), since(Cancun)),
        (ParentBeaconBlockRoot, header.parent_beacon_block_root.is_some(), since(Cancun)),
        (RequestsHash, header.requests_hash.is_some(), since(Prague)),
        (BlockAccessListHash, header.block_access_list_hash.is_some(), has_access_list),
        (SlotNumber, header.slot_number.is_some(), since(Amsterdam)),
    ];
    match table.into_iter().find(|(_, is_present, is_required)| is_present != is_required) {
        None => Ok(()),
        Some((field, true, _)) => Err(HeaderError::Unexpected(field)),
        Some((field, false, _)) => Err(HeaderError::Missing(field)),
    }
}

fn check_gas(header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let found = header.gas_limit;
    if found < LEAST_GAS_LIMIT {
        return Err(HeaderError::GasLimitTooLow { least: LEAST_GAS_LIMIT, found });
    }
    if found > MOST_GAS_LIMIT {
        return Err(HeaderError::GasLimitTooHigh { most: MOST_GAS_LIMIT, found });
    }
    // At London the old limit becomes the target, and the limit is twice the target.
    let is_first_of_london = header.base_fee_per_gas.is_some() && parent.base_fee_per_gas.is_none();
    let factor = if is_first_of_london { ELASTICITY } else { 1 };
    let limit = parent.gas_limit.saturating_mul(factor);
    if found.abs_diff(limit) >= limit / GAS_LIMIT_SHARE {
        return Err(HeaderError::GasLimitChange { parent: limit, found });
    }
    if header.gas_used > header.gas_limit {
        return Err(HeaderError::GasUsed { limit: header.gas_limit, found: header.gas_used });
    }
    Ok(())
}

fn check_extra_data(rules: &Rules, header: &Header) -> Result<(), HeaderError> {
    let found = &header.extra_data;
    if found.len() > MOST_EXTRA_DATA {
        return Err(HeaderError::ExtraDataTooLong { most: MOST_EXTRA_DATA, found: found.len() });
    }
    let since_dao = rules.dao_block.and_then(|dao| header.number.checked_sub(dao));
    if since_dao.is_some_and(|blocks| blocks < DAO_BLOCKS) && *found != DAO_EXTRA_DATA {
        return Err(HeaderError::ExtraDataOfDao { expected: DAO_EXTRA_DATA, found: found.clone() });
    }
    Ok(())
}

fn check_base_fee(header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let Some(found) = header.base_fee_per_gas else { return Ok(()) };
    let expected = match parent.base_fee_per_gas {
        None => INITIAL_BASE_FEE,
        Some(fee) => next_base_fee(fee, parent).ok_or(HeaderError::BaseFeeOverflow { parent: fee, found })?,
    };
    if found == expected { Ok(()) } else { Err(HeaderError::BaseFee { expected, found }) }
}

/// The base fee after `parent` with the base fee `fee`; `None` if the result has more than 64 bits.
///
/// `calc_next_block_base_fee` of `alloy_eips` computes the same, but overflows on a hostile parent.
fn next_base_fee(fee: u64, parent: &Header) -> Option<u64> {
    let target = parent.gas_limit / ELASTICITY;
    if target == 0 {
        return Some(fee);
    }
    let fee = u128::from(fee);
    let change = |distance: u64| fee * u128::from(distance) / u128::from(target) / BASE_FEE_SHARE;
    let next = match parent.gas_used.cmp(&target) {
        Ordering::Less => fee - change(target - parent.gas_used),
        Ordering::Equal => fee,
        Ordering::Greater => fee + change(parent.gas_used - target).max(1),
    };
    next.try_into().ok()
}

fn check_work(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let is_merged = rules.is_active(Paris);
    let expected = if is_merged { U256::ZERO } else { next_difficulty(rules, header, parent) };
    if header.difficulty != expected {
        return Err(HeaderError::Difficulty { expected, found: header.difficulty });
    }
    if is_merged && header.nonce != B64::ZERO {
        return Err(HeaderError::Nonce { expected: B64::ZERO, found: header.nonce });
    }
    if is_merged && !header.ommers_hash_is_empty() {
        return Err(HeaderError::OmmersHash { expected: EMPTY_OMMER_ROOT_HASH, found: header.ommers_hash });
    }
    Ok(())
}

fn check_blobs(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let (Some(params), Some(used), Some(found)) = (rules.blobs, header.blob_gas_used, header.excess_blob_gas)
    else {
        return Ok(());
    };
    let most = params.max_blob_gas_per_block();
    if used > most {
        return Err(HeaderError::BlobGasUsedTooHigh { most, found: used });
    }
    if !used.is_multiple_of(DATA_GAS_PER_BLOB) {
        return Err(HeaderError::BlobGasUsedInPart { blob: DATA_GAS_PER_BLOB, found: used });
    }
    // A parent before Cancun counts as one without blobs.
    let (excess, used) = (parent.excess_blob_gas.unwrap_or(0), parent.blob_gas_used.unwrap_or(0));
    let expected = next_excess_blob_gas(&params, (excess, used), parent.base_fee_per_gas.unwrap_or(0))
        .ok_or(HeaderError::ExcessBlobGasOverflow { excess, used, found })?;
    if found == expected { Ok(()) } else { Err(HeaderError::ExcessBlobGas { expected, found }) }
}

/// The excess blob gas after a block with `excess` and `used` blob gas; `None` if the computation
/// overflows.
fn next_excess_blob_gas(params: &BlobParams, (excess, used): (u64, u64), base_fee: u64) -> Option<u64> {
    // alloy's arithmetic is unchecked. These are the sum, the product and the quotient in it.
    excess.checked_add(used)?;
    let spare = params.max_blob_count.checked_sub(params.target_blob_count)?;
    used.checked_mul(spare)?.checked_div(params.max_blob_count)?;
    Some(params.next_block_excess_blob_gas_osaka(excess, used, base_fee))
}

fn check_slot(header: &Header, parent: &Header) -> Result<(), HeaderError> {
    match (parent.slot_number, header.slot_number) {
        (Some(parent), Some(found)) if found <= parent => Err(HeaderError::SlotNumber { parent, found }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
