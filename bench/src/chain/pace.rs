//! How fast an import goes, and what it did.

use std::{
    fmt,
    time::{Duration, Instant},
};

use blockloom_fixtures::Summary;
use indicatif::ProgressBar;

use crate::{interrupt::say, progress};

/// How often somebody is told who watches no terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Counts what an import did.
#[derive(Debug)]
pub(super) struct Pace {
    bar: ProgressBar,
    /// How many blocks were read, and how many there are, as far as is known.
    read: u64,
    expected: u64,
    blocks: u64,
    transactions: usize,
    gas: u64,
    known: u64,
    refused: u64,
    time: Duration,
    /// Since when blocks are imported, if they are.
    since: Option<Instant>,
    told: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            read: 0,
            expected: 0,
            blocks: 0,
            transactions: 0,
            gas: 0,
            known: 0,
            refused: 0,
            time: Duration::ZERO,
            since: None,
            told: Instant::now(),
        }
    }

    /// So many blocks are imported now.
    pub(super) fn begin(&mut self, blocks: u64) {
        self.bar = progress::rates(blocks);
        (self.read, self.expected, self.since) = (0, blocks, Some(Instant::now()));
    }

    /// No more blocks are imported.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
        self.time = self.elapsed();
        self.since = None;
    }

    pub(super) fn added(&mut self, summary: &Summary) {
        if self.blocks == 0 {
            // Blocks that are passed over say nothing of how long the others take.
            self.bar.reset_eta();
        }
        self.blocks += 1;
        self.transactions += summary.transactions;
        self.gas += summary.gas_used;
        self.bar.set_message(format!("{:.1} Mgas/s", self.rates().1));
        self.go_on();
    }

    /// A block was there already.
    pub(super) fn passed_over(&mut self) {
        self.known += 1;
        self.go_on();
    }

    /// A block that its file wants refused was not looked at.
    pub(super) fn left_out(&mut self) {
        self.refused += 1;
        self.go_on();
    }

    fn go_on(&mut self) {
        self.read += 1;
        self.bar.inc(1);
        if self.bar.is_hidden() && self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let (blocks, gas) = self.rates();
            let left = self.expected.saturating_sub(self.read) as f64 / blocks;
            let place = format!("{} of {} blocks", self.read, self.expected);
            say(&format!("{place}, {blocks:.1} blocks/s, {gas:.1} Mgas/s, {left:.0} s left"));
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

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, transactions, known, refused, .. } = self;
        let (gas, seconds) = (self.gas as f64 / 1e6, self.elapsed().as_secs_f64());
        write!(f, "imported {blocks} blocks with {transactions} transactions and {gas:.1} Mgas")?;
        if *blocks > 0 {
            let (blocks, gas) = self.rates();
            write!(f, " in {seconds:.1} s: {blocks:.1} blocks/s, {gas:.1} Mgas/s")?;
        }
        writeln!(f)?;
        if *known > 0 {
            writeln!(f, "passed over {known} blocks that were there already")?;
        }
        if *refused > 0 {
            writeln!(f, "left out {refused} blocks that are to be refused: `replay` looks at those")?;
        }
        Ok(())
    }
}
