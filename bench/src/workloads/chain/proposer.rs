//! The header fields, the gas budget and the withdrawals of a generated block.

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, keccak256};
use blockloom_engine::Rules;
use blockloom_fixtures::Random;
use blockloom_fixtures::compose::SLOT;

use super::{genesis::ChainGenesis, transaction::MOST_GAS_LIMIT};
use crate::workloads::names::address;

/// The timestamp of the genesis block.
pub(super) const FIRST_TIMESTAMP: u64 = 1_800_000_000;
/// The base fee of the genesis block, in wei.
const INITIAL_BASE_FEE: u64 = 1_000_000_000;
/// The least gas limit. A block has room for a transaction of any kind.
const LEAST_GAS_LIMIT: u64 = 2 * MOST_GAS_LIMIT;
/// The gas limit stays between about the initial one and 1 + 1/16 of it.
const LIMIT_RANGE: u64 = 16;
/// Consensus: consecutive gas limits differ by less than 1/1024.
const LIMIT_STEPS: u64 = 1024;
/// The number of proposers.
const PROPOSERS: u64 = 4;
/// One in this many slots has no block, on average.
const SLOTS_PER_MISS: u64 = 32;
/// The most withdrawals in a block.
const MOST_WITHDRAWALS: u64 = 4;

/// What remains for the transactions of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// The gas to use, approximately.
    pub(super) gas_target: u64,
    /// The sum of the gas limits of transactions.
    pub(super) gas_limit: u64,
    /// The number of blobs.
    pub(super) blobs: u64,
}

impl Budget {
    /// Subtracts a transaction.
    pub(super) fn take(&mut self, gas: u64, gas_limit: u64, blobs: u64) {
        self.gas_target = self.gas_target.saturating_sub(gas);
        self.gas_limit -= gas_limit;
        self.blobs -= blobs;
    }
}

/// Fills in the fields that a proposer chooses.
#[derive(Clone, Debug)]
pub(super) struct Proposer {
    seed: u64,
    gas: u64,
    withdrawals: u64,
}

impl Proposer {
    pub(super) fn new(seed: u64, gas: u64) -> Self {
        Self { seed, gas, withdrawals: 0 }
    }

    /// The gas limit of the genesis block: twice the gas to use, so that the base fee stays the same.
    pub(super) fn initial_gas_limit(&self) -> u64 {
        (2 * self.gas).max(LEAST_GAS_LIMIT)
    }

    /// Fills in the genesis header.
    pub(super) fn fill_genesis(header: &mut Header) {
        header.timestamp = FIRST_TIMESTAMP;
        header.base_fee_per_gas = Some(INITIAL_BASE_FEE);
    }

    /// Fills in the fields that a proposer is free to choose.
    pub(super) fn fill(&self, header: &mut Header, random: &mut Random) {
        let missed = u64::from(random.below(SLOTS_PER_MISS) == 0);
        header.timestamp += missed * SLOT;
        header.beneficiary = self.coinbase(random.below(PROPOSERS));
        header.mix_hash = any_hash(random);
        header.parent_beacon_block_root = Some(any_hash(random));
        header.gas_limit = self.next_limit(header.gas_limit, random);
    }

    fn coinbase(&self, number: u64) -> Address {
        address(self.seed, "proposer", number)
    }

    /// A valid next gas limit: a random walk within the range.
    fn next_limit(&self, last: u64, random: &mut Random) -> u64 {
        let step = random.below(last / LIMIT_STEPS);
        let (least, most) =
            (self.initial_gas_limit(), self.initial_gas_limit() + self.initial_gas_limit() / LIMIT_RANGE);
        let rises = last < least || (last <= most && random.below(2) == 0);
        if rises { last + step } else { last - step }
    }

    /// The budget of a block. It is smaller while the base fee is high, and larger while it is low, so that the
    /// base fee of a long chain stays in a range.
    pub(super) fn budget(&self, header: &Header, rules: &Rules) -> Budget {
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let gas_target = if base_fee > 2 * INITIAL_BASE_FEE {
            self.gas / 4 * 3
        } else if base_fee < INITIAL_BASE_FEE / 2 {
            self.gas / 4 * 5
        } else {
            self.gas
        };
        let blobs = rules.blobs.map_or(0, |blobs| blobs.max_blob_count);
        Budget { gas_target, gas_limit: header.gas_limit, blobs }
    }

    /// The withdrawals of a block.
    pub(super) fn withdrawals(&mut self, genesis: &ChainGenesis, random: &mut Random) -> Vec<Withdrawal> {
        let count = random.below(MOST_WITHDRAWALS + 1);
        (0..count)
            .map(|_| {
                let (index, validator_index) = (self.withdrawals, random.below(1_000_000));
                self.withdrawals += 1;
                let address = genesis.users.any(random);
                Withdrawal { index, validator_index, address, amount: 1 + random.below(32_000_000_000) }
            })
            .collect()
    }
}

fn any_hash(random: &mut Random) -> B256 {
    keccak256(random.next_number().to_be_bytes())
}
