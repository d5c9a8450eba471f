//! The checks of a header against its parent and the rules of its fork.
//!
//! Owns every rule that needs neither the body nor execution, for all forks. Promises that a valid
//! header is a child of its parent, has exactly the fields of its fork, and has values that the parent
//! allows. Takes the parent as checked, but no parent makes a check panic. Never checks the proof of
//! work, signatures, or the clock.

use std::{cmp::Ordering, iter};

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

/// A rule of a header.
type Check = fn(&Rules, &Header, &Header) -> Result<(), HeaderError>;

/// The rules of a header's position in the chain.
const POSITION: [Check; 2] = [check_number, check_timestamp];

/// The rules of a header's values, which come after those of its fields.
const VALUES: [Check; 14] = [
    check_least_gas_limit,
    check_most_gas_limit,
    check_gas_limit_change,
    check_gas_used,
    check_extra_data_length,
    check_extra_data_of_dao,
    check_base_fee,
    check_difficulty,
    check_nonce,
    check_ommers_hash,
    check_most_blob_gas,
    check_whole_blobs,
    check_excess_blob_gas,
    check_slot,
];

/// Checks all rules of a header that need only its parent and its fork.
///
/// The proof of work is not checked.
///
/// # Errors
///
/// The first rule that the header breaks: position in the chain, then fields, then values.
pub fn check_header(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    broken_header_rules(rules, header, parent).next().map_or(Ok(()), Err)
}

/// Every rule that a header breaks, in the order of [`check_header`].
pub(super) fn broken_header_rules<'h>(
    rules: &'h Rules,
    header: &'h Header,
    parent: &'h Header,
) -> impl Iterator<Item = HeaderError> + 'h {
    let (expected, found) = (parent.hash_slow(), header.parent_hash);
    let parent_hash = (found != expected).then_some(HeaderError::ParentHash { expected, found });
    parent_hash.into_iter().chain(broken_child_rules(rules, header, parent))
}

/// Every rule that a header breaks as the child of `parent`.
pub(super) fn broken_child_rules<'h>(
    rules: &'h Rules,
    header: &'h Header,
    parent: &'h Header,
) -> impl Iterator<Item = HeaderError> + 'h {
    let broken = move |check: Check| check(rules, header, parent).err();
    let fields = move || wrong_fields(rules, header);
    let position = POSITION.into_iter().filter_map(broken);
    position.chain(iter::once_with(fields).flatten()).chain(VALUES.into_iter().filter_map(broken))
}

fn check_number(_: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let follows = parent.number.checked_add(1) == Some(header.number);
    if follows { Ok(()) } else { Err(HeaderError::Number { parent: parent.number, found: header.number }) }
}

fn check_timestamp(_: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let (parent, found) = (parent.timestamp, header.timestamp);
    if found > parent { Ok(()) } else { Err(HeaderError::Timestamp { parent, found }) }
}

/// The fields that the header has before their fork, or lacks from it on.
pub(super) fn wrong_fields(rules: &Rules, header: &Header) -> impl Iterator<Item = HeaderError> + use<> {
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
    table.into_iter().filter_map(|(field, is_present, is_required)| match (is_present, is_required) {
        (true, false) => Some(HeaderError::Unexpected(field)),
        (false, true) => Some(HeaderError::Missing(field)),
        _ => None,
    })
}

fn check_least_gas_limit(_: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (least, found) = (LEAST_GAS_LIMIT, header.gas_limit);
    if found >= least { Ok(()) } else { Err(HeaderError::GasLimitTooLow { least, found }) }
}

fn check_most_gas_limit(_: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (most, found) = (MOST_GAS_LIMIT, header.gas_limit);
    if found <= most { Ok(()) } else { Err(HeaderError::GasLimitTooHigh { most, found }) }
}

fn check_gas_limit_change(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    // At London the old limit becomes the target, and the limit is twice the target.
    let is_first_of_london = rules.is_active(London) && parent.base_fee_per_gas.is_none();
    let factor = if is_first_of_london { ELASTICITY } else { 1 };
    let (parent, found) = (parent.gas_limit.saturating_mul(factor), header.gas_limit);
    let is_close = found.abs_diff(parent) < parent / GAS_LIMIT_SHARE;
    if is_close { Ok(()) } else { Err(HeaderError::GasLimitChange { parent, found }) }
}

fn check_gas_used(_: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (limit, found) = (header.gas_limit, header.gas_used);
    if found <= limit { Ok(()) } else { Err(HeaderError::GasUsed { limit, found }) }
}

fn check_extra_data_length(_: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (most, found) = (MOST_EXTRA_DATA, header.extra_data.len());
    if found <= most { Ok(()) } else { Err(HeaderError::ExtraDataTooLong { most, found }) }
}

fn check_extra_data_of_dao(rules: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let since_dao = rules.dao_block.and_then(|dao| header.number.checked_sub(dao));
    if since_dao.is_some_and(|blocks| blocks < DAO_BLOCKS) && header.extra_data != DAO_EXTRA_DATA {
        let found = header.extra_data.clone();
        return Err(HeaderError::ExtraDataOfDao { expected: DAO_EXTRA_DATA, found });
    }
    Ok(())
}

fn check_base_fee(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let found = header.base_fee_per_gas.filter(|_| rules.is_active(London));
    let Some(found) = found else { return Ok(()) };
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

fn check_difficulty(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let is_merged = rules.is_active(Paris);
    let expected = if is_merged { U256::ZERO } else { next_difficulty(rules, header, parent) };
    let found = header.difficulty;
    if found == expected { Ok(()) } else { Err(HeaderError::Difficulty { expected, found }) }
}

fn check_nonce(rules: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (expected, found) = (B64::ZERO, header.nonce);
    let is_right = !rules.is_active(Paris) || found == expected;
    if is_right { Ok(()) } else { Err(HeaderError::Nonce { expected, found }) }
}

fn check_ommers_hash(rules: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (expected, found) = (EMPTY_OMMER_ROOT_HASH, header.ommers_hash);
    let is_right = !rules.is_active(Paris) || found == expected;
    if is_right { Ok(()) } else { Err(HeaderError::OmmersHash { expected, found }) }
}

fn check_most_blob_gas(rules: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (Some(params), Some(found)) = (rules.blobs, header.blob_gas_used) else { return Ok(()) };
    let most = params.max_blob_gas_per_block();
    if found <= most { Ok(()) } else { Err(HeaderError::BlobGasUsedTooHigh { most, found }) }
}

fn check_whole_blobs(rules: &Rules, header: &Header, _: &Header) -> Result<(), HeaderError> {
    let (Some(_), Some(found)) = (rules.blobs, header.blob_gas_used) else { return Ok(()) };
    let blob = DATA_GAS_PER_BLOB;
    if found.is_multiple_of(blob) { Ok(()) } else { Err(HeaderError::BlobGasUsedInPart { blob, found }) }
}

fn check_excess_blob_gas(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let (Some(params), Some(found)) = (rules.blobs, header.excess_blob_gas) else { return Ok(()) };
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

fn check_slot(_: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    match (parent.slot_number, header.slot_number) {
        (Some(parent), Some(found)) if found <= parent => Err(HeaderError::SlotNumber { parent, found }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
