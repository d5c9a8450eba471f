//! Records that were made elsewhere: whether they hold on an overlay, and their commit.

use std::hint::black_box;

use revm_state::AccountId;

use crate::{
    commit::overlay::{Overlay, entry, record_account},
    model::{account::Account, base::Base, changes::Life},
    record::record::{Existence, Origin, Record, SlotObservation, SlotRecord, Conflict},
};

impl<B: Base> Overlay<B> {
    /// Looks at a record, and at what is here of those who pay and are paid. Where several are judged one
    /// after the other it pays to look at all of them first: what lies in another core's cache, or in
    /// nobody's, comes at the same time then, instead of being waited for at each step.
    #[inline]
    pub fn fetch(&self, record: &Record) {
        // What is looked at means nothing here: only that a compiler may not leave it out.
        for payment in &record.payments {
            black_box(self.accounts.get_index_of(&payment.address()));
        }
        record.accounts.iter().for_each(|account| _ = black_box(account.effect.is_some()));
        record.reads.iter().for_each(|slot| _ = black_box(slot.account));
        record.writes.iter().for_each(|slot| _ = black_box(slot.account));
    }

    /// What of the observations in a record does not hold here. If there is nothing, the record may
    /// be committed next.
    ///
    /// # Errors
    ///
    /// If the base cannot be read.
    pub fn staleness(&mut self, record: &Record) -> Result<Option<Conflict>, B::Error> {
        self.judged.clear();
        for payment in &record.payments {
            let place = self.place_of(payment.address(), payment.base())?;
            let stale = payment.staleness(self.accounts[place.get()].account.after.as_ref());
            if stale.is_some() {
                return Ok(stale);
            }
            self.judged.push(place);
        }
        for account in &record.accounts {
            let place = self.place(account.address)?;
            let now = self.accounts[place.get()].account.after;
            let Account { balance, nonce, code_hash } = now.unwrap_or(Account::EMPTY);
            let stale = account.observed.staleness(&balance, nonce, &code_hash, Existence::of(now.as_ref()));
            if stale.is_some() {
                return Ok(stale);
            }
            self.judged.push(place);
        }
        for slot in &record.reads {
            if !self.is_slot(self.judged[record.payments.len() + slot.account as usize], slot)? {
                return Ok(Some(Conflict::Slot));
            }
        }
        Ok(None)
    }

    /// Commits the effects of the record that was judged last.
    ///
    /// # Panics
    ///
    /// If another record was judged last, or this one is stale.
    pub fn commit_record(&mut self, record: &Record) {
        let all = record.payments.len() + record.accounts.len();
        assert_eq!(self.judged.len(), all, "a record is judged before it is committed");
        let Self { accounts, sides, recorder, listing, .. } = self;
        if let Some(listing) = listing {
            listing.commit_record(record, &self.judged);
        }
        let (payers, others) = self.judged.split_at(record.payments.len());
        for (payment, place) in record.payments.iter().zip(payers).filter(|(payment, _)| payment.changes_anything()) {
            let entry = entry(accounts, sides, *place);
            let before = entry.change.account.after;
            let recorded = record_account(recorder, &entry);
            payment.apply_to(&mut entry.change.account.after);
            entry.tell(recorded);
            entry.list(listing, *place, before);
        }
        for (account, place) in record.accounts.iter().zip(others) {
            let Some(effect) = &account.effect else { continue };
            let mut entry = entry(accounts, sides, *place);
            let before = entry.change.account.after;
            let mut recorded = record_account(recorder, &entry);
            entry.enter(effect.life_change, &mut recorded);
            effect.apply_to(&mut entry.change.account.after, &mut entry.side.code);
            entry.tell(recorded);
            entry.list(listing, *place, before);
        }
        for SlotRecord { account, key, original, value } in &record.writes {
            let mut entry = entry(accounts, sides, others[*account as usize]);
            let mut recorded = record_account(recorder, &entry);
            entry.write(*key, *original, *value, &mut recorded);
        }
    }

    /// Whether a slot holds what a run read there. What the run knows of the base need not be asked
    /// again.
    fn is_slot(&mut self, place: AccountId, slot: &SlotObservation) -> Result<bool, B::Error> {
        let change = &self.accounts[place.get()];
        if slot.origin == Origin::Base && change.life == Life::Same {
            return Ok(change.slots.get(&slot.key).is_none_or(|known| known.after == slot.value));
        }
        Ok(self.slot(place, slot.key)? == slot.value)
    }
}
