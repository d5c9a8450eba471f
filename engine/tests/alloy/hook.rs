//! What a state hook hears while a block is executed.

use std::sync::{Arc, Mutex};

use alloy_evm::{EvmFactory, block::BlockExecutor};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, Bytes, U256, bytes};
use revm::state::{Account, AccountInfo, EvmState};

use crate::case::*;

/// What a state hook hears of one commit: the accounts that changed, and what they are then.
type Heard = Vec<(Address, Option<AccountInfo>, Vec<(U256, U256)>)>;

fn heard(state: EvmState) -> Heard {
    let changed =
        |account: &Account| account.is_touched() && (account.is_selfdestructed() || account.is_changed());
    let accounts = state.into_iter().filter(|(_, account)| changed(account));
    let mut heard: Heard = accounts
        .map(|(address, account)| {
            let slots = account.changed_storage_slots().map(|(key, slot)| (*key, slot.present_value));
            let mut slots: Vec<_> = slots.collect();
            slots.sort_unstable();
            (address, (!account.is_selfdestructed()).then_some(account.info), slots)
        })
        .collect();
    heard.sort_unstable_by_key(|(address, ..)| *address);
    heard
}

/// What a state hook hears while a block is executed.
fn listen(factory: &impl Factory, case: &Case) -> Vec<Heard> {
    let commits = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&commits);
    let hook = move |state| hears.lock().unwrap().push(heard(state));
    let mut state = case.state().with_state_hook(Some(Box::new(hook)));
    let evm = factory.evm_factory().create_evm(&mut state, case.env());
    factory.create_executor(evm, case.ctx()).execute_block(&case.transactions).unwrap();
    std::mem::take(&mut *commits.lock().unwrap())
}

#[test]
fn a_state_hook_hears_of_each_transaction_in_order() {
    let accounts = [(CONTRACT, contract(WRITER)), (MORTAL, contract(bytes!("33ff")))];
    let case = Case::new(Shanghai, accounts).with([
        pay(SENDER, 0, CONTRACT, 1, Bytes::new()),
        pay(SENDER, 1, MORTAL, 2, Bytes::new()),
        pay(OTHER, 0, CONTRACT, 3, Bytes::new()),
    ]);
    let heard = listen(&case.parallel(), &case);
    assert_eq!(heard, listen(&case.eth(), &case));
    // The three transactions, and the withdrawals after them, of which there are none.
    assert_eq!(heard.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 0]);
}
