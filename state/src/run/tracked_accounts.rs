//! The accounts that a run tracks, in the order in which it read them.
//!
//! revm carries the id of an account, its position in this list, through the execution. That spares a
//! lookup by address for each observation.

use alloy_primitives::{Address, map::AddressMap};
use revm_state::AccountId;

use crate::{
    model::index::TrackedAccountId,
    mv::memory::Memory,
    record::{
        observation::Existence,
        record::{AccountRecord, Record},
    },
    run::tracked_account::TrackedAccount,
};

/// The accounts that a run tracks.
#[derive(Debug, Default)]
pub(super) struct TrackedAccounts {
    accounts: Vec<TrackedAccount>,
    /// The ids of accounts that do not exist: revm cannot carry them.
    absent: AddressMap<TrackedAccountId>,
}

impl TrackedAccounts {
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.absent.clear();
    }

    pub(super) fn add(&mut self, account: TrackedAccount) -> TrackedAccountId {
        let id = TrackedAccountId::new(self.accounts.len());
        if account.existence == Existence::Absent {
            self.absent.insert(account.address, id);
        }
        self.accounts.push(account);
        id
    }

    /// The id of an account; `carried` is the one that revm carries.
    #[inline]
    pub(super) fn find(&self, address: Address, carried: Option<AccountId>) -> Option<TrackedAccountId> {
        // revm carries no id, or one of another database, for an account that it created.
        let is_tracked =
            |id: &TrackedAccountId| self.accounts.get(id.get()).is_some_and(|found| found.address == address);
        let carried = carried.map(TrackedAccountId::from_revm).filter(is_tracked);
        carried.or_else(|| self.absent.get(&address).copied()).or_else(|| {
            let position = self.accounts.iter().position(|account| account.address == address)?;
            Some(TrackedAccountId::new(position))
        })
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: TrackedAccountId) -> &mut TrackedAccount {
        &mut self.accounts[id.get()]
    }

    /// Whether the run needs the exact balance of an account.
    pub(super) fn need_exact_balance(&self, address: Address) -> bool {
        self.accounts.iter().any(|account| account.address == address && account.needs.balance.are_exact())
    }

    /// Moves the observations and effects of all accounts into a record. The slots in the record refer to
    /// tracked accounts before, and to accounts of the record afterwards.
    pub(super) fn move_into(&mut self, record: &mut Record, memory: &Memory) {
        let has_slots = !(record.reads.is_empty() && record.created.is_empty() && record.writes.is_empty());
        let mut positions = Vec::with_capacity(if has_slots { self.accounts.len() } else { 0 });
        // The accounts are large, so they are not moved out of the list.
        for account in &mut self.accounts {
            if has_slots {
                positions.push(record.accounts.len() as u32);
            }
            match account.payment() {
                Some(payment) => record.payments.push(payment),
                None => {
                    // An account with effects or slots is published under its memory id.
                    let is_published =
                        memory.is_publishing() && (account.effect.is_some() || account.has_slots);
                    let id =
                        if is_published { Some(account.get_or_insert_id(memory)) } else { account.memory_id };
                    let (observed, effect) = (account.needs, account.effect.take());
                    record.accounts.push(AccountRecord { address: account.address, id, observed, effect });
                }
            }
        }
        self.clear();
        for read in &mut record.reads {
            read.account = positions[read.account as usize];
        }
        for slot in &mut record.created {
            slot.account = positions[slot.account as usize];
        }
        for write in &mut record.writes {
            write.account = positions[write.account as usize];
        }
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use revm_state::AccountInfo;

    use super::*;

    #[test]
    fn an_account_is_found_by_its_address_whatever_id_it_carries() {
        let [existing, absent, other] = [1, 2, 3].map(Address::with_last_byte);
        let mut accounts = TrackedAccounts::default();
        let mut add = |address, info: Option<AccountInfo>| {
            accounts.add(TrackedAccount::new(address, None, None, None, info.as_ref()))
        };
        let ids = [add(existing, Some(AccountInfo::default())), add(absent, None)];
        let unknown = TrackedAccountId::new(ids.len());
        let carried = [None, Some(ids[0]), Some(ids[1]), Some(unknown)];
        for carried in carried.map(|id| id.map(TrackedAccountId::into_revm)) {
            assert_eq!(accounts.find(existing, carried), Some(ids[0]));
            assert_eq!(accounts.find(absent, carried), Some(ids[1]));
            assert_eq!(accounts.find(other, carried), None);
        }
    }
}
