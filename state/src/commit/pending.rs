//! What was committed to an overlay lately, as effects that others can be told of.
//!
//! Owns the names of what changed, and what the accounts were before. What they are now the overlay
//! knows: so telling late tells of what counts in the end, all in one. Most of it is told soon; what is
//! kept back is told in growing portions, when it turns out that somebody misses some of it.

use alloy_primitives::{Address, U256};
use revm_state::{Account as EvmAccount, AccountId, AccountInfo, Bytecode};

use crate::{
    commit::overlay::{Entry, Overlay, entry},
    model::{account::Account, base::Base},
    record::record::{
        AccountEffect, AccountObservation, AccountRecord, BalanceEffect, LifeChange, Record, SlotRecord, code_of,
    },
};

/// How much of what was kept back is told at first.
const FIRST_PORTION: usize = 8;

/// Whether others are to be told of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Now or soon.
    Kept,
    /// Only if somebody misses them.
    KeptBack,
    /// Never.
    Forgotten,
}

/// How much is told of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// What is not kept back.
    Latest,
    /// That, and a portion of what is kept back: each time twice as much.
    AndMore,
}

/// The names of what changed.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Where what changes now is noted.
    list: List,
    /// Every account that changed; notes say its position.
    accounts: Vec<Traced>,
    latest: Vec<Note>,
    /// Those that are being told of.
    taken: Vec<Note>,
    back: Vec<Note>,
    /// How many of those that are kept back were told of.
    told: usize,
    portion: usize,
}

/// Where something is noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    Latest,
    Back,
}

/// Something that changed: an account, or one of its slots.
#[derive(Clone, Copy, Debug)]
struct Note {
    account: u32,
    slot: Option<U256>,
}

/// An account that changed.
#[derive(Debug)]
struct Traced {
    place: AccountId,
    /// What it was when others were told of it last.
    before: Option<Account>,
    /// What became of its life since.
    life_change: LifeChange,
    /// Where a note says that it changed.
    noted: Option<List>,
    /// Its position among the effects that are being told.
    position: Option<u32>,
}

impl<B: Base> Overlay<B> {
    /// Says whether the effects of what is committed after runs on this overlay are kept from now on
    /// for [`take_trace`](Self::take_trace), as nothing is at first. Those that were kept are forgotten
    /// if they are not.
    pub fn keep(&mut self, keeping: Keeping) {
        let list = match keeping {
            Keeping::Kept => List::Latest,
            Keeping::KeptBack => List::Back,
            Keeping::Forgotten => {
                let forgotten = self.trace.take().into_iter().flat_map(|trace| trace.accounts);
                return forgotten.for_each(|traced| self.sides[traced.place.get()].traced = None);
            }
        };
        self.trace.get_or_insert_default().list = list;
    }

    /// Keeps the effects of the record that was judged last, as if it had run here; it is about to be
    /// committed. Payments are not told of: see [`Memory::publish`](crate::Memory::publish).
    pub fn trace_record(&mut self, record: &Record) {
        let Self { trace: Some(trace), accounts, sides, judged, .. } = self else { return };
        let places = &judged[record.payments.len()..];
        for (account, place) in record.accounts.iter().zip(places) {
            if let Some(effect) = &account.effect {
                let position = trace.name(*place, &mut entry(accounts, sides, *place));
                trace.note_account(position, effect.life_change);
            }
        }
        for write in &record.writes {
            let place = places[write.account as usize];
            let account = trace.name(place, &mut entry(accounts, sides, place));
            trace.note(Note { account, slot: Some(write.key) });
        }
    }

