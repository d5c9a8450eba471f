//! A chain: the start of each fork, and the chain's parameters.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Header;
use alloy_eips::{eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7840::BlobParams};
use alloy_hardforks::{EthereumHardfork, ForkCondition};
use alloy_primitives::{Address, U256, map::AddressSet};

use crate::block::rules::{AccessLists, CustomPrecompiles, Rules, default_blobs};

/// The forks of a chain, the start of each, and the chain's parameters.
///
/// ```
/// use alloy_consensus::Header;
/// use alloy_hardforks::EthereumHardfork;
/// use blockloom_engine::ChainSpec;
///
/// let header = Header { number: 15_537_394, ..Header::default() };
/// assert_eq!(ChainSpec::mainnet().rules(&header).fork, EthereumHardfork::Paris);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    chain_id: u64,
    starts: BTreeMap<EthereumHardfork, ForkCondition>,
    blobs: BTreeMap<EthereumHardfork, BlobParams>,
    deposit_contract: Address,
    access_lists: Option<EthereumHardfork>,
    storage_only: Option<Arc<AddressSet>>,
    precompiles: BTreeMap<EthereumHardfork, CustomPrecompiles>,
}

impl ChainSpec {
    /// A chain with mainnet's parameters that is under `fork` from its first block on, without the DAO's
    /// irregular state change.
    pub fn always(fork: EthereumHardfork) -> Self {
        let forks = EthereumHardfork::VARIANTS.iter().filter(|other| **other <= fork);
        let mut spec = Self {
            chain_id: 1,
            starts: forks.map(|fork| (*fork, start_of_chain(*fork))).collect(),
            blobs: BTreeMap::new(),
            deposit_contract: MAINNET_DEPOSIT_CONTRACT_ADDRESS,
            access_lists: Some(EthereumHardfork::Amsterdam),
            storage_only: None,
            precompiles: BTreeMap::new(),
        };
        spec.starts.remove(&EthereumHardfork::Dao);
        spec
    }

    /// The same chain, with `fork` from `start` on.
    ///
    /// If the Merge starts by total difficulty, blocks with difficulty zero are after it;
    /// [`is_after_merge`](Self::is_after_merge) checks whether they may be.
    #[must_use]
    pub fn with_fork(mut self, fork: EthereumHardfork, start: ForkCondition) -> Self {
        self.starts.insert(fork, start);
        self
    }

    /// The same chain with another chain id.
    #[must_use]
    pub fn with_chain_id(mut self, chain_id: u64) -> Self {
        self.chain_id = chain_id;
        self
    }

    /// The same chain with other blob parameters from `fork` on.
    #[must_use]
    pub fn with_blobs(mut self, fork: EthereumHardfork, params: BlobParams) -> Self {
        self.blobs.insert(fork, params);
        self
    }

    /// The same chain with another deposit contract.
    #[must_use]
    pub fn with_deposit_contract(mut self, address: Address) -> Self {
        self.deposit_contract = address;
        self
    }

    /// The same chain with headers that commit to access lists (EIP-7928) from `fork` on.
    #[must_use]
    pub fn with_access_lists_from(mut self, fork: EthereumHardfork) -> Self {
        self.access_lists = Some(fork);
        self
    }

    /// The same chain with these accounts that have storage, but neither nonce nor code (EIP-7610).
    #[must_use]
    pub fn with_storage_only(mut self, accounts: AddressSet) -> Self {
        self.storage_only = (!accounts.is_empty()).then(|| Arc::new(accounts));
        self
    }

    /// The same chain with other precompiled contracts under each fork.
    #[must_use]
    pub fn with_precompiles(mut self, under: impl Fn(EthereumHardfork) -> CustomPrecompiles) -> Self {
        self.precompiles = EthereumHardfork::VARIANTS.iter().map(|fork| (*fork, under(*fork))).collect();
        self
    }

