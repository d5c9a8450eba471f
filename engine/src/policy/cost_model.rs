//! What a block is expected to take, and whether a second thread pays.
//!
//! Guesses from what the transactions ask for, and from how long the blocks before took. A wrong one
//! costs time and nothing else.

use std::time::Duration;

use blockloom_state::{Account, Base};

use crate::{
    block::{
        block::{Block, Transaction},
        statistics::Statistics,
    },
    policy::{
        batching::{Batching, Effort, TRANSFER, is_payment},
        calibration::{Kind, Trials, Way, Yielded},
    },
};

/// The most gas that a transaction is expected to take, whatever its limit is.
const MOST_EXPECTED: u64 = 300_000;
/// How many threads' worth of work was done at a time, notes included, where nearly all runs ahead of
/// the gate were committed.
const TOGETHER_WHERE_IT_PAID: f64 = 1.7;
/// How much longer a block would have taken on one thread than it took on several where they were not.
const RATIO_WHERE_IT_DID_NOT: f64 = 0.7;
/// The share of runs ahead of the gate that are committed where it pays.
const SHARE_WHERE_IT_PAYS: f64 = 0.8;
/// If no more than this share of all transactions is committed with what runs ahead recorded, a second thread
/// takes about as much off the block at most.
const SHARE_THAT_IS_NOTHING: f64 = 0.1;

/// What of the gas of payments counts as heavy: running one ahead takes nearly as long as it saves.
const WEIGHT_OF_PAYMENTS: f64 = 0.3;
/// Of a block with more than twice as many transactions, so many samples of so many in a row tell: looking at
/// each takes a few percent of what a payment takes.
const SAMPLES: usize = 32;
const SAMPLE: usize = 32;
/// What is asked of the base about calls without input before a block is left to one thread.
const QUESTIONS: usize = 8;

/// What running ahead costs for each transaction, on both threads together: where many take hardly more,
/// a second thread does not pay however many there are. It depends on the machine; this is much.
const NANOS_OF_NOTES: f64 = 4e3;
/// The same for a payment in a stretch of them.
const NANOS_OF_A_PAYMENT: f64 = 1e3;
/// What it costs at least, on a machine whose cores are close to each other.
const LEAST_NANOS_OF_NOTES: f64 = 0.5e3;

/// What the heavy transactions of a block must be expected to take for a second thread to pay. On
/// real blocks that are below, keeping notes took longer than it helped, and waking the thread up as
/// well where it slept.
struct Threshold {
    gas: f64,
    /// Beyond what the notes cost.
    nanos: f64,
    /// Their least share of all gas.
    share: f64,
    /// What the notes on each transaction cost.
    notes: f64,
}

impl Threshold {
    /// Where the thread is awake.
    const AWAKE: Self = Self { gas: 1.4e6, nanos: 200e3, share: 0.25, notes: NANOS_OF_NOTES };
    /// Where it has to be woken up.
    const ASLEEP: Self = Self { gas: 5.5e6, nanos: 600e3, share: 0.28, notes: NANOS_OF_NOTES };
    /// Where it may pay on some machine.
    const DOUBT: Self = Self { gas: 0.7e6, nanos: 80e3, share: 0.15, notes: LEAST_NANOS_OF_NOTES };
    /// Where it may pay even to wake it up.
    const DOUBT_ASLEEP: Self = Self { gas: 2.8e6, nanos: 400e3, ..Self::DOUBT };
}

/// Whether a second thread pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gain {
    /// It does.
    Sure,
    /// It does if it need not be woken up.
    IfAwake,
    /// It does not.
    None,
}

/// How long gas takes, going by the last blocks, and which kinds of them were worth a second thread.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    nanos_per_gas: f64,
    trials: Trials,
}

impl Default for Pace {
    /// That of many contracts. Some take longer; those blocks are well above the thresholds anyway.
    fn default() -> Self {
        Self { nanos_per_gas: Self::SLOWEST, trials: Trials::default() }
    }
}

impl Pace {
    const SLOWEST: f64 = 0.15;

    /// What a second thread would be worth to a block that takes so much.
    pub(crate) fn gain(&self, gas: Gas) -> Gain {
        let guess = self.guess(gas, &Threshold::ASLEEP, &Threshold::AWAKE);
        let Some(kind) = self.doubt(gas) else { return guess };
        let way = if guess == Gain::None { Way::Alone } else { Way::Together };
        match self.trials.way(kind, way) {
            Way::Alone => Gain::None,
            Way::Together => self.guess(gas, &Threshold::DOUBT_ASLEEP, &Threshold::DOUBT),
        }
    }

