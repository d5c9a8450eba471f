//! The programs of toy transactions, and the state that they run on.

use alloy_primitives::{Address, U256, map::AddressMap};
use blockloom_fixtures::Random;
use blockloom_state::{
    AccountObservation, AccountRead, AccountRecord, Allocation, CachedAccounts, Incarnation, Memory,
    MemoryStore, Record, SlotRecord, TxIndex, Version, Writer,
};

use revm::DatabaseRef as _;

use crate::{
    parallel::traits::Weigh,
    policy::batching::{Batch, Effort},
};

/// How many contracts own the slots.
const CONTRACTS: u64 = 3;

/// Where the fees of all transactions go.
pub(super) const COINBASE: Address = Address::with_last_byte(0xc0);

/// One step of a toy transaction. Slots and accounts are numbered.
#[derive(Clone, Copy, Debug)]
pub(super) enum ToyStep {
    /// Adds to a slot.
    Increment { slot: u64, by: u64 },
    /// Reads a slot, then the slot that its value names, and writes that value into a third.
    Follow { slot: u64, into: u64 },
    /// Ends the program if a slot is odd.
    StopIfOdd { slot: u64 },
    /// Moves wei if there is enough; observes nothing else.
    Pay { from: u64, to: u64, wei: u64 },
    /// Creates wei.
    Gain { account: u64, wei: u64 },
    /// Writes an exact balance into a slot.
    Look { account: u64, slot: u64 },
    /// Writes whether an account has any wei into a slot.
    LookIfEmpty { account: u64, slot: u64 },
    /// Writes the value that the slot holds.
    Rewrite { slot: u64 },
    /// The transaction is invalid if a slot has this value.
    InvalidIf { slot: u64, value: u64 },
}

/// The state that a program reads and writes.
pub(super) trait ToyState {
    type Error;

    fn slot(&mut self, slot: u64) -> Result<u64, Self::Error>;
    fn write(&mut self, slot: u64, value: u64) -> Result<(), Self::Error>;
    /// Moves wei if there is enough; returns whether it did.
    fn pay(&mut self, from: u64, to: u64, wei: u64) -> Result<bool, Self::Error>;
    fn gain(&mut self, account: u64, wei: u64) -> Result<(), Self::Error>;
    fn balance(&mut self, account: u64) -> Result<u64, Self::Error>;
    fn is_empty(&mut self, account: u64) -> Result<bool, Self::Error>;
}

/// Everything that a valid program read, in one number.
pub(super) type Yield = u64;

impl Weigh for Yield {
    fn weight(&self) -> u64 {
        1 + *self % 8
    }
}

/// Whether a transaction is valid.
#[derive(Debug, PartialEq)]
pub(super) enum ToyResult {
    Valid(Yield),
    Invalid,
}

/// Toy transactions, and borders between blocks, which only the gate crosses: they are programs as well.
#[derive(Debug)]
pub(super) struct Toy {
    pub(super) transactions: Vec<Vec<ToyStep>>,
    /// For each of them whether it is a border.
    pub(super) is_border: Vec<bool>,
    pub(super) locations: u64,
}

impl Toy {
    /// A block over a number of slots and as many accounts.
    pub(super) fn new(random: &mut Random, locations: u64, transactions: usize) -> Self {
        let program =
            |random: &mut Random| (0..1 + random.below(6)).map(|_| step(random, locations)).collect();
        let programs = (0..transactions).map(|_| program(random)).collect();
        let is_border = (0..transactions).map(|_| random.once_in(6)).collect();
        Self { transactions: programs, is_border, locations }
    }

    /// Makes it likely that a transaction is invalid.
    #[cfg(feature = "shuttle")]
    pub(super) fn end_at_random(&mut self, random: &mut Random) {
        let last = random.below(self.transactions.len() as u64) as usize;
        let slot = random.below(self.locations);
        self.transactions[last].push(ToyStep::InvalidIf { slot, value: Self::slot_before(slot) });
    }

    /// How many transactions run on the calling thread before the workers start; none in half of all blocks.
    pub(super) fn prefix(&self, mut random: Random) -> usize {
        if random.below(2) == 0 { 0 } else { random.below(self.transactions.len() as u64) as usize }
    }

    /// Batches of random lengths and efforts, from the transaction `first` on.
    pub(super) fn batches(&self, first: usize, mut random: Random) -> Vec<Batch> {
        let mut next = first;
        let mut batches = Vec::new();
        while let Some(program) = self.transactions.get(next) {
            let batch = if self.is_border[next] {
                Batch::single(Effort::Border)
            } else {
                let effort = match program.len() {
                    1 => Effort::Light,
                    6 => Effort::Huge { gas_limit: random.below(3) },
                    _ => Effort::Heavy,
                };
                let longest = self.is_border[next..].iter().take_while(|is_border| !**is_border).count();
                let transactions = (1 + random.below(4).saturating_sub(1) as usize).min(longest);
                Batch { transactions, effort }
            };
            next += batch.transactions;
            batches.push(batch);
        }
        batches
    }

