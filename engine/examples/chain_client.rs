//! A tiny chain client: it imports signed blocks, follows the heavier branch, and survives a
//! reorganisation. `cargo run --example chain_client` shows one.
//!
//! Its whole state is one in-memory store, which stands after the head. For each block above the
//! first it keeps the changes that undo it. A branch that turns out to be invalid leaves the client
//! where it was.

#![expect(clippy::print_stdout, reason = "an example tells what happens")]

use std::{collections::HashMap, error::Error};

use alloy_consensus::{Header, TxLegacy};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use blockloom_engine::{
    Ancestor, BlockError, ChainSpec, Config, Engine, Invalid, SignedBlock, SignedTransaction, check_block,
    check_outcome,
};
use blockloom_fixtures::{
    State,
    compose::{Composer, Signer},
};
use blockloom_state::{Allocation, Changes, MemoryStore};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// How many ancestors the rules for ommers ask for.
const GENERATIONS: usize = 7;

/// A block that the state has behind it.
struct Imported {
    block: SignedBlock,
    hash: B256,
    /// The difficulty of the chain up to it.
    weight: U256,
    /// What undoes it.
    undo: Changes,
}

/// The client.
struct Client {
    spec: ChainSpec,
    engine: Engine,
    /// The state after the last block of `chain`.
    store: MemoryStore,
    /// The blocks from the first one to the head.
    chain: Vec<Imported>,
    /// Blocks that are known and not part of the chain, with the weight up to them.
    aside: HashMap<B256, (SignedBlock, U256)>,
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
enum Import {
    /// It is the new head.
    Extended,
    /// It is kept aside: its branch is not the heaviest.
    Aside,
    /// It is the new head, and so many blocks are not part of the chain any more.
    Reorganised { reverted: usize },
}

impl Client {
    fn new(spec: ChainSpec, genesis: &Header, state: State) -> Self {
        let store = MemoryStore::from_genesis(state);
        assert_eq!(store.root(), genesis.state_root, "the first block commits to this state");
        let block = SignedBlock { header: genesis.clone(), body: Default::default() };
        let first = Imported {
            hash: genesis.hash_slow(),
            weight: genesis.difficulty,
            block,
            undo: Changes::default(),
        };
        let engine = Engine::new(Config::default());
        Self { spec, engine, store, chain: vec![first], aside: HashMap::new() }
    }

    fn head(&self) -> &Imported {
        self.chain.last().expect("the first block is never reverted")
    }

    /// Takes a block in, and makes it the head if no branch is heavier than its own.
    fn import(&mut self, block: SignedBlock) -> Result<Import> {
        let parent = block.header.parent_hash;
        if parent == self.head().hash {
            self.extend(block)?;
            return Ok(Import::Extended);
        }
        let in_chain = self.chain.iter().find(|imported| imported.hash == parent);
        let before = in_chain.map(|imported| imported.weight);
        let before = before.or_else(|| self.aside.get(&parent).map(|(_, weight)| *weight));
        let weight = before.ok_or("its parent is unknown")? + block.header.difficulty;
        let hash = block.header.hash_slow();
        self.aside.insert(hash, (block, weight));
        if weight <= self.head().weight {
            return Ok(Import::Aside);
        }
        Ok(Import::Reorganised { reverted: self.switch_to(hash)? })
    }

    /// Makes a block that lies aside the head. Returns how many blocks gave way; if its branch is
    /// invalid, all of them are back.
    fn switch_to(&mut self, head: B256) -> Result<usize> {
        let (branch, fork) = self.branch_of(head);
        let reverted = self.revert_to(fork)?;
        for block in branch {
            let hash = block.header.hash_slow();
            if let Err(error) = self.extend(block) {
                self.revert_to(fork)?;
                for block in reverted {
                    self.extend(block)?;
                }
                self.forget(hash);
                return Err(error.into());
            }
        }
        Ok(reverted.len())
    }

    /// Drops an invalid block that lies aside, and all that was built on it.
    fn forget(&mut self, invalid: B256) {
        let mut hashes = vec![invalid];
        while let Some(hash) = hashes.pop() {
            self.aside.remove(&hash);
            let children = self.aside.iter().filter(|(_, (block, _))| block.header.parent_hash == hash);
            hashes.extend(children.map(|(child, _)| *child));
        }
    }

    /// The blocks that lead from the chain to one that lies aside, and the block of the chain that
    /// they start after.
    fn branch_of(&self, head: B256) -> (Vec<SignedBlock>, B256) {
        let mut branch = Vec::new();
        let mut hash = head;
        while let Some((block, _)) = self.aside.get(&hash) {
            branch.push(block.clone());
            hash = block.header.parent_hash;
        }
        branch.reverse();
        (branch, hash)
    }

    /// Undoes every block after `fork`, puts them aside, and returns them in order.
    fn revert_to(&mut self, fork: B256) -> Result<Vec<SignedBlock>> {
        let mut reverted = Vec::new();
        while self.head().hash != fork {
            let Imported { block, hash, weight, undo } =
                self.chain.pop().expect("the fork is a block of the chain");
            self.store.apply(&undo)?;
            self.store.set_block_hash(block.header.number, None);
            assert_eq!(self.store.root(), self.head().block.header.state_root, "reverting is exact");
            self.aside.insert(hash, (block.clone(), weight));
            reverted.push(block);
        }
        reverted.reverse();
        Ok(reverted)
    }

