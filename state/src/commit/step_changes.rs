//! Writes down what is committed to an overlay between two moments.

use alloy_primitives::{Address, U256, map::AddressMap};
use revm_state::Bytecode;

use crate::model::{
    account::Account,
    changes::{AccountChange, Change, Changes, Life},
};

/// The accounts that were committed since the last [`take`](Self::take).
#[derive(Debug, Default)]
pub(crate) struct StepRecorder {
    accounts: AddressMap<StepAccount>,
}

/// One account: as it was then, and as it is now.
#[derive(Debug, Default)]
pub(crate) struct StepAccount {
    change: AccountChange,
    code: Option<Bytecode>,
}

impl StepRecorder {
    /// The record of an account; `before` is asked for when it is new.
    pub(crate) fn open(
        &mut self,
        address: Address,
        before: impl FnOnce() -> Option<Account>,
    ) -> &mut StepAccount {
        self.accounts.entry(address).or_insert_with(|| {
            let before = before();
            let change = AccountChange { account: Change { before, after: before }, ..Default::default() };
            StepAccount { change, code: None }
        })
    }

    /// What changed, and an empty record from here on.
    pub(crate) fn take(&mut self) -> Changes {
        let mut changes = Changes::default();
        for (address, StepAccount { change, code }) in self.accounts.drain() {
            changes.add(address, change, code);
        }
        changes
    }
}

impl StepAccount {
    /// Forgets every slot: the account starts anew.
    pub(crate) fn start_new_life(&mut self) {
        self.change.life = Life::New;
        self.change.slots.clear();
    }

    /// A slot held `old` and now holds `new`.
    pub(crate) fn write_slot(&mut self, key: U256, old: U256, new: U256) {
        self.change.slots.entry(key).or_insert(Change { before: old, after: old }).after = new;
    }

    /// What the account is now.
    pub(crate) fn set_account(&mut self, now: Option<Account>, code: Option<&Bytecode>) {
        self.change.account.after = now;
        self.code = code.cloned();
    }
}
