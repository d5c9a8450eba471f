//! Decides how blocks are executed: with which threads, and in which batches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use blockloom_state::{Base, has_high_latency};

use crate::{
    block::{
        block::Transaction,
        config::{BaseLatency, TestMode},
        steps::Steps,
    },
    engine::Engine,
    evm::handling::Handling,
    policy::{
        batching::{Batch, Batching, Effort, test_batches},
        cost_model::{CostModel, Decision, PoolState, Switch},
    },
    threads::pool::Workers,
};

/// How long the base takes to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Latency {
    /// As long as a read of memory.
    Low,
    /// Longer: many reads are to be under way at once, and none is repeated.
    High,
}

/// A decision, with the pool that it needs.
pub(super) enum Plan<'w> {
    Sequential,
    Measured(&'w Workers, Switch),
    Parallel(&'w Workers),
}

impl<H: Handling> Engine<H> {
    /// The latency of the base: as configured, or measured with a few reads that the first block needs anyway. A
    /// base that panics does so again when the block is executed, and is reported then.
    pub(super) fn latency_of<B: Base + ?Sized>(&self, base: &B, steps: &Steps<'_>) -> Latency {
        match self.shared.config.base_latency {
            BaseLatency::High if self.threads() > 1 => return Latency::High,
            BaseLatency::Measured if self.threads() > 1 => {}
            _ => return Latency::Low,
        }
        let block = &steps.blocks()[0];
        let parties = block.transactions.iter().rev().flat_map(Transaction::parties);
        let accounts = [block.env.beneficiary].into_iter().chain(parties);
        let is_high = catch_unwind(AssertUnwindSafe(|| has_high_latency(base, accounts))).unwrap_or(false);
        if is_high { Latency::High } else { Latency::Low }
    }

    /// The batches that threads take; none if there is one thread.
    pub(super) fn batches_of(&self, steps: &Steps<'_>) -> Vec<Batch> {
        let mut batches = Vec::new();
        if self.threads() < 2 {
            return batches;
        }
        for (position, block) in steps.blocks().iter().enumerate() {
            if position > 0 {
                batches.push(Batch::single(Effort::Border));
            }
            match self.shared.test_mode {
                TestMode::Off => batches.extend(Batching::of(&block.transactions)),
                _ => batches.extend(test_batches(block.transactions.len())),
            }
        }
        batches
    }

    /// Decides how blocks are executed.
    pub(super) fn plan(&self, steps: &Steps<'_>, batches: &[Batch], latency: Latency) -> Plan<'_> {
        if self.threads() < 2 {
            return Plan::Sequential;
        }
        let decision = match (self.shared.test_mode, latency) {
            (TestMode::ParallelAfter(transactions), _) => Decision::Measured(Switch::After(transactions)),
            (TestMode::Off, Latency::Low) => self.decision(with_transactions(steps, batches)),
            _ => Decision::Parallel,
        };
        // The pool is started when it is first needed.
        let workers = if matches!(decision, Decision::Sequential) { None } else { self.workers() };
        match (decision, workers) {
            (Decision::Sequential, _) | (_, None) => Plan::Sequential,
            (Decision::Measured(switch), Some(workers)) => Plan::Measured(workers, switch),
            (Decision::Parallel, Some(workers)) => Plan::Parallel(workers),
        }
    }

    /// Whether helpers may pay for a block with these transactions on a base that one thread reads at a time.
    /// On such a base a high latency is no reason for helpers, because no two reads are under way at once. It
    /// counts only if it is declared.
    pub(crate) fn uses_helpers(&self, transactions: &[Transaction]) -> bool {
        let is_forced =
            self.shared.test_mode != TestMode::Off || self.shared.config.base_latency == BaseLatency::High;
        if self.threads() < 2 || is_forced {
            return self.threads() > 1;
        }
        let batches: Vec<Batch> = Batching::of(transactions).collect();
        let mut rest = transactions;
        let pairs = batches.iter().map(|batch| {
            let (of_batch, others) = rest.split_at(batch.transactions);
            rest = others;
            (batch, of_batch)
        });
        !matches!(self.decision(pairs), Decision::Sequential)
    }

    /// What the cost model decides for these batches, each with its transactions, on a base with a low latency.
    fn decision<'b>(&self, batches: impl Iterator<Item = (&'b Batch, &'b [Transaction])>) -> Decision {
        let pool = if self.is_pool_awake() { PoolState::Awake } else { PoolState::Asleep };
        CostModel::new(batches, pool).decision()
    }
}

/// Each batch with its transactions; the border between two blocks has none.
fn with_transactions<'s>(
    steps: &'s Steps<'_>,
    batches: &'s [Batch],
) -> impl Iterator<Item = (&'s Batch, &'s [Transaction])> {
    let mut next = 0;
    batches.iter().map(move |batch| {
        let indices = next..next + batch.transactions;
        next = indices.end;
        (batch, steps.transactions(indices))
    })
}
