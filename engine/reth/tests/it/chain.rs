//! Chains for the tests: blocks in reth's form, and the state before the first of them.

use std::{collections::BTreeSet, sync::Arc};

use alloy_consensus::TxEip1559;
use alloy_eips::{
    eip2718::Encodable2718, eip4788::BEACON_ROOTS_ADDRESS, eip4895::Withdrawal,
    eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256, bytes, keccak256};
use alloy_rpc_types_engine::{ExecutionData, ExecutionPayload, ExecutionPayloadSidecar};
use blockloom_engine::{BlockCounts, Config, Engine, Obstacle, SignedTransaction, TestMode};
use blockloom_fixtures::{
    compose::{Composer, SLOT, Signer, system_contracts},
    contracts::token,
};
use blockloom_reth::BlockloomEvmConfig;
use blockloom_state::{Allocation, MemoryStore};
use reth_chainspec::{ChainSpec, ChainSpecBuilder};
use reth_ethereum_primitives::{Block, Receipt};
use reth_evm_ethereum::EthEvmConfig;
use reth_execution_types::ExecutionOutcome;
use reth_primitives_traits::RecoveredBlock;
use revm::database::{AccountStatus, BundleState, WrapDatabaseRef};

pub(crate) const BLOCKS: usize = 24;
const SENDERS: u64 = 12;

const TOKEN: Address = Address::repeat_byte(0x70);
/// Calls the precompile that the first byte of the call data names with the rest, and stores the result.
const PRECOMPILE_CALLER: Address = Address::repeat_byte(0xca);
const PRECOMPILE_CALLER_CODE: Bytes = bytes!("600136038060015f3760205f825f5f355f1a5afa505f515f355500");
/// Stores the sum of the block's number and the hash of the block before.
const HASH_READER: Address = Address::repeat_byte(0xba);
const HASH_READER_CODE: Bytes = bytes!("436001430340015f5500");
/// Emits what lies behind it in the code, as a deposit.
const DEPOSIT_CODE: Bytes =
    bytes!("610240602e5f397f649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c56102405fa100");
/// `CALLER SELFDESTRUCT`.
const DESTRUCTIBLE_CODE: Bytes = bytes!("33ff");

/// A chain under one fork.
pub(crate) struct TestChain {
    pub(crate) spec: Arc<ChainSpec>,
    /// The state before the first block, with the hashes of all blocks.
    pub(crate) base: MemoryStore,
    /// The state before each block.
    pub(crate) bases: Vec<Arc<MemoryStore>>,
    pub(crate) blocks: Vec<RecoveredBlock<Block>>,
}

pub(crate) type Db<'a> = WrapDatabaseRef<&'a MemoryStore>;

impl TestChain {
    pub(crate) fn new(fork: EthereumHardfork) -> Self {
        let spec = blockloom_engine::ChainSpec::always(fork);
        let mut composer = Composer::new(spec, pre_state().into_iter().collect(), 60_000_000);
        let mut base = composer.state().clone();
        let mut senders = Senders::new();
        let (mut bases, mut blocks) = (Vec::new(), Vec::new());
        for number in 1..=BLOCKS as u64 {
            let transactions = transactions(number, fork, &mut senders);
            let withdrawal = Withdrawal {
                index: number,
                validator_index: number,
                address: Address::with_last_byte(0xe0 + (number % 5) as u8),
                amount: number,
            };
            let (block, changes) = composer.compose(transactions, vec![withdrawal]).unwrap();
            let mut before = composer.state().clone();
            before.set_block_hash(number - 1, Some(block.header.parent_hash));
            bases.push(Arc::new(before));
            composer.add(&block, &changes);
            base.set_block_hash(number, Some(block.header.hash_slow()));
            blocks.push(RecoveredBlock::try_recover(block).unwrap());
        }
        let builder = ChainSpecBuilder::mainnet();
        let spec = match fork {
            EthereumHardfork::Shanghai => builder.shanghai_activated(),
            EthereumHardfork::Osaka => builder.osaka_activated(),
            fork => unreachable!("no test needs {fork}"),
        };
        Self { spec: Arc::new(spec.build()), base, bases, blocks }
    }

    /// The state before the first block, without system contracts.
    pub(crate) fn base_without_system_contracts(&self) -> MemoryStore {
        let system = system_contracts().map(|(address, _)| address);
        let accounts = pre_state().into_iter().filter(|(address, _)| !system.contains(address));
        let mut base = MemoryStore::from_genesis(accounts);
        for block in &self.blocks {
            base.set_block_hash(block.header().number - 1, Some(block.header().parent_hash));
        }
        base
    }

