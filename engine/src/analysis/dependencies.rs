//! The anatomy of a block: how long each transaction takes, and which earlier ones it cannot do
//! without.
//!
//! Found by running the block sequentially, and each transaction once more on what the ones before
//! it left, to see what it observes. Says what a block allows, whatever an engine makes of it.

use std::{cell::Cell, ops::ControlFlow, time::Duration};

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, HashMap},
};
use blockloom_state::{
    Account, AccountChange, AccountObservation, Changes, Existence, Incarnation, Life, Memory, MemoryStore,
    Record, CachedBase, Sight, TxIndex, Version, sync::AtomicBool,
};

use crate::{
    block::{
        block::Block,
        error::{BlockStep, Reason},
    },
    commit::{
        committer::{BlockCommitter, Observer, CommittedStep},
        sequential,
    },
    evm::{handling::Handling, speculator::EvmSpeculator},
    parallel::traits::{Run, Speculator as _},
};

/// How long each part of a block takes on one thread, and what its transactions need of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// The time of what happens before the transactions.
    pub opening: Duration,
    /// The transactions, in order.
    pub transactions: Vec<TransactionDependencies>,
    /// The time of what happens after the transactions.
    pub closing: Duration,
}

/// One transaction of an [`Dependencies`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionDependencies {
    /// How long it takes.
    pub time: Duration,
    /// The earlier transactions that it cannot do without, ascending: those that made an observation
    /// of it true which did not hold before them. Who adds to a balance of which there was enough is
    /// not among them, nor who used the nonce before the one that this transaction states.
    pub needs: Vec<TxIndex>,
}

/// Takes a valid block apart. It is executed `rounds` times and once more; times are medians.
pub(crate) fn dissect<H: Handling>(
    base: &MemoryStore,
    block: &Block,
    handling: &H,
    rounds: usize,
) -> Result<Dependencies, Reason> {
    let needs = needs(base, block, handling)?;
    let mut laps = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let place = Cell::new(BlockStep::Opening);
        let course = BlockCommitter::new(block, CachedBase::alone(base), handling.clone(), Observer::Nobody, &place);
        laps.push(sequential::timed(course, needs.len())?);
    }
    let median = |position: usize| {
        let mut times: Vec<Duration> = laps.iter().map(|laps| laps[position]).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let closing = median(needs.len() + 1);
    let part = |(position, needs)| TransactionDependencies { time: median(position + 1), needs };
    let transactions = needs.into_iter().enumerate().map(part).collect();
    Ok(Dependencies { opening: median(0), transactions, closing })
}

/// What each transaction needs of those before it.
fn needs<H: Handling>(base: &MemoryStore, block: &Block, handling: &H) -> Result<Vec<Vec<TxIndex>>, Reason> {
    let mut steps = Vec::with_capacity(block.transactions.len() + 2);
    let place = Cell::new(BlockStep::Opening);
    let mut keep = |step: CommittedStep<'_>| {
        steps.push((step.place, step.changes));
        ControlFlow::Continue(())
    };
    let course =
        BlockCommitter::new(block, CachedBase::alone(base), handling.clone(), Observer::Callback(&mut keep), &place);
    sequential::execute(course, block.transactions.len())?;

    let (mut store, mut past) = (base.clone(), Past::default());
    let mut needs = Vec::with_capacity(block.transactions.len());
    for (place, changes) in &steps {
        if let BlockStep::Transaction(index, _) = *place {
            needs.push(match observe(&store, block, handling, index) {
                Some(record) => past.needs(&record, block.transactions[index.get()].env.caller),
                // Nothing short of the state that all the others left is enough for it.
                None => (0..index.get()).map(TxIndex::new).collect(),
            });
            past.add(index, changes);
        }
        store.apply(changes).expect("each step fits the state that the steps before it left");
    }
    Ok(needs)
}

