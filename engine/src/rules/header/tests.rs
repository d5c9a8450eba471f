//! Tests of every rule of a header: a valid header, then headers with one wrong value.

use EthereumHardfork::*;
use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use alloy_hardforks::EthereumHardfork;
use proptest::prelude::*;

use alloy_primitives::B256;

use super::*;
use crate::block::error::header::{HeaderError as Error, HeaderField as Field};

const BLOB: u64 = DATA_GAS_PER_BLOB;

/// Rules of `fork`, and a header that follows a parent under them.
fn base(fork: EthereumHardfork) -> (Rules, Header, Header) {
    let rules = Rules::mainnet(fork);
    let since = |from| rules.is_active(from).then_some(());
    let parent = Header {
        number: 100,
        timestamp: 1_000,
        gas_limit: 30_000_000,
        gas_used: 15_000_000,
        difficulty: U256::from(if since(Paris).is_some() { 0 } else { 2_048_000 }),
        base_fee_per_gas: since(London).map(|()| 1_000),
        withdrawals_root: since(Shanghai).map(|()| B256::ZERO),
        blob_gas_used: since(Cancun).map(|()| 0),
        excess_blob_gas: since(Cancun).map(|()| 0),
        parent_beacon_block_root: since(Cancun).map(|()| B256::ZERO),
        requests_hash: since(Prague).map(|()| B256::ZERO),
        block_access_list_hash: since(Amsterdam).map(|()| B256::ZERO),
        slot_number: since(Amsterdam).map(|()| 70),
        ..Header::default()
    };
    let mut header = Header { number: 101, timestamp: 1_010, ..parent.clone() };
    header.slot_number = since(Amsterdam).map(|()| 71);
    // After ten seconds the difficulty rises under Frontier's formula, and stays under later ones.
    header.difficulty += U256::from(if fork == Frontier { 1_000 } else { 0 });
    (rules, header, parent)
}

fn check(rules: &Rules, mut header: Header, parent: &Header) -> Result<(), Error> {
    header.parent_hash = parent.hash_slow();
    check_header(rules, &header, parent)
}

#[test]
fn a_header_that_follows_its_parent_passes_under_every_fork() {
    for fork in EthereumHardfork::VARIANTS {
        let (rules, header, parent) = base(*fork);
        assert_eq!(check(&rules, header, &parent), Ok(()), "{fork}");
    }
}

#[test]
fn a_header_with_one_wrong_value_is_refused_for_it() {
    type Break = fn(&mut Header, &mut Header);
    let difficulty =
        |expected, found| Error::Difficulty { expected: U256::from(expected), found: U256::from(found) };
    let empty = EMPTY_OMMER_ROOT_HASH;
    let table: [(EthereumHardfork, Break, Error); 13] = [
        (Frontier, |h, _| h.number = 102, Error::Number { parent: 100, found: 102 }),
        (Frontier, |_, p| p.number = u64::MAX, Error::Number { parent: u64::MAX, found: 101 }),
        (Frontier, |h, _| h.timestamp = 1_000, Error::Timestamp { parent: 1_000, found: 1_000 }),
        (Frontier, |h, _| h.gas_used = 30_000_001, Error::GasUsed { limit: 30_000_000, found: 30_000_001 }),
        (Frontier, |h, _| h.extra_data = [0; 33].into(), Error::ExtraDataTooLong { most: 32, found: 33 }),
        (Homestead, |h, _| h.difficulty = U256::ZERO, difficulty(2_048_000, 0)),
        (GrayGlacier, |_, p| p.ommers_hash = B256::ZERO, difficulty(2_049_000, 2_048_000)),
        (Paris, |h, _| h.difficulty = U256::ONE, difficulty(0, 1)),
        (Paris, |h, _| h.nonce = !B64::ZERO, Error::Nonce { expected: B64::ZERO, found: !B64::ZERO }),
        (Paris, |h, _| h.ommers_hash = B256::ZERO, Error::OmmersHash { expected: empty, found: B256::ZERO }),
        (
            Cancun,
            |h, _| h.blob_gas_used = Some(7 * BLOB),
            Error::BlobGasUsedTooHigh { most: 6 * BLOB, found: 7 * BLOB },
        ),
        (Cancun, |h, _| h.blob_gas_used = Some(1), Error::BlobGasUsedInPart { blob: BLOB, found: 1 }),
        (Amsterdam, |h, _| h.slot_number = Some(70), Error::SlotNumber { parent: 70, found: 70 }),
    ];
    for (fork, break_it, error) in table {
        let (rules, mut header, mut parent) = base(fork);
        break_it(&mut header, &mut parent);
        assert_eq!(check(&rules, header, &parent), Err(error), "{fork}");
    }
    let (rules, header, parent) = base(Berlin);
    let error = Error::ParentHash { expected: parent.hash_slow(), found: B256::ZERO };
    assert_eq!(check_header(&rules, &header, &parent), Err(error));
}

