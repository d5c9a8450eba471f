//! Known traps of block executors, each on the real EVM with bytecode written by hand.
//!
//! Each scenario is executed sequentially, and then with several thread counts on a base with random
//! delays, so that the timing differs each time. All executions must yield the same, and the result
//! must equal the expected values, which are computed by hand from the protocol's rules.

mod code;
mod differential;
mod scenario;

mod access_lists;
mod accounts;
mod ahead;
mod blocks;
mod coinbase;
mod combined;
mod creation;
mod delegation;
mod destruction;
mod huge_balances;
mod lives;
mod senders;
mod slots;
mod storage_only;
