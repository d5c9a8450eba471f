//! Where accounts and slots come from: the base, the block, or an access list.

use super::*;

#[test]
fn a_sender_that_does_not_exist_is_absent_before_its_first_transaction() {
    let (memory, base) = (memory(Visibility::Published), MemoryStore::new());
    let sender = |nonce| Sender { address: ALICE, nonce, ..Sender::default() };
    let sees = |nonce| TestRun::of_sender(&memory, &base, sender(nonce)).view.basic(ALICE).unwrap().is_some();
    assert!(!sees(0) && sees(1));
}

/// Alice's account in the base, as the payment of a run knows it.
fn base_of_payment(memory: &Memory, base: &MemoryStore) -> Option<Option<Account>> {
    let mut run = TestRun::new(memory, base);
    run.touch(ALICE).info.balance += word(1);
    let record = run.finish();
    assert_eq!(record.payments.len(), 1);
    record.payments[0].base()
}

/// Publishes that transaction 0 changes Alice like this.
fn publish(memory: &Memory, base: &MemoryStore, change: impl FnOnce(&mut EvmAccount)) {
    let mut run = TestRun::new(memory, base);
    run.view.begin(TxIndex::new(0), Sender::default(), &FRESH);
    change(run.touch(ALICE));
    let version = Version { index: TxIndex::new(0), incarnation: Incarnation::FIRST };
    memory.publish(Writer::Run(version), &run.finish(), None, &mut Vec::new());
}

#[test]
fn only_an_account_that_was_read_from_the_base_is_passed_on_as_the_bases() {
    for alice in [None, plain(5, 0)] {
        let (memory, base) = (memory(Visibility::Published), store(alice));
        assert_eq!(base_of_payment(&memory, &base), Some(alice));
        publish(&memory, &base, |alice| {
            alice.mark_created();
            alice.info.nonce = 1;
        });
        assert_eq!(base_of_payment(&memory, &base), None, "transaction 0 wrote it");
    }
}

#[test]
fn what_an_access_list_says_of_an_account_is_not_passed_on_as_the_bases() {
    let balance_changes = vec![BalanceChange::new(BlockAccessIndex(1), word(99))];
    let memory = listing(AccountChanges { balance_changes, ..AccountChanges::new(ALICE) });
    for alice in [None, plain(5, 0)] {
        let base = store(alice);
        let mut run = TestRun::new(&memory, &base);
        assert_eq!(run.load(ALICE).info.balance, word(99));
        assert_eq!(base_of_payment(&memory, &base), Some(alice));
    }
}

/// The origin of slot 1 of Alice, and of all that a run read.
fn origins(memory: &Memory, base: &MemoryStore) -> [Origin; 2] {
    let mut run = TestRun::new(memory, base);
    run.load(ALICE);
    run.view.storage(ALICE, word(1)).unwrap();
    let record = run.finish();
    [record.reads[0].origin, record.origin]
}

#[test]
fn only_a_slot_that_was_read_from_the_base_is_called_the_bases() {
    let (memory, base) = (memory(Visibility::Published), store(plain(5, 0)));
    assert_eq!(origins(&memory, &base), [Origin::Base; 2]);
    publish(&memory, &base, |alice| {
        alice.storage.insert(word(1), EvmStorageSlot::new_changed(word(7), word(8), TransactionId::ZERO));
    });
    assert_eq!(origins(&memory, &base), [Origin::Block; 2]);
}

#[test]
fn what_an_access_list_says_of_a_slot_is_not_called_the_bases() {
    let change = StorageChange::new(BlockAccessIndex(1), word(99));
    for (slot, origin) in [(1, Origin::Block), (2, Origin::Base)] {
        let storage_changes = vec![SlotChanges::new(word(slot), vec![change.clone()])];
        let memory = listing(AccountChanges { storage_changes, ..AccountChanges::new(ALICE) });
        assert_eq!(origins(&memory, &store(plain(5, 0))), [origin; 2], "slot {slot} is in the list");
    }
}

