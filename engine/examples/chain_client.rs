//! A minimal chain client: it imports signed blocks, follows the heaviest branch, and reorganises.
//! `cargo run --example chain_client` shows a reorganisation.
//!
//! Its state is one in-memory store, at the head of the chain. For each block above the first it keeps
//! the changes that undo the block. An invalid branch leaves the client where it was.

#![expect(clippy::print_stdout, reason = "the example prints its steps")]

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

/// The number of ancestors that the rules for ommers need.
const GENERATIONS: usize = 7;

/// A block that is applied to the state.
struct Imported {
    block: SignedBlock,
    hash: B256,
    /// The total difficulty up to this block.
    total_difficulty: U256,
    /// The changes that undo the block.
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
    /// Known blocks outside the chain, with the total difficulty up to each.
    side_blocks: HashMap<B256, (SignedBlock, U256)>,
}

/// The result of an import.
#[derive(Debug, PartialEq, Eq)]
enum Import {
    /// The block is the new head.
    Extended,
    /// The block is stored: its branch is not the heaviest.
    SideBlock,
    /// The block is the new head, and `reverted` blocks are no longer part of the chain.
    Reorganised { reverted: usize },
}

impl Client {
    fn new(spec: ChainSpec, genesis: &Header, state: State) -> Self {
        let store = MemoryStore::from_genesis(state);
        assert_eq!(store.root(), genesis.state_root, "the header of the first block has this state root");
        let block = SignedBlock { header: genesis.clone(), body: Default::default() };
        let first = Imported {
            hash: genesis.hash_slow(),
            total_difficulty: genesis.difficulty,
            block,
            undo: Changes::default(),
        };
        let engine = Engine::new(Config::default());
        Self { spec, engine, store, chain: vec![first], side_blocks: HashMap::new() }
    }

    fn head(&self) -> &Imported {
        self.chain.last().expect("the first block is never reverted")
    }

    /// Imports a block, and makes it the head if its branch is the heaviest.
    fn import(&mut self, block: SignedBlock) -> Result<Import> {
        let parent = block.header.parent_hash;
        if parent == self.head().hash {
            self.extend(block)?;
            return Ok(Import::Extended);
        }
        let in_chain = self.chain.iter().find(|imported| imported.hash == parent);
        let before = in_chain.map(|imported| imported.total_difficulty);
        let before =
            before.or_else(|| self.side_blocks.get(&parent).map(|(_, total_difficulty)| *total_difficulty));
        let total_difficulty = before.ok_or("its parent is unknown")? + block.header.difficulty;
        let hash = block.header.hash_slow();
        self.side_blocks.insert(hash, (block, total_difficulty));
        if total_difficulty <= self.head().total_difficulty {
            return Ok(Import::SideBlock);
        }
        Ok(Import::Reorganised { reverted: self.switch_to(hash)? })
    }

    /// Makes a side block the head, and returns the number of reverted blocks. If the branch is invalid,
    /// the reverted blocks are restored.
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

    /// Drops an invalid side block and its descendants.
    fn forget(&mut self, invalid: B256) {
        let mut hashes = vec![invalid];
        while let Some(hash) = hashes.pop() {
            self.side_blocks.remove(&hash);
            let children = self.side_blocks.iter().filter(|(_, (block, _))| block.header.parent_hash == hash);
            hashes.extend(children.map(|(child, _)| *child));
        }
    }

    /// The blocks from the chain to a side block, and the hash of the block that the branch starts at.
    fn branch_of(&self, head: B256) -> (Vec<SignedBlock>, B256) {
        let mut branch = Vec::new();
        let mut hash = head;
        while let Some((block, _)) = self.side_blocks.get(&hash) {
            branch.push(block.clone());
            hash = block.header.parent_hash;
        }
        branch.reverse();
        (branch, hash)
    }

    /// Undoes the blocks after `fork`, keeps them as side blocks, and returns them in order.
    fn revert_to(&mut self, fork: B256) -> Result<Vec<SignedBlock>> {
        let mut reverted = Vec::new();
        while self.head().hash != fork {
            let Imported { block, hash, total_difficulty, undo } =
                self.chain.pop().expect("the fork is a block of the chain");
            self.store.apply(&undo)?;
            self.store.set_block_hash(block.header.number, None);
            assert_eq!(
                self.store.root(),
                self.head().block.header.state_root,
                "undoing a block restores the state before it"
            );
            self.side_blocks.insert(hash, (block.clone(), total_difficulty));
            reverted.push(block);
        }
        reverted.reverse();
        Ok(reverted)
    }

