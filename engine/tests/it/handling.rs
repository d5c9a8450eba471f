//! A chain with its own transaction handler: each transaction pays a toll, unless the patron is rich.

use std::ops::ControlFlow;

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, TxKind, U256, hex, keccak256};
use blockloom_engine::{
    Block, Config, Engine, Handling, HandlingError, HandlingEvm, Rules, TestMode, Transaction,
};
use blockloom_fuzz::JitteryBase;
use blockloom_state::{Allocation, MemoryStore};
use revm::{
    Inspector,
    context::TxEnv,
    context_interface::{
        ContextTr, JournalTr, Transaction as _,
        journaled_state::account::JournaledAccountTr,
        result::{ExecutionResult, HaltReason, InvalidTransaction},
    },
    handler::{
        FrameResult, Handler, post_execution::reward_beneficiary,
        pre_execution::validate_against_state_and_deduct_caller,
    },
    interpreter::{CallInputs, CallOutcome, InitialAndFloorGas},
};

const PATRON: Address = Address::repeat_byte(0xaa);
const TREASURY: Address = Address::repeat_byte(0xbb);
const TOLL: u64 = 1_000;
/// No transaction pays the toll while the patron has at least this balance.
const RICH: u64 = 1_000_000;
const SENDERS: u64 = 40;
/// The sender that makes the patron rich, through a contract that runs for long.
const DONOR: u64 = 5;
const DONATION_CONTRACT: Address = Address::repeat_byte(0xcc);

#[derive(Clone, Copy, Debug)]
struct Toll;

impl Handling for Toll {
    fn run<EVM: HandlingEvm>(&self, evm: &mut EVM) -> Result<ExecutionResult, HandlingError<EVM>> {
        TollHandler(std::marker::PhantomData).run(evm)
    }

    fn most_cost(&self, transaction: &TxEnv) -> Option<U256> {
        transaction.max_balance_spending().ok()?.checked_add(U256::from(TOLL))
    }

    fn looks_at(&self, _transaction: &TxEnv) -> impl IntoIterator<Item = Address> {
        [PATRON]
    }
}

struct TollHandler<EVM>(std::marker::PhantomData<EVM>);

impl<EVM: HandlingEvm> TollHandler<EVM> {
    fn toll(evm: &mut EVM) -> Result<U256, HandlingError<EVM>> {
        let patron = evm.ctx().journal_mut().load_account(PATRON)?.data.info.balance;
        Ok(if patron >= U256::from(RICH) { U256::ZERO } else { U256::from(TOLL) })
    }
}

impl<EVM: HandlingEvm> Handler for TollHandler<EVM> {
    type Evm = EVM;
    type Error = HandlingError<EVM>;
    type HaltReason = HaltReason;

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut EVM,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), Self::Error> {
        validate_against_state_and_deduct_caller::<_, Self::Error>(evm.ctx())?;
        let toll = Self::toll(evm)?;
        let caller = evm.ctx().tx().caller();
        if !evm.ctx().journal_mut().load_account_mut(caller)?.data.decr_balance(toll) {
            return Err(InvalidTransaction::OverflowPaymentInTransaction.into());
        }
        Ok(())
    }

    fn reward_beneficiary(&self, evm: &mut EVM, result: &mut FrameResult) -> Result<(), Self::Error> {
        let toll = Self::toll(evm)?;
        evm.ctx().journal_mut().load_account_mut(TREASURY)?.data.incr_balance(toll);
        Ok(reward_beneficiary(evm.ctx(), result.gas())?)
    }
}

fn sender(number: u64) -> Address {
    Address::from_word(U256::from(0x1000 + number).into())
}

/// Counts down from 8192 and then sends the received value to the patron.
fn donation_contract() -> Allocation {
    let code = [
        &hex!("612000 5b 6001 90 03 80 6003 57 6000 6000 6000 6000 34 73")[..],
        PATRON.as_slice(),
        &hex!("5a f1 00"),
    ];
    Allocation { nonce: 1, code: code.concat().into(), ..Allocation::default() }
}

