//! When those who run ahead need not tell each other what they do.
//!
//! Telling what a run writes, and asking what others wrote, is much of what running ahead costs. Where
//! hardly anybody meets what another wrote, neither is done any more: the gate finds out who missed
//! something, and when that is no longer worth it they speak up again. Owns the account of it; knows
//! nothing of memories and of what records hold.

use blockloom_state::{Audience, Keeping, Origin};

use crate::block::config::Spread;

/// Whether those who run ahead are hushed, and what speaks for it.
#[derive(Debug)]
pub(crate) struct Hush {
    state: State,
    rules: Rules,
    /// What not telling would have saved lately, or has, counted in usual records.
    credit: u64,
    /// From so much on they are hushed. Twice as much is counted at most.
    needed: u64,
    /// How many records were committed, and what they weigh.
    records: u64,
    weight: u64,
}

/// What it takes.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// So much credit, at first.
    needed: u64,
    /// Missing what another wrote costs a run and more: as much as not telling saves in so many.
    price: u64,
    /// How much more it takes each time.
    growth: u64,
}

impl Rules {
    const USUAL: Self = Self { needed: 128, price: 64, growth: 2 };
    /// As soon as one met nobody, and again and again.
    const SOON: Self = Self { needed: 1, price: 1, growth: 1 };
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
        let rules = if spread == Spread::Hushed { Rules::SOON } else { Rules::USUAL };
        Self { state: State::Aloud, rules, credit: 0, needed: rules.needed, records: 0, weight: 0 }
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

    /// A record was committed that weighs so much; what it read comes from there.
    pub(crate) fn committed(&mut self, origin: Origin, weight: u64) -> Word {
        self.records += 1;
        self.weight = self.weight.saturating_add(weight);
        if origin == Origin::Block {
            return self.missed(weight);
        }
        self.credit = (self.credit + 1).min(2 * self.needed);
        if self.state == State::Hushed || self.credit < self.needed {
            return Word::GoOn;
        }
        self.state = State::Hushed;
        Word::Hush
    }

    /// A record that weighs so much met, or missed, what another wrote: if all were hushed it would be, or
    /// is, run again. If that goes on, it takes more the next time.
    pub(crate) fn missed(&mut self, weight: u64) -> Word {
        let usual = self.weight.checked_div(self.records).unwrap_or(0).max(1);
        self.credit =
            self.credit.saturating_sub(self.rules.price.saturating_mul(weight.div_ceil(usual).max(1)));
        if self.state == State::Aloud || self.credit > 0 {
            return Word::GoOn;
        }
        self.state = State::Aloud;
        self.needed = self.needed.saturating_mul(self.rules.growth);
        Word::SpeakUp
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    const CALM: u64 = Rules::USUAL.needed;
    const PRICE: u64 = Rules::USUAL.price;

    /// What is passed on while so many records meet nobody.
    fn calm(hush: &mut Hush, records: u64) -> Vec<Word> {
        let words = (0..records).map(|_| hush.committed(Origin::Base, 10));
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

    /// What is passed on while one in so many records, of this weight, meets somebody.
    fn now_and_then(pause: u64, weight: u64) -> Vec<Word> {
        let mut hush = Hush::new(Spread::WhereItPays);
        let mut found = Vec::new();
        for _ in 0..100 {
            found.extend(calm(&mut hush, pause));
            found.extend(Some(hush.committed(Origin::Block, weight)).filter(|word| *word != Word::GoOn));
        }
        found
    }

    #[test]
    fn who_meets_somebody_now_and_then_changes_nothing_unless_that_is_often_or_weighs_much() {
        assert_eq!(now_and_then(2 * PRICE, 10), [Word::Hush]);
        assert_eq!(now_and_then(PRICE / 2, 10), []);
        assert_eq!(now_and_then(2 * PRICE, 1000), [Word::Hush, Word::SpeakUp], "it takes more the next time");
    }

    #[test]
    fn they_speak_up_when_several_missed_something_and_the_next_time_it_takes_longer() {
        let mut hush = Hush::new(Spread::WhereItPays);
        calm(&mut hush, CALM);
        let missed = [(); 3].map(|()| hush.missed(10));
        assert_eq!(missed, [Word::GoOn, Word::SpeakUp, Word::GoOn]);
        assert_eq!(hush.keeping(), Keeping::Kept);
        assert_eq!(calm(&mut hush, 2 * CALM - 1), []);
        assert_eq!(calm(&mut hush, 1), [Word::Hush]);
    }

    #[test]
    fn in_tests_of_it_they_are_hushed_again_and_again() {
        let mut hush = Hush::new(Spread::Hushed);
        for _ in 0..3 {
            assert_eq!(calm(&mut hush, 5), [Word::Hush]);
            assert_eq!([(); 2].map(|()| hush.missed(10)), [Word::GoOn, Word::SpeakUp]);
        }
    }
}
