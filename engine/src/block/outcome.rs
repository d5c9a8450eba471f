//! The outcome of a block, and its receipts.

use alloy_consensus::{Eip658Value, EthereumReceipt, ReceiptEnvelope, TxType};
use alloy_eips::{eip7685::Requests, eip7928::BlockAccessList};
use alloy_evm::block::BlockExecutionResult;
use alloy_primitives::{B256, Log};
use blockloom_state::Changes;
use revm::database::BundleState;

use crate::block::statistics::Statistics;

/// Everything that executing a block yields.
///
/// Equality ignores the statistics.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Outcome {
    /// The receipts of the transactions, in order.
    pub receipts: Vec<Receipt>,
    /// The gas that counts against the block's limit.
    pub gas_used: u64,
    /// The blob gas of all transactions; zero before Cancun.
    pub blob_gas_used: u64,
    /// The requests to the consensus layer (EIP-7685); `None` before Prague.
    pub requests: Option<Requests>,
    /// The changes to the base, with those of system calls, withdrawals and rewards.
    pub changes: Changes,
    /// The block-level access list (EIP-7928); `None` unless the block's rules demand one, the block came
    /// with a claimed one, or [`Config::lists`](crate::Config::lists) asks for one.
    pub access_list: Option<BlockAccessList>,
    /// What executing the block took.
    pub statistics: Statistics,
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        let Self { receipts, gas_used, blob_gas_used, requests, changes, access_list, statistics: _ } = self;
        *receipts == other.receipts
            && *gas_used == other.gas_used
            && *blob_gas_used == other.blob_gas_used
            && *requests == other.requests
            && *changes == other.changes
            && *access_list == other.access_list
    }
}

impl Eq for Outcome {}

impl Outcome {
    /// Puts the state root after each transaction into its receipt, as before Byzantium. Execution
    /// alone does not compute the roots.
    ///
    /// # Panics
    ///
    /// If there is not one root for each receipt.
    #[must_use]
    pub fn with_post_states(mut self, roots: &[B256]) -> Self {
        assert_eq!(roots.len(), self.receipts.len(), "one state root belongs to each receipt");
        for (receipt, root) in self.receipts.iter_mut().zip(roots) {
            receipt.status = Eip658Value::PostState(*root);
        }
        self
    }

    /// The outcome as clients on alloy-evm and revm keep it: alloy-evm's result, and revm's bundle with reverts. The
    /// access list and the statistics are dropped.
    ///
    /// ```
    /// # use alloy_consensus::Header;
    /// # use alloy_hardforks::EthereumHardfork;
    /// # use blockloom_engine::{Block, Config, Engine, Rules};
    /// # let base = blockloom_state::MemoryStore::new();
    /// # let block = Block::without_body(Rules::mainnet(EthereumHardfork::Shanghai), &Header::default());
    /// let outcome = Engine::new(Config::default()).execute(&base, &block)?;
    /// let (result, bundle) = outcome.into_execution::<alloy_consensus::ReceiptEnvelope>();
    /// assert_eq!(result.gas_used, 0);
    /// assert!(bundle.is_empty());
    /// # Ok::<(), blockloom_engine::BlockError>(())
    /// ```
    pub fn into_execution<R: From<Receipt>>(mut self) -> (BlockExecutionResult<R>, BundleState) {
        let bundle = std::mem::take(&mut self.changes).into_bundle();
        (self.into(), bundle)
    }
}

impl<R: From<Receipt>> From<Outcome> for BlockExecutionResult<R> {
    /// The changes, the access list and the statistics are dropped. Before Prague there are no requests: the list is
    /// empty.
    fn from(outcome: Outcome) -> Self {
        let Outcome { receipts, requests, gas_used, blob_gas_used, .. } = outcome;
        let receipts = receipts.into_iter().map(R::from).collect();
        Self { receipts, requests: requests.unwrap_or_default(), gas_used, blob_gas_used }
    }
}

/// What a stream of blocks yields beside their outcomes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StreamTotal {
    /// The changes of all blocks together, to the state before the first one.
    pub changes: Changes,
    /// What executing the blocks took.
    pub statistics: Statistics,
}

/// The receipt of a transaction. Its bloom is computed when it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Receipt {
    /// The type of the transaction.
    pub tx_type: TxType,
    /// Whether the transaction succeeded; before Byzantium the state root after it.
    pub status: Eip658Value,
    /// The gas that the block's transactions used, up to and including this one.
    pub cumulative_gas_used: u64,
    /// The logs of the transaction.
    pub logs: Vec<Log>,
}

impl From<Receipt> for EthereumReceipt {
    /// A state root after the transaction, as before Byzantium, counts as success.
    fn from(receipt: Receipt) -> Self {
        let Receipt { tx_type, status, cumulative_gas_used, logs } = receipt;
        Self { tx_type, success: status.coerce_status(), cumulative_gas_used, logs }
    }
}

impl From<Receipt> for ReceiptEnvelope {
    fn from(receipt: Receipt) -> Self {
        let Receipt { tx_type, status, cumulative_gas_used, logs } = receipt;
        let body = alloy_consensus::Receipt { status, cumulative_gas_used, logs }.with_bloom();
        match tx_type {
            TxType::Legacy => Self::Legacy(body),
            TxType::Eip2930 => Self::Eip2930(body),
            TxType::Eip1559 => Self::Eip1559(body),
            TxType::Eip4844 => Self::Eip4844(body),
            TxType::Eip7702 => Self::Eip7702(body),
        }
    }
}
