//! What undoes a block: what stood where the block wrote.

use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

use crate::stores::disk::account_entry::{AccountEntry, LifeId};

/// What stood where a block wrote, by hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Undo {
    accounts: Vec<AccountBefore>,
    slots: Vec<SlotBefore>,
}

/// What was kept of an account; empty if it did not exist.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct AccountBefore {
    hash: B256,
    entry: Bytes,
}

/// What a slot of a life held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct SlotBefore {
    life: u64,
    /// The hash of its key.
    pub(super) hash: B256,
    /// What it held.
    pub(super) value: U256,
}

impl SlotBefore {
    /// The life that it belongs to.
    pub(super) fn life(&self) -> LifeId {
        self.life.into()
    }
}

impl Undo {
    /// Remembers an account.
    pub(super) fn add_account(&mut self, hash: B256, before: Option<&AccountEntry>) {
        let entry = before.map(AccountEntry::encode).unwrap_or_default().into();
        self.accounts.push(AccountBefore { hash, entry });
    }

    /// Remembers a slot.
    pub(super) fn add_slot(&mut self, life: LifeId, hash: B256, value: U256) {
        self.slots.push(SlotBefore { life: life.get(), hash, value });
    }

    /// The accounts, by hash, as they were; `None` if there is one that none was like.
    pub(super) fn accounts(&self) -> Option<Vec<(B256, Option<AccountEntry>)>> {
        let entry =
            |bytes: &Bytes| if bytes.is_empty() { Some(None) } else { AccountEntry::decode(bytes).map(Some) };
        self.accounts.iter().map(|before| Some((before.hash, entry(&before.entry)?))).collect()
    }

    /// The slots of each life, as they were. Those of one life follow each other.
    pub(super) fn slots(&self) -> impl Iterator<Item = &[SlotBefore]> {
        self.slots.chunk_by(|one, other| one.life == other.life)
    }
}
