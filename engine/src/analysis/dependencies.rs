//! The dependencies between a block's transactions, and the time of each transaction.
//!
//! The block is executed sequentially, and each transaction runs once more on the state before it, to
//! record its observations. The result does not depend on the scheduling of any engine: it says how
//! much parallelism the block allows.

use std::{cell::Cell, ops::ControlFlow, slice::from_ref, time::Duration};

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, HashMap},
};
use blockloom_state::{
    Account, AccountChange, AccountObservation, CachedBase, Changes, Existence, Incarnation, Life, Location,
    Memory, MemoryStore, Record, SlotObservation, TxIndex, Version, Visibility, sync::AtomicBool,
};

use crate::{
    block::{
        block::Block,
        error::{BlockStep, Reason},
        steps::Steps,
    },
    commit::{
        committer::BlockCommitter,
        observer::{CommittedStep, Observer, Progress},
        sequential,
    },
    evm::{handling::Handling, speculator::EvmSpeculator},
    parallel::{
        thread_log::Recorder,
        traits::{Run, Speculator as _},
    },
};

/// The dependencies between the transactions of a block, and the time of each step on one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// The time of the steps before the transactions.
    pub opening: Duration,
    /// The transactions, in order.
    pub transactions: Vec<TransactionDependencies>,
    /// The time of the steps after the transactions.
    pub closing: Duration,
}

/// The dependencies and the time of one transaction, and what it reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionDependencies {
    /// The time of the transaction on one thread.
    pub time: Duration,
    /// The gas that it used.
    pub gas: u64,
    /// What it depends on, ascending.
    pub depends_on: Vec<Dependency>,
    /// The locations whose exact value it read, ascending. That a balance is at least a value is no exact read.
    pub reads: Vec<Location>,
    /// The locations that it changed, ascending.
    pub writes: Vec<Location>,
}

/// An earlier transaction that made an observation of a later one true that did not hold before. An earlier transfer to a
/// sender with enough balance is no dependency, and neither is the sender's transaction with the nonce before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The earlier transaction.
    pub on: TxIndex,
    /// What it wrote and the later one observed. `None` if the later one needs the committed state, and so all earlier
    /// ones.
    pub location: Option<Location>,
}

/// The dependencies of a valid block. The block is executed `rounds` times for the times, which are
/// medians, and once more for the dependencies.
pub(crate) fn block_dependencies<H: Handling>(
    base: &MemoryStore,
    block: &Block,
    handling: &H,
    rounds: usize,
) -> Result<Dependencies, Reason> {
    let transactions = find_dependencies(base, block, handling)?;
    let mut laps = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let (progress, steps) = (Cell::new(Progress::START), Steps::new(from_ref(block)));
        let base = CachedBase::alone(base);
        let committer = BlockCommitter::new(&steps, base, handling.clone(), Observer::None, &progress);
        laps.push(sequential::timed(committer, transactions.len())?);
    }
    let median = |position: usize| {
        let mut times: Vec<Duration> = laps.iter().map(|laps| laps[position]).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let closing = median(transactions.len() + 1);
    let timed = |(position, found)| TransactionDependencies { time: median(position + 1), ..found };
    let transactions = transactions.into_iter().enumerate().map(timed).collect();
    Ok(Dependencies { opening: median(0), transactions, closing })
}

/// The dependencies of each transaction, without its time.
fn find_dependencies<H: Handling>(
    base: &MemoryStore,
    block: &Block,
    handling: &H,
) -> Result<Vec<TransactionDependencies>, Reason> {
    let mut steps = Vec::with_capacity(block.transactions.len() + 2);
    let (progress, of_block) = (Cell::new(Progress::START), Steps::new(from_ref(block)));
    let mut keep = |(): &mut (), committed: CommittedStep<'_>| {
        steps.push((committed.step, committed.gas.tx_gas_used(), committed.changes));
        ControlFlow::Continue(())
    };
    let committer = BlockCommitter::new(
        &of_block,
        CachedBase::alone(base),
        handling.clone(),
        Observer::Steps(&mut keep),
        &progress,
    );
    sequential::execute(committer, of_block.len(), &Recorder::off())?;

    let (mut store, mut history) = (base.clone(), ChangeHistory::default());
    let mut transactions = Vec::with_capacity(block.transactions.len());
    for (step, gas, changes) in &steps {
        if let BlockStep::Transaction(index, _) = *step {
            let (depends_on, reads) = match observe(&store, block, handling, index) {
                Some(record) => {
                    let sender = block.transactions[index.get()].env.caller;
                    (history.dependencies(&record, sender), reads(&record, sender))
                }
                // The transaction needs the committed state, so it depends on all earlier transactions.
                None => {
                    let all = (0..index.get()).map(TxIndex::new);
                    (all.map(|on| Dependency { on, location: None }).collect(), Vec::new())
                }
            };
            let (time, writes) = (Duration::ZERO, writes(changes));
            transactions.push(TransactionDependencies { time, gas: *gas, depends_on, reads, writes });
            history.add(index, changes);
        }
        store.apply(changes).expect("each step fits the state that the steps before it left");
    }
    Ok(transactions)
}

/// The observations of a transaction on the state before it; `None` if it must run at the frontier.
fn observe<H: Handling>(store: &MemoryStore, block: &Block, handling: &H, index: TxIndex) -> Option<Record> {
    let mut memory = Memory::default();
    memory.open([block.env.beneficiary], Visibility::Published);
    let is_stale = AtomicBool::new(false);
    let steps = Steps::new(from_ref(block));
    let mut speculator = EvmSpeculator::new(&steps, &memory, store, handling.clone());
    let mut record = Record::default();
    match speculator.run(Version { index, incarnation: Incarnation::FIRST }, &is_stale, &mut record) {
        Run::Ran(_) => Some(record),
        Run::Awaits(_) | Run::Stale | Run::GaveUp => None,
    }
}