/// What a transaction observes just before its turn; nothing if it has to be at its turn for that.
fn observe<H: Handling>(store: &MemoryStore, block: &Block, handling: &H, index: TxIndex) -> Option<Record> {
    let mut memory = Memory::default();
    memory.open(block.env.beneficiary, Sight::Clear);
    let wanted = AtomicBool::new(false);
    let mut speculator = EvmSpeculator::new(block, &memory, store, handling.clone());
    let mut record = Record::default();
    match speculator.run(Version { index, incarnation: Incarnation::FIRST }, &wanted, &mut record) {
        Run::Ran(_) => Some(record),
        Run::Awaits(_) | Run::Unwanted | Run::GaveUp => None,
    }
}

/// What there was before each change.
type Before<T> = Vec<(TxIndex, T)>;

/// Who changed what in the block so far.
#[derive(Default)]
struct Past {
    accounts: AddressMap<AccountPast>,
    slots: HashMap<(Address, U256), Before<U256>>,
}

#[derive(Default)]
struct AccountPast {
    balance: Before<U256>,
    nonce: Before<u64>,
    code_hash: Before<B256>,
    existence: Before<Existence>,
    /// Who began or ended its life last: its storage is another one since then.
    life: Option<TxIndex>,
}

impl Past {
    /// Adds what a transaction changed.
    fn add(&mut self, index: TxIndex, changes: &Changes) {
        for (address, change) in &changes.accounts {
            self.accounts.entry(*address).or_default().add(index, change);
            for (key, slot) in &change.slots {
                self.slots.entry((*address, *key)).or_default().push((index, slot.before));
            }
        }
    }

    /// Who made the observations of a record true that did not always hold.
    fn needs(&self, record: &Record, sender: Address) -> Vec<TxIndex> {
        let mut needs = Vec::new();
        let payments = record.payments.iter().map(|payment| (payment.address(), payment.observed()));
        let others = record.accounts.iter().map(|account| (account.address, account.observed));
        for (address, observed) in payments.chain(others) {
            if let Some(past) = self.accounts.get(&address) {
                past.note_needs(&observed, address == sender, &mut needs);
            }
        }
        for read in &record.reads {
            let address = record.accounts[read.account as usize].address;
            needs.extend(self.accounts.get(&address).and_then(|past| past.life));
            let before = self.slots.get(&(address, read.key));
            needs.extend(before.and_then(|before| last_without(before, |value| *value == read.value)));
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    }
}

impl AccountPast {
    fn add(&mut self, index: TxIndex, change: &AccountChange) {
        let [before, after] = [change.account.before, change.account.after];
        let Account { balance, nonce, code_hash } = before.unwrap_or(Account::EMPTY);
        let now = after.unwrap_or(Account::EMPTY);
        push_if(balance != now.balance, &mut self.balance, index, balance);
        push_if(nonce != now.nonce, &mut self.nonce, index, nonce);
        push_if(code_hash != now.code_hash, &mut self.code_hash, index, code_hash);
        let existed = Existence::of(before.as_ref());
        push_if(existed != Existence::of(after.as_ref()), &mut self.existence, index, existed);
        if change.life == Life::New || after.is_none() {
            self.life = Some(index);
        }
    }

    fn note_needs(&self, observed: &AccountObservation, is_sender: bool, needs: &mut Vec<TxIndex>) {
        let AccountObservation { balance, nonce, code_hash, existence } = observed;
        needs.extend(last_without(&self.balance, |value| balance.contain(value)));
        // A transaction states the nonce of its sender, so everybody knows it beforehand. And "at
        // least one" only says that an account is not empty, which its balance would say as well.
        if !is_sender && nonce.are_exact() {
            needs.extend(last_without(&self.nonce, |value| nonce.contain(value)));
        }
        if let Some(needed) = code_hash {
            needs.extend(last_without(&self.code_hash, |value| value == needed));
        }
        if let Some(needed) = existence {
            needs.extend(last_without(&self.existence, |value| value == needed));
        }
    }
}

fn push_if<T>(is_change: bool, before: &mut Before<T>, index: TxIndex, value: T) {
    if is_change {
        before.push((index, value));
    }
}

/// The last transaction before which something did not hold.
fn last_without<T>(before: &Before<T>, holds: impl Fn(&T) -> bool) -> Option<TxIndex> {
    before.iter().rev().find(|(_, value)| !holds(value)).map(|(index, _)| *index)
}
