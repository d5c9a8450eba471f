//! Hints that say what no transaction does. A run that believes them is stale.

use std::{ops::ControlFlow, sync::atomic::AtomicI64, thread, time::Duration};

use alloy_eips::eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, NonceChange, SlotChanges, StorageChange,
};
use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, keccak256};
use blockloom_engine::{Block, Reason, Statistics};
use blockloom_fuzz::engine_on;
use blockloom_state::MemoryStore;
use revm::{bytecode::opcode::*, context::TxEnv};

use super::super::{
    code::{Code, Word},
    differential::execute_until,
    scenario::*,
};
use crate::faults::{Failing, Fault, Occurrence, Read};

/// An executed block, and the same block with a hint.
struct Hinted {
    base: MemoryStore,
    block: Block,
    after: After,
}

impl Hinted {
    /// The hint is the block's own list, but for what `change` makes of an account.
    fn new(mut scenario: Scenario, address: Address, change: impl Fn(&mut AccountChanges)) -> Self {
        scenario.add_unrelated_transfers(5);
        let (base, block) = (scenario.base.clone(), scenario.block());
        let after = scenario.execute_as_is();
        let mut hint: BlockAccessList = after.outcome.access_list.clone().unwrap();
        change(hint.iter_mut().find(|account| account.address == address).unwrap());
        Self { base, block: block.with_hint(hint).unwrap(), after }
    }

    /// Executes the block until the statistics show that a run believed the hint.
    fn execute_until(self, has_happened: fn(&Statistics) -> bool) -> After {
        for threads in [2, 3] {
            execute_until(&engine_on(threads), &self.base, &self.block, &self.after.outcome, has_happened);
        }
        self.after
    }

    /// Executes the block on bases that fail once, at this read of this location, until that happens during
    /// validation. If it happens during a run at the gate, it is the block's error.
    fn fail_during_validation(self, counted: Read, reads: i64) {
        let engine = engine_on(3);
        for attempt in 0..12 {
            let (fault, reads_left) = (Fault::Error(Occurrence::Once), AtomicI64::new(reads));
            let failing = Failing { store: &self.base, reads_left, fault, counted: Some(counted) };
            let result = engine.execute_with(&failing, &self.block, |_| {
                thread::sleep(Duration::from_micros(20 << attempt));
                ControlFlow::Continue(())
            });
            match result {
                Ok(outcome) => {
                    assert_eq!(outcome, self.after.outcome);
                    if outcome.statistics.stale_at_gate.unreadable > 0 {
                        return;
                    }
                }
                Err(error) => assert!(matches!(error.reason, Reason::Base { .. }), "{error}"),
            }
        }
        panic!("{counted:?} never failed during validation");
    }
}

/// The index of the first transaction, which has nothing to do with the contract.
fn first() -> BlockAccessIndex {
    BlockAccessIndex::from_tx_index(0)
}

/// A call of a contract that copies slot 2, plus one, into slot 3.
fn copying(fork: EthereumHardfork) -> Scenario {
    let mut scenario = Scenario::new(fork, 0);
    let copying = Code::new().push(2).ops([SLOAD]).push(1).ops([ADD]).store_top(3);
    scenario.contract(CONTRACT, &copying, &[(2, 9)]);
    // The engine may read a transaction's direct target before the block.
    scenario.contract(OTHER, &Code::new().call(CONTRACT, 0), &[]);
    scenario.call(sender(0), OTHER, 0);
    scenario
}

/// Says that slot 2 becomes 77 before it is read.
fn write_slot(contract: &mut AccountChanges) {
    contract.storage_reads.clear();
    let changes = vec![StorageChange::new(first(), word(77))];
    contract.storage_changes.insert(0, SlotChanges::new(word(2), changes));
}

#[test]
fn a_hint_of_the_highest_nonce_prevents_no_creation() {
    let init = Code::new().deploying(&Code::new()).bytes();
    let (created, created2) = (CONTRACT.create(1), CONTRACT.create2(B256::ZERO, keccak256(&init)));
    for (fork, creating, created) in [
        (Frontier, Code::new().create(&init, 0), created),
        (Osaka, Code::new().create(&init, 0), created),
        (Amsterdam, Code::new().create(&init, 0), created),
        (Petersburg, Code::new().create2(&init, 0), created2),
        (Amsterdam, Code::new().create2(&init, 0), created2),
    ] {
        let mut scenario = Scenario::new(fork, 0);
        scenario.contract(CONTRACT, &creating.store_top(1), &[(1, 7)]);
        // Everything about a transaction's direct target is read, so another contract calls the creator.
        let no_data = Code::new().push(0).push(0).push(0).push(0).push(0);
        scenario.contract(OTHER, &no_data.push(CONTRACT).push(1_000_000).ops([CALL, POP]), &[]);
        let call = TxEnv { gas_limit: 2_000_000, ..scenario.to(sender(0), OTHER, 0) };
        scenario.send(call);
        let highest = |contract: &mut AccountChanges| {
            contract.nonce_changes.insert(0, NonceChange::new(first(), u64::MAX));
        };
        let hinted = Hinted::new(scenario, CONTRACT, highest);
        let after = hinted.execute_until(|statistics| statistics.stale_at_gate.nonce > 0);
        assert_eq!(after.slot(CONTRACT, 1), Word::from(created).0, "{fork}");
    }
}

#[test]
fn a_hint_of_a_balance_makes_no_call_without_value_cheaper() {
    // It fails if little gas was used, and the call of the heir is undone then.
    let is_cheap = Code::new().call(HEIR, 0).ops([POP]).push(137_000).ops([GAS, GT]);
    let failing = Code::new().branch(is_cheap, Code::new().ops([INVALID]), Code::new());
    let no_data = Code::new().push(0).push(0).push(0).push(0).push(0);
    let calling = no_data.push(OTHER).push(150_000).ops([CALL]).store_top(0);
    for fork in forks(Frontier, Tangerine) {
        let mut scenario = Scenario::new(fork, 0);
        scenario.contract(CONTRACT, &calling, &[]);
        scenario.contract(OTHER, &failing, &[]);
        scenario.call(sender(0), CONTRACT, 0);
        let funded = |heir: &mut AccountChanges| {
            heir.balance_changes.insert(0, BalanceChange::new(first(), word(5)));
        };
        let hinted = Hinted::new(scenario, HEIR, funded);
        let after = hinted.execute_until(|statistics| statistics.stale_at_gate.balance > 0);
        assert_eq!(after.slots(CONTRACT), [(0, 1)], "{fork}");
    }
}

#[test]
fn a_hint_of_a_slot_that_no_transaction_writes_is_compared_with_the_base() {
    for fork in [Frontier, Osaka] {
        let hinted = Hinted::new(copying(fork), CONTRACT, write_slot);
        let after = hinted.execute_until(|statistics| statistics.stale_at_gate.slot > 0);
        assert_eq!(after.slots(CONTRACT), [(2, 9), (3, 10)], "{fork}");
    }
}

#[test]
fn a_slot_that_the_base_cannot_read_during_validation_does_not_hold() {
    // The run takes the slot from the hint, so validation is the first to read it.
    Hinted::new(copying(Osaka), CONTRACT, write_slot)
        .fail_during_validation(Read::Slot(CONTRACT, word(2)), 0);
}

#[test]
fn an_account_that_the_base_cannot_read_during_validation_does_not_hold() {
    // The run reads the account before validation does.
    Hinted::new(copying(Osaka), CONTRACT, |_| {}).fail_during_validation(Read::Account(CONTRACT), 1);
}
