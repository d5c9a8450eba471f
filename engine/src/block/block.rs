//! A block: the environment, the recovered transactions, and what happens before and after them.

use std::sync::Arc;

use alloy_consensus::{EthereumTxEnvelope, Header, TxEip4844, TxType, transaction::SignerRecoverable};
use alloy_eips::eip4895::Withdrawal;
use alloy_evm::{EvmEnv, FromRecoveredTx};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256};
use blockloom_state::{AccessListIndex, TxIndex};
use revm::context::{BlockEnv, TxEnv};

use crate::{
    block::{
        error::{BlockError, Invalid, TransactionError},
        rules::Rules,
    },
    threads::pool::spread,
};

/// A transaction as it stands in a block, signed.
pub type SignedTransaction = EthereumTxEnvelope<TxEip4844>;

/// A block as the wire has it: signed transactions under a header.
pub type SignedBlock = alloy_consensus::Block<SignedTransaction>;

/// A block, ready to be executed. Plain data.
#[derive(Clone, Debug)]
pub struct Block {
    /// The rules that hold for it.
    pub rules: Rules,
    /// What contracts can see of it.
    pub env: BlockEnv,
    /// The hash of the block before it.
    pub parent_hash: B256,
    /// The beacon block that it belongs to (EIP-4788), from Cancun on.
    pub parent_beacon_root: Option<B256>,
    /// Its transactions, in order.
    pub transactions: Vec<Transaction>,
    /// The blocks beside the chain that it rewards.
    pub ommers: Vec<Header>,
    /// What it pays out of the consensus layer, from Shanghai on.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Whether anything happens before and after its transactions.
    pub frame: Frame,
    /// What somebody says that it reads and writes.
    pub list: GivenList,
}

/// An access list (EIP-7928) that comes with a block.
///
/// Transactions start on what it says that those before them wrote, and what was wrong is run again: so
/// what the block does never depends on it. Whether the block is valid depends on a claim.
#[derive(Clone, Debug, Default)]
pub enum GivenList {
    /// There is none.
    #[default]
    Nothing,
    /// One that nobody commits to, as that of an earlier execution. If it is wrong, that costs time.
    Hint(Arc<AccessListIndex>),
    /// The one that the block's header commits to. If it is wrong, the block is invalid.
    Claim(Arc<AccessListIndex>),
}

impl GivenList {
    /// What it says.
    pub fn foresight(&self) -> Option<&Arc<AccessListIndex>> {
        match self {
            Self::Nothing => None,
            Self::Hint(foresight) | Self::Claim(foresight) => Some(foresight),
        }
    }
}

/// Whether anything happens before and after a block's transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frame {
    /// System calls, rewards, withdrawals and requests, as the rules have them.
    #[default]
    Full,
    /// Nothing: only the transactions run, as a simulation or a state test wants it.
    TransactionsOnly,
}

/// A transaction whose sender is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its hash.
    pub hash: B256,
    /// What revm needs of it, the sender and the authorities included.
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
    /// The header's own claims are not looked at: see
    /// [`check_header`](crate::check_header) and [`check_body`](crate::check_body).
    ///
    /// # Errors
    ///
    /// The first transaction whose signature is not valid under `rules`.
    pub fn recover(rules: Rules, block: SignedBlock) -> Result<Self, BlockError> {
        let transactions = Transaction::recover_all(&rules, &block.body.transactions)
            .map_err(|invalid| invalid.of(block.header.number))?;
        Ok(Self {
            transactions,
            ommers: block.body.ommers,
            withdrawals: block.body.withdrawals.map(|withdrawals| withdrawals.into_inner()),
            ..Self::without_body(rules, &block.header)
        })
    }
}

impl Transaction {
    /// Recovers the senders of signed transactions, in parallel.
    ///
    /// # Errors
    ///
    /// The first transaction whose signature is not valid under `rules`.
    pub fn recover_all(rules: &Rules, signed: &[SignedTransaction]) -> Result<Vec<Self>, Invalid> {
        let recovered = spread(signed, |signed| Self::recover(rules, signed));
        let pairs = recovered.into_iter().zip(signed).enumerate();
        pairs
            .map(|(position, (recovered, signed))| {
                recovered.map_err(|reason| Invalid::Transaction {
                    index: TxIndex::new(position),
                    hash: *signed.tx_hash(),
                    reason,
                })
            })
            .collect()
    }

    /// Recovers the sender of a signed transaction, and its authorities (EIP-7702).
    ///
    /// # Errors
    ///
    /// If the signature is not valid under `rules`.
    pub fn recover(rules: &Rules, signed: &SignedTransaction) -> Result<Self, TransactionError> {
        if let SignedTransaction::Legacy(legacy) = signed
            && legacy.tx().chain_id.is_some()
            && !rules.is_active(EthereumHardfork::SpuriousDragon)
        {
            return Err(TransactionError::Protected);
        }
        // EIP-2: from Homestead on, the upper of the two possible signatures is invalid.
        let sender = if rules.is_active(EthereumHardfork::Homestead) {
            signed.recover_signer()
        } else {
            signed.recover_signer_unchecked()
        };
        let sender = sender.map_err(|_| TransactionError::Signature)?;
        Ok(Self { hash: *signed.tx_hash(), env: TxEnv::from_recovered_tx(signed, sender) })
    }

    /// Its sender, and its recipient if it has one.
    pub(crate) fn parties(&self) -> impl Iterator<Item = Address> {
        [self.env.caller].into_iter().chain(self.env.kind.to().copied())
    }

    /// The type of the transaction.
    ///
    /// # Errors
    ///
    /// If it is none of Ethereum's.
    pub fn tx_type(&self) -> Result<TxType, TransactionError> {
        TxType::try_from(self.env.tx_type).map_err(|_| TransactionError::UnknownType(self.env.tx_type))
    }
}
