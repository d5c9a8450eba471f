//! Writes down what is committed to an overlay between two moments.

use alloy_primitives::{Address, U256, map::AddressMap};
use revm_state::Bytecode;

use crate::{Account, AccountChange, Change, Changes, Life};

/// The accounts that were committed since the last [`take`](Self::take).
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    accounts: AddressMap<Recorded>,
}

/// One account: as it was then, and as it is now.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    change: AccountChange,
    code: Option<Bytecode>,
}

impl Recorder {
    /// The record of an account; `before` is asked for when it is new.
    pub(crate) fn open(
        &mut self,
        address: Address,
        before: impl FnOnce() -> Option<Account>,
    ) -> &mut Recorded {
        self.accounts.entry(address).or_insert_with(|| {
            let before = before();
            let change = AccountChange { account: Change { before, after: before }, ..Default::default() };
            Recorded { change, code: None }
        })
    }

    /// What changed, and an empty record from here on.
    pub(crate) fn take(&mut self) -> Changes {
        let mut changes = Changes::default();
        for (address, Recorded { change, code }) in self.accounts.drain() {
            changes.add(address, change, code);
        }
        changes
    }
}

impl Recorded {
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
