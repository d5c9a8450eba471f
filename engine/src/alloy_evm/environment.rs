//! Converts the environment of a client into the engine's rules.

use std::{any::type_name, sync::Arc};

use alloy_eips::{eip4844::DATA_GAS_PER_BLOB, eip7840::BlobParams};
use alloy_evm::precompiles::{Precompile, PrecompilesMap};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;
use blockloom_state::sync::{AtomicBool, Ordering};
use revm::{
    context::CfgEnv,
    inspector::NoOpInspector,
    precompile::{PrecompileSpecId, Precompiles},
    primitives::hardfork::SpecId,
};

use crate::block::rules::{AccessLists, Rules};

/// Which precompiles of a client's EVM the engine may take for those of the fork. It always calls the fork's
/// own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientPrecompiles {
    /// Only those that were not touched since the EVM was created.
    #[default]
    Untouched,
    /// Also those with the addresses and the names of the fork's that can be cached where the fork's can. The
    /// client promises that each returns what the fork's returns: it is one, with a cache or a meter around
    /// it, for example. What is around them is not called, because alloy-evm's precompiles cannot be shared
    /// between threads.
    Wrapped,
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

/// Whether `precompiles` may be taken for revm's precompiles for `spec`.
pub(super) fn are_of_fork(precompiles: &PrecompilesMap, spec: SpecId, allowed: ClientPrecompiles) -> bool {
    let builtin = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
    is_builtin(precompiles, builtin)
        || allowed == ClientPrecompiles::Wrapped && are_alike(precompiles, builtin)
}

/// Whether `precompiles` are `builtin`, unchanged since the EVM was created.
fn is_builtin(precompiles: &PrecompilesMap, builtin: &Precompiles) -> bool {
    // The map does not tell whether it was changed. An unchanged map returns references into revm's
    // own table.
    match (precompiles.addresses().next(), builtin.addresses().next()) {
        (Some(address), Some(builtin)) => std::ptr::eq(address, builtin),
        _ => false,
    }
}

/// Whether `precompiles` have the addresses and names of `builtin`, and the same of them can be cached. One
/// that reads the state should say that it cannot.
fn are_alike(precompiles: &PrecompilesMap, builtin: &Precompiles) -> bool {
    let is_alike = |address| match (precompiles.get(address), builtin.get(address)) {
        (Some(found), Some(builtin)) => {
            found.precompile_id() == builtin.id() && found.supports_caching() == builtin.supports_caching()
        }
        _ => false,
    };
    precompiles.addresses().count() == builtin.len() && builtin.addresses().all(is_alike)
}

/// Whether a lookup finds precompiles beyond those of the fork for `spec`, which `precompiles` are.
pub(super) fn has_lookup(precompiles: &mut PrecompilesMap, spec: SpecId) -> bool {
    let builtin = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
    let mut asked = std::mem::replace(precompiles, PrecompilesMap::from_static(builtin));
    // The map does not show its lookup, but a new lookup receives the old one. The new one stays in the map:
    // once it has noted whether there is an old one, it passes calls on to the old one.
    let (is_asked, found) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (asks, finds) = (Arc::clone(&is_asked), Arc::clone(&found));
    asked.map_precompile_lookup(move |address, lookup| {
        // ORDER: Relaxed: the same thread writes it before it calls the lookup again.
        if asks.load(Ordering::Relaxed) {
            // ORDER: Relaxed: the same thread reads it.
            finds.store(lookup.is_some(), Ordering::Relaxed);
            return None;
        }
        lookup?.lookup(address)
    });
    // No precompile of a fork has this address, so the lookup is called.
    let _ = asked.get(&Address::repeat_byte(0xff));
    // ORDER: Relaxed: see above.
    is_asked.store(false, Ordering::Relaxed);
    // ORDER: Relaxed: see above.
    let found = found.load(Ordering::Relaxed);
    if found {
        *precompiles = asked;
    } else if !is_builtin(&asked, builtin) {
        precompiles.extend_precompiles(asked.into_dyn_precompiles().into_precompiles());
    }
    found
}

/// Whether inspectors of the type `I` do nothing.
pub(super) fn is_no_inspector<I>() -> bool {
    // Most inspectors are borrowed, so they have no `TypeId`. And the EVM does not tell whether its
    // inspector is enabled.
    type_name::<I>() == type_name::<NoOpInspector>()
}