    /// What kind of block it is, if only measuring tells what a second thread is worth to it.
    fn doubt(&self, gas: Gas) -> Option<Kind> {
        let kind = gas.kind();
        let is_doubtful = self.exceeds(gas, &Threshold::DOUBT)
            && (!self.exceeds(gas, &Threshold::ASLEEP) || self.trials.is_suspect(kind));
        is_doubtful.then_some(kind)
    }

    fn guess(&self, gas: Gas, asleep: &Threshold, awake: &Threshold) -> Gain {
        if self.exceeds(gas, asleep) {
            Gain::Sure
        } else if self.exceeds(gas, awake) {
            Gain::IfAwake
        } else {
            Gain::None
        }
    }

    fn exceeds(&self, Gas { heavy, all, noted, .. }: Gas, least: &Threshold) -> bool {
        let nanos = heavy * self.nanos_per_gas - noted * least.notes;
        heavy >= least.gas && nanos >= least.nanos && heavy >= least.share * all
    }

    /// Learns from a block that was expected to take so much, and took so long.
    pub(crate) fn learn(&mut self, gas: Gas, time: Duration, statistics: &Statistics) {
        let way = if statistics.threads == 1 { Way::Alone } else { Way::Together };
        if way == Way::Together && self.exceeds(gas, &Threshold::ASLEEP) {
            self.trials.note(gas.kind(), yielded(statistics));
        }
        let doubt = self.doubt(gas);
        if let Some(kind) = doubt {
            self.trials.learn(kind, way, time, gas.all);
        }
        if gas.heavy < Threshold::AWAKE.gas {
            return;
        }
        // Blocks of its kind that were executed alone tell better than a guess.
        let measured = doubt.filter(|_| way == Way::Together);
        let measured = measured.and_then(|kind| self.trials.nanos_per_gas_alone(kind));
        let seen = measured.unwrap_or_else(|| nanos_alone(gas, time, statistics) / gas.all);
        let seen = seen.clamp(0.0, Self::SLOWEST);
        self.nanos_per_gas = (self.nanos_per_gas + seen) / 2.0;
    }
}

/// What runs ahead brought.
fn yielded(statistics: &Statistics) -> Yielded {
    let Statistics { committed, at_gate, .. } = *statistics;
    let is_little = committed as f64 <= SHARE_THAT_IS_NOTHING * (committed + at_gate) as f64;
    if is_little { Yielded::Nothing } else { Yielded::Something }
}

/// How long a block would have taken on one thread, going by its runs.
fn nanos_alone(gas: Gas, time: Duration, statistics: &Statistics) -> f64 {
    let ahead = statistics.incarnations - statistics.at_gate;
    let nanos = time.as_secs_f64() * 1e9;
    if statistics.threads == 1 {
        nanos
    } else if statistics.committed as f64 > SHARE_WHERE_IT_PAYS * ahead as f64 {
        TOGETHER_WHERE_IT_PAID * nanos - gas.noted * NANOS_OF_NOTES - gas.bulk * NANOS_OF_A_PAYMENT
    } else {
        RATIO_WHERE_IT_DID_NOT * nanos
    }
}

/// The gas that the transactions of a block are expected to take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gas {
    /// Those that are worth handing out.
    heavy: f64,
    /// All of them.
    all: f64,
    /// How many transactions those are, payments apart.
    noted: f64,
    /// How many payments are in stretches of them.
    bulk: f64,
    /// What those who run ahead know of each other.
    known: Known,
}

/// What those who run ahead know of what the others write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    /// What they tell each other: each run is noted for that.
    #[default]
    AsTold,
    /// All of it beforehand.
    Beforehand,
}

impl Gas {
    /// Going by what the transactions ask for.
    pub(crate) fn of(block: &Block, known: Known) -> Self {
        let Sampled { parts, share } = Sampled::of(block);
        let mut gas = Self::default();
        for part in parts {
            part.iter().for_each(|transaction| gas.add(transaction));
            for cut in Batching::of(part).filter(|cut| cut.effort == Effort::Bulk) {
                gas.heavy += WEIGHT_OF_PAYMENTS * (TRANSFER * cut.transactions as u64) as f64;
                gas.bulk += cut.transactions as f64;
            }
        }
        let Self { heavy, all, noted, bulk, .. } = gas;
        Self { heavy: heavy / share, all: all / share, noted: noted / share, bulk: bulk / share, known }
    }

