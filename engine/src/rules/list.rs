//! An access list (EIP-7928) that comes with a block: what is wrong with it, as far as it can be told
//! without executing, while executing, and by comparing it with what execution yields.

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
use blockloom_state::{Delegations, AccessListIndex, TxIndex, list_differences};

use crate::block::{
    block::{Block, GivenList},
    error::{Invalid, TransactionError, list::ListError},
};

/// The contracts of which the protocol itself reads slots that no gas pays for.
const SYSTEM_CONTRACTS: [Address; 6] = [
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip8282::BUILDER_DEPOSIT_CONTRACT_ADDRESS,
    eip8282::BUILDER_EXIT_CONTRACT_ADDRESS,
];

impl Block {
    /// The same block with an access list that nobody commits to. If it is wrong, that costs time.
    ///
    /// # Errors
    ///
    /// If the list is malformed.
    pub fn with_hint(self, list: BlockAccessList) -> Result<Self, ListError> {
        let foresight = self.foresight(list)?;
        Ok(Self { list: GivenList::Hint(Arc::new(foresight)), ..self })
    }

    /// The same block with the access list that its header commits to; `header` is its own. Executing it
    /// fails if the list is not what execution yields, system calls and withdrawals included.
    ///
    /// # Errors
    ///
    /// If the list is malformed, longer than the gas limit allows, or not the one in the header; or if a
    /// transaction asks for more gas than the block has, which explains a list that is too long. Another
    /// transaction before it may be invalid as well: nothing was executed yet.
    pub fn with_claim(self, header: &Header, list: BlockAccessList) -> Result<Self, Invalid> {
        let foresight = self.foresight(list)?;
        if let Some(Excess { limit, found }) = excess(header, foresight.list()) {
            return Err(self.asks_too_much(header).unwrap_or(ListError::Items { limit, found }.into()));
        }
        let (expected, found) =
            (header.block_access_list_hash, compute_block_access_list_hash(foresight.list()));
        if expected != Some(found) {
            return Err(ListError::Hash { expected, found }.into());
        }
        Ok(Self { list: GivenList::Claim(Arc::new(foresight)), ..self })
    }

    fn foresight(&self, list: BlockAccessList) -> Result<AccessListIndex, ListError> {
        let knows_delegations = self.rules.is_active(EthereumHardfork::Prague);
        let delegations = if knows_delegations { Delegations::Known } else { Delegations::Unknown };
        Ok(AccessListIndex::new(list, self.transactions.len(), delegations)?)
    }

    /// The first transaction that asks for more gas than the whole block has.
    fn asks_too_much(&self, header: &Header) -> Option<Invalid> {
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
    /// The most accounts and slots that the gas limit pays for.
    pub(super) limit: u64,
    /// How many there are.
    pub(super) found: u64,
}

/// Whether a list has more than the block's gas limit pays for.
pub(super) fn excess(header: &Header, list: &[AccountChanges]) -> Option<Excess> {
    let (limit, found) = (header.gas_limit / ITEM_COST as u64, total_bal_items(list));
    (found > limit).then_some(Excess { limit, found })
}

/// Decodes an access list as the protocol sends it.
///
/// # Errors
///
/// If it is none, or something follows it.
pub fn decode_list(mut bytes: &[u8]) -> Result<BlockAccessList, ListError> {
    let list = Vec::<AccountChanges>::decode(&mut bytes)?;
    if bytes.is_empty() { Ok(list) } else { Err(alloy_rlp::Error::UnexpectedLength.into()) }
}

/// What a claimed list still has to be justified by the rest of its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    /// How many slots of contracts that transactions pay for are said to be read and not changed.
    reads: u64,
}

impl Claimed {
    pub(crate) fn new(claim: &AccessListIndex) -> Self {
        let is_paid_for = |account: &&AccountChanges| !SYSTEM_CONTRACTS.contains(&account.address);
        let paid_for = claim.list().iter().filter(is_paid_for);
        Self { reads: paid_for.map(|account| account.storage_reads.len() as u64).sum() }
    }

    /// Whether the gas that is left before transaction `index` pays for all reads that the list has and
    /// execution has not done; it did no more than `accesses`.
    ///
    /// Sound, for each access of a slot that stays as it is takes 2,000 gas at least, whatever is paid
    /// back: what clearing other slots pays back is less than what that takes.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub(crate) fn check_gas(self, index: TxIndex, accesses: u64, gas: u64) -> Result<(), ListError> {
        let reads = self.reads.saturating_sub(accesses);
        if reads.saturating_mul(ITEM_COST as u64) > gas {
            return Err(ListError::Unjustified { index, reads, gas });
        }
        Ok(())
    }
}

/// Compares a claimed list with the one that execution yields.
///
/// # Errors
///
/// Where they part first.
pub(crate) fn check_claim(claim: &AccessListIndex, actual: &BlockAccessList) -> Result<(), ListError> {
    if claim.list() == actual {
        return Ok(());
    }
    let list_differences = list_differences(claim.list(), actual);
    let count = list_differences.len();
    let first = list_differences.into_iter().next().expect("two lists in order that differ say different things");
    Err(ListError::Parts { first: Box::new(first), count })
}
