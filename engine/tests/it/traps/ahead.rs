//! Speculative runs on a wrong state: the one before the block, one with the effects of stale runs, or one of which an
//! access list says something wrong.
//!
//! The result does not depend on timing. After the opening the calling thread waits until the only other thread has
//! run all transactions in order. Then it commits the first one.

use std::{
    ops::ControlFlow,
    sync::{Condvar, LazyLock, Mutex},
    time::Duration,
};

use alloy_eips::eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange, SlotChanges,
    StorageChange,
};
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, U256, bytes, keccak256};
use blockloom_engine::{Block, BlockError, BlockStep, Engine, Outcome};
use blockloom_fuzz::{difference, engine_on, isolated_engine_on};
use blockloom_state::{Account, Allocation, Change, MemoryStore, MissingCode};
use revm::{
    DatabaseRef,
    bytecode::opcode::*,
    state::{AccountInfo, Bytecode},
};

use super::{code::Code, scenario::*};

const TARGET: Address = Address::repeat_byte(0x7a);
/// Receives a wei from the first transaction. Payments are not published, so speculative runs do not see it.
const PAYEE: Address = Address::repeat_byte(0x9a);
/// The last transaction reads a slot of this contract.
const LAST: Address = Address::repeat_byte(0x1a);
/// The longest time that a test waits for the speculative runs; then it fails.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

static SEQUENTIAL: LazyLock<Engine> = LazyLock::new(|| engine_on(1));
static PUBLISHING: LazyLock<Engine> = LazyLock::new(|| engine_on(2));
static ISOLATED: LazyLock<Engine> = LazyLock::new(|| isolated_engine_on(2));

/// A base that notes the first read of a slot of the last contract.
struct WatchedBase<'a> {
    base: &'a MemoryStore,
    is_over: Mutex<bool>,
    ends: Condvar,
}

impl WatchedBase<'_> {
    /// Waits until the last transaction is run.
    fn wait(&self) {
        let is_over = self.is_over.lock().unwrap();
        let (is_over, _) = self.ends.wait_timeout_while(is_over, LONGEST_WAIT, |is_over| !*is_over).unwrap();
        assert!(*is_over, "the transactions do not run ahead");
    }
}

impl DatabaseRef for WatchedBase<'_> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        self.base.basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, MissingCode> {
        self.base.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, MissingCode> {
        if address == LAST {
            *self.is_over.lock().unwrap() = true;
            self.ends.notify_all();
        }
        self.base.storage_ref(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.base.block_hash_ref(number)
    }
}

/// Executes a block on two threads. Commits no transaction until all have run ahead.
fn execute_ahead(engine: &Engine, base: &MemoryStore, block: &Block) -> Result<Outcome, BlockError> {
    let watched = WatchedBase { base, is_over: Mutex::new(false), ends: Condvar::new() };
    engine.execute_with(&watched, block, |committed| {
        if committed.step == BlockStep::Opening {
            watched.wait();
        }
        ControlFlow::Continue(())
    })
}

fn scenario(fork: EthereumHardfork) -> Scenario {
    let mut scenario = Scenario::new(fork, 0);
    scenario.contract(LAST, &Code::new().push(0).ops([SLOAD, POP]), &[]);
    scenario
}

/// Executes a block with and without publication, and with a hint if there is one, and compares the outcomes with that
/// of sequential execution.
fn execute(mut scenario: Scenario, hint: Option<BlockAccessList>) -> After {
    scenario.call(sender(15), LAST, 0);
    let block = scenario.block();
    let expected = SEQUENTIAL.execute(&scenario.base, &block);
    let block = match hint {
        Some(list) => block.with_hint(list).unwrap(),
        None => block,
    };
    for (name, engine) in [("published", &PUBLISHING), ("isolated", &ISOLATED)] {
        let found = execute_ahead(engine, &scenario.base, &block);
        assert_eq!(difference(&expected, &found), None, "{}, {name}", scenario.fork);
    }
    scenario.execute_as_is()
}

/// Whether the payee has no balance.
fn is_unpaid() -> Code {
    Code::new().push(PAYEE).ops([BALANCE, ISZERO])
}

/// Adds a payment, and a call that does something if the payee has no balance. The speculative run does it and
/// publishes it, because the payment is not published. That run is stale: the call does nothing.
fn add_stale_call(scenario: &mut Scenario, act: Code) {
    scenario.contract(CONTRACT, &Code::new().branch(is_unpaid(), act, Code::new()), &[]);
    scenario.transfer(sender(0), PAYEE, 1);
    scenario.call(sender(1), CONTRACT, 0);
}

