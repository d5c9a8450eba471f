//! The accounts of a hostile block: senders with known keys, contracts, the children that contracts
//! create, and accounts that are special to the protocol.

use std::sync::LazyLock;

use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_primitives::{Address, B256, keccak256};
use blockloom_fixtures::compose::Signer;

use crate::{act::Child, init_code::init_code, system::REQUEST_CONTRACTS};

/// How many accounts send transactions. The last of them starts with no balance.
pub(crate) const SENDERS: u8 = 5;
/// The number of the sender that starts with no balance.
pub(crate) const UNFUNDED: u8 = SENDERS - 1;
/// How many accounts sign authorizations: the senders, and one that never sends.
pub(crate) const AUTHORITIES: u8 = SENDERS + 1;
/// How many contracts there are before the block.
pub(crate) const CONTRACTS: u8 = 5;
/// A coinbase that has no other role.
pub(crate) const PLAIN_COINBASE: Address = Address::with_last_byte(0xc0);
/// An account that does not exist or is empty before the block.
pub(crate) const ABSENT: Address = Address::with_last_byte(0x99);
/// The precompile that stays touched when its caller fails (EIP-161's exception).
pub(crate) const RIPEMD: Address = Address::with_last_byte(3);

static SIGNERS: LazyLock<Vec<(Signer, Address)>> = LazyLock::new(|| {
    let signers = (1..=u64::from(AUTHORITIES)).map(Signer::new);
    signers.map(|signer| (signer, signer.address())).collect()
});

static CHILDREN: LazyLock<Vec<Address>> = LazyLock::new(|| {
    let code_hash = keccak256(init_code(Child::Destructible));
    let salted = |number, salt| contract(number).create2(B256::with_last_byte(salt), code_hash);
    vec![salted(0, 0), salted(0, 1), salted(1, 0), contract(0).create(1), contract(1).create(1)]
});

static ALL_ACTORS: LazyLock<Vec<Address>> = LazyLock::new(|| {
    let mut actors: Vec<_> = (0..AUTHORITIES).map(sender).chain((0..CONTRACTS).map(contract)).collect();
    actors.extend(children());
    actors.extend([PLAIN_COINBASE, ABSENT, RIPEMD]);
    actors.push(HISTORY_STORAGE_ADDRESS);
    actors.extend(REQUEST_CONTRACTS);
    actors
});

/// The key of a sender or authority.
pub(crate) fn signer(number: u8) -> Signer {
    SIGNERS[usize::from(number)].0
}

/// The address of a sender or authority.
pub(crate) fn sender(number: u8) -> Address {
    SIGNERS[usize::from(number)].1
}

/// A contract that exists before the block.
pub(crate) fn contract(number: u8) -> Address {
    Address::with_last_byte(0x20 + number)
}

/// The addresses of the first [destructible](Child::Destructible) children of contracts.
pub(crate) fn children() -> &'static [Address] {
    &CHILDREN
}

/// All accounts that a program or a transaction may use.
pub(crate) fn all_actors() -> &'static [Address] {
    &ALL_ACTORS
}