    /// One with accounts that are destroyed, and one with requests.
    pub(crate) fn all() -> [Self; 2] {
        [EthereumHardfork::Shanghai, EthereumHardfork::Osaka].map(Self::new)
    }

    pub(crate) fn db(&self) -> Db<'_> {
        WrapDatabaseRef(&self.base)
    }

    /// reth's own configuration.
    pub(crate) fn reth(&self) -> EthEvmConfig {
        EthEvmConfig::new(Arc::clone(&self.spec))
    }

    /// The configuration with an engine that executes every block in parallel.
    pub(crate) fn blockloom(&self) -> BlockloomEvmConfig {
        BlockloomEvmConfig::new(self.reth(), parallel_engine()).with_messages()
    }
}

pub(crate) fn parallel_engine() -> Engine {
    Engine::new(Config::with_threads(3)).with_test_mode(TestMode::AlwaysParallel)
}

#[track_caller]
pub(crate) fn assert_all_parallel(counts: &BlockCounts, blocks: usize) {
    for obstacle in Obstacle::ALL {
        assert_eq!(counts.sequential(obstacle), 0, "{obstacle}");
    }
    assert_eq!(counts.parallel(), blocks as u64);
}

/// Asserts that two bundles are the same, but for details that do not follow from the changes of a block: see
/// `Changes::into_bundle`. Accounts are compared one by one, because the difference of two bundles is
/// unreadable.
#[track_caller]
pub(crate) fn assert_same_bundle(found: BundleState, expected: BundleState) {
    let (found, expected) = (normalized(found), normalized(expected));
    let addresses: BTreeSet<_> = found.state.keys().chain(expected.state.keys()).collect();
    for address in addresses {
        assert_eq!(found.state.get(address), expected.state.get(address), "{address}");
    }
    assert!(found.contracts == expected.contracts, "the contracts differ");
    assert_eq!(found.reverts.len(), expected.reverts.len());
    for (block, (found, expected)) in found.reverts.iter().zip(expected.reverts.iter()).enumerate() {
        assert_eq!(found.len(), expected.len(), "reverts of block {block}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected, "block {block}");
        }
    }
    assert_eq!((found.state_size, found.reverts_size), (expected.state_size, expected.reverts_size));
}

fn normalized(mut bundle: BundleState) -> BundleState {
    bundle.contracts.remove(&KECCAK256_EMPTY);
    for account in bundle.state.values_mut() {
        if account.status == AccountStatus::DestroyedAgain {
            account.status = AccountStatus::Destroyed;
        }
    }
    // The reverts of a block have no order.
    for reverts in bundle.reverts.iter_mut() {
        reverts.sort_unstable_by_key(|(address, _)| *address);
    }
    bundle
}

#[track_caller]
pub(crate) fn assert_same_outcome(
    mut found: ExecutionOutcome<Receipt>,
    mut expected: ExecutionOutcome<Receipt>,
) {
    assert_same_bundle(std::mem::take(&mut found.bundle), std::mem::take(&mut expected.bundle));
    for (block, (found, expected)) in found.receipts.iter().zip(&expected.receipts).enumerate() {
        assert_eq!(found, expected, "block {block}");
    }
    assert_eq!(found.requests, expected.requests);
    assert!(found == expected, "the outcomes differ elsewhere");
}

/// The payload of a block.
pub(crate) fn payload(block: &RecoveredBlock<Block>) -> ExecutionData {
    let (payload, sidecar): (ExecutionPayload, ExecutionPayloadSidecar) =
        ExecutionPayload::from_block_unchecked(block.hash(), &block.clone_block());
    ExecutionData { payload, sidecar }
}