#[test]
fn a_field_exists_exactly_from_its_fork_on() {
    type Flip = fn(&mut Header);
    fn flip<T: Default>(field: &mut Option<T>) {
        *field = if field.is_some() { None } else { Some(T::default()) };
    }
    let table: [(Field, EthereumHardfork, Flip); 8] = [
        (Field::BaseFeePerGas, London, |header| flip(&mut header.base_fee_per_gas)),
        (Field::WithdrawalsRoot, Shanghai, |header| flip(&mut header.withdrawals_root)),
        (Field::BlobGasUsed, Cancun, |header| flip(&mut header.blob_gas_used)),
        (Field::ExcessBlobGas, Cancun, |header| flip(&mut header.excess_blob_gas)),
        (Field::ParentBeaconBlockRoot, Cancun, |header| flip(&mut header.parent_beacon_block_root)),
        (Field::RequestsHash, Prague, |header| flip(&mut header.requests_hash)),
        (Field::BlockAccessListHash, Amsterdam, |header| flip(&mut header.block_access_list_hash)),
        (Field::SlotNumber, Amsterdam, |header| flip(&mut header.slot_number)),
    ];
    for (fork, (field, from, flip)) in
        EthereumHardfork::VARIANTS.iter().flat_map(|fork| table.map(|row| (*fork, row)))
    {
        let (rules, mut header, parent) = base(fork);
        flip(&mut header);
        let error = if fork >= from { Error::Missing(field) } else { Error::Unexpected(field) };
        assert_eq!(check(&rules, header, &parent), Err(error), "{fork}");
    }
    let (mut rules, mut header, parent) = base(Osaka);
    rules.access_lists = AccessLists::Committed;
    header.block_access_list_hash = Some(B256::ZERO);
    assert_eq!(check(&rules, header, &parent), Ok(()));
}

#[test]
fn the_gas_limit_stays_near_the_parents_limit_and_near_twice_of_it_at_london() {
    let (rules, low, high) = (Rules::mainnet(London), 4_999, 1 << 63);
    let change = |parent, found| Err(Error::GasLimitChange { parent, found });
    let table = [
        (Some(1), 30_000_000, 30_029_295, Ok(())),
        (Some(1), 30_000_000, 29_970_705, Ok(())),
        (Some(1), 30_000_000, 30_029_296, change(30_000_000, 30_029_296)),
        (Some(1), 30_000_000, 29_970_704, change(30_000_000, 29_970_704)),
        (Some(1), 0, 5_000, change(0, 5_000)),
        (Some(1), 5_000, low, Err(Error::GasLimitTooLow { least: 5_000, found: low })),
        (Some(1), high, high, Err(Error::GasLimitTooHigh { most: high - 1, found: high })),
        (None, 15_000_000, 30_029_295, Ok(())),
        (None, 30_000_000, 30_000_000, change(60_000_000, 30_000_000)),
    ];
    for (base_fee_per_gas, before, gas_limit, expected) in table {
        let parent = Header { gas_limit: before, base_fee_per_gas, ..Header::default() };
        let header = Header { gas_limit, base_fee_per_gas: Some(1), ..Header::default() };
        let checks: [Check; 3] = [check_least_gas_limit, check_most_gas_limit, check_gas_limit_change];
        let found = checks.into_iter().try_for_each(|check| check(&rules, &header, &parent));
        assert_eq!(found, expected, "{gas_limit} after {before}");
    }
}

