//! What a run needs of an account that it looks at, spends from, or creates.

use super::*;

#[test]
fn the_code_of_every_account_is_needed() {
    let record = left(plain(5, 1), |_| {});
    let with_code = Account { code_hash: B256::repeat_byte(1), ..plain(5, 1).unwrap() };
    assert_stale(&record, &[(Some(with_code), Conflict::Code)]);
    assert_holds(&record, &[plain(5, 1), plain(0, 0), plain(9, 9), None]);
}

#[test]
fn an_existence_that_a_run_looked_at_is_needed() {
    let looking =
        |alice| reported(alice, |view, alice| view.looks_at_emptiness(ALICE, alice, alice.info.balance));
    assert_needs_empty(&looking(None), Existence::Absent);
    assert_needs_empty(&looking(plain(0, 0)), Existence::Exists);
    let record = looking(plain(3, 0));
    assert_holds(&record, &[plain(1, 0), plain(8, 8)]);
    assert_stale(&record, &[(plain(0, 0), Conflict::Balance), (None, Conflict::Balance)]);
    let record = looking(plain(0, 3));
    assert_holds(&record, &[plain(0, 1), plain(8, 8)]);
    assert_stale(&record, &[(plain(8, 0), Conflict::Nonce), (None, Conflict::Nonce)]);
}

#[test]
fn an_account_with_code_is_not_empty_whatever_it_holds() {
    let code = || Bytecode::new_legacy([0].into());
    let base = MemoryStore::from_genesis([(
        ALICE,
        Allocation { balance: word(4), code: code().original_bytes(), ..Allocation::default() },
    )]);
    let memory = memory(Visibility::Published);
    let mut run = TestRun::new(&memory, &base);
    run.touch(ALICE);
    run.view.looks_at_emptiness(ALICE, &run.alice(), word(4));
    let record = run.finish();
    let with_code =
        |balance, nonce| Some(Account { code_hash: code().hash_slow(), ..plain(balance, nonce).unwrap() });
    assert_holds(&record, &[with_code(4, 0), with_code(0, 0), with_code(9, 9)]);
    assert_stale(&record, &[(plain(4, 0), Conflict::Code)]);
    assert_eq!(record.payments.len(), 0, "a payment has no room for a code");
}

#[test]
fn a_run_that_looks_at_everything_needs_everything() {
    let record = reported(plain(5, 3), |view, _| view.looks_at_everything(ALICE));
    assert_holds(&record, &[plain(5, 3)]);
    assert_stale(&record, &[(plain(4, 3), Conflict::Balance), (plain(6, 3), Conflict::Balance)]);
    assert_stale(&record, &[(plain(5, 2), Conflict::Nonce), (plain(5, 4), Conflict::Nonce)]);
    let record = reported(plain(0, 0), |view, _| view.looks_at_everything(ALICE));
    assert_needs_empty(&record, Existence::Exists);
}

#[test]
fn a_balance_or_a_nonce_that_a_run_looked_at_is_needed_and_no_other_part() {
    let record = reported(plain(5, 3), |view, alice| view.looks_at_balance(ALICE, alice));
    assert_holds(&record, &[plain(5, 0), plain(5, 9)]);
    assert_stale(&record, &[(plain(4, 3), Conflict::Balance), (plain(6, 3), Conflict::Balance)]);
    let record = reported(plain(5, 3), |view, alice| view.looks_at_nonce(ALICE, alice));
    assert_holds(&record, &[plain(0, 3), plain(9, 3)]);
    assert_stale(&record, &[(plain(5, 2), Conflict::Nonce), (plain(5, 4), Conflict::Nonce)]);
}

#[test]
fn a_creation_needs_the_nonce_of_its_creator() {
    let record = reported(plain(5, 3), |view, alice| view.creates(ALICE, alice, BOB, U256::ZERO));
    assert_holds(&record, &[plain(0, 3), plain(9, 3)]);
    assert_stale(&record, &[(plain(5, 2), Conflict::Nonce), (plain(5, 4), Conflict::Nonce)]);
}