    /// Executes a block after the head and makes it the head. An invalid one leaves no trace.
    fn extend(&mut self, block: SignedBlock) -> Result<(), BlockError> {
        let parents = self.chain.iter().rev().take(GENERATIONS);
        let ancestors: Vec<_> = parents
            .map(|imported| Ancestor {
                hash: imported.hash,
                header: &imported.block.header,
                ommers: &imported.block.body.ommers,
            })
            .collect();
        let ready = check_block(&self.spec, block.clone(), &ancestors)?;
        let outcome = self.engine.execute(&self.store, &ready)?;
        let undo = self.store.apply(&outcome.changes).expect("changes fit the state that they were made on");
        let root = self.store.root();
        if let Err(error) = check_outcome(&ready.rules, &block.header, &outcome, Some(root)) {
            self.store.apply(&undo).expect("what was just done can be undone");
            return Err(Invalid::from(error).of(block.header.number));
        }
        let hash = block.header.hash_slow();
        self.store.set_block_hash(block.header.number, Some(hash));
        self.aside.remove(&hash);
        let weight = self.head().weight + block.header.difficulty;
        self.chain.push(Imported { block, hash, weight, undo });
        Ok(())
    }
}

/// Counts the calls in slot 0.
const COUNTER: (Address, Bytes) = (Address::repeat_byte(0xcc), bytes!("60005460010160005500"));
/// Does the same, unless the call brings a value: then it destroys itself.
const MORTAL: (Address, Bytes) = (Address::repeat_byte(0xdd), bytes!("34600e57600054600101600055005b33ff"));

fn genesis() -> State {
    let contract = |(address, code)| (address, Allocation { nonce: 1, code, ..Allocation::default() });
    let rich = Allocation { balance: U256::from(1_000_000_000_000u64), ..Allocation::default() };
    let mut state: State = (1..=3).map(|key| (Signer::new(key).address(), rich.clone())).collect();
    state.extend([contract(COUNTER), contract(MORTAL)]);
    state
}

fn call(key: u64, nonce: u64, to: Address, value: u64) -> SignedTransaction {
    Signer::new(key).sign(TxLegacy {
        chain_id: Some(1),
        nonce,
        gas_price: 100,
        gas_limit: 100_000,
        to: to.into(),
        value: U256::from(value),
        input: Bytes::new(),
    })
}

/// Composes the next block on top of a miner's chain.
fn mine(miner: &mut Composer, transactions: Vec<SignedTransaction>) -> Result<SignedBlock> {
    let (block, changes) = miner.compose(transactions, Vec::new())?;
    miner.add(&block, &changes);
    Ok(block)
}

fn show(client: &Client, what: &str, import: &Result<Import>) {
    let head = client.head();
    let root = client.store.root();
    assert_eq!(root, head.block.header.state_root, "the state is the one that the head commits to");
    let import = match import {
        Ok(import) => format!("{import:?}"),
        Err(error) => format!("refused: {error}"),
    };
    println!("{what}: {import}\n    head {} {}, state root {root}", head.block.header.number, head.hash);
}

fn main() -> Result<()> {
    let spec = ChainSpec::always(EthereumHardfork::GrayGlacier);
    let mut here = Composer::new(spec.clone(), genesis(), 30_000_000);
    let mut there = Composer::new(spec.clone(), genesis(), 30_000_000);
    let mut client = Client::new(spec, here.genesis(), genesis());
    let import = |client: &mut Client, what: &str, block: SignedBlock| {
        let import = client.import(block);
        show(client, what, &import);
        import
    };

    // Both miners agree on the first blocks.
    for nonce in 0..2 {
        let transactions = vec![call(1, nonce, COUNTER.0, 0), call(2, nonce, MORTAL.0, 0)];
        let block = mine(&mut here, transactions.clone())?;
        assert_eq!(mine(&mut there, transactions)?, block);
        assert_eq!(import(&mut client, "a common block", block)?, Import::Extended);
    }

    // One branch destroys a contract that has storage.
    let destroyed = mine(&mut here, vec![call(2, 2, MORTAL.0, 1), call(1, 2, COUNTER.0, 0)])?;
    assert_eq!(import(&mut client, "here, the contract dies", destroyed)?, Import::Extended);
    let quiet = mine(&mut here, vec![call(1, 3, COUNTER.0, 0)])?;
    assert_eq!(import(&mut client, "here, a quiet block", quiet)?, Import::Extended);
    assert!(client.store.account(&MORTAL.0).is_none());
    let head_here = client.head().hash;

    // The other branch goes on counting in it, and overtakes.
    for nonce in 2..4 {
        let block = mine(&mut there, vec![call(2, nonce, MORTAL.0, 0), call(3, nonce - 2, COUNTER.0, 0)])?;
        assert_eq!(import(&mut client, "there, the contract lives", block)?, Import::Aside);
    }
    let (overtakes, _) = there.compose(vec![call(2, 4, MORTAL.0, 0)], Vec::new())?;
    let mut spoiled = overtakes.clone();
    spoiled.header.state_root = B256::repeat_byte(0xba);
    assert!(import(&mut client, "there, a heavier branch that is invalid", spoiled).is_err());
    assert_eq!(client.head().hash, head_here);

    let import = import(&mut client, "there, a heavier branch", overtakes)?;
    assert_eq!(import, Import::Reorganised { reverted: 2 });
    let counted = client.store.account(&MORTAL.0).map(|stored| stored.slots[&U256::ZERO]);
    assert_eq!(counted, Some(U256::from(5)), "its storage of before the fork is back");
    Ok(())
}
