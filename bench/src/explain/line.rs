//! The lines of JSON of `explain`: one for each block, and one for all together.

use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::{Address, B256, U256};
use blockloom_bench::{
    explanation::{Cause, Explanation, Subject, WORKERS},
    limit::{PathStep, WorkerCount},
};
use blockloom_engine::Block;
use blockloom_state::Location;
use serde::Serialize;

use super::sums::{SubjectSum, Sums};
use crate::{json::rounded, pictures::facts::selector, ratios::micros};

/// The line of a block.
#[derive(Debug, Serialize)]
pub(super) struct ExplainLine<'l> {
    fixture: &'l str,
    case: &'l str,
    block: u64,
    txs: usize,
    gas: u64,
    threads: usize,
    sequential_micros: f64,
    parallel_micros: f64,
    ratio: Option<f64>,
    limit: f64,
    /// By number of workers.
    limits: BTreeMap<String, f64>,
    /// The time of all threads, in parts.
    spent_micros: BTreeMap<&'static str, f64>,
    critical_path: Vec<PathLine>,
    causes: Vec<CauseLine>,
    locations: Vec<CauseLine>,
    accounts: Vec<CauseLine>,
    lost_runs: usize,
    lost_micros: f64,
}

/// A transaction of the critical path.
#[derive(Debug, Serialize)]
struct PathLine {
    index: usize,
    hash: B256,
    to: Option<Address>,
    selector: Option<String>,
    gas: u64,
    micros: f64,
    /// The index of the transaction that it waits for.
    waits_for: Option<usize>,
    at: Option<SubjectLine>,
}

/// Something that may limit a block.
#[derive(Debug, Default, Serialize)]
struct SubjectLine {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
}

/// What it costs.
#[derive(Debug, Serialize)]
struct CauseLine {
    #[serde(flatten)]
    subject: SubjectLine,
    writers: usize,
    readers: usize,
    lost_runs: usize,
    lost_micros: f64,
    /// With 16 workers.
    limit_without: f64,
    saved_micros: f64,
}

impl<'l> ExplainLine<'l> {
    /// With at most `top` causes of each kind.
    pub(super) fn new(
        fixture: &'l str,
        case: &'l str,
        block: &Block,
        explanation: &Explanation,
        top: usize,
    ) -> Self {
        let Explanation { comparison, graph, limits, spent, lost, .. } = explanation;
        let causes = |causes: &[Cause]| causes.iter().take(top).map(CauseLine::new).collect();
        let limits = WORKERS.iter().zip(limits).map(|(workers, limit)| (name_of(*workers), rounded(*limit)));
        let lost_time: Duration = lost.iter().map(|run| run.time).sum();
        Self {
            fixture,
            case,
            block: block.number(),
            txs: block.transactions.len(),
            gas: graph.transactions.iter().map(|transaction| transaction.gas).sum(),
            threads: explanation.threads.get(),
            sequential_micros: rounded(micros(comparison.sequential)),
            parallel_micros: rounded(micros(comparison.parallel)),
            ratio: explanation.ratio().map(rounded),
            limit: rounded(explanation.limit),
            limits: limits.collect(),
            spent_micros: spent
                .parts()
                .into_iter()
                .map(|(name, time)| (name, rounded(micros(time))))
                .collect(),
            critical_path: explanation
                .critical_path
                .iter()
                .map(|step| PathLine::new(*step, block, explanation))
                .collect(),
            causes: causes(&explanation.causes),
            locations: causes(&explanation.locations),
            accounts: causes(&explanation.accounts),
            lost_runs: lost.len(),
            lost_micros: rounded(micros(lost_time)),
        }
    }
}

impl PathLine {
    fn new(step: PathStep, block: &Block, explanation: &Explanation) -> Self {
        let transaction = &block.transactions[step.position];
        let measured = &explanation.graph.transactions[step.position];
        let at = step.waits_for.and_then(|needed| needed.location);
        Self {
            index: step.position,
            hash: transaction.hash,
            to: transaction.env.kind.to().copied(),
            selector: selector(transaction),
            gas: measured.gas,
            micros: rounded(micros(measured.time)),
            waits_for: step.waits_for.map(|needed| needed.on.get()),
            at: at.map(|location| SubjectLine::new(Subject::Location(location))),
        }
    }
}

impl SubjectLine {
    fn new(subject: Subject) -> Self {
        let (kind, address, slot) = match subject {
            Subject::Location(Location::Balance(address)) => ("balance", address, None),
            Subject::Location(Location::Nonce(address)) => ("nonce", address, None),
            Subject::Location(Location::Code(address)) => ("code", address, None),
            Subject::Location(Location::Slot(address, slot)) => ("slot", address, Some(slot)),
            Subject::Location(other) => ("existence", other.address(), None),
            Subject::Account(address) => ("account", address, None),
            Subject::Transaction(index) => {
                return Self { kind: "transaction", index: Some(index.get()), ..Self::default() };
            }
        };
        Self { kind, address: Some(address), slot, index: None }
    }
}

impl CauseLine {
    fn new(cause: &Cause) -> Self {
        Self {
            subject: SubjectLine::new(cause.subject),
            writers: cause.writers,
            readers: cause.readers,
            lost_runs: cause.lost_runs,
            lost_micros: rounded(micros(cause.time_lost)),
            limit_without: rounded(cause.limit_without),
            saved_micros: rounded(micros(cause.saved)),
        }
    }
}

fn name_of(workers: WorkerCount) -> String {
    match workers {
        WorkerCount::Exactly(count) => count.to_string(),
        WorkerCount::Unlimited => "any".to_owned(),
    }
}

/// The line of all blocks together, the last one.
#[derive(Debug, Serialize)]
pub(super) struct SumLine {
    blocks: usize,
    txs: usize,
    gas: u64,
    sequential_micros: f64,
    parallel_micros: f64,
    locations: Vec<SubjectSumLine>,
    accounts: Vec<SubjectSumLine>,
}

/// What something costs in all blocks.
#[derive(Debug, Serialize)]
struct SubjectSumLine {
    #[serde(flatten)]
    subject: SubjectLine,
    blocks: usize,
    writers: usize,
    readers: usize,
    lost_runs: usize,
    lost_micros: f64,
    /// With 16 workers.
    saved_micros: f64,
}

impl SumLine {
    /// With at most `top` locations and accounts.
    pub(super) fn new(sums: &Sums, top: usize) -> Self {
        let lines =
            |sums: Vec<(Subject, SubjectSum)>| sums.into_iter().take(top).map(SubjectSumLine::new).collect();
        Self {
            blocks: sums.blocks,
            txs: sums.transactions,
            gas: sums.gas,
            sequential_micros: rounded(micros(sums.sequential)),
            parallel_micros: rounded(micros(sums.parallel)),
            locations: lines(sums.hot_locations()),
            accounts: lines(sums.hot_accounts()),
        }
    }
}

impl SubjectSumLine {
    fn new((subject, sum): (Subject, SubjectSum)) -> Self {
        let SubjectSum { blocks, writers, readers, lost_runs, time_lost, saved } = sum;
        Self {
            subject: SubjectLine::new(subject),
            blocks,
            writers,
            readers,
            lost_runs,
            lost_micros: rounded(micros(time_lost)),
            saved_micros: rounded(micros(saved)),
        }
    }
}
