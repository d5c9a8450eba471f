//! The parts of revm on which the engine leans, although revm promises nothing about them. If one of these tests fails after
//! an update of revm, the file that it names needs a look.

use std::cell::RefCell;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes};
use revm::{
    Context, Database, ExecuteEvm, MainBuilder, MainContext,
    bytecode::opcode::OPCODE_INFO,
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason},
    database_interface::DBErrorMarker,
    handler::SystemCallTx,
    state::{AccountId, AccountInfo, Bytecode},
};

const CALLER: Address = Address::repeat_byte(1);
const CALLEE: Address = Address::repeat_byte(2);

/// What the database was asked for slots.
#[derive(Debug, PartialEq)]
enum SlotRead {
    ByAddress(Address),
    ById(Address, AccountId),
}

/// A database with a contract that reads a slot, and with a number for each account.
struct Numbered {
    code: Bytes,
    created_nonce: u64,
    reads: RefCell<Vec<SlotRead>>,
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

impl DBErrorMarker for Never {}

impl Database for Numbered {
    type Error = Never;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Never> {
        let account_id = AccountId::new(usize::from(address[0]));
        let info = AccountInfo { balance: U256::from(u64::MAX), account_id, ..AccountInfo::default() };
        Ok(match address {
            CALLER => Some(info),
            CALLEE => {
                let code = Bytecode::new_legacy(self.code.clone());
                Some(AccountInfo { code_hash: code.hash_slow(), code: Some(code), nonce: 1, ..info })
            }
            _ => Some(AccountInfo { nonce: self.created_nonce, ..info }).filter(|info| info.nonce > 0),
        })
    }

    fn code_by_hash(&mut self, _hash: B256) -> Result<Bytecode, Never> {
        Ok(Bytecode::default())
    }

    fn storage(&mut self, address: Address, _key: U256) -> Result<U256, Never> {
        self.reads.borrow_mut().push(SlotRead::ByAddress(address));
        Ok(U256::ZERO)
    }

    fn storage_by_account_id(&mut self, address: Address, id: AccountId, _key: U256) -> Result<U256, Never> {
        self.reads.borrow_mut().push(SlotRead::ById(address, id));
        Ok(U256::ZERO)
    }

    fn block_hash(&mut self, _number: u64) -> Result<B256, Never> {
        Ok(B256::ZERO)
    }
}

/// Runs a call of a contract with this code, or a creation.
fn run(code: Bytes, created_nonce: u64, kind: TxKind) -> (ExecutionResult, Vec<SlotRead>) {
    let database = Numbered { code, created_nonce, reads: RefCell::default() };
    let mut evm = Context::mainnet().with_db(database).build_mainnet();
    let env = TxEnv { caller: CALLER, kind, gas_limit: 1_000_000, ..TxEnv::default() };
    let result = evm.transact_one(env).unwrap();
    (result, evm.ctx.journaled_state.database.reads.take())
}

/// `engine/src/evm/tracked_db.rs` hooks the instructions that look at an account. A new one may need a hook.
#[test]
fn no_instruction_is_new() {
    let known = OPCODE_INFO.iter().flatten().count();
    let ranges = [
        0x00..=0x0b,
        0x10..=0x1e,
        0x20..=0x20,
        0x30..=0x4b,
        0x50..=0xa4,
        0xe6..=0xe8,
        0xf0..=0xf5,
        0xfa..=0xfa,
    ];
    let ranges = ranges.into_iter().chain([0xfd..=0xff]).flatten();
    let listed =
        ranges.inspect(|code: &usize| assert!(OPCODE_INFO[*code].is_some(), "{code:#x} is gone")).count();
    assert_eq!(known, listed);
}

/// `state/src/commit/overlay.rs` and `state/src/run/view.rs` find an account by the number that they gave it.
#[test]
fn the_number_of_an_account_comes_back_with_its_slots() {
    let (_, reads) = run(bytes!("60005400"), 0, TxKind::Call(CALLEE));
    assert_eq!(reads, [SlotRead::ById(CALLEE, AccountId::new(2).unwrap())]);
}

/// `engine/src/evm/eip7610.rs` gives an account a nonce, so that revm refuses to create a contract there.
#[test]
fn no_contract_is_created_at_an_account_with_a_nonce() {
    let (created, _) = run(Bytes::new(), 0, TxKind::Create);
    assert!(created.is_success(), "{created:?}");
    let (refused, _) = run(Bytes::new(), 1, TxKind::Create);
    let ExecutionResult::Halt { reason, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(reason, HaltReason::CreateCollision);
}

/// `engine/src/evm/machine.rs` lowers the gas of system calls before Amsterdam.
#[test]
fn a_system_call_has_the_gas_of_amsterdam() {
    let call = TxEnv::new_system_tx_with_caller(CALLER, CALLEE, Bytes::new());
    assert!(call.gas_limit > 30_000_000, "{}", call.gas_limit);
}

/// `engine/src/evm/machine.rs` gives the journal an empty map back.
#[test]
fn a_run_leaves_nothing_in_the_journal_but_its_accounts() {
    let database = Numbered { code: bytes!("60005400"), created_nonce: 0, reads: RefCell::default() };
    let mut evm = Context::mainnet().with_db(database).build_mainnet();
    for _ in 0..2 {
        let env =
            TxEnv { caller: CALLER, kind: TxKind::Call(CALLEE), gas_limit: 100_000, ..TxEnv::default() };
        assert!(evm.transact_one(env).unwrap().is_success());
        let mut touched = evm.finalize();
        assert!(touched.contains_key(&CALLEE));
        assert!(evm.ctx.journaled_state.inner.state.is_empty());
        touched.clear();
        evm.ctx.journaled_state.inner.state = touched;
    }
    assert_eq!(evm.ctx.journaled_state.database.reads.borrow().len(), 2, "the second run reads again");
}
