//! Blocks on the real EVM: one rule of the protocol per test.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, LazyLock},
};

use alloy_consensus::Header;
use alloy_eips::{
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
    eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7685::Requests,
    eip8282::{BUILDER_DEPOSIT_CONTRACT_ADDRESS, BUILDER_EXIT_CONTRACT_ADDRESS},
};
use alloy_evm::eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY};
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes, keccak256};
use blockloom_engine::{
    AccessLists, Block, BlockError, BlockStep, Config, CustomPrecompiles, Engine, Frame, Invalid, Lists,
    Outcome, Reason, Rules, SystemCallError, TestMode, Transaction, TransactionError,
};
use blockloom_state::{Allocation, Life, MemoryStore};
use revm::{
    context::TxEnv,
    context_interface::result::InvalidTransaction,
    precompile::{Precompile, PrecompileId, PrecompileOutput, PrecompileSpecId, Precompiles},
};

const SENDER: Address = Address::repeat_byte(0x51);
const COINBASE: Address = Address::repeat_byte(0xc0);
const CONTRACT: Address = Address::repeat_byte(0xcc);
const RECIPIENT: Address = Address::repeat_byte(0x77);

fn word(value: u64) -> U256 {
    U256::from(value)
}

fn rich() -> Allocation {
    Allocation { balance: word(1_000_000_000_000), ..Allocation::default() }
}

fn contract(code: Bytes, storage: &[(u64, u64)]) -> Allocation {
    let storage = storage.iter().map(|(key, value)| (word(*key), word(*value))).collect();
    Allocation { nonce: 1, code, storage, ..Allocation::default() }
}

fn store(accounts: impl IntoIterator<Item = (Address, Allocation)>) -> MemoryStore {
    MemoryStore::from_genesis([(SENDER, rich())].into_iter().chain(accounts))
}

fn block(fork: EthereumHardfork, transactions: Vec<TxEnv>) -> Block {
    let header = Header {
        number: 10,
        timestamp: 1000,
        beneficiary: COINBASE,
        gas_limit: 1_000_000,
        base_fee_per_gas: (fork >= London).then_some(1),
        excess_blob_gas: (fork >= Cancun).then_some(0),
        parent_beacon_block_root: (fork >= Cancun).then_some(B256::repeat_byte(0xbe)),
        ..Header::default()
    };
    let number = |(position, env): (usize, TxEnv)| Transaction { hash: keccak256([position as u8]), env };
    let transactions = transactions.into_iter().enumerate().map(number).collect();
    Block { transactions, ..Block::without_body(Rules::mainnet(fork), &header) }
}

fn call(nonce: u64, to: Address, value: u64) -> TxEnv {
    TxEnv {
        caller: SENDER,
        nonce,
        kind: TxKind::Call(to),
        value: word(value),
        gas_limit: 200_000,
        gas_price: 1,
        ..TxEnv::default()
    }
}

fn execute(base: &MemoryStore, block: &Block) -> Result<Outcome, BlockError> {
    Engine::new(Config::sequential()).execute(base, block)
}

/// The state after a valid block.
fn after(base: &MemoryStore, block: &Block) -> MemoryStore {
    let mut after = base.clone();
    after.apply(&execute(base, block).unwrap().changes).unwrap();
    after
}

fn balance(store: &MemoryStore, address: Address) -> U256 {
    store.account(&address).map_or(U256::ZERO, |stored| stored.account.balance)
}

fn slot(store: &MemoryStore, key: u64) -> U256 {
    store.account(&CONTRACT).unwrap().slots.get(&word(key)).copied().unwrap_or_default()
}

#[test]
fn a_chain_can_have_custom_precompiles() {
    const OWN: Address = Address::with_last_byte(0x77);
    static SET: LazyLock<Precompiles> = LazyLock::new(|| {
        let mut set = Precompiles::new(PrecompileSpecId::CANCUN).clone();
        let own = |_: &[u8], _: u64, reservoir: u64| Ok(PrecompileOutput::new(1234, Bytes::new(), reservoir));
        set.extend([Precompile::new(PrecompileId::Custom("own".into()), OWN, own)]);
        set
    });
    let transactions = (0..5).map(|nonce| call(nonce, OWN, 0)).collect();
    let mut block = block(Shanghai, transactions);
    block.rules.precompiles = Some(CustomPrecompiles(&SET));
    for threads in [1, 2] {
        let engine = Engine::new(Config::with_threads(threads)).with_test_mode(TestMode::AlwaysParallel);
        let outcome = engine.execute(&store([]), &block).unwrap();
        assert_eq!(outcome.gas_used, 5 * (21_000 + 1234), "{threads} threads");
    }
}

