//! The rules of a block: its fork, and the parameters of that fork.
//!
//! [`Rules`] is resolved once per block. Code below it needs no block numbers and timestamps.

use std::sync::Arc;

use alloy_eips::{eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7840::BlobParams};
use alloy_evm::{EvmEnv, eth::spec::EthExecutorSpec, spec_by_timestamp_and_block_number};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, map::AddressSet};
use revm::{context::CfgEnv, precompile::Precompiles, primitives::hardfork::SpecId};

/// Whether headers commit to a block-level access list (EIP-7928).
///
/// It is independent of the fork: a chain can have the list without Amsterdam's gas rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AccessLists {
    /// Headers do not.
    #[default]
    Absent,
    /// Headers carry the hash of the list.
    Committed,
}

/// The rules of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rules {
    /// The chain that transactions are signed for.
    pub chain_id: u64,
    /// The latest active fork; never [`EthereumHardfork::Dao`]: see `dao_block`.
    pub fork: EthereumHardfork,
    /// The number of blobs per block, and their price; `None` before Cancun.
    #[cfg_attr(feature = "serde", serde(with = "crate::block::serde_form::blobs"))]
    pub blobs: Option<BlobParams>,
    /// The deposit contract: its logs are deposits (EIP-6110).
    pub deposit_contract: Address,
    /// The block of the irregular state change, on chains that had one.
    pub dao_block: Option<u64>,
    /// Whether headers commit to an access list.
    pub access_lists: AccessLists,
    /// The accounts with storage, but without nonce and code: no contract can be created there
    /// (EIP-7610). They date from before EIP-161. Only two inputs with the same hash lead to one of them.
    /// The blocks of a stream may list those before its first block: an account that has lost its storage
    /// since does not count.
    pub storage_only: Option<Arc<AddressSet>>,
    /// The precompiled contracts, if they differ from Ethereum's under the fork.
    #[cfg_attr(feature = "serde", serde(with = "crate::block::serde_form::precompiles"))]
    pub precompiles: Option<CustomPrecompiles>,
}

/// Precompiled contracts that a chain has instead of Ethereum's.
///
/// Each of them must depend on its input and its gas alone, because speculative runs call it.
/// A chain keeps its set forever, in a `LazyLock` for example. Two sets are equal if they are the same
/// object.
///
/// ```
/// use std::sync::LazyLock;
///
/// use alloy_primitives::{Address, Bytes};
/// use blockloom_engine::{ChainSpec, CustomPrecompiles};
/// use revm::precompile::{
///     Precompile, PrecompileHalt, PrecompileId, PrecompileOutput, PrecompileResult, PrecompileSpecId, Precompiles,
/// };
///
/// /// Returns its input backwards.
/// fn reverse(input: &[u8], gas_limit: u64, reservoir: u64) -> PrecompileResult {
///     let gas = 15 + input.len() as u64;
///     if gas > gas_limit {
///         return Ok(PrecompileOutput::halt(PrecompileHalt::OutOfGas, reservoir));
///     }
///     let output: Bytes = input.iter().rev().copied().collect();
///     Ok(PrecompileOutput::new(gas, output, reservoir))
/// }
///
/// static WITH_REVERSE: LazyLock<Precompiles> = LazyLock::new(|| {
///     let id = PrecompileId::Custom("reverse".into());
///     let mut precompiles = Precompiles::new(PrecompileSpecId::OSAKA).clone();
///     precompiles.extend([Precompile::new(id, Address::with_last_byte(0x42), reverse)]);
///     precompiles
/// });
///
/// let chain = ChainSpec::mainnet().with_precompiles(|_fork| CustomPrecompiles(&WITH_REVERSE));
/// # let _ = chain;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CustomPrecompiles(pub &'static Precompiles);

