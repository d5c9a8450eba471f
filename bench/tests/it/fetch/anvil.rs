//! Blocks of a real node: anvil, found by the variable `BLOCKLOOM_ANVIL`, on the path, or in `target/tools`, where
//! `.ci/run` installs it. Without it the tests say that they are skipped.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::{Value, json};

use super::{check_replay, fetch, isolated, names, printed};

/// The longest time until anvil listens.
const START: Duration = Duration::from_secs(20);

/// How many accounts anvil has, each with the nonce of its next transaction here.
const ACCOUNTS: usize = 20;

/// The blocks of the long test, and the transactions in each.
const BLOCKS: u64 = 50;
const PER_BLOCK: usize = 40;

/// Called with 64 bytes it writes the second word to the slot named by the first; with 32 bytes it reverts; otherwise it
/// destroys itself.
const CONTRACT: &[u8] = &hex!("3660401460105736602014601957" "33ff" "5b6020356000355500" "5b60006000fd");

/// Where anvil is.
fn find() -> Option<PathBuf> {
    let installed = "../target/tools/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(installed);
    let on_path =
        env::var_os("PATH").map(|path| env::split_paths(&path).map(|folder| folder.join("anvil")).collect());
    let on_path: Vec<PathBuf> = on_path.unwrap_or_default();
    let named = env::var_os("BLOCKLOOM_ANVIL").map(PathBuf::from);
    if let Some(named) = &named {
        assert!(named.is_file(), "BLOCKLOOM_ANVIL: {} is no file", named.display());
    }
    let found = named.into_iter().chain(on_path).chain([installed]).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: no anvil in BLOCKLOOM_ANVIL, on the path, or in target/tools");
    }
    found
}

/// A running anvil, which is stopped at the end.
struct Anvil {
    child: Child,
    url: String,
    accounts: Vec<Address>,
    nonces: [u64; ACCOUNTS],
}

