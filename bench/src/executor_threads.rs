//! The option `--threads`: the executor of a block, and its number of threads.

use std::num::NonZeroUsize;

use blockloom_engine::Config;

/// The executor of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The sequential executor.
    Sequential,
    /// The engine with this many threads.
    Parallel(NonZeroUsize),
}

impl Threads {
    /// The number of threads; 0 for the sequential executor.
    pub(crate) fn number(self) -> usize {
        match self {
            Self::Sequential => 0,
            Self::Parallel(threads) => threads.get(),
        }
    }

    /// The number of threads that are busy while a block is executed.
    pub(crate) fn busy(self) -> usize {
        self.number().max(1)
    }

    pub(crate) fn config(self) -> Config {
        match self {
            Self::Sequential => Config::sequential(),
            Self::Parallel(threads) => Config { threads: Some(threads), ..Config::default() },
        }
    }
}

/// More threads than this are taken for a typing error.
const MOST_THREADS: usize = 1024;

/// Parses a number of threads.
pub(crate) fn threads(text: &str) -> Result<Threads, String> {
    match text.parse() {
        Ok(threads) if threads > MOST_THREADS => {
            Err(format!("the number of threads is at most {MOST_THREADS}"))
        }
        Ok(threads) => Ok(NonZeroUsize::new(threads).map_or(Threads::Sequential, Threads::Parallel)),
        Err(_) => Err("expected a number of threads".to_owned()),
    }
}

/// As many threads as the machine has cores.
pub(crate) fn machine_threads() -> Threads {
    Threads::Parallel(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}
