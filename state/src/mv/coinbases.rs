//! The accounts that the fees go to: one for each block of a window.
//!
//! Their balances have no versions in the memory: nearly every transaction adds to one, and few read it.

use alloy_primitives::Address;
use smallvec::SmallVec;

use crate::sync::{AtomicBool, Ordering};

/// The coinbases of the blocks that a memory serves, each once, in order of addresses. Most memories have one.
#[derive(Debug, Default)]
pub(super) struct Coinbases(SmallVec<[Coinbase; 1]>);

/// An account that fees go to.
#[derive(Debug)]
pub(crate) struct Coinbase {
    address: Address,
    /// Whether a run published a change of it other than a fee.
    has_changes: AtomicBool,
}

impl Coinbases {
    /// These accounts, without changes.
    pub(super) fn new(addresses: impl IntoIterator<Item = Address>) -> Self {
        let coinbase = |address| Coinbase { address, has_changes: AtomicBool::new(false) };
        let mut coinbases: SmallVec<[Coinbase; 1]> = addresses.into_iter().map(coinbase).collect();
        coinbases.sort_unstable_by_key(|coinbase| coinbase.address);
        coinbases.dedup_by_key(|coinbase| coinbase.address);
        Self(coinbases)
    }

    /// The coinbase with this address, if it is one.
    #[inline]
    pub(super) fn find(&self, address: &Address) -> Option<&Coinbase> {
        let found = self.0.binary_search_by_key(address, |coinbase| coinbase.address);
        found.ok().map(|position| &self.0[position])
    }
}

impl Coinbase {
    /// Whether no run published a change of it other than a fee.
    pub(crate) fn has_only_fees(&self) -> bool {
        // ORDER: Relaxed: a reader that sees an older value reads the old account, and fails validation.
        !self.has_changes.load(Ordering::Relaxed)
    }

    /// Records that a run published a change of it other than a fee.
    pub(super) fn note_change(&self) {
        // ORDER: Relaxed: see `has_only_fees`.
        self.has_changes.store(true, Ordering::Relaxed);
    }
}
