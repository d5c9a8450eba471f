//! Who takes part in a hostile block: senders whose keys everybody knows, contracts, the children
//! that contracts will create, and the accounts that are special to the protocol.

use std::sync::LazyLock;

use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_primitives::{Address, B256, keccak256};
use blockloom_fixtures::compose::Signer;

use crate::{assemble::init_code, program::Birth, system::REQUESTED};

/// How many accounts send transactions. The last of them starts with nothing.
pub(crate) const SENDERS: u8 = 5;
/// The number of the sender that starts with nothing.
pub(crate) const PAUPER: u8 = SENDERS - 1;
/// How many accounts delegate: the senders, and one that never sends.
pub(crate) const AUTHORITIES: u8 = SENDERS + 1;
/// How many contracts there are before the block.
pub(crate) const CONTRACTS: u8 = 5;
/// A coinbase that is nobody else.
pub(crate) const PLAIN_COINBASE: Address = Address::with_last_byte(0xc0);
/// An account that is not there, or is empty.
pub(crate) const NOBODY: Address = Address::with_last_byte(0x99);
/// The precompile that stays touched when its caller fails (EIP-161's exception).
pub(crate) const RIPEMD: Address = Address::with_last_byte(3);

static SIGNERS: LazyLock<Vec<(Signer, Address)>> = LazyLock::new(|| {
    let signers = (1..=u64::from(AUTHORITIES)).map(Signer::new);
    signers.map(|signer| (signer, signer.address())).collect()
});

static CHILDREN: LazyLock<Vec<Address>> = LazyLock::new(|| {
    let code_hash = keccak256(init_code(Birth::Mortal));
    let salted = |number, salt| contract(number).create2(B256::with_last_byte(salt), code_hash);
    vec![salted(0, 0), salted(0, 1), salted(1, 0), contract(0).create(1), contract(1).create(1)]
});

static EVERYBODY: LazyLock<Vec<Address>> = LazyLock::new(|| {
    let mut everybody: Vec<_> = (0..AUTHORITIES).map(sender).chain((0..CONTRACTS).map(contract)).collect();
    everybody.extend(children());
    everybody.extend([PLAIN_COINBASE, NOBODY, RIPEMD]);
    everybody.push(HISTORY_STORAGE_ADDRESS);
    everybody.extend(REQUESTED);
    everybody
});

/// Who signs for an authority.
pub(crate) fn signer(number: u8) -> Signer {
    SIGNERS[usize::from(number)].0
}

/// An account that signs transactions or authorizations.
pub(crate) fn sender(number: u8) -> Address {
    SIGNERS[usize::from(number)].1
}

/// A contract that is there before the block.
pub(crate) fn contract(number: u8) -> Address {
    Address::with_last_byte(0x20 + number)
}

/// Where contracts put the first of their [mortal](Birth::Mortal) children.
pub(crate) fn children() -> &'static [Address] {
    &CHILDREN
}

/// Everybody whom a program or a transaction may name.
pub(crate) fn everybody() -> &'static [Address] {
    &EVERYBODY
}
