//! Chains of generated blocks. Each block is a valid, signed and sealed Osaka block on top of its parent.
//!
//! Owns the last header and the ledger. Promises the same blocks for the same recipe on every machine, with
//! every kind of ledger.

mod genesis;
mod ledger;
mod proposer;
mod traffic;
mod transaction;
mod users;

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::B256;
use blockloom_engine::{BlockError, ChainSpec, Config, Engine, SignedBlock};
use blockloom_fixtures::Random;
use blockloom_fixtures::{
    ChainHead,
    compose::{self, Draft},
};

use super::Kind;
use proposer::Proposer;
use traffic::Traffic;
use transaction::Prices;

pub use genesis::ChainGenesis;
pub use ledger::Ledger;

/// The fork of generated chains, and its name in blockchain tests.
const FORK: EthereumHardfork = EthereumHardfork::Osaka;
const NETWORK: &str = "Osaka";
/// The chain id of generated chains.
const CHAIN_ID: u64 = 1;

/// The parameters of a generated chain. The number of blocks is not one of them: a chain can always grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainRecipe {
    /// What the transactions do.
    pub kind: Kind,
    /// The approximate gas of a block.
    pub gas: u64,
    /// The number of accounts in the genesis.
    pub accounts: u64,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl ChainRecipe {
    /// The least number of accounts: the contracts and some senders.
    pub const LEAST_ACCOUNTS: u64 = 100;
    /// The most gas of a block. A larger block could have more bytes than Osaka allows (EIP-7934).
    pub const MOST_GAS: u64 = 1_000_000_000;

    /// The genesis state of the chain.
    ///
    /// # Panics
    ///
    /// If there are fewer accounts than [`LEAST_ACCOUNTS`](Self::LEAST_ACCOUNTS).
    pub fn genesis(&self) -> ChainGenesis {
        assert!(self.accounts >= Self::LEAST_ACCOUNTS, "{} accounts are too few", self.accounts);
        ChainGenesis::new(self.seed, self.accounts)
    }
}

/// Why the next block of a chain could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum ChainError<E> {
    /// The generated block cannot be executed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The ledger cannot apply the changes of the block.
    #[error("cannot apply the changes of the block: {0}")]
    Ledger(E),
}

/// A chain that grows block by block.
#[derive(Debug)]
pub struct GeneratedChain<L> {
    spec: ChainSpec,
    engine: Engine,
    genesis: ChainGenesis,
    first: Header,
    last: Header,
    ledger: L,
    proposer: Proposer,
    traffic: Traffic,
    random: Random,
}

impl<L: Ledger> GeneratedChain<L> {
    /// The chain of a recipe. `ledger` holds the genesis state, and `root` is its state root.
    pub fn new(recipe: &ChainRecipe, genesis: ChainGenesis, ledger: L, root: B256) -> Self {
        let ChainRecipe { kind, gas, seed, .. } = *recipe;
        let spec = ChainSpec::always(FORK).with_chain_id(CHAIN_ID);
        let proposer = Proposer::new(seed, gas);
        let mut first = compose::genesis(&spec, root, proposer.initial_gas_limit());
        Proposer::fill_genesis(&mut first);
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

    /// The genesis state.
    pub fn genesis(&self) -> &ChainGenesis {
        &self.genesis
    }

    /// The ledger, with the state after the last block.
    pub fn ledger(&self) -> &L {
        &self.ledger
    }

    /// The head of a file with this chain.
    pub fn head<'c>(&'c self, name: &'c str) -> ChainHead<'c> {
        let blobs = self.spec.rules(&self.first).blobs;
        ChainHead { name, network: NETWORK, fork: FORK, chain_id: CHAIN_ID, blobs, genesis: &self.first }
    }

    /// The header of the last block.
    pub fn last(&self) -> &Header {
        &self.last
    }

    /// Generates the next block.
    ///
    /// # Errors
    ///
    /// If the block cannot be executed, or the ledger fails. The chain must not be used afterwards.
    pub fn grow(&mut self) -> Result<SignedBlock, ChainError<L::Error>> {
        let mut draft = Draft::after(&self.spec, &self.last);
        self.proposer.fill(&mut draft.header, &mut self.random);
        let prices = Prices::of(&draft.header, draft.rules());
        let budget = self.proposer.budget(&draft.header, draft.rules());
        let transactions = self.traffic.transactions(&self.genesis, prices, budget, &mut self.random);
        let withdrawals = self.proposer.withdrawals(&self.genesis, &mut self.random);
        let draft = draft.with_body(transactions, withdrawals);
        let outcome = self.engine.execute(self.ledger.base(), &draft.block()?)?;
        let root = self.ledger.apply(&outcome.changes).map_err(ChainError::Ledger)?;
        let block = draft.seal(&outcome, root);
        self.last.clone_from(&block.header);
        Ok(block)
    }
}
