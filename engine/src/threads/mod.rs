//! Threads: the pool, its job queue, scoped jobs, and the clock.
//!
//! Imports no other folder of this crate.

pub(crate) mod clock;
pub(crate) mod event_count;
pub(crate) mod idle_timeout;
pub(crate) mod job_queue;
pub(crate) mod pool;
pub(crate) mod scoped_job;
