//! When those who run ahead need not tell each other what they do.
//!
//! Telling what a run writes, and asking what others wrote, is most of what running ahead costs.
//! Where for long nobody met what another wrote, neither is done any more, until somebody meets it
//! after all: the gate finds that out. Owns the count; knows nothing of memories and records.

use blockloom_state::{Audience, Keeping, Origin};

use crate::Spread;

/// After so many records that met nothing of the block, at first.
const CALM: u32 = 128;
/// The same where that is to be tested.
const SOON: u32 = 2;
/// Missing what another wrote costs a run and more: as much as not telling saves in so many.
const PRICE: u32 = 64;

/// Whether those who run ahead are hushed, and what speaks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hush {
    state: State,
    /// What not telling would have saved lately, or has, counted in records.
    credit: u32,
    /// From so much on they are hushed.
    needed: u32,
}

/// Whether those who run ahead tell each other what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Aloud,
    Hushed,
}

/// What those who run ahead are to be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// To go on as before.
    GoOn,
    /// To be quiet.
    Hush,
    /// To speak up again.
    SpeakUp,
}

impl Hush {
    /// Nobody is hushed yet.
    pub(crate) fn new(spread: Spread) -> Self {
        let needed = if spread == Spread::Hushed { SOON } else { CALM };
        Self { state: State::Aloud, credit: 0, needed }
    }

    /// Who may read what the gate publishes, of those who run ahead.
    pub(crate) fn audience(&self, ahead: Audience) -> Audience {
        match (self.state, ahead) {
            (State::Hushed, Audience::Somebody) => Audience::NobodyYet,
            _ => ahead,
        }
    }

    /// Whether others are to be told of what happens at the gate.
    pub(crate) fn keeping(&self) -> Keeping {
        match self.state {
            State::Aloud => Keeping::Kept,
            State::Hushed => Keeping::KeptBack,
        }
    }

    /// A record was committed; what it read comes from there.
    pub(crate) fn committed(&mut self, origin: Origin) -> Word {
        if origin == Origin::Block {
            return self.disturbed();
        }
        self.credit = (self.credit + 1).min(self.needed);
        if self.state == State::Hushed || self.credit < self.needed {
            return Word::GoOn;
        }
        self.state = State::Hushed;
        Word::Hush
    }

    /// Somebody met, or missed, what another wrote. If that goes on, it takes more the next time.
    pub(crate) fn disturbed(&mut self) -> Word {
        self.credit = self.credit.saturating_sub(PRICE);
        if self.state == State::Aloud || self.credit > 0 {
            return Word::GoOn;
        }
        self.state = State::Aloud;
        self.needed = self.needed.saturating_mul(2);
        Word::SpeakUp
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    /// What is passed on while so many records meet nobody.
    fn calm(hush: &mut Hush, records: u32) -> Vec<Word> {
        let words = (0..records).map(|_| hush.committed(Origin::Base));
        words.filter(|word| *word != Word::GoOn).collect()
    }

    #[test]
    fn they_are_hushed_once_nobody_met_anybody_for_long() {
        let mut hush = Hush::new(Spread::WhereItPays);
        assert_eq!(calm(&mut hush, CALM - 1), []);
        assert_eq!((hush.audience(Audience::Somebody), hush.keeping()), (Audience::Somebody, Keeping::Kept));
        assert_eq!(calm(&mut hush, 1000), [Word::Hush]);
        assert_eq!(hush.audience(Audience::Somebody), Audience::NobodyYet);
        assert_eq!(hush.audience(Audience::Nobody), Audience::Nobody, "there is none to be told later");
        assert_eq!(hush.keeping(), Keeping::KeptBack);
    }

    #[test]
    fn who_meets_somebody_now_and_then_changes_nothing_and_who_does_often_does() {
        for (pause, words) in [(2 * PRICE, vec![Word::Hush]), (PRICE / 2, vec![])] {
            let mut hush = Hush::new(Spread::WhereItPays);
            let mut found = Vec::new();
            for _ in 0..100 {
                found.extend(calm(&mut hush, pause));
                found.extend(Some(hush.committed(Origin::Block)).filter(|word| *word != Word::GoOn));
            }
            assert_eq!(found, words, "one in {pause}");
        }
    }

    #[test]
    fn they_speak_up_when_several_missed_something_and_the_next_time_it_takes_longer() {
        let mut hush = Hush::new(Spread::WhereItPays);
        calm(&mut hush, CALM);
        let missed: Vec<_> = (0..3).map(|_| hush.disturbed()).collect();
        assert_eq!(missed, [Word::GoOn, Word::SpeakUp, Word::GoOn]);
        assert_eq!(hush.keeping(), Keeping::Kept);
        assert_eq!(calm(&mut hush, 2 * CALM - 1), []);
        assert_eq!(calm(&mut hush, 1), [Word::Hush]);
    }
}
