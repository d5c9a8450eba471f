//! Gas admission: whether a transaction fits into the block's remaining gas and blob gas.
//!
//! Up to Osaka a block has one gas budget, and a transaction spends its gas after refunds. From
//! Amsterdam on (EIP-8037) a block has two budgets of the same size, one for execution and one for
//! state, and the greater spending of the two is the block's gas used.

use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_hardforks::EthereumHardfork;
use revm::{context::TxEnv, context_interface::result::ResultGas};

use crate::block::{block::Block, error::TransactionError};

/// The gas budgets of a block, and the spending so far.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    gas_limit: u64,
    blob_gas_limit: u64,
    /// The most gas that a transaction can spend on execution (EIP-7825).
    transaction_cap: u64,
    split: Split,
    /// The gas that senders paid for, as receipts count it.
    paid: u64,
    execution: u64,
    state: u64,
    blob_gas: u64,
}

/// Whether state gas has its own budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    OneBudget,
    StateApart,
}

impl Budgets {
    /// The budgets of a block before its first transaction.
    pub(crate) fn new(block: &Block) -> Self {
        let rules = &block.rules;
        let is_split = rules.is_active(EthereumHardfork::Amsterdam);
        Self {
            gas_limit: block.env.gas_limit,
            blob_gas_limit: rules.blobs.map_or(u64::MAX, |blobs| blobs.max_blob_gas_per_block()),
            transaction_cap: if is_split { alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA } else { u64::MAX },
            split: if is_split { Split::StateApart } else { Split::OneBudget },
            paid: 0,
            execution: 0,
            state: 0,
            blob_gas: 0,
        }
    }

    /// Checks that a transaction fits into the remaining budgets.
    pub(crate) fn admit(&self, transaction: &TxEnv) -> Result<(), TransactionError> {
        let limit = transaction.gas_limit;
        match self.split {
            Split::OneBudget => fits(limit, self.gas_limit.saturating_sub(self.paid))?,
            Split::StateApart => {
                let execution = self.gas_limit.saturating_sub(self.execution);
                fits(limit.min(self.transaction_cap), execution)?;
                fits(limit, self.gas_limit.saturating_sub(self.state))?;
            }
        }
        let wanted = blob_gas(transaction);
        let available = self.blob_gas_limit.saturating_sub(self.blob_gas);
        if wanted > available {
            return Err(TransactionError::BlobsAboveBlock { wanted, available });
        }
        Ok(())
    }

    /// Subtracts the gas that a transaction used.
    pub(crate) fn spend(&mut self, transaction: &TxEnv, gas: &ResultGas) {
        self.paid += gas.tx_gas_used();
        self.execution += gas.block_regular_gas_used();
        self.state += gas.block_state_gas_used();
        self.blob_gas += blob_gas(transaction);
    }

    /// The gas that senders paid for so far, as receipts count it.
    pub(crate) fn paid(&self) -> u64 {
        self.paid
    }

    /// The gas that is left for execution.
    pub(crate) fn left(&self) -> u64 {
        self.gas_limit.saturating_sub(match self.split {
            Split::OneBudget => self.paid,
            Split::StateApart => self.execution,
        })
    }

    /// The gas that counts against the block's limit.
    pub(crate) fn gas_used(&self) -> u64 {
        match self.split {
            Split::OneBudget => self.paid,
            Split::StateApart => self.execution.max(self.state),
        }
    }

    /// The blob gas of the transactions so far.
    pub(crate) fn blob_gas_used(&self) -> u64 {
        self.blob_gas
    }
}

fn fits(limit: u64, available: u64) -> Result<(), TransactionError> {
    if limit > available {
        return Err(TransactionError::GasAboveBlock { limit, available });
    }
    Ok(())
}

fn blob_gas(transaction: &TxEnv) -> u64 {
    transaction.blob_hashes.len() as u64 * DATA_GAS_PER_BLOB
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Header;

    use super::*;
    use crate::block::rules::Rules;

    fn budgets(fork: EthereumHardfork) -> Budgets {
        let header = Header { gas_limit: 30_000_000, ..Header::default() };
        Budgets::new(&Block::without_body(Rules::mainnet(fork), &header))
    }

    fn transaction(gas_limit: u64, blobs: usize) -> TxEnv {
        TxEnv { gas_limit, blob_hashes: vec![Default::default(); blobs], ..TxEnv::default() }
    }

    #[test]
    fn a_transaction_must_fit_into_the_gas_that_is_left() {
        let mut budgets = budgets(EthereumHardfork::Prague);
        assert_eq!(budgets.admit(&transaction(30_000_000, 0)), Ok(()));
        let refused = TransactionError::GasAboveBlock { limit: 30_000_001, available: 30_000_000 };
        assert_eq!(budgets.admit(&transaction(30_000_001, 0)), Err(refused));

        let gas = ResultGas::default().with_total_gas_spent(1_000_000).with_refunded(200_000);
        budgets.spend(&transaction(2_000_000, 0), &gas);
        assert_eq!((budgets.paid(), budgets.gas_used()), (800_000, 800_000));
        let refused = TransactionError::GasAboveBlock { limit: 29_200_001, available: 29_200_000 };
        assert_eq!(budgets.admit(&transaction(29_200_001, 0)), Err(refused));
    }

    #[test]
    fn blobs_have_their_own_budget() {
        let mut budgets = budgets(EthereumHardfork::Cancun);
        budgets.spend(&transaction(21_000, 4), &ResultGas::default());
        assert_eq!(budgets.admit(&transaction(21_000, 2)), Ok(()));
        let refused = TransactionError::BlobsAboveBlock { wanted: 3 << 17, available: 2 << 17 };
        assert_eq!(budgets.admit(&transaction(21_000, 3)), Err(refused));
        assert_eq!(budgets.blob_gas_used(), 4 << 17);
    }

    #[test]
    fn from_amsterdam_on_only_the_capped_part_counts_for_execution() {
        let mut budgets = budgets(EthereumHardfork::Amsterdam);
        let gas = ResultGas::default().with_total_gas_spent(20_000_000);
        budgets.spend(&transaction(20_000_000, 0), &gas);
        let capped = 1 << 24;
        let refused = TransactionError::GasAboveBlock { limit: capped, available: 10_000_000 };
        assert_eq!(budgets.admit(&transaction(25_000_000, 0)), Err(refused));
        assert_eq!(budgets.admit(&transaction(10_000_000, 0)), Ok(()));
    }
}
