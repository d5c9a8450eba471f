//! What one run needs of the state: its read set, as predicates.
//!
//! An observation holds bounds rather than a value wherever bounds are enough.

use alloy_primitives::{B256, U256};

/// Every value between two ends, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T> {
    /// The lower end.
    pub at_least: T,
    /// The upper end.
    pub at_most: T,
}

impl<T: Copy + Ord> Bounds<T> {
    /// This value and no other.
    pub fn exactly(value: T) -> Self {
        Self { at_least: value, at_most: value }
    }

    /// Whether the bounds contain the value.
    #[inline]
    pub fn contain(&self, value: &T) -> bool {
        self.at_least <= *value && *value <= self.at_most
    }

    /// Whether the bounds contain a single value.
    pub fn are_exact(&self) -> bool {
        self.at_least == self.at_most
    }

    /// Excludes lower values.
    pub fn need_at_least(&mut self, value: T) {
        self.at_least = self.at_least.max(value);
    }

    /// Excludes higher values.
    pub fn need_at_most(&mut self, value: T) {
        self.at_most = self.at_most.min(value);
    }
}

impl Bounds<U256> {
    /// Every value.
    pub const ALL: Self = Self { at_least: U256::ZERO, at_most: U256::MAX };
    /// Every balance that no transaction can make overflow. A balance above it is observed exactly.
    pub const BELOW_OVERFLOW: Self =
        Self { at_least: U256::ZERO, at_most: U256::from_limbs([0, 0, 0, 1 << 63]) };
}

impl Bounds<u64> {
    /// Every value.
    pub const ALL: Self = Self { at_least: u64::MIN, at_most: u64::MAX };
}

/// What a run needs of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountObservation {
    /// The balance.
    pub balance: Bounds<U256>,
    /// The nonce.
    pub nonce: Bounds<u64>,
    /// The hash of the code, if the run depends on it.
    pub code_hash: Option<B256>,
    /// Whether the account exists, if the run depends on it.
    pub existence: Option<Existence>,
}

impl AccountObservation {
    /// No need: for effects that are not validated.
    pub const NOTHING: Self =
        Self { balance: Bounds::<U256>::ALL, nonce: Bounds::<u64>::ALL, code_hash: None, existence: None };

    /// The first part of the observation that does not hold in an account.
    #[inline]
    pub fn validate(
        &self,
        balance: &U256,
        nonce: u64,
        code_hash: &B256,
        existence: Existence,
    ) -> Option<Conflict> {
        if !self.balance.contain(balance) {
            Some(Conflict::Balance)
        } else if !self.nonce.contain(&nonce) {
            Some(Conflict::Nonce)
        } else if self.code_hash.is_some_and(|needed| needed != *code_hash) {
            Some(Conflict::Code)
        } else if self.existence.is_some_and(|needed| needed != existence) {
            Some(Conflict::Existence)
        } else {
            None
        }
    }
}

/// Whether an account exists. An existing account may be empty (EIP-161).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// The account exists.
    Exists,
    /// The account does not exist.
    Absent,
}

impl Existence {
    /// `Exists` for `Some`.
    pub fn of<T>(account: Option<&T>) -> Self {
        account.map_or(Self::Absent, |_| Self::Exists)
    }
}

/// Where a value comes from that a run read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The base holds it.
    #[default]
    Base,
    /// A transaction of the block wrote it, or is predicted to.
    Block,
}

impl Origin {
    /// The common origin of two values: the base only if both come from the base.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Base { other } else { self }
    }
}

/// The part of a read set that does not hold any more: the run is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A balance is out of its bounds.
    Balance,
    /// A nonce is out of its bounds.
    Nonce,
    /// An account has another code.
    Code,
    /// An account exists and should not, or the other way round.
    Existence,
    /// A slot holds another value.
    Slot,
    /// Unknown: the base cannot be read.
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_narrow_and_never_widen() {
        let mut bounds = Bounds { at_least: 0u64, at_most: 100 };
        bounds.need_at_least(10);
        bounds.need_at_least(5);
        bounds.need_at_most(20);
        bounds.need_at_most(30);
        assert_eq!(bounds, Bounds { at_least: 10, at_most: 20 });
        assert!(bounds.contain(&10) && bounds.contain(&20) && !bounds.contain(&9) && !bounds.contain(&21));
        assert!(!bounds.are_exact() && Bounds::exactly(3).are_exact());
    }

    #[test]
    fn an_account_must_have_every_part_of_what_a_run_observed() {
        let (balance, nonce, code_hash) = (U256::from(5), 3, B256::repeat_byte(7));
        let observed = AccountObservation {
            balance: Bounds::exactly(balance),
            nonce: Bounds::exactly(nonce),
            code_hash: Some(code_hash),
            existence: Some(Existence::Exists),
        };
        let exists = Existence::Exists;
        assert_eq!(observed.validate(&balance, nonce, &code_hash, exists), None);
        let other = U256::from(6);
        assert_eq!(observed.validate(&other, nonce, &code_hash, exists), Some(Conflict::Balance));
        assert_eq!(observed.validate(&balance, 4, &code_hash, exists), Some(Conflict::Nonce));
        assert_eq!(observed.validate(&balance, nonce, &B256::ZERO, exists), Some(Conflict::Code));
        let absent = observed.validate(&balance, nonce, &code_hash, Existence::Absent);
        assert_eq!(absent, Some(Conflict::Existence));
        assert_eq!(AccountObservation::NOTHING.validate(&other, 4, &B256::ZERO, Existence::Absent), None);
    }
}
