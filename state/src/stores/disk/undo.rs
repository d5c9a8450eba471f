//! The undo data of a block: the values before the block, at all locations that it wrote.

use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

use crate::stores::disk::account_entry::{AccountEntry, LifeId};

/// The values before a block, by hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Undo {
    accounts: Vec<AccountBefore>,
    slots: Vec<SlotBefore>,
}

/// The encoded entry of an account; empty if the account did not exist.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct AccountBefore {
    hash: B256,
    entry: Bytes,
}

/// The value of a slot of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct SlotBefore {
    life: u64,
    /// The hash of the key.
    pub(super) hash: B256,
    /// The value.
    pub(super) value: U256,
}

impl SlotBefore {
    /// The life of the slot.
    pub(super) fn life(&self) -> LifeId {
        self.life.into()
    }
}

impl Undo {
    /// Adds an account.
    pub(super) fn add_account(&mut self, hash: B256, before: Option<&AccountEntry>) {
        let entry = before.map(AccountEntry::encode).unwrap_or_default().into();
        self.accounts.push(AccountBefore { hash, entry });
    }

    /// Adds a slot.
    pub(super) fn add_slot(&mut self, life: LifeId, hash: B256, value: U256) {
        self.slots.push(SlotBefore { life: life.get(), hash, value });
    }

    /// The accounts before the block, by hash; `None` if an entry does not decode.
    pub(super) fn accounts(&self) -> Option<Vec<(B256, Option<AccountEntry>)>> {
        let entry =
            |bytes: &Bytes| if bytes.is_empty() { Some(None) } else { AccountEntry::decode(bytes).map(Some) };
        self.accounts.iter().map(|before| Some((before.hash, entry(&before.entry)?))).collect()
    }

    /// The slots before the block, grouped by life.
    pub(super) fn slots(&self) -> impl Iterator<Item = &[SlotBefore]> {
        self.slots.chunk_by(|one, other| one.life == other.life)
    }
}
