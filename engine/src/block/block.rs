//! A block: its rules, its environment, its recovered transactions, and the steps around them.

use std::{slice::from_ref, sync::Arc};

use alloy_consensus::{EthereumTxEnvelope, Header, TxEip4844, TxType};
use alloy_eips::eip4895::Withdrawal;
use alloy_evm::EvmEnv;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256};
use blockloom_state::{AccessListIndex, TxIndex};
use revm::context::{BlockEnv, TxEnv};

use crate::{
    block::{
        error::{BlockError, Invalid, TransactionError},
        recovery,
        rules::Rules,
    },
    policy::batching::Demand,
    threads::pool::parallel_map,
};

/// A signed transaction of a block.
pub type SignedTransaction = EthereumTxEnvelope<TxEip4844>;

/// A block as the network sends it: a header and signed transactions.
pub type SignedBlock = alloy_consensus::Block<SignedTransaction>;

/// A block, ready to be executed. Plain data.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::block::serde_form::UncheckedBlock"))]
pub struct Block {
    /// The rules of its fork.
    pub rules: Rules,
    /// The block's values that contracts can read.
    pub env: BlockEnv,
    /// The hash of the parent block.
    pub parent_hash: B256,
    /// The root of the parent beacon block (EIP-4788), from Cancun on.
    pub parent_beacon_root: Option<B256>,
    /// The transactions, in order.
    pub transactions: Vec<Transaction>,
    /// The ommers, which the block rewards.
    pub ommers: Vec<Header>,
    /// The withdrawals from the consensus layer, from Shanghai on.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Whether the steps before and after the transactions are executed.
    pub frame: Frame,
    /// The access list (EIP-7928) that comes with it.
    pub list: GivenList,
}

/// An access list (EIP-7928) that comes with a block.
///
/// Its writes are predictions: a transaction reads what the list says that earlier transactions wrote,
/// and runs again if that was wrong. So the list never changes what the block does. Only the block's
/// validity depends on the list, and only on a claimed one.
#[derive(Clone, Debug, Default)]
pub enum GivenList {
    /// The block comes without a list.
    #[default]
    Nothing,
    /// An untrusted list, such as that of an earlier execution. Errors in it cost time.
    Hint(Arc<AccessListIndex>),
    /// The list that the block's header commits to. Errors in it make the block invalid.
    Claim(Arc<AccessListIndex>),
}

impl GivenList {
    /// The indexed list.
    pub fn index(&self) -> Option<&Arc<AccessListIndex>> {
        match self {
            Self::Nothing => None,
            Self::Hint(index) | Self::Claim(index) => Some(index),
        }
    }
}

/// Whether the steps before and after a block's transactions are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Frame {
    /// System calls, rewards, withdrawals and requests are executed as the rules demand.
    #[default]
    Full,
    /// Only the steps before the transactions: the block is the first part of one.
    WithoutClosing,
    /// Only the steps after the transactions: the block is the last part of one.
    WithoutOpening,
    /// Only the transactions run, as in a simulation, a state test, or a part from the middle of a block.
    TransactionsOnly,
}

impl Frame {
    /// Whether the steps before the transactions are executed.
    pub fn has_opening(self) -> bool {
        matches!(self, Self::Full | Self::WithoutClosing)
    }

    /// Whether the steps after the transactions are executed.
    pub fn has_closing(self) -> bool {
        matches!(self, Self::Full | Self::WithoutOpening)
    }
}

/// A transaction with its recovered sender.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Transaction {
    /// The transaction's hash.
    pub hash: B256,
    /// Everything that revm needs, with the sender and the authorities.
    pub env: TxEnv,
}

impl Block {
    /// The block's number.
    pub fn number(&self) -> u64 {
        self.env.number.saturating_to()
    }

    /// A block without transactions, ommers and withdrawals.
    pub fn without_body(rules: Rules, header: &Header) -> Self {
        let env = EvmEnv::for_eth_block(header, &rules, rules.chain_id, rules.blobs).block_env;
        let has_withdrawals = rules.is_active(EthereumHardfork::Shanghai);
        Self {
            env,
            parent_hash: header.parent_hash,
            parent_beacon_root: header.parent_beacon_block_root,
            transactions: Vec::new(),
            ommers: Vec::new(),
            withdrawals: has_withdrawals.then(Vec::new),
            frame: Frame::Full,
            list: GivenList::Nothing,
            rules,
        }
    }

    /// Recovers the senders of a signed block's transactions, in parallel.
    ///
    /// Every type of alloy that holds a signed transaction of Ethereum will do, with the sidecars of its blobs or without:
    /// `TxEnvelope`, `PooledTransaction`, [`SignedTransaction`]. The sidecars are dropped.
    ///
    /// This does not check the header: see [`check_header`](crate::check_header) and
    /// [`check_body`](crate::check_body).
    ///
    /// # Errors
    ///
    /// The first transaction with a signature that is invalid under `rules`.
    pub fn recover<T: Into<SignedTransaction>>(
        rules: Rules,
        block: alloy_consensus::Block<T>,
    ) -> Result<Self, BlockError> {
        Self::recovered_by(Transaction::recover_all, rules, block)
    }

