//! One account of an overlay: its change to the base, and what the overlay knows besides.

use alloy_primitives::{Address, U256, map::AddressIndexMap};
use revm_state::Bytecode;

use crate::{
    bal::builder::AccessListBuilder,
    commit::step_changes::{StepAccount, StepRecorder},
    model::{
        account::Account,
        changes::{AccountChange, Change, Life},
        index::{BaseAccountId, OverlayAccountId},
    },
    record::effect::LifeChange,
};

/// What an overlay knows of an account besides its change.
#[derive(Debug, Default)]
pub(super) struct AccountDetail {
    /// Its code now, if that is loaded.
    pub(super) code: Option<Bytecode>,
    /// The code that the base returned with the account. Such a base need not find it by its hash.
    pub(super) code_before: Option<Bytecode>,
    /// The base's id of the account, for reads of its slots.
    pub(super) base_id: Option<BaseAccountId>,
    /// The number of its slots that hold the value of the base: most were only read.
    pub(super) idle_slots: usize,
    /// Its position among the pending effects.
    pub(super) pending: Option<u32>,
    /// Its position in the recorder of step changes.
    pub(super) step: Option<u32>,
}

/// One account of an overlay.
pub(super) struct OverlayEntry<'o> {
    pub(super) id: OverlayAccountId,
    pub(super) address: Address,
    pub(super) change: &'o mut AccountChange,
    pub(super) detail: &'o mut AccountDetail,
}

/// The entry of an account.
#[inline]
pub(super) fn entry<'o>(
    accounts: &'o mut AddressIndexMap<AccountChange>,
    details: &'o mut [AccountDetail],
    id: OverlayAccountId,
) -> OverlayEntry<'o> {
    let (address, change) = accounts.get_index_mut(id.get()).expect("an account keeps its id");
    OverlayEntry { id, address: *address, change, detail: &mut details[id.get()] }
}

impl OverlayEntry<'_> {
    /// The account in the recorder of step changes, if there is one.
    #[inline]
    pub(super) fn step<'r>(&mut self, steps: &'r mut Option<StepRecorder>) -> Option<&'r mut StepAccount> {
        let steps = steps.as_mut()?;
        Some(steps.account(self.id, &mut self.detail.step, self.change.account.after))
    }

    /// Starts a new life, unless the life continues.
    pub(super) fn change_life(&mut self, life_change: LifeChange, step: &mut Option<&mut StepAccount>) {
        if life_change == LifeChange::Continues {
            return;
        }
        self.change.life = Life::New;
        self.change.slots.clear();
        self.detail.idle_slots = 0;
        if let Some(step) = step {
            step.start_new_life();
        }
    }

    /// Writes a slot that held `original` before the transaction.
    pub(super) fn write(
        &mut self,
        key: U256,
        original: U256,
        value: U256,
        step: &mut Option<&mut StepAccount>,
    ) {
        let detail = &mut *self.detail;
        // A slot that the overlay does not hold was not written in this block.
        let known = self.change.slots.entry(key).or_insert_with(|| {
            detail.idle_slots += 1;
            Change { before: original, after: original }
        });
        debug_assert_eq!(known.after, original, "a transaction starts from the committed state");
        if let Some(step) = step {
            step.write_slot(key, known.after, value);
        }
        detail.idle_slots -= usize::from(!known.is_change());
        known.after = value;
        detail.idle_slots += usize::from(!known.is_change());
    }

    /// Adds the change of the account since `before` to the access list, if one is built.
    #[inline]
    pub(super) fn add_to_list(
        &self,
        access_list: &mut Option<AccessListBuilder>,
        id: OverlayAccountId,
        before: Option<Account>,
    ) {
        if let Some(access_list) = access_list {
            let change = Change { before, after: self.change.account.after };
            access_list.change(id, change, self.detail.code.as_ref());
        }
    }
}