#[cfg(test)]
mod tests {
    use alloy_evm::{Evm, EvmEnv, EvmFactory, eth::EthEvmFactory, precompiles::DynPrecompile};
    use revm::{
        database_interface::EmptyDB,
        precompile::{PrecompileId, PrecompileOutput},
    };

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

    fn precompiles(change: impl FnOnce(&mut PrecompilesMap)) -> (PrecompilesMap, SpecId) {
        let mut evm = EthEvmFactory::default().create_evm(EmptyDB::default(), EvmEnv::default());
        change(evm.precompiles_mut());
        let spec = evm.cfg_env().spec;
        (
            std::mem::replace(evm.precompiles_mut(), PrecompilesMap::from_static(Precompiles::homestead())),
            spec,
        )
    }

    /// Whether precompiles are those of the fork for a client that touches none, and for one that wraps them.
    fn accepted((precompiles, spec): &(PrecompilesMap, SpecId)) -> [bool; 2] {
        [ClientPrecompiles::Untouched, ClientPrecompiles::Wrapped]
            .map(|allowed| are_of_fork(precompiles, *spec, allowed))
    }

    #[test]
    fn changed_precompiles_are_detected() {
        let untouched = precompiles(|_| ());
        assert_eq!(accepted(&untouched), [true, true]);
        assert_eq!(accepted(&(untouched.0, SpecId::FRONTIER)), [false, false]);
        let dynamic = precompiles(make_dynamic);
        assert_eq!(accepted(&dynamic), [false, true]);
    }

    #[test]
    fn wrapped_precompiles_are_told_from_others() {
        let wrap = |precompile: DynPrecompile| {
            let id = precompile.precompile_id().clone();
            DynPrecompile::new(id, move |input| precompile.call(input))
        };
        let wrapped = precompiles(|map| map.map_cacheable_precompiles(|_, precompile| wrap(precompile)));
        assert_eq!(accepted(&wrapped), [false, true]);
        let stateful =
            precompiles(|map| map.map_precompile(&Address::with_last_byte(1), DynPrecompile::stateful));
        assert_eq!(accepted(&stateful), [false, false]);
        let removed = precompiles(|map| map.apply_precompile(&Address::with_last_byte(1), |_| None));
        assert_eq!(accepted(&removed), [false, false]);
        let added = precompiles(|map| map.apply_precompile(&Address::with_last_byte(0xee), |_| Some(echo())));
        assert_eq!(accepted(&added), [false, false]);
        let replaced = precompiles(|map| map.map_precompile(&Address::with_last_byte(1), |_| echo()));
        assert_eq!(accepted(&replaced), [false, false]);
    }

    fn make_dynamic(map: &mut PrecompilesMap) {
        map.ensure_dynamic_precompiles();
    }

    fn echo() -> DynPrecompile {
        let id = PrecompileId::Custom("echo".into());
        DynPrecompile::new(id, |_| Ok(PrecompileOutput::new(0, Default::default(), 0)))
    }

    #[test]
    fn a_lookup_of_precompiles_is_found_and_kept() {
        let address = Address::repeat_byte(0xab);
        let (mut with_lookup, spec) = precompiles(|map| {
            map.set_precompile_lookup(move |asked: &Address| {
                assert_eq!(*asked, address, "a client's lookup is called only for addresses of the client's");
                Some(echo())
            });
        });
        for _ in 0..2 {
            assert!(has_lookup(&mut with_lookup, spec));
            assert!(with_lookup.get(&address).is_some());
        }
    }

    #[test]
    fn asking_for_a_lookup_changes_no_precompiles() {
        for change in [|_: &mut PrecompilesMap| (), make_dynamic] {
            let mut asked = precompiles(change);
            let before = accepted(&asked);
            for _ in 0..2 {
                let (map, spec) = &mut asked;
                assert!(!has_lookup(map, *spec));
                assert_eq!(accepted(&asked), before);
            }
        }
    }

    #[test]
    fn only_the_no_op_inspector_is_no_inspector() {
        assert!(is_no_inspector::<NoOpInspector>());
        assert!(!is_no_inspector::<&mut NoOpInspector>());
        assert!(!is_no_inspector::<()>());
    }
}
