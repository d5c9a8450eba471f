//! A payment: the observation and the effect of an account that only pays or is paid.
//!
//! Most accounts of most runs are such. The gate fetches records from another core, one cache line after
//! the other. A payment has a third of the size of an [`AccountRecord`](crate::AccountRecord), and holds
//! what the base has, so that the gate does not read the account again.

use alloy_primitives::{Address, KECCAK256_EMPTY, U256};

use crate::{
    model::account::Account,
    record::{
        effect::{AccountEffect, BalanceEffect, LifeChange},
        observation::{AccountObservation, Bounds, Conflict, Existence},
    },
};

/// An account without code that a run needs to have a minimal balance, and that pays, is paid, or
/// increments its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    at_least: u128,
    amount: u128,
    base_balance: u128,
    base_nonce: u64,
    nonce: NonceUse,
    address: Address,
    flow: PaymentFlow,
    existence: Option<Existence>,
    base: BaseExistence,
}

/// Whether the account pays or is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PaymentFlow {
    None,
    In,
    Out,
}

/// What the run needs of the nonce, and how the nonce changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NonceUse {
    AtLeast(u64),
    Exactly(u64),
    /// Exactly this nonce, which the run increments.
    Increments(u64),
}

/// What the run knows of the account in the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BaseExistence {
    Unknown,
    Absent,
    Exists,
}

impl Payment {
    /// The payment with this observation and effect, if they are one; `base` is the account in the base, if
    /// the run knows it.
    pub fn of(
        address: Address,
        observed: &AccountObservation,
        effect: Option<&AccountEffect>,
        base: Option<Option<Account>>,
    ) -> Option<Self> {
        let is_plain = observed.code_hash == Some(KECCAK256_EMPTY)
            && observed.balance.at_most == Bounds::<U256>::BELOW_OVERFLOW.at_most;
        if !is_plain || observed.balance.are_exact() {
            return None;
        }
        let (flow, amount) = match effect.map(|effect| effect.balance) {
            None | Some(BalanceEffect::Keep) => (PaymentFlow::None, U256::ZERO),
            Some(BalanceEffect::Add(gain)) => (PaymentFlow::In, gain),
            Some(BalanceEffect::Subtract(loss)) => (PaymentFlow::Out, loss),
            Some(BalanceEffect::Set(_)) => return None,
        };
        if !effect.is_none_or(|effect| effect.life_change == LifeChange::Continues && effect.code.is_none()) {
            return None;
        }
        let needed = observed.nonce;
        let nonce = match effect.and_then(|effect| effect.nonce) {
            Some(new) if needed.are_exact() && needed.at_least.checked_add(1) == Some(new) => {
                NonceUse::Increments(needed.at_least)
            }
            Some(_) => return None,
            None if needed.are_exact() => NonceUse::Exactly(needed.at_least),
            None if needed.at_most == u64::MAX => NonceUse::AtLeast(needed.at_least),
            None => return None,
        };
        let (base, base_balance, base_nonce) = BaseExistence::compact(base);
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

    /// What the run needs of the account.
    pub fn observed(&self) -> AccountObservation {
        let at_least = U256::from(self.at_least);
        AccountObservation {
            balance: Bounds { at_least, ..Bounds::<U256>::BELOW_OVERFLOW },
            nonce: match self.nonce {
                NonceUse::AtLeast(least) => Bounds { at_least: least, ..Bounds::<u64>::ALL },
                NonceUse::Exactly(nonce) | NonceUse::Increments(nonce) => Bounds::exactly(nonce),
            },
            code_hash: Some(KECCAK256_EMPTY),
            existence: self.existence,
        }
    }

    /// The account in the base, if the run knows it.
    #[inline]
    pub(crate) fn base(&self) -> Option<Option<Account>> {
        let account = || Account {
            balance: U256::from(self.base_balance),
            nonce: self.base_nonce,
            code_hash: KECCAK256_EMPTY,
        };
        match self.base {
            BaseExistence::Unknown => None,
            BaseExistence::Absent => Some(None),
            BaseExistence::Exists => Some(Some(account())),
        }
    }

    /// The first part of the observation that does not hold in the account.
    #[inline]
    pub(crate) fn validate(&self, now: Option<&Account>) -> Option<Conflict> {
        let account = now.unwrap_or(&Account::EMPTY);
        self.observed().validate(&account.balance, account.nonce, &account.code_hash, Existence::of(now))
    }

    /// Whether the run changes the account.
    #[inline]
    pub(crate) fn changes_anything(&self) -> bool {
        self.flow != PaymentFlow::None || matches!(self.nonce, NonceUse::Increments(_))
    }

    /// Applies the effect of the run to the account.
    #[inline]
    pub(crate) fn apply_to(&self, account: &mut Option<Account>) {
        if !self.changes_anything() {
            return;
        }
        let account = account.get_or_insert(Account::EMPTY);
        let amount = U256::from(self.amount);
        // The observation holds: the balance is large enough, and it does not overflow.
        match self.flow {
            PaymentFlow::None => {}
            PaymentFlow::In => account.balance = account.balance.saturating_add(amount),
            PaymentFlow::Out => account.balance = account.balance.saturating_sub(amount),
        }
        if let NonceUse::Increments(nonce) = self.nonce {
            account.nonce = nonce + 1;
        }
    }
}

impl BaseExistence {
    /// The account in the base, as far as it fits into a payment.
    fn compact(base: Option<Option<Account>>) -> (Self, u128, u64) {
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
    use alloy_primitives::B256;
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
        let effect =
            (balance, prop::option::of(0..4u64), life_change).prop_map(|(balance, nonce, life_change)| {
                AccountEffect { life_change, balance, nonce, code: None }
            });
        prop::option::of(
            effect.prop_filter("the effect changes the account", AccountEffect::changes_anything),
        )
    }