    /// Does what [`recover`](Self::recover) does, on the calling thread alone: for callers that recover several blocks
    /// at once, on threads of their own.
    ///
    /// # Errors
    ///
    /// Those of [`recover`](Self::recover).
    pub fn recover_sequentially<T: Into<SignedTransaction>>(
        rules: Rules,
        block: alloy_consensus::Block<T>,
    ) -> Result<Self, BlockError> {
        Self::recovered_by(Transaction::recover_sequentially, rules, block)
    }

    fn recovered_by<T: Into<SignedTransaction>>(
        recover: impl FnOnce(&Rules, &[SignedTransaction]) -> Result<Vec<Transaction>, Invalid>,
        rules: Rules,
        block: alloy_consensus::Block<T>,
    ) -> Result<Self, BlockError> {
        let block: SignedBlock = block.map_transactions(Into::into);
        let transactions =
            recover(&rules, &block.body.transactions).map_err(|invalid| invalid.of(block.header.number))?;
        Ok(Self {
            transactions,
            ommers: block.body.ommers,
            withdrawals: block.body.withdrawals.map(|withdrawals| withdrawals.into_inner()),
            ..Self::without_body(rules, &block.header)
        })
    }
}

impl Demand for Transaction {
    fn gas_limit(&self) -> u64 {
        self.env.gas_limit
    }

    fn is_call_without_input(&self) -> bool {
        self.env.data.is_empty() && self.env.kind.is_call()
    }
}

impl Transaction {
    /// Recovers the senders of signed transactions, in parallel.
    ///
    /// # Errors
    ///
    /// The first transaction with a signature that is invalid under `rules`.
    pub fn recover_all(rules: &Rules, signed: &[SignedTransaction]) -> Result<Vec<Self>, Invalid> {
        let batches: Vec<_> = signed.chunks(batch_size(signed.len())).collect();
        let recovered = parallel_map(&batches, |batch| recovery::recover(rules, batch));
        in_order(signed, recovered.into_iter().flatten())
    }

    /// Does what [`recover_all`](Self::recover_all) does, on the calling thread alone.
    ///
    /// # Errors
    ///
    /// Those of [`recover_all`](Self::recover_all).
    pub fn recover_sequentially(rules: &Rules, signed: &[SignedTransaction]) -> Result<Vec<Self>, Invalid> {
        let recovered = signed.chunks(MAX_BATCH).flat_map(|batch| recovery::recover(rules, batch));
        in_order(signed, recovered)
    }

    /// Recovers the sender of a signed transaction, and its authorities (EIP-7702).
    ///
    /// # Errors
    ///
    /// If the signature is not valid under `rules`.
    pub fn recover(rules: &Rules, signed: &SignedTransaction) -> Result<Self, TransactionError> {
        recovery::recover(rules, from_ref(signed)).swap_remove(0)
    }

    /// The sender, and the recipient if there is one.
    pub(crate) fn parties(&self) -> impl Iterator<Item = Address> {
        [self.env.caller].into_iter().chain(self.env.kind.to().copied())
    }

    /// The type of the transaction.
    ///
    /// # Errors
    ///
    /// If Ethereum has no such type.
    pub fn tx_type(&self) -> Result<TxType, TransactionError> {
        TxType::try_from(self.env.tx_type).map_err(|_| TransactionError::UnknownType(self.env.tx_type))
    }
}

/// The most transactions that are recovered together: as many hashes as a processor computes at once.
const MAX_BATCH: usize = 8;

/// Fewer transactions are recovered together if there would be fewer batches than this, so that no thread is left
/// without one.
const MIN_BATCHES: usize = 32;

/// How many of `transactions` are recovered together.
fn batch_size(transactions: usize) -> usize {
    (transactions / MIN_BATCHES).clamp(1, MAX_BATCH)
}

/// The recovered transactions, or the first one that could not be recovered.
fn in_order(
    signed: &[SignedTransaction],
    recovered: impl Iterator<Item = Result<Transaction, TransactionError>>,
) -> Result<Vec<Transaction>, Invalid> {
    let refuse = |position, signed: &SignedTransaction, reason| Invalid::Transaction {
        index: TxIndex::new(position),
        hash: *signed.tx_hash(),
        reason,
    };
    let pairs = signed.iter().zip(recovered).enumerate();
    pairs
        .map(|(position, (signed, recovered))| recovered.map_err(|reason| refuse(position, signed, reason)))
        .collect()
}
