//! What one run does to an account, apart from its storage. An effect sets or adds.

use alloy_primitives::{B256, U256};
use revm_state::{Account as EvmAccount, AccountInfo, Bytecode};

use crate::{model::account::Account, record::observation::Existence};

/// What a run does to a balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BalanceEffect {
    /// The balance does not change.
    #[default]
    Keep,
    /// The new balance.
    Set(U256),
    /// The balance grows by this amount.
    Add(U256),
    /// The balance shrinks by this amount, which the run observed to be there.
    Subtract(U256),
}

impl BalanceEffect {
    /// The balance after the effect. Exact if the observations of the run hold, otherwise a guess.
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
pub enum LifeChange {
    /// The life continues, or begins for an account that never had storage.
    Continues,
    /// A new life begins, with empty storage.
    Begins,
    /// The account is destroyed, or cleared because it is empty (EIP-161).
    Ends,
}

impl LifeChange {
    /// The life change of an account that a run touched, and that existed before the run or did not.
    ///
    /// revm has already turned the rules from before EIP-161 into the later ones: an account that is
    /// touched, empty and not created is cleared.
    pub(crate) fn of(account: &EvmAccount, existed: Existence) -> Self {
        let is_cleared = account.is_empty() && !account.is_created() && existed == Existence::Exists;
        if account.is_selfdestructed() || is_cleared {
            Self::Ends
        } else if account.is_created() {
            Self::Begins
        } else {
            Self::Continues
        }
    }
}

/// What a run does to an account apart from its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEffect {
    /// The change of its life. If the life ends, the other fields mean nothing.
    pub life_change: LifeChange,
    /// The change of its balance.
    pub balance: BalanceEffect,
    /// The new nonce, if it changes.
    pub nonce: Option<u64>,
    /// The new code and its hash, if it changes.
    pub code: Option<(B256, Bytecode)>,
}

impl AccountEffect {
    /// Whether the effect changes the account.
    pub fn changes_anything(&self) -> bool {
        self.life_change != LifeChange::Continues
            || self.balance != BalanceEffect::Keep
            || self.nonce.is_some()
            || self.code.is_some()
    }

    /// Applies the effect to an account and to its code, which is `None` where it is not loaded.
    #[inline]
    pub(crate) fn apply_to(&self, account: &mut Option<Account>, known: &mut Option<Bytecode>) {
        if self.life_change == LifeChange::Ends {
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

    /// Applies the effect to an account in revm's form.
    #[inline]
    pub fn apply(&self, info: &mut Option<AccountInfo>) {
        if self.life_change == LifeChange::Ends {
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

/// The code of an account whose code changed, and its hash.
///
/// # Panics
///
/// If the code is not loaded: a record must not hold a code that does not belong to its hash.
pub(crate) fn code_of(info: &AccountInfo) -> (B256, Bytecode) {
    assert!(info.code.is_some() || info.is_empty_code_hash(), "a code that changed is loaded");
    (info.code_hash, info.code.clone().unwrap_or_default())
}
