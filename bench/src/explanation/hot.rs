//! What limits a block: locations that many transactions use, the accounts that they belong to, and long transactions.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    time::Duration,
};

use alloy_primitives::Address;
use blockloom_engine::Dependencies;
use blockloom_state::{Location, TxIndex};

use crate::{
    limit::{WorkerCount, limit, sequential_time, shortest_time, with_private},
    lost_runs::LostRun,
};

/// The number of workers for which causes are compared. With more of them, the longest transaction alone is the limit of
/// most blocks.
pub const COMPARED: NonZeroUsize = NonZeroUsize::new(16).unwrap();

const COMPARED_WORKERS: WorkerCount = WorkerCount::Exactly(COMPARED);

/// The most locations whose limits are computed: those with the most dependencies.
const MOST_LIMITS: usize = 256;

/// The most long transactions that are compared with locations.
const MOST_TRANSACTIONS: usize = 4;

/// Limits are compared in steps of this size: the times behind them are measured.
const LEAST_GAIN: f64 = 0.02;

/// Something that may limit a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A location.
    Location(Location),
    /// All locations of an account.
    Account(Address),
    /// The time of a transaction.
    Transaction(TxIndex),
}

/// What something costs a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cause {
    /// What it is.
    pub subject: Subject,
    /// The number of transactions that write there.
    pub writers: usize,
    /// The number of transactions that read the exact value there.
    pub readers: usize,
    /// The runs that were lost for it.
    pub lost_runs: usize,
    /// The time of these runs.
    pub time_lost: Duration,
    /// The limit with [`COMPARED`] workers if each transaction had its own copy of it, or if the transaction took no time.
    pub limit_without: f64,
    /// How much shorter the block could be without it, with so many workers.
    pub saved: Duration,
}

impl Cause {
    /// How it compares with others: the most limiting one comes first.
    fn rank(&self, limit: f64) -> impl Ord + use<> {
        let gain = ((self.limit_without / limit).ln() / LEAST_GAIN).floor();
        let uses = self.writers + self.readers;
        (Reverse(gain as i64), Reverse(self.time_lost), Reverse(uses), self.subject)
    }
}

/// Who uses what in a block.
#[derive(Debug)]
pub(super) struct Accesses {
    /// The block without what its transactions read and write.
    graph: Dependencies,
    limit: f64,
    /// The time of its schedule.
    shortest: Duration,
    locations: BTreeMap<Location, Uses>,
}

/// How a location is used.
#[derive(Debug, Default)]
struct Uses {
    writers: BTreeSet<usize>,
    readers: BTreeSet<usize>,
    dependencies: usize,
    lost_runs: usize,
    time_lost: Duration,
}

impl Uses {
    /// Whether more than one transaction uses the location, and one of them writes.
    fn are_shared(&self) -> bool {
        !self.writers.is_empty() && self.writers.union(&self.readers).nth(1).is_some()
    }

    fn add(&mut self, other: &Self) {
        self.writers.extend(&other.writers);
        self.readers.extend(&other.readers);
        self.dependencies += other.dependencies;
        self.lost_runs += other.lost_runs;
        self.time_lost += other.time_lost;
    }
}

impl Accesses {
    /// The fees that the coinbase is paid do not count, unless a transaction depends on them.
    pub(super) fn new(graph: &Dependencies, coinbase: Address, lost: &[LostRun]) -> Self {
        let mut locations: BTreeMap<Location, Uses> = BTreeMap::new();
        for (position, transaction) in graph.transactions.iter().enumerate() {
            for location in &transaction.writes {
                locations.entry(*location).or_default().writers.insert(position);
            }
            for location in &transaction.reads {
                locations.entry(*location).or_default().readers.insert(position);
            }
            for location in transaction.depends_on.iter().filter_map(|needed| needed.location) {
                locations.entry(location).or_default().dependencies += 1;
            }
        }
        for run in lost {
            if let Some(location) = run.location {
                let uses = locations.entry(location).or_default();
                uses.lost_runs += 1;
                uses.time_lost += run.time;
            }
        }
        locations.retain(|location, uses| {
            let are_fees = *location == Location::Balance(coinbase) && uses.dependencies == 0;
            uses.are_shared() && !are_fees
        });
        let mut graph = graph.clone();
        for transaction in &mut graph.transactions {
            (transaction.reads, transaction.writes) = (Vec::new(), Vec::new());
        }
        let (limit, shortest) = (limit(&graph, COMPARED_WORKERS), shortest_time(&graph, COMPARED_WORKERS));
        Self { graph, limit, shortest, locations }
    }

