//! What an overlay tells of: whoever is told all of it, whenever, sees what is committed.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use blockloom_state::{
    Incarnation, Keeping, Memory, MemoryStore, Overlay, Record, Sender, Share, Sight, TxIndex, Version, View,
    Writer, sync::AtomicBool,
};
use proptest::prelude::*;
use revm_database_interface::Database;

use super::acts::{Act, Model, act, address, apply_to_model, genesis, store, touched};

const COINBASE: Address = Address::repeat_byte(0xfe);

/// A transaction, how it is committed, and what is told after it.
#[derive(Clone, Debug)]
struct Step {
    account: u8,
    act: Act,
    way: Way,
    keeping: Keeping,
    told: Option<Share>,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// It runs on what is committed.
    Run,
    /// Its record is committed, of which nobody was told.
    Record,
}

fn step() -> impl Strategy<Value = Step> {
    let way = prop_oneof![Just(Way::Run), Just(Way::Record)];
    let keeping = prop_oneof![Just(Keeping::Kept), Just(Keeping::KeptBack)];
    let told = prop_oneof![3 => Just(None), 1 => Just(Some(Share::Latest)), 1 => Just(Some(Share::AndMore))];
    (0..5u8, act(), way, keeping, told).prop_map(|(account, act, way, keeping, told)| Step {
        account,
        act,
        way,
        keeping,
        told,
    })
}

fn memory() -> Memory {
    let mut memory = Memory::default();
    memory.open(COINBASE, Sight::Clear);
    memory
}

/// What a run of `act` on `state` records; the accounts have no names.
fn recorded(state: &MemoryStore, index: TxIndex, address: Address, act: &Act) -> Record {
    let (memory, unwanted) = (memory(), AtomicBool::new(false));
    let mut view = View::new(&memory, state);
    view.begin(index, Sender::default(), &unwanted);
    let account = touched(&mut view, address, act);
    let mut record = Record::default();
    view.finish(&mut [(address, account)].into_iter().collect(), &mut record).unwrap();
    record.accounts.iter_mut().for_each(|account| account.id = None);
    record
}

fn tell(overlay: &mut Overlay<&MemoryStore>, memory: &Memory, index: TxIndex, share: Share) -> Record {
    let mut effects = Record::default();
    overlay.take_trace(&mut effects, share, |address, info| memory.introduce(address, info, None));
    let version = Version { index, incarnation: Incarnation::FIRST };
    memory.publish(Writer::Run(version), &effects, None, &mut Vec::new());
    effects
}

/// Commits the steps, and tells of them when they say so, and of what is left in the end.
fn commit_and_tell(base: &MemoryStore, model: &mut Model, steps: &[Step]) -> Result<(), TestCaseError> {
    let memory = memory();
    let mut overlay = Overlay::new(base);
    let mut paid = BTreeSet::new();
    for (position, Step { account, act, way, keeping, told }) in steps.iter().enumerate() {
        let (address, index) = (address(*account), TxIndex::new(position));
        // Nobody writes a slot of an account that is neither there nor created.
        if matches!(act, Act::Write(_)) && !model.contains_key(&address) {
            continue;
        }
        overlay.keep(*keeping);
        match way {
            Way::Run => {
                let account = touched(&mut overlay, address, act);
                overlay.commit_touched(&mut [(address, account)].into_iter().collect());
            }
            Way::Record => {
                let record = recorded(&store(model), index, address, act);
                prop_assert_eq!(overlay.staleness(&record).unwrap(), None);
                overlay.trace_record(&record);
                overlay.commit_record(&record);
            }
        }
        if matches!(act, Act::Pay(_)) {
            paid.insert(address);
        }
        apply_to_model(model, address, act);
        if let Some(share) = told {
            tell(&mut overlay, &memory, index, *share);
        }
    }
    let last = TxIndex::new(steps.len());
    while !tell(&mut overlay, &memory, last, Share::AndMore).accounts.is_empty() {}
    let unwanted = AtomicBool::new(false);
    let mut view = View::new(&memory, base);
    view.begin(TxIndex::new(steps.len() + 1), Sender::default(), &unwanted);
    for address in (0..5).map(address) {
        let [seen, is] = [view.basic(address).unwrap(), overlay.basic(address).unwrap()];
        let code = |info: &Option<revm_state::AccountInfo>| info.as_ref().map(|info| info.code_hash);
        if is.as_ref().is_some_and(|info| !info.is_empty_code_hash()) {
            prop_assert_eq!(code(&seen), code(&is));
            // Payments to who has no code are not told of.
            if !paid.contains(&address) {
                prop_assert_eq!(seen.map(|info| info.balance), is.map(|info| info.balance));
            }
        } else {
            prop_assert!(seen.is_none_or(|info| info.is_empty_code_hash()), "{address} has no code");
        }
        for key in (0..6).map(U256::from) {
            prop_assert_eq!(view.storage(address, key).unwrap(), overlay.storage(address, key).unwrap());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn who_is_told_all_of_it_sees_what_is_committed(
        genesis in genesis(),
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let (base, mut model) = (store(&genesis), genesis);
        commit_and_tell(&base, &mut model, &steps)?;
    }
}

/// An overlay that committed so many writes into different slots of one account.
fn with_writes(base: &MemoryStore, writes: u64, keeping: Keeping) -> Overlay<&MemoryStore> {
    let mut overlay = Overlay::new(base);
    overlay.keep(keeping);
    let mut account = touched(&mut overlay, address(1), &Act::Touch);
    for key in (0..writes).map(U256::from) {
        let written = revm_state::EvmStorageSlot::new_changed(U256::ZERO, U256::ONE, Default::default());
        overlay.storage(address(1), key).unwrap();
        account.storage.insert(key, written);
    }
    overlay.commit_touched(&mut [(address(1), account)].into_iter().collect());
    overlay
}

#[test]
fn what_is_kept_back_is_told_in_growing_portions_and_only_when_more_is_asked_for() {
    let base = store(&[(address(1), (1, 1, Default::default()))].into());
    let told = |overlay: &mut Overlay<&MemoryStore>, share| {
        tell(overlay, &memory(), TxIndex::new(0), share).writes.len()
    };
    let mut overlay = with_writes(&base, 500, Keeping::Kept);
    assert_eq!(told(&mut overlay, Share::Latest), 500);
    let mut overlay = with_writes(&base, 500, Keeping::KeptBack);
    let shares = [Share::Latest, Share::AndMore, Share::AndMore, Share::Latest, Share::AndMore];
    assert_eq!(shares.map(|share| told(&mut overlay, share)), [0, 8, 16, 0, 32]);
    let rest: usize = [(); 4].map(|()| told(&mut overlay, Share::AndMore)).iter().sum();
    assert_eq!(8 + 16 + 32 + rest, 500, "that is all");
    assert_eq!(told(&mut overlay, Share::AndMore), 0);
    overlay.keep(Keeping::Forgotten);
    let mut overlay = with_writes(&base, 500, Keeping::Forgotten);
    overlay.keep(Keeping::Kept);
    assert_eq!(told(&mut overlay, Share::AndMore), 0, "it was not kept");
}
