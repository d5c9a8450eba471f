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
            let mut entry = entry(accounts, details, *id);
            let before = entry.change.account.after;
            entry.step(steps);
            payment.apply_to(&mut entry.change.account.after);
            entry.add_to_list(access_list, *id, before);
        }
        for (account, id) in record.accounts.iter().zip(others) {
            let Some(effect) = &account.effect else { continue };
            let mut entry = entry(accounts, details, *id);
            let before = entry.change.account.after;
            let mut step = entry.step(steps);
            entry.change_life(effect.life_change, &mut step);
            effect.apply_to(&mut entry.change.account.after, &mut entry.detail.code);
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

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, KECCAK256_EMPTY, U256};

    use super::*;
    use crate::{
        model::allocation::Allocation,
        record::{
            effect::{AccountEffect, BalanceEffect, LifeChange},
            observation::{AccountObservation, Bounds},
            payment::Payment,
            record::AccountRecord,
        },
        stores::memory::MemoryStore,
    };

    const CONTRACT: Address = Address::with_last_byte(1);
    const PAYER: Address = Address::with_last_byte(2);
    const KEY: U256 = U256::ZERO;

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    /// A contract with 9 in a slot, and an account with 100 wei and nonce 3.
    fn store() -> MemoryStore {
        let storage = [(KEY, word(9))].into();
        let contract = Allocation { nonce: 1, code: [0].into(), storage, ..Allocation::default() };
        let payer = Allocation { balance: word(100), nonce: 3, ..Allocation::default() };
        MemoryStore::from_genesis([(CONTRACT, contract), (PAYER, payer)])
    }

    fn account(address: Address, observed: AccountObservation) -> AccountRecord {
        AccountRecord { address, id: None, observed, effect: None }
    }

    /// The record of a run that reads the slot.
    fn reading(value: u64, origin: Origin) -> Record {
        Record {
            accounts: vec![account(CONTRACT, AccountObservation::NOTHING)],
            reads: vec![SlotObservation { account: 0, key: KEY, value: word(value), origin }],
            ..Record::default()
        }
    }

    /// The record of a run that changes the slot.
    fn writing(original: u64, value: u64) -> Record {
        let write = SlotRecord { account: 0, key: KEY, original: word(original), value: word(value) };
        Record { reads: Vec::new(), writes: vec![write], ..reading(0, Origin::Base) }
    }

    /// The record of a run that ends the contract's life, or begins one.
    fn living(life_change: LifeChange) -> Record {
        let effect = AccountEffect { life_change, balance: BalanceEffect::Keep, nonce: Some(1), code: None };
        let mut record = Record { reads: Vec::new(), ..reading(0, Origin::Base) };
        record.accounts[0].effect = Some(effect);
        record
    }

    fn commit(overlay: &mut Overlay<&MemoryStore>, record: &Record) {
        assert_eq!(overlay.validate(record).unwrap(), None);
        overlay.commit_record(record);
    }

    #[test]
    fn a_slot_holds_if_the_present_life_has_the_value_that_was_read() {
        let write_back = [writing(9, 7), writing(7, 9)];
        let new_life = || [living(LifeChange::Ends), living(LifeChange::Begins)];
        let written_again = [&new_life()[..], &[writing(0, 9)]].concat();
        let table: [(&[Record], u64); 7] = [
            (&[], 9),
            (&[writing(9, 7)], 7),
            (&write_back, 9),
            (&[living(LifeChange::Ends)], 0),
            (&new_life(), 0),
            (&written_again, 9),
            (&[writing(9, 7), living(LifeChange::Begins)], 0),
        ];
        let store = store();
        for (position, (history, value)) in table.into_iter().enumerate() {
            for (read, origin) in
                [(9, Origin::Base), (9, Origin::Block), (7, Origin::Block), (0, Origin::Block)]
            {
                // The overlay has not read the slot before, unless a record wrote it.
                let mut overlay = Overlay::new(&store);
                history.iter().for_each(|record| commit(&mut overlay, record));
                let expected = (read != value).then_some(Conflict::Slot);
                let found = overlay.validate(&reading(read, origin)).unwrap();
                assert_eq!(found, expected, "history {position}: {read} of {origin:?}");
            }
        }
    }

    #[test]
    fn a_slot_is_validated_in_its_own_account() {
        let payment = Payment::of(
            PAYER,
            &AccountObservation {
                balance: Bounds::<U256>::BELOW_OVERFLOW,
                code_hash: Some(KECCAK256_EMPTY),
                ..AccountObservation::NOTHING
            },
            None,
            None,
        );
        let other = account(Address::with_last_byte(3), AccountObservation::NOTHING);
        let mut record = reading(9, Origin::Block);
        record.payments = [payment.unwrap()].into_iter().collect();
        record.accounts.insert(0, other);
        for (account, expected) in [(0, Some(Conflict::Slot)), (1, None)] {
            record.reads[0].account = account;
            assert_eq!(Overlay::new(&store()).validate(&record).unwrap(), expected);
        }
    }

    #[test]
    fn each_part_of_an_observation_is_validated_in_accounts_and_payments() {
        let holds = AccountObservation {
            balance: Bounds { at_least: word(100), ..Bounds::<U256>::BELOW_OVERFLOW },
            nonce: Bounds::exactly(3u64),
            code_hash: Some(KECCAK256_EMPTY),
            existence: Some(Existence::Exists),
        };
        let table = [
            (holds, None),
            (
                AccountObservation { balance: Bounds { at_least: word(101), ..holds.balance }, ..holds },
                Some(Conflict::Balance),
            ),
            (AccountObservation { nonce: Bounds::exactly(4u64), ..holds }, Some(Conflict::Nonce)),
            (AccountObservation { nonce: Bounds::exactly(2u64), ..holds }, Some(Conflict::Nonce)),
            (AccountObservation { existence: Some(Existence::Absent), ..holds }, Some(Conflict::Existence)),
        ];
        for (observed, expected) in table {
            let as_account = Record { accounts: vec![account(PAYER, observed)], ..Record::default() };
            assert_eq!(Overlay::new(&store()).validate(&as_account).unwrap(), expected);
            let payment = Payment::of(PAYER, &observed, None, None).unwrap();
            let as_payment = Record { payments: [payment].into_iter().collect(), ..Record::default() };
            assert_eq!(Overlay::new(&store()).validate(&as_payment).unwrap(), expected);
        }
        // No payment observes these.
        let too_high =
            AccountObservation { balance: Bounds { at_most: word(99), ..Bounds::<U256>::ALL }, ..holds };
        let other_code = AccountObservation { code_hash: Some(CONTRACT.into_word()), ..holds };
        for (observed, expected) in [(too_high, Conflict::Balance), (other_code, Conflict::Code)] {
            let record = Record { accounts: vec![account(PAYER, observed)], ..Record::default() };
            assert_eq!(Overlay::new(&store()).validate(&record).unwrap(), Some(expected));
        }
    }
}
