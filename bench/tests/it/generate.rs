//! `blockloom generate`: its chains are valid, reproducible, and cover every type of transaction.

use std::{collections::BTreeSet, fs, path::Path, process::Command, thread, time::Duration};

use alloy_consensus::{EMPTY_ROOT_HASH, Header, Transaction, Typed2718};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256, map::AddressSet};
use blockloom_bench::workloads::{
    Kind,
    chain::{ChainRecipe, GeneratedChain, Ledger},
};
use blockloom_engine::{Block, BlockError, ChainSpec, CommittedStep, Config, Engine, Outcome, SignedBlock};
use blockloom_fixtures::{CaseBase, Chain, Executor};
use blockloom_state::{AccountChange, Changes, MemoryStore, Mismatch};

use crate::command::{blockloom, command, text};

/// Small blocks, so that a test is short.
const SMALL: [&str; 6] = ["--blocks", "12", "--gas", "1M", "--accounts", "150"];

/// Generates a chain in `folder` with more arguments, and returns the bytes of the file.
fn generated(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let out = folder.display().to_string();
    let output = blockloom(&[&["generate"], &SMALL[..], &["--out", &out], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::read(folder.join("chain.json")).unwrap()
}

/// A ledger that records the changes of blocks.
struct RecordingLedger {
    store: MemoryStore,
    changes: Vec<Changes>,
}

impl Ledger for RecordingLedger {
    type Base = MemoryStore;
    type Error = Box<Mismatch>;

    fn base(&self) -> &MemoryStore {
        &self.store
    }

    fn apply(&mut self, changes: &Changes) -> Result<alloy_primitives::B256, Box<Mismatch>> {
        self.changes.push(changes.clone());
        Ledger::apply(&mut self.store, changes)
    }
}

/// A chain in memory, block by block.
fn grown(recipe: &ChainRecipe, blocks: usize) -> (GeneratedChain<RecordingLedger>, Vec<SignedBlock>) {
    let genesis = recipe.genesis();
    let store = MemoryStore::from_genesis(genesis.accounts());
    let root = store.root();
    let ledger = RecordingLedger { store, changes: Vec::new() };
    let mut chain = GeneratedChain::new(recipe, genesis, ledger, root);
    let blocks = (0..blocks).map(|_| chain.grow().unwrap()).collect();
    (chain, blocks)
}

fn recipe(kind: Kind) -> ChainRecipe {
    ChainRecipe { kind, gas: 4_000_000, accounts: 300, seed: 3 }
}

#[test]
fn every_kind_of_chain_replays() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        generated(folder.path(), &["--workload", kind.name()]);
        let output = blockloom(&["replay", &folder.path().display().to_string()]);
        let report = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert!(report.contains("12 of 12 blocks in 1 case passed"), "{report}");
    }
}

#[test]
fn the_same_arguments_yield_the_same_bytes_and_another_seed_yields_others() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str, arguments: &[&str]| generated(&folder.path().join(name), arguments);
    let first = in_folder("first", &[]);
    assert!(first == in_folder("again/deeper", &["--seed", "1", "--workload", "mixed"]));
    assert!(first != in_folder("other", &["--seed", "2"]));
}

#[test]
fn a_mixed_chain_covers_every_type_of_transaction() {
    let (chain, blocks) = grown(&recipe(Kind::Mixed), 24);
    let transactions = || blocks.iter().flat_map(|block| &block.body.transactions);
    let types: BTreeSet<u8> = transactions().map(Typed2718::ty).collect();
    assert_eq!(types, BTreeSet::from([0, 1, 2, 3, 4]));
    assert!(transactions().any(Transaction::is_create));
    // Transfers, allowances, swaps, long calls and payments, by their selectors.
    let calls = transactions().map(|transaction| transaction.input().get(..4).map(<[u8]>::to_vec));
    let calls: BTreeSet<_> = calls.collect();
    for selector in ["a9059cbb", "095ea7b3", "08c84c21", "5858d161"] {
        assert!(calls.contains(&Some(alloy_primitives::hex::decode(selector).unwrap())), "{selector}");
    }
    assert!(calls.contains(&None));
    assert!(blocks.iter().any(|block| block.header.requests_hash != Some(EMPTY_REQUESTS_HASH)));
    assert!(blocks.iter().any(|block| block.header.withdrawals_root != Some(EMPTY_ROOT_HASH)));
    assert!(blocks.iter().any(|block| block.header.blob_gas_used > Some(0)));

    let in_genesis: AddressSet = chain.genesis().accounts().map(|(address, _)| address).collect();
    assert_eq!(in_genesis.len(), 300);
    let changes = || chain.ledger().changes.iter().flat_map(|changes| &changes.accounts);
    let is_new = |(address, _): &(&Address, &AccountChange)| !in_genesis.contains(*address);
    assert!(changes().filter(is_new).count() > 10);
    let reached = changes().filter(|change| !is_new(change)).map(|(address, _)| *address);
    assert!(reached.collect::<AddressSet>().len() > 290, "blocks touch the whole state");
    let mut slots = changes().flat_map(|(_, change)| change.slots.values());
    assert!(slots.any(|slot| !slot.before.is_zero() && slot.after == U256::ZERO), "no slot is cleared");
    let mut codes = changes().map(|(_, change)| change.account);
    assert!(
        codes.any(|account| account.before.is_some_and(|account| account.has_code())
            && account.after.is_some_and(|account| !account.has_code())),
        "no delegation is cleared"
    );
}

