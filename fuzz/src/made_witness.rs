//! The witness of a block, made of a whole state, and the execution of the block on it alone.

use alloy_primitives::{B256, Bytes};
use blockloom_engine::{Block, BlockError, Engine, Outcome};
use blockloom_state::{MemoryStore, NotingBase, Witness, WitnessStore};
use revm::DatabaseRef;

use crate::comparison::engine_on;

/// The witness of a valid block, with what its execution on one of this crate's engines must yield.
#[derive(Clone, Debug)]
pub struct MadeWitness {
    /// The root of the state before the block.
    pub root: B256,
    /// The nodes.
    pub nodes: Vec<Bytes>,
    /// The codes.
    pub codes: Vec<Bytes>,
    /// The hashes of earlier blocks.
    pub block_hashes: Vec<(u64, B256)>,
    /// The outcome of the block on the whole state.
    pub outcome: Outcome,
    /// The root of the whole state after the block.
    pub root_after: B256,
}

/// Why the execution on a witness fails.
#[derive(Debug, thiserror::Error)]
pub enum WitnessFailure {
    /// The block is refused, or the witness lacks something that its execution reads.
    #[error(transparent)]
    Execution(#[from] BlockError),
    /// The witness lacks something that the root after the block needs.
    #[error(transparent)]
    Root(#[from] blockloom_state::WitnessError),
}

impl MadeWitness {
    /// The witness of a block on the state before it.
    ///
    /// # Errors
    ///
    /// If the block is invalid.
    ///
    /// # Panics
    ///
    /// If the outcome does not fit the state, which is a bug.
    pub fn of(state: &MemoryStore, block: &Block) -> Result<Self, BlockError> {
        let noting = NotingBase::new(state);
        let outcome = engine_on(1).execute(&noting, block)?;
        let accesses = noting.into_accesses();
        let code = |hash: &B256| state.code_by_hash_ref(*hash).expect("it was read").original_bytes();
        let block_hash = |number: &u64| (*number, state.block_hash_ref(*number).expect("it was read"));
        let mut after = state.clone();
        after.apply(&outcome.changes).expect("the changes fit the state that they were made on");
        Ok(Self {
            root: state.root(),
            nodes: state.witness(&accesses, &outcome.changes).expect("the changes fit the state"),
            codes: accesses.codes.iter().map(code).collect(),
            block_hashes: accesses.block_hashes.iter().map(block_hash).collect(),
            outcome,
            root_after: after.root(),
        })
    }

    /// The state that the witness proves.
    pub fn store(&self) -> WitnessStore {
        let mut store = WitnessStore::new(Witness::new(self.nodes.iter().cloned()), self.root);
        for code in &self.codes {
            store.insert_code(code.clone());
        }
        self.block_hashes.iter().for_each(|(number, hash)| store.set_block_hash(*number, *hash));
        store
    }

    /// Executes the block on the witness alone. Returns the outcome and the root after it.
    ///
    /// # Errors
    ///
    /// If the witness lacks something.
    pub fn execute(&self, engine: &Engine, block: &Block) -> Result<(Outcome, B256), WitnessFailure> {
        let store = self.store();
        let outcome = engine.execute(&store, block)?;
        let root = store.root_after(&outcome.changes)?;
        Ok((outcome, root))
    }
}