impl Anvil {
    fn start(fork: &str) -> Option<Self> {
        let mut child = Command::new(find()?)
            .args(["--port", "0", "--no-mining", "--order", "fifo", "--hardfork", fork])
            .args(["--accounts", &ACCOUNTS.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, address) = mpsc::channel();
        // Reads to the end, so that anvil never waits for its reader.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("Listening on ") {
                    let _ = sender.send(address.to_owned());
                }
            }
        });
        let Ok(address) = address.recv_timeout(START) else {
            child.kill().unwrap();
            panic!("anvil does not listen after {START:?}");
        };
        let mut anvil =
            Self { child, url: format!("http://{address}"), accounts: Vec::new(), nonces: [0; ACCOUNTS] };
        let accounts = anvil.call(&json!([{ "method": "eth_accounts", "params": [] }]));
        anvil.accounts = serde_json::from_value(accounts[0].clone()).unwrap();
        assert_eq!(anvil.accounts.len(), ACCOUNTS);
        Some(anvil)
    }

    /// The results of calls.
    fn call(&self, calls: &Value) -> Vec<Value> {
        let calls = calls.as_array().unwrap().iter().enumerate().map(|(id, call)| {
            json!({ "jsonrpc": "2.0", "id": id, "method": call["method"], "params": call["params"] })
        });
        let config = ureq::Agent::config_builder().proxy(None).timeout_global(Some(START)).build();
        let mut response = ureq::Agent::from(config)
            .post(&self.url)
            .header("content-type", "application/json")
            .send(Value::from_iter(calls).to_string())
            .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
        answers
            .into_iter()
            .map(|answer| answer.get("result").cloned().unwrap_or_else(|| panic!("{answer}")))
            .collect()
    }

    /// A transaction of an account, as a call. `kind` is its type.
    fn transaction(
        &mut self,
        account: usize,
        kind: usize,
        to: Option<Address>,
        value: u64,
        input: &[u8],
    ) -> Value {
        let nonce = self.nonces[account];
        self.nonces[account] += 1;
        let mut transaction = json!({
            "from": self.accounts[account], "nonce": format!("{nonce:#x}"), "gas": "0x30d40",
            "value": format!("{value:#x}"), "input": hex::encode_prefixed(input), "type": format!("{kind:#x}"),
        });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        match kind {
            0 => transaction["gasPrice"] = json!("0x174876e800"),
            1 => {
                transaction["gasPrice"] = json!("0x174876e800");
                transaction["accessList"] =
                    json!([{ "address": to, "storageKeys": [B256::with_last_byte(1)] }]);
            }
            _ => {
                transaction["maxFeePerGas"] = json!("0x174876e800");
                transaction["maxPriorityFeePerGas"] = json!("0x3b9aca00");
            }
        }
        json!({ "method": "eth_sendTransaction", "params": [transaction] })
    }

    /// Mines a block with these transactions.
    fn mine(&self, transactions: Vec<Value>) {
        if !transactions.is_empty() {
            self.call(&Value::Array(transactions));
        }
        self.call(&json!([{ "method": "evm_mine", "params": [] }]));
    }

    /// Mines a block of all kinds of transactions. `contract` is that of the block before; returns the new one.
    fn mine_mixed(&mut self, number: u64, contract: Option<Address>) -> Address {
        // An anvil would keep what a zero leaves behind.
        let number = number + 1;
        let mut transactions = Vec::new();
        let deployed = self.accounts[0].create(self.nonces[0]);
        transactions.push(self.transaction(0, 2, None, 0, &init_code()));
        let words =
            |slot: u64, value: u64| [slot, value].map(|word| U256::from(word).to_be_bytes::<32>()).concat();
        for slot in 1..6 {
            transactions.push(self.transaction(1, 1, Some(deployed), 0, &words(slot, number)));
        }
        transactions.push(self.transaction(2, 0, Some(deployed), 0, &[0; 32]));
        if let Some(contract) = contract {
            for slot in [2, 3, 9] {
                transactions.push(self.transaction(3, 2, Some(contract), 0, &words(slot, 100 + number)));
            }
        }
        for sender in (5..ACCOUNTS).cycle().take(PER_BLOCK - transactions.len()) {
            let to = if sender % 3 == 0 {
                Address::left_padding_from(&[number as u8, 0xee])
            } else {
                self.accounts[sender - 1]
            };
            transactions.push(self.transaction(sender, sender % 3, Some(to), number, &[]));
        }
        assert_eq!(transactions.len(), PER_BLOCK);
        self.mine(transactions);
        deployed
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Code that deploys [`CONTRACT`].
fn init_code() -> Bytes {
    let length = u8::try_from(CONTRACT.len()).unwrap();
    let copy = [0x60, length, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    [&copy[..], CONTRACT].concat().into()
}

fn read(folder: &Path, number: u64, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(number.to_string()).join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_block_of_an_anvil_is_fetched_proven_and_replayed() {
    let Some(mut anvil) = Anvil::start("shanghai") else { return };
    // The header of anvil's block 0 says that its state is empty, so the first block cannot be proven.
    anvil.mine(Vec::new());
    let mut contract = None;
    for number in 0..BLOCKS {
        contract = Some(anvil.mine_mixed(number, contract));
    }
    // A contract that destroys itself: anvil's root of that block is its own, so the fetch ends before it.
    let destroy = anvil.transaction(4, 0, contract, 7, &[]);
    anvil.mine(vec![destroy]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let (text, status) = printed(&fetch(&anvil.url, "2..51", &out, &[]));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("fetched 50 blocks") && !text.contains("without proof"), "{text}");
    assert_eq!(names(&out).len(), 50);
    check_replay(&out, 50);

    let blocks: Vec<Value> = (2..2 + BLOCKS).map(|number| read(&out, number, "block.json")).collect();
    let transactions: Vec<&Value> =
        blocks.iter().flat_map(|block| block["transactions"].as_array().unwrap()).collect();
    assert_eq!(transactions.len(), 2000);
    for kind in ["0x0", "0x1", "0x2"] {
        let count = transactions.iter().filter(|transaction| transaction["type"] == kind).count();
        assert!(count > 100, "{count} of type {kind}");
    }
    assert_eq!(transactions.iter().filter(|transaction| transaction["to"].is_null()).count(), 50);
    let reverted =
        (2..2 + BLOCKS).flat_map(|number| read(&out, number, "receipts.json").as_array().unwrap().clone());
    assert_eq!(reverted.filter(|receipt| receipt["status"] == "0x0").count(), 50);
}

/// A newcomer has an anvil, and the README.
#[test]
fn the_commands_of_the_readme_work_on_an_anvil() {
    let Some(mut anvil) = Anvil::start("shanghai") else { return };
    for number in 0..3 {
        let pay = anvil.transaction(1, 2, Some(Address::ZERO), number, &[]);
        anvil.mine(vec![pay]);
    }
    let section = include_str!("../../../../README.md").split("## Fetch blocks from a node").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let commands: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("$ blockloom ")).collect();
    assert!(commands.len() == 2 && commands[0].contains("http://localhost:8545"), "{commands:?}");
    let folder = tempfile::tempdir().unwrap();
    for command in commands {
        let command = command.replace("http://localhost:8545", &anvil.url);
        let arguments: Vec<_> = command.split_whitespace().collect();
        let output = isolated(&arguments).current_dir(folder.path()).output().unwrap();
        let (text, status) = printed(&output);
        assert_eq!(status, Some(0), "{command}: {text}");
    }
    assert_eq!(names(&folder.path().join("blocks")), ["2", "3"]);
}

#[test]
fn the_first_block_of_an_anvil_is_refused_because_its_genesis_is_wrong() {
    let Some(mut anvil) = Anvil::start("shanghai") else { return };
    let pay = anvil.transaction(1, 2, Some(Address::ZERO), 1, &[]);
    anvil.mine(vec![pay]);
    let folder = tempfile::tempdir().unwrap();
    let (text, status) = printed(&fetch(&anvil.url, "1", folder.path(), &[]));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("block 0") && text.contains("empty"), "{text}");
    assert_eq!(names(folder.path()), [""; 0]);
}

/// Mines a block with one transaction for a contract that has a slot, and checks that it is refused for `reason`.
fn check_refused(fork: &str, input: &[u8], reason: &str) {
    let Some(mut anvil) = Anvil::start(fork) else { return };
    anvil.mine(Vec::new());
    let contract = anvil.accounts[0].create(0);
    let deploy = anvil.transaction(0, 2, None, 0, &init_code());
    let write = anvil.transaction(0, 2, Some(contract), 0, &[1; 64]);
    anvil.mine(vec![deploy, write]);
    let call = anvil.transaction(0, 2, Some(contract), 0, input);
    anvil.mine(vec![call]);
    let folder = tempfile::tempdir().unwrap();
    let (text, status) = printed(&fetch(&anvil.url, "3", folder.path(), &[]));
    assert_eq!(status, Some(1), "{fork}: {text}");
    assert!(text.contains(reason), "{fork}: {text}");
    assert_eq!(names(folder.path()), [""; 0]);
}

/// anvil keeps a cleared slot in its trie as a zero, and a destroyed account as an empty one.
#[test]
fn blocks_whose_state_root_an_anvil_computes_in_its_own_way_are_refused_for_it() {
    let clear = [[1u8; 32], [0; 32]].concat();
    for input in [&clear[..], &[]] {
        check_refused("shanghai", input, "outcome: state root: the header says");
    }
}

/// From Prague on every block calls contracts that an anvil does not have.
#[test]
fn blocks_of_an_anvil_without_system_contracts_are_refused_for_them() {
    check_refused("prague", &[1; 64], "the contract has no code");
}
