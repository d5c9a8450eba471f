//! The integration tests of the state crate, in one binary, so that its dependencies are linked once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod overlay;