#[test]
fn each_slot_read_is_needed_and_names_its_account() {
    let (memory, base) = (memory(Visibility::Published), store(plain(5, 0)));
    let mut run = TestRun::new(&memory, &base);
    // The payments that a record holds apart do not shift the accounts of its slots.
    [BOB, ALICE, COINBASE].into_iter().for_each(|address| run.touch(address).info.balance += word(1));
    assert_eq!(run.view.storage(COINBASE, word(4)).unwrap(), word(0));
    let id = run.alice().info.account_id.unwrap();
    assert_eq!(run.view.storage_by_account_id(ALICE, id, word(1)).unwrap(), word(7));
    let record = run.finish();
    let of = |account: u32| record.accounts[account as usize].address;
    let reads: Vec<_> = record.reads.iter().map(|read| (of(read.account), read.key, read.value)).collect();
    assert_eq!(reads, [(COINBASE, word(4), word(0)), (ALICE, word(1), word(7))]);
    assert_eq!(record.payments.iter().map(Payment::address).collect::<Vec<_>>(), [BOB]);
}

#[test]
fn the_slots_of_creations_that_failed_are_listed_once_and_name_their_account() {
    let rich = |address| (address, Allocation { balance: word(9), ..Allocation::default() });
    let base = MemoryStore::from_genesis([ALICE, BOB].map(rich));
    let memory = memory(Visibility::Published);
    let mut run = TestRun::new(&memory, &base);
    run.touch(COINBASE).info.balance += word(1);
    let creator = run.left[&COINBASE].clone();
    for address in [ALICE, BOB] {
        let slots = [1, 3].map(|key| (word(key), EvmStorageSlot::new(word(0), TransactionId::ZERO)));
        run.load(address).storage.extend(slots);
        // A creation that is tried twice.
        (0..2).for_each(|_| run.view.creates(COINBASE, &creator, address, U256::ZERO));
    }
    // The run reads a slot of Alice before it tries to create her, and one of another account that Bob has as well.
    run.view.storage(ALICE, word(1)).unwrap();
    run.view.storage(COINBASE, word(3)).unwrap();
    let record = run.finish();
    let of = |account: u32| record.accounts[account as usize].address;
    let mut created: Vec<_> = record.created.iter().map(|slot| (of(slot.account), slot.key)).collect();
    created.sort_unstable();
    assert_eq!(created, [(ALICE, word(3)), (BOB, word(1)), (BOB, word(3))]);
    assert_eq!(record.reads.iter().map(|read| of(read.account)).collect::<Vec<_>>(), [ALICE, COINBASE]);
}

#[test]
fn a_stale_run_reads_nothing_more() {
    let (memory, base, is_stale) =
        (memory(Visibility::Published), store(plain(5, 0)), AtomicBool::new(false));
    let mut view = View::new(&memory, &base);
    view.begin(TxIndex::new(READER), Sender::default(), &is_stale);
    assert!(view.basic(ALICE).is_ok() && view.storage(ALICE, word(1)).is_ok());
    // ORDER: Relaxed: this thread reads it.
    is_stale.store(true, Ordering::Relaxed);
    assert_eq!(view.basic(BOB), Err(Interrupt::Stale));
    assert_eq!(view.storage(ALICE, word(2)), Err(Interrupt::Stale));
}

#[test]
fn an_account_without_code_comes_with_the_empty_code_and_another_code_is_found_by_its_hash() {
    let contract = Allocation { code: [0].into(), ..Allocation::default() };
    let rich = Allocation { balance: word(1), ..Allocation::default() };
    let base = MemoryStore::from_genesis([(ALICE, rich), (BOB, contract)]);
    let memory = memory(Visibility::Published);
    let mut view = TestRun::new(&memory, &base).view;
    assert!(view.basic(ALICE).unwrap().unwrap().code.unwrap().is_empty());
    let hash = view.basic(BOB).unwrap().unwrap().code_hash;
    assert_eq!(view.code_by_hash(hash).unwrap().hash_slow(), hash);
}
