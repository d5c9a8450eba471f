//! Spans, events and metrics of executions, behind the features `tracing` and `metrics`. Without a feature, its part of each
//! function here is empty.
//!
//! `engine/README.md` lists the names.

#[cfg(feature = "metrics")]
use std::time::Duration;

use blockloom_state::{TxIndex, Version};

use crate::block::{error::BlockError, outcome::Outcome, steps::Steps};

/// The span of an execution. Its clones are for other threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExecutionSpan {
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
}

impl ExecutionSpan {
    /// The span of an execution that begins.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(clippy::missing_const_for_fn, reason = "with the feature it is none")
    )]
    pub(crate) fn of(steps: &Steps<'_>) -> Self {
        #[cfg(not(feature = "tracing"))]
        let _ = steps;
        Self {
            #[cfg(feature = "tracing")]
            span: Some(tracing::info_span!(
                target: "blockloom",
                "execute",
                block = steps.blocks()[0].number(),
                blocks = steps.blocks().len(),
                steps = steps.len(),
                threads = tracing::field::Empty,
                incarnations = tracing::field::Empty,
                error = tracing::field::Empty,
            )),
        }
    }

    /// Does `work` inside the span.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        let _entered = self.span.as_ref().map(tracing::Span::enter);
        work()
    }

    /// Whether aborts are events of it.
    pub(crate) fn shows_aborts(&self) -> bool {
        #[cfg(feature = "tracing")]
        return self.span.is_some() && tracing::enabled!(target: "blockloom", tracing::Level::DEBUG);
        #[cfg(not(feature = "tracing"))]
        false
    }

    /// A write of `by` aborted the latest run of a transaction.
    pub(crate) fn aborted(&self, by: Version, stale: TxIndex) {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            let (writer, stale) = (by.index.get(), stale.get());
            tracing::debug!(target: "blockloom", parent: span, writer, stale, "a run was aborted");
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (by, stale);
    }

    /// The execution has ended.
    pub(crate) fn executed(&self, outcome: &Outcome, time: impl FnOnce() -> std::time::Duration) {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            span.record("threads", outcome.statistics.threads_used);
            span.record("incarnations", outcome.statistics.incarnations);
        }
        #[cfg(feature = "metrics")]
        record_execution(outcome, time());
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        let _ = outcome;
        #[cfg(not(feature = "metrics"))]
        let _ = time;
    }

    /// The execution has failed.
    pub(crate) fn failed(&self, error: &BlockError) {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            span.record("error", tracing::field::display(error));
        }
        #[cfg(feature = "metrics")]
        metrics::counter!("blockloom.execution.failures_total").increment(1);
        #[cfg(not(feature = "tracing"))]
        let _ = error;
    }
}

/// A block was executed, alone or in a stream.
pub(crate) fn block_executed(outcome: &Outcome) {
    #[cfg(feature = "metrics")]
    {
        metrics::counter!("blockloom.execution.blocks_total").increment(1);
        metrics::counter!("blockloom.execution.transactions_total").increment(outcome.receipts.len() as u64);
        metrics::counter!("blockloom.execution.gas_processed_total").increment(outcome.gas_used);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = outcome;
}

#[cfg(feature = "metrics")]
fn record_execution(outcome: &Outcome, time: Duration) {
    use metrics::{counter, histogram};

    let counted = &outcome.statistics;
    histogram!("blockloom.execution.execution_histogram").record(time);
    histogram!("blockloom.execution.threads_used").record(counted.threads_used as f64);
    for (phase, time) in [
        ("opening", counted.phases.opening),
        ("transactions", counted.phases.transactions),
        ("closing", counted.phases.closing),
    ] {
        histogram!("blockloom.execution.phase_histogram", "phase" => phase).record(time);
    }
    let speculative = counted.incarnations.saturating_sub(counted.at_gate);
    for (kind, runs) in [("speculative", speculative), ("gate", counted.at_gate)] {
        counter!("blockloom.execution.runs_total", "kind" => kind).increment(runs);
    }
    for (cause, runs) in [
        ("stale_at_gate", counted.stale_at_gate.total()),
        ("stale_before_gate", counted.stale_before_gate),
        ("awaited", counted.awaited),
        ("gave_up", counted.gave_up),
        ("panicked", counted.panics),
    ] {
        counter!("blockloom.execution.lost_runs_total", "cause" => cause).increment(runs);
    }
    counter!("blockloom.execution.waits_total").increment(counted.waits);
    counter!("blockloom.execution.prefetched_total").increment(counted.prefetched);
}
