//! The check of a header against the outcome of its block.

use alloy_consensus::{Header, ReceiptEnvelope, proofs::calculate_receipt_root};
use alloy_eips::{eip7685::Requests, eip7928::compute_block_access_list_hash};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{B256, Bloom};

use crate::{
    block::{
        error::outcome::OutcomeError,
        outcome::{Outcome, Receipt},
        rules::{AccessLists, Rules},
    },
    rules::list::{Excess, excess},
    threads::pool::parallel_map,
};

/// Compares all fields of a header that follow from execution with the outcome; `state_root` is the
/// root after the outcome's changes, if it is known.
///
/// Before Byzantium a receipt contains the state root after its transaction. The receipts root is
/// compared there only if [`with_post_states`](Outcome::with_post_states) has set these roots.
///
/// # Errors
///
/// The first field that differs.
pub fn check_outcome(
    rules: &Rules,
    header: &Header,
    outcome: &Outcome,
    state_root: Option<B256>,
) -> Result<(), OutcomeError> {
    broken_outcome_rules(rules, header, outcome, state_root).into_iter().next().map_or(Ok(()), Err)
}

/// Every field of a header that contradicts the outcome, in the order of [`check_outcome`].
pub fn broken_outcome_rules(
    rules: &Rules,
    header: &Header,
    outcome: &Outcome,
    state_root: Option<B256>,
) -> Vec<OutcomeError> {
    use OutcomeError as E;
    let (expected, found) = (header.gas_used, outcome.gas_used);
    let gas_used = differ(expected, found, |expected, found| E::GasUsed { expected, found });
    let (expected, found) = (header.blob_gas_used.unwrap_or_default(), outcome.blob_gas_used);
    let blob_gas_used = differ(expected, found, |expected, found| E::BlobGasUsed { expected, found });

    // The blooms are most of the work: a few hashes for each log.
    let receipts = parallel_map(&outcome.receipts, |receipt| ReceiptEnvelope::from(receipt.clone()));
    let bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
    let bloom = differ(header.logs_bloom, bloom, |expected, found| E::LogsBloom {
        expected: Box::new(expected),
        found: Box::new(found),
    });
    let receipts_root = has_known_root(rules, &outcome.receipts).then(|| calculate_receipt_root(&receipts));
    let receipts_root = receipts_root.and_then(|found| {
        differ(header.receipts_root, found, |expected, found| E::ReceiptsRoot { expected, found })
    });
    let (expected, found) = (header.requests_hash, outcome.requests.as_ref().map(Requests::requests_hash));
    let requests = differ(expected, found, |expected, found| E::RequestsHash { expected, found });
    let state_root = state_root.and_then(|found| {
        differ(header.state_root, found, |expected, found| E::StateRoot { expected, found })
    });
    let list = match rules.access_lists {
        AccessLists::Absent => [None, None],
        AccessLists::Committed => broken_list_rules(header, outcome),
    };
    let fields = [gas_used, blob_gas_used, bloom, receipts_root, requests, state_root];
    fields.into_iter().chain(list).flatten().collect()
}

/// Compares the access list. It comes after all other fields: most errors change the list, too.
fn broken_list_rules(header: &Header, outcome: &Outcome) -> [Option<OutcomeError>; 2] {
    let list = outcome.access_list.as_deref();
    let excess = list.and_then(|list| excess(header, list));
    let items = excess.map(|Excess { limit, found }| OutcomeError::AccessListItems { limit, found });
    let (expected, found) = (header.block_access_list_hash, list.map(compute_block_access_list_hash));
    let hash = differ(expected, found, |expected, found| OutcomeError::AccessListHash { expected, found });
    [items, hash]
}

fn differ<T: PartialEq>(
    expected: T,
    found: T,
    error: impl FnOnce(T, T) -> OutcomeError,
) -> Option<OutcomeError> {
    (expected != found).then(|| error(expected, found))
}

