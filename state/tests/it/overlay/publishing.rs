//! Publication of committed effects: a view of the published effects equals the committed state.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use blockloom_state::{
    BalanceEffect, CachedBase, Incarnation, Memory, MemoryStore, Overlay, Portion, Publication, Record,
    Sender, TxIndex, Version, View, Visibility, Writer, sync::AtomicBool,
};
use proptest::prelude::*;
use revm_database_interface::Database;
use revm_state::{AccountInfo, Bytecode};

use super::actions::{
    AccountModel, Action, Model, action, address, apply_to_model, code, genesis, store, touched,
};

const COINBASE: Address = Address::repeat_byte(0xfe);
/// A sender without actions: a run sees its sender with the nonce of the transaction.
const OTHER: Sender = Sender { address: Address::repeat_byte(0xfd), nonce: 0, cost: U256::ZERO };

/// A transaction, the way it is committed, and the effects that are published after it.
#[derive(Clone, Debug)]
struct Step {
    account: u8,
    action: Action,
    way: Way,
    mode: Publication,
    published: Option<Portion>,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// It runs on the committed state.
    Run,
    /// Its unpublished record is committed.
    Record,
}

fn step() -> impl Strategy<Value = Step> {
    let way = prop_oneof![Just(Way::Run), Just(Way::Record)];
    let mode = prop_oneof![Just(Publication::Immediate), Just(Publication::OnMiss)];
    let published = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Portion::Recent)),
        1 => Just(Some(Portion::RecentAndWithheld)),
    ];
    (0..5u8, action(), way, mode, published).prop_map(|(account, action, way, mode, published)| Step {
        account,
        action,
        way,
        mode,
        published,
    })
}

fn memory() -> Memory {
    let mut memory = Memory::default();
    memory.open([COINBASE], Visibility::Published);
    memory
}

/// The record of a run of the action on `state`, without account ids.
fn recorded(state: &MemoryStore, index: TxIndex, address: Address, action: &Action) -> Record {
    let (memory, is_stale) = (memory(), AtomicBool::new(false));
    let mut view = View::new(&memory, state);
    view.begin(index, OTHER, &is_stale);
    let account = touched(&mut view, address, action);
    let mut record = Record::default();
    view.finish(&mut [(address, account)].into_iter().collect(), &mut record).unwrap();
    record.accounts.iter_mut().for_each(|account| account.id = None);
    record
}

fn publish(overlay: &mut Overlay<&MemoryStore>, memory: &Memory, index: TxIndex, share: Portion) -> Record {
    let mut effects = Record::default();
    overlay.take_effects(&mut effects, share, |address, info| memory.insert_account(address, info, None));
    let version = Version { index, incarnation: Incarnation::FIRST };
    memory.publish(Writer::Run(version), &effects, None, &mut Vec::new());
    effects
}

/// Commits the steps, publishes their effects during the steps and the rest at the end, and compares a
/// view of the published effects with the committed state.
fn commit_and_publish(base: &MemoryStore, model: &mut Model, steps: &[Step]) -> Result<(), TestCaseError> {
    let memory = memory();
    let mut overlay = Overlay::new(base);
    let mut paid = BTreeSet::new();
    for (position, Step { account, action, way, mode, published }) in steps.iter().enumerate() {
        let (address, index) = (address(*account), TxIndex::new(position));
        // A slot of an absent account is never written.
        if matches!(action, Action::Write(_)) && !model.contains_key(&address) {
            continue;
        }
        overlay.set_publication(*mode);
        match way {
            Way::Run => {
                let account = touched(&mut overlay, address, action);
                overlay.commit_touched(&mut [(address, account)].into_iter().collect());
            }
            Way::Record => {
                let record = recorded(&store(model), index, address, action);
                prop_assert_eq!(overlay.validate(&record).unwrap(), None);
                overlay.keep_effects(&record);
                overlay.commit_record(&record);
            }
        }
        let has_no_code = model.get(&address).is_none_or(|account| account.code == 0);
        if matches!(action, Action::Pay(_)) && has_no_code {
            paid.insert(address);
        }
        apply_to_model(model, address, action);
        if let Some(share) = published {
            publish(&mut overlay, &memory, index, *share);
        }
    }
    let last = TxIndex::new(steps.len());
    while !publish(&mut overlay, &memory, last, Portion::RecentAndWithheld).accounts.is_empty() {}
    let is_stale = AtomicBool::new(false);
    let mut view = View::new(&memory, base);
    view.begin(TxIndex::new(steps.len() + 1), OTHER, &is_stale);
    compare(&mut view, &mut overlay, &paid)
}