    /// Puts the effects of what was kept since the last call, all in one, in place of what is in
    /// `effects`, whose room is used again. `introduce` names accounts that the base has no name for.
    pub fn take_trace(
        &mut self,
        effects: &mut Record,
        share: Share,
        mut introduce: impl FnMut(Address, Option<AccountInfo>) -> AccountId,
    ) {
        effects.clear();
        let Self { trace: Some(trace), accounts, sides, .. } = self else { return };
        trace.take(share);
        for Note { account, slot } in &trace.taken {
            let traced = &mut trace.accounts[*account as usize];
            let Entry { address, change, side } = entry(accounts, sides, traced.place);
            let position = *traced.position.get_or_insert_with(|| {
                let name = || {
                    let before = change.account.before;
                    let code = side.code_before.clone();
                    introduce(address, before.map(|before| before.into_info(code, None)))
                };
                let (id, observed) = (side.base_id.unwrap_or_else(name), AccountObservation::NOTHING);
                effects.accounts.push(AccountRecord { address, id: Some(id), observed, effect: None });
                effects.accounts.len() as u32 - 1
            });
            // A life is told of with its first slot: slots that were told of before it would not be in it.
            if let Some(effect) = traced.take_effect(change.account.after, side.code.as_ref()) {
                effects.accounts[position as usize].effect = Some(effect);
            }
            // Of a life that has ended since nothing is left.
            let slot = slot.and_then(|key| Some((key, change.slots.get(&key)?)));
            effects.writes.extend(slot.map(|(key, slot)| SlotRecord {
                account: position,
                key,
                original: slot.before,
                value: slot.after,
            }));
        }
        for note in trace.taken.drain(..) {
            trace.accounts[note.account as usize].position = None;
        }
        if trace.latest.is_empty() && trace.back.is_empty() {
            trace.accounts.drain(..).for_each(|traced| sides[traced.place.get()].traced = None);
        }
    }
}

impl Trace {
    /// Keeps what a run leaves of an account, before that is committed.
    pub(super) fn note_run(
        &mut self,
        place: AccountId,
        entry: &mut Entry<'_>,
        life_change: LifeChange,
        account: &EvmAccount,
    ) {
        let Account { balance, nonce, code_hash } = entry.change.account.after.unwrap_or(Account::EMPTY);
        let info = &account.info;
        let changes_anything = life_change != LifeChange::Continues
            || info.code_hash != code_hash
            || info.balance != balance
            || info.nonce != nonce;
        // Payments of accounts without code are not told of, as long as nothing else is.
        let is_payment = life_change == LifeChange::Continues && info.code_hash == code_hash && info.is_empty_code_hash();
        let mut written = account.changed_storage_slots().map(|(key, _)| *key).peekable();
        let is_told = changes_anything && (!is_payment || entry.side.traced.is_some());
        if is_told || written.peek().is_some() {
            let account = self.name(place, entry);
            if changes_anything {
                self.note_account(account, life_change);
            }
            written.for_each(|key| self.note(Note { account, slot: Some(key) }));
        }
    }

    /// The position of an account, which is about to change.
    fn name(&mut self, place: AccountId, entry: &mut Entry<'_>) -> u32 {
        *entry.side.traced.get_or_insert_with(|| {
            let before = entry.change.account.after;
            self.accounts.push(Traced { place, before, life_change: LifeChange::Continues, noted: None, position: None });
            u32::try_from(self.accounts.len() - 1).expect("a block touches fewer than 2^32 accounts")
        })
    }

    fn note_account(&mut self, account: u32, life_change: LifeChange) {
        let traced = &mut self.accounts[account as usize];
        traced.life_change = one_after_the_other(traced.life_change, life_change);
        if traced.noted.is_none() || (traced.noted, self.list) == (Some(List::Back), List::Latest) {
            traced.noted = Some(self.list);
            self.note(Note { account, slot: None });
        }
    }

    fn note(&mut self, note: Note) {
        match self.list {
            List::Latest => self.latest.push(note),
            List::Back => self.back.push(note),
        }
    }

    /// Moves notes to those that are taken, of which there are none.
    fn take(&mut self, share: Share) {
        std::mem::swap(&mut self.latest, &mut self.taken);
        if share == Share::AndMore {
            self.portion = (2 * self.portion).max(FIRST_PORTION);
            let portion = self.portion.min(self.back.len() - self.told);
            self.taken.extend_from_slice(&self.back[self.told..][..portion]);
            self.told += portion;
        }
        if self.told == self.back.len() {
            (self.back, self.told, self.portion) = (Vec::new(), 0, 0);
        }
    }
}

impl Traced {
    /// What happened to the account since others were told of it, if anything did: it is so `now`.
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

/// What becomes of a life, one after the other.
fn one_after_the_other(before: LifeChange, after: LifeChange) -> LifeChange {
    match (before, after) {
        (LifeChange::Continues, _) | (_, LifeChange::Begins | LifeChange::Ends) => after,
        // Of an account that was no more nothing is left: all that it is now is new.
        (LifeChange::Begins | LifeChange::Ends, LifeChange::Continues) => LifeChange::Begins,
    }
}
