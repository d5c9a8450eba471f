//! Chains of generated blocks: each a valid block of Osaka after the one before it, signed and sealed.
//!
//! Owns the last header and the ledger. Promises the same blocks for the same recipe, on every machine,
//! whatever the ledger is made of.

mod form;
mod genesis;
mod ledger;
mod people;
mod proposer;
mod traffic;

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::B256;
use blockloom_engine::{BlockError, ChainSpec, Config, Engine, SignedBlock};
use blockloom_fixtures::{
    ChainHead,
    compose::{self, Draft},
};

use super::{Kind, random::Random};
use form::Prices;
use proposer::Proposer;
use traffic::Traffic;

pub use genesis::Genesis;
pub use ledger::Ledger;

/// The fork that generated chains are under, and its name among networks.
const FORK: EthereumHardfork = EthereumHardfork::Osaka;
const NETWORK: &str = "Osaka";
/// The number that generated chains sign for.
const CHAIN_ID: u64 = 1;

/// What a chain is made from. It has no end: whoever wants more blocks asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainRecipe {
    /// What its transactions do.
    pub kind: Kind,
    /// About how much gas a block uses.
    pub gas: u64,
    /// How many accounts there are before its first transaction.
    pub accounts: u64,
    /// Where the random numbers start.
    pub seed: u64,
}

impl ChainRecipe {
    /// Fewer accounts have no room for the contracts and somebody to call them.
    pub const LEAST_ACCOUNTS: u64 = 100;
    /// With more gas than this, a block could have more bytes than Osaka allows (EIP-7934).
    pub const MOST_GAS: u64 = 1_000_000_000;

    /// The state that the chain starts with.
    ///
    /// # Panics
    ///
    /// If there are fewer accounts than [`LEAST_ACCOUNTS`](Self::LEAST_ACCOUNTS).
    pub fn genesis(&self) -> Genesis {
        assert!(self.accounts >= Self::LEAST_ACCOUNTS, "{} accounts are too few", self.accounts);
        Genesis::new(self.seed, self.accounts)
    }
}

/// Why a chain has no next block.
#[derive(Debug, thiserror::Error)]
pub enum ChainError<E> {
    /// The block that was made cannot be executed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The ledger does not take what the block did.
    #[error("the state cannot be kept: {0}")]
    Ledger(E),
}

/// A chain that grows block by block.
#[derive(Debug)]
pub struct GeneratedChain<L> {
    spec: ChainSpec,
    engine: Engine,
    genesis: Genesis,
    first: Header,
    last: Header,
    ledger: L,
    proposer: Proposer,
    traffic: Traffic,
    random: Random,
}

impl<L: Ledger> GeneratedChain<L> {
    /// The chain of a recipe. `ledger` holds its genesis, whose state root is `root`.
    pub fn new(recipe: &ChainRecipe, genesis: Genesis, ledger: L, root: B256) -> Self {
        let ChainRecipe { kind, gas, seed, .. } = *recipe;
        let spec = ChainSpec::always(FORK).with_chain_id(CHAIN_ID);
        let proposer = Proposer::new(seed, gas);
        let mut first = compose::genesis(&spec, root, proposer.room());
        Proposer::date(&mut first);
        Self {
            spec,
            engine: Engine::new(Config::default()),
            last: first.clone(),
            first,
            ledger,
            proposer,
            traffic: Traffic::new(kind, &genesis),
            genesis,
            random: Random::new(seed),
        }
    }

    /// The state that it started with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// What holds the state after its last block.
    pub fn ledger(&self) -> &L {
        &self.ledger
    }

    /// What a file says of it before anything else.
    pub fn head<'c>(&'c self, name: &'c str) -> ChainHead<'c> {
        let blobs = self.spec.rules(&self.first).blobs;
        ChainHead { name, network: NETWORK, chain_id: CHAIN_ID, blobs, genesis: &self.first }
    }

    /// The header of its last block.
    pub fn last(&self) -> &Header {
        &self.last
    }

    /// Makes the next block.
    ///
    /// # Errors
    ///
    /// If the block cannot be executed, or the ledger fails. The chain is of no use then.
    pub fn grow(&mut self) -> Result<SignedBlock, ChainError<L::Error>> {
        let mut draft = Draft::after(&self.spec, &self.last);
        self.proposer.decide(&mut draft.header, &mut self.random);
        let prices = Prices::of(&draft.header, draft.rules());
        let room = self.proposer.room_in(&draft.header, draft.rules());
        let transactions = self.traffic.transactions(&self.genesis, prices, room, &mut self.random);
        let withdrawals = self.proposer.withdrawals(&self.genesis, &mut self.random);
        let draft = draft.with_body(transactions, withdrawals);
        let outcome = self.engine.execute(self.ledger.base(), &draft.block()?)?;
        let root = self.ledger.apply(&outcome.changes).map_err(ChainError::Ledger)?;
        let block = draft.seal(&outcome, root);
        self.last.clone_from(&block.header);
        Ok(block)
    }
}
