//! Effects that were committed to an overlay and are still to be published.
//!
//! Owns notes of which accounts and slots changed, and what the accounts were when they were last published. The
//! values come from the overlay when the notes are taken, so several changes of one location are published as one.
//! Recent notes are taken at the next publication; withheld ones in growing portions, after a stale record shows
//! that one was missed.

use alloy_primitives::{Address, U256};
use revm_state::{Account as EvmAccount, AccountInfo, Bytecode};

use crate::{
    commit::{
        overlay::Overlay,
        overlay_entry::{OverlayEntry, entry},
    },
    model::{
        account::Account,
        base::Base,
        changes::{AccountChange, Change, Life},
        index::{MemoryAccountId, OverlayAccountId},
    },
    mv::{cached_base::CachedBase, memory::Memory},
    record::{
        effect::{AccountEffect, BalanceEffect, LifeChange, code_of},
        observation::AccountObservation,
        publication::{Portion, Publication},
        record::{AccountRecord, Record, SlotRecord},
    },
};

/// How many withheld notes the first portion has. A larger one publishes more in vain, a smaller one needs more
/// misses until everything is published.
const FIRST_PORTION: usize = 8;

/// Notes of what changed since the last publication.
#[derive(Debug, Default)]
pub(super) struct PendingEffects {
    /// Where new notes go.
    list: NoteList,
    /// Every account that changed; notes hold positions in this list.
    accounts: Vec<PendingAccount>,
    recent: Vec<PendingNote>,
    /// The notes that are being published.
    taken: Vec<PendingNote>,
    withheld: Vec<PendingNote>,
    /// How many of the withheld notes were published.
    released: usize,
    portion: usize,
}

/// A list of notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NoteList {
    #[default]
    Recent,
    Withheld,
}

/// An account that changed, or one of its slots.
#[derive(Clone, Copy, Debug)]
struct PendingNote {
    account: u32,
    slot: Option<U256>,
}

/// An account that changed.
#[derive(Debug)]
struct PendingAccount {
    /// The overlay's id of the account.
    id: OverlayAccountId,
    /// What it was when it was last published.
    before: Option<Account>,
    /// What became of its life since.
    life_change: LifeChange,
    /// The list that has a note of its change.
    noted: Option<NoteList>,
    /// Its position among the effects that are being published.
    position: Option<u32>,
}

impl<B: Base> Overlay<B> {
    /// Sets whether the effects that are committed from now on are kept for
    /// [`take_effects`](Self::take_effects), and whether they are withheld. Nothing is kept at first.
    /// [`Publication::Off`] drops what was kept.
    pub fn set_publication(&mut self, publication: Publication) {
        let list = match publication {
            Publication::Immediate | Publication::Deferred => NoteList::Recent,
            Publication::OnMiss => NoteList::Withheld,
            Publication::Off => {
                let dropped = self.pending.take().into_iter().flat_map(|pending| pending.accounts);
                return dropped.for_each(|account| self.details[account.id.get()].pending = None);
            }
        };
        self.pending.get_or_insert_default().list = list;
    }

    /// Keeps the effects of the record that was validated last, as if its transaction had run here. The record is
    /// about to be committed. Payments are not kept: see [`Memory::publish`](crate::Memory::publish).
    pub fn keep_effects(&mut self, record: &Record) {
        let Self { pending: Some(pending), accounts, details, validated, .. } = self else { return };
        let ids = &validated[record.payments.len()..];
        for (account, id) in record.accounts.iter().zip(ids) {
            if let Some(effect) = &account.effect {
                let position = pending.position(*id, &mut entry(accounts, details, *id));
                pending.note_account(position, effect.life_change);
            }
        }
        for write in &record.writes {
            let id = ids[write.account as usize];
            let account = pending.position(id, &mut entry(accounts, details, id));
            pending.note(PendingNote { account, slot: Some(write.key) });
        }
    }

