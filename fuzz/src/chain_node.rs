//! A node that plays a chain: it answers the requests of a fetch from blocks that it executed itself.
//!
//! The proofs are made by alloy-trie from the whole state, and not by the tries of this project.

mod answers;

use std::{collections::BTreeSet, ops::ControlFlow};

use alloy_consensus::{BlockBody, Header, TxLegacy};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use blockloom_engine::{
    Block, BlockError, BlockStep, ChainSpec, Config, Engine, Invalid, Receipt, SignedBlock,
    SignedTransaction, check_outcome,
};
use blockloom_fixtures::{
    State,
    compose::{Composer, Signer, system_contracts},
    node::{Node, Request, RequestError},
};
use blockloom_state::{Allocation, MemoryStore};
use serde_json::{Value, json};

use answers::{account, account_answer, block_json, proof_json, receipt_json, trace_json, witness_json};

/// A node and its chain.
#[derive(Clone, Debug)]
pub struct ChainNode {
    spec: ChainSpec,
    /// From block 0 on.
    blocks: Vec<Played>,
    /// The methods that it does not know.
    unknown: BTreeSet<&'static str>,
}

/// The methods that only some nodes have.
const WITNESS: &str = "debug_executionWitness";
const RAW_BLOCK: &str = "debug_getRawBlock";

/// A block, and the state after it.
#[derive(Clone, Debug)]
struct Played {
    block: SignedBlock,
    receipts: Vec<Receipt>,
    state: MemoryStore,
}

/// The id of the sample chain.
const SAMPLE_ID: u64 = 31_337;

/// The contract of the sample chain. It writes the second word of its input to the slot named by the first.
const WRITER: Address = Address::repeat_byte(0xa1);

/// The error of JSON-RPC for a request: its code and its message.
pub type Refusal = (i64, String);

impl ChainNode {
    /// A node whose chain has the genesis only: its header, and the state after it.
    pub fn new(spec: ChainSpec, genesis: Header, state: MemoryStore) -> Self {
        let withdrawals = genesis.withdrawals_root.map(|_| Default::default());
        let body = BlockBody { withdrawals, ..BlockBody::default() };
        let genesis = Played { block: SignedBlock { header: genesis, body }, receipts: Vec::new(), state };
        Self { spec, blocks: vec![genesis], unknown: BTreeSet::from([WITNESS, RAW_BLOCK]) }
    }

    /// A local chain under Prague: each of its blocks writes a slot and clears another. Its id is that of an anvil.
    pub fn sample(blocks: u64) -> Self {
        let spec = ChainSpec::always(EthereumHardfork::Prague).with_chain_id(SAMPLE_ID);
        let code = Bytes::from_static(&hex!("6020356000355500"));
        let storage = (1..40).map(|slot| (U256::from(slot), U256::from(slot))).collect();
        let writer = Allocation { nonce: 1, code, storage, ..Allocation::default() };
        let rich = Allocation { balance: U256::from(10).pow(U256::from(21)), ..Allocation::default() };
        let mut pre = State::from([(WRITER, writer), (Signer::new(1).address(), rich)]);
        pre.extend(system_contracts());
        let mut composer = Composer::new(spec.clone(), pre.clone(), 30_000_000);
        let mut node = Self::new(spec, composer.genesis().clone(), MemoryStore::from_genesis(pre));
        for number in 1..=blocks {
            let writes = [(100 + number, number), (number, 0)].into_iter().zip((number - 1) * 2..);
            let transactions = writes.map(|((slot, value), nonce)| write(nonce, slot, value)).collect();
            let composed = composer.compose(transactions, Vec::new());
            let (block, changes) = composed.expect("the transactions are valid");
            composer.add(&block, &changes);
            node.import(block).expect("the block was composed after the last one");
        }
        node
    }

    /// The same node, which does not know these methods.
    #[must_use]
    pub fn without(mut self, methods: impl IntoIterator<Item = &'static str>) -> Self {
        self.unknown.extend(methods);
        self
    }

    /// Executes the next block of the chain, and adds it.
    ///
    /// # Errors
    ///
    /// If the block is not valid on the last one.
    pub fn import(&mut self, block: SignedBlock) -> Result<(), BlockError> {
        let mut state = self.blocks.last().expect("there is a genesis").state.clone();
        let recovered = Block::recover(self.spec.rules(&block.header), block.clone())?;
        let (mut step_state, mut roots) = (state.clone(), Vec::new());
        let has_post_states = !recovered.rules.is_active(EthereumHardfork::Byzantium);
        let outcome = Engine::new(Config::sequential()).execute_with(&state, &recovered, |committed| {
            if has_post_states {
                step_state.apply(&committed.changes).expect("a step fits the state before it");
                if let BlockStep::Transaction(..) = committed.step {
                    roots.push(step_state.root());
                }
            }
            ControlFlow::Continue(())
        })?;
        let outcome = if has_post_states { outcome.with_post_states(&roots) } else { outcome };
        state.apply(&outcome.changes).expect("the outcome fits the state before it");
        state.set_block_hash(block.header.number, Some(block.header.hash_slow()));
        check_outcome(&recovered.rules, &block.header, &outcome, Some(state.root()))
            .map_err(|error| Invalid::from(error).of(block.header.number))?;
        self.blocks.push(Played { block, receipts: outcome.receipts, state });
        Ok(())
    }

    /// The same node, which makes witnesses as well.
    #[must_use]
    pub fn with_witnesses(mut self) -> Self {
        self.unknown.remove(WITNESS);
        self
    }

