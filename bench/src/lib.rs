//! Generated blocks, measurements of sequential against parallel execution, and the limit of a block's parallelism.

pub mod calibration;
pub mod comparison;
pub mod core_latency;
pub mod cpu_time;
pub mod delayed_base;
pub mod explanation;
pub mod limit;
pub mod lost_runs;
pub mod resampling;
pub mod rounds;
pub mod split;
pub mod timeline;
pub mod times;
pub mod workloads;