    /// Replaces the content of `effects` by the combined effects that were kept since the last call.
    /// `insert_account` gives the memory's id of an account that has none.
    pub fn take_effects(
        &mut self,
        effects: &mut Record,
        portion: Portion,
        mut insert_account: impl FnMut(Address, Option<AccountInfo>) -> MemoryAccountId,
    ) {
        effects.clear();
        let Self { pending: Some(pending), accounts, details, .. } = self else { return };
        pending.take(portion);
        for PendingNote { account, slot } in &pending.taken {
            let pending_account = &mut pending.accounts[*account as usize];
            let OverlayEntry { address, change, detail, .. } = entry(accounts, details, pending_account.id);
            let position = *pending_account.position.get_or_insert_with(|| {
                let insert = || {
                    let before = change.account.before;
                    let code = detail.code_before.clone();
                    insert_account(address, before.map(|before| before.into_info(code, None)))
                };
                // The base of an overlay whose effects are published is a `CachedBase`: its ids are the memory's.
                let known = detail.base_id.map(|id| MemoryAccountId::from_revm(id.into_revm()));
                let (id, observed) = (known.unwrap_or_else(insert), AccountObservation::NOTHING);
                effects.accounts.push(AccountRecord { address, id: Some(id), observed, effect: None });
                effects.accounts.len() as u32 - 1
            });
            // A new life is published before its first slot, so that the slot belongs to it.
            if let Some(effect) = pending_account.take_effect(change.account.after, detail.code.as_ref()) {
                effects.accounts[position as usize].effect = Some(effect);
            }
            // The slots of a life that has ended since are gone.
            let slot = slot.and_then(|key| Some((key, change.slots.get(&key)?)));
            effects.writes.extend(slot.map(|(key, slot)| SlotRecord {
                account: position,
                key,
                original: slot.before,
                value: slot.after,
            }));
        }
        for note in pending.taken.drain(..) {
            pending.accounts[note.account as usize].position = None;
        }
        if pending.recent.is_empty() && pending.withheld.is_empty() {
            pending.accounts.drain(..).for_each(|account| details[account.id.get()].pending = None);
        }
    }
}

impl<'m, B: Base + ?Sized> Overlay<CachedBase<'m, B>> {
    /// Reads the base through `memory` from now on. Everything that was committed so far is kept for
    /// [`take_effects`](Self::take_effects), in place of what was kept: speculation starts now, and reads it.
    pub fn join_memory(&mut self, memory: &'m Memory) {
        self.base.join_memory(memory);
        self.set_publication(Publication::Off);
        self.set_publication(Publication::Immediate);
        let Self { pending: Some(pending), accounts, details, .. } = self else { return };
        for position in 0..accounts.len() {
            let id = OverlayAccountId::new(position);
            let mut entry = entry(accounts, details, id);
            // Ids of the base are not the memory's.
            entry.detail.base_id = None;
            pending.note_change(id, &mut entry);
        }
    }
}

impl PendingEffects {
    /// Notes what became of an account since the overlay was made.
    fn note_change(&mut self, id: OverlayAccountId, entry: &mut OverlayEntry<'_>) {
        let AccountChange { account: Change { before, after }, life, slots } = &*entry.change;
        let life_change = match (life, after) {
            (Life::Same, _) => LifeChange::Continues,
            (Life::New, Some(_)) => LifeChange::Begins,
            (Life::New, None) => LifeChange::Ends,
        };
        let [was, now] = [before, after].map(|account| account.unwrap_or(Account::EMPTY));
        let continues = life_change == LifeChange::Continues;
        let is_payment = continues && was.code_hash == now.code_hash && !now.has_code();
        let is_published = !is_payment && (!continues || was != now);
        let has_writes = slots.len() > entry.detail.idle_slots;
        if !is_published && !has_writes {
            return;
        }
        let position = u32::try_from(self.accounts.len()).expect("a block touches fewer than 2^32 accounts");
        self.accounts.push(PendingAccount {
            id,
            before: *before,
            life_change: LifeChange::Continues,
            noted: None,
            position: None,
        });
        entry.detail.pending = Some(position);
        if is_published {
            self.note_account(position, life_change);
        }
        let written = slots.iter().filter(|(_, slot)| slot.is_change());
        self.recent.extend(written.map(|(key, _)| PendingNote { account: position, slot: Some(*key) }));
    }

