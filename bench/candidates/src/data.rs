//! Reproducible test data: every key and value is a function of an index.
//!
//! Keys look like hashes. The leading eight bytes of the `i`-th of `n` keys lie
//! in the `i`-th of `n` equal slices of the key space, so that any number of
//! keys can be produced in ascending order without sorting them in memory.

use crate::store::{Batch, Table};

/// Share of node entries per account entry, in percent.
const NODES_PERCENT: u64 = 36;

/// A small pseudo-random generator (splitmix64).
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 pseudo-random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Appends `len` pseudo-random bytes.
    fn fill(&mut self, out: &mut Vec<u8>, len: usize) {
        let end = out.len() + len;
        while out.len() < end {
            let word = self.next().to_le_bytes();
            let take = (end - out.len()).min(8);
            out.extend_from_slice(&word[..take]);
        }
    }
}

fn rng(domain: u64, index: u64, version: u64) -> Rng {
    let mut rng = Rng(domain << 56 ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ version << 32);
    rng.next();
    rng
}

fn slice_of_key_space(index: u64, total: u64, rng: &mut Rng) -> [u8; 8] {
    let width = u64::MAX / total;
    (index * width + rng.below(width)).to_be_bytes()
}

/// The number of node entries that belong to `accounts` accounts.
pub fn node_count(accounts: u64) -> u64 {
    accounts * NODES_PERCENT / 100
}

/// The 32-byte key of one of `accounts` accounts.
pub fn account_key(index: u64, accounts: u64) -> Vec<u8> {
    let mut rng = rng(1, index, 0);
    let mut key = slice_of_key_space(index, accounts, &mut rng).to_vec();
    rng.fill(&mut key, 24);
    key
}

/// The 10 to 50 bytes stored for an account.
pub fn account_value(index: u64, version: u64) -> Vec<u8> {
    let mut rng = rng(2, index, version);
    let len = 10 + rng.below(41) as usize;
    let mut value = Vec::with_capacity(len);
    rng.fill(&mut value, len);
    value
}

/// The key of one of `nodes` nodes: eight bytes and a path of five to eight.
pub fn node_key(index: u64, nodes: u64) -> Vec<u8> {
    let mut rng = rng(3, index, 0);
    let mut key = slice_of_key_space(index, nodes, &mut rng).to_vec();
    let path = 5 + rng.below(4) as usize;
    rng.fill(&mut key, path);
    key
}

/// The 100 to 530 bytes stored for a node.
pub fn node_value(index: u64, version: u64) -> Vec<u8> {
    let mut rng = rng(4, index, version);
    let len = 100 + rng.below(431) as usize;
    let mut value = Vec::with_capacity(len);
    rng.fill(&mut value, len);
    value
}

/// The key under which the head record and the witness are kept.
pub const HEAD_KEY: &[u8] = b"head";
/// A second record that every block writes, to see torn commits.
pub const WITNESS_KEY: &[u8] = b"witness";

/// What one block writes: 2,000 account updates, 100 new accounts, 4,500 node
/// updates, an undo record of 100 kB and the head record.
pub fn block(number: u64, accounts: u64) -> Batch {
    let mut batch = Batch::default();
    let mut rng = rng(5, number, 0);
    for _ in 0..2_000 {
        let index = rng.below(accounts);
        batch.put(Table::Accounts, account_key(index, accounts), account_value(index, number));
    }
    for _ in 0..100 {
        let mut key = Vec::with_capacity(32);
        rng.fill(&mut key, 32);
        batch.put(Table::Accounts, key, account_value(accounts + number, number));
    }
    let nodes = node_count(accounts);
    for _ in 0..4_500 {
        let index = rng.below(nodes);
        batch.put(Table::Nodes, node_key(index, nodes), node_value(index, number));
    }
    let mut undo = Vec::with_capacity(100_000);
    rng.fill(&mut undo, 100_000);
    batch.put(Table::Undo, number.to_be_bytes().to_vec(), undo);
    let head = number.to_be_bytes().to_vec();
    batch.put(Table::Head, HEAD_KEY.to_vec(), head.clone());
    batch.put(Table::Accounts, WITNESS_KEY.to_vec(), head);
    batch.sort();
    batch
}

/// An order-independent digest of entries, to compare what was read with what
/// was written.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    /// Number of entries.
    pub count: u64,
    /// Wrapping sum of the entries' hashes.
    pub sum: u64,
}

impl Digest {
    /// Takes an entry into account.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut hash = key.len() as u64;
        for part in [key, value] {
            for chunk in part.chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
            }
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// The digest of a freshly loaded store.
    pub fn expected(accounts: u64) -> Self {
        let mut digest = Self::default();
        for index in 0..accounts {
            digest.add(&account_key(index, accounts), &account_value(index, 0));
        }
        let nodes = node_count(accounts);
        for index in 0..nodes {
            digest.add(&node_key(index, nodes), &node_value(index, 0));
        }
        digest
    }
}
