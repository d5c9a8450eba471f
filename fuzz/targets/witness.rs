//! Any text is a witness, or an error that names the file; and any node is the root of tries that can be looked up.

#![no_main]

use std::path::Path;

use alloy_primitives::{Address, U256, keccak256};
use blockloom_fixtures::ExecutionWitness;
use blockloom_state::{AccountChange, Changes, Life, Witness};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let witness = match ExecutionWitness::read(Path::new("execution_witness.json"), text) {
        Ok(witness) => witness,
        Err(error) => {
            assert!(error.to_string().starts_with("execution_witness.json: "), "{error}");
            return;
        }
    };
    let tries = Witness::new(witness.state.iter().cloned());
    let removed = AccountChange { life: Life::New, ..AccountChange::default() };
    let changes =
        Changes { accounts: [(Address::ZERO, removed)].into_iter().collect(), ..Changes::default() };
    for node in &witness.state {
        let root = keccak256(node);
        let _ = tries.account(root, Address::ZERO);
        let _ = tries.slot(Address::ZERO, root, U256::ZERO);
        let _ = tries.root_after(root, &changes);
    }
});