    /// The same gas, where calls without input are no payments if all of some that are called have
    /// code. Whoever pays may leave more gas than a payment takes, so only the base can tell; it is
    /// asked if that may matter. An answer that does not come changes nothing.
    pub(crate) fn looking_closer<B: Base>(mut self, base: &B, block: &Block) -> Self {
        let doubtful =
            |transaction: &&Transaction| is_payment(transaction) && transaction.env.gas_limit > TRANSFER;
        let Sampled { parts, share } = Sampled::of(block);
        let calls: Vec<_> = parts.into_iter().flatten().filter(doubtful).collect();
        let most = calls.iter().map(|call| most_gas(call) as f64).sum::<f64>() / share;
        let count = calls.len() as f64 / share;
        if self.heavy + most < Threshold::AWAKE.gas {
            return self;
        }
        let mut asked = calls.iter().step_by(calls.len().div_ceil(QUESTIONS).max(1));
        let has_code = |call: &Transaction| {
            let callee = call.env.kind.to().and_then(|callee| base.basic_ref(*callee).ok().flatten());
            callee.is_some_and(|callee| Account::from(&callee).has_code())
        };
        if asked.all(|call| has_code(call)) {
            self.heavy += most;
            self.noted += count;
            self.all += most - TRANSFER as f64 * count;
        }
        self
    }

    /// The kind of blocks that take so much.
    fn kind(self) -> Kind {
        Kind::of(self.heavy, self.noted, self.known)
    }

    /// Adds what a transaction takes. Payments are worth something only where many come in a row.
    fn add(&mut self, transaction: &Transaction) {
        let expected = expected_gas(transaction) as f64;
        self.all += expected;
        if !is_payment(transaction) {
            self.heavy += expected;
            self.noted += 1.0;
        }
    }
}

/// The transactions of a block that are looked at.
struct Sampled<'b> {
    parts: Vec<&'b [Transaction]>,
    /// How many of all they are.
    share: f64,
}

impl<'b> Sampled<'b> {
    fn of(block: &'b Block) -> Self {
        let all = &block.transactions[..];
        if all.len() <= 2 * SAMPLES * SAMPLE {
            return Self { parts: vec![all], share: 1.0 };
        }
        let starts = (0..SAMPLES).map(|sample| sample * all.len() / SAMPLES);
        let parts = starts.map(|start| &all[start..start + SAMPLE]).collect();
        Self { parts, share: (SAMPLES * SAMPLE) as f64 / all.len() as f64 }
    }
}

fn expected_gas(transaction: &Transaction) -> u64 {
    if is_payment(transaction) { transaction.env.gas_limit.min(TRANSFER) } else { most_gas(transaction) }
}

