//! The oracle: the programs on plain maps, one after the other.

use std::{collections::BTreeMap, convert::Infallible};

use alloy_primitives::U256;
use blockloom_state::MemoryStore;

use crate::toy::{
    ToyOutcome,
    program::{Toy, ToyResult, ToyState, execute},
};

#[derive(Clone)]
struct Maps<'t> {
    toy: &'t Toy,
    slots: BTreeMap<u64, u64>,
    balances: BTreeMap<u64, u64>,
}

impl ToyState for Maps<'_> {
    type Error = Infallible;

    fn slot(&mut self, slot: u64) -> Result<u64, Infallible> {
        let slot = slot % self.toy.locations;
        Ok(*self.slots.entry(slot).or_insert_with(|| Toy::slot_before(slot)))
    }

    fn write(&mut self, slot: u64, value: u64) -> Result<(), Infallible> {
        self.slots.insert(slot % self.toy.locations, value);
        Ok(())
    }

    fn pay(&mut self, from: u64, to: u64, wei: u64) -> Result<bool, Infallible> {
        if self.balance(from)? < wei {
            return Ok(false);
        }
        *self.purse(from) -= wei;
        *self.purse(to) += wei;
        Ok(true)
    }

    fn gain(&mut self, account: u64, wei: u64) -> Result<(), Infallible> {
        *self.purse(account) += wei;
        Ok(())
    }

    fn balance(&mut self, account: u64) -> Result<u64, Infallible> {
        Ok(*self.purse(account))
    }

    fn is_empty(&mut self, account: u64) -> Result<bool, Infallible> {
        Ok(*self.purse(account) == 0)
    }
}

impl Maps<'_> {
    fn purse(&mut self, account: u64) -> &mut u64 {
        let account = account % self.toy.locations;
        self.balances.entry(account).or_insert_with(|| Toy::balance_before(account))
    }
}

/// What must come of a block of toys.
pub(super) fn expect(toy: &Toy) -> ToyOutcome {
    let mut maps = Maps { toy, slots: BTreeMap::new(), balances: BTreeMap::new() };
    let mut yields = Vec::new();
    let mut invalid = None;
    for (index, program) in toy.transactions.iter().enumerate() {
        let mut tried = maps.clone();
        let Ok(verdict) = execute(program, &mut tried);
        match verdict {
            ToyResult::Valid(yielded) => yields.push(yielded),
            ToyResult::Invalid => {
                invalid = Some(index);
                break;
            }
        }
        maps = tried;
    }
    ToyOutcome { yields, invalid, after: store(toy, &maps) }
}

fn store(toy: &Toy, maps: &Maps<'_>) -> MemoryStore {
    let mut allocations = toy.allocations();
    for (slot, value) in &maps.slots {
        let (contract, key) = toy.slot(*slot);
        let storage = &mut allocations.get_mut(&contract).expect("all contracts are there").storage;
        storage.insert(key, U256::from(*value));
        storage.retain(|_, value| !value.is_zero());
    }
    for (account, balance) in &maps.balances {
        let address = toy.account(*account);
        allocations.entry(address).or_default().balance = U256::from(*balance);
        if *balance == 0 {
            allocations.remove(&address);
        }
    }
    MemoryStore::from_genesis(allocations)
}