/// The value before each change, with the transaction that made the change.
type ValuesBefore<T> = Vec<(TxIndex, T)>;

/// The changes of the block so far, by location.
#[derive(Default)]
struct ChangeHistory {
    accounts: AddressMap<AccountHistory>,
    slots: HashMap<(Address, U256), ValuesBefore<U256>>,
}

#[derive(Default)]
struct AccountHistory {
    balance: ValuesBefore<U256>,
    nonce: ValuesBefore<u64>,
    code_hash: ValuesBefore<B256>,
    existence: ValuesBefore<Existence>,
    /// The last transaction that created or removed the account, and so replaced its storage.
    life: Option<TxIndex>,
}

impl ChangeHistory {
    /// Adds the changes of a transaction.
    fn add(&mut self, index: TxIndex, changes: &Changes) {
        for (address, change) in &changes.accounts {
            self.accounts.entry(*address).or_default().add(index, change);
            for (key, slot) in &change.slots {
                self.slots.entry((*address, *key)).or_default().push((index, slot.before));
            }
        }
    }

    /// The transactions that made observations of a record true which did not hold before them.
    fn dependencies(&self, record: &Record, sender: Address) -> Vec<Dependency> {
        let mut depends_on = Vec::new();
        let mut add = |location, on: Option<TxIndex>| {
            depends_on.extend(on.map(|on| Dependency { on, location: Some(location) }));
        };
        for (address, observed) in observations(record) {
            if let Some(history) = self.accounts.get(&address) {
                history.add_dependencies(address, &observed, address == sender, &mut add);
            }
        }
        for read in &record.reads {
            let address = record.accounts[read.account as usize].address;
            let life = self.accounts.get(&address).and_then(|history| history.life);
            add(Location::Existence(address), life);
            let before = self.slots.get(&(address, read.key));
            let last = before.and_then(|before| last_without(before, |value| *value == read.value));
            add(Location::Slot(address, read.key), last);
        }
        depends_on.sort_unstable();
        depends_on.dedup();
        depends_on
    }
}

impl AccountHistory {
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

    fn add_dependencies(
        &self,
        address: Address,
        observed: &AccountObservation,
        is_sender: bool,
        add: &mut impl FnMut(Location, Option<TxIndex>),
    ) {
        let AccountObservation { balance, nonce, code_hash, existence } = observed;
        add(Location::Balance(address), last_without(&self.balance, |value| balance.contain(value)));
        // The block contains the nonce of the sender, so reading it is no dependency. And the observation
        // "at least one" only says that the account is not empty, as its balance would.
        if !is_sender && nonce.are_exact() {
            add(Location::Nonce(address), last_without(&self.nonce, |value| nonce.contain(value)));
        }
        if let Some(needed) = code_hash {
            add(Location::Code(address), last_without(&self.code_hash, |value| value == needed));
        }
        if let Some(needed) = existence {
            add(Location::Existence(address), last_without(&self.existence, |value| value == needed));
        }
    }
}

/// The accounts that a run observed.
fn observations(record: &Record) -> impl Iterator<Item = (Address, AccountObservation)> {
    let payments = record.payments.iter().map(|payment| (payment.address(), payment.observed()));
    payments.chain(record.accounts.iter().map(|account| (account.address, account.observed)))
}

/// The locations whose exact value a run read. Its sender's nonce is not among them: the block contains it.
fn reads(record: &Record, sender: Address) -> Vec<Location> {
    let mut reads = Vec::new();
    for (address, AccountObservation { balance, nonce, code_hash, existence }) in observations(record) {
        let locations = [
            (balance.are_exact(), Location::Balance(address)),
            (nonce.are_exact() && address != sender, Location::Nonce(address)),
            (code_hash.is_some(), Location::Code(address)),
            (existence.is_some(), Location::Existence(address)),
        ];
        reads.extend(locations.into_iter().filter_map(|(is_read, location)| is_read.then_some(location)));
    }
    let slot =
        |read: &SlotObservation| Location::Slot(record.accounts[read.account as usize].address, read.key);
    reads.extend(record.reads.iter().map(slot));
    reads.sort_unstable();
    reads
}

/// The locations that changed.
fn writes(changes: &Changes) -> Vec<Location> {
    let mut writes = Vec::new();
    for (address, change) in &changes.accounts {
        let [before, after] = [change.account.before, change.account.after];
        let [was, is] = [before, after].map(|account| account.unwrap_or(Account::EMPTY));
        let is_other_life = change.life == Life::New || before.is_some() != after.is_some();
        let locations = [
            (was.balance != is.balance, Location::Balance(*address)),
            (was.nonce != is.nonce, Location::Nonce(*address)),
            (was.code_hash != is.code_hash, Location::Code(*address)),
            (is_other_life, Location::Existence(*address)),
        ];
        writes.extend(
            locations.into_iter().filter_map(|(is_written, location)| is_written.then_some(location)),
        );
        writes.extend(change.slots.keys().map(|key| Location::Slot(*address, *key)));
    }
    writes.sort_unstable();
    writes
}

fn push_if<T>(is_change: bool, before: &mut ValuesBefore<T>, index: TxIndex, value: T) {
    if is_change {
        before.push((index, value));
    }
}

/// The last transaction before which the value did not satisfy `holds`.
fn last_without<T>(before: &ValuesBefore<T>, holds: impl Fn(&T) -> bool) -> Option<TxIndex> {
    before.iter().rev().find(|(_, value)| !holds(value)).map(|(index, _)| *index)
}
