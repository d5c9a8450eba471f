//! Decides when speculative runs stop publishing their writes.
//!
//! Publishing writes and reading those of others is a large part of what speculation costs. Where few transactions
//! read what another one wrote, publication is withheld: validation finds the few records that missed a write. When
//! misses cost more than withholding saves, runs publish again. Knows no memory and no records.

use blockloom_state::{Origin, Publication};

use crate::policy::tuning::{MISS_PRICE, WITHHOLD_AFTER, WITHHOLD_GROWTH};

/// When publication is withheld, and what speaks for it.
#[derive(Debug)]
pub(crate) struct PublicationPolicy {
    is_withholding: bool,
    thresholds: Thresholds,
    /// What withholding would have saved lately, or has saved, in records of average weight.
    credit: u64,
    /// The credit from which on publication is withheld. At most twice as much is counted.
    needed: u64,
    /// How many records were committed, and their total weight.
    records: u64,
    weight: u64,
}

/// What withholding takes.
#[derive(Clone, Copy, Debug)]
struct Thresholds {
    /// The credit that the first withholding needs.
    needed: u64,
    /// What a miss costs: withholding saves as much in this number of records.
    price: u64,
    /// By which factor the needed credit grows each time publication is resumed.
    growth: u64,
}

impl Thresholds {
    const DEFAULT: Self = Self { needed: WITHHOLD_AFTER, price: MISS_PRICE, growth: WITHHOLD_GROWTH };
    /// Withholds after the first record, again and again.
    const EARLY: Self = Self { needed: 1, price: 1, growth: 1 };
}

impl Default for PublicationPolicy {
    fn default() -> Self {
        Self::new(Thresholds::DEFAULT)
    }
}

impl PublicationPolicy {
    /// A policy for tests, which withholds as early and as often as it can.
    pub(crate) fn early() -> Self {
        Self::new(Thresholds::EARLY)
    }

    fn new(thresholds: Thresholds) -> Self {
        Self {
            is_withholding: false,
            thresholds,
            credit: 0,
            needed: thresholds.needed,
            records: 0,
            weight: 0,
        }
    }

    /// When effects become visible, if the scheduler expects `speculation`.
    pub(crate) fn publication(&self, speculation: Publication) -> Publication {
        match speculation {
            Publication::Off => Publication::Off,
            _ if self.is_withholding => Publication::OnMiss,
            expected => expected,
        }
    }

    /// Counts a committed record of a weight, whose reads come from `origin`.
    pub(crate) fn committed(&mut self, origin: Origin, weight: u64) {
        self.records += 1;
        self.weight = self.weight.saturating_add(weight);
        if origin == Origin::Block {
            return self.missed(weight);
        }
        self.credit = (self.credit + 1).min(2 * self.needed);
        self.is_withholding |= self.credit >= self.needed;
    }

    /// Counts a record that read what another transaction wrote, or missed it: while publication is withheld, its
    /// transaction has to run again. If that happens often, the next withholding needs more credit.
    pub(crate) fn missed(&mut self, weight: u64) {
        let average = self.weight.checked_div(self.records).unwrap_or(0).max(1);
        let price = self.thresholds.price.saturating_mul(weight.div_ceil(average).max(1));
        self.credit = self.credit.saturating_sub(price);
        if self.is_withholding && self.credit == 0 {
            self.is_withholding = false;
            self.needed = self.needed.saturating_mul(self.thresholds.growth);
        }
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: u64 = Thresholds::DEFAULT.needed;
    const PRICE: u64 = Thresholds::DEFAULT.price;

    /// Commits a number of records that read nothing of the block.
    fn commit_independent(policy: &mut PublicationPolicy, records: u64) {
        (0..records).for_each(|_| policy.committed(Origin::Base, 10));
    }

    #[test]
    fn publication_is_withheld_after_many_independent_records() {
        let mut policy = PublicationPolicy::default();
        commit_independent(&mut policy, NEEDED - 1);
        assert_eq!(policy.publication(Publication::Immediate), Publication::Immediate);
        commit_independent(&mut policy, 1);
        assert_eq!(policy.publication(Publication::Immediate), Publication::OnMiss);
        assert_eq!(policy.publication(Publication::Deferred), Publication::OnMiss);
        assert_eq!(policy.publication(Publication::Off), Publication::Off, "no run would read it later");
    }

    /// How often publication is withheld and resumed while one record of a weight after each `pause` independent
    /// ones reads from the block.
    fn changes(pause: u64, weight: u64) -> usize {
        let mut policy = PublicationPolicy::default();
        let (mut changes, mut before) = (0, false);
        for _ in 0..100 {
            commit_independent(&mut policy, pause);
            for after in [policy.is_withholding, {
                policy.committed(Origin::Block, weight);
                policy.is_withholding
            }] {
                changes += usize::from(before != after);
                before = after;
            }
        }
        changes
    }

    #[test]
    fn publication_resumes_when_misses_are_frequent_or_heavy() {
        assert_eq!(changes(2 * PRICE, 10), 1, "rare and light misses do not matter");
        assert_eq!(changes(PRICE / 2, 10), 0, "frequent misses never let it begin");
        assert_eq!(changes(2 * PRICE, 1000), 2, "a heavy miss ends it, and the next time needs more credit");
    }

    #[test]
    fn publication_resumes_after_several_misses_and_the_next_time_takes_longer() {
        let mut policy = PublicationPolicy::default();
        commit_independent(&mut policy, NEEDED);
        policy.missed(10);
        assert!(policy.is_withholding);
        policy.missed(10);
        assert!(!policy.is_withholding);
        commit_independent(&mut policy, 2 * NEEDED - 1);
        assert!(!policy.is_withholding);
        commit_independent(&mut policy, 1);
        assert!(policy.is_withholding);
    }

    #[test]
    fn the_early_policy_withholds_again_and_again() {
        let mut policy = PublicationPolicy::early();
        for _ in 0..3 {
            commit_independent(&mut policy, 5);
            assert!(policy.is_withholding);
            (0..2).for_each(|_| policy.missed(10));
            assert!(!policy.is_withholding);
        }
    }
}
