//! When the effects of runs become visible to speculative runs.

/// When the effects of runs become visible to speculative runs. It changes time, never an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// Speculative runs publish when they end, the gate when it has committed a batch.
    Immediate,
    /// No speculative run is expected soon. The gate keeps what it commits, and publishes it when speculation
    /// resumes.
    Deferred,
    /// Speculative runs neither publish nor read what others published. The gate withholds what it commits,
    /// and publishes a growing portion of it each time a stale record shows that one was missed.
    OnMiss,
    /// Nothing is kept or published: publishing would take longer than it can save.
    Off,
}

/// Whether all effects of a run were published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Published {
    /// All of them.
    #[default]
    All,
    /// Some or none of them.
    Partly,
}

/// Which of the pending effects are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// Those that are not withheld.
    Recent,
    /// Those, and a portion of the withheld ones: each time twice as many as before.
    RecentAndWithheld,
}
