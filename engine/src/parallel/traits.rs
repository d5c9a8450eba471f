//! The seam between scheduling and execution: who runs one transaction.
//!
//! The scheduler, the gate and the workers know these two traits and no EVM.

use blockloom_state::{Keeping, Memory, Record, Share, Conflict, TxIndex, Version, sync::AtomicBool};

/// Runs transactions ahead of the frontier, over the multi-version memory. Each worker has one.
pub(crate) trait Speculator<'m> {
    /// What a run returns beside its observations and effects.
    type Yield: Send;

    /// Runs a transaction, and writes what it observed and does into `record`, which is empty. Should
    /// break off soon after `unwanted` is set. After a panic in a run it is not used again.
    fn run(&mut self, version: Version, unwanted: &'m AtomicBool, record: &mut Record) -> Run<Self::Yield>;
}

/// How a speculative run ended.
#[derive(Debug)]
pub(crate) enum Run<Y> {
    /// It came to its end, and returned this.
    Ran(Y),
    /// It needs what this transaction is expected to write.
    Awaits(TxIndex),
    /// It was told to break off.
    Unwanted,
    /// It failed, or needs what only the committed state has. Whether that is the block's fault
    /// turns out at the frontier.
    GaveUp,
}

/// Something that says how much it took to come to it.
pub(crate) trait Weigh {
    /// As much as that; to be compared with others.
    fn weight(&self) -> u64;
}

/// The committed state, and the one machine that runs on it. The gate has it.
pub(crate) trait Committer {
    /// What a speculative run returns beside its observations and effects.
    type Yield;
    /// Why the block cannot go on.
    type Error;

    /// Runs a transaction on the committed state and commits it.
    fn run(&mut self, index: TxIndex) -> Result<(), Self::Error>;

    /// Says whether effects of runs here, and of what it adopts, are kept from now on. Those that were kept
    /// are forgotten if they are not.
    fn keep(&mut self, keeping: Keeping);

    /// Keeps the effects of the record that was judged last, as if it had run here: it is about to be
    /// committed, and nobody was told of it.
    fn adopt(&mut self, record: &Record);

    /// Puts the effects that were kept since the last call in place of what is in `effects`.
    fn take_effects(&mut self, memory: &Memory, share: Share, effects: &mut Record);

    /// Looks at a record that is going to be judged soon, and at what it is about.
    fn fetch(&mut self, record: &Record);

    /// What of a record does not hold in the committed state.
    fn judge(&mut self, record: &Record) -> Option<Conflict>;

    /// Commits what a speculative run recorded and returned. Its record was judged last, and holds.
    fn commit(&mut self, index: TxIndex, record: &Record, yielded: Self::Yield) -> Result<(), Self::Error>;
}
