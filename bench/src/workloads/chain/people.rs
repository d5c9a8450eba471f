//! Who lives in the state of a generated chain: a bounded number who sign, and any number who do not.

use alloy_primitives::Address;
use blockloom_fixtures::compose::Signer;

use crate::workloads::random::{Random, address};

/// How many accounts sign transactions at most: each costs the derivation of its address.
const MOST_SENDERS: u64 = 2000;
/// How many accounts, none of which sends anything, sign what others send for them (EIP-7702).
const AUTHORITIES: u64 = 16;

/// Somebody who signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    pub(super) signer: Signer,
    pub(super) address: Address,
}

/// Everybody.
#[derive(Clone, Debug)]
pub(super) struct People {
    seed: u64,
    /// How many there are at first, the senders among them.
    count: u64,
    pub(super) senders: Vec<Person>,
    pub(super) authorities: Vec<Person>,
}

impl People {
    pub(super) fn new(seed: u64, count: u64) -> Self {
        let several = |kind: &str, count| (0..count).map(|number| Person::new(seed, kind, number)).collect();
        let senders = several("sender key", count.min(MOST_SENDERS));
        Self { seed, count, senders, authorities: several("authority key", AUTHORITIES) }
    }

    /// How many there are at first, the senders among them.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The address of one of those who are there at first. The senders have the lowest numbers.
    pub(super) fn address(&self, number: u64) -> Address {
        let sender = self.senders.get(number as usize);
        sender.map_or_else(|| address(self.seed, "account", number), |sender| sender.address)
    }

    /// Any of those who are there at first.
    pub(super) fn somebody(&self, random: &mut Random) -> Address {
        self.address(random.below(self.count))
    }

    /// Somebody who was not there at first.
    pub(super) fn newcomer(&self, number: u64) -> Address {
        address(self.seed, "newcomer", number)
    }
}

impl Person {
    fn new(seed: u64, kind: &str, number: u64) -> Self {
        let key = address(seed, kind, number).into_word()[24..].try_into().expect("8 of 32 bytes are left");
        // Zero is no key.
        let signer = Signer::new(u64::from_be_bytes(key) | 1);
        Self { signer, address: signer.address() }
    }
}
