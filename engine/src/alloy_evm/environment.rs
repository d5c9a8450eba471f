//! Converts the environment of a client into the engine's rules.

use std::any::type_name;

use alloy_eips::{eip4844::DATA_GAS_PER_BLOB, eip7840::BlobParams};
use alloy_evm::precompiles::PrecompilesMap;
use alloy_hardforks::EthereumHardfork;
use revm::{
    context::CfgEnv,
    inspector::NoOpInspector,
    precompile::{PrecompileSpecId, Precompiles},
    primitives::hardfork::SpecId,
};

use crate::block::rules::{AccessLists, Rules};

/// Why an executor runs a block's transactions one after the other. The result is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The engine has one thread.
    #[error("the engine has only one thread")]
    OneThread,
    /// An inspector must receive every instruction in order. Every type but [`NoOpInspector`] counts as
    /// one, enabled or not.
    #[error("an inspector must receive every instruction in order")]
    Inspector,
    /// The precompiles are not those of the fork.
    #[error("the precompiles are not those of the fork")]
    Precompiles,
    /// The configuration is not that of a fork: a check is disabled, for example, or a limit differs.
    #[error("the configuration is not that of a fork")]
    Configuration,
    /// The executor has executed transactions of the block one by one.
    #[error("transactions of the block were already executed one by one")]
    HalfDone,
}

/// The rules that make the engine execute transactions exactly as `cfg` demands; `None` if there are
/// none.
///
/// They have no limit of blobs per block, because alloy-evm checks it only in the header.
pub(super) fn rules(cfg: &CfgEnv) -> Option<Rules> {
    let rules = Rules {
        chain_id: cfg.chain_id,
        blobs: cfg.max_blobs_per_tx.map(|max_blobs_per_tx| BlobParams {
            max_blob_count: u64::MAX / DATA_GAS_PER_BLOB,
            max_blobs_per_tx,
            ..BlobParams::cancun()
        }),
        // The steps around the transactions are not executed here, so the list would be incomplete.
        access_lists: AccessLists::Absent,
        ..Rules::mainnet(fork(cfg.spec)?)
    };
    (rules.cfg_env() == *cfg).then_some(rules)
}

/// The first fork with revm's name `spec`.
fn fork(spec: SpecId) -> Option<EthereumHardfork> {
    let forks = EthereumHardfork::VARIANTS.iter().filter(|fork| **fork != EthereumHardfork::Dao);
    forks.copied().find(|fork| Rules::mainnet(*fork).spec_id() == spec)
}

/// Whether `precompiles` are revm's precompiles for `spec`, unchanged since the EVM was created.
pub(super) fn is_builtin(precompiles: &PrecompilesMap, spec: SpecId) -> bool {
    let builtin = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
    // The map does not tell whether it was changed. An unchanged map returns references into revm's
    // own table.
    match (precompiles.addresses().next(), builtin.addresses().next()) {
        (Some(address), Some(builtin)) => std::ptr::eq(address, builtin),
        _ => false,
    }
}

/// Whether inspectors of the type `I` do nothing.
pub(super) fn is_no_inspector<I>() -> bool {
    // Most inspectors are borrowed, so they have no `TypeId`. And the EVM does not tell whether its
    // inspector is enabled.
    type_name::<I>() == type_name::<NoOpInspector>()
}

#[cfg(test)]
mod tests {
    use alloy_evm::{Evm, EvmEnv, EvmFactory, eth::EthEvmFactory};
    use revm::database_interface::EmptyDB;

    use super::*;

    #[test]
    fn alloy_evms_configuration_of_every_fork_has_rules() {
        for fork in EthereumHardfork::VARIANTS {
            let mainnet = Rules::mainnet(*fork);
            let Some(rules) = rules(&mainnet.cfg_env()) else { panic!("{fork} has no rules") };
            assert_eq!(rules.spec_id(), mainnet.spec_id(), "{fork}");
            assert_eq!(rules.cfg_env(), mainnet.cfg_env(), "{fork}");
        }
    }

    #[test]
    fn a_configuration_of_no_fork_has_no_rules() {
        let changed = |change: fn(&mut CfgEnv)| {
            let mut cfg = Rules::mainnet(EthereumHardfork::Prague).cfg_env();
            change(&mut cfg);
            rules(&cfg)
        };
        assert_eq!(changed(|cfg| cfg.disable_nonce_check = true), None);
        assert_eq!(changed(|cfg| cfg.limit_contract_code_size = Some(1 << 20)), None);
        let other_chain = changed(|cfg| cfg.chain_id = 5);
        assert_eq!(other_chain.map(|rules| rules.chain_id), Some(5));
    }

    #[test]
    fn changed_precompiles_are_detected() {
        let mut evm = EthEvmFactory::default().create_evm(EmptyDB::default(), EvmEnv::default());
        let spec = evm.cfg_env().spec;
        assert!(is_builtin(evm.precompiles(), spec));
        assert!(!is_builtin(evm.precompiles(), SpecId::FRONTIER));
        evm.precompiles_mut().ensure_dynamic_precompiles();
        assert!(!is_builtin(evm.precompiles(), spec));
    }

    #[test]
    fn only_the_no_op_inspector_is_no_inspector() {
        assert!(is_no_inspector::<NoOpInspector>());
        assert!(!is_no_inspector::<&mut NoOpInspector>());
        assert!(!is_no_inspector::<()>());
    }
}