impl PartialEq for CustomPrecompiles {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for CustomPrecompiles {}

impl Rules {
    /// The rules of Ethereum mainnet under `fork`, without the DAO's irregular state change.
    ///
    /// ```
    /// use alloy_hardforks::EthereumHardfork;
    /// use blockloom_engine::Rules;
    ///
    /// let rules = Rules::mainnet(EthereumHardfork::Prague);
    /// assert!(rules.is_active(EthereumHardfork::Cancun));
    /// assert!(!rules.is_active(EthereumHardfork::Osaka));
    /// ```
    pub fn mainnet(fork: EthereumHardfork) -> Self {
        let is_amsterdam = fork >= EthereumHardfork::Amsterdam;
        Self {
            chain_id: 1,
            fork,
            blobs: default_blobs(fork),
            deposit_contract: MAINNET_DEPOSIT_CONTRACT_ADDRESS,
            dao_block: None,
            access_lists: if is_amsterdam { AccessLists::Committed } else { AccessLists::Absent },
            storage_only: None,
            precompiles: None,
        }
    }

    /// Whether `fork` is active.
    pub fn is_active(&self, fork: EthereumHardfork) -> bool {
        self.fork >= fork
    }

    /// revm's name of the fork.
    pub fn spec_id(&self) -> SpecId {
        spec_by_timestamp_and_block_number(self, 0, 0)
    }

    /// revm's configuration under these rules.
    pub(crate) fn cfg_env(&self) -> CfgEnv {
        // alloy-evm sets the switches of the fork. They do not depend on the header that it demands.
        let header = alloy_consensus::Header::default();
        EvmEnv::for_eth_block(header, self, self.chain_id, self.blobs).cfg_env
    }
}

/// The blob parameters of Ethereum mainnet under `fork`.
pub(crate) fn default_blobs(fork: EthereumHardfork) -> Option<BlobParams> {
    use EthereumHardfork::{Bpo1, Bpo2, Cancun, Osaka, Prague};
    let table = [
        (Cancun, BlobParams::cancun()),
        (Prague, BlobParams::prague()),
        (Osaka, BlobParams::osaka()),
        (Bpo1, BlobParams::bpo1()),
        (Bpo2, BlobParams::bpo2()),
    ];
    table.into_iter().rev().find(|(from, _)| fork >= *from).map(|(_, params)| params)
}

impl EthereumHardforks for Rules {
    /// Always or never: the block is fixed.
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        match fork {
            EthereumHardfork::Dao => self.dao_block.map_or(ForkCondition::Never, ForkCondition::Block),
            _ if !self.is_active(fork) => ForkCondition::Never,
            _ if fork >= EthereumHardfork::Shanghai => ForkCondition::ZERO_TIMESTAMP,
            _ => ForkCondition::ZERO_BLOCK,
        }
    }
}

impl EthExecutorSpec for Rules {
    fn deposit_contract_address(&self) -> Option<Address> {
        Some(self.deposit_contract)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fork_has_a_name_in_revm() {
        use EthereumHardfork::*;
        let table = [
            (Frontier, SpecId::FRONTIER),
            (Homestead, SpecId::HOMESTEAD),
            (Tangerine, SpecId::TANGERINE),
            (SpuriousDragon, SpecId::SPURIOUS_DRAGON),
            (Byzantium, SpecId::BYZANTIUM),
            (Petersburg, SpecId::PETERSBURG),
            (Istanbul, SpecId::ISTANBUL),
            (MuirGlacier, SpecId::ISTANBUL),
            (Berlin, SpecId::BERLIN),
            (GrayGlacier, SpecId::LONDON),
            (Paris, SpecId::MERGE),
            (Shanghai, SpecId::SHANGHAI),
            (Cancun, SpecId::CANCUN),
            (Prague, SpecId::PRAGUE),
            (Osaka, SpecId::OSAKA),
            (Bpo2, SpecId::OSAKA),
            (Amsterdam, SpecId::AMSTERDAM),
        ];
        for (fork, spec) in table {
            assert_eq!(Rules::mainnet(fork).spec_id(), spec, "{fork}");
            assert_eq!(Rules::mainnet(fork).cfg_env().spec, spec, "{fork}");
        }
    }

    #[test]
    fn the_gas_of_a_transaction_is_limited_from_osaka_on() {
        use revm::context_interface::Cfg;
        let cap = |fork| Rules::mainnet(fork).cfg_env().tx_gas_limit_cap();
        assert_eq!(cap(EthereumHardfork::Prague), u64::MAX);
        assert_eq!(cap(EthereumHardfork::Osaka), 1 << 24);
    }
}
