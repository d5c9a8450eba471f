//! The boundary between scheduling and execution: the traits of whatever runs one transaction.
//!
//! The scheduler, the gate and the workers know these traits and no EVM.

use blockloom_state::{Conflict, Memory, Portion, Publication, Record, TxIndex, Version, sync::AtomicBool};

/// Runs transactions ahead of the frontier, over the multi-version memory. Each worker has one.
pub(crate) trait Speculator<'m> {
    /// What a run returns beside its read set and its write set.
    type Yield: Send;

    /// Runs a transaction, and writes its read set and write set into `record`, which is empty. Should return
    /// soon after `is_stale` is set. After a panic in a run the speculator is not used again.
    fn run(&mut self, version: Version, is_stale: &'m AtomicBool, record: &mut Record) -> Run<Self::Yield>;
}

/// How a speculative run ended.
#[derive(Debug)]
pub(crate) enum Run<Y> {
    /// It completed, and returned this.
    Ran(Y),
    /// It needs a write that this transaction is expected to make.
    Awaits(TxIndex),
    /// It stopped because it is stale.
    Stale,
    /// It failed, or it needs the committed state. The run at the frontier decides whether the block is
    /// invalid.
    GaveUp,
}

/// A result that knows how much work its run was.
pub(crate) trait Weigh {
    /// The work, in a unit that is the same for all runs.
    fn weight(&self) -> u64;
}

/// The committed state, and the one machine that runs on it. The gate owns it.
pub(crate) trait Committer {
    /// What a speculative run returns beside its read set and its write set.
    type Yield;
    /// Why the block cannot be continued.
    type Error;

    /// Runs a transaction on the committed state and commits it.
    fn run(&mut self, index: TxIndex) -> Result<(), Self::Error>;

    /// Sets whether effects that are committed from now on are kept for [`take_effects`](Self::take_effects),
    /// and whether they are withheld. [`Publication::Off`] drops those that were kept.
    fn set_publication(&mut self, publication: Publication);

    /// Keeps the effects of the record that was validated last and is about to be committed, because they
    /// were not published.
    fn keep_effects(&mut self, record: &Record);

    /// Replaces the content of `effects` by the effects that were kept since the last call.
    fn take_effects(&mut self, memory: &Memory, portion: Portion, effects: &mut Record);

    /// Loads the cache lines of a record that will be validated soon, and of the accounts that it names.
    fn prefetch(&mut self, record: &Record);

    /// The first observation of a record that does not hold in the committed state.
    fn validate(&mut self, record: &Record) -> Option<Conflict>;

    /// Commits what a speculative run recorded and returned. The record was validated last, and holds.
    fn commit(&mut self, index: TxIndex, record: &Record, yielded: Self::Yield) -> Result<(), Self::Error>;
}
