//! How an engine executes: what may be chosen, and what is chosen if nothing is said.
//!
//! Nothing here changes what a block does, only how soon it is done and what else is told of it.

use std::{num::NonZeroUsize, time::Duration};

use crate::threads::pool::Workers;

/// How an engine executes.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many threads execute a block at most, the calling one among them; by default as many as
    /// the machine runs at once. More only help while a base takes its time to answer, and wait for
    /// that. With one, transactions run one after the other on the calling thread.
    pub threads: Option<NonZeroUsize>,
    /// The pool that the other threads are taken from; by default the engine makes one of its own
    /// when it first needs it.
    pub workers: Option<Workers>,
    /// How long the threads of the engine's own pool wait for the next block before they go to sleep, at
    /// most; by default [`PATIENCE`](Self::PATIENCE). They look for it all the time, and lend their core to
    /// whoever wants it; where it never came in time they wait briefly. Waking them up takes about a tenth of
    /// a millisecond, which is much where one block follows the other.
    pub patience: Duration,
    /// Which blocks are worth more than one thread.
    pub spread: Spread,
    /// Whether every run is timed, for the statistics; that takes two looks at a clock for each.
    pub timing: Timing,
    /// Which blocks' outcomes have an access list.
    pub lists: Lists,
    /// Which hints about what a block reads and writes are used.
    pub hints: Hints,
    /// How many accounts and slots are read ahead at once, as far as hints tell of them, from a base
    /// that takes its time to answer. That many threads of the engine's own mostly wait; none is there
    /// while bases answer at once.
    pub readers: usize,
}

/// Which blocks are executed with more than one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// Those where it can pay: the others cost less than waking up a thread.
    #[default]
    WhereItPays,
    /// All of them, for tests.
    Always,
    /// All of them, and who runs ahead sees nothing of what others do: for tests of what is observed.
    Blindfolded,
    /// All of them, and those who run ahead stop telling each other what they do as soon as a few met
    /// nobody: for tests of what is told late.
    Hushed,
}

/// Whether every run of a transaction is timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Only the phases of a block.
    #[default]
    Phases,
    /// Every speculative run.
    Runs,
}

/// Which hints about what a block reads and writes are used. All of them cost or save time, and change
/// nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The access list that comes with a block: transactions start on what it says that those before
    /// them wrote, and what it names is read ahead.
    pub given_lists: Use,
    /// Transactions' own access lists (EIP-2930): what they name is read ahead.
    pub access_lists: Use,
    /// The senders and recipients of transactions: they are read ahead.
    pub parties: Use,
}

/// Whether something is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    /// It is.
    #[default]
    On,
    /// It is not.
    Off,
}

/// Which blocks' access lists (EIP-7928) are produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// Those of blocks whose headers commit to one.
    #[default]
    WhereCommitted,
    /// All of them, under whatever fork.
    Always,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: None,
            workers: None,
            patience: Self::PATIENCE,
            spread: Spread::default(),
            timing: Timing::default(),
            lists: Lists::default(),
            hints: Hints::default(),
            readers: Self::READERS,
        }
    }
}

impl Config {
    /// Long enough for what most clients do between two blocks that they import, and next to
    /// nothing beside the time between two new blocks of a chain.
    pub const PATIENCE: Duration = Duration::from_millis(5);

    /// As many reads as a disk answers at once.
    pub const READERS: usize = 16;

    /// As many threads as said.
    ///
    /// # Panics
    ///
    /// If `threads` is zero.
    pub fn with_threads(threads: usize) -> Self {
        let threads = NonZeroUsize::new(threads).expect("at least the calling thread executes");
        Self { threads: Some(threads), ..Self::default() }
    }

    /// One thread: transactions run one after the other.
    pub fn sequential() -> Self {
        Self::with_threads(1)
    }
}