#[test]
fn the_base_fee_follows_the_parents_gas_used() {
    let table = [
        (None, 30_000_000, Ok(1_000_000_000)),
        (Some(1_000), 0, Ok(875)),
        (Some(1_000), 15_000_000, Ok(1_000)),
        (Some(1_000), 15_000_001, Ok(1_001)),
        (Some(1_000), 30_000_000, Ok(1_125)),
        (Some(u64::MAX), 15_000_001, Err(Error::BaseFeeOverflow { parent: u64::MAX, found: 0 })),
    ];
    for (base_fee_per_gas, gas_used, expected) in table {
        let parent = Header { gas_limit: 30_000_000, gas_used, base_fee_per_gas, ..Header::default() };
        let header = Header { base_fee_per_gas: Some(0), ..Header::default() };
        let error = expected.map_or_else(|error| error, |expected| Error::BaseFee { expected, found: 0 });
        let rules = Rules::mainnet(London);
        assert_eq!(check_base_fee(&rules, &header, &parent), Err(error), "{gas_used}");
    }
}

#[test]
fn the_excess_blob_gas_follows_the_parents_blobs() {
    let overflow = Error::ExcessBlobGasOverflow { excess: u64::MAX, used: 1, found: 1 };
    let table = [
        (Cancun, None, None, Ok(0)),
        (Cancun, Some(0), Some(3 * BLOB), Ok(0)),
        (Cancun, Some(2 * BLOB), Some(4 * BLOB), Ok(3 * BLOB)),
        (Cancun, Some(u64::MAX), Some(0), Ok(u64::MAX - 3 * BLOB)),
        (Cancun, Some(u64::MAX), Some(1), Err(overflow)),
        (Prague, Some(0), Some(8 * BLOB), Ok(2 * BLOB)),
        // Blobs are below their reserve price (EIP-7918): a third of what was used is added.
        (Osaka, Some(0), Some(6 * BLOB), Ok(2 * BLOB)),
        (Bpo1, Some(BLOB), Some(12 * BLOB), Ok(5 * BLOB)),
    ];
    for (fork, excess_blob_gas, blob_gas_used, expected) in table {
        let (rules, mut header, parent) = base(fork);
        let parent = Header { excess_blob_gas, blob_gas_used, ..parent };
        header.excess_blob_gas = Some(1);
        let error =
            expected.map_or_else(|error| error, |expected| Error::ExcessBlobGas { expected, found: 1 });
        assert_eq!(check(&rules, header, &parent), Err(error), "{fork}");
    }
}

#[test]
fn ten_blocks_have_the_extra_data_of_the_dao_fork() {
    let rules = Rules { dao_block: Some(100), ..Rules::mainnet(Homestead) };
    let plain = Error::ExtraDataOfDao { expected: DAO_EXTRA_DATA, found: Bytes::new() };
    for (number, expected) in [(99, Ok(())), (100, Err(plain.clone())), (109, Err(plain)), (110, Ok(()))] {
        let mut header = Header { number, ..Header::default() };
        assert_eq!(check_extra_data_of_dao(&rules, &header, &Header::default()), expected, "{number}");
        header.extra_data = DAO_EXTRA_DATA;
        assert_eq!(check_extra_data_of_dao(&rules, &header, &Header::default()), Ok(()), "{number}");
    }
}

