//! The traps that block executors fall into, each on the real EVM with bytecode written by hand.
//!
//! Every scene is executed sequentially, and then with several thread counts while the base
//! dawdles, so that timing is another each time. All runs must agree in everything, and what they
//! agree on must be what the rules say: the expected facts are computed by hand.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod code;
mod scene;
mod shuffle;

mod accounts;
mod blocks;
mod coinbase;
mod creation;
mod delegation;
mod destruction;
mod given;
mod lists;
mod senders;
mod slots;
mod together;