fn pre_state() -> Vec<(Address, Allocation)> {
    let contract = |code| Allocation { balance: U256::from(5), nonce: 1, code, ..Allocation::default() };
    let signers = || (1..=SENDERS).map(|number| Signer::new(number).address());
    let mut token = contract(token::code());
    token.storage = signers().map(|owner| (token::balance_slot(owner), U256::from(1_000_000))).collect();
    let rich = Allocation { balance: U256::from(10).pow(U256::from(21)), ..Allocation::default() };
    let mut accounts: Vec<_> = signers().map(|address| (address, rich.clone())).collect();
    accounts.extend([
        (TOKEN, token),
        (PRECOMPILE_CALLER, contract(PRECOMPILE_CALLER_CODE)),
        (HASH_READER, contract(HASH_READER_CODE)),
    ]);
    let destructible = |number| {
        let storage = [(U256::from(number), U256::from(3))].into();
        (destructible(number), Allocation { storage, ..contract(DESTRUCTIBLE_CODE) })
    };
    accounts.extend((0..BLOCKS as u64).map(destructible));
    accounts.push((MAINNET_DEPOSIT_CONTRACT_ADDRESS, contract(deposit_code())));
    accounts.extend(system_contracts());
    accounts
}

fn deposit_code() -> Bytes {
    let word = |number: usize| B256::from(U256::from(number)).0;
    let fields: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];
    let mut data = fields.map(|(offset, _)| word(offset)).concat();
    for (_, length) in fields {
        data.extend(word(length));
        data.extend(vec![length as u8; length.next_multiple_of(32)]);
    }
    [&DEPOSIT_CODE[..], &data].concat().into()
}

fn destructible(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

/// The senders with their nonces.
struct Senders([u64; SENDERS as usize]);

impl Senders {
    const fn new() -> Self {
        Self([0; SENDERS as usize])
    }

    fn sign(&mut self, sender: u64, to: TxKind, value: u64, input: Bytes) -> SignedTransaction {
        let nonce = &mut self.0[sender as usize];
        *nonce += 1;
        Signer::new(sender + 1).sign(TxEip1559 {
            chain_id: 1,
            nonce: *nonce - 1,
            gas_limit: if to.is_create() { 3_000_000 } else { 300_000 },
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 3,
            to,
            value: U256::from(value),
            input,
            ..TxEip1559::default()
        })
    }
}

fn transactions(block: u64, fork: EthereumHardfork, senders: &mut Senders) -> Vec<SignedTransaction> {
    let mut signed = Vec::new();
    for number in 0..30 {
        let sender = (number * 5 + block) % SENDERS;
        let other = Signer::new((sender + number) % SENDERS + 1).address();
        let (to, value, input) = match (number + block) % 8 {
            0 => (other, 7, Bytes::new()),
            1 => (destructible(1000 * block + number), 1, Bytes::new()),
            2 | 3 => (TOKEN, 0, token::transfer(other, U256::from(number))),
            4 => (PRECOMPILE_CALLER, 0, precompile_input(number)),
            5 => (PRECOMPILE_CALLER, 0, [&[2][..], &[block as u8 / 4; 40]].concat().into()),
            6 => (HASH_READER, 0, Bytes::new()),
            _ => (destructible((block * 5 + number / 8) % BLOCKS as u64), 2, Bytes::new()),
        };
        signed.push(senders.sign(sender, to.into(), value, input));
    }
    signed.push(senders.sign(block % SENDERS, TxKind::Create, 0, token::creation_code()));
    if fork >= EthereumHardfork::Cancun {
        // It fails unless the opening of the block has written its timestamp.
        let timestamp = B256::from(U256::from(SLOT * block));
        signed.push(senders.sign(5, BEACON_ROOTS_ADDRESS.into(), 0, timestamp.into()));
    }
    if fork >= EthereumHardfork::Prague {
        let request = vec![block as u8; 56].into();
        signed.push(senders.sign(3, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS.into(), 1, request));
        signed.push(senders.sign(4, MAINNET_DEPOSIT_CONTRACT_ADDRESS.into(), 0, Bytes::new()));
    }
    signed
}

/// Input for ECRECOVER, the same in every block.
fn precompile_input(number: u64) -> Bytes {
    let hash = keccak256([number as u8]);
    let signature = Signer::new(1 + number % SENDERS).sign_hash(hash);
    let v = B256::from(U256::from(27 + u64::from(signature.v())));
    let parts = [hash, v, signature.r().into(), signature.s().into()];
    [&[1][..], &parts.map(|part| part.0).concat()].concat().into()
}

#[test]
fn the_payload_of_a_block_has_its_transactions() {
    let chain = TestChain::new(EthereumHardfork::Osaka);
    let block = &chain.blocks[3];
    let payload = payload(block);
    let encoded: Vec<Bytes> =
        block.body().transactions.iter().map(|signed| signed.encoded_2718().into()).collect();
    assert_eq!(*payload.payload.transactions(), encoded);
    assert_eq!(payload.parent_hash(), block.header().parent_hash);
}
