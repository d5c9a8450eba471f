//! An account as a speculative run found it, and what the run needs of it.
//!
//! Owns the rules of what is noted: bounds wherever bounds are enough. Whoever drives the run says
//! what it looks at; what it does to the account adds what it needs for that to be right.

use alloy_primitives::{Address, U256};
use revm_state::{Account as EvmAccount, AccountId, AccountInfo};

use crate::{
    bal::index::ListAccountId,
    model::account::Account,
    mv::memory::Memory,
    record::{
        payment::Payment,
        record::{
            AccountEffect, AccountObservation, AccountRecord, BalanceEffect, Bounds, Existence, LifeChange, Record,
            code_of,
        },
    },
};

/// An account as the run found it, and what it needs of it.
#[derive(Debug)]
pub(crate) struct TrackedAccount {
    pub(crate) address: Address,
    /// What the memory calls it, if it remembers it.
    id: Option<AccountId>,
    /// What the base calls it.
    pub(crate) base_id: Option<AccountId>,
    /// The account as the base has it, if that is what the run found.
    base: Option<Option<Account>>,
    /// What was said of it beforehand.
    pub(crate) foreseen: Option<ListAccountId>,
    /// Whether any of its slots was looked at, or written.
    pub(crate) has_slots: bool,
    pub(crate) balance: U256,
    pub(crate) nonce: u64,
    pub(crate) existence: Existence,
    pub(crate) needs: AccountObservation,
    /// What the run does to it, once it has ended.
    pub(crate) effect: Option<AccountEffect>,
}

/// Writes into a record what a run has seen of accounts, and what it does to them. Slots in the record
/// say the place of their account among the seen: from then on they say its position in the record.
pub(crate) fn into_record(all: &mut Vec<TrackedAccount>, record: &mut Record, memory: &Memory) {
    let is_moved = !(record.reads.is_empty() && record.created.is_empty() && record.writes.is_empty());
    let mut positions = Vec::with_capacity(if is_moved { all.len() } else { 0 });
    // Those who were seen are large: they are read where they lie.
    for seen in all.iter_mut() {
        if is_moved {
            positions.push(record.accounts.len() as u32);
        }
        match seen.payment() {
            Some(payment) => record.payments.push(payment),
            None => {
                // Who has effects, or slots, is told of by name.
                let is_told = memory.is_told() && (seen.effect.is_some() || seen.has_slots);
                let id = if is_told { Some(seen.id(memory)) } else { seen.id };
                let (observed, effect) = (seen.needs, seen.effect.take());
                record.accounts.push(AccountRecord { address: seen.address, id, observed, effect });
            }
        }
    }
    all.clear();
    for read in &mut record.reads {
        read.account = positions[read.account as usize];
    }
    for slot in &mut record.created {
        slot.account = positions[slot.account as usize];
    }
    for write in &mut record.writes {
        write.account = positions[write.account as usize];
    }
}

impl TrackedAccount {
    pub(crate) fn new(
        address: Address,
        id: Option<AccountId>,
        base_id: Option<AccountId>,
        base: Option<Option<Account>>,
        info: Option<&AccountInfo>,
    ) -> Self {
        let existence = Existence::of(info);
        let Account { balance, nonce, code_hash } = info.map_or(Account::EMPTY, |info| Account {
            balance: info.balance,
            nonce: info.nonce,
            code_hash: info.code_hash,
        });
        let mut seen = Self {
            address,
            id,
            base_id,
            base,
            foreseen: None,
            has_slots: false,
            balance,
            nonce,
            existence,
            needs: AccountObservation {
                balance: Bounds::<U256>::BELOW_OVERFLOW,
                nonce: Bounds::<u64>::ALL,
                code_hash: Some(code_hash),
                existence: None,
            },
            effect: None,
        };
        if !seen.needs.balance.contain(&seen.balance) {
            seen.need_balance();
        }
        seen
    }

    /// What the memory calls it, which is told of it if it does not remember it.
    pub(crate) fn id(&mut self, memory: &Memory) -> AccountId {
        let Self { address, base, base_id, .. } = *self;
        *self.id.get_or_insert_with(|| {
            let known = base.expect("who is not remembered was found in the base");
            memory.introduce(address, known.map(|known| known.into_info(None, None)), base_id)
        })
    }

    pub(crate) fn need_balance(&mut self) {
        self.needs.balance = Bounds::exactly(self.balance);
    }

    pub(crate) fn need_nonce(&mut self) {
        self.needs.nonce = Bounds::exactly(self.nonce);
    }

    pub(crate) fn need_everything(&mut self) {
        self.need_balance();
        self.need_nonce();
        self.needs.existence = Some(self.existence);
    }

    fn has_code(&self) -> bool {
        self.needs.code_hash != Some(alloy_primitives::KECCAK256_EMPTY)
    }

    /// The run depends on whether the account is empty now that its balance is `balance`.
    pub(crate) fn need_emptiness(&mut self, balance: U256) {
        if self.has_code() {
            // The code is observed, and an account with code is not empty.
        } else if self.nonce > 0 {
            self.needs.nonce.need_at_least(1);
        } else if balance.is_zero() {
            self.need_everything();
        } else {
            // It is not empty as long as one wei is left after what the run did to it.
            let spent = self.balance.saturating_sub(balance);
            self.needs.balance.need_at_least(if balance > self.balance {
                U256::ZERO
            } else {
                spent + U256::ONE
            });
            if balance <= self.balance {
                self.needs.existence = Some(self.existence);
            }
        }
    }

    /// What the run does to the account that it left so, and what it needs for that to be right.
    pub(crate) fn effect(&mut self, life_change: LifeChange, account: &mut EvmAccount) -> Option<AccountEffect> {
        let info = &mut account.info;
        if info.nonce != self.nonce || life_change != LifeChange::Continues {
            self.need_nonce();
        }
        match life_change {
            LifeChange::Ends => self.need_everything(),
            // Before EIP-161 whoever is touched comes to be, if there is nobody yet.
            LifeChange::Begins if info.is_empty() => self.need_everything(),
            LifeChange::Begins => {}
            // Whether a touched account is empty in the end decides whether it is cleared.
            LifeChange::Continues if info.nonce == 0 && info.is_empty_code_hash() => self.need_emptiness(info.balance),
            LifeChange::Continues if self.nonce > 0 && !self.has_code() => self.needs.nonce.need_at_least(1),
            LifeChange::Continues => {}
        }
        let effect = AccountEffect {
            life_change,
            balance: self.balance_effect(info.balance),
            nonce: (info.nonce != self.nonce || life_change == LifeChange::Begins).then_some(info.nonce),
            code: (Some(info.code_hash) != self.needs.code_hash).then(|| code_of(info)),
        };
        effect.changes_anything().then_some(effect)
    }

    fn balance_effect(&mut self, balance: U256) -> BalanceEffect {
        if balance == self.balance {
            BalanceEffect::Keep
        } else if self.needs.balance.are_exact() {
            BalanceEffect::Set(balance)
        } else if let Some(gain) = balance.checked_sub(self.balance) {
            BalanceEffect::Add(gain)
        } else {
            let loss = self.balance - balance;
            self.needs.balance.need_at_least(loss);
            BalanceEffect::Subtract(loss)
        }
    }

    /// What is to be noted of it as a payment, if it is one. Whoever has slots is looked up anyway.
    fn payment(&self) -> Option<Payment> {
        if self.has_slots {
            return None;
        }
        Payment::of(self.address, &self.needs, self.effect.as_ref(), self.base)
    }
}