/// A number for a header field, often an extreme one.
fn number() -> impl Strategy<Value = u64> {
    let extremes = [0, 1, 4_999, 5_000, BLOB, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
    prop_oneof![proptest::sample::select(extremes.to_vec()), any::<u64>()]
}

fn hostile() -> impl Strategy<Value = Header> {
    (proptest::array::uniform8(number()), any::<bool>()).prop_map(|(n, is_old)| Header {
        number: n[0],
        timestamp: n[1],
        gas_limit: n[2],
        gas_used: n[3],
        difficulty: U256::from_limbs([n[4]; 4]),
        base_fee_per_gas: (!is_old).then_some(n[4]),
        blob_gas_used: (!is_old).then_some(n[5]),
        excess_blob_gas: (!is_old).then_some(n[6]),
        slot_number: (!is_old).then_some(n[7]),
        ..Header::default()
    })
}

#[test]
fn a_header_with_several_wrong_values_breaks_the_rule_of_each() {
    let (rules, header, parent) = base(Cancun);
    let wrong = Header {
        parent_hash: B256::ZERO,
        number: 102,
        base_fee_per_gas: None,
        requests_hash: Some(B256::ZERO),
        gas_limit: 4_999,
        gas_used: 5_000,
        extra_data: Bytes::from(vec![0; 33]),
        difficulty: U256::from(1),
        nonce: B64::repeat_byte(1),
        ommers_hash: B256::ZERO,
        blob_gas_used: Some(7 * BLOB + 1),
        excess_blob_gas: Some(1),
        ..header
    };
    let broken: Vec<_> = broken_header_rules(&rules, &wrong, &parent).collect();
    let expected = [
        Error::ParentHash { expected: parent.hash_slow(), found: B256::ZERO },
        Error::Number { parent: 100, found: 102 },
        Error::Missing(Field::BaseFeePerGas),
        Error::Unexpected(Field::RequestsHash),
        Error::GasLimitTooLow { least: 5_000, found: 4_999 },
        Error::GasLimitChange { parent: 30_000_000, found: 4_999 },
        Error::GasUsed { limit: 4_999, found: 5_000 },
        Error::ExtraDataTooLong { most: 32, found: 33 },
        Error::Difficulty { expected: U256::ZERO, found: U256::from(1) },
        Error::Nonce { expected: B64::ZERO, found: B64::repeat_byte(1) },
        Error::OmmersHash { expected: EMPTY_OMMER_ROOT_HASH, found: B256::ZERO },
        Error::BlobGasUsedTooHigh { most: 6 * BLOB, found: 7 * BLOB + 1 },
        Error::BlobGasUsedInPart { blob: BLOB, found: 7 * BLOB + 1 },
        Error::ExcessBlobGas { expected: 0, found: 1 },
    ];
    assert_eq!(broken, expected);
}

#[test]
fn a_gas_limit_doubles_only_where_the_fork_has_the_base_fee() {
    let (rules, header, parent) = base(Berlin);
    let of_london = Header { base_fee_per_gas: Some(7), gas_limit: 60_000_000, ..header };
    let broken: Vec<_> = broken_child_rules(&rules, &of_london, &parent).collect();
    let change = Error::GasLimitChange { parent: 30_000_000, found: 60_000_000 };
    assert_eq!(broken, [Error::Unexpected(Field::BaseFeePerGas), change]);
}

proptest! {
    #[test]
    fn a_hostile_header_causes_no_panic(
        fork in proptest::sample::select(EthereumHardfork::VARIANTS), header in hostile(), parent in hostile(),
    ) {
        // All checks run: no error of an earlier check hides a later one.
        let rules = Rules::mainnet(fork);
        let broken: Vec<_> = broken_header_rules(&rules, &header, &parent).collect();
        prop_assert_eq!(check_header(&rules, &header, &parent), Err(broken[0].clone()));
    }

    #[test]
    fn the_base_fee_equals_alloys_where_alloys_does_not_overflow(
        fee in 0..u64::MAX / 2, gas_limit in 5_000..u64::MAX / 2, used in any::<prop::sample::Index>(),
    ) {
        let gas_used = used.index(usize::try_from(gas_limit).unwrap_or(usize::MAX)) as u64;
        let parent = Header { gas_limit, gas_used, ..Header::default() };
        let alloys = calc_next_block_base_fee(gas_used, gas_limit, fee, BaseFeeParams::ethereum());
        prop_assert_eq!(next_base_fee(fee, &parent), Some(alloys));
    }
}
