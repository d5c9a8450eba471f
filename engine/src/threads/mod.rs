//! Threads: the pool, its job queue, scoped jobs, and the clock.
//!
//! May import `policy`, for its constants.

pub(crate) mod clock;
pub(crate) mod event_count;
pub(crate) mod idle_timeout;
pub(crate) mod job_queue;
pub(crate) mod pool;
pub(crate) mod scoped_job;
