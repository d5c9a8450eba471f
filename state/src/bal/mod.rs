//! Block-level access lists (EIP-7928): the index for readers, the builder, and the differences of two lists.
//!
//! May import `model` and `record`.

pub(crate) mod builder;
pub(crate) mod diff;
pub(crate) mod index;
