//! One account as a speculative run read it, and what the run needs of it.
//!
//! Owns the rules of observation: bounds wherever bounds are enough. The driver of the run reports what the
//! run looks at; the effect of the run adds the observations that make the effect right.

use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use revm_state::{Account as EvmAccount, AccountInfo};

use crate::{
    model::{
        account::Account,
        index::{BaseAccountId, ListAccountId, MemoryAccountId},
    },
    mv::memory::Memory,
    record::{
        effect::{AccountEffect, BalanceEffect, LifeChange, code_of},
        observation::{AccountObservation, Bounds, Existence},
        payment::Payment,
    },
};

/// An account as the run read it, and what the run needs of it.
#[derive(Debug)]
pub(super) struct TrackedAccount {
    pub(super) address: Address,
    /// The memory's id of the account, if it has one.
    pub(super) memory_id: Option<MemoryAccountId>,
    /// The base's id of the account.
    pub(super) base_id: Option<BaseAccountId>,
    /// The account in the base, if that is what the run read.
    base: Option<Option<Account>>,
    /// The access list's id of the account.
    pub(super) list_id: Option<ListAccountId>,
    /// Whether the run read or wrote any of its slots.
    pub(super) has_slots: bool,
    pub(super) balance: U256,
    pub(super) nonce: u64,
    pub(super) existence: Existence,
    pub(super) needs: AccountObservation,
    /// What the run does to it, once the run has ended.
    pub(super) effect: Option<AccountEffect>,
}

impl TrackedAccount {
    pub(super) fn new(
        address: Address,
        memory_id: Option<MemoryAccountId>,
        base_id: Option<BaseAccountId>,
        base: Option<Option<Account>>,
        info: Option<&AccountInfo>,
    ) -> Self {
        let existence = Existence::of(info);
        let Account { balance, nonce, code_hash } = info.map_or(Account::EMPTY, |info| Account {
            balance: info.balance,
            nonce: info.nonce,
            code_hash: info.code_hash,
        });
        let mut account = Self {
            address,
            memory_id,
            base_id,
            base,
            list_id: None,
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
        if !account.needs.balance.contain(&account.balance) {
            account.need_balance();
        }
        account
    }

    /// The memory's id of the account, which the memory gives now if the account has none.
    pub(super) fn get_or_insert_id(&mut self, memory: &Memory) -> MemoryAccountId {
        let Self { address, base, base_id, .. } = *self;
        *self.memory_id.get_or_insert_with(|| {
            let known = base.expect("an account without a memory id was read from the base");
            memory.insert_account(address, known.map(|known| known.into_info(None, None)), base_id)
        })
    }

    pub(super) fn need_balance(&mut self) {
        self.needs.balance = Bounds::exactly(self.balance);
    }

    pub(super) fn need_nonce(&mut self) {
        self.needs.nonce = Bounds::exactly(self.nonce);
    }

    pub(super) fn need_everything(&mut self) {
        self.need_balance();
        self.need_nonce();
        self.needs.existence = Some(self.existence);
    }

    fn has_code(&self) -> bool {
        self.needs.code_hash != Some(KECCAK256_EMPTY)
    }

    /// The run depends on whether the account is empty while its balance is `balance`.
    pub(super) fn need_emptiness(&mut self, balance: U256) {
        if self.has_code() {
            // The code is observed, and an account with code is not empty.
        } else if self.nonce > 0 {
            self.needs.nonce.need_at_least(1);
        } else if balance.is_zero() {
            self.need_everything();
        } else {
            // The account is not empty as long as one wei is left after what the run spent.
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

    /// The effect of a run that left the account like this; adds the observations that make it right.
    pub(super) fn effect(
        &mut self,
        life_change: LifeChange,
        account: &mut EvmAccount,
    ) -> Option<AccountEffect> {
        let info = &mut account.info;
        if info.nonce != self.nonce || life_change != LifeChange::Continues {
            self.need_nonce();
        }
        match life_change {
            LifeChange::Ends => self.need_everything(),
            // Before EIP-161 a touched account is created if it does not exist.
            LifeChange::Begins if info.is_empty() => self.need_everything(),
            LifeChange::Begins => {}
            // A touched account is cleared if it is empty in the end.
            LifeChange::Continues if info.nonce == 0 && info.is_empty_code_hash() => {
                self.need_emptiness(info.balance);
            }
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

    /// The account as a payment, if it is one. An account with slots needs a record of its own.
    pub(super) fn payment(&self) -> Option<Payment> {
        if self.has_slots {
            return None;
        }
        Payment::of(self.address, &self.needs, self.effect.as_ref(), self.base)
    }
}