    fn account() -> impl Strategy<Value = Option<Account>> {
        let account =
            (word(), 0..4u64).prop_map(|(balance, nonce)| Account { balance, nonce, ..Account::EMPTY });
        prop::option::of(account)
    }

    proptest! {
        #[test]
        fn a_payment_has_the_observation_and_the_effect_that_it_was_made_of(
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
            let stale = observed.validate(&balance, nonce, &code_hash, Existence::of(now.as_ref()));
            prop_assert_eq!(payment.validate(now.as_ref()), stale);
            let (mut ours, mut theirs) = (now, now);
            payment.apply_to(&mut ours);
            if let Some(effect) = &effect {
                effect.apply_to(&mut theirs, &mut None);
            }
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_payment_has_no_room_for_a_base_with_code_or_with_a_huge_balance() {
        let plain = AccountObservation {
            balance: Bounds::<U256>::BELOW_OVERFLOW,
            nonce: Bounds::<u64>::ALL,
            code_hash: Some(KECCAK256_EMPTY),
            existence: None,
        };
        let base_of = |base| Payment::of(Address::ZERO, &plain, None, Some(Some(base))).unwrap().base();
        let largest = Account { balance: U256::from(u128::MAX), ..Account::EMPTY };
        assert_eq!(base_of(largest), Some(Some(largest)));
        assert_eq!(base_of(Account { balance: largest.balance + U256::ONE, ..Account::EMPTY }), None);
        assert_eq!(base_of(Account { code_hash: B256::repeat_byte(1), ..Account::EMPTY }), None);
    }

    #[test]
    fn a_payment_moves_its_amount_and_increments_the_nonce() {
        let observed = AccountObservation {
            balance: Bounds::<U256>::BELOW_OVERFLOW,
            nonce: Bounds::exactly(7),
            code_hash: Some(KECCAK256_EMPTY),
            existence: None,
        };
        let applied = |balance| {
            let life_change = LifeChange::Continues;
            let effect = AccountEffect { life_change, balance, nonce: Some(8), code: None };
            let payment = Payment::of(Address::ZERO, &observed, Some(&effect), None).unwrap();
            let mut account = Some(Account { balance: U256::from(10), nonce: 7, ..Account::EMPTY });
            payment.apply_to(&mut account);
            account.map(|account| (account.balance, account.nonce))
        };
        assert_eq!(applied(BalanceEffect::Subtract(U256::from(3))), Some((U256::from(7), 8)));
        assert_eq!(applied(BalanceEffect::Add(U256::from(3))), Some((U256::from(13), 8)));
        assert_eq!(applied(BalanceEffect::Keep), Some((U256::from(10), 8)));
    }

    #[test]
    fn a_transfer_consists_of_small_payments() {
        let plain = AccountObservation {
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
        assert!(Payment::of(Address::ZERO, &plain, Some(&pays), None).is_some());
        let sets = AccountEffect { balance: BalanceEffect::Set(U256::ZERO), ..pays };
        assert_eq!(Payment::of(Address::ZERO, &plain, Some(&sets), None), None);
        assert!(size_of::<Payment>() <= 96, "{} bytes", size_of::<Payment>());
    }
}
