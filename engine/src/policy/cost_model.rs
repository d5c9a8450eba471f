//! The cost model: whether helpers pay for the transactions that are left.
//!
//! Where the gas alone does not tell, the calling thread starts alone, and the time that this block takes for its gas
//! decides. Nothing is carried over from block to block. A wrong estimate costs time and nothing else.

use std::time::Duration;

use crate::policy::{
    batching::{Batch, Demand, Effort, TRANSFER_GAS},
    tuning::{
        BATCH_GAS, HELP_NANOS_ASLEEP, HELP_NANOS_AWAKE, MAX_NANOS_PER_GAS, MIN_NANOS_PER_GAS,
        NANOS_PER_RECORD, PAYMENT_WEIGHT,
    },
};

/// How a block is executed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decision {
    /// On the calling thread: helpers pay at no speed.
    Sequential,
    /// On the calling thread first, and with helpers when they pay.
    Measured(Switch),
    /// With helpers from the first transaction on: they pay at any speed.
    Parallel,
}

/// When helpers join a block that the calling thread started alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Switch {
    /// Once they pay for what is left.
    WhenItPays(CostModel),
    /// After this number of transactions: for tests.
    After(usize),
}

/// Whether a thread of the pool is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolState {
    /// At least one is.
    Awake,
    /// None is.
    Asleep,
}

/// The estimated cost of the transactions that are left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CostModel {
    left: Work,
    /// When the first batch ended. It is not measured, because it runs on cold caches.
    warm_since: Option<Duration>,
    /// The estimated gas of the transactions that were executed since then.
    executed_gas: f64,
    /// The time of the work that helpers must take over to pay.
    help_nanos: f64,
}

/// The estimated work of some transactions.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    gas: f64,
    /// The gas that helpers can take over.
    parallel_gas: f64,
    /// The transactions that are recorded one by one.
    records: f64,
}

impl Switch {
    /// Whether helpers should join after a batch of `transactions`, `time` after the first transaction of the block.
    pub(crate) fn is_due(&mut self, batch: &Batch, transactions: &[impl Demand], time: Duration) -> bool {
        match self {
            Self::WhenItPays(cost) => cost.pays_after(batch, transactions, time),
            Self::After(left) => {
                *left = left.saturating_sub(batch.transactions);
                *left == 0
            }
        }
    }
}

impl CostModel {
    /// The cost of these batches, each with its transactions.
    pub(crate) fn new<'t, T: Demand + 't>(
        batches: impl IntoIterator<Item = (&'t Batch, &'t [T])>,
        pool: PoolState,
    ) -> Self {
        let help_nanos = match pool {
            PoolState::Awake => HELP_NANOS_AWAKE,
            PoolState::Asleep => HELP_NANOS_ASLEEP,
        };
        let mut cost = Self { left: Work::default(), warm_since: None, executed_gas: 0.0, help_nanos };
        for (batch, transactions) in batches {
            cost.left.add(Work::of(batch.effort, transactions), 1.0);
            // The decision is made: the rest need not be read.
            if cost.pays_at(MIN_NANOS_PER_GAS) {
                break;
            }
        }
        cost
    }

    /// The decision that the gas alone allows.
    pub(crate) fn decision(self) -> Decision {
        if self.pays_at(MIN_NANOS_PER_GAS) {
            Decision::Parallel
        } else if self.pays_at(MAX_NANOS_PER_GAS) {
            Decision::Measured(Switch::WhenItPays(self))
        } else {
            Decision::Sequential
        }
    }

    /// Whether helpers pay after a batch of `transactions`, `time` after the first transaction of the block.
    fn pays_after(&mut self, batch: &Batch, transactions: &[impl Demand], time: Duration) -> bool {
        let work = Work::of(batch.effort, transactions);
        self.left.add(work, -1.0);
        let Some(warm_since) = self.warm_since else {
            self.warm_since = Some(time);
            return false;
        };
        self.executed_gas += work.gas;
        let nanos = time.saturating_sub(warm_since).as_secs_f64() * 1e9;
        let nanos_per_gas = nanos / self.executed_gas.max(1.0);
        // A thread that lost its core measures too much.
        self.pays_at(nanos_per_gas.min(MAX_NANOS_PER_GAS))
    }

