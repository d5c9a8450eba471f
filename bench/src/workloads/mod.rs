//! Generated blocks of any size. A recipe yields the same block on every machine.
//!
//! The kind of a workload is what its transactions do. The shape is which accounts they share, and so which
//! transactions depend on which.

mod addresses;
pub mod chain;
mod job;
mod names;
mod pairing;
mod world;

use std::fmt;

use blockloom_engine::Block;
use blockloom_fixtures::Random;
use blockloom_state::MemoryStore;

use job::Job;
use pairing::Pairing;
use world::World;

/// What the transactions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Payments of ether.
    Transfers,
    /// Payments of a token.
    Erc20,
    /// Swaps of one token for another in a pool.
    Swaps,
    /// A mix like that of mainnet: payments, tokens, swaps, allowances, a few contract creations, and a few long
    /// calls.
    Mixed,
}

/// Which accounts the transactions share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No account, slot or pool is shared.
    Independent,
    /// Each transaction depends on the one before it: its ether, its tokens, the price of its pool. In a mixed
    /// block, on the one before it of the same kind.
    Chain,
    /// A share of the transactions has one of a few hot recipients or pools. The others are independent.
    Hot,
    /// A few senders send all transactions, each to a new recipient. Payments do not depend on each other then;
    /// two payments of one sender in one token do.
    Senders,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Transfers, Self::Erc20, Self::Swaps, Self::Mixed];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Erc20 => "erc20",
            Self::Swaps => "swaps",
            Self::Mixed => "mixed",
        }
    }

    /// Chooses the job of the next transaction.
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
    /// All shapes.
    pub const ALL: [Self; 4] = [Self::Independent, Self::Chain, Self::Hot, Self::Senders];

    /// The name on the command line.
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

/// The parameters of a generated block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// What the transactions do.
    pub kind: Kind,
    /// Which accounts they share.
    pub shape: Shape,
    /// The approximate gas of the block.
    pub gas: u64,
    /// The seed of the random numbers.
    pub seed: u64,
    /// The share of transactions with a hot recipient, in the shape `Hot`.
    pub hot: f64,
    /// The number of senders, in the shape `Senders`.
    pub senders: u64,
}

impl Recipe {
    /// A recipe with the default seed, share and number of senders.
    pub fn new(kind: Kind, shape: Shape, gas: u64) -> Self {
        Self { kind, shape, gas, seed: 1, hot: 0.3, senders: 10 }
    }

    /// Generates the block, with at least one transaction, and the state before it.
    pub fn prepare(&self) -> Workload {
        let mut random = Random::new(self.seed);
        let jobs = self.jobs(&mut random);
        let mut world = World::new(self.seed);
        let mut pairing = Pairing::new(self, &jobs);
        for job in jobs {
            let pair = pairing.next(job, &mut random);
            world.add(job, pair, &mut random);
        }
        let (base, block) = world.into_parts();
        Workload { base, block }
    }

    /// The jobs of the transactions, in order.
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
    /// The state before the block.
    pub base: MemoryStore,
    /// The block.
    pub block: Block,
}