/// Compares a view of the published effects with the committed state. `paid` accounts received payments while they
/// had no code.
fn compare(
    view: &mut impl Database<Error: std::fmt::Debug>,
    overlay: &mut Overlay<&MemoryStore>,
    paid: &BTreeSet<Address>,
) -> Result<(), TestCaseError> {
    for address in (0..5).map(address) {
        let [published, committed] = [view.basic(address).unwrap(), overlay.basic(address).unwrap()];
        let parts = |info: &Option<AccountInfo>| info.as_ref().map(|info| (info.code_hash, info.nonce));
        if committed.as_ref().is_some_and(|info| !info.is_empty_code_hash()) {
            prop_assert_eq!(parts(&published), parts(&committed));
            // Payments to accounts without code are not published.
            if !paid.contains(&address) {
                prop_assert_eq!(published.map(|info| info.balance), committed.map(|info| info.balance));
            }
        } else {
            prop_assert!(published.is_none_or(|info| info.is_empty_code_hash()), "{address} has no code");
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
    fn a_view_of_all_published_effects_equals_the_committed_state(
        genesis in genesis(),
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let (base, mut model) = (store(&genesis), genesis);
        commit_and_publish(&base, &mut model, &steps)?;
    }
}

/// An overlay with this number of committed writes, to different slots of one account.
fn with_writes(base: &MemoryStore, writes: u64, mode: Publication) -> Overlay<&MemoryStore> {
    let mut overlay = Overlay::new(base);
    overlay.set_publication(mode);
    let mut account = touched(&mut overlay, address(1), &Action::Touch);
    for key in (0..writes).map(U256::from) {
        let slot = revm_state::EvmStorageSlot::new_changed(U256::ZERO, U256::ONE, Default::default());
        overlay.storage(address(1), key).unwrap();
        account.storage.insert(key, slot);
    }
    overlay.commit_touched(&mut [(address(1), account)].into_iter().collect());
    overlay
}

/// A contract with 1 wei.
fn contract() -> Model {
    [(address(1), AccountModel { balance: 1, code: 1, ..AccountModel::default() })].into()
}

#[test]
fn a_withheld_change_is_published_with_the_next_recent_change_of_its_account() {
    let base = store(&contract());
    let mut overlay = Overlay::new(&base);
    for mode in [Publication::OnMiss, Publication::Immediate, Publication::Immediate] {
        overlay.set_publication(mode);
        let account = touched(&mut overlay, address(1), &Action::Pay(1));
        overlay.commit_touched(&mut [(address(1), account)].into_iter().collect());
    }
    let effects = publish(&mut overlay, &memory(), TxIndex::new(0), Portion::Recent);
    let balances: Vec<_> =
        effects.accounts.iter().map(|account| account.effect.as_ref().unwrap().balance).collect();
    assert_eq!(balances, [BalanceEffect::Set(U256::from(4))]);
}

#[test]
fn deferred_effects_are_published_in_growing_portions_and_only_on_request() {
    let base = store(&contract());
    let published = |overlay: &mut Overlay<&MemoryStore>, share| {
        publish(overlay, &memory(), TxIndex::new(0), share).writes.len()
    };
    let mut overlay = with_writes(&base, 500, Publication::Immediate);
    assert_eq!(published(&mut overlay, Portion::Recent), 500);
    let mut overlay = with_writes(&base, 500, Publication::OnMiss);
    let shares = [
        Portion::Recent,
        Portion::RecentAndWithheld,
        Portion::RecentAndWithheld,
        Portion::Recent,
        Portion::RecentAndWithheld,
    ];
    assert_eq!(shares.map(|share| published(&mut overlay, share)), [0, 8, 16, 0, 32]);
    let rest: usize = [(); 4].map(|()| published(&mut overlay, Portion::RecentAndWithheld)).iter().sum();
    assert_eq!(8 + 16 + 32 + rest, 500, "all writes are published");
    assert_eq!(published(&mut overlay, Portion::RecentAndWithheld), 0);
    overlay.set_publication(Publication::Off);
    let mut overlay = with_writes(&base, 500, Publication::Off);
    overlay.set_publication(Publication::Immediate);
    assert_eq!(published(&mut overlay, Portion::RecentAndWithheld), 0, "the effects were not kept");
}

#[test]
fn an_account_is_noted_again_after_its_effects_were_dropped_or_published() {
    let base = store(&contract());
    let mut overlay = Overlay::new(&base);
    let write = |overlay: &mut Overlay<&MemoryStore>, value, mode| {
        overlay.set_publication(mode);
        let account = touched(overlay, address(1), &Action::Write(vec![(0, value)]));
        overlay.commit_touched(&mut [(address(1), account)].into_iter().collect());
    };
    let published = |overlay: &mut Overlay<&MemoryStore>| {
        let writes = publish(overlay, &memory(), TxIndex::new(0), Portion::Recent).writes;
        writes.iter().map(|write| write.value).collect::<Vec<_>>()
    };
    write(&mut overlay, 1, Publication::Immediate);
    overlay.set_publication(Publication::Off);
    write(&mut overlay, 2, Publication::Immediate);
    assert_eq!(published(&mut overlay), [U256::from(2)], "after it was dropped");
    write(&mut overlay, 3, Publication::Immediate);
    assert_eq!(published(&mut overlay), [U256::from(3)], "after it was published");
}

/// Commits the actions, joins a memory, and compares a view of the published effects with the committed state.
fn commit_and_join(
    base: &MemoryStore,
    model: &mut Model,
    actions: &[(u8, Action)],
) -> Result<(), TestCaseError> {
    let memory = memory();
    let mut overlay = Overlay::new(CachedBase::alone(base));
    for (account, action) in actions {
        let address = address(*account);
        // Only accounts that exist have slots to write.
        if matches!(action, Action::Write(_)) && !model.contains_key(&address) {
            continue;
        }
        let account = touched(&mut overlay, address, action);
        overlay.commit_touched(&mut [(address, account)].into_iter().collect());
        apply_to_model(model, address, action);
    }
    overlay.join_memory(&memory);
    let mut effects = Record::default();
    overlay.take_effects(&mut effects, Portion::Recent, |address, info| {
        memory.insert_account(address, info, None)
    });
    memory.publish(Writer::Opening, &effects, None, &mut Vec::new());
    let is_stale = AtomicBool::new(false);
    let mut view = View::new(&memory, base);
    view.begin(TxIndex::new(actions.len()), OTHER, &is_stale);
    for address in (0..5).map(address) {
        let [viewed, committed] = [view.basic(address).unwrap(), overlay.basic(address).unwrap()];
        let parts = |info: Option<AccountInfo>| info.map(|info| (info.code_hash, info.nonce, info.balance));
        if committed.as_ref().is_some_and(|info| !info.is_empty_code_hash()) {
            prop_assert_eq!(parts(viewed), parts(committed));
        } else {
            prop_assert!(viewed.is_none_or(|info| info.is_empty_code_hash()), "{address} has no code");
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
    fn a_memory_that_is_joined_late_receives_everything_that_was_committed(
        genesis in genesis(),
        actions in prop::collection::vec((0..5u8, action()), 0..24),
    ) {
        let (base, mut model) = (store(&genesis), genesis);
        commit_and_join(&base, &mut model, &actions)?;
    }
}

/// Commits these actions, one after the other.
fn commit_all(overlay: &mut Overlay<CachedBase<'_, MemoryStore>>, actions: &[(u8, Action)]) {
    for (byte, action) in actions {
        let account = touched(overlay, address(*byte), action);
        overlay.commit_touched(&mut [(address(*byte), account)].into_iter().collect());
    }
}

#[test]
fn neither_payments_nor_unchanged_accounts_are_published() {
    let mut model = contract();
    model.insert(address(2), AccountModel { balance: 1, ..AccountModel::default() });
    let (base, memory) = (store(&model), memory());
    let mut overlay = Overlay::new(CachedBase::alone(&base));
    let actions = [(1, Action::Touch), (2, Action::Pay(1))];
    let published = |overlay: &mut Overlay<CachedBase<'_, MemoryStore>>| {
        let mut effects = Record::default();
        overlay.take_effects(&mut effects, Portion::Recent, |address, info| {
            memory.insert_account(address, info, None)
        });
        effects.accounts.len()
    };
    overlay.set_publication(Publication::Immediate);
    commit_all(&mut overlay, &actions);
    assert_eq!(published(&mut overlay), 0, "while effects are kept");
    overlay.join_memory(&memory);
    assert_eq!(published(&mut overlay), 0, "when a memory is joined");
    overlay.join_memory(&memory);
    commit_all(&mut overlay, &actions);
    assert_eq!(published(&mut overlay), 0, "after a memory was joined");
}

#[test]
fn a_published_account_has_the_code_that_the_base_returned_with_it() {
    let (base, memory) = (store(&contract()), memory());
    let mut overlay = Overlay::new(&base);
    overlay.set_publication(Publication::Immediate);
    let account = touched(&mut overlay, address(1), &Action::SetCode(2));
    overlay.commit_touched(&mut [(address(1), account)].into_iter().collect());
    let mut codes = Vec::new();
    overlay.take_effects(&mut Record::default(), Portion::Recent, |address, info| {
        codes.extend(info.iter().map(|info| info.code.as_ref().map(Bytecode::original_bytes)));
        memory.insert_account(address, info, None)
    });
    assert_eq!(codes, [Some(code(1))]);
}