fn insert_empty_account(scenario: &mut Scenario, address: Address) {
    scenario.base.insert(address, Allocation::default());
}

#[test]
fn before_eip_161_a_call_without_value_recreates_an_empty_account_that_was_destroyed() {
    // Without publication the run finds the empty account of the base, and leaves it untouched.
    let created = sender(0).create(0);
    for fork in forks(Frontier, Tangerine) {
        let mut scenario = scenario(fork);
        insert_empty_account(&mut scenario, created);
        scenario.create(sender(0), &Code::new().destroy(HEIR), 0);
        let calls = [1, 2].map(|number| scenario.call(sender(number), created, 0));
        let after = execute(scenario, None);
        assert!(after.exists(created), "{fork}");
        assert_eq!(calls.map(|call| after.changed(call, created)), [true, false], "{fork}");
    }
}

#[test]
fn before_eip_161_a_call_without_value_creates_an_account_that_an_earlier_call_does_not_create_after_all() {
    for fork in forks(Frontier, Tangerine) {
        let mut scenario = scenario(fork);
        add_stale_call(&mut scenario, Code::new().call(TARGET, 0));
        let calls = [2, 3].map(|number| scenario.call(sender(number), TARGET, 0));
        let after = execute(scenario, None);
        assert!(after.exists(TARGET), "{fork}");
        assert_eq!(calls.map(|call| after.changed(call, TARGET)), [true, false], "{fork}");
    }
}

/// Init code that leaves an empty code.
fn init_of_empty_code() -> Code {
    Code::new().ops([STOP])
}

#[test]
fn a_touch_clears_an_empty_account_that_a_creation_does_not_fill_after_all() {
    // The speculative run finds an account with a nonce.
    let created = CONTRACT.create(1);
    for fork in FORKS {
        let mut scenario = scenario(fork);
        insert_empty_account(&mut scenario, created);
        add_stale_call(&mut scenario, Code::new().create(&init_of_empty_code().bytes(), 0));
        scenario.call(sender(2), created, 0);
        let after = execute(scenario, None);
        assert_eq!(after.exists(created), fork < SpuriousDragon, "{fork}");
        assert_eq!(after.nonce(CONTRACT), 1, "{fork}: nothing was created");
    }
}

#[test]
fn the_payee_of_a_payment_was_absent_if_an_earlier_creation_does_not_happen_after_all() {
    // The speculative run finds the account that the creation left.
    let created = CONTRACT.create(1);
    for fork in FORKS {
        let mut scenario = scenario(fork);
        add_stale_call(&mut scenario, Code::new().create(&init_of_empty_code().bytes(), 0));
        scenario.call(sender(2), created, 5);
        let after = execute(scenario, None);
        let change = after.outcome.changes.accounts[&created].account;
        let paid = Account { balance: word(5), ..Account::EMPTY };
        assert_eq!(change, Change { before: None, after: Some(paid) }, "{fork}");
    }
}

#[test]
fn a_creation_at_an_address_fails_if_an_earlier_one_succeeds_there_after_all() {
    // The second creation reverts at once. The first one leaves an empty code, unless it comes before the payment.
    let (reverting, second) = (Code::new().push(0).push(0).ops([REVERT]), sender(2));
    let is_first = Code::new().ops([ORIGIN]).push(second).ops([EQ, ISZERO]);
    let init = Code::new().branch(is_first, Code::new(), reverting.clone());
    let init = init.branch(is_unpaid(), reverting, Code::new());
    let created = CONTRACT.create2(B256::ZERO, keccak256(init.bytes()));
    for fork in forks(Petersburg, Osaka) {
        let mut scenario = scenario(fork);
        scenario.contract(CONTRACT, &Code::new().create2(&init.bytes(), 0), &[]);
        // Without a balance the whole account would be needed.
        scenario.fund(created, 9);
        scenario.transfer(sender(0), PAYEE, 1);
        let creations = [sender(1), second].map(|from| scenario.call(from, CONTRACT, 0));
        let after = execute(scenario, None);
        assert_eq!((after.nonce(created), after.balance(created)), (1, 9), "{fork}");
        assert_eq!(after.nonce(CONTRACT), 3, "{fork}");
        // A creation at a used address consumes the forwarded gas: all but a 64th.
        assert!(after.gas(creations[0]) < 150_000 && after.gas(creations[1]) > 350_000, "{fork}");
    }
}

/// An access list that says this of an account from the first transaction on.
fn lie(account: AccountChanges) -> Option<BlockAccessList> {
    Some(vec![account])
}

const FIRST: BlockAccessIndex = BlockAccessIndex(1);