    /// Whether helpers pay if gas takes this time.
    fn pays_at(&self, nanos_per_gas: f64) -> bool {
        let Work { parallel_gas, records, .. } = self.left;
        parallel_gas * nanos_per_gas - records * NANOS_PER_RECORD > self.help_nanos
    }
}

impl Work {
    /// The work of a batch.
    fn of(effort: Effort, transactions: &[impl Demand]) -> Self {
        let transfers = (TRANSFER_GAS * transactions.len() as u64) as f64;
        match effort {
            Effort::Light => Self { gas: transfers, ..Self::default() },
            Effort::Bulk => Self { gas: transfers, parallel_gas: PAYMENT_WEIGHT * transfers, records: 0.0 },
            Effort::Border => Self::default(),
            Effort::Heavy | Effort::Huge { .. } => {
                let gas = transactions.iter().map(|transaction| transaction.gas_limit().min(BATCH_GAS));
                let gas = gas.sum::<u64>() as f64;
                Self { gas, parallel_gas: gas, records: transactions.len() as f64 }
            }
        }
    }

    fn add(&mut self, other: Self, times: f64) {
        self.gas += times * other.gas;
        self.parallel_gas += times * other.parallel_gas;
        self.records += times * other.records;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::batching::{Batching, TestDemand};

    /// Calls with a gas limit of 100,000.
    fn calls(count: usize) -> Vec<TestDemand> {
        vec![TestDemand { gas_limit: 100_000, is_payment: false }; count]
    }

    fn transfers(count: usize) -> Vec<TestDemand> {
        vec![TestDemand { gas_limit: TRANSFER_GAS, is_payment: true }; count]
    }

    fn batches(transactions: &[TestDemand]) -> Vec<Batch> {
        Batching::of(transactions).collect()
    }

    /// Batches, each with its transactions.
    fn paired<'t>(
        batches: &'t [Batch],
        transactions: &'t [TestDemand],
    ) -> Vec<(&'t Batch, &'t [TestDemand])> {
        let mut rest = transactions;
        let pair = |batch: &'t Batch| {
            let (of_batch, others) = rest.split_at(batch.transactions);
            rest = others;
            (batch, of_batch)
        };
        batches.iter().map(pair).collect()
    }

    fn decision(transactions: &[TestDemand], pool: PoolState) -> &'static str {
        match CostModel::new(paired(&batches(transactions), transactions), pool).decision() {
            Decision::Sequential => "sequential",
            Decision::Measured(_) => "measured",
            Decision::Parallel => "parallel",
        }
    }

    #[test]
    fn the_larger_a_block_the_sooner_it_has_helpers() {
        let decide = |count| decision(&calls(count), PoolState::Awake);
        assert_eq!([2, 15, 1000].map(decide), ["sequential", "measured", "parallel"]);
    }

    #[test]
    fn helpers_that_sleep_join_only_larger_blocks() {
        let decide = |pool| decision(&calls(8), pool);
        assert_eq!([PoolState::Awake, PoolState::Asleep].map(decide), ["measured", "sequential"]);
    }

    #[test]
    fn a_large_block_of_payments_has_helpers_and_a_small_one_has_none() {
        let decide = |count| decision(&transfers(count), PoolState::Awake);
        assert_eq!([30, 200, 5000].map(decide), ["sequential", "measured", "parallel"]);
    }

    /// After how many batches helpers join a block of calls that take this time each.
    fn joined_after(count: usize, nanos: u64) -> Option<usize> {
        let transactions = calls(count);
        let batches = batches(&transactions);
        let cost = CostModel::new(paired(&batches, &transactions), PoolState::Awake);
        let Decision::Measured(mut switch) = cost.decision() else { panic!("the gas alone decides") };
        let mut next = 0;
        batches.iter().position(|batch| {
            let of_batch = next..next + batch.transactions;
            next = of_batch.end;
            switch.is_due(batch, &transactions[of_batch], Duration::from_nanos(nanos * next as u64))
        })
    }

    #[test]
    fn helpers_join_a_slow_block_after_the_first_measured_batch_and_a_fast_one_never() {
        assert_eq!(joined_after(30, 12_000), Some(1), "the first batch is not measured");
        assert_eq!(joined_after(30, 2_500), None);
    }

    #[test]
    fn a_time_that_no_block_takes_counts_as_the_longest_usual_one() {
        assert_eq!(joined_after(6, 1_000_000_000), None, "the rest is too small at any speed");
    }
}
