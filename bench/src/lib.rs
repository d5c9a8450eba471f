//! What measuring takes: generated blocks, both sides in one process, and what a block allows at most.

pub mod distance;
pub mod limit;
pub mod measure;
pub mod slow;
pub mod workloads;
