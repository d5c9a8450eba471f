//! Records the changes of one step: what is committed to an overlay between two calls of `take`.
//!
//! Keeps only what the overlay forgets: what the accounts and slots of the step were before it. What they are now is
//! read from the overlay when the step ends.

use alloy_primitives::{
    U256,
    map::{AddressIndexMap, U256Map},
};

use crate::{
    commit::overlay_entry::AccountDetail,
    model::{
        account::Account,
        changes::{AccountChange, Change, Changes, Life},
        index::OverlayAccountId,
    },
};

/// The accounts that were committed since the last [`take`](Self::take).
#[derive(Debug, Default)]
pub(super) struct StepRecorder {
    accounts: Vec<StepAccount>,
}

/// One account of a step.
#[derive(Debug)]
pub(super) struct StepAccount {
    id: OverlayAccountId,
    /// The account before the step.
    before: Option<Account>,
    life: Life,
    slots: U256Map<Change<U256>>,
}

impl StepRecorder {
    /// An account of the step, which is `before` if it is new in the step. `position` is where it is in the recorder.
    pub(super) fn account(
        &mut self,
        id: OverlayAccountId,
        position: &mut Option<u32>,
        before: Option<Account>,
    ) -> &mut StepAccount {
        let position = *position.get_or_insert_with(|| {
            let slots = U256Map::default();
            self.accounts.push(StepAccount { id, before, life: Life::Same, slots });
            u32::try_from(self.accounts.len() - 1).expect("a step has fewer than 2^32 accounts")
        });
        &mut self.accounts[position as usize]
    }

    /// The changes of the step. The next step begins.
    pub(super) fn take(
        &mut self,
        accounts: &AddressIndexMap<AccountChange>,
        details: &mut [AccountDetail],
    ) -> Changes {
        let mut changes = Changes::default();
        changes.accounts.reserve(self.accounts.len());
        for StepAccount { id, before, life, slots } in self.accounts.drain(..) {
            let (address, now) = accounts.get_index(id.get()).expect("an account keeps its id");
            let detail = &mut details[id.get()];
            detail.step = None;
            let account = Change { before, after: now.account.after };
            changes.add(*address, AccountChange { account, life, slots }, detail.code.as_ref());
        }
        changes
    }
}

impl StepAccount {
    /// Drops every slot: the account begins a new life.
    pub(super) fn start_new_life(&mut self) {
        self.life = Life::New;
        self.slots.clear();
    }

    /// Changes a slot from `old` to `new`.
    pub(super) fn write_slot(&mut self, key: U256, old: U256, new: U256) {
        self.slots.entry(key).or_insert(Change { before: old, after: old }).after = new;
    }
}
