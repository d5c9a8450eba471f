//! What a run needs of an account that only pays or is paid, and what it does to it.
//!
//! Most accounts of most runs are such. The gate fetches what it judges from another core, line by
//! line: a payment takes a third of the room of an [`AccountRecord`](crate::AccountRecord), and brings
//! along what the base holds, so that nobody has to look that up again.

use alloy_primitives::{Address, KECCAK256_EMPTY, U256};

use crate::{
    model::account::Account,
    record::record::{AccountEffect, AccountObservation, BalanceEffect, Bounds, Existence, LifeChange, Conflict},
};

/// An account without code, of which a run needs no more than that it has enough, and to which
/// nothing happens but that it pays, is paid, or counts a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    at_least: u128,
    amount: u128,
    base_balance: u128,
    base_nonce: u64,
    nonce: NonceNeed,
    address: Address,
    flow: Flow,
    existence: Option<Existence>,
    base: Base,
}

/// Which way the money goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    None,
    In,
    Out,
}

/// What is needed of the nonce, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NonceNeed {
    AtLeast(u64),
    Exactly(u64),
    /// Exactly this; it is one more afterwards.
    Counts(u64),
}

/// What is known of the account in the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Unknown,
    Absent,
    Exists,
}

impl Payment {
    /// What these observations and effects are as a payment, if they are one; `base` is the account as
    /// the base has it, if that is known.
    pub fn of(
        address: Address,
        observed: &AccountObservation,
        effect: Option<&AccountEffect>,
        base: Option<Option<Account>>,
    ) -> Option<Self> {
        let is_usual = observed.code_hash == Some(KECCAK256_EMPTY)
            && observed.balance.at_most == Bounds::<U256>::BELOW_OVERFLOW.at_most;
        if !is_usual || observed.balance.are_exact() {
            return None;
        }
        let (flow, amount) = match effect.map(|effect| effect.balance) {
            None | Some(BalanceEffect::Keep) => (Flow::None, U256::ZERO),
            Some(BalanceEffect::Add(gain)) => (Flow::In, gain),
            Some(BalanceEffect::Subtract(loss)) => (Flow::Out, loss),
            Some(BalanceEffect::Set(_)) => return None,
        };
        if !effect.is_none_or(|effect| effect.life_change == LifeChange::Continues && effect.code.is_none()) {
            return None;
        }
        let needed = observed.nonce;
        let nonce = match effect.and_then(|effect| effect.nonce) {
            Some(new) if needed.are_exact() && needed.at_least.checked_add(1) == Some(new) => {
                NonceNeed::Counts(needed.at_least)
            }
            Some(_) => return None,
            None if needed.are_exact() => NonceNeed::Exactly(needed.at_least),
            None if needed.at_most == u64::MAX => NonceNeed::AtLeast(needed.at_least),
            None => return None,
        };
        let (base, base_balance, base_nonce) = Base::small(base);
        Some(Self {
            at_least: u128::try_from(observed.balance.at_least).ok()?,
            amount: u128::try_from(amount).ok()?,
            base_balance,
            base_nonce,
            nonce,
            address,
            flow,
            existence: observed.existence,
            base,
        })
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// What the run needs of it.
    pub fn observed(&self) -> AccountObservation {
        let at_least = U256::from(self.at_least);
        AccountObservation {
            balance: Bounds { at_least, ..Bounds::<U256>::BELOW_OVERFLOW },
            nonce: match self.nonce {
                NonceNeed::AtLeast(least) => Bounds { at_least: least, ..Bounds::<u64>::ALL },
                NonceNeed::Exactly(nonce) | NonceNeed::Counts(nonce) => Bounds::exactly(nonce),
            },
            code_hash: Some(KECCAK256_EMPTY),
            existence: self.existence,
        }
    }

    /// The account as the base has it, if the run found that out.
    #[inline]
    pub(crate) fn base(&self) -> Option<Option<Account>> {
        let account = || Account {
            balance: U256::from(self.base_balance),
            nonce: self.base_nonce,
            code_hash: KECCAK256_EMPTY,
        };
        match self.base {
            Base::Unknown => None,
            Base::Absent => Some(None),
            Base::Exists => Some(Some(account())),
        }
    }

    /// What does not hold of it in an account.
    #[inline]
    pub(crate) fn staleness(&self, now: Option<&Account>) -> Option<Conflict> {
        let account = now.unwrap_or(&Account::EMPTY);
        self.observed().staleness(&account.balance, account.nonce, &account.code_hash, Existence::of(now))
    }

    /// Whether anything happens to the account.
    #[inline]
    pub(crate) fn changes_anything(&self) -> bool {
        self.flow != Flow::None || matches!(self.nonce, NonceNeed::Counts(_))
    }

    /// Does to an account what the run does to it.
    #[inline]
    pub(crate) fn apply_to(&self, account: &mut Option<Account>) {
        if !self.changes_anything() {
            return;
        }
        let account = account.get_or_insert(Account::EMPTY);
        let amount = U256::from(self.amount);
        // What it observes holds: there is enough, and it does not overflow.
        match self.flow {
            Flow::None => {}
            Flow::In => account.balance = account.balance.saturating_add(amount),
            Flow::Out => account.balance = account.balance.saturating_sub(amount),
        }
        if let NonceNeed::Counts(nonce) = self.nonce {
            account.nonce = nonce + 1;
        }
    }
}

impl Base {
    /// What is said of the base where there is little room.
    fn small(base: Option<Option<Account>>) -> (Self, u128, u64) {
        match base {
            None => (Self::Unknown, 0, 0),
            Some(None) => (Self::Absent, 0, 0),
            Some(Some(account)) => match u128::try_from(account.balance) {
                Ok(balance) if !account.has_code() => (Self::Exists, balance, account.nonce),
                _ => (Self::Unknown, 0, 0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word() -> impl Strategy<Value = U256> {
        let near = |number: u128| (0..4u128).prop_map(move |more| U256::from(number) + U256::from(more));
        prop_oneof![near(0), near(100), near(u128::MAX - 2), Just(U256::MAX)]
    }

    fn balance() -> impl Strategy<Value = Bounds<U256>> {
        prop_oneof![
            3 => word().prop_map(|at_least| Bounds { at_least, ..Bounds::<U256>::BELOW_OVERFLOW }),
            1 => word().prop_map(Bounds::<U256>::exactly),
            1 => Just(Bounds::<U256>::ALL),
        ]
    }

    fn nonce() -> impl Strategy<Value = Bounds<u64>> {
        let number = || prop_oneof![0..3u64, Just(u64::MAX)];
        prop_oneof![
            number().prop_map(|at_least| Bounds { at_least, ..Bounds::<u64>::ALL }),
            number().prop_map(Bounds::<u64>::exactly),
            number().prop_map(|at_most| Bounds { at_least: 0, at_most }),
        ]
    }

    fn observation() -> impl Strategy<Value = AccountObservation> {
        let code = prop_oneof![4 => Just(Some(KECCAK256_EMPTY)), 1 => Just(None)];
        let existence = prop_oneof![Just(None), Just(Some(Existence::Exists)), Just(Some(Existence::Absent))];
        (balance(), nonce(), code, existence).prop_map(|(balance, nonce, code_hash, existence)| {
            AccountObservation { balance, nonce, code_hash, existence }
        })
    }

    fn effect() -> impl Strategy<Value = Option<AccountEffect>> {
        let balance = prop_oneof![
            Just(BalanceEffect::Keep),
            word().prop_map(BalanceEffect::Add),
            word().prop_map(BalanceEffect::Subtract),
            word().prop_map(BalanceEffect::Set),
        ];
        let life_change = prop_oneof![4 => Just(LifeChange::Continues), 1 => Just(LifeChange::Begins), 1 => Just(LifeChange::Ends)];
        let effect = (balance, prop::option::of(0..4u64), life_change)
            .prop_map(|(balance, nonce, life_change)| AccountEffect { life_change, balance, nonce, code: None });
        prop::option::of(effect.prop_filter("it does something", AccountEffect::changes_anything))
    }

    fn account() -> impl Strategy<Value = Option<Account>> {
        let account =
            (word(), 0..4u64).prop_map(|(balance, nonce)| Account { balance, nonce, ..Account::EMPTY });
        prop::option::of(account)
    }

    proptest! {
        #[test]
        fn a_payment_says_and_does_what_it_was_made_of(
            observed in observation(),
            effect in effect(),
            base in prop::option::of(account()),
            now in account(),
        ) {
            let address = Address::with_last_byte(1);
            let Some(payment) = Payment::of(address, &observed, effect.as_ref(), base) else { return Ok(()) };
            prop_assert_eq!((payment.address(), payment.observed()), (address, observed));
            prop_assert!(payment.base().is_none() || payment.base() == base);
            let Account { balance, nonce, code_hash } = now.unwrap_or(Account::EMPTY);
            let stale = observed.staleness(&balance, nonce, &code_hash, Existence::of(now.as_ref()));
            prop_assert_eq!(payment.staleness(now.as_ref()), stale);
            let (mut ours, mut theirs) = (now, now);
            payment.apply_to(&mut ours);
            if let Some(effect) = &effect {
                effect.apply_to(&mut theirs, &mut None);
            }
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn what_a_transfer_does_is_payments_and_takes_little_room() {
        let usual = AccountObservation {
            balance: Bounds { at_least: U256::from(21_005), ..Bounds::<U256>::BELOW_OVERFLOW },
            nonce: Bounds::exactly(7u64),
            code_hash: Some(KECCAK256_EMPTY),
            existence: None,
        };
        let pays = AccountEffect {
            life_change: LifeChange::Continues,
            balance: BalanceEffect::Subtract(U256::from(21_005)),
            nonce: Some(8),
            code: None,
        };
        assert!(Payment::of(Address::ZERO, &usual, Some(&pays), None).is_some());
        let sets = AccountEffect { balance: BalanceEffect::Set(U256::ZERO), ..pays };
        assert_eq!(Payment::of(Address::ZERO, &usual, Some(&sets), None), None);
        assert!(size_of::<Payment>() <= 96, "{} bytes", size_of::<Payment>());
    }
}
