//! Why a speculative run stopped before its end.

use revm_database_interface::DBErrorMarker;

use crate::model::index::TxIndex;

/// Why a speculative run stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt<E> {
    /// The base cannot be read.
    #[error("the base cannot be read")]
    Base(E),
    /// The run needs a value that this transaction is predicted to write.
    #[error("it awaits transaction {0}")]
    Awaits(TxIndex),
    /// The run was marked as stale.
    #[error("the run is stale")]
    Stale,
    /// The run needs a value that only the committed state has.
    #[error("it needs the committed state")]
    NeedsFrontier,
}

impl<E: std::error::Error + Send + Sync + 'static> DBErrorMarker for Interrupt<E> {}
