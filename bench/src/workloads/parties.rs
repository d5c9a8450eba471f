//! Who meets whom: the shape of a block.

use alloy_primitives::Address;

use super::{
    Recipe, Shape,
    job::Job,
    random::{Random, address},
};

/// How many hot places there are of each kind.
const HOT_PLACES: u64 = 3;

/// Who sends a transaction, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    pub(super) from: Address,
    /// Who is paid, or the pool.
    pub(super) to: Address,
    pub(super) passes: Passes,
}

/// Whether what changes hands is what the next transaction lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    /// It is not: who is paid has something already, and so has who pays.
    Nothing,
    /// It is, and so many more live on it after this one. Only the first of them had something.
    OnTo { heirs: u64, is_first: bool },
}

/// Deals out the parties of one transaction after the other.
pub(super) struct Parties {
    seed: u64,
    shape: Shape,
    hot: f64,
    senders: u64,
    /// How many transactions there were, of any kind.
    count: u64,
    /// How many there were of each kind, and how many there will have been.
    done: [u64; Job::KINDS],
    total: [u64; Job::KINDS],
}

impl Parties {
    pub(super) fn new(recipe: &Recipe, jobs: &[Job]) -> Self {
        let mut total = [0; Job::KINDS];
        jobs.iter().for_each(|job| total[*job as usize] += 1);
        let Recipe { seed, shape, hot, senders, .. } = *recipe;
        Self { seed, shape, hot, senders: senders.max(1), count: 0, done: [0; Job::KINDS], total }
    }

    /// The parties of the next transaction.
    pub(super) fn next(&mut self, job: Job, random: &mut Random) -> Meeting {
        let (position, turn) = (self.count, self.done[job as usize]);
        self.count += 1;
        self.done[job as usize] += 1;
        let name = |kind: &str, number| address(self.seed, kind, number);
        let own =
            Meeting { from: name("sender", position), to: name("place", position), passes: Passes::Nothing };
        match self.shape {
            Shape::Independent => own,
            Shape::Senders => Meeting { from: name("sender", position % self.senders), ..own },
            Shape::Hot if random.is_one_of(self.hot) => {
                Meeting { to: name(&format!("hot place to {job:?}"), random.below(HOT_PLACES)), ..own }
            }
            Shape::Hot => own,
            Shape::Chain => self.inheritance(job, turn),
        }
    }

    /// Of payments and tokens each pays the next; pools and all else are one for all.
    fn inheritance(&self, job: Job, turn: u64) -> Meeting {
        let line = format!("heir of {job:?}");
        let heir = |turn| address(self.seed, &line, turn);
        let to = match job {
            Job::Pay | Job::Transfer => heir(turn + 1),
            Job::Approve | Job::Swap | Job::Create | Job::Work => address(self.seed, "only place", 0),
        };
        let heirs = self.total[job as usize] - turn - 1;
        Meeting { from: heir(turn), to, passes: Passes::OnTo { heirs, is_first: turn == 0 } }
    }
}
