//! What a run does to an account, and what it needs for the effect to be right.

use super::*;

#[test]
fn an_untouched_empty_account_is_needed_as_it_is() {
    // Before EIP-161 revm removes the touch of an empty account that exists.
    assert_needs_empty(&left(plain(0, 0), |_| {}), Existence::Exists);
    assert_needs_empty(&left(None, |_| {}), Existence::Absent);
}

#[test]
fn an_account_that_a_touch_clears_is_needed_as_it_is() {
    let record = left(plain(0, 0), EvmAccount::mark_touch);
    assert_needs_empty(&record, Existence::Exists);
    assert_eq!(record.accounts[0].effect.as_ref().unwrap().life_change, LifeChange::Ends);
    let record = left(None, EvmAccount::mark_touch);
    assert_needs_empty(&record, Existence::Absent);
    assert_eq!(record.accounts[0].effect, None, "it does not exist after the touch either");
}

#[test]
fn a_touched_account_with_a_nonce_needs_one() {
    // An account without one is cleared if nothing else is left of it.
    for balance in [0, 5] {
        let record = left(plain(balance, 3), EvmAccount::mark_touch);
        assert_holds(&record, &[plain(0, 1), plain(9, 9)]);
        assert_stale(&record, &[(plain(0, 0), Conflict::Nonce), (None, Conflict::Nonce)]);
    }
}

#[test]
fn a_touched_account_with_a_balance_needs_a_wei_that_the_run_does_not_spend() {
    let paying = |amount: u64| {
        let (memory, base) = (memory(Visibility::Published), store(plain(10, 0)));
        let mut run = TestRun::new(&memory, &base);
        run.touch(ALICE);
        run.spend(word(amount));
        run.finish()
    };
    let record = paying(4);
    assert_holds(&record, &[plain(5, 0), plain(99, 7)]);
    assert_stale(&record, &[(plain(4, 0), Conflict::Balance), (None, Conflict::Balance)]);
    let record = left(plain(10, 0), EvmAccount::mark_touch);
    assert_holds(&record, &[plain(1, 0)]);
    assert_stale(&record, &[(plain(0, 0), Conflict::Balance)]);
    // It spends everything: the account is cleared, and would not be with a wei more.
    let record = paying(10);
    assert_stale(&record, &[(plain(11, 0), Conflict::Balance), (plain(9, 0), Conflict::Balance)]);
    assert_stale(&record, &[(plain(10, 1), Conflict::Nonce)]);
}

#[test]
fn a_touched_account_that_is_paid_exists_afterwards_in_any_case() {
    let record = left(plain(10, 0), |alice| {
        alice.mark_touch();
        alice.info.balance += word(2);
    });
    assert_holds(&record, &[plain(10, 0), plain(0, 0), plain(7, 7), None]);
    assert_eq!(record.payments.len(), 1);
}

#[test]
fn a_loss_that_was_not_reported_is_needed() {
    let record = left(plain(10, 1), |alice| {
        alice.mark_touch();
        alice.info.balance -= word(4);
    });
    assert_holds(&record, &[plain(4, 1), plain(99, 1)]);
    assert_stale(&record, &[(plain(3, 1), Conflict::Balance)]);
}

/// The effect of a run on Alice.
fn effect(record: &Record) -> &AccountEffect {
    record.accounts.iter().find(|account| account.address == ALICE).unwrap().effect.as_ref().unwrap()
}

#[test]
fn a_nonce_that_changes_is_needed_and_set() {
    let record = left(plain(5, 3), |alice| {
        alice.mark_touch();
        alice.info.nonce = 7;
    });
    assert_eq!(effect(&record).nonce, Some(7));
    assert_stale(&record, &[(plain(5, 2), Conflict::Nonce), (plain(5, 4), Conflict::Nonce)]);
}

