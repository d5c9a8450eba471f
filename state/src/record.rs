//! What one run of a transaction observed of the state, and what it does to it.
//!
//! Plain data, made by a run and judged later. An observation says what the run needs: bounds
//! rather than values wherever bounds are enough. An effect sets or adds.

use alloy_primitives::{Address, B256, U256};
use revm_state::{Account as EvmAccount, AccountId, AccountInfo, Bytecode};
use smallvec::SmallVec;

use crate::{Account, Payment};

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

    /// Whether it is one of the values.
    #[inline]
    pub fn contain(&self, value: &T) -> bool {
        self.at_least <= *value && *value <= self.at_most
    }

    /// Whether there is only one value left.
    pub fn are_exact(&self) -> bool {
        self.at_least == self.at_most
    }

    /// Leaves out what is lower.
    pub fn need_at_least(&mut self, value: T) {
        self.at_least = self.at_least.max(value);
    }

    /// Leaves out what is higher.
    pub fn need_at_most(&mut self, value: T) {
        self.at_most = self.at_most.min(value);
    }
}

impl Bounds<U256> {
    /// Every value.
    pub const ALL: Self = Self { at_least: U256::ZERO, at_most: U256::MAX };
    /// Every balance that no transaction can make overflow. One above is observed as it is.
    pub const UNLESS_HUGE: Self =
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
    /// The hash of the code, if that matters.
    pub code_hash: Option<B256>,
    /// Whether it exists, if that matters.
    pub existence: Option<Existence>,
}

/// Whether an account exists. An existing account may be empty (EIP-161).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// It does.
    Exists,
    /// It does not.
    Absent,
}

impl Existence {
    /// `Exists` if there is something.
    pub fn of<T>(account: Option<&T>) -> Self {
        account.map_or(Self::Absent, |_| Self::Exists)
    }
}

/// What a run does to a balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BalanceEffect {
    /// Nothing.
    #[default]
    Keep,
    /// It is this from now on.
    Set(U256),
    /// It grows.
    Add(U256),
    /// It shrinks; the run observed that there is enough.
    Subtract(U256),
}

impl BalanceEffect {
    /// The balance after the effect. Exact if the observations of the run hold; otherwise a guess
    /// that nobody relies on.
    #[inline]
    pub fn on(self, balance: U256) -> U256 {
        match self {
            Self::Keep => balance,
            Self::Set(new) => new,
            Self::Add(gain) => balance.saturating_add(gain),
            Self::Subtract(loss) => balance.saturating_sub(loss),
        }
    }
}

/// What a transaction does to the life of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The account lives on, or comes to be without ever having had storage.
    Lives,
    /// A new life begins, with empty storage.
    Begins,
    /// The account is no more.
    Ends,
}

/// What a run does to an account apart from its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEffect {
    /// What becomes of its life. If it ends, the rest means nothing.
    pub fate: Fate,
    /// What becomes of its balance.
    pub balance: BalanceEffect,
    /// The new nonce, if it changes.
    pub nonce: Option<u64>,
    /// The new code and its hash, if it changes.
    pub code: Option<(B256, Bytecode)>,
}

/// An account of a [`Record`] of which more is needed than of a [`Payment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub address: Address,
    /// What the multi-version memory calls it, where that is known.
    pub id: Option<AccountId>,
    /// What the run needs of it.
    pub observed: AccountObservation,
    /// What the run does to it.
    pub effect: Option<AccountEffect>,
}

/// Where a value comes from that a run read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// It is what the base holds.
    #[default]
    Base,
    /// The block put it there, as far as known.
    Block,
}

impl Origin {
    /// Where two things come from that come from here and there.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Base { other } else { self }
    }
}

/// A slot that a run read from under its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotObservation {
    /// The position of its account in the record.
    pub account: u32,
    /// The slot.
    pub key: U256,
    /// The exact value.
    pub value: U256,
    /// Where it comes from.
    pub origin: Origin,
}

/// A slot that a run writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// The position of its account in the record.
    pub account: u32,
    /// The slot.
    pub key: U256,
    /// The value before the run.
    pub original: U256,
    /// The value after it.
    pub value: U256,
}

impl SlotRecord {
    /// The slots of an account that a run changed; `position` is that of the account in the record.
    pub(crate) fn changed(position: usize, account: &EvmAccount) -> impl Iterator<Item = Self> {
        let position = u32::try_from(position).expect("a transaction touches fewer than 2^32 accounts");
        account.changed_storage_slots().map(move |(key, slot)| Self {
            account: position,
            key: *key,
            original: slot.original_value,
            value: slot.present_value,
        })
    }
}