#[test]
fn an_access_list_is_produced_if_the_rules_or_the_configuration_ask_for_it() {
    let transfers = || (0..5).map(|nonce| call(nonce, RECIPIENT, 1)).collect();
    let plain = block(Shanghai, transfers());
    let mut committed = block(Shanghai, transfers());
    committed.rules.access_lists = AccessLists::Committed;
    for threads in [1, 2] {
        let list_of = |block: &Block, lists| {
            let engine = Engine::new(Config { lists, ..Config::with_threads(threads) });
            let engine = engine.with_test_mode(TestMode::AlwaysParallel);
            engine.execute(&store([]), block).unwrap().access_list
        };
        assert_eq!(list_of(&plain, Lists::WhereCommitted), None, "{threads} threads");
        let list = list_of(&plain, Lists::Always).expect("the configuration asks for a list");
        let recipient = list.iter().find(|account| account.address == RECIPIENT).unwrap();
        let changes = recipient.balance_changes.iter();
        let balances: Vec<_> =
            changes.map(|change| (change.block_access_index.get(), change.post_balance)).collect();
        let expected: Vec<_> = (1..=5).map(|index| (index, word(index))).collect();
        assert_eq!(balances, expected, "{threads} threads");
        assert_eq!(list_of(&committed, Lists::WhereCommitted), Some(list), "{threads} threads");
    }
}

#[test]
fn a_transaction_sees_the_writes_of_earlier_ones() {
    // Adds one to slot 0.
    let counter = contract(bytes!("60005460010160005500"), &[(0, 40)]);
    let base = store([(CONTRACT, counter)]);
    let block = block(Shanghai, vec![call(0, CONTRACT, 0), call(1, CONTRACT, 0)]);
    assert_eq!(slot(&after(&base, &block), 0), word(42));
}

#[test]
fn an_invalid_transaction_is_reported_with_index_hash_and_reason() {
    let base = store([]);
    let block = block(Shanghai, vec![call(0, RECIPIENT, 1), call(5, RECIPIENT, 1)]);
    let error = execute(&base, &block).unwrap_err();
    let Reason::Invalid(Invalid::Transaction { index, hash, reason }) = &error.reason else {
        panic!("{error}");
    };
    assert_eq!((error.number, index.get(), *hash), (10, 1, keccak256([1])));
    let expected = TransactionError::Refused(InvalidTransaction::NonceTooHigh { tx: 5, state: 1 });
    assert_eq!(*reason, expected);
    assert!(error.to_string().starts_with("block 10: transaction 1 (0x5fe7"), "{error}");
}

#[test]
fn a_transaction_is_valid_on_its_own_chain_only() {
    let with_chain = |chain_id| TxEnv { chain_id, ..call(0, RECIPIENT, 1) };
    for chain_id in [None, Some(7)] {
        let mut block = block(Shanghai, vec![with_chain(chain_id)]);
        block.rules.chain_id = 7;
        assert!(execute(&store([]), &block).is_ok(), "{chain_id:?}");
    }
    let error = execute(&store([]), &block(Shanghai, vec![with_chain(Some(7))])).unwrap_err();
    let reason = TransactionError::Refused(InvalidTransaction::InvalidChainId);
    assert!(
        matches!(&error.reason, Reason::Invalid(Invalid::Transaction { reason: found, .. }) if *found == reason),
        "{error}"
    );
}

#[test]
fn the_gas_limit_of_a_transaction_must_fit_into_the_remaining_block_gas() {
    let base = store([]);
    let greedy = |nonce| TxEnv { gas_limit: 990_000, ..call(nonce, RECIPIENT, 1) };
    assert!(execute(&base, &block(Shanghai, vec![greedy(0)])).is_ok());
    let error = execute(&base, &block(Shanghai, vec![greedy(0), greedy(1)])).unwrap_err();
    let reason = TransactionError::GasAboveBlock { limit: 990_000, available: 979_000 };
    assert!(
        matches!(&error.reason, Reason::Invalid(Invalid::Transaction { reason: found, .. }) if *found == reason),
        "{error}"
    );
}

