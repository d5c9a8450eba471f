//! What the explanations of many blocks say together.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use blockloom_bench::{
    explanation::{COMPARED, Cause, Explanation, Subject},
    limit::{WorkerCount, sequential_time, shortest_time},
};

use crate::{names, quantity::counted, table::Table};

/// Sums over blocks.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) blocks: usize,
    pub(super) transactions: usize,
    pub(super) gas: u64,
    /// The times on one thread and on all.
    pub(super) sequential: Duration,
    pub(super) parallel: Duration,
    /// The times of the transactions on one worker and on [`COMPARED`] ones.
    pub(super) alone: Duration,
    pub(super) shortest: Duration,
    locations: BTreeMap<Subject, SubjectSum>,
    accounts: BTreeMap<Subject, SubjectSum>,
}

/// What something costs in all blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SubjectSum {
    /// The blocks in which several transactions use it.
    pub(super) blocks: usize,
    pub(super) writers: usize,
    pub(super) readers: usize,
    pub(super) lost_runs: usize,
    pub(super) time_lost: Duration,
    /// How much shorter the blocks could be without it.
    pub(super) saved: Duration,
}

impl Sums {
    pub(super) fn add(&mut self, explanation: &Explanation) {
        let Explanation { comparison, graph, locations, accounts, .. } = explanation;
        self.blocks += 1;
        self.transactions += graph.transactions.len();
        self.gas += graph.transactions.iter().map(|transaction| transaction.gas).sum::<u64>();
        self.sequential += comparison.sequential;
        self.parallel += comparison.parallel;
        self.alone += sequential_time(graph);
        self.shortest += shortest_time(graph, WorkerCount::Exactly(COMPARED));
        add_all(&mut self.locations, locations);
        add_all(&mut self.accounts, accounts);
    }

    /// The locations that cost most, first.
    pub(super) fn hot_locations(&self) -> Vec<(Subject, SubjectSum)> {
        sorted(&self.locations)
    }

    /// The accounts that cost most, first.
    pub(super) fn hot_accounts(&self) -> Vec<(Subject, SubjectSum)> {
        sorted(&self.accounts)
    }

    pub(super) fn write(&self, output: &mut dyn Write, top: usize) -> io::Result<()> {
        let [alone, together] = [self.sequential, self.parallel].map(names::of_time);
        let ratio = self.sequential.as_secs_f64() / self.parallel.as_secs_f64();
        let limit = self.alone.as_secs_f64() / self.shortest.as_secs_f64();
        let (blocks, transactions) =
            (counted(self.blocks, "block"), counted(self.transactions, "transaction"));
        writeln!(output, "{blocks}, {transactions}: {alone} on one thread, {together} together: {ratio:.2}")?;
        writeln!(output, "limit on {COMPARED} threads: {limit:.2}")?;
        write_sums(output, "hot locations", &self.hot_locations(), top)?;
        write_sums(output, "hot accounts", &self.hot_accounts(), top)
    }
}

fn add_all(sums: &mut BTreeMap<Subject, SubjectSum>, causes: &[Cause]) {
    for cause in causes {
        let sum = sums.entry(cause.subject).or_default();
        sum.blocks += 1;
        sum.writers += cause.writers;
        sum.readers += cause.readers;
        sum.lost_runs += cause.lost_runs;
        sum.time_lost += cause.time_lost;
        sum.saved += cause.saved;
    }
}

fn sorted(sums: &BTreeMap<Subject, SubjectSum>) -> Vec<(Subject, SubjectSum)> {
    let mut sums: Vec<_> = sums.iter().map(|(subject, sum)| (*subject, *sum)).collect();
    sums.sort_by_key(|(subject, sum)| {
        (Reverse((sum.saved, sum.time_lost, sum.writers + sum.readers)), *subject)
    });
    sums
}

fn write_sums(
    output: &mut dyn Write,
    title: &str,
    sums: &[(Subject, SubjectSum)],
    top: usize,
) -> io::Result<()> {
    if sums.is_empty() {
        return Ok(());
    }
    writeln!(output)?;
    let titles = [title, "blocks", "writers", "lost runs", "time lost", "saved without"].map(str::to_owned);
    let mut rows = vec![titles.into()];
    rows.extend(sums.iter().take(top).map(|(subject, sum)| {
        vec![
            names::of_subject(subject),
            sum.blocks.to_string(),
            sum.writers.to_string(),
            sum.lost_runs.to_string(),
            names::of_time(sum.time_lost),
            names::of_time(sum.saved),
        ]
    }));
    Table::write_all(output, &rows)
}