fn most_gas(transaction: &Transaction) -> u64 {
    transaction.env.gas_limit.min(MOST_EXPECTED)
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Header;
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{B256, Bytes};
    use blockloom_state::{Allocation, MemoryStore};
    use revm::context::TxEnv;

    use super::*;
    use crate::block::rules::Rules;

    /// A block of calls that ask for 100,000 gas each.
    fn calls(count: usize) -> Block {
        let block = Block::without_body(Rules::mainnet(EthereumHardfork::Byzantium), &Header::default());
        let env = TxEnv { gas_limit: 100_000, data: [1].into(), ..TxEnv::default() };
        Block { transactions: vec![Transaction { hash: B256::ZERO, env }; count], ..block }
    }

    fn gas(block: &Block) -> Gas {
        Gas::of(block, Known::AsTold)
    }

    #[test]
    fn a_few_transactions_tell_of_many() {
        let mut block = calls(50_000);
        for (position, transaction) in block.transactions.iter_mut().enumerate() {
            // The second half is payments.
            if position >= 25_000 {
                (transaction.env.data, transaction.env.gas_limit) = (Bytes::new(), TRANSFER);
            }
        }
        let Gas { heavy, all, noted, bulk, .. } = gas(&block);
        let is_about = |got: f64, expected: f64| (got / expected - 1.0).abs() < 1e-9;
        assert!(is_about(noted, 25e3) && is_about(bulk, 25e3), "{noted} and {bulk}");
        assert!(is_about(all, 25e3 * 121e3), "{all}");
        assert!(is_about(heavy, 25e3 * (100e3 + WEIGHT_OF_PAYMENTS * 21e3)), "{heavy}");
    }

    #[test]
    fn what_a_block_would_have_taken_alone_is_worked_out_from_its_runs() {
        let (gas, time) = (gas(&calls(30)), Duration::from_micros(200));
        let alone = |threads, committed| {
            let statistics =
                Statistics { threads, incarnations: 30, at_gate: 5, committed, ..Statistics::default() };
            nanos_alone(gas, time, &statistics).round() / 1e3
        };
        assert_eq!(alone(1, 0), 200.0);
        assert_eq!(alone(2, 25), 220.0, "1.7 times as long, without 4 us of notes for each of 30");
        assert_eq!(alone(2, 10), 140.0, "most runs ahead were for nothing");
    }

    #[test]
    fn the_larger_a_block_the_more_a_second_thread_is_worth() {
        let gains = [5, 20, 100].map(|count| Pace::default().gain(gas(&calls(count))));
        assert_eq!(gains, [Gain::None, Gain::IfAwake, Gain::Sure]);
    }

    #[test]
    fn a_large_block_of_payments_is_worth_waking_somebody_up() {
        let mut block = calls(2000);
        for transaction in &mut block.transactions {
            (transaction.env.data, transaction.env.gas_limit) = (Bytes::new(), TRANSFER);
        }
        assert_eq!(Pace::default().gain(gas(&block)), Gain::Sure);
    }

    #[test]
    fn payments_that_take_less_on_two_threads_stay_there() {
        let mut block = calls(430);
        for transaction in &mut block.transactions {
            (transaction.env.data, transaction.env.gas_limit) = (Bytes::new(), TRANSFER);
        }
        let (mut pace, gas) = (Pace::default(), gas(&block));
        let mut go = || {
            let (threads, micros) = if pace.gain(gas) == Gain::None { (1, 300) } else { (2, 240) };
            let statistics = Statistics {
                threads,
                incarnations: 430,
                at_gate: 200,
                committed: 230,
                ..Statistics::default()
            };
            pace.learn(gas, Duration::from_micros(micros), &statistics);
            threads
        };
        let ways: Vec<_> = (0..120).map(|_| go()).collect();
        assert!(ways[20..].iter().filter(|threads| **threads == 2).count() > 75, "{ways:?}");
    }

    /// Executes blocks of a thousand calls one after the other, which take 100 ms alone. How many are.
    fn alone(pace: &mut Pace, blocks: usize, committed: u64, wasted: u64, together: u64) -> usize {
        let gas = gas(&calls(1000));
        let mut go = || {
            let is_alone = pace.gain(gas) == Gain::None;
            let (threads, micros) = if is_alone { (1, 100_000) } else { (2, together) };
            let statistics = Statistics {
                threads,
                incarnations: 1000 + wasted,
                at_gate: 1000 - committed,
                committed,
                ..Statistics::default()
            };
            pace.learn(gas, Duration::from_micros(micros), &statistics);
            is_alone
        };
        (0..blocks).filter(|_| go()).count()
    }

    #[test]
    fn however_large_blocks_are_they_stay_alone_once_runs_ahead_are_always_for_nothing() {
        let mut pace = Pace::default();
        assert_eq!(alone(&mut pace, 8, 5, 50, 105_000), 0, "it may be chance");
        let of_a_hundred = alone(&mut pace, 100, 5, 50, 105_000);
        assert!((80..95).contains(&of_a_hundred), "{of_a_hundred}");
        let until_noticed = alone(&mut pace, 100, 500, 0, 60_000);
        assert!(until_noticed <= 16, "{until_noticed}");
        assert_eq!(alone(&mut pace, 100, 500, 0, 60_000), 0, "it pays again");
        alone(&mut pace, 8, 5, 50, 105_000);
        assert_eq!(alone(&mut pace, 1, 5, 50, 105_000), 0, "it is measured anew");
    }

    #[test]
    fn a_large_block_that_is_half_done_ahead_never_goes_alone_however_much_is_wasted() {
        assert_eq!(alone(&mut Pace::default(), 200, 500, 2000, 90_000), 0);
    }

    #[test]
    fn calls_without_input_are_payments_unless_whoever_is_called_has_code() {
        let mut block = calls(100);
        for transaction in &mut block.transactions {
            transaction.env.data = Default::default();
        }
        let callee = *block.transactions[0].env.kind.to().expect("it is called");
        let gain = |code: Bytes| {
            let store = MemoryStore::from_genesis([(callee, Allocation { code, ..Allocation::default() })]);
            Pace::default().gain(gas(&block).looking_closer(&store, &block))
        };
        assert_eq!(gain(Bytes::new()), Gain::None);
        assert_eq!(gain([1].into()), Gain::Sure);
    }

    #[test]
    fn blocks_that_take_hardly_any_time_are_left_to_one_thread_until_others_come() {
        let (mut pace, gas) = (Pace::default(), gas(&calls(30)));
        let mut learn = |micros, threads, committed| {
            let statistics =
                Statistics { threads, incarnations: 30, at_gate: 5, committed, ..Statistics::default() };
            (0..8).for_each(|_| pace.learn(gas, Duration::from_micros(micros), &statistics));
            pace.gain(gas)
        };
        assert_eq!(learn(90, 1, 0), Gain::None);
        assert_eq!(learn(400, 1, 0), Gain::IfAwake, "nobody knows how long it would take on two");
        assert_eq!(learn(600, 2, 25), Gain::None, "it took longer");
        assert_eq!(learn(300, 2, 25), Gain::IfAwake);
    }
}
