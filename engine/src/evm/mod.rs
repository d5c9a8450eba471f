//! The binding to revm's interpreter. No other folder names it.

mod collision;
mod ground;
mod handling;
mod machine;
mod speculator;
mod transaction;

pub use handling::{Handling, HandlingError, Mainnet};
pub(crate) use machine::{Failure, Machine};
pub(crate) use speculator::EvmSpeculator;

/// A machine on the committed state inside a block.
pub(crate) type CommittedMachine<'a, B, H> = Machine<'a, blockloom_state::Overlay<B>, H>;
