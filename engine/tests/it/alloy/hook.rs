//! The calls that a state hook receives while a block is executed.

use std::sync::{Arc, Mutex};

use alloy_evm::{EvmFactory, block::BlockExecutor};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, Bytes, U256, bytes};
use revm::state::{Account, AccountInfo, EvmState};

use super::case::*;

/// One call of a state hook: the changed accounts with their new values.
type HookCall = Vec<(Address, Option<AccountInfo>, Vec<(U256, U256)>)>;

fn hook_call(state: EvmState) -> HookCall {
    let changed =
        |account: &Account| account.is_touched() && (account.is_selfdestructed() || account.is_changed());
    let accounts = state.into_iter().filter(|(_, account)| changed(account));
    let mut call: HookCall = accounts
        .map(|(address, account)| {
            let slots = account.changed_storage_slots().map(|(key, slot)| (*key, slot.present_value));
            let mut slots: Vec<_> = slots.collect();
            slots.sort_unstable();
            (address, (!account.is_selfdestructed()).then_some(account.info), slots)
        })
        .collect();
    call.sort_unstable_by_key(|(address, ..)| *address);
    call
}

/// Executes the block with a state hook, and returns the calls of the hook.
fn hook_calls(factory: &impl Factory, case: &Case) -> Vec<HookCall> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let calls_of_hook = Arc::clone(&calls);
    let hook = move |state| calls_of_hook.lock().unwrap().push(hook_call(state));
    let mut state = case.state().with_state_hook(Some(Box::new(hook)));
    let evm = factory.evm_factory().create_evm(&mut state, case.env());
    factory.create_executor(evm, case.ctx()).execute_block(&case.transactions).unwrap();
    std::mem::take(&mut *calls.lock().unwrap())
}

#[test]
fn a_state_hook_is_called_for_each_transaction_in_order() {
    let accounts = [(CONTRACT, contract(WRITER)), (DESTRUCTIBLE, contract(bytes!("33ff")))];
    let case = Case::new(Shanghai, accounts).with([
        pay(SENDER, 0, CONTRACT, 1, Bytes::new()),
        pay(SENDER, 1, DESTRUCTIBLE, 2, Bytes::new()),
        pay(OTHER, 0, CONTRACT, 3, Bytes::new()),
    ]);
    let calls = hook_calls(&case.parallel(), &case);
    assert_eq!(calls, hook_calls(&case.eth(), &case));
    // Three transactions, and the withdrawals step, which changes nothing.
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 0]);
}
