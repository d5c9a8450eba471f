//! Index spaces: transactions, incarnations, the access index, and the ids of accounts.
//!
//! Each space has a type of its own, so that the compiler rejects a number of another space.

use std::fmt;

use revm_state::AccountId;

/// A transaction's index in its block, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxIndex(u32);

impl TxIndex {
    /// The index of the `position`-th transaction.
    ///
    /// # Panics
    ///
    /// If it is 2^32 or more.
    pub fn new(position: usize) -> Self {
        Self(u32::try_from(position).expect("a block has fewer than 2^32 transactions"))
    }

    /// The index as a position in a list of the block's transactions.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for TxIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a run of a transaction; the first is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(u32);

impl Incarnation {
    /// The first run.
    pub const FIRST: Self = Self(0);

    /// The run after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a transaction is not run 2^32 times"))
    }

    /// How many runs of the transaction came before.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The writer of a value: a transaction and one of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The transaction.
    pub index: TxIndex,
    /// Its run.
    pub incarnation: Incarnation,
}

/// The block access index of EIP-7928, in 32 bits: 0 for what happens before the transactions, `i + 1`
/// for transaction `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessIndex(u32);

impl AccessIndex {
    /// What happens before the first transaction.
    pub const OPENING: Self = Self(0);

    /// The transaction; `None` before the first one.
    pub fn index(self) -> Option<TxIndex> {
        self.0.checked_sub(1).map(TxIndex)
    }

    /// The index as a number, for an atomic.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// The index with a number from [`get`](Self::get).
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

impl From<TxIndex> for AccessIndex {
    fn from(index: TxIndex) -> Self {
        Self(index.0.checked_add(1).expect("a block has fewer than 2^32 - 1 transactions"))
    }
}

/// Defines index spaces of accounts, with ids that fit into revm's [`AccountId`].
macro_rules! account_ids {
    ($($(#[$doc:meta])* $visibility:vis $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            $visibility struct $name(AccountId);

            impl $name {
                /// The id with this number.
                ///
                /// # Panics
                ///
                /// If it is 2^32 - 1 or more.
                #[inline]
                $visibility fn new(number: usize) -> Self {
                    Self(AccountId::new(number).expect("there are fewer than 2^32 - 1 accounts"))
                }

                /// The number.
                #[inline]
                $visibility const fn get(self) -> usize {
                    self.0.get()
                }
            }
        )*
    };
}

/// Lets revm carry the ids of an index space in [`AccountInfo`](revm_state::AccountInfo).
macro_rules! carried_by_revm {
    ($($visibility:vis $name:ident),*) => {
        $(
            impl $name {
                /// The id that revm carried. The caller knows that it belongs to this space.
                #[inline]
                $visibility const fn from_revm(id: AccountId) -> Self {
                    Self(id)
                }

                /// The id for revm to carry.
                #[inline]
                $visibility const fn into_revm(self) -> AccountId {
                    self.0
                }
            }
        )*
    };
}

account_ids! {
    /// The id that the base gives to an account, and that a slot read hands back to the base.
    pub BaseAccountId;
    /// The id of an account in the multi-version memory.
    pub MemoryAccountId;
    /// The position of an account in an overlay.
    pub(crate) OverlayAccountId;
    /// The position of an account among the accounts that a run tracks.
    pub(crate) TrackedAccountId;
    /// The position of an account in a block's access list.
    pub(crate) ListAccountId;
}

carried_by_revm!(pub BaseAccountId, pub MemoryAccountId, pub(crate) OverlayAccountId, pub(crate) TrackedAccountId);