#[test]
fn a_creation_with_a_huge_value_is_left_to_the_frontier() {
    for (value, is_left) in [(EXACT_TRANSFER - word(1), false), (EXACT_TRANSFER, true)] {
        let (memory, base) = (memory(Visibility::Published), store(plain(5, 3)));
        let mut run = TestRun::new(&memory, &base);
        let creator = run.load(ALICE).clone();
        run.view.creates(ALICE, &creator, BOB, value);
        assert_eq!(run.try_finish() == Err(Interrupt::NeedsFrontier), is_left, "{value}");
    }
}

#[test]
fn a_creation_that_failed_needs_the_nonce_of_the_address_and_whether_it_is_empty() {
    let failing = |alice| {
        let (memory, base) = (memory(Visibility::Published), store(alice));
        let mut run = TestRun::new(&memory, &base);
        run.load(ALICE);
        let creator = run.load(BOB).clone();
        run.view.creates(BOB, &creator, ALICE, U256::ZERO);
        run.finish()
    };
    let record = failing(plain(9, 0));
    assert_holds(&record, &[plain(9, 0), plain(1, 0), plain(99, 0)]);
    assert_stale(&record, &[(plain(9, 1), Conflict::Nonce), (plain(0, 0), Conflict::Balance)]);
    // The address is used. Less of it may be used than of what the run saw.
    let record = failing(plain(9, 2));
    assert_holds(&record, &[plain(0, 2), plain(99, 2)]);
    assert_stale(&record, &[(plain(9, 0), Conflict::Nonce), (plain(9, 1), Conflict::Nonce)]);
    assert_needs_empty(&failing(None), Existence::Absent);
}

#[test]
fn a_balance_bounds_what_a_run_spends_of_it() {
    let spending = |received: u64, amount: u64| {
        let (memory, base) = (memory(Visibility::Published), store(plain(10, 1)));
        let mut run = TestRun::new(&memory, &base);
        run.touch(ALICE).info.balance += word(received);
        run.spend(word(amount));
        run.finish()
    };
    let record = spending(5, 12);
    assert_holds(&record, &[plain(7, 1), plain(99, 1)]);
    assert_stale(&record, &[(plain(6, 1), Conflict::Balance)]);
    // Three wei are missing.
    let record = spending(5, 18);
    assert_holds(&record, &[plain(0, 1), plain(12, 1)]);
    assert_stale(&record, &[(plain(13, 1), Conflict::Balance)]);
}

#[test]
fn of_several_amounts_the_one_that_leaves_least_counts() {
    let (memory, base) = (memory(Visibility::Published), store(plain(10, 1)));
    let mut run = TestRun::new(&memory, &base);
    run.touch(ALICE);
    run.spend(word(8));
    run.left.get_mut(&ALICE).unwrap().info.balance += word(6);
    run.spend(word(1));
    // All are too much, the second one by least.
    [20, 9, 15].into_iter().for_each(|amount| run.spend(word(amount)));
    let record = run.finish();
    assert_holds(&record, &[plain(8, 1), plain(11, 1)]);
    assert_stale(&record, &[(plain(7, 1), Conflict::Balance), (plain(12, 1), Conflict::Balance)]);
}

#[test]
fn huge_balances_and_recipients_of_huge_amounts_are_needed_exactly() {
    let rich = |balance| Some(Account { balance, ..plain(0, 1).unwrap() });
    let (one, below_overflow) = (word(1), U256::from(1) << 255);
    let cases = [
        (EXACT_TRANSFER, EXACT_TRANSFER, [false, true]),
        (EXACT_TRANSFER, EXACT_TRANSFER - one, [false, false]),
        (below_overflow, one, [false, false]),
        (below_overflow + one, one, [true, true]),
    ];
    for (balance, amount, are_exact) in cases {
        let spent = reported(rich(balance), |view, alice| view.spends(ALICE, alice, amount));
        let given = reported(rich(balance), |view, alice| view.gives(ALICE, alice, amount));
        let found = [spent, given].map(|record| needs(&record, ALICE).balance.are_exact());
        assert_eq!(found, are_exact, "spends {amount} of {balance}, adds it");
    }
    let record = left(rich(one), |_| {});
    assert_stale(&record, &[(rich(below_overflow + one), Conflict::Balance)]);
}