#[test]
fn a_destroyed_account_is_needed_as_it_is() {
    let record = left(plain(5, 3), |alice| {
        alice.mark_touch();
        alice.mark_selfdestruct();
        alice.storage.insert(word(1), EvmStorageSlot::new_changed(word(7), word(8), TransactionId::ZERO));
    });
    assert_eq!(effect(&record).life_change, LifeChange::Ends);
    assert_eq!(record.writes, [], "a life that ended has no slots");
    assert_holds(&record, &[plain(5, 3)]);
    assert_stale(&record, &[(plain(4, 3), Conflict::Balance), (plain(6, 3), Conflict::Balance)]);
    assert_stale(&record, &[(plain(5, 2), Conflict::Nonce), (plain(5, 4), Conflict::Nonce)]);
}

#[test]
fn a_new_account_needs_the_nonce_of_the_old_one_and_sets_its_own() {
    let created = |nonce| {
        left(plain(5, 0), |alice| {
            alice.mark_touch();
            alice.mark_created();
            alice.info.nonce = nonce;
            let slot = EvmStorageSlot::new_changed(word(0), word(8), TransactionId::ZERO);
            alice.storage.insert(word(2), slot);
        })
    };
    // Before EIP-161 a new account has the nonce 0.
    for nonce in [0, 1] {
        let record = created(nonce);
        assert_eq!((effect(&record).life_change, effect(&record).nonce), (LifeChange::Begins, Some(nonce)));
        assert_eq!(record.writes.len(), 1);
        assert_holds(&record, &[plain(5, 0), plain(9, 0)]);
        assert_stale(&record, &[(plain(5, 1), Conflict::Nonce)]);
    }
}

#[test]
fn before_eip_161_a_new_account_with_nothing_is_needed_as_it_was() {
    // A touch creates an account that does not exist, and a creation may leave nothing but an empty account.
    for (was, existence) in [(None, Existence::Absent), (plain(0, 0), Existence::Exists)] {
        let record = left(was, |alice| {
            alice.mark_touch();
            alice.mark_created();
        });
        assert_eq!((effect(&record).life_change, effect(&record).nonce), (LifeChange::Begins, Some(0)));
        assert_needs_empty(&record, existence);
    }
}

#[test]
fn a_code_that_changes_is_set() {
    let code = Bytecode::new_legacy([1].into());
    let record = left(plain(5, 3), |alice| {
        alice.mark_touch();
        alice.info.set_code(code.clone());
    });
    assert_eq!(effect(&record).code, Some((code.hash_slow(), code)));
    assert_eq!(needs(&record, ALICE).code_hash, Some(KECCAK256_EMPTY));
}

#[test]
fn a_balance_is_set_if_it_is_needed_exactly_and_changed_by_an_amount_otherwise() {
    let changed = |is_looked_at: bool, balance: u64| {
        let (memory, base) = (memory(Visibility::Published), store(plain(5, 3)));
        let mut run = TestRun::new(&memory, &base);
        run.touch(ALICE).info.balance = word(balance);
        // An effect that is more than a payment.
        run.left.get_mut(&ALICE).unwrap().info.nonce = 9;
        if is_looked_at {
            run.view.looks_at_balance(ALICE, &run.alice());
        }
        effect(&run.finish()).balance
    };
    assert_eq!(
        [2, 5, 8].map(|balance| changed(false, balance)),
        [BalanceEffect::Subtract(word(3)), BalanceEffect::Keep, BalanceEffect::Add(word(3)),]
    );
    assert_eq!(
        [2, 5, 8].map(|balance| changed(true, balance)),
        [BalanceEffect::Set(word(2)), BalanceEffect::Keep, BalanceEffect::Set(word(8)),]
    );
}

#[test]
fn only_an_account_that_is_published_gets_an_id_of_the_memory() {
    let has_id = |publication| {
        let (memory, base) = (memory(Visibility::Published), store(plain(5, 3)));
        memory.set_publication(publication);
        let mut run = TestRun::new(&memory, &base);
        run.touch(ALICE).info.nonce = 9;
        run.load(BOB);
        run.view.looks_at_everything(BOB);
        let record = run.finish();
        let has_id = |account: &AccountRecord| (account.address == ALICE, account.id.is_some());
        record.accounts.iter().map(has_id).collect::<Vec<_>>()
    };
    assert_eq!(has_id(Publication::Immediate), [(true, true), (false, false)], "Bob does not change");
    assert_eq!(has_id(Publication::OnMiss), [(true, false), (false, false)], "nothing is published");
}
