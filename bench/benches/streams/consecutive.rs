//! Real blocks that follow each other, on one state that is known as far as they read it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use blockloom_engine::{Block, Config, Engine};
use blockloom_fixtures::{Case, Sources, read};
use blockloom_fuzz::suites::{RealBlock, Suites, sources};
use blockloom_state::{Account, Base, MemoryStore, NotingBase, StoredAccount, WitnessStore};

use super::Chain;

/// The mainnet blocks that follow each other, and the blocks of the witnesses.
pub(super) fn consecutive_blocks() -> Vec<Chain> {
    let suites = Suites::find().expect("the suites can be unpacked");
    let mut chains: Vec<Growing> = Vec::new();
    for RealBlock { name, block, base } in suites.real_blocks().unwrap_or_default() {
        match chains.last_mut() {
            Some(chain) if chain.is_followed_by(&block) => chain.add(block, &base),
            _ => chains.push(Growing::begin(name, block, &base)),
        }
    }
    for (name, block, base) in blocks_with_witnesses() {
        match chains.last_mut() {
            Some(chain) if chain.is_followed_by(&block) => chain.add(block, &base),
            _ => chains.push(Growing::begin(name, block, &base)),
        }
    }
    chains.retain(|chain| chain.blocks.len() > 1);
    chains
        .into_iter()
        .map(|Growing { name, state, blocks, .. }| Chain { name, base: state, blocks })
        .collect()
}

/// The blocks that come with nothing but a witness, each with its name and the state before it.
fn blocks_with_witnesses() -> Vec<(String, Block, WitnessStore)> {
    let mut blocks = Vec::new();
    let Some(folder) = sources().expect("the sources can be unpacked").suite("witness") else {
        return blocks;
    };
    for source in Sources::new([folder]) {
        let fixture = read(&source.expect("there are blocks")).expect("the blocks are undamaged");
        for case in fixture.cases {
            let Case::Block(case) = case else { continue };
            let block = case.block().expect("real blocks are signed");
            let witness = case.witness.as_ref().expect("they have witnesses");
            let base = witness.store(witness.parent_state_root.expect("a witness says its root"));
            blocks.push((case.name, block, base));
        }
    }
    blocks
}

/// Consecutive blocks, and the state before the first one as far as they read it.
struct Growing {
    name: String,
    state: MemoryStore,
    blocks: Vec<Block>,
    /// What earlier blocks read: the states before later ones say nothing new of it.
    known: BTreeMap<Address, BTreeSet<U256>>,
}

impl Growing {
    fn begin<B: Base>(name: String, block: Block, base: &B) -> Self {
        let mut growing =
            Self { name, state: MemoryStore::new(), blocks: Vec::new(), known: BTreeMap::new() };
        growing.add(block, base);
        growing
    }

    fn is_followed_by(&self, block: &Block) -> bool {
        self.blocks.last().is_some_and(|last| last.number() + 1 == block.number())
    }

    /// Adds a block, and what it reads for the first time. `base` is the state before it.
    fn add<B: Base>(&mut self, block: Block, base: &B) {
        let noting = NotingBase::new(base);
        Engine::new(Config::sequential()).execute(&noting, &block).expect("a real block is valid");
        let accesses = noting.into_accesses();
        for (address, slots) in accesses.accounts {
            if !self.known.contains_key(&address) {
                self.add_account(address, base);
            }
            let known = self.known.entry(address).or_default();
            for key in slots.into_iter().filter(|key| known.insert(*key)) {
                let value = base.storage_ref(address, key).expect("it was read before");
                if !value.is_zero() {
                    self.state.set_slot(address, key, value);
                }
            }
        }
        for number in accesses.block_hashes {
            let hash = base.block_hash_ref(number).expect("it was read before");
            self.state.set_block_hash(number, Some(hash));
        }
        self.blocks.push(block);
    }

    fn add_account<B: Base>(&mut self, address: Address, base: &B) {
        let Some(info) = base.basic_ref(address).expect("it was read before") else { return };
        let account = Account::from(&info);
        self.state.insert_account(address, StoredAccount { account, ..StoredAccount::default() });
        // The code of a contract that is not run may be missing.
        let code = info.code.map_or_else(|| base.code_by_hash_ref(account.code_hash).ok(), Some);
        if let Some(code) = code {
            self.state.insert_code(code.original_bytes());
        }
    }
}
