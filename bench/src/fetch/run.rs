//! Fetches blocks on several threads, and counts what became of them.

use std::{
    iter::Flatten,
    ops::RangeInclusive,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread, vec,
};

use alloy_primitives::B256;
use blockloom_engine::ChainSpec;
use blockloom_fixtures::node::{Claim, FetchedBlock, Fetcher, NodeChain, NodeError, latest};
use indicatif::ProgressBar;

use super::{
    BlockRange, Connection, Secret,
    client::HttpNode,
    endpoint::Endpoint,
    folder::{BlockFolder, Presence},
};
use crate::{
    ExitStatus,
    interrupt::is_interrupted,
    progress,
    quantity::counted,
    terminal::{print_detail, print_message, print_remark},
};

/// What is fetched, and from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) rpc: &'a Secret,
    pub(crate) connection: &'a Connection,
    pub(crate) blocks: &'a [BlockRange],
    /// The chain that the user names.
    pub(crate) chain: Option<&'a ChainSpec>,
}

/// The counts of fetched, passed over and failed blocks.
#[derive(Debug, Default)]
pub(crate) struct FetchReport {
    /// The scheme, host and port of the node.
    node: String,
    proven: usize,
    unproven: usize,
    passed_over: usize,
    /// Blocks that an answer of the node contradicts.
    contradicted: usize,
    /// Blocks that could not be fetched for another reason.
    missing: usize,
    is_interrupted: bool,
}

/// A fetch under way.
struct Fetch<'f> {
    node: &'f HttpNode,
    fetcher: &'f Fetcher<'f>,
    chain: &'f NodeChain,
    folder: &'f BlockFolder,
    numbers: Mutex<Flatten<vec::IntoIter<RangeInclusive<u64>>>>,
    /// Whether no further block is worth a try.
    is_over: AtomicBool,
    report: Mutex<FetchReport>,
    progress: ProgressBar,
}

/// Fetches the blocks into `out`.
///
/// # Errors
///
/// If no block was tried: the arguments are unusable, or the node does not say what chain it is on.
pub(crate) fn fetch(job: &Job<'_>, out: &Path) -> Result<FetchReport, String> {
    let endpoint = Endpoint::new(job.rpc, &job.connection.header)?;
    let name = endpoint.to_string();
    let folder = BlockFolder::open(out)?;
    let node = HttpNode::new(endpoint, job.connection);
    let mut report = FetchReport { node: name, ..FetchReport::default() };
    let asked = NodeChain::find(&node, job.chain).and_then(|chain| Ok((chain, latest(&node)?)));
    let (chain, latest) = match asked {
        Ok(asked) => asked,
        Err(error) if error.is_interrupted() => {
            report.is_interrupted = true;
            return Ok(report);
        }
        Err(error) => return Err(node.redact(&error.to_string())),
    };
    let ranges = job.blocks.iter().map(|range| range.numbers(latest)).collect::<Result<Vec<_>, _>>()?;
    let ranges = merged(ranges);
    let count = ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.end() - range.start() + 1));
    let fetcher = Fetcher::new(&node, chain.clone());
    let fetch = Fetch {
        node: &node,
        fetcher: &fetcher,
        chain: &chain,
        folder: &folder,
        numbers: Mutex::new(ranges.into_iter().flatten()),
        is_over: AtomicBool::new(false),
        report: Mutex::new(report),
        progress: progress::bar(count, "blocks"),
    };
    fetch.work_on(count.min(job.connection.requests.into()));
    for (method, said) in fetcher.refused() {
        if let Some(consequence) = consequence(method) {
            print_remark(&node.redact(&format!("note: {method}: {said}: {consequence}")));
        }
    }
    let mut report = fetch.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.is_interrupted = is_interrupted();
    Ok(report)
}

/// The same numbers, each once: two threads must not fetch one block.
fn merged(mut ranges: Vec<RangeInclusive<u64>>) -> Vec<RangeInclusive<u64>> {
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start() <= last.end() => *last = *last.start()..=*last.end().max(range.end()),
            _ => merged.push(range),
        }
    }
    merged
}

/// What it means that a node lacks a method; `None` if another one replaces it.
fn consequence(method: &str) -> Option<&'static str> {
    match method {
        "eth_getProof" => {
            Some("the states before some blocks are not proven, and their state roots not compared")
        }
        "debug_traceBlockByNumber" => {
            Some("what blocks read was asked for piece by piece, which takes longer")
        }
        "eth_getTransactionReceipt" => Some("blocks have no receipts.json"),
        _ => None,
    }
}

