//! A program that answers blocks, as a child process.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use alloy_eips::eip7928::BlockAccessList;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_rlp::Decodable as _;
use blockloom_state::{MemoryStore, StoredAccount};
use serde_json::{Map, Value, json};

/// A running tool.
pub(crate) struct Tool {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The tool's result for a block.
pub(crate) struct Answer {
    pub(crate) result: Value,
    accounts: Value,
}

impl Tool {
    /// Starts a program that answers each line of its input with one line.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let questions = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, questions, answers }
    }

    /// Executes a block with the tool.
    pub(crate) fn ask(&mut self, block: &Value) -> Answer {
        writeln!(self.questions, "{block}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the tool returned nothing for {block}");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        Answer { result: answer["result"].take(), accounts: answer["alloc"].take() }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // The tool has no data to save. Whether it still runs does not matter.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    /// The positions of the rejected transactions.
    pub(crate) fn rejected(&self) -> Vec<usize> {
        let rejected = self.result["rejected"].as_array().unwrap();
        rejected.iter().map(|entry| entry["index"].as_u64().unwrap() as usize).collect()
    }

    /// Why the tool has no result for a block that it did not find invalid.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.result["failure"].as_str()
    }

    /// Whether an account exists and is empty.
    pub(crate) fn has_empty_account(&self, address: Address) -> bool {
        self.account(address).and_then(Value::as_object).is_some_and(Map::is_empty)
    }

    /// The first entry in which the tool's access list and `ours` differ, as text.
    pub(crate) fn access_list_difference(&self, ours: Option<&BlockAccessList>) -> Option<String> {
        let (ours, theirs) = match (ours, self.access_list()) {
            (None, None) => return None,
            (Some(ours), Some(theirs)) => (ours, theirs),
            (ours, theirs) => return Some(format!("access list {ours:?}, the other {theirs:?}")),
        };
        let mut positions = 0..ours.len().max(theirs.len());
        let position = positions.find(|position| ours.get(*position) != theirs.get(*position))?;
        let (ours, theirs) = (ours.get(position), theirs.get(position));
        Some(format!("access list, entry {position}: {ours:?}, the other {theirs:?}"))
    }

    fn access_list(&self) -> Option<BlockAccessList> {
        let bytes: Bytes = self.result["blockAccessList"].as_str()?.parse().unwrap();
        assert_eq!(
            self.result["blockAccessListHash"],
            json!(keccak256(&bytes)),
            "the tool's hash of its list"
        );
        Some(BlockAccessList::decode(&mut bytes.as_ref()).unwrap())
    }

    fn account(&self, address: Address) -> Option<&Value> {
        let accounts = self.accounts.as_object().unwrap();
        accounts.iter().find(|(key, _)| key.parse() == Ok(address)).map(|(_, account)| account)
    }

    /// The differences between the accounts of `state` and the tool's, as text.
    pub(crate) fn account_differences(&self, state: &MemoryStore) -> String {
        let theirs = self.accounts.as_object().unwrap();
        let mut addresses: Vec<Address> = theirs.keys().map(|key| key.parse().unwrap()).collect();
        addresses.extend(state.accounts().map(|(address, _)| *address));
        addresses.sort_unstable();
        addresses.dedup();
        let mut text = String::new();
        for address in addresses {
            let ours = state.account(&address);
            let theirs = self.account(address);
            if ours.map(facts) != theirs.map(facts_of_json) {
                writeln!(text, "{address}: {ours:?}, the other {theirs:?}").unwrap();
            }
        }
        text
    }
}

/// Balance, nonce and slots of an account.
type Facts = (U256, u64, BTreeMap<U256, U256>);

fn facts(stored: &StoredAccount) -> Facts {
    let slots = stored.slots.iter().map(|(key, value)| (*key, *value));
    (stored.account.balance, stored.account.nonce, slots.collect())
}

fn facts_of_json(account: &Value) -> Facts {
    let slots = account["storage"].as_object().into_iter().flatten();
    let slots = slots.map(|(key, value)| (key.parse().unwrap(), word(value)));
    (word(&account["balance"]), word(&account["nonce"]).to(), slots.collect())
}

fn word(value: &Value) -> U256 {
    value.as_str().map_or(U256::ZERO, |text| text.parse().unwrap())
}
