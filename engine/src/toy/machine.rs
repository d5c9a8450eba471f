//! The toy machine on the real view and overlay, through the same interface as the EVM.

use std::collections::hash_map::Entry;

use alloy_primitives::{Address, U256};
use blockloom_fixtures::Random;
use blockloom_state::{
    CachedBase, Conflict, Interrupt, Memory, MemoryStore, Overlay, Portion, Publication, Record, Sender,
    TxIndex, Version, View,
    sync::{AtomicBool, relax},
};
use revm::{
    Database,
    state::{Account, EvmState, EvmStorageSlot, TransactionId},
};

use crate::{
    parallel::traits::{Committer, Run, Speculator},
    toy::program::{Toy, ToyResult, ToyState, Yield, execute},
};

/// A state that records what a program observes.
trait Observed: Database {
    fn spends(&mut self, _address: Address, _account: &Account, _wei: U256) {}
    fn looks(&mut self, _address: Address, _account: &Account) {}
    fn looks_if_empty(&mut self, _address: Address, _account: &Account) {}
}

impl Observed for Overlay<CachedBase<'_, MemoryStore>> {}

impl Observed for View<'_, MemoryStore> {
    fn spends(&mut self, address: Address, account: &Account, wei: U256) {
        View::spends(self, address, account, wei);
    }

    fn looks(&mut self, address: Address, account: &Account) {
        self.looks_at_balance(address, account);
    }

    fn looks_if_empty(&mut self, address: Address, account: &Account) {
        self.looks_at_emptiness(address, account, account.info.balance);
    }
}

/// A journal: the accounts that a program has touched.
struct Journal<'j, D> {
    toy: &'j Toy,
    state: &'j mut D,
    accounts: EvmState,
}

impl<D: Observed> Journal<'_, D> {
    fn load(&mut self, address: Address) -> Result<(&mut Account, &mut D), D::Error> {
        let account = match self.accounts.entry(address) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let info = self.state.basic(address)?;
                vacant.insert(
                    info.map_or_else(|| Account::new_not_existing(TransactionId::ZERO), Account::from),
                )
            }
        };
        Ok((account, self.state))
    }

    fn load_slot(&mut self, slot: u64) -> Result<&mut EvmStorageSlot, D::Error> {
        let (address, key) = self.toy.slot(slot);
        let (account, state) = self.load(address)?;
        match account.storage.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(vacant) => {
                let value = match account.info.account_id {
                    Some(id) => state.storage_by_account_id(address, id, key)?,
                    None => state.storage(address, key)?,
                };
                Ok(vacant.insert(EvmStorageSlot::new(value, TransactionId::ZERO)))
            }
        }
    }
}

impl<D: Observed> ToyState for Journal<'_, D> {
    type Error = D::Error;

    fn slot(&mut self, slot: u64) -> Result<u64, D::Error> {
        Ok(self.load_slot(slot)?.present_value.to())
    }

    fn write(&mut self, slot: u64, value: u64) -> Result<(), D::Error> {
        self.load_slot(slot)?.present_value = U256::from(value);
        let (address, _) = self.toy.slot(slot);
        self.load(address)?.0.mark_touch();
        Ok(())
    }

    fn pay(&mut self, from: u64, to: u64, wei: u64) -> Result<bool, D::Error> {
        let (from, to, wei) = (self.toy.account(from), self.toy.account(to), U256::from(wei));
        self.load(to)?;
        let (payer, state) = self.load(from)?;
        state.spends(from, payer, wei);
        let Some(left) = payer.info.balance.checked_sub(wei) else { return Ok(false) };
        payer.info.balance = left;
        payer.mark_touch();
        let payee = self.load(to)?.0;
        payee.info.balance += wei;
        payee.mark_touch();
        Ok(true)
    }

    fn gain(&mut self, account: u64, wei: u64) -> Result<(), D::Error> {
        let account = self.load(self.toy.account(account))?.0;
        account.info.balance += U256::from(wei);
        account.mark_touch();
        Ok(())
    }

    fn balance(&mut self, account: u64) -> Result<u64, D::Error> {
        let address = self.toy.account(account);
        let (account, state) = self.load(address)?;
        state.looks(address, account);
        Ok(account.info.balance.to())
    }

    fn is_empty(&mut self, account: u64) -> Result<bool, D::Error> {
        let address = self.toy.account(account);
        let (account, state) = self.load(address)?;
        state.looks_if_empty(address, account);
        Ok(account.info.balance.is_zero())
    }
}

/// How often speculative runs misbehave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misbehaviour {
    pub(super) seed: u64,
    /// One in this number of runs misbehaves; none if zero.
    pub(super) one_in: u64,
    pub(super) start: WorkerStart,
}

/// How a worker starts its first run.
#[derive(Clone, Copy, Debug)]
pub(super) enum WorkerStart {
    Works,
    /// It panics with [`LOST_WORKER`], and its thread is lost for the block.
    #[cfg(feature = "shuttle")]
    Panics,
}

/// The message of a worker that panics outside of a run.
#[cfg(feature = "shuttle")]
pub(super) const LOST_WORKER: &str = "a worker cannot start";