impl Fetch<'_> {
    /// Fetches all blocks on so many threads.
    fn work_on(&self, threads: u64) {
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.work());
            }
            self.work();
        });
        self.progress.finish_and_clear();
    }

    /// Fetches one block after the other until none is left.
    fn work(&self) {
        while !is_interrupted()
            && !self.is_over()
            && let Some(number) = self.next()
        {
            match self.block(number) {
                Ok(()) => {}
                Err(error) if error.is_interrupted() => return,
                Err(error) => {
                    if error.is_unanswered() {
                        self.end();
                    }
                    self.fail(number, &error.to_string(), error.is_contradiction());
                }
            }
            self.progress.inc(1);
        }
    }

    fn block(&self, number: u64) -> Result<(), NodeError> {
        match self.folder.presence(number, self.chain) {
            Ok(Presence::There { hash }) => self.pass_over(number, hash)?,
            Ok(Presence::Absent) => {
                let block = self.fetcher.block(number)?;
                match self.folder.write(&block, self.chain) {
                    Ok(()) => self.count(&block),
                    Err(message) => {
                        // A disk that is full stays full.
                        self.end();
                        self.fail(number, &message, false);
                    }
                }
            }
            Err(message) => self.fail(number, &message, false),
        }
        Ok(())
    }

    /// Passes over the block with this hash that is there, unless the node has another one.
    fn pass_over(&self, number: u64, found: B256) -> Result<(), NodeError> {
        let expected = self.fetcher.hash(number)?;
        if expected == found {
            self.report().passed_over += 1;
        } else {
            let folder = self.folder.folder(number);
            let message = format!(
                "{} is there already, and not overwritten, but has the hash {found}: that of the node is {expected}",
                folder.display()
            );
            self.fail(number, &message, false);
        }
        Ok(())
    }

    fn count(&self, block: &FetchedBlock) {
        let mut report = self.report();
        let how = match block.claim {
            Claim::Proven => {
                report.proven += 1;
                "its state is proven"
            }
            Claim::Unproven => {
                report.unproven += 1;
                "its state is not proven"
            }
        };
        let transactions = counted(block.transactions, "transaction");
        print_detail(|| format!("block {}: {transactions}, {how}", block.header.number));
    }

    fn fail(&self, number: u64, message: &str, is_contradiction: bool) {
        let mut report = self.report();
        let verdict = if is_contradiction {
            report.contradicted += 1;
            "failed"
        } else {
            report.missing += 1;
            "unusable"
        };
        let message = self.node.redact(message);
        self.progress.suspend(|| print_message(&format!("{verdict}: block {number}: {message}")));
    }

    fn next(&self) -> Option<u64> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    fn end(&self) {
        // ORDER: Relaxed: the flag guards no other data; an old value costs one more block.
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        // ORDER: Relaxed: as in `end`.
        self.is_over.load(Ordering::Relaxed)
    }

    fn report(&self) -> MutexGuard<'_, FetchReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FetchReport {
    /// Whether no block is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.proven + self.unproven + self.passed_over == 0
    }

    /// Prints what became of the blocks.
    pub(crate) fn print(&self, out: &Path) {
        let Self { node, proven, unproven, passed_over, contradicted, missing, .. } = self;
        let fetched = counted(proven + unproven, "block");
        let mut line = format!("fetched {fetched} from {node} into {}", out.display());
        let parts = [
            (*unproven, "without proof of the state"),
            (*passed_over, "passed over, because there already"),
            (*contradicted, "failed"),
            (*missing, "not fetched"),
        ];
        for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
            line.push_str(&format!("; {count} {what}"));
        }
        print_remark(&line);
    }

    pub(crate) fn status(&self) -> ExitStatus {
        if self.contradicted > 0 {
            ExitStatus::Failed
        } else if self.is_interrupted {
            ExitStatus::Interrupted
        } else if self.missing > 0 {
            ExitStatus::Unusable
        } else {
            ExitStatus::Verified
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_named_twice_is_fetched_once() {
        assert_eq!(merged(vec![9..=9, 5..=7, 3..=3, 6..=9, 3..=3]), [3..=3, 5..=9]);
    }
}
