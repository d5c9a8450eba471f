//! The `blockloom` command as a user or a script runs it, the generated workloads, and what they show of the engine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod chain;
mod chains;
mod command;
mod cpu_time;
mod ethrex;
mod explain;
mod explanation;
mod exports;
mod fetch;
mod first_use;
mod generate;
mod interrupt;
mod list;
mod manual;
mod output;
mod pages;
mod private_slots;
mod pty;
mod publication;
mod readme;
mod replay;
mod tables;
mod transactions;
mod witness;
mod workloads;
