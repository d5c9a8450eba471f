//! A block and the state before it, as the specification's t8n tool takes them.

use std::collections::BTreeMap;

use ethrex_common_31::{
    Address, H256, U256,
    types::{ChainConfig, Withdrawal},
};
use serde::{Deserialize, Deserializer, de::Error as _};

/// One line of input.
#[derive(Debug, Deserialize)]
pub(crate) struct Question {
    /// The fork, by the specification's name.
    pub(crate) fork: String,
    pub(crate) alloc: BTreeMap<Address, Allocation>,
    pub(crate) env: Environment,
    /// The transactions as a list in RLP.
    #[serde(deserialize_with = "bytes")]
    pub(crate) txs: Vec<u8>,
}

/// An account before the block.
#[derive(Debug, Deserialize)]
pub(crate) struct Allocation {
    pub(crate) balance: U256,
    #[serde(deserialize_with = "quantity")]
    pub(crate) nonce: u64,
    #[serde(deserialize_with = "bytes")]
    pub(crate) code: Vec<u8>,
    pub(crate) storage: BTreeMap<H256, H256>,
}

/// What the header says before execution.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Environment {
    pub(crate) current_coinbase: Address,
    #[serde(deserialize_with = "quantity")]
    pub(crate) current_gas_limit: u64,
    #[serde(deserialize_with = "quantity")]
    pub(crate) current_number: u64,
    #[serde(deserialize_with = "quantity")]
    pub(crate) current_timestamp: u64,
    pub(crate) current_random: H256,
    #[serde(deserialize_with = "quantity")]
    pub(crate) current_base_fee: u64,
    /// By number in hexadecimal.
    pub(crate) block_hashes: BTreeMap<String, H256>,
    pub(crate) withdrawals: Option<Vec<Withdrawal>>,
    pub(crate) parent_beacon_block_root: Option<H256>,
    #[serde(default, deserialize_with = "optional_quantity")]
    pub(crate) current_excess_blob_gas: Option<u64>,
}

/// The forks that ethrex executes, in order, by the specification's names.
const FORKS: [&str; 8] = ["Paris", "Shanghai", "Cancun", "Prague", "Osaka", "BPO1", "BPO2", "Amsterdam"];

impl Question {
    /// Mainnet's configuration, with this fork and all before it active from the start.
    pub(crate) fn chain_config(&self) -> Result<ChainConfig, String> {
        let position = FORKS.iter().position(|fork| *fork == self.fork);
        let position = position.ok_or_else(|| format!("fork: ethrex does not execute {}", self.fork))?;
        let since = |fork: &str| FORKS[..=position].contains(&fork).then_some(0);
        Ok(ChainConfig {
            chain_id: 1,
            homestead_block: Some(0),
            eip150_block: Some(0),
            eip155_block: Some(0),
            eip158_block: Some(0),
            byzantium_block: Some(0),
            constantinople_block: Some(0),
            petersburg_block: Some(0),
            istanbul_block: Some(0),
            muir_glacier_block: Some(0),
            berlin_block: Some(0),
            london_block: Some(0),
            arrow_glacier_block: Some(0),
            gray_glacier_block: Some(0),
            shanghai_time: since("Shanghai"),
            cancun_time: since("Cancun"),
            prague_time: since("Prague"),
            osaka_time: since("Osaka"),
            bpo1_time: since("BPO1"),
            bpo2_time: since("BPO2"),
            amsterdam_time: since("Amsterdam"),
            terminal_total_difficulty: Some(0),
            terminal_total_difficulty_passed: true,
            deposit_contract_address: DEPOSIT_CONTRACT.into(),
            ..ChainConfig::default()
        })
    }

    /// The hash of an ancestor, if it is known.
    pub(crate) fn block_hash(&self, number: u64) -> Option<H256> {
        self.env.block_hashes.get(&format!("{number:#x}")).copied()
    }
}

/// Mainnet's deposit contract (EIP-6110).
const DEPOSIT_CONTRACT: [u8; 20] = [
    0x00, 0x00, 0x00, 0x00, 0x21, 0x9a, 0xb5, 0x40, 0x35, 0x6c, 0xbb, 0x83, 0x9c, 0xbe, 0x05, 0x30, 0x3d,
    0x77, 0x05, 0xfa,
];

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("bytes start with 0x"))?;
    hex::decode(digits).map_err(D::Error::custom)
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("a number starts with 0x"))?;
    u64::from_str_radix(digits, 16).map_err(D::Error::custom)
}

fn optional_quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    quantity(deserializer).map(Some)
}