    pub(super) fn slot(&self, slot: u64) -> (Address, U256) {
        let slot = slot % self.locations;
        (Address::with_last_byte(1 + (slot % CONTRACTS) as u8), U256::from(slot))
    }

    pub(super) fn account(&self, account: u64) -> Address {
        let account = account % self.locations;
        if account == 0 { COINBASE } else { Address::from_word(U256::from(0x1000 + account).into()) }
    }

    /// What a slot and an account hold before the block.
    pub(super) fn slot_before(slot: u64) -> u64 {
        slot % 3
    }

    pub(super) fn balance_before(account: u64) -> u64 {
        if account % 4 == 3 { 0 } else { 10 }
    }

    /// The state before the block.
    pub(super) fn base(&self) -> MemoryStore {
        MemoryStore::from_genesis(self.allocations())
    }

    pub(super) fn allocations(&self) -> AddressMap<Allocation> {
        let mut allocations: AddressMap<Allocation> = AddressMap::default();
        for contract in 0..CONTRACTS {
            let allocation = Allocation { nonce: 1, ..Allocation::default() };
            allocations.insert(Address::with_last_byte(1 + contract as u8), allocation);
        }
        for location in 0..self.locations {
            let (contract, key) = self.slot(location);
            let storage = &mut allocations.get_mut(&contract).expect("all contracts are there").storage;
            if Self::slot_before(location) > 0 {
                storage.insert(key, U256::from(Self::slot_before(location)));
            }
            let balance = U256::from(Self::balance_before(location));
            if !balance.is_zero() {
                allocations.insert(self.account(location), Allocation { balance, ..Allocation::default() });
            }
        }
        allocations
    }

    /// Puts predictions into the memory, most of them wrong: some with values, some without.
    pub(super) fn predict(&self, memory: &Memory, base: &MemoryStore, mut random: Random) {
        for _ in 0..random.below(8) {
            let index = TxIndex::new(random.below(self.transactions.len() as u64) as usize);
            let version = Version { index, incarnation: Incarnation::FIRST };
            let (contract, key) = self.slot(random.next_number());
            let ask = || base.basic_ref(contract);
            let read = memory.account(contract, index, CachedAccounts::All, ask);
            let AccountRead { id, .. } = read.expect("the store can be read");
            let account =
                AccountRecord { address: contract, id, observed: AccountObservation::NOTHING, effect: None };
            let write =
                SlotRecord { account: 0, key, original: U256::ZERO, value: U256::from(random.below(5)) };
            let record = Record { accounts: vec![account], writes: vec![write], ..Record::default() };
            memory.publish(Writer::Run(version), &record, None, &mut Vec::new());
            if random.once_in(2) {
                memory.predict(version, &record);
            }
        }
    }
}

fn step(random: &mut Random, locations: u64) -> ToyStep {
    let mut location = || random.below(locations);
    let (first, second) = (location(), location());
    match random.below(40) {
        0..10 => ToyStep::Increment { slot: first, by: random.below(3) },
        10..15 => ToyStep::Follow { slot: first, into: second },
        15..17 => ToyStep::StopIfOdd { slot: first },
        17..26 => ToyStep::Pay { from: first, to: second, wei: random.below(12) },
        26..30 => ToyStep::Gain { account: first, wei: random.below(4) },
        30..33 => ToyStep::Look { account: first, slot: second },
        33..36 => ToyStep::LookIfEmpty { account: first, slot: second },
        36..39 => ToyStep::Rewrite { slot: first },
        _ => ToyStep::InvalidIf { slot: first, value: 40 + random.below(40) },
    }
}

/// Runs a program in a state.
pub(super) fn execute<W: ToyState>(program: &[ToyStep], state: &mut W) -> Result<ToyResult, W::Error> {
    let mut seen = 0u64;
    let mut note = |value: u64| seen = seen.wrapping_mul(31).wrapping_add(value + 1);
    for step in program {
        match *step {
            ToyStep::Increment { slot, by } => {
                let value = state.slot(slot)?;
                note(value);
                state.write(slot, value + by)?;
            }
            ToyStep::Follow { slot, into } => {
                let next = state.slot(slot)?;
                let value = state.slot(next)?;
                note(value);
                state.write(into, value % 50)?;
            }
            ToyStep::StopIfOdd { slot } => {
                let value = state.slot(slot)?;
                note(value);
                if value % 2 == 1 {
                    break;
                }
            }
            ToyStep::Pay { from, to, wei } => note(state.pay(from, to, wei)?.into()),
            ToyStep::Gain { account, wei } => state.gain(account, wei)?,
            ToyStep::Look { account, slot } => {
                let balance = state.balance(account)?;
                note(balance);
                state.write(slot, balance % 50)?;
            }
            ToyStep::LookIfEmpty { account, slot } => {
                let is_empty = state.is_empty(account)?;
                state.write(slot, is_empty.into())?;
            }
            ToyStep::Rewrite { slot } => {
                let value = state.slot(slot)?;
                state.write(slot, value)?;
            }
            ToyStep::InvalidIf { slot, value } => {
                if state.slot(slot)? == value {
                    return Ok(ToyResult::Invalid);
                }
            }
        }
    }
    Ok(ToyResult::Valid(seen))
}
