//! The checks of an access list (EIP-7928) that comes with a block: before the execution, during it, and
//! by comparison with the list from execution.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::{
    eip2935, eip4788,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7928::{AccountChanges, BlockAccessList, ITEM_COST, compute_block_access_list_hash, total_bal_items},
    eip8282,
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;
use alloy_rlp::Decodable;
use blockloom_state::{AccessListIndex, Delegations, TxIndex, list_differences};

use crate::block::{
    block::{Block, GivenList},
    error::{Invalid, TransactionError, list::ListError},
};

/// The system contracts: the protocol itself reads their slots, without gas.
const SYSTEM_CONTRACTS: [Address; 6] = [
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip8282::BUILDER_DEPOSIT_CONTRACT_ADDRESS,
    eip8282::BUILDER_EXIT_CONTRACT_ADDRESS,
];

impl Block {
    /// The same block with an untrusted access list. Errors in it cost time.
    ///
    /// # Errors
    ///
    /// If the list is malformed.
    pub fn with_hint(self, list: BlockAccessList) -> Result<Self, ListError> {
        let index = self.index_list(list)?;
        Ok(Self { list: GivenList::Hint(Arc::new(index)), ..self })
    }

    /// The same block with the access list that its header `header` commits to. Executing the block fails
    /// if execution yields another list, system calls and withdrawals included.
    ///
    /// # Errors
    ///
    /// If the list is malformed, longer than the gas limit allows, or not the one of the header. If it is
    /// too long and a transaction's gas limit is above the block's, that transaction is the error, even
    /// if an earlier transaction is invalid too: nothing was executed yet.
    pub fn with_claim(self, header: &Header, list: BlockAccessList) -> Result<Self, Invalid> {
        let index = self.index_list(list)?;
        if let Some(Excess { limit, found }) = excess(header, index.list()) {
            return Err(self.above_block_limit(header).unwrap_or(ListError::Items { limit, found }.into()));
        }
        let (expected, found) = (header.block_access_list_hash, compute_block_access_list_hash(index.list()));
        if expected != Some(found) {
            return Err(ListError::Hash { expected, found }.into());
        }
        Ok(Self { list: GivenList::Claim(Arc::new(index)), ..self })
    }

    /// The index of a list that comes with the block.
    pub(crate) fn index_list(&self, list: BlockAccessList) -> Result<AccessListIndex, ListError> {
        let has_delegations = self.rules.is_active(EthereumHardfork::Prague);
        let delegations = if has_delegations { Delegations::Known } else { Delegations::Unknown };
        Ok(AccessListIndex::new(list, self.transactions.len(), delegations)?)
    }

    /// The first transaction with a gas limit above the block's.
    fn above_block_limit(&self, header: &Header) -> Option<Invalid> {
        let available = header.gas_limit;
        let position = self.transactions.iter().position(|next| next.env.gas_limit > available)?;
        let transaction = &self.transactions[position];
        Some(Invalid::Transaction {
            index: TxIndex::new(position),
            hash: transaction.hash,
            reason: TransactionError::GasAboveBlock { limit: transaction.env.gas_limit, available },
        })
    }
}

/// A list that is too long.
pub(super) struct Excess {
    /// The most accounts and slots that the gas limit allows.
    pub(super) limit: u64,
    /// The accounts and slots of the list.
    pub(super) found: u64,
}

/// The excess of a list, if it has more accounts and slots than the block's gas limit allows.
pub(super) fn excess(header: &Header, list: &[AccountChanges]) -> Option<Excess> {
    let (limit, found) = (header.gas_limit / ITEM_COST as u64, total_bal_items(list));
    (found > limit).then_some(Excess { limit, found })
}

/// Decodes an RLP-encoded access list, as the network sends it.
///
/// # Errors
///
/// If the bytes encode no list, or more bytes follow it.
pub fn decode_list(mut bytes: &[u8]) -> Result<BlockAccessList, ListError> {
    let list = Vec::<AccountChanges>::decode(&mut bytes)?;
    if bytes.is_empty() { Ok(list) } else { Err(alloy_rlp::Error::UnexpectedLength.into()) }
}

/// The check during the execution that the remaining gas can pay for the remaining reads of a claimed list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimedReads {
    /// The slots in the list that transactions read, but do not change.
    reads: u64,
}

impl ClaimedReads {
    pub(crate) fn new(claim: &AccessListIndex) -> Self {
        let is_paid_for = |account: &&AccountChanges| !SYSTEM_CONTRACTS.contains(&account.address);
        let paid_for = claim.list().iter().filter(is_paid_for);
        Self { reads: paid_for.map(|account| account.storage_reads.len() as u64).sum() }
    }

    /// Checks before transaction `index` that the remaining gas can pay for all reads of the list that
    /// execution has not done. Execution has done at most `accesses` reads.
    ///
    /// The check is sound: each read of an unchanged slot costs at least 2,000 gas, even after refunds,
    /// because the refund for clearing a slot is less than the cost of clearing it.
    ///
    /// # Errors
    ///
    /// If the gas cannot pay for the reads.
    pub(crate) fn check_gas(self, index: TxIndex, accesses: u64, gas: u64) -> Result<(), ListError> {
        let reads = self.reads.saturating_sub(accesses);
        if reads.saturating_mul(ITEM_COST as u64) > gas {
            return Err(ListError::Unjustified { index, reads, gas });
        }
        Ok(())
    }
}

/// Compares a claimed list with the list from execution.
///
/// # Errors
///
/// The first difference, and the number of differences.
pub(crate) fn check_claim(claim: &AccessListIndex, actual: &BlockAccessList) -> Result<(), ListError> {
    if claim.list() == actual {
        return Ok(());
    }
    let differences = list_differences(claim.list(), actual);
    let count = differences.len();
    let first =
        differences.into_iter().next().expect("two sorted lists that are not equal have a difference");
    Err(ListError::Differs { first: Box::new(first), count })
}
