//! The senders and recipients of a block's transactions, as its shape demands.

use alloy_primitives::Address;
use blockloom_fixtures::Random;

use super::{Recipe, Shape, job::Job, names::address};

/// The number of hot recipients of each kind of job.
const HOT_RECIPIENTS: u64 = 3;

/// The sender and the recipient of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) from: Address,
    /// The account that is paid, or the pool.
    pub(super) to: Address,
    pub(super) funding: Funding,
}

/// Where the sender's ether or tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Funding {
    /// From the genesis. The recipient has some as well.
    Own,
    /// From the previous transaction of this kind, except for the first one. `remaining` more transactions
    /// follow in the chain.
    Chained { remaining: u64, is_first: bool },
}

/// Generates the pairs, transaction by transaction.
pub(super) struct Pairing {
    seed: u64,
    shape: Shape,
    hot: f64,
    senders: u64,
    /// The number of transactions so far.
    count: u64,
    /// The number of transactions of each kind: so far, and in the whole block.
    done: [u64; Job::KINDS],
    total: [u64; Job::KINDS],
}

impl Pairing {
    pub(super) fn new(recipe: &Recipe, jobs: &[Job]) -> Self {
        let mut total = [0; Job::KINDS];
        jobs.iter().for_each(|job| total[*job as usize] += 1);
        let Recipe { seed, shape, hot, senders, .. } = *recipe;
        Self { seed, shape, hot, senders: senders.max(1), count: 0, done: [0; Job::KINDS], total }
    }

    /// The pair of the next transaction. The names that addresses are derived from are part of every generated
    /// block: a change makes other blocks.
    pub(super) fn next(&mut self, job: Job, random: &mut Random) -> Pair {
        let (position, position_in_kind) = (self.count, self.done[job as usize]);
        self.count += 1;
        self.done[job as usize] += 1;
        let name = |kind: &str, number| address(self.seed, kind, number);
        let own = Pair { from: name("sender", position), to: name("place", position), funding: Funding::Own };
        match self.shape {
            Shape::Independent => own,
            Shape::Senders => Pair { from: name("sender", position % self.senders), ..own },
            Shape::Hot if random.is_one_of(self.hot) => {
                Pair { to: name(&format!("hot place to {job:?}"), random.below(HOT_RECIPIENTS)), ..own }
            }
            Shape::Hot => own,
            Shape::Chain => self.chained(job, position_in_kind),
        }
    }

    /// A payment, of ether or a token, goes to the sender of the next one. All other jobs share one recipient.
    fn chained(&self, job: Job, position: u64) -> Pair {
        let line = format!("heir of {job:?}");
        let sender = |position| address(self.seed, &line, position);
        let to = match job {
            Job::Pay | Job::Transfer => sender(position + 1),
            Job::Approve | Job::Swap | Job::Create | Job::Work => address(self.seed, "only place", 0),
        };
        let remaining = self.total[job as usize] - position - 1;
        Pair { from: sender(position), to, funding: Funding::Chained { remaining, is_first: position == 0 } }
    }
}