/// Runs toys ahead of the frontier, and misbehaves at random.
pub(super) struct ToySpeculator<'m> {
    toy: &'m Toy,
    view: View<'m, MemoryStore>,
    misbehaviour: Misbehaviour,
    has_panicked: bool,
}

impl<'m> ToySpeculator<'m> {
    pub(super) fn new(
        toy: &'m Toy,
        memory: &'m Memory,
        base: &'m MemoryStore,
        misbehaviour: Misbehaviour,
    ) -> Self {
        match misbehaviour.start {
            WorkerStart::Works => {}
            #[cfg(feature = "shuttle")]
            WorkerStart::Panics => std::panic::resume_unwind(Box::new(LOST_WORKER)),
        }
        Self { toy, view: View::new(memory, base), misbehaviour, has_panicked: false }
    }

    /// What this run does instead of its program. It depends on the incarnation.
    fn misbehave(&mut self, version: Version) -> Option<Run<Yield>> {
        let run = (version.index.get() as u64) << 32 | u64::from(version.incarnation.get());
        let mut random = Random::new(self.misbehaviour.seed).derive(run);
        if self.misbehaviour.one_in == 0 || !random.once_in(self.misbehaviour.one_in) {
            return None;
        }
        match random.below(4) {
            0 => Some(Run::GaveUp),
            1 if version.index.get() > 0 => {
                Some(Run::Awaits(TxIndex::new(random.below(version.index.get() as u64) as usize)))
            }
            2 => {
                self.has_panicked = true;
                std::panic::panic_any("a random panic")
            }
            _ => {
                (0..random.below(500)).for_each(|_| relax());
                None
            }
        }
    }
}

impl<'m> Speculator<'m> for ToySpeculator<'m> {
    type Yield = Yield;

    fn run(&mut self, version: Version, is_stale: &'m AtomicBool, record: &mut Record) -> Run<Yield> {
        self.view.begin(version.index, Sender::default(), is_stale);
        if self.has_panicked || self.toy.is_border[version.index.get()] {
            // A wrong run without an observation: a speculator that has panicked must not be used again, and only the
            // gate crosses a border.
            return Run::Ran(Yield::MAX);
        }
        if let Some(run) = self.misbehave(version) {
            return run;
        }
        let mut journal = Journal { toy: self.toy, state: &mut self.view, accounts: EvmState::default() };
        let result = execute(&self.toy.transactions[version.index.get()], &mut journal);
        let mut accounts = journal.accounts;
        let finished = match result {
            Ok(ToyResult::Valid(yielded)) => self.view.finish(&mut accounts, record).map(|()| yielded),
            Ok(ToyResult::Invalid) => return Run::GaveUp,
            Err(interrupt) => Err(interrupt),
        };
        match finished {
            Ok(yielded) => Run::Ran(yielded),
            Err(Interrupt::Awaits(on)) => Run::Awaits(on),
            Err(Interrupt::Stale) => Run::Stale,
            Err(Interrupt::NeedsFrontier) => Run::GaveUp,
            Err(Interrupt::Base(error)) => panic!("the store can be read: {error}"),
        }
    }
}

/// The committed state of a block of toys.
pub(super) struct ToyCommitter<'m> {
    pub(super) toy: &'m Toy,
    pub(super) overlay: Overlay<CachedBase<'m, MemoryStore>>,
    pub(super) yields: Vec<Yield>,
}

impl Committer for ToyCommitter<'_> {
    type Yield = Yield;
    type Error = usize;

    fn run(&mut self, index: TxIndex) -> Result<(), usize> {
        assert_eq!(self.yields.len(), index.get(), "transactions are committed in order, once");
        let mut journal = Journal { toy: self.toy, state: &mut self.overlay, accounts: EvmState::default() };
        let result =
            execute(&self.toy.transactions[index.get()], &mut journal).expect("the store can be read");
        let mut accounts = journal.accounts;
        let ToyResult::Valid(yielded) = result else { return Err(index.get()) };
        self.overlay.commit_touched(&mut accounts);
        self.yields.push(yielded);
        Ok(())
    }

    fn set_publication(&mut self, publication: Publication) {
        self.overlay.set_publication(publication);
    }

    fn keep_effects(&mut self, record: &Record) {
        self.overlay.keep_effects(record);
    }

    fn take_effects(&mut self, memory: &Memory, portion: Portion, effects: &mut Record) {
        self.overlay
            .take_effects(effects, portion, |address, info| memory.insert_account(address, info, None));
    }

    fn prefetch(&mut self, record: &Record) {
        self.overlay.prefetch(record);
    }

    fn validate(&mut self, record: &Record) -> Option<Conflict> {
        self.overlay.validate(record).expect("the store can be read")
    }

    fn commit(&mut self, index: TxIndex, record: &Record, yielded: Yield) -> Result<(), usize> {
        assert_eq!(self.yields.len(), index.get(), "transactions are committed in order, once");
        self.overlay.commit_record(record);
        self.yields.push(yielded);
        Ok(())
    }
}