#[test]
fn a_slot_that_no_transaction_writes_holds_what_the_base_has_whatever_a_list_says() {
    let copying = Code::new().push(0).ops([SLOAD]).store_top(1);
    let change = StorageChange::new(FIRST, word(77));
    let storage_changes = vec![SlotChanges::new(word(0), vec![change])];
    let lying = AccountChanges { storage_changes, ..AccountChanges::new(CONTRACT) };
    for fork in FORKS {
        let mut scenario = scenario(fork);
        scenario.contract(CONTRACT, &copying, &[(0, 5)]);
        scenario.call(sender(0), CONTRACT, 0);
        let after = execute(scenario, lie(lying.clone()));
        assert_eq!(after.slots(CONTRACT), [(0, 5), (1, 5)], "{fork}");
    }
}

#[test]
fn an_account_that_no_transaction_writes_is_what_the_base_has_whatever_a_list_says() {
    // Writes the balance and the size of the code of the target.
    let reading = [BALANCE, EXTCODESIZE].into_iter().zip([1, 2]);
    let reading =
        reading.fold(Code::new(), |code, (opcode, key)| code.push(TARGET).ops([opcode]).store_top(key));
    let lying = AccountChanges {
        balance_changes: vec![BalanceChange::new(FIRST, word(77))],
        code_changes: vec![CodeChange::new(FIRST, bytes!("5b00"))],
        ..AccountChanges::new(TARGET)
    };
    for fork in FORKS {
        let mut scenario = scenario(fork);
        scenario.contract(CONTRACT, &reading, &[(1, 8), (2, 8)]);
        scenario.fund(TARGET, 6);
        scenario.call(sender(0), CONTRACT, 0);
        let after = execute(scenario, lie(lying.clone()));
        assert_eq!(after.slots(CONTRACT), [(1, 6)], "{fork}");
    }
}

#[test]
fn a_payee_was_what_the_base_has_whatever_a_list_says() {
    let balance_changes = vec![BalanceChange::new(FIRST, word(77))];
    let nonce_changes = vec![NonceChange::new(FIRST, 3)];
    let lying = AccountChanges { balance_changes, nonce_changes, ..AccountChanges::new(TARGET) };
    for (fork, before) in FORKS.into_iter().flat_map(|fork| [(fork, 0), (fork, 6)]) {
        let mut scenario = scenario(fork);
        if before > 0 {
            scenario.fund(TARGET, before);
        }
        scenario.transfer(sender(0), TARGET, 5);
        let after = execute(scenario, lie(lying.clone()));
        let account = |wei| Account { balance: word(wei), ..Account::EMPTY };
        let expected =
            Change { before: (before > 0).then(|| account(before)), after: Some(account(before + 5)) };
        assert_eq!(after.outcome.changes.accounts[&TARGET].account, expected, "{fork}");
    }
}

#[test]
fn a_contract_that_is_paid_keeps_its_code_whatever_a_list_says() {
    // The nonce says that the account is not destroyed: a delegation ends like this.
    let code_changes = vec![CodeChange::new(FIRST, bytes!(""))];
    let nonce_changes = vec![NonceChange::new(FIRST, 1)];
    let lying = AccountChanges { code_changes, nonce_changes, ..AccountChanges::new(CONTRACT) };
    for fork in FORKS {
        let mut scenario = scenario(fork);
        let counter = Code::new().increment(0, 1);
        scenario.contract(CONTRACT, &counter, &[(0, 5)]);
        scenario.call(sender(0), CONTRACT, 3);
        let after = execute(scenario, lie(lying.clone()));
        assert_eq!((after.balance(CONTRACT), after.slots(CONTRACT)), (3, vec![(0, 6)]), "{fork}");
        assert_eq!(after.code(CONTRACT), counter.bytes(), "{fork}");
    }
}

#[test]
fn a_touch_clears_an_empty_account_whatever_a_list_says_of_its_nonce_and_its_balance() {
    let nonce_changes = vec![NonceChange::new(FIRST, 1)];
    let balance_changes = vec![BalanceChange::new(FIRST, word(1))];
    let lies = [
        AccountChanges { nonce_changes, ..AccountChanges::new(TARGET) },
        AccountChanges { balance_changes, ..AccountChanges::new(TARGET) },
    ];
    for (fork, lying) in FORKS.into_iter().flat_map(|fork| lies.clone().map(|lying| (fork, lying))) {
        let mut scenario = scenario(fork);
        insert_empty_account(&mut scenario, TARGET);
        scenario.transfer(sender(0), TARGET, 0);
        let after = execute(scenario, lie(lying));
        assert_eq!(after.exists(TARGET), fork < SpuriousDragon, "{fork}");
    }
}