/// Executes blocks, and asserts that no transaction fails.
struct Strict(Engine);

impl Executor for Strict {
    fn execute(
        &mut self,
        base: CaseBase<'_>,
        block: &Block,
        on_step: Option<&mut dyn FnMut(CommittedStep<'_>)>,
    ) -> Result<Outcome, BlockError> {
        let outcome = Executor::execute(&mut self.0, base, block, on_step)?;
        let failed = outcome.receipts.iter().position(|receipt| !receipt.status.coerce_status());
        assert_eq!(failed, None, "block {}", block.number());
        Ok(outcome)
    }
}

#[test]
fn no_transaction_fails_in_a_chain_of_any_kind() {
    for kind in Kind::ALL {
        let (grown, blocks) = grown(&recipe(kind), 24);
        let store = MemoryStore::from_genesis(grown.genesis().accounts());
        let spec = ChainSpec::always(EthereumHardfork::Osaka);
        let mut chain = Chain::new(spec, grown.head("").genesis.clone(), store);
        let mut executor = Strict(Engine::new(Config::sequential()));
        for block in blocks {
            chain.import(block, None, &mut executor).unwrap();
        }
        assert_eq!(chain.head(), grown.last().hash_slow());
    }
}

#[test]
fn blocks_use_about_the_requested_gas_and_the_base_fee_stays_in_range() {
    for kind in Kind::ALL {
        let recipe = recipe(kind);
        let (_, blocks) = grown(&recipe, 24);
        let headers: Vec<&Header> = blocks.iter().map(|block| &block.header).collect();
        let used = headers.iter().map(|header| header.gas_used).sum::<u64>() as f64 / headers.len() as f64;
        assert!((0.8..1.25).contains(&(used / recipe.gas as f64)), "{kind}: {used}");
        let fees: BTreeSet<_> = headers.iter().filter_map(|header| header.base_fee_per_gas).collect();
        assert!(fees.len() > 10 && fees.iter().all(|fee| (400_000_000..2_500_000_000).contains(fee)));
    }
}

#[test]
fn the_largest_block_respects_the_size_limit_of_the_network() {
    for kind in Kind::ALL {
        let (_, blocks) = grown(&ChainRecipe { gas: 20_000_000, ..recipe(kind) }, 1);
        let bytes_per_gas = alloy_rlp::encode(&blocks[0]).len() as f64 / blocks[0].header.gas_used as f64;
        // A block with a low base fee uses a quarter more gas.
        let most = bytes_per_gas * 1.25 * ChainRecipe::MOST_GAS as f64;
        assert!(most < f64::from(8 << 20), "{kind}: {most}");
    }
}

#[test]
fn invalid_arguments_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    for (wrong, why) in [
        (["--blocks", "0"], "at least 1"),
        (["--blocks", "many"], "expected a number of blocks"),
        (["--gas", "0"], "expected an amount of gas"),
        (["--gas", "2G"], "at most 1000000000"),
        (["--accounts", "99"], "from 100"),
        (["--accounts", "-1"], "expected a number of accounts"),
        (["--seed", "x"], "invalid digit"),
        (["--workload", "hybrid"], "transfers, erc20, swaps, mixed"),
        (["--wrong", "1"], "--wrong"),
    ] {
        let blocks = if wrong[0] == "--blocks" { &[][..] } else { &["--blocks", "1"] };
        let output = blockloom(&[&["generate"], blocks, &["--out", &out], &wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.json");
    fs::write(&path, "existing").unwrap();
    let out = folder.path().display().to_string();
    let output = blockloom(&[&["generate"], &SMALL[..], &["--out", &out]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("it exists already"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "existing");
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let mut child = command().args(["generate", "--blocks", "1M", "--out", &out]).spawn().unwrap();
    // The signal handler is installed before the file is created.
    while fs::read_dir(folder.path()).unwrap().count() == 0 {
        assert_eq!(child.try_wait().unwrap(), None);
        thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
