//! Generated blocks: the same for the same recipe, on every machine, of any size.
//!
//! A workload is what the transactions do; a shape is who they do it with, and so who needs whom.

pub mod chain;
mod job;
mod parties;
mod places;
mod random;
mod town;

use std::fmt;

use blockloom_engine::Block;
use blockloom_state::MemoryStore;

use job::Job;
use parties::Parties;
use random::Random;
use town::Town;

/// What the transactions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They pay somebody.
    Transfers,
    /// They pay somebody in a token.
    Erc20,
    /// They swap one token for another in a pool.
    Swaps,
    /// A bit of everything, about as on mainnet: payments, tokens, swaps, allowances, a few contracts
    /// that are created, and a few long calls.
    Mixed,
}

/// With whom they do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each with accounts, slots and pools that no other transaction touches.
    Independent,
    /// Each needs what the one before it left: the money, the tokens, the price of the pool. In a mixed
    /// block that is the one before it of its kind.
    Chain,
    /// A share of them meets in a few places: accounts that everybody pays, pools that everybody
    /// swaps in. The others are independent.
    Hot,
    /// A few senders send them all, to places of their own. Payments do not need each other then; who
    /// pays twice in one token does.
    Senders,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Transfers, Self::Erc20, Self::Swaps, Self::Mixed];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Erc20 => "erc20",
            Self::Swaps => "swaps",
            Self::Mixed => "mixed",
        }
    }

    /// What its next transaction does.
    fn job(self, random: &mut Random) -> Job {
        match self {
            Self::Transfers => Job::Pay,
            Self::Erc20 => Job::Transfer,
            Self::Swaps => Job::Swap,
            Self::Mixed => Job::as_on_mainnet(random),
        }
    }
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Independent, Self::Chain, Self::Hot, Self::Senders];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Chain => "chain",
            Self::Hot => "hot",
            Self::Senders => "senders",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a block is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// What its transactions do.
    pub kind: Kind,
    /// With whom.
    pub shape: Shape,
    /// About how much gas they use.
    pub gas: u64,
    /// Where the random numbers start.
    pub seed: u64,
    /// The share of transactions that meet in a few places, if the shape is hot.
    pub hot: f64,
    /// How many senders there are, if the shape is of few senders.
    pub senders: u64,
}

impl Recipe {
    /// A recipe with the usual rest.
    pub fn new(kind: Kind, shape: Shape, gas: u64) -> Self {
        Self { kind, shape, gas, seed: 1, hot: 0.3, senders: 10 }
    }

    /// The block, and the state before it. It has at least one transaction.
    pub fn prepare(&self) -> Workload {
        let mut random = Random::new(self.seed);
        let jobs = self.jobs(&mut random);
        let mut town = Town::new(self.seed);
        let mut parties = Parties::new(self, &jobs);
        for job in jobs {
            let meeting = parties.next(job, &mut random);
            town.work(job, meeting, &mut random);
        }
        let (base, block) = town.into_parts();
        Workload { base, block }
    }

    /// What is done, in order.
    fn jobs(&self, random: &mut Random) -> Vec<Job> {
        let (mut jobs, mut gas) = (Vec::new(), 0);
        while jobs.is_empty() || gas < self.gas {
            let job = self.kind.job(random);
            gas += job.gas(self.shape);
            jobs.push(job);
        }
        jobs
    }
}

/// A generated block.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The state before it.
    pub base: MemoryStore,
    /// The block.
    pub block: Block,
}
