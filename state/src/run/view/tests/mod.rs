//! What a run needs of the accounts and slots that it reads, and what of that is in its record.

mod effects;
mod needs;
mod origins;

use std::sync::Arc;

use alloy_eip7928::{AccountChanges, BalanceChange, BlockAccessIndex, SlotChanges, StorageChange};
use alloy_primitives::KECCAK256_EMPTY;
use revm_state::{EvmStorageSlot, TransactionId};

use super::*;
use crate::{
    bal::index::{AccessListIndex, Delegations},
    model::{
        allocation::Allocation,
        base::MissingCode,
        index::{Incarnation, Version},
    },
    mv::{memory::Visibility, publish::Writer},
    record::{
        effect::{AccountEffect, BalanceEffect},
        observation::{AccountObservation, Conflict, Existence},
        payment::Payment,
        publication::Publication,
        record::AccountRecord,
    },
    stores::memory::MemoryStore,
};

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);
const COINBASE: Address = Address::repeat_byte(0xc0);
/// The run that is tested. Transaction 0 runs before it.
const READER: usize = 1;

static FRESH: AtomicBool = AtomicBool::new(false);

fn word(number: u64) -> U256 {
    U256::from(number)
}

/// An account without code.
fn plain(balance: u64, nonce: u64) -> Option<Account> {
    Some(Account { balance: word(balance), nonce, ..Account::EMPTY })
}

/// A store in which Alice is this account, with 7 in slot 1.
fn store(alice: Option<Account>) -> MemoryStore {
    let storage = [(word(1), word(7))].into_iter().collect();
    let of = |account: Account| Allocation {
        balance: account.balance,
        nonce: account.nonce,
        storage,
        ..Allocation::default()
    };
    MemoryStore::from_genesis(alice.map(|alice| (ALICE, of(alice))))
}

fn memory(visibility: Visibility) -> Memory {
    let mut memory = Memory::default();
    memory.open([COINBASE], visibility);
    memory
}

fn listing(account: AccountChanges) -> Memory {
    let index = AccessListIndex::new(vec![account], 8, Delegations::Known).unwrap();
    memory(Visibility::Listed(Arc::new(index)))
}

/// A run, driven by a test instead of the EVM.
struct TestRun<'m> {
    view: View<'m, MemoryStore>,
    left: EvmState,
}

impl<'m> TestRun<'m> {
    fn new(memory: &'m Memory, base: &'m MemoryStore) -> Self {
        Self::of_sender(memory, base, Sender::default())
    }

    fn of_sender(memory: &'m Memory, base: &'m MemoryStore, sender: Sender) -> Self {
        let mut view = View::new(memory, base);
        view.begin(TxIndex::new(READER), sender, &FRESH);
        Self { view, left: EvmState::default() }
    }

    /// Reads an account, and returns it for the run to change.
    fn load(&mut self, address: Address) -> &mut EvmAccount {
        let account = match self.view.basic(address).unwrap() {
            Some(info) => EvmAccount::from(info),
            None => EvmAccount::new_not_existing(TransactionId::ZERO),
        };
        self.left.insert(address, account);
        self.left.get_mut(&address).unwrap()
    }

    fn touch(&mut self, address: Address) -> &mut EvmAccount {
        let account = self.load(address);
        account.mark_touch();
        account
    }

    /// Alice as she is now.
    fn alice(&self) -> EvmAccount {
        self.left[&ALICE].clone()
    }

    fn spend(&mut self, amount: U256) {
        let alice = self.alice();
        self.view.spends(ALICE, &alice, amount);
        if let Some(left) = alice.info.balance.checked_sub(amount) {
            self.left.get_mut(&ALICE).unwrap().info.balance = left;
        }
    }

    fn try_finish(mut self) -> Result<Record, Interrupt<MissingCode>> {
        let mut record = Record::default();
        self.view.finish(&mut self.left, &mut record).map(|()| record)
    }

    fn finish(self) -> Record {
        self.try_finish().unwrap()
    }
}

/// The record of a run that reads Alice and leaves her changed.
fn left(alice: Option<Account>, change: impl FnOnce(&mut EvmAccount)) -> Record {
    let (memory, base) = (memory(Visibility::Published), store(alice));
    let mut run = TestRun::new(&memory, &base);
    change(run.load(ALICE));
    run.finish()
}

/// The record of a run that reads Alice and reports something of her.
fn reported(alice: Option<Account>, report: impl FnOnce(&mut View<'_, MemoryStore>, &EvmAccount)) -> Record {
    let (memory, base) = (memory(Visibility::Published), store(alice));
    let mut run = TestRun::new(&memory, &base);
    run.load(ALICE);
    let alice = run.alice();
    report(&mut run.view, &alice);
    run.finish()
}

/// What a run needs of an account.
fn needs(record: &Record, address: Address) -> AccountObservation {
    let payment = record.payments.iter().find(|payment| payment.address() == address);
    let account = || record.accounts.iter().find(|account| account.address == address);
    payment.map(Payment::observed).unwrap_or_else(|| account().unwrap().observed)
}

/// What of Alice does not hold, if she is this account when the run is validated.
fn conflict(record: &Record, alice: Option<Account>) -> Option<Conflict> {
    let Account { balance, nonce, code_hash } = alice.unwrap_or(Account::EMPTY);
    needs(record, ALICE).validate(&balance, nonce, &code_hash, Existence::of(alice.as_ref()))
}

#[track_caller]
fn assert_holds(record: &Record, alice: &[Option<Account>]) {
    alice.iter().for_each(|alice| assert_eq!(conflict(record, *alice), None, "{alice:?}"));
}

#[track_caller]
fn assert_stale(record: &Record, alice: &[(Option<Account>, Conflict)]) {
    alice.iter().for_each(|(alice, part)| assert_eq!(conflict(record, *alice), Some(*part), "{alice:?}"));
}

/// The record needs Alice exactly as she was: an account with nothing.
#[track_caller]
fn assert_needs_empty(record: &Record, was: Existence) {
    let accounts = [(plain(0, 0), Existence::Exists), (None, Existence::Absent)];
    for (alice, existence) in accounts {
        let expected = (existence != was).then_some(Conflict::Existence);
        assert_eq!(conflict(record, alice), expected, "{alice:?}");
    }
    assert_stale(record, &[(plain(1, 0), Conflict::Balance), (plain(0, 1), Conflict::Nonce)]);
}
