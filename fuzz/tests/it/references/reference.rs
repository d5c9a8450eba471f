//! The independent implementations, and what is known about each.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, U256};
use blockloom_fuzz::HostileBlock;
use blockloom_state::{Allocation, MemoryStore};

use super::tool::{Answer, Tool};

/// An implementation of Ethereum that shares no code with ours.
pub(crate) struct Reference {
    /// Its name in messages.
    pub(crate) name: &'static str,
    /// The forks that it has, by our name and by its own.
    pub(crate) forks: &'static [(EthereumHardfork, &'static str)],
    /// What is missing if there is no command.
    pub(crate) missing: &'static str,
    /// The command that answers blocks, if it is installed.
    command: fn() -> Option<Command>,
    /// Changes a block where the implementation is known to have another result than ours, or none.
    pub(crate) avoid: fn(&mut HostileBlock),
    /// Changes our state after a block where two results are accepted, to the one of the answer.
    pub(crate) accept: fn(&mut MemoryStore, &Answer),
    /// Parts of the messages with which it is known to fail on blocks that are valid.
    known_failures: &'static [&'static str],
}

impl Reference {
    /// Starts the implementation, if it is installed.
    pub(crate) fn start(&self) -> Option<Tool> {
        (self.command)().map(Tool::start)
    }

    /// Whether it is known to fail with this message.
    pub(crate) fn is_known(&self, failure: &str) -> bool {
        self.known_failures.iter().any(|known| failure.contains(known))
    }
}

/// The Ethereum specification, which is written in Python.
pub(crate) const SPECIFICATION: Reference = Reference {
    name: "the specification",
    forks: &[
        (Frontier, "Frontier"),
        (Homestead, "Homestead"),
        (Tangerine, "EIP150"),
        (SpuriousDragon, "EIP158"),
        (Byzantium, "Byzantium"),
        (Petersburg, "ConstantinopleFix"),
        (Istanbul, "Istanbul"),
        (MuirGlacier, "MuirGlacier"),
        (Berlin, "Berlin"),
        (London, "London"),
        (ArrowGlacier, "ArrowGlacier"),
        (GrayGlacier, "GrayGlacier"),
        (Paris, "Paris"),
        (Shanghai, "Shanghai"),
        (Cancun, "Cancun"),
        (Prague, "Prague"),
        (Osaka, "Osaka"),
        (Bpo2, "BPO2"),
    ],
    missing: "there is no Python that has the package ethereum-execution; BLOCKLOOM_PYTHON sets the Python to use",
    command: specification,
    avoid: |hostile| {
        avoid_disputed_account(hostile);
        avoid_overflow(hostile);
    },
    accept: accept_disputed_account,
    known_failures: &[],
};

/// ethrex, a client written in Rust with an EVM of its own. It has no rules before the Merge.
pub(crate) const ETHREX: Reference = Reference {
    name: "ethrex",
    forks: &[
        (Paris, "Paris"),
        (Shanghai, "Shanghai"),
        (Cancun, "Cancun"),
        (Prague, "Prague"),
        (Osaka, "Osaka"),
        (Bpo1, "BPO1"),
        (Bpo2, "BPO2"),
        (Amsterdam, "Amsterdam"),
    ],
    missing: "BLOCKLOOM_ETHREX does not name the program ethrex-t8n, which fuzz/ethrex builds",
    command: || env::var_os("BLOCKLOOM_ETHREX").map(Command::new),
    avoid: avoid_overflow,
    accept: |_, _| {},
    // A contract is destroyed, and a later transaction of the block creates it again in a call that reverts. ethrex 31
    // keeps the slots that the reverted creation touched, and finds no values that they had before the block.
    known_failures: &["Failed to get old value from account's initial storage"],
};

fn specification() -> Option<Command> {
    let python = env::var_os("BLOCKLOOM_PYTHON").unwrap_or_else(|| "python3".into());
    let mut probe = Command::new(&python);
    probe.args(["-c", "import ethereum_spec_tools.evm_tools"]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("t8n.py"));
    Some(command)
}

/// The precompile about which revm and the specification disagree.
const RIPEMD: Address = Address::with_last_byte(3);

/// The precompile that stays touched when its caller fails (EIP-161's exception) stays touched in revm
/// and geth even when the transaction itself fails. The specification drops that touch and keeps an
/// empty account alive. No transaction on mainnet did this, so both results are accepted.
fn accept_disputed_account(state: &mut MemoryStore, answer: &Answer) {
    if state.account(&RIPEMD).is_none() && answer.has_empty_account(RIPEMD) {
        state.insert(RIPEMD, Allocation::default());
    }
}

/// With state roots in receipts the account cannot be added afterwards. An account that is not empty
/// avoids the disagreement.
fn avoid_disputed_account(hostile: &mut HostileBlock) {
    let HostileBlock { base, block, .. } = hostile;
    if block.rules.fork == SpuriousDragon && base.account(&RIPEMD).is_some() {
        base.insert(RIPEMD, Allocation { balance: U256::from(1), ..Allocation::default() });
    }
}

/// Neither has a result for a transfer that overflows a balance. Balances below this limit cannot
/// add up to more than one can be; a transfer of more then makes the block invalid.
fn avoid_overflow(hostile: &mut HostileBlock) {
    let limit = U256::from(u128::MAX);
    let huge: Vec<_> = hostile
        .base
        .accounts()
        .filter(|(_, stored)| stored.account.balance > limit)
        .map(|(address, stored)| (*address, stored.clone()))
        .collect();
    for (address, mut stored) in huge {
        stored.account.balance = limit;
        hostile.base.insert_account(address, stored);
    }
}