#[test]
fn a_sender_needs_its_nonce_and_the_cost_of_the_transaction() {
    let memory = memory(Visibility::Published);
    let sender = Sender { address: ALICE, nonce: 3, cost: word(7) };
    for alice in [plain(10, 3), plain(2, 1), None] {
        let base = store(alice);
        let mut run = TestRun::of_sender(&memory, &base, sender);
        assert_eq!(run.load(ALICE).info.nonce, 3, "{alice:?}");
        run.view.looks_at_nonce(ALICE, &run.alice());
        let record = run.finish();
        assert_holds(&record, &[plain(7, 3), plain(99, 3)]);
        assert_stale(&record, &[(plain(6, 3), Conflict::Balance), (plain(10, 2), Conflict::Nonce)]);
        assert_eq!(record.payments[0].base(), Some(alice), "the base has another nonce");
    }
}

/// The result of a run that reads the coinbase, which has this balance, and does something with it.
fn with_coinbase(
    memory: &Memory,
    balance: u64,
    act: impl FnOnce(&mut View<'_, MemoryStore>, &mut EvmAccount),
) -> Result<Record, Interrupt<MissingCode>> {
    let allocation = Allocation { balance: word(balance), ..Allocation::default() };
    let base = MemoryStore::from_genesis([(COINBASE, allocation)]);
    let mut run = TestRun::new(memory, &base);
    run.load(COINBASE);
    let TestRun { view, left } = &mut run;
    act(view, left.get_mut(&COINBASE).unwrap());
    run.try_finish()
}

#[test]
fn only_the_frontier_knows_the_balance_of_the_coinbase() {
    type Act = fn(&mut View<'_, MemoryStore>, &mut EvmAccount);
    let acts: [(u64, Act); 5] = [
        (5, |view, account| view.looks_at_balance(COINBASE, account)),
        (5, |view, _| view.looks_at_everything(COINBASE)),
        (5, |view, account| view.gives(COINBASE, account, EXACT_TRANSFER)),
        (0, |view, account| view.looks_at_emptiness(COINBASE, account, word(0))),
        (0, |_, account| account.mark_touch()),
    ];
    for (number, (balance, act)) in acts.into_iter().enumerate() {
        let found = with_coinbase(&memory(Visibility::Published), balance, act);
        assert_eq!(found, Err(Interrupt::NeedsFrontier), "act {number}");
        // A list says the balance before each transaction.
        let found = with_coinbase(&listing(AccountChanges::new(COINBASE)), balance, act);
        assert!(found.is_ok(), "act {number}");
    }
    let paid: Act = |_, account| {
        account.mark_touch();
        account.info.balance += word(2);
    };
    assert!(with_coinbase(&memory(Visibility::Published), 0, paid).is_ok(), "a fee needs no balance");
    let spends: [Act; 2] = [
        |view, account| view.spends(COINBASE, account, word(2)),
        |view, account| view.spends(COINBASE, account, EXACT_TRANSFER),
    ];
    for spent in spends {
        assert!(
            with_coinbase(&memory(Visibility::Published), 5, spent).is_ok(),
            "a bound is no exact balance"
        );
    }
}

#[test]
fn what_only_the_frontier_knows_stays_needed_whatever_the_run_does_afterwards() {
    let (memory, base) = (memory(Visibility::Published), store(plain(9, 1)));
    let mut run = TestRun::new(&memory, &base);
    let creator = run.touch(ALICE).clone();
    run.view.creates(ALICE, &creator, BOB, EXACT_TRANSFER);
    run.spend(word(1));
    run.view.gives(ALICE, &creator, EXACT_TRANSFER);
    run.view.looks_at_balance(ALICE, &creator);
    run.view.looks_at_emptiness(ALICE, &creator, word(9));
    run.view.looks_at_everything(ALICE);
    run.view.creates(ALICE, &creator, BOB, word(1));
    assert_eq!(run.try_finish(), Err(Interrupt::NeedsFrontier));
}
