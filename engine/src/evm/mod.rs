//! The binding to revm's interpreter, which no other folder names.
//!
//! May import `block`, `parallel` (its traits) and `threads`.

pub(crate) mod eip7610;
pub(crate) mod handling;
pub(crate) mod machine;
pub(crate) mod speculator;
pub(crate) mod tracked_db;
pub(crate) mod transaction;
pub(crate) mod warm_up;
pub(crate) mod watch;

/// An EVM on the committed state inside a block.
pub(crate) type CommittedMachine<'a, B, H, W = ()> = machine::Machine<'a, blockloom_state::Overlay<B>, H, W>;

/// The committed state that an inspected transaction runs on: a database of revm. Reads fall through to the base `B`.
pub type InspectedState<'a, B> = blockloom_state::Overlay<blockloom_state::CachedBase<'a, B>>;