    /// The same node, which answers the RLP of blocks as well.
    #[must_use]
    pub fn with_raw_blocks(mut self) -> Self {
        self.unknown.remove(RAW_BLOCK);
        self
    }

    /// The chain.
    pub fn chain(&self) -> &ChainSpec {
        &self.spec
    }

    /// The header of a block.
    pub fn header(&self, number: u64) -> &Header {
        &self.blocks[usize::try_from(number).expect("it is a small number")].block.header
    }

    /// The number of the latest block.
    pub fn latest(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The answer to a request.
    ///
    /// # Errors
    ///
    /// If the node does not know the method, or the parameters are wrong.
    pub fn answer(&self, method: &str, params: &Value) -> Result<Value, Refusal> {
        if self.unknown.contains(method) {
            return Err(unknown(method));
        }
        let text = |position: usize| params[position].as_str().unwrap_or_default();
        let address = || text(0).parse::<Address>().map_err(|_| wrong("an address"));
        match method {
            "eth_chainId" => Ok(json!(format!("{:#x}", self.spec.chain_id()))),
            "eth_blockNumber" => Ok(json!(format!("{:#x}", self.latest()))),
            "eth_getBlockByNumber" => {
                let block = self.at(text(0))?.map(|played| block_json(played, params[1] == true));
                Ok(block.unwrap_or_default())
            }
            RAW_BLOCK => {
                let played = self.at(text(0))?.ok_or_else(|| wrong("a block"))?;
                Ok(json!(hex::encode_prefixed(alloy_rlp::encode(&played.block))))
            }
            "eth_getUncleByBlockNumberAndIndex" => {
                let position =
                    text(1).parse::<U256>().map_or(usize::MAX, |position| position.saturating_to());
                let ommer = self.at(text(0))?.and_then(|played| played.block.body.ommers.get(position));
                Ok(json!(ommer))
            }
            "eth_getBlockReceipts" => {
                let receipts = |played: &Played| played.receipts.iter().map(receipt_json).collect();
                Ok(self.at(text(0))?.map(receipts).unwrap_or_default())
            }
            "eth_getTransactionReceipt" => Ok(self.receipt(text(0)).unwrap_or_default()),
            "eth_getProof" => {
                let keys = params[1].as_array().ok_or_else(|| wrong("a list of keys"))?;
                let keys =
                    keys.iter().map(|key| key.as_str()?.parse::<U256>().ok()).collect::<Option<Vec<_>>>();
                let keys = keys.ok_or_else(|| wrong("a key"))?;
                Ok(proof_json(self.state(text(2))?, address()?, &keys))
            }
            "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode" => {
                Ok(account_answer(self.state(text(1))?, address()?, method))
            }
            "eth_getStorageAt" => {
                let key: U256 = text(1).parse().map_err(|_| wrong("a key"))?;
                let slots = account(self.state(text(2))?, address()?).slots;
                Ok(json!(B256::from(slots.get(&key).copied().unwrap_or_default())))
            }
            WITNESS => Ok(witness_json(self.parent(text(0))?)),
            "debug_traceBlockByNumber" => Ok(json!([{ "result": trace_json(&self.parent(text(0))?.state) }])),
            other => Err(unknown(other)),
        }
    }

    fn at(&self, number: &str) -> Result<Option<&Played>, Refusal> {
        let number: u64 = number
            .parse::<U256>()
            .ok()
            .and_then(|number| number.try_into().ok())
            .ok_or_else(|| wrong("a number"))?;
        Ok(usize::try_from(number).ok().and_then(|number| self.blocks.get(number)))
    }

    /// The parent of a block. The genesis stands for its own.
    fn parent(&self, number: &str) -> Result<&Played, Refusal> {
        let number = self.at(number)?.ok_or_else(|| wrong("a block"))?.block.header.number;
        self.at(&format!("{:#x}", number.saturating_sub(1)))?.ok_or_else(|| wrong("a block"))
    }

    fn state(&self, number: &str) -> Result<&MemoryStore, Refusal> {
        Ok(&self.at(number)?.ok_or_else(|| wrong("a block"))?.state)
    }

    fn receipt(&self, hash: &str) -> Option<Value> {
        self.blocks.iter().find_map(|played| {
            let mut transactions = played.block.body.transactions.iter();
            let index = transactions.position(|transaction| transaction.tx_hash().to_string() == hash)?;
            Some(receipt_json(&played.receipts[index]))
        })
    }
}

impl Node for ChainNode {
    fn send(&self, requests: &[Request]) -> Vec<Result<String, RequestError>> {
        let answer = |request: &Request| {
            let answer = self.answer(request.method(), request.params());
            answer
                .map(|value| value.to_string())
                .map_err(|(code, message)| RequestError::Refused { code, message })
        };
        requests.iter().map(answer).collect()
    }
}

/// A transaction that writes a slot of the sample's contract.
fn write(nonce: u64, slot: u64, value: u64) -> SignedTransaction {
    let words = [slot, value].map(|word| U256::from(word).to_be_bytes::<32>());
    Signer::new(1).sign(TxLegacy {
        chain_id: Some(SAMPLE_ID),
        nonce,
        gas_price: 100_000_000_000,
        gas_limit: 100_000,
        to: WRITER.into(),
        input: words.concat().into(),
        ..TxLegacy::default()
    })
}

fn unknown(method: &str) -> Refusal {
    (-32601, format!("the method {method} does not exist"))
}

fn wrong(expected: &str) -> Refusal {
    (-32602, format!("expected {expected}"))
}
