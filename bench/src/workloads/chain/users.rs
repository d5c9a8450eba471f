//! The accounts without code of a generated chain. A limited number of them signs transactions.

use alloy_primitives::Address;
use blockloom_fixtures::Random;
use blockloom_fixtures::compose::Signer;

use crate::workloads::names::address;

/// The most senders. The address of each is derived from a key, which is slow.
const MOST_SENDERS: u64 = 2000;
/// The number of accounts that sign authorizations (EIP-7702). They send no transactions.
const AUTHORITIES: u64 = 16;

/// An account with a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) signer: Signer,
    pub(super) address: Address,
}

/// All accounts without code.
#[derive(Clone, Debug)]
pub(super) struct Users {
    seed: u64,
    /// The number of accounts in the genesis, senders included.
    count: u64,
    pub(super) senders: Vec<User>,
    pub(super) authorities: Vec<User>,
}

impl Users {
    pub(super) fn new(seed: u64, count: u64) -> Self {
        let several = |kind: &str, count| (0..count).map(|number| User::new(seed, kind, number)).collect();
        let senders = several("sender key", count.min(MOST_SENDERS));
        Self { seed, count, senders, authorities: several("authority key", AUTHORITIES) }
    }

    /// The number of accounts in the genesis, senders included.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The address of an account in the genesis. The senders have the lowest numbers.
    pub(super) fn address(&self, number: u64) -> Address {
        let sender = self.senders.get(number as usize);
        sender.map_or_else(|| address(self.seed, "account", number), |sender| sender.address)
    }

    /// A random account of the genesis.
    pub(super) fn any(&self, random: &mut Random) -> Address {
        self.address(random.below(self.count))
    }

    /// An account that is not in the genesis.
    pub(super) fn new_address(&self, number: u64) -> Address {
        address(self.seed, "newcomer", number)
    }
}

impl User {
    fn new(seed: u64, kind: &str, number: u64) -> Self {
        let key = address(seed, kind, number).into_word()[24..].try_into().expect("8 of 32 bytes are left");
        // Zero is no valid key.
        let signer = Signer::new(u64::from_be_bytes(key) | 1);
        Self { signer, address: signer.address() }
    }
}