    /// Notes what a run changes of an account, before the change is committed.
    pub(super) fn note_run(
        &mut self,
        id: OverlayAccountId,
        entry: &mut OverlayEntry<'_>,
        life_change: LifeChange,
        account: &EvmAccount,
    ) {
        let Account { balance, nonce, code_hash } = entry.change.account.after.unwrap_or(Account::EMPTY);
        let info = &account.info;
        let changes_anything = life_change != LifeChange::Continues
            || info.code_hash != code_hash
            || info.balance != balance
            || info.nonce != nonce;
        // A payment of an account without code is not published unless another change of it is.
        let is_payment =
            life_change == LifeChange::Continues && info.code_hash == code_hash && info.is_empty_code_hash();
        let mut written = account.changed_storage_slots().map(|(key, _)| *key).peekable();
        let is_published = changes_anything && (!is_payment || entry.detail.pending.is_some());
        if is_published || written.peek().is_some() {
            let account = self.position(id, entry);
            if changes_anything {
                self.note_account(account, life_change);
            }
            written.for_each(|key| self.note(PendingNote { account, slot: Some(key) }));
        }
    }

    /// The position of an account that is about to change.
    fn position(&mut self, id: OverlayAccountId, entry: &mut OverlayEntry<'_>) -> u32 {
        *entry.detail.pending.get_or_insert_with(|| {
            let before = entry.change.account.after;
            self.accounts.push(PendingAccount {
                id,
                before,
                life_change: LifeChange::Continues,
                noted: None,
                position: None,
            });
            u32::try_from(self.accounts.len() - 1).expect("a block touches fewer than 2^32 accounts")
        })
    }

    fn note_account(&mut self, account: u32, life_change: LifeChange) {
        let pending = &mut self.accounts[account as usize];
        pending.life_change = combine(pending.life_change, life_change);
        if pending.noted.is_none()
            || (pending.noted, self.list) == (Some(NoteList::Withheld), NoteList::Recent)
        {
            pending.noted = Some(self.list);
            self.note(PendingNote { account, slot: None });
        }
    }

    fn note(&mut self, note: PendingNote) {
        match self.list {
            NoteList::Recent => self.recent.push(note),
            NoteList::Withheld => self.withheld.push(note),
        }
    }

    /// Moves notes into the empty list of taken ones.
    fn take(&mut self, portion: Portion) {
        std::mem::swap(&mut self.recent, &mut self.taken);
        if portion == Portion::RecentAndWithheld {
            self.portion = (2 * self.portion).max(FIRST_PORTION);
            let portion = self.portion.min(self.withheld.len() - self.released);
            self.taken.extend_from_slice(&self.withheld[self.released..][..portion]);
            self.released += portion;
        }
        if self.released == self.withheld.len() {
            (self.withheld, self.released, self.portion) = (Vec::new(), 0, 0);
        }
    }
}

impl PendingAccount {
    /// How the account differs from its last publication, if it does; `now` is the account.
    fn take_effect(&mut self, now: Option<Account>, code: Option<&Bytecode>) -> Option<AccountEffect> {
        self.noted.take()?;
        let before = std::mem::replace(&mut self.before, now);
        let Account { balance, nonce, code_hash } = before.unwrap_or(Account::EMPTY);
        let life_change = std::mem::replace(&mut self.life_change, LifeChange::Continues);
        let now = now.unwrap_or(Account::EMPTY);
        let effect = AccountEffect {
            life_change,
            balance: if now.balance == balance {
                BalanceEffect::Keep
            } else {
                BalanceEffect::Set(now.balance)
            },
            nonce: (now.nonce != nonce || life_change == LifeChange::Begins).then_some(now.nonce),
            code: (now.code_hash != code_hash).then(|| code_of(&now.into_info(code.cloned(), None))),
        };
        effect.changes_anything().then_some(effect)
    }
}

/// Two life changes, one after the other, as one.
fn combine(before: LifeChange, after: LifeChange) -> LifeChange {
    match (before, after) {
        (LifeChange::Continues, _) | (_, LifeChange::Begins | LifeChange::Ends) => after,
        // The account was gone: everything that it is now belongs to a new life.
        (LifeChange::Begins | LifeChange::Ends, LifeChange::Continues) => LifeChange::Begins,
    }
}