/// A slot that a run accessed in an account that it created, or tried to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// The position of its account in the record.
    pub account: u32,
    /// The slot.
    pub key: U256,
}

/// The code of an account whose code was changed.
///
/// # Panics
///
/// If the code is not at hand: one that does not belong to its hash must not be told of.
pub(crate) fn code_of(info: &AccountInfo) -> (B256, Bytecode) {
    assert!(info.code.is_some() || info.is_empty_code_hash(), "a code that changed is at hand");
    (info.code_hash, info.code.clone().unwrap_or_default())
}

/// Who pays, who is paid, and who gets the fee.
const PAYMENTS_OF_A_TRANSFER: usize = 3;

/// What one run observed, and what it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Accounts that only pay or are paid. Nobody is told of what happens to them. Those of a transfer
    /// lie in the record itself: what the gate fetches from another core is one piece then.
    pub payments: SmallVec<[Payment; PAYMENTS_OF_A_TRANSFER]>,
    /// Every other account that was looked at or changed, once.
    pub accounts: Vec<AccountRecord>,
    /// Every slot that was read from under the transaction.
    pub reads: Vec<SlotObservation>,
    /// Every slot that was accessed in accounts that the run created, or tried to. Once they were made
    /// it was empty, whatever lay under the transaction: such a slot need not be among the reads.
    pub created: Vec<CreatedSlot>,
    /// Every slot that changes.
    pub writes: Vec<SlotRecord>,
    /// Where what it read comes from: the base if all of it does.
    pub origin: Origin,
}

impl Record {
    /// Forgets everything but the room.
    pub fn clear(&mut self) {
        self.payments.clear();
        self.accounts.clear();
        self.reads.clear();
        self.created.clear();
        self.writes.clear();
        self.origin = Origin::Base;
    }
}

/// What no longer holds of what a run observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
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
    /// Nobody knows: the base cannot be read.
    Unreadable,
}

impl Fate {
    /// What becomes of an account that a run touched, and that existed before it or did not.
    ///
    /// revm has already turned the rules from before EIP-161 into those after it: whoever is
    /// touched, empty and not created is gone.
    pub(crate) fn of(account: &EvmAccount, existed: Existence) -> Self {
        let is_cleared = account.is_empty() && !account.is_created() && existed == Existence::Exists;
        if account.is_selfdestructed() || is_cleared {
            Self::Ends
        } else if account.is_created() {
            Self::Begins
        } else {
            Self::Lives
        }
    }
}

impl AccountEffect {
    /// Whether it does anything.
    pub fn is_any(&self) -> bool {
        self.fate != Fate::Lives
            || self.balance != BalanceEffect::Keep
            || self.nonce.is_some()
            || self.code.is_some()
    }

    /// Does it to an account, and to its code where that is at hand.
    #[inline]
    pub(crate) fn apply_to(&self, account: &mut Option<Account>, known: &mut Option<Bytecode>) {
        if self.fate == Fate::Ends {
            (*account, *known) = (None, None);
            return;
        }
        let account = account.get_or_insert(Account::EMPTY);
        account.balance = self.balance.on(account.balance);
        if let Some(nonce) = self.nonce {
            account.nonce = nonce;
        }
        if let Some((hash, code)) = &self.code {
            (account.code_hash, *known) = (*hash, Some(code.clone()));
        }
    }

    /// Does it to an account.
    #[inline]
    pub fn apply(&self, info: &mut Option<AccountInfo>) {
        if self.fate == Fate::Ends {
            *info = None;
            return;
        }
        let info = info.get_or_insert_default();
        info.balance = self.balance.on(info.balance);
        if let Some(nonce) = self.nonce {
            info.nonce = nonce;
        }
        if let Some((hash, code)) = &self.code {
            info.code_hash = *hash;
            info.code = Some(code.clone());
        }
    }
}

impl AccountObservation {
    /// Nothing: for effects whose run needs no judging.
    pub const NOTHING: Self =
        Self { balance: Bounds::<U256>::ALL, nonce: Bounds::<u64>::ALL, code_hash: None, existence: None };

    /// What does not hold of it in an account.
    #[inline]
    pub fn staleness(
        &self,
        balance: &U256,
        nonce: u64,
        code_hash: &B256,
        existence: Existence,
    ) -> Option<Staleness> {
        if !self.balance.contain(balance) {
            Some(Staleness::Balance)
        } else if !self.nonce.contain(&nonce) {
            Some(Staleness::Nonce)
        } else if self.code_hash.is_some_and(|needed| needed != *code_hash) {
            Some(Staleness::Code)
        } else if self.existence.is_some_and(|needed| needed != existence) {
            Some(Staleness::Existence)
        } else {
            None
        }
    }
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
}
