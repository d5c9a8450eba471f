//! The checks of a block's body against its header.
//!
//! Owns the rules about the body that need neither the parent nor execution. Promises that a valid body
//! is the one that the header commits to, and has the parts of its fork. Takes the header as checked,
//! and does not validate single transactions.

use alloy_consensus::{
    Transaction as _,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_hardforks::EthereumHardfork::{Osaka, Paris, Shanghai};

use crate::block::{block::SignedBlock, error::body::BodyError, rules::Rules};

/// The most bytes of a block (EIP-7934): the network's limit, less a margin for the beacon block.
const MOST_BYTES: usize = (10 << 20) - (2 << 20);

/// A rule of a body.
type Check = fn(&Rules, &SignedBlock) -> Result<(), BodyError>;

/// The rules of a body, in the order in which they are checked.
const RULES: [Check; 7] = [
    check_size,
    check_ommers_list,
    check_ommers_hash,
    check_withdrawals_list,
    check_withdrawals_root,
    check_transactions,
    check_blob_gas,
];

/// Checks that a block's body is the one that its header commits to, and follows the rules of its fork.
///
/// # Errors
///
/// The first rule that the body breaks.
pub fn check_body(rules: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    RULES.into_iter().try_for_each(|check| check(rules, block))
}

/// Every rule that a body breaks, in the order of [`check_body`].
pub(super) fn broken_body_rules(rules: &Rules, block: &SignedBlock) -> impl Iterator<Item = BodyError> {
    RULES.into_iter().filter_map(move |check| check(rules, block).err())
}

fn check_size(rules: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    if !rules.is_active(Osaka) {
        return Ok(());
    }
    let found = SignedBlock::rlp_length_for(&block.header, &block.body);
    if found > MOST_BYTES { Err(BodyError::Size { most: MOST_BYTES, found }) } else { Ok(()) }
}

fn check_ommers_list(rules: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    let found = block.body.ommers.len();
    let is_forbidden = rules.is_active(Paris) && found > 0;
    if is_forbidden { Err(BodyError::OmmersAfterMerge { most: 0, found }) } else { Ok(()) }
}

fn check_ommers_hash(_: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    let (expected, found) = (block.header.ommers_hash, calculate_ommers_root(&block.body.ommers));
    if found == expected { Ok(()) } else { Err(BodyError::OmmersHash { expected, found }) }
}

fn check_withdrawals_list(rules: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    match (&block.body.withdrawals, rules.is_active(Shanghai)) {
        (None, true) => Err(BodyError::WithdrawalsMissing),
        (Some(list), false) => Err(BodyError::WithdrawalsUnexpected { found: list.len() }),
        (None, false) | (Some(_), true) => Ok(()),
    }
}

fn check_withdrawals_root(rules: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    let list = block.body.withdrawals.as_ref().filter(|_| rules.is_active(Shanghai));
    let Some(list) = list else { return Ok(()) };
    let (expected, found) = (block.header.withdrawals_root, calculate_withdrawals_root(list));
    if Some(found) == expected { Ok(()) } else { Err(BodyError::WithdrawalsRoot { expected, found }) }
}

fn check_transactions(_: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    let expected = block.header.transactions_root;
    let found = calculate_transaction_root(&block.body.transactions);
    if found == expected { Ok(()) } else { Err(BodyError::TransactionsRoot { expected, found }) }
}

fn check_blob_gas(rules: &Rules, block: &SignedBlock) -> Result<(), BodyError> {
    // Before Cancun headers have no such field, and a transaction with blobs is invalid itself.
    let expected = block.header.blob_gas_used.filter(|_| rules.blobs.is_some());
    let Some(expected) = expected else { return Ok(()) };
    let found = block.body.transactions.iter().filter_map(|transaction| transaction.blob_gas_used()).sum();
    if found == expected { Ok(()) } else { Err(BodyError::BlobGasUsed { expected, found }) }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{
        BlockBody, EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, SignableTransaction, TxEip4844, TxLegacy,
    };
    use alloy_eips::{
        eip4844::DATA_GAS_PER_BLOB,
        eip4895::{Withdrawal, Withdrawals},
    };
    use alloy_hardforks::EthereumHardfork::{self, Cancun, London, Prague};
    use alloy_primitives::{Bytes, Signature};

    use alloy_primitives::B256;

    use super::*;
    use crate::block::block::SignedTransaction;

    fn legacy(bytes: usize) -> SignedTransaction {
        let transaction = TxLegacy { input: Bytes::from(vec![1; bytes]), ..TxLegacy::default() };
        transaction.into_signed(Signature::test_signature()).into()
    }

    fn with_blobs(count: usize) -> SignedTransaction {
        let transaction =
            TxEip4844 { blob_versioned_hashes: vec![B256::ZERO; count], ..TxEip4844::default() };
        transaction.into_signed(Signature::test_signature()).into()
    }

    /// A block under `fork` with everything that the fork allows.
    fn full_block(fork: EthereumHardfork) -> (Rules, SignedBlock) {
        let rules = Rules::mainnet(fork);
        let mut body = BlockBody { transactions: vec![legacy(100)], ommers: Vec::new(), withdrawals: None };
        let mut header = Header::default();
        if rules.is_active(Cancun) {
            body.transactions.extend([with_blobs(1), with_blobs(2)]);
            header.blob_gas_used = Some(3 * DATA_GAS_PER_BLOB);
        }
        if rules.is_active(Shanghai) {
            body.withdrawals = Some(Withdrawals::new(vec![Withdrawal::default()]));
        }
        if !rules.is_active(Paris) {
            body.ommers.push(Header::default());
        }
        let mut block = SignedBlock { header, body };
        commit(&mut block);
        (rules, block)
    }

    /// Makes the header commit to the body.
    fn commit(block: &mut SignedBlock) {
        block.header.transactions_root = calculate_transaction_root(&block.body.transactions);
        block.header.ommers_hash = block.body.calculate_ommers_root();
        block.header.withdrawals_root = block.body.calculate_withdrawals_root();
    }

    #[test]
    fn a_matching_body_passes_under_every_fork() {
        for fork in EthereumHardfork::VARIANTS {
            let (rules, block) = full_block(*fork);
            assert_eq!(check_body(&rules, &block), Ok(()), "{fork}");
        }
    }

    type Break = fn(&mut SignedBlock);

    /// Each row breaks a block under a fork, and has the expected error.
    fn check_all(table: &[(EthereumHardfork, Break, BodyError)]) {
        for (fork, break_it, error) in table {
            let (rules, mut block) = full_block(*fork);
            break_it(&mut block);
            assert_eq!(check_body(&rules, &block).as_ref(), Err(error), "{fork}");
        }
    }

    #[test]
    fn transactions_and_blob_gas_must_match_the_header() {
        use BodyError::{BlobGasUsed, TransactionsRoot};
        let expected = full_block(Prague).1.header.transactions_root;
        let found = 3 * DATA_GAS_PER_BLOB;
        check_all(&[
            (Prague, |b| b.body.transactions.clear(), TransactionsRoot { expected, found: EMPTY_ROOT_HASH }),
            (Cancun, |b| b.header.blob_gas_used = Some(0), BlobGasUsed { expected: 0, found }),
            (Osaka, |b| b.header.blob_gas_used = Some(u64::MAX), BlobGasUsed { expected: u64::MAX, found }),
        ]);
    }

    #[test]
    fn ommers_must_match_the_header_and_are_forbidden_after_the_merge() {
        use BodyError::{OmmersAfterMerge, OmmersHash};
        let found = EMPTY_OMMER_ROOT_HASH;
        let expected = full_block(London).1.header.ommers_hash;
        let add: Break = |block| {
            block.body.ommers.push(Header::default());
            commit(block);
        };
        check_all(&[
            (London, |b| b.body.ommers.clear(), OmmersHash { expected, found }),
            (Paris, |b| b.header.ommers_hash = B256::ZERO, OmmersHash { expected: B256::ZERO, found }),
            (Paris, add, OmmersAfterMerge { most: 0, found: 1 }),
        ]);
    }

    #[test]
    fn withdrawals_must_match_the_header_and_are_forbidden_before_shanghai() {
        use BodyError::{WithdrawalsMissing, WithdrawalsRoot, WithdrawalsUnexpected};
        let found = EMPTY_ROOT_HASH;
        let expected = full_block(Shanghai).1.header.withdrawals_root;
        let empty: Break = |block| block.body.withdrawals = Some(Withdrawals::default());
        let empty_without_root: Break = |block| {
            block.body.withdrawals = Some(Withdrawals::default());
            block.header.withdrawals_root = None;
        };
        check_all(&[
            (Shanghai, |b| b.body.withdrawals = None, WithdrawalsMissing),
            (Paris, empty, WithdrawalsUnexpected { found: 0 }),
            (Shanghai, empty, WithdrawalsRoot { expected, found }),
            (Shanghai, empty_without_root, WithdrawalsRoot { expected: None, found }),
        ]);
    }

    #[test]
    fn a_block_has_at_most_eight_mebibytes_from_osaka_on() {
        let sized = |fork, padding| {
            let (rules, mut block) = full_block(fork);
            block.body.transactions.push(legacy(padding));
            commit(&mut block);
            (SignedBlock::rlp_length_for(&block.header, &block.body), check_body(&rules, &block))
        };
        let (bytes, _) = sized(Osaka, 8_000_000);
        let room = 8_388_608 - bytes + 8_000_000;
        assert_eq!(sized(Osaka, room), (8_388_608, Ok(())));
        let error = BodyError::Size { most: 8_388_608, found: 8_388_609 };
        assert_eq!(sized(Osaka, room + 1), (8_388_609, Err(error)));
        assert_eq!(sized(Prague, room + 1).1, Ok(()));
    }
}
