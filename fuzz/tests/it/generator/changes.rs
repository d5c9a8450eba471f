//! Counts events in the changes of a block's transactions.

use alloy_primitives::{Address, U256};
use blockloom_fuzz::HostileBlock;
use blockloom_state::{AccountChange, Change, Changes};
use revm::{
    bytecode::Bytecode,
    context::TxEnv,
    context_interface::{Transaction as _, transaction::AuthorizationTr as _},
};

use super::Counts;

/// What earlier transactions of the block did.
#[derive(Debug, Default)]
pub(super) struct History {
    senders: Vec<Address>,
    pub(super) destroyed: Vec<Address>,
    pub(super) delegated: Vec<Address>,
    written: Vec<(Address, U256)>,
    /// The slots that were written in the present life of their account.
    written_in_life: Vec<(Address, U256)>,
}

impl History {
    /// Whether a slot had a value before the block, and its account was destroyed and did not write it since.
    pub(super) fn is_lost(&self, hostile: &HostileBlock, slot: (Address, U256)) -> bool {
        let stored = hostile.base.account(&slot.0);
        let had_value = stored.is_some_and(|stored| stored.slots.contains_key(&slot.1));
        had_value && self.destroyed.contains(&slot.0) && !self.written_in_life.contains(&slot)
    }

    pub(super) fn count_sender(&mut self, hostile: &HostileBlock, env: &TxEnv, counts: &mut Counts) {
        let sender = env.caller;
        let mut authorities = env.authorization_list().filter_map(|authorization| authorization.authority());
        counts.count(&format!("type {}", env.tx_type));
        counts.count_facts(&[
            ("delegated sender", self.delegated.contains(&sender)),
            ("sender again", self.senders.contains(&sender)),
            ("sender without balance at first", hostile.base.account(&sender).is_none()),
            ("coinbase sends", sender == hostile.block.env.beneficiary),
            ("authorizes itself", authorities.any(|authority| authority == sender)),
        ]);
        self.senders.push(sender);
    }

    /// Counts the events in the changes of one transaction.
    pub(super) fn count_changes(&mut self, hostile: &HostileBlock, changes: &Changes, counts: &mut Counts) {
        for (address, change) in &changes.accounts {
            self.count_account(hostile, *address, change, counts);
            let code = change.account.after.and_then(|after| changes.codes.get(&after.code_hash));
            if code.is_some_and(Bytecode::is_eip7702) {
                counts.count("delegation set");
                self.delegated.push(*address);
            }
        }
    }

    fn count_account(
        &mut self,
        hostile: &HostileBlock,
        address: Address,
        change: &AccountChange,
        counts: &mut Counts,
    ) {
        let Change { before, after } = change.account;
        let had_code = before.is_some_and(|before| before.has_code());
        let has_code = after.is_some_and(|after| after.has_code());
        let (is_gone, is_new) = (before.is_some() && after.is_none(), before.is_none() && after.is_some());
        let was_destroyed = self.destroyed.contains(&address);
        let storage_only = hostile.block.rules.storage_only.as_ref();
        let had_storage_only = storage_only.is_some_and(|accounts| accounts.contains(&address));
        counts.count_facts(&[
            ("destroyed", is_gone && had_code),
            ("empty account cleared", is_gone && !had_code),
            ("storage-only account cleared", is_gone && had_storage_only && !was_destroyed),
            ("created where storage was cleared", !had_code && has_code && had_storage_only && was_destroyed),
            ("created again", is_new && has_code && was_destroyed),
            ("empty account made", is_new && after.is_some_and(|after| after.is_empty())),
            ("delegation cleared", had_code && after.is_some() && !has_code),
        ]);
        if is_gone {
            self.destroyed.push(address);
            self.written_in_life.retain(|(written, _)| *written != address);
        }
        for key in change.slots.keys() {
            counts.count_facts(&[("slot written again", self.written.contains(&(address, *key)))]);
            self.written.push((address, *key));
            self.written_in_life.push((address, *key));
        }
    }
}
