//! Chains through reth's own traits: in parallel, and by reth's own executors.

mod bases;
mod chain;
mod executors;
mod mainnet;
mod payloads;
mod readme;