    /// The locations that several transactions use, the most limiting one first.
    pub(super) fn by_location(&self) -> Vec<Cause> {
        let uses = self.locations.iter().map(|(location, uses)| (Subject::Location(*location), uses));
        self.ranked(uses.collect(), |subject, location| subject == Subject::Location(*location))
    }

    /// The accounts that several transactions use, the most limiting one first.
    pub(super) fn by_account(&self) -> Vec<Cause> {
        let mut accounts: BTreeMap<Address, Uses> = BTreeMap::new();
        for (location, uses) in &self.locations {
            accounts.entry(location.address()).or_default().add(uses);
        }
        let uses = accounts.iter().map(|(address, uses)| (Subject::Account(*address), uses));
        self.ranked(uses.collect(), |subject, location| subject == Subject::Account(location.address()))
    }

    fn ranked(
        &self,
        mut subjects: Vec<(Subject, &Uses)>,
        belongs: impl Fn(Subject, &Location) -> bool,
    ) -> Vec<Cause> {
        subjects.sort_by_key(|(_, uses)| Reverse(uses.dependencies));
        let causes = subjects.into_iter().enumerate().map(|(place, (subject, uses))| {
            let may_limit = place < MOST_LIMITS && uses.dependencies > 0;
            let without = may_limit.then(|| with_private(&self.graph, |location| belongs(subject, location)));
            let cause = Cause {
                subject,
                writers: uses.writers.len(),
                readers: uses.readers.len(),
                lost_runs: uses.lost_runs,
                time_lost: uses.time_lost,
                limit_without: self.limit,
                saved: Duration::ZERO,
            };
            without.map_or(cause, |without| self.with_limit(cause, &without))
        });
        self.sorted(causes.collect())
    }

    /// What limits the block, the most limiting one first. Without any, that is what most transactions use.
    pub(super) fn causes(&self, locations: &[Cause], accounts: &[Cause]) -> Vec<Cause> {
        let mut causes = [locations, accounts].concat();
        let mut longest: Vec<_> = (0..self.graph.transactions.len()).collect();
        longest.sort_by_key(|position| Reverse(self.graph.transactions[*position].time));
        causes.extend(longest.into_iter().take(MOST_TRANSACTIONS).map(|position| {
            let mut without = self.graph.clone();
            without.transactions[position].time = Duration::ZERO;
            let cause = Cause {
                subject: Subject::Transaction(TxIndex::new(position)),
                writers: 0,
                readers: 0,
                lost_runs: 0,
                time_lost: Duration::ZERO,
                limit_without: self.limit,
                saved: Duration::ZERO,
            };
            self.with_limit(cause, &without)
        }));
        self.sorted(causes)
    }

    fn with_limit(&self, cause: Cause, without: &Dependencies) -> Cause {
        let time = shortest_time(without, COMPARED_WORKERS);
        let saved = self.shortest.saturating_sub(time);
        let limit_without = sequential_time(without).as_secs_f64() / time.as_secs_f64();
        if limit_without.is_finite() { Cause { limit_without, saved, ..cause } } else { cause }
    }

    fn sorted(&self, mut causes: Vec<Cause>) -> Vec<Cause> {
        causes.sort_by_cached_key(|cause| cause.rank(self.limit));
        causes
    }
}