    /// Executes a block on the head and makes it the head. An invalid block changes nothing.
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
        let undo = self
            .store
            .apply(&outcome.changes)
            .expect("the changes apply to the state that they were computed on");
        let root = self.store.root();
        if let Err(error) = check_outcome(&ready.rules, &block.header, &outcome, Some(root)) {
            self.store.apply(&undo).expect("the undo changes apply");
            return Err(Invalid::from(error).of(block.header.number));
        }
        let hash = block.header.hash_slow();
        self.store.set_block_hash(block.header.number, Some(hash));
        self.side_blocks.remove(&hash);
        let total_difficulty = self.head().total_difficulty + block.header.difficulty;
        self.chain.push(Imported { block, hash, total_difficulty, undo });
        Ok(())
    }
}

/// Counts the calls in slot 0.
const COUNTER: (Address, Bytes) = (Address::repeat_byte(0xcc), bytes!("60005460010160005500"));
/// Counts the calls without value in slot 0. A call with value destroys the contract.
const DESTRUCTIBLE: (Address, Bytes) =
    (Address::repeat_byte(0xdd), bytes!("34600e57600054600101600055005b33ff"));

fn genesis() -> State {
    let contract = |(address, code)| (address, Allocation { nonce: 1, code, ..Allocation::default() });
    let rich = Allocation { balance: U256::from(1_000_000_000_000u64), ..Allocation::default() };
    let mut state: State = (1..=3).map(|key| (Signer::new(key).address(), rich.clone())).collect();
    state.extend([contract(COUNTER), contract(DESTRUCTIBLE)]);
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

/// Composes the next block of a miner.
fn mine(miner: &mut Composer, transactions: Vec<SignedTransaction>) -> Result<SignedBlock> {
    let (block, changes) = miner.compose(transactions, Vec::new())?;
    miner.add(&block, &changes);
    Ok(block)
}

fn show(client: &Client, description: &str, import: &Result<Import>) {
    let head = client.head();
    let root = client.store.root();
    assert_eq!(root, head.block.header.state_root, "the state has the root of the head");
    let import = match import {
        Ok(import) => format!("{import:?}"),
        Err(error) => format!("rejected: {error}"),
    };
    println!(
        "{description}: {import}\n    head {} {}, state root {root}",
        head.block.header.number, head.hash
    );
}

fn main() -> Result<()> {
    let spec = ChainSpec::always(EthereumHardfork::GrayGlacier);
    let mut first_miner = Composer::new(spec.clone(), genesis(), 30_000_000);
    let mut second_miner = Composer::new(spec.clone(), genesis(), 30_000_000);
    let mut client = Client::new(spec, first_miner.genesis(), genesis());
    let import = |client: &mut Client, description: &str, block: SignedBlock| {
        let import = client.import(block);
        show(client, description, &import);
        import
    };

    // Both miners agree on the first blocks.
    for nonce in 0..2 {
        let transactions = vec![call(1, nonce, COUNTER.0, 0), call(2, nonce, DESTRUCTIBLE.0, 0)];
        let block = mine(&mut first_miner, transactions.clone())?;
        assert_eq!(mine(&mut second_miner, transactions)?, block);
        assert_eq!(import(&mut client, "a common block", block)?, Import::Extended);
    }

    // The first branch destroys a contract with storage.
    let destroyed = mine(&mut first_miner, vec![call(2, 2, DESTRUCTIBLE.0, 1), call(1, 2, COUNTER.0, 0)])?;
    assert_eq!(import(&mut client, "first branch: the contract is destroyed", destroyed)?, Import::Extended);
    let counting = mine(&mut first_miner, vec![call(1, 3, COUNTER.0, 0)])?;
    assert_eq!(import(&mut client, "first branch: one more block", counting)?, Import::Extended);
    assert!(client.store.account(&DESTRUCTIBLE.0).is_none());
    let first_head = client.head().hash;

    // The second branch keeps counting in this contract, and becomes the heaviest.
    for nonce in 2..4 {
        let block = mine(
            &mut second_miner,
            vec![call(2, nonce, DESTRUCTIBLE.0, 0), call(3, nonce - 2, COUNTER.0, 0)],
        )?;
        assert_eq!(import(&mut client, "second branch: the contract counts", block)?, Import::SideBlock);
    }
    let (heavier, _) = second_miner.compose(vec![call(2, 4, DESTRUCTIBLE.0, 0)], Vec::new())?;
    let mut invalid = heavier.clone();
    invalid.header.state_root = B256::repeat_byte(0xba);
    assert!(import(&mut client, "second branch: heavier, with an invalid block", invalid).is_err());
    assert_eq!(client.head().hash, first_head);

    let import = import(&mut client, "second branch: heavier", heavier)?;
    assert_eq!(import, Import::Reorganised { reverted: 2 });
    let counted = client.store.account(&DESTRUCTIBLE.0).map(|stored| stored.slots[&U256::ZERO]);
    assert_eq!(counted, Some(U256::from(5)), "the storage from before the fork is restored");
    Ok(())
}