#[test]
fn a_recreated_contract_starts_with_empty_storage() {
    // CREATE2 with a fixed salt, of a contract that destroys itself when it is called.
    let child_init = bytes!("6001600155 6133ff 600052 6002601e f3");
    let mut code = vec![0x69 + child_init.len() as u8 - 10];
    code[0] = 0x5f + child_init.len() as u8;
    code.extend(&child_init);
    code.extend(bytes!("600052"));
    code.extend([
        0x60,
        0,
        0x60,
        child_init.len() as u8,
        0x60,
        32 - child_init.len() as u8,
        0x60,
        0,
        0xf5,
        0x00,
    ]);
    let factory = contract(code.into(), &[]);
    let child = CONTRACT.create2(B256::ZERO, keccak256(&child_init));
    let old_child = contract(bytes!("33ff"), &[(1, 9), (2, 9)]);
    let base = store([(CONTRACT, factory), (child, old_child)]);

    let block = block(Shanghai, vec![call(0, child, 0), call(1, CONTRACT, 0)]);
    let outcome = execute(&base, &block).unwrap();
    assert_eq!(outcome.changes.accounts[&child].life, Life::New);
    let mut store = base.clone();
    let undo = store.apply(&outcome.changes).unwrap();
    let stored = store.account(&child).unwrap();
    assert_eq!(BTreeMap::from_iter(stored.slots.clone()), BTreeMap::from([(word(1), word(1))]));
    store.apply(&undo).unwrap();
    assert_eq!(store.first_difference(&base), None);
    assert_eq!(store.root(), base.root());
}

#[test]
fn a_touched_empty_account_is_kept_before_eip_161_and_removed_from_then_on() {
    let base = store([(RECIPIENT, Allocation::default())]);
    let touch = |fork| after(&base, &block(fork, vec![call(0, RECIPIENT, 0), call(1, CONTRACT, 0)]));
    let before = touch(Tangerine);
    assert!(before.account(&RECIPIENT).is_some(), "an empty account exists");
    assert!(before.account(&CONTRACT).is_some(), "a touch creates an account");
    let after = touch(SpuriousDragon);
    assert!(after.account(&RECIPIENT).is_none() && after.account(&CONTRACT).is_none());
}

#[test]
fn a_creation_fails_at_an_account_with_only_storage() {
    let address = SENDER.create(0);
    let storage = BTreeMap::from([(word(1), word(1))]);
    let base = store([(address, Allocation { balance: word(3), storage, ..Allocation::default() })]);
    let create = TxEnv { kind: TxKind::Create, ..call(0, address, 0) };
    let mut block = block(Shanghai, vec![create]);
    let known = base.storage_only().collect();
    block.rules.storage_only = Some(Arc::new(known));
    let outcome = execute(&base, &block).unwrap();
    assert!(!outcome.receipts[0].status.coerce_status());
    assert_eq!(outcome.gas_used, 200_000, "the failed creation consumes all gas");
    assert!(!outcome.changes.accounts.contains_key(&address), "the account is not changed");

    block.rules.storage_only = None;
    assert!(execute(&base, &block).unwrap().receipts[0].status.coerce_status());
}

#[test]
fn withdrawals_and_rewards_are_paid_after_the_transactions() {
    let base = store([]);
    let mut paying = block(Shanghai, vec![call(0, RECIPIENT, 1)]);
    let withdrawal = Withdrawal { address: RECIPIENT, amount: 2, ..Withdrawal::default() };
    paying.withdrawals = Some(vec![withdrawal, Withdrawal { amount: 0, address: CONTRACT, ..withdrawal }]);
    let state = after(&base, &paying);
    assert_eq!(balance(&state, RECIPIENT), word(2_000_000_001));
    assert!(state.account(&CONTRACT).is_none(), "a withdrawal of zero creates no account");

    let mut mined = block(Byzantium, Vec::new());
    mined.ommers = vec![Header { number: 8, beneficiary: RECIPIENT, ..Header::default() }];
    let state = after(&base, &mined);
    let ether = U256::from(10).pow(word(18));
    assert_eq!(balance(&state, COINBASE), ether * word(3) + ether * word(3) / word(32));
    assert_eq!(balance(&state, RECIPIENT), ether * word(3) * word(6) / word(8));
}

