//! Records the changes of one step: what is committed to an overlay between two calls of `take`.

use alloy_primitives::{Address, U256, map::AddressMap};
use revm_state::Bytecode;

use crate::model::{
    account::Account,
    changes::{AccountChange, Change, Changes, Life},
};

/// The accounts that were committed since the last [`take`](Self::take).
#[derive(Debug, Default)]
pub(super) struct StepRecorder {
    accounts: AddressMap<StepAccount>,
}

/// One account: as it was before the step, and as it is now.
#[derive(Debug, Default)]
pub(super) struct StepAccount {
    change: AccountChange,
    code: Option<Bytecode>,
}

impl StepRecorder {
    /// An account of the step; `before` gives what it was, if it is new in the step.
    pub(super) fn account(
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

    /// The changes of the step. The next step begins.
    pub(super) fn take(&mut self) -> Changes {
        let mut changes = Changes::default();
        for (address, StepAccount { change, code }) in self.accounts.drain() {
            changes.add(address, change, code);
        }
        changes
    }
}

impl StepAccount {
    /// Drops every slot: the account begins a new life.
    pub(super) fn start_new_life(&mut self) {
        self.change.life = Life::New;
        self.change.slots.clear();
    }

    /// Changes a slot from `old` to `new`.
    pub(super) fn write_slot(&mut self, key: U256, old: U256, new: U256) {
        self.change.slots.entry(key).or_insert(Change { before: old, after: old }).after = new;
    }

    /// Sets what the account is now.
    pub(super) fn set_account(&mut self, now: Option<Account>, code: Option<&Bytecode>) {
        self.change.account.after = now;
        self.code = code.cloned();
    }
}