fn has_known_root(rules: &Rules, receipts: &[Receipt]) -> bool {
    rules.is_active(EthereumHardfork::Byzantium)
        || receipts.iter().all(|receipt| receipt.status.is_post_state())
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Eip658Value, TxType};
    use alloy_eips::eip7928::AccountChanges;
    use alloy_primitives::{Address, Log, U256, bytes};

    use super::*;

    fn outcome() -> Outcome {
        let log = Log::new_unchecked(Address::ZERO, vec![B256::repeat_byte(1)], Default::default());
        let receipt = Receipt {
            tx_type: TxType::Eip1559,
            status: Eip658Value::success(),
            cumulative_gas_used: 21_000,
            logs: vec![log],
        };
        Outcome {
            receipts: vec![receipt],
            gas_used: 21_000,
            blob_gas_used: 1 << 17,
            requests: Some(Requests::from(vec![bytes!("00aa")])),
            ..Outcome::default()
        }
    }

    /// A header that matches the outcome.
    fn header(outcome: &Outcome) -> Header {
        let receipts: Vec<_> = outcome.receipts.iter().cloned().map(ReceiptEnvelope::from).collect();
        Header {
            gas_used: outcome.gas_used,
            blob_gas_used: Some(outcome.blob_gas_used),
            logs_bloom: *receipts[0].logs_bloom(),
            receipts_root: calculate_receipt_root(&receipts),
            requests_hash: outcome.requests.as_ref().map(Requests::requests_hash),
            state_root: B256::repeat_byte(7),
            ..Header::default()
        }
    }

    fn check(change: impl FnOnce(&mut Header)) -> Result<(), OutcomeError> {
        let outcome = outcome();
        let mut header = header(&outcome);
        change(&mut header);
        let rules = Rules::mainnet(EthereumHardfork::Prague);
        check_outcome(&rules, &header, &outcome, Some(B256::repeat_byte(7)))
    }

    #[test]
    fn every_field_is_compared_and_an_error_has_both_values() {
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(
            check(|header| header.gas_used = 1),
            Err(OutcomeError::GasUsed { expected: 1, found: 21_000 })
        );
        let found = 1 << 17;
        let error = check(|header| header.blob_gas_used = Some(0));
        assert_eq!(error, Err(OutcomeError::BlobGasUsed { expected: 0, found }));
        let error = check(|header| header.logs_bloom = Bloom::ZERO).unwrap_err();
        assert!(matches!(error, OutcomeError::LogsBloom { .. }), "{error}");
        let wrong = B256::repeat_byte(9);
        let error = check(|header| header.receipts_root = wrong).unwrap_err();
        assert!(matches!(error, OutcomeError::ReceiptsRoot { expected, .. } if expected == wrong), "{error}");
        let error = check(|header| header.requests_hash = Some(wrong)).unwrap_err();
        assert!(
            matches!(error, OutcomeError::RequestsHash { expected, .. } if expected == Some(wrong)),
            "{error}"
        );
        let error = check(|header| header.requests_hash = None).unwrap_err();
        assert!(matches!(error, OutcomeError::RequestsHash { expected: None, .. }), "{error}");
        let error = check(|header| header.blob_gas_used = None).unwrap_err();
        assert!(matches!(error, OutcomeError::BlobGasUsed { expected: 0, .. }), "{error}");
        let error = check(|header| header.state_root = wrong).unwrap_err();
        assert_eq!(error, OutcomeError::StateRoot { expected: wrong, found: B256::repeat_byte(7) });
    }

    #[test]
    fn every_field_that_contradicts_the_outcome_is_found() {
        let outcome = outcome();
        let wrong = B256::repeat_byte(9);
        let header = Header {
            gas_used: 1,
            blob_gas_used: None,
            receipts_root: wrong,
            requests_hash: None,
            state_root: wrong,
            ..header(&outcome)
        };
        let rules = Rules::mainnet(EthereumHardfork::Prague);
        let broken = broken_outcome_rules(&rules, &header, &outcome, Some(B256::repeat_byte(7)));
        use OutcomeError as E;
        let [
            E::GasUsed { .. },
            E::BlobGasUsed { .. },
            E::ReceiptsRoot { .. },
            E::RequestsHash { .. },
            E::StateRoot { .. },
        ] = &broken[..]
        else {
            panic!("{broken:?}");
        };
        assert_eq!(check_outcome(&rules, &header, &outcome, None).as_ref(), Err(&broken[0]));
    }

    #[test]
    fn a_committed_list_is_compared_last_and_may_not_be_too_long() {
        let slots = (0..3).map(U256::from).collect();
        let account = AccountChanges { storage_reads: slots, ..AccountChanges::new(Address::ZERO) };
        let outcome = Outcome { access_list: Some(vec![account]), ..outcome() };
        let right = Header {
            gas_limit: 4 * 2000,
            block_access_list_hash: outcome.access_list.as_deref().map(compute_block_access_list_hash),
            ..header(&outcome)
        };
        let mut rules = Rules::mainnet(EthereumHardfork::Osaka);
        let wrong = Header { block_access_list_hash: Some(B256::ZERO), ..right.clone() };
        assert_eq!(check_outcome(&rules, &wrong, &outcome, None), Ok(()), "the rules commit to no list");

        rules.access_lists = AccessLists::Committed;
        let check = |header: &Header, outcome: &Outcome| check_outcome(&rules, header, outcome, None);
        assert_eq!(check(&right, &outcome), Ok(()));
        let (expected, found) = (Some(B256::ZERO), right.block_access_list_hash);
        assert_eq!(check(&wrong, &outcome), Err(OutcomeError::AccessListHash { expected, found }));
        let short = Header { gas_limit: right.gas_limit - 1, ..wrong };
        assert_eq!(check(&short, &outcome), Err(OutcomeError::AccessListItems { limit: 3, found: 4 }));
        let spent = Header { gas_used: 1, ..short };
        assert_eq!(check(&spent, &outcome), Err(OutcomeError::GasUsed { expected: 1, found: 21_000 }));
        let without = Outcome { access_list: None, ..outcome };
        let error = check(&right, &without);
        assert_eq!(error, Err(OutcomeError::AccessListHash { expected: found, found: None }));
    }

    #[test]
    fn before_byzantium_receipts_are_compared_only_with_their_state_roots() {
        let rules = Rules::mainnet(EthereumHardfork::Homestead);
        let plain = Outcome { requests: None, blob_gas_used: 0, ..outcome() };
        let with_roots = plain.clone().with_post_states(&[B256::repeat_byte(3)]);
        let header = header(&with_roots);
        assert_eq!(check_outcome(&rules, &header, &with_roots, None), Ok(()));
        assert_eq!(check_outcome(&rules, &header, &plain, None), Ok(()));
        let other_roots = plain.with_post_states(&[B256::repeat_byte(4)]);
        let error = check_outcome(&rules, &header, &other_roots, None).unwrap_err();
        assert!(matches!(error, OutcomeError::ReceiptsRoot { .. }), "{error}");
    }
}