#[test]
fn the_beacon_root_is_stored_before_the_first_transaction() {
    let base = store([(BEACON_ROOTS_ADDRESS, contract(BEACON_ROOTS_CODE.clone(), &[]))]);
    let mut steps = Vec::new();
    let outcome = Engine::new(Config::sequential()).execute_with(
        &base,
        &block(Cancun, vec![call(0, RECIPIENT, 1)]),
        |committed| {
            steps.push((committed.step, committed.receipt.is_some(), committed.changes));
            ControlFlow::Continue(())
        },
    );
    let stored = &steps[0].2.accounts[&BEACON_ROOTS_ADDRESS].slots;
    assert_eq!(stored[&word(1000)].after, word(1000));
    assert_eq!(stored[&word(1000 + 8191)].after, U256::from_be_bytes([0xbe; 32]));
    let transaction = BlockStep::Transaction(blockloom_state::TxIndex::new(0), keccak256([0]));
    let order: Vec<_> = steps.iter().map(|(step, has_receipt, _)| (*step, *has_receipt)).collect();
    assert_eq!(order, [(BlockStep::Opening, false), (transaction, true), (BlockStep::Closing, false)]);
    assert_eq!(outcome.unwrap().receipts.len(), 1);
}

#[test]
fn a_system_call_has_thirty_million_gas_before_amsterdam() {
    // Writes the gas that is left after the first instruction, which costs 2, into slot 0.
    let base = store([(BEACON_ROOTS_ADDRESS, contract(bytes!("5a5f55"), &[]))]);
    let state = after(&base, &block(Cancun, Vec::new()));
    let slots = &state.account(&BEACON_ROOTS_ADDRESS).unwrap().slots;
    assert_eq!(slots[&U256::ZERO], word(30_000_000 - 2));
}

#[test]
fn from_their_fork_on_the_request_contracts_must_exist() {
    let code = || contract(bytes!("00"), &[]);
    let error = execute(&store([]), &block(Prague, Vec::new())).unwrap_err();
    let Reason::Invalid(Invalid::SystemCall { contract, reason }) = &error.reason else { panic!("{error}") };
    assert_eq!((*contract, reason), (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, &SystemCallError::NoCode));

    let of_prague = [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS];
    let mut base = store(of_prague.map(|address| (address, code())));
    assert_eq!(execute(&base, &block(Prague, Vec::new())).unwrap().requests, Some(Requests::default()));
    for missing in [BUILDER_DEPOSIT_CONTRACT_ADDRESS, BUILDER_EXIT_CONTRACT_ADDRESS] {
        let error = execute(&base, &block(Amsterdam, Vec::new())).unwrap_err();
        let Reason::Invalid(Invalid::SystemCall { contract, reason }) = &error.reason else {
            panic!("{error}")
        };
        assert_eq!((*contract, reason), (missing, &SystemCallError::NoCode));
        base.insert(missing, code());
    }
    assert_eq!(execute(&base, &block(Amsterdam, Vec::new())).unwrap().requests, Some(Requests::default()));

    let without_frame =
        Block { frame: Frame::TransactionsOnly, ..block(Prague, vec![call(0, RECIPIENT, 1)]) };
    assert_eq!(execute(&store([]), &without_frame).unwrap().requests, None);
}

#[test]
fn the_dao_accounts_are_drained_at_the_dao_block_only() {
    let holders = DAO_HARDFORK_ACCOUNTS[..3].iter().map(|address| (*address, rich()));
    let base = store(holders);
    let mut fork = block(Homestead, Vec::new());
    assert_eq!(balance(&after(&base, &fork), DAO_HARDFORK_BENEFICIARY), U256::ZERO);
    fork.rules.dao_block = Some(10);
    let state = after(&base, &fork);
    assert_eq!(balance(&state, DAO_HARDFORK_BENEFICIARY), word(3_000_000_000_000));
    assert_eq!(balance(&state, DAO_HARDFORK_ACCOUNTS[0]), U256::ZERO);
    assert!(
        state.account(&DAO_HARDFORK_ACCOUNTS[50]).is_some(),
        "an account with a balance set to zero exists"
    );
}

#[test]
fn a_malformed_block_is_an_error_and_no_panic() {
    let mut with_ommer = block(Byzantium, Vec::new());
    for number in [0, 2, 10, 11, u64::MAX] {
        with_ommer.ommers = vec![Header { number, ..Header::default() }];
        let error = execute(&store([]), &with_ommer).unwrap_err();
        let is_reported = matches!(&error.reason, Reason::Invalid(Invalid::Ommer { position: 0, .. }));
        assert!(is_reported, "{error}");
    }
    let unknown_type = TxEnv { tx_type: 77, ..call(0, RECIPIENT, 1) };
    let error = execute(&store([]), &block(Shanghai, vec![unknown_type])).unwrap_err();
    assert!(error.to_string().ends_with("its type 77 is unknown"), "{error}");
}
