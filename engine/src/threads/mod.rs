//! Threads: the pool, its job queue, and the clock.
//!
//! Imports nothing of the other folders.

pub(crate) mod clock;
pub(crate) mod event_count;
pub(crate) mod idle_timeout;
pub(crate) mod job_queue;
pub(crate) mod pool;
pub(crate) mod scoped_job;
