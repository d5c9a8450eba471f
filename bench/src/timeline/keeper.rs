//! Keeps the traces of executions for pictures.

use std::sync::{Mutex, PoisonError};

use blockloom_engine::{Trace, TraceObserver};

/// Keeps the traces of executions, as long as they have few enough events.
#[derive(Debug, Default)]
pub struct TraceKeeper(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    traces: Vec<Trace>,
    events: usize,
}

impl TraceKeeper {
    /// No trace is kept after so many events.
    pub const MOST_EVENTS: usize = 1 << 20;

    /// The traces, in the order of the executions. It is empty afterwards.
    pub fn take(&self) -> Vec<Trace> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).traces
    }
}

impl TraceObserver for TraceKeeper {
    fn executed(&self, trace: &Trace) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.events < Self::MOST_EVENTS {
            kept.events += trace.threads.iter().map(|thread| thread.events.len()).sum::<usize>();
            kept.traces.push(trace.clone());
        }
    }
}
