//! What is decided of a generated block beside its transactions: when, for whom, how much room it has.

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, keccak256};
use blockloom_engine::Rules;
use blockloom_fixtures::compose::SLOT;

use super::{form::MOST_GAS_LIMIT, genesis::Genesis};
use crate::workloads::random::{Random, address};

/// The second in which the first block is made.
pub(super) const FIRST_TIMESTAMP: u64 = 1_800_000_000;
/// What the first block asks for a unit of gas, in wei.
const FIRST_BASE_FEE: u64 = 1_000_000_000;
/// A block has at least room for one transaction of any kind.
const LEAST_ROOM: u64 = 2 * MOST_GAS_LIMIT;
/// The gas limit stays within this share of where it started.
const LEEWAY: u64 = 16;
/// By how much a limit may differ from the one before it.
const LIMIT_STEPS: u64 = 1024;
/// How many proposers there are.
const PROPOSERS: u64 = 4;
/// Every so many-th slot has no block, on average.
const SLOTS_PER_MISS: u64 = 32;
/// The most withdrawals in a block.
const MOST_WITHDRAWALS: u64 = 4;

/// How much a block takes yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// The gas that is to be used.
    pub(super) aim: u64,
    /// The gas that transactions may ask for.
    pub(super) limit: u64,
    /// The blobs that may come with them.
    pub(super) blobs: u64,
}

impl Room {
    /// Takes a transaction that uses so much gas, asks for so much, and comes with so many blobs.
    pub(super) fn take(&mut self, gas: u64, limit: u64, blobs: u64) {
        self.aim = self.aim.saturating_sub(gas);
        self.limit -= limit;
        self.blobs -= blobs;
    }
}

/// Decides.
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

    /// The gas limit that the chain starts with: twice what is wanted, so that the base fee stays.
    pub(super) fn room(&self) -> u64 {
        (2 * self.gas).max(LEAST_ROOM)
    }

    /// Says when the first block is made, and what it asks for.
    pub(super) fn date(first: &mut Header) {
        first.timestamp = FIRST_TIMESTAMP;
        first.base_fee_per_gas = Some(FIRST_BASE_FEE);
    }

    /// Fills in what a block's proposer is free to say.
    pub(super) fn decide(&self, header: &mut Header, random: &mut Random) {
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

    /// A limit that may follow the last one: it wanders, and comes back.
    fn next_limit(&self, last: u64, random: &mut Random) -> u64 {
        let step = random.below(last / LIMIT_STEPS);
        let (least, most) = (self.room(), self.room() + self.room() / LEEWAY);
        let rises = last < least || (last <= most && random.below(2) == 0);
        if rises { last + step } else { last - step }
    }

    /// How much a block takes. Of what has become dear less is used, and of what is cheap more, so that the
    /// base fee comes back however long the chain is.
    pub(super) fn room_in(&self, header: &Header, rules: &Rules) -> Room {
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let aim = if base_fee > 2 * FIRST_BASE_FEE {
            self.gas / 4 * 3
        } else if base_fee < FIRST_BASE_FEE / 2 {
            self.gas / 4 * 5
        } else {
            self.gas
        };
        let blobs = rules.blobs.map_or(0, |blobs| blobs.max_blob_count);
        Room { aim, limit: header.gas_limit, blobs }
    }

    /// What the block pays out of the consensus layer.
    pub(super) fn withdrawals(&mut self, genesis: &Genesis, random: &mut Random) -> Vec<Withdrawal> {
        let count = random.below(MOST_WITHDRAWALS + 1);
        (0..count)
            .map(|_| {
                let (index, validator_index) = (self.withdrawals, random.below(1_000_000));
                self.withdrawals += 1;
                let address = genesis.people.somebody(random);
                Withdrawal { index, validator_index, address, amount: 1 + random.below(32_000_000_000) }
            })
            .collect()
    }
}

fn any_hash(random: &mut Random) -> B256 {
    keccak256(random.next().to_be_bytes())
}
