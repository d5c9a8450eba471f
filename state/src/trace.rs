//! What was committed to an overlay lately, as effects that others can be told of.
//!
//! Owns one record that grows with each commit until it is taken: an account stands in it once,
//! with what it is after the last commit. Slots stand in the order in which they were written.

use alloy_primitives::Address;
use revm_state::{Account as EvmAccount, AccountId};

use crate::{
    Account, AccountEffect, AccountObservation, AccountRecord, BalanceEffect, Fate, Record, SlotRecord,
    record::code_of,
};

/// The effects of the commits so far.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    effects: Record,
    /// The overlay's places of the accounts in the record.
    places: Vec<AccountId>,
}

/// An account that a commit changes.
pub(crate) struct Traced<'t> {
    pub(crate) address: Address,
    pub(crate) place: AccountId,
    /// What the base calls it.
    pub(crate) base_id: Option<AccountId>,
    /// Its position in the record, if it has one.
    pub(crate) position: &'t mut Option<u32>,
    /// The account before the commit.
    pub(crate) now: Option<Account>,
}

impl Trace {
    /// Writes down what a run left of an account.
    pub(crate) fn note(&mut self, traced: &mut Traced<'_>, fate: Fate, account: &EvmAccount) {
        let change = effect_on(traced.now, fate, account);
        let has_writes = || account.changed_storage_slots().next().is_some();
        // Payments of accounts without code are not told of: see `Memory::publish`.
        let is_payment = |change: &AccountEffect| change.is_payment() && account.info.is_empty_code_hash();
        if change.as_ref().is_none_or(is_payment) && traced.position.is_none() && !has_writes() {
            return;
        }
        let known = *traced.position;
        let position = *traced.position.get_or_insert_with(|| {
            self.places.push(traced.place);
            self.effects.accounts.push(AccountRecord {
                address: traced.address,
                id: traced.base_id,
                observed: AccountObservation::NOTHING,
                effect: None,
            });
            u32::try_from(self.places.len() - 1).expect("a block touches fewer than 2^32 accounts")
        });
        if fate != Fate::Lives && known.is_some() {
            self.effects.writes.retain(|write| write.account != position);
        }
        if fate != Fate::Ends {
            self.effects.writes.extend(SlotRecord::changed(position as usize, account));
        }
        if let Some(change) = change {
            let effect = &mut self.effects.accounts[position as usize].effect;
            *effect = Some(match effect.take() {
                Some(before) => one_after_the_other(before, change, account),
                None => change,
            });
        }
    }

    /// The places of the accounts in the record.
    pub(crate) fn places(&self) -> impl Iterator<Item = AccountId> {
        self.places.iter().copied()
    }

    /// Moves the effects into `effects`, which is empty and whose room is used again, and tells of each
    /// account and its place: its position in the record is void now.
    pub(crate) fn take(&mut self, effects: &mut Record, mut tell: impl FnMut(&mut AccountRecord, AccountId)) {
        std::mem::swap(&mut self.effects, effects);
        for (account, place) in effects.accounts.iter_mut().zip(self.places.drain(..)) {
            tell(account, place);
        }
    }
}

/// What a run did to an account, if anything.
fn effect_on(now: Option<Account>, fate: Fate, account: &EvmAccount) -> Option<AccountEffect> {
    let info = &account.info;
    let Account { balance, nonce, code_hash } = now.unwrap_or(Account::EMPTY);
    let effect = AccountEffect {
        fate,
        balance: if info.balance == balance { BalanceEffect::Keep } else { BalanceEffect::Set(info.balance) },
        nonce: (info.nonce != nonce || fate == Fate::Begins).then_some(info.nonce),
        code: (info.code_hash != code_hash).then(|| code_of(info)),
    };
    effect.is_any().then_some(effect)
}

/// What two effects do, one after the other; `account` is what the second leaves.
fn one_after_the_other(before: AccountEffect, after: AccountEffect, account: &EvmAccount) -> AccountEffect {
    if after.fate == Fate::Ends {
        return after;
    }
    let info = &account.info;
    // Of an account that was no more nothing is left: all that it is now is new.
    let is_anew = before.fate == Fate::Ends;
    let is_kept = before.balance == BalanceEffect::Keep && after.balance == BalanceEffect::Keep;
    let code = || is_anew.then(|| code_of(info));
    AccountEffect {
        fate: if before.fate == Fate::Lives { after.fate } else { Fate::Begins },
        balance: if is_kept && !is_anew { BalanceEffect::Keep } else { BalanceEffect::Set(info.balance) },
        nonce: (is_anew || before.nonce.is_some() || after.nonce.is_some()).then_some(info.nonce),
        code: after.code.or_else(code).or(before.code),
    }
}
