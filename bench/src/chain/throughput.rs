//! The counts and the speed of an import.

use std::{
    fmt,
    time::{Duration, Instant},
};

use blockloom_fixtures::{ImportProgress, Stage, StageTimes};
use indicatif::ProgressBar;

use crate::{progress, quantity::counted, terminal::print_remark};

/// The time between messages if there is no terminal for a bar.
const MESSAGE_INTERVAL: Duration = Duration::from_secs(10);

/// Counts the blocks of an import.
#[derive(Debug)]
pub(super) struct Throughput {
    bar: ProgressBar,
    /// The number of blocks read, and the expected number.
    read: u64,
    expected: u64,
    blocks: u64,
    transactions: usize,
    gas: u64,
    /// Blocks that were stored already.
    skipped: u64,
    /// Blocks that are invalid on purpose.
    left_out: u64,
    /// How long each stage was busy in the earlier files.
    times: StageTimes,
    /// The import time of the earlier files.
    time: Duration,
    /// The start of the current file.
    since: Option<Instant>,
    last_message: Instant,
}

impl Throughput {
    pub(super) fn new() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            read: 0,
            expected: 0,
            blocks: 0,
            transactions: 0,
            gas: 0,
            skipped: 0,
            left_out: 0,
            times: StageTimes::default(),
            time: Duration::ZERO,
            since: None,
            last_message: Instant::now(),
        }
    }

    /// Starts a file with this many blocks.
    pub(super) fn begin(&mut self, blocks: u64) {
        self.bar = progress::rates(blocks);
        (self.read, self.expected, self.since) = (0, blocks, Some(Instant::now()));
    }

    /// Ends the file.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
        self.time = self.elapsed();
        self.since = None;
    }

    pub(super) fn added(&mut self, ImportProgress { summary, times }: &ImportProgress<'_>) {
        if self.blocks == 0 {
            // The time of skipped blocks does not predict that of the others.
            self.bar.reset_eta();
        }
        self.blocks += 1;
        self.transactions += summary.transactions;
        self.gas += summary.gas_used;
        self.bar.set_message(format!("{:.1} Mgas/s, {}", self.rates().1, busiest(times)));
        self.advance();
    }

    /// The times of a whole file.
    pub(super) fn add_times(&mut self, times: &StageTimes) {
        self.times += *times;
    }

    /// A block was stored already.
    pub(super) fn skipped(&mut self) {
        self.skipped += 1;
        self.advance();
    }

    /// A block that is invalid on purpose was left out.
    pub(super) fn left_out(&mut self) {
        self.left_out += 1;
        self.advance();
    }

    fn advance(&mut self) {
        self.read += 1;
        self.bar.inc(1);
        if self.bar.is_hidden() && self.last_message.elapsed() >= MESSAGE_INTERVAL {
            self.last_message = Instant::now();
            let (blocks, gas) = self.rates();
            let left = self.expected.saturating_sub(self.read) as f64 / blocks;
            let place = format!("{} of {} blocks", self.read, self.expected);
            print_remark(&format!("{place}, {blocks:.1} blocks/s, {gas:.1} Mgas/s, {left:.0} s left"));
        }
    }

    fn elapsed(&self) -> Duration {
        self.time + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Blocks and millions of gas per second.
    fn rates(&self) -> (f64, f64) {
        let seconds = self.elapsed().as_secs_f64();
        (self.blocks as f64 / seconds, self.gas as f64 / 1e6 / seconds)
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, transactions, skipped, left_out, .. } = self;
        let (gas, seconds) = (self.gas as f64 / 1e6, self.elapsed().as_secs_f64());
        let transactions = counted(*transactions, "transaction");
        write!(f, "imported {} with {transactions} and {gas:.1} Mgas", counted(*blocks, "block"))?;
        if *blocks > 0 {
            let (blocks, gas) = self.rates();
            write!(f, " in {seconds:.1} s: {blocks:.1} blocks/s, {gas:.1} Mgas/s")?;
        }
        if *blocks > 0 {
            let shares = Stage::ALL.map(|stage| format!("{stage} {:.0} %", 100.0 * self.times.share(stage)));
            write!(f, "\nbusy: {}", shares.join(", "))?;
        }
        if *skipped > 0 {
            write!(f, "\nskipped {}: stored already", counted(*skipped, "block"))?;
        }
        if *left_out > 0 {
            let blocks = counted(*left_out, "block");
            write!(f, "\nleft out {blocks}, invalid on purpose: `replay` verifies those")?;
        }
        Ok(())
    }
}

/// The stage that limits the import.
fn busiest(times: &StageTimes) -> String {
    let stage = times.busiest();
    format!("{stage} {:.0} %", 100.0 * times.share(stage))
}
