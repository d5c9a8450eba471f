//! Validates records of speculative runs on an overlay, and commits them.

use std::hint::black_box;

use crate::{
    commit::{overlay::Overlay, overlay_entry::entry},
    model::{account::Account, base::Base, changes::Life, index::OverlayAccountId},
    record::{
        observation::{Conflict, Existence, Origin},
        record::{Record, SlotObservation, SlotRecord},
    },
};

impl<B: Base> Overlay<B> {
    /// Loads a record, and the accounts of its payments, into the cache of this core. If several records are
    /// validated one after the other, it pays to load all of them first: the cache misses then overlap.
    #[inline]
    pub fn prefetch(&self, record: &Record) {
        // `black_box` keeps the compiler from removing reads whose results are not used.
        for payment in &record.payments {
            black_box(self.accounts.get_index_of(&payment.address()));
        }
        record.accounts.iter().for_each(|account| _ = black_box(account.effect.is_some()));
        record.reads.iter().for_each(|slot| _ = black_box(slot.account));
        record.writes.iter().for_each(|slot| _ = black_box(slot.account));
    }

    /// Checks whether the observations of a record hold here, and returns the first conflict. Without one,
    /// the record may be committed next.
    ///
    /// # Errors
    ///
    /// If the base cannot be read.
    pub fn validate(&mut self, record: &Record) -> Result<Option<Conflict>, B::Error> {
        self.validated.clear();
        for payment in &record.payments {
            let id = self.load_known(payment.address(), payment.base())?;
            let conflict = payment.validate(self.accounts[id.get()].account.after.as_ref());
            if conflict.is_some() {
                return Ok(conflict);
            }
            self.validated.push(id);
        }
        for account in &record.accounts {
            let id = self.load(account.address)?;
            let now = self.accounts[id.get()].account.after;
            let Account { balance, nonce, code_hash } = now.unwrap_or(Account::EMPTY);
            let existence = Existence::of(now.as_ref());
            let conflict = account.observed.validate(&balance, nonce, &code_hash, existence);
            if conflict.is_some() {
                return Ok(conflict);
            }
            self.validated.push(id);
        }
        for slot in &record.reads {
            let id = self.validated[record.payments.len() + slot.account as usize];
            if !self.slot_holds(id, slot)? {
                return Ok(Some(Conflict::Slot));
            }
        }
        Ok(None)
    }

    /// Commits the effects of the record that was validated last.
    ///
    /// # Panics
    ///
    /// If the number of accounts in the record differs from that of the last one that was validated without a
    /// conflict.
    pub fn commit_record(&mut self, record: &Record) {
        let all = record.payments.len() + record.accounts.len();
        assert_eq!(self.validated.len(), all, "a record is validated before it is committed");
        let Self { accounts, details, steps, access_list, .. } = self;
        if let Some(access_list) = access_list {
            access_list.commit_record(record, &self.validated);
        }
        let (payers, others) = self.validated.split_at(record.payments.len());
        let payments = record.payments.iter().zip(payers);
        for (payment, id) in payments.filter(|(payment, _)| payment.changes_anything()) {
            let entry = entry(accounts, details, *id);
            let before = entry.change.account.after;
            let step = entry.step(steps);
            payment.apply_to(&mut entry.change.account.after);
            entry.add_to_step(step);
            entry.add_to_list(access_list, *id, before);
        }
        for (account, id) in record.accounts.iter().zip(others) {
            let Some(effect) = &account.effect else { continue };
            let mut entry = entry(accounts, details, *id);
            let before = entry.change.account.after;
            let mut step = entry.step(steps);
            entry.change_life(effect.life_change, &mut step);
            effect.apply_to(&mut entry.change.account.after, &mut entry.detail.code);
            entry.add_to_step(step);
            entry.add_to_list(access_list, *id, before);
        }
        for SlotRecord { account, key, original, value } in &record.writes {
            let mut entry = entry(accounts, details, others[*account as usize]);
            let mut step = entry.step(steps);
            entry.write(*key, *original, *value, &mut step);
        }
    }

    /// Whether a slot holds the value that a run read. A value that the run read from the base is not read
    /// again.
    fn slot_holds(&mut self, id: OverlayAccountId, slot: &SlotObservation) -> Result<bool, B::Error> {
        let change = &self.accounts[id.get()];
        if slot.origin == Origin::Base && change.life == Life::Same {
            return Ok(change.slots.get(&slot.key).is_none_or(|known| known.after == slot.value));
        }
        Ok(self.slot(id, slot.key)? == slot.value)
    }
}