    /// The chain that its transactions are signed for.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The rules for the block with this header.
    pub fn rules(&self, header: &Header) -> Rules {
        let paris = self.starts.get(&EthereumHardfork::Paris);
        let is_after_merge = paris.is_some_and(|start| match start {
            ForkCondition::TTD { activation_block_number: u64::MAX, .. } => header.difficulty.is_zero(),
            start => start.active_at_block(header.number),
        });
        let is_active = |start: &ForkCondition| match start {
            ForkCondition::TTD { activation_block_number: u64::MAX, .. } => is_after_merge,
            // Timestamps count only from the Merge on: an earlier block may have any timestamp.
            ForkCondition::Timestamp(_) => is_after_merge && start.active_at_timestamp(header.timestamp),
            start => start.active_at_block(header.number),
        };
        let forks = self.starts.iter().filter(|(fork, _)| **fork != EthereumHardfork::Dao);
        let active = forks.rev().find(|(_, start)| is_active(start));
        let fork = active.map_or(EthereumHardfork::Frontier, |(fork, _)| *fork);
        let blobs = self.blobs.range(..=fork).next_back().map(|(_, params)| *params);
        let committed = self.access_lists.is_some_and(|from| fork >= from);
        Rules {
            chain_id: self.chain_id,
            fork,
            blobs: default_blobs(fork).map(|default| blobs.unwrap_or(default)),
            deposit_contract: self.deposit_contract,
            dao_block: self.starts.get(&EthereumHardfork::Dao).and_then(ForkCondition::block_number),
            access_lists: if committed { AccessLists::Committed } else { AccessLists::Absent },
            storage_only: self.storage_only.clone(),
            precompiles: self.precompiles.get(&fork).copied(),
        }
    }

    /// Whether a block is after the Merge, by the total difficulty of its parent. `None` if the chain
    /// starts the Merge at a block number, which [`rules`](Self::rules) respects.
    pub fn is_after_merge(&self, parent_total_difficulty: U256) -> Option<bool> {
        match self.starts.get(&EthereumHardfork::Paris)? {
            ForkCondition::TTD { activation_block_number: u64::MAX, total_difficulty, .. } => {
                Some(parent_total_difficulty >= *total_difficulty)
            }
            _ => None,
        }
    }
}

/// The start of the Merge at a total difficulty, for chains without a fixed block number of the Merge.
pub fn merge_at(total_difficulty: U256) -> ForkCondition {
    ForkCondition::TTD { activation_block_number: u64::MAX, fork_block: None, total_difficulty }
}

fn start_of_chain(fork: EthereumHardfork) -> ForkCondition {
    if fork >= EthereumHardfork::Shanghai { ForkCondition::ZERO_TIMESTAMP } else { ForkCondition::ZERO_BLOCK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blob_parameters_are_the_latest_active_ones() {
        let spec = ChainSpec::always(EthereumHardfork::Osaka);
        let custom = BlobParams { max_blob_count: 3, ..BlobParams::cancun() };
        let blobs = |spec: &ChainSpec| spec.rules(&Header::default()).blobs;
        assert_eq!(blobs(&spec), Some(BlobParams::osaka()));
        assert_eq!(blobs(&spec.with_blobs(EthereumHardfork::Prague, custom)), Some(custom));
        assert_eq!(blobs(&ChainSpec::always(EthereumHardfork::Shanghai)), None);
    }

    #[test]
    fn a_block_without_difficulty_is_after_a_merge_by_total_difficulty() {
        let spec = ChainSpec::always(EthereumHardfork::ArrowGlacier)
            .with_fork(EthereumHardfork::Paris, merge_at(U256::from(100)));
        let fork = |difficulty| spec.rules(&Header { difficulty, ..Header::default() }).fork;
        assert_eq!(fork(U256::ZERO), EthereumHardfork::Paris);
        assert_eq!(fork(U256::from(1)), EthereumHardfork::ArrowGlacier);
        assert_eq!(spec.is_after_merge(U256::from(99)), Some(false));
        assert_eq!(spec.is_after_merge(U256::from(100)), Some(true));
        assert_eq!(ChainSpec::mainnet().is_after_merge(U256::from(100)), None);
    }
}
