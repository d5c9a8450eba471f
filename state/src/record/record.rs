//! The record of one run: its read set and its write set.
//!
//! Plain data, which a run makes and the gate validates later.

use alloy_primitives::{Address, U256};
use revm_state::Account as EvmAccount;
use smallvec::SmallVec;

use crate::{
    model::index::MemoryAccountId,
    record::{
        effect::AccountEffect,
        observation::{AccountObservation, Origin},
        payment::Payment,
    },
};

/// An account of a [`Record`] that is more than a [`Payment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub address: Address,
    /// Its id in the multi-version memory, if it has one.
    pub id: Option<MemoryAccountId>,
    /// What the run needs of it.
    pub observed: AccountObservation,
    /// What the run does to it.
    pub effect: Option<AccountEffect>,
}

/// A slot that a run read from the state before its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotObservation {
    /// The position of its account in [`Record::accounts`].
    pub account: u32,
    /// The slot.
    pub key: U256,
    /// The exact value.
    pub value: U256,
    /// Where the value comes from.
    pub origin: Origin,
}

/// A slot that a run writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// The position of its account in [`Record::accounts`].
    pub account: u32,
    /// The slot.
    pub key: U256,
    /// The value before the run.
    pub original: U256,
    /// The value after it.
    pub value: U256,
}

impl SlotRecord {
    /// The slots of an account that a run changed; `position` is that of the account in the record.
    pub(crate) fn changed(position: usize, account: &EvmAccount) -> impl Iterator<Item = Self> {
        let position = u32::try_from(position).expect("a transaction touches fewer than 2^32 accounts");
        account.changed_storage_slots().map(move |(key, slot)| Self {
            account: position,
            key: *key,
            original: slot.original_value,
            value: slot.present_value,
        })
    }
}

/// A slot that a run accessed in an account that it created, or tried to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// The position of its account in [`Record::accounts`].
    pub account: u32,
    /// The slot.
    pub key: U256,
}

/// The payer, the payee, and the coinbase.
const PAYMENTS_OF_A_TRANSFER: usize = 3;

/// What one run observed, and what it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Accounts that only pay or are paid; they are not published. The payments of a transfer are stored
    /// inline, so that the gate fetches one piece of memory from another core.
    pub payments: SmallVec<[Payment; PAYMENTS_OF_A_TRANSFER]>,
    /// Every other account that the run observed or changed, once.
    pub accounts: Vec<AccountRecord>,
    /// Every slot that the run read from the state before its transaction.
    pub reads: Vec<SlotObservation>,
    /// Every slot that the run accessed in accounts that it created, or tried to create. A created account
    /// starts with empty storage, so such a slot need not be among the reads.
    pub created: Vec<CreatedSlot>,
    /// Every slot that changes.
    pub writes: Vec<SlotRecord>,
    /// The common origin of all that the run read.
    pub origin: Origin,
}

impl Record {
    /// Empties the record and keeps its allocations.
    pub fn clear(&mut self) {
        self.payments.clear();
        self.accounts.clear();
        self.reads.clear();
        self.created.clear();
        self.writes.clear();
        self.origin = Origin::Base;
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::KECCAK256_EMPTY;

    use super::*;
    use crate::record::observation::Bounds;

    #[test]
    fn a_cleared_record_is_empty() {
        let (account, key, value) = (0, U256::ONE, U256::ONE);
        let observed = AccountObservation {
            balance: Bounds::<U256>::BELOW_OVERFLOW,
            code_hash: Some(KECCAK256_EMPTY),
            ..AccountObservation::NOTHING
        };
        let payment = Payment::of(Address::ZERO, &observed, None, None).expect("it is a payment");
        let mut record = Record {
            payments: [payment].into_iter().collect(),
            accounts: vec![AccountRecord { address: Address::ZERO, id: None, observed, effect: None }],
            reads: vec![SlotObservation { account, key, value, origin: Origin::Block }],
            created: vec![CreatedSlot { account, key }],
            writes: vec![SlotRecord { account, key, original: value, value }],
            origin: Origin::Block,
        };
        record.clear();
        assert_eq!(record, Record::default());
    }
}
