//! Every tuning constant of the engine: its unit, what it trades, and the benchmark that defends it.
//!
//! Imports nothing, so that every folder may import it. None of these changes what a block yields. The benchmarks are
//! those of `blockloom bench`, with two threads where nothing else is said; REAL are the real mainnet blocks.

use std::time::Duration;

// The cost model: whether helpers pay.

/// In nanoseconds for each gas that a transaction may use: faster than nearly every block. With it a block whose gas
/// alone pays for helpers starts with them. A higher value starts more blocks at once, and some of them in vain.
/// Benchmark: REAL, mean and worst block.
pub(crate) const MIN_NANOS_PER_GAS: f64 = 0.05;

/// The same, slower than most blocks: the longest time that a measurement may claim, because a thread that lost its
/// core measures nonsense. A lower value leaves more small blocks to the calling thread.
/// Benchmark: REAL, worst block.
pub(crate) const MAX_NANOS_PER_GAS: f64 = 0.2;

/// In nanoseconds: the cost of recording, publishing and validating one transaction, on both threads. A higher value
/// leaves blocks of many small transactions to the calling thread.
/// Benchmark: REAL, mean.
pub(crate) const NANOS_PER_RECORD: f64 = 3e3;

/// In nanoseconds: what helpers that are awake must take over to pay. A lower value helps small blocks, and loses more
/// in those that turn out sequential.
/// Benchmark: REAL, mean and worst block.
pub(crate) const HELP_NANOS_AWAKE: f64 = 80e3;

/// The same of helpers that sleep: waking one takes up to a tenth of a millisecond, and its core is slow at first.
/// Benchmark: REAL, worst block, with pauses between the blocks.
pub(crate) const HELP_NANOS_ASLEEP: f64 = 300e3;

/// The share of the gas of payments that helpers take over: running one ahead takes nearly as long as it saves.
/// Benchmark: `transfers`.
pub(crate) const PAYMENT_WEIGHT: f64 = 0.3;

// Batches: what is handed out together.

/// In gas: the most that the transactions of a batch may use together, and that one transaction is expected to use. A
/// transaction that may use more is long: it starts early and alone. Larger batches cost less to hand out, and make a
/// worse balance of the threads.
/// Benchmark: `erc20`, `swaps`, REAL.
pub(crate) const BATCH_GAS: u64 = 300_000;

/// The most payments in a batch. More cost less to hand out, and waste more when one of them is stale.
/// Benchmark: `transfers`.
pub(crate) const MAX_PAYMENTS: usize = 16;

/// The fewest payments in a batch that is handed out: fewer cost more than they save.
/// Benchmark: `transfers`, REAL.
pub(crate) const MIN_PAYMENTS: usize = 8;

// The window: how far past the frontier speculation may run.

/// In batches: the reach at the start of a block. A larger one fills more threads at once, and wastes more in a block
/// that is sequential.
/// Benchmark: REAL, `transfers --shape chain`.
pub(crate) const START_REACH: usize = 32;

/// In batches for each thread: the largest reach. It bounds how many records are held at once: a larger one finds more
/// parallelism behind a long transaction, and fills the caches.
/// Benchmark: `swaps`, REAL.
pub(crate) const MAX_REACH_PER_THREAD: usize = 64;

/// In commits: the first pause of a closed window. A longer one wastes less in a sequential block, and finds a parallel
/// part of a block later.
/// Benchmark: `mixed --shape hot`, `swaps --shape chain`.
pub(crate) const MIN_PAUSE: usize = 4;

/// The same, the longest pause.
/// Benchmark: `transfers --shape chain --gas 1G`.
pub(crate) const MAX_PAUSE: usize = 4096;

/// In commits: effects that are committed during this or a longer pause are not published. Publishing them costs more
/// than the few that matter after the pause save.
/// Benchmark: `transfers --shape chain --gas 1G`, `erc20 --shape chain`.
pub(crate) const LONG_PAUSE: usize = 512;

// Publication: when writes become visible to speculative runs.

/// In committed records: after this number without a conflict, publication is withheld. A lower value saves more in
/// independent blocks, and costs re-execution in those that look independent at first.
/// Benchmark: `transfers`, `erc20`, REAL.
pub(crate) const WITHHOLD_AFTER: u64 = 128;

/// In committed records: a missed write costs as much as withholding saves in this number of records.
/// Benchmark: `erc20 --shape hot`, REAL.
pub(crate) const MISS_PRICE: u64 = 64;

/// A factor: how many more records the next withholding needs each time. A higher one stops changing sooner.
/// Benchmark: REAL.
pub(crate) const WITHHOLD_GROWTH: u64 = 2;

// Threads: how long they wait before they sleep.

/// The longest time that a thread of the engine's own pool waits for the next block: long enough for the work of most
/// clients between two blocks that they import, and short beside the time between two new blocks of a chain. A longer
/// one burns a core for longer, a shorter one wakes threads up more often.
/// Benchmark: `blockloom chain --import`.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_millis(5);

/// In expirations in a row: after them the timeout is short.
/// Benchmark: REAL, the processor time.
pub(crate) const EXPIRATIONS_UNTIL_SHORT: u32 = 4;

/// A factor: the long timeout by the short one.
/// Benchmark: REAL, the processor time.
pub(crate) const LONG_BY_SHORT: u32 = 16;

/// In reads of the event count: how long a thread without a batch watches before it sleeps. Waking a thread takes some
/// microseconds, about as long as this. The model checker needs one read.
/// Benchmark: REAL, `swaps`.
pub(crate) const SPINS_BEFORE_SLEEP: u32 = if cfg!(feature = "shuttle") { 1 } else { 150 };

/// In pauses of the core between two reads of the count: each read takes the cache line away from the thread that
/// writes it.
/// Benchmark: `transfers`.
pub(crate) const PAUSES_PER_SPIN: u32 = if cfg!(feature = "shuttle") { 1 } else { 16 };

/// In reads of the event count: after them a thread without a job looks at the clock and yields its core.
/// Benchmark: REAL.
pub(crate) const READS_PER_YIELD: u32 = 64;

// Memory and the base.

/// In accounts: the first capacity of the overlay for each transaction, about what one of a mainnet block touches first.
/// Growing moves all accounts.
/// Benchmark: REAL, the sequential side.
pub(crate) const ACCOUNTS_PER_TRANSACTION: usize = 3;

/// In reads: how many a disk answers at once.
/// Benchmark: `--read-latency-us 50`.
pub(crate) const PREFETCH_THREADS: usize = 16;