/// Transfers, and one call that makes the patron rich.
fn block() -> (MemoryStore, Block) {
    let wealth = Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() };
    let mut base = MemoryStore::from_genesis((0..SENDERS).map(|number| (sender(number), wealth.clone())));
    base.insert(DONATION_CONTRACT, donation_contract());
    base.insert(PATRON, Allocation { balance: U256::from(7), ..Allocation::default() });
    let header = Header { number: 1, gas_limit: 1 << 40, ..Header::default() };
    let block = Block::without_body(Rules::mainnet(EthereumHardfork::Byzantium), &header);
    let transaction = |number: u64| {
        let is_donor = number == DONOR;
        let env = TxEnv {
            caller: sender(number),
            gas_limit: if is_donor { 1_000_000 } else { 21_000 },
            gas_price: 1,
            kind: TxKind::Call(if is_donor { DONATION_CONTRACT } else { sender(number * 7 % 50) }),
            value: U256::from(if is_donor { RICH } else { 5 }),
            ..TxEnv::default()
        };
        Transaction { hash: keccak256(number.to_be_bytes()), env }
    };
    let block = Block { transactions: (0..SENDERS).map(transaction).collect(), ..block };
    (base, block)
}

#[test]
fn a_handler_of_the_embedder_decides_what_a_transaction_costs() {
    let (base, block) = block();
    let expected = Engine::with_handling(Config::sequential(), Toll).execute(&base, &block).unwrap();
    let treasury = expected.changes.accounts[&TREASURY].account.after.as_ref().unwrap();
    // The donor's toll does not reach the treasury: the patron is rich by the time it is paid out.
    assert_eq!(treasury.balance, U256::from(DONOR * TOLL));
    for threads in [2, 3, 8] {
        let engine = Engine::with_handling(Config::with_threads(threads), Toll);
        let engine = engine.with_test_mode(TestMode::AlwaysParallel);
        for seed in 0..20 {
            let outcome = engine.execute(&JitteryBase { base: &base, seed }, &block).unwrap();
            assert_eq!(outcome, expected, "{threads} threads, seed {seed}");
            assert_eq!(outcome.statistics.threads, threads);
        }
    }
}

#[test]
fn a_handler_of_the_embedder_is_inspected() {
    /// Counts the calls of a transaction.
    struct Calls(u64);

    impl<CTX> Inspector<CTX> for Calls {
        fn call(&mut self, _: &mut CTX, _: &mut CallInputs) -> Option<CallOutcome> {
            self.0 += 1;
            None
        }
    }

    let (base, block) = block();
    let engine = Engine::with_handling(Config::sequential(), Toll);
    let mut inspected = 0;
    let outcome = engine.inspect(&base, &block, &mut Calls(0), |Calls(calls), step| {
        if step.receipt.is_some() {
            assert!(std::mem::take(calls) > 0, "{:?} has no call", step.step);
            inspected += 1;
        }
        ControlFlow::Continue(())
    });
    assert_eq!(outcome.unwrap(), engine.execute(&base, &block).unwrap());
    assert_eq!(inspected, SENDERS);
}

#[test]
fn an_unpayable_toll_makes_the_block_invalid_on_every_thread_count() {
    let (mut base, block) = block();
    let poor = Allocation { balance: U256::from(21_000 + TOLL - 1), ..Allocation::default() };
    base.insert(sender(1), poor);
    let expected = Engine::with_handling(Config::sequential(), Toll).execute(&base, &block).unwrap_err();
    assert!(expected.to_string().contains("transaction 1"), "{expected}");
    for threads in [2, 8] {
        let engine = Engine::with_handling(Config::with_threads(threads), Toll);
        let engine = engine.with_test_mode(TestMode::AlwaysParallel);
        let error = engine.execute(&base, &block).unwrap_err();
        assert_eq!(error.to_string(), expected.to_string(), "{threads} threads");
    }
}
