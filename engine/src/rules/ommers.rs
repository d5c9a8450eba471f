//! The checks of ommers: blocks off the chain that a block before the Merge rewards.
//!
//! Promises that a valid ommer is a valid child of an ancestor, is not part of the chain, was never
//! included before, and is at most six generations old. The roots and the gas of an ommer are not
//! checked: that needs its body.

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::B256;

use crate::{
    block::error::{Invalid, ommers::OmmerError},
    rules::{chain::ChainSpec, header::broken_child_rules},
};

/// The most ommers of a block.
const MOST_OMMERS: usize = 2;

/// The greatest distance between a block and the parent of an ommer, in generations.
const GENERATIONS: usize = 7;

/// An ancestor of a block, with the parts that the checks of ommers need.
#[derive(Clone, Copy, Debug)]
pub struct Ancestor<'a> {
    /// The hash, which must be the hash of `header`.
    pub hash: B256,
    /// The header.
    pub header: &'a Header,
    /// The ommers that the ancestor includes.
    pub ommers: &'a [Header],
}

/// Checks that a block with `header` may include `ommers`.
///
/// `ancestors` are the block's parent, then the parent's parent, and so on: seven of them, or all that
/// exist. More than seven are ignored.
///
/// # Errors
///
/// The first invalid ommer, with the reason.
pub fn check_ommers(
    chain: &ChainSpec,
    header: &Header,
    ommers: &[Header],
    ancestors: &[Ancestor<'_>],
) -> Result<(), Invalid> {
    let ancestors = &ancestors[..ancestors.len().min(GENERATIONS)];
    broken_ommer_rules(chain, header, ommers, ancestors).next().map_or(Ok(()), Err)
}

/// Every rule that the ommers break, in the order of [`check_ommers`].
///
/// Looks for an ommer itself in all `ancestors`, also in those that are too old to be the parent of one.
pub(super) fn broken_ommer_rules<'o>(
    chain: &'o ChainSpec,
    header: &'o Header,
    ommers: &'o [Header],
    ancestors: &'o [Ancestor<'_>],
) -> impl Iterator<Item = Invalid> + 'o {
    let too_many = (ommers.len() > MOST_OMMERS).then(|| {
        let reason = OmmerError::TooMany { most: MOST_OMMERS, found: ommers.len() };
        Invalid::Ommer { position: MOST_OMMERS, reason }
    });
    let block = (!ommers.is_empty()).then(|| header.hash_slow());
    let mut hashes = Vec::new();
    // Of too many ommers only the first are looked at: there may be as many as a block has bytes for.
    let of_ommers = ommers.iter().take(MOST_OMMERS).enumerate().flat_map(move |(position, ommer)| {
        let hash = ommer.hash_slow();
        let mut reasons = known_as(hash, (block, &hashes), ancestors);
        reasons.extend(broken_kinship(chain, ommer, header.parent_hash, ancestors));
        hashes.push(hash);
        reasons.into_iter().map(move |reason| Invalid::Ommer { position, reason })
    });
    too_many.into_iter().chain(of_ommers)
}

/// What an ommer is that is part of the chain, or was included before.
fn known_as(
    hash: B256,
    (block, before): (Option<B256>, &[B256]),
    ancestors: &[Ancestor<'_>],
) -> Vec<OmmerError> {
    let mut reasons = Vec::new();
    if Some(hash) == block {
        reasons.push(OmmerError::Itself { hash });
    }
    if before.contains(&hash) {
        reasons.push(OmmerError::Duplicate { hash });
    }
    for ancestor in ancestors {
        if ancestor.hash == hash {
            reasons.push(OmmerError::Ancestor { hash });
        }
        if ancestor.ommers.iter().any(|ommer| ommer.hash_slow() == hash) {
            reasons.push(OmmerError::Included { hash, by: ancestor.header.number });
        }
    }
    reasons
}

/// The rules that an ommer breaks as the child of an ancestor, but not of the block's parent.
fn broken_kinship(
    chain: &ChainSpec,
    ommer: &Header,
    parent_of_block: B256,
    ancestors: &[Ancestor<'_>],
) -> Vec<OmmerError> {
    let parent = ommer.parent_hash;
    if parent == parent_of_block {
        return vec![OmmerError::Brother { parent }];
    }
    let ancestors = &ancestors[..ancestors.len().min(GENERATIONS)];
    let Some(parent) = ancestors.iter().find(|ancestor| ancestor.hash == parent) else {
        return vec![OmmerError::UnknownParent { parent }];
    };
    let rules = chain.rules(ommer);
    // If the Merge starts by total difficulty, every header without difficulty counts as a later block,
    // and would pass the check of the header.
    if rules.is_active(EthereumHardfork::Paris) {
        return vec![OmmerError::AfterMerge];
    }
    broken_child_rules(&rules, ommer, parent.header).map(OmmerError::from).collect()
}

#[cfg(test)]
mod tests {
    use EthereumHardfork::{ArrowGlacier, Byzantium, Homestead, Paris};
    use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
    use alloy_hardforks::ForkCondition;
    use alloy_primitives::{Address, U256};

    use super::*;
    use crate::{
        block::error::header::{HeaderError, HeaderField},
        rules::chain::merge_at,
    };

    /// A child of `parent` by `miner`, ten seconds later, under the formula of Byzantium.
    fn child(parent: &Header, miner: u8) -> Header {
        Header {
            parent_hash: parent.hash_slow(),
            number: parent.number + 1,
            timestamp: parent.timestamp + 10,
            beneficiary: Address::repeat_byte(miner),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            ..parent.clone()
        }
    }

    /// A chain of ten blocks; the last one is the block to check.
    fn line() -> Vec<Header> {
        let difficulty = U256::from(2_048_000);
        let mut line = vec![Header { difficulty, gas_limit: 5_000, ..Header::default() }];
        for _ in 0..9 {
            line.push(child(&line[line.len() - 1], 0));
        }
        line
    }

    /// Checks `ommers` of the last block of `line`. The ancestor at `includes.0` includes other ommers.
    fn check_on(
        chain: &ChainSpec,
        line: &[Header],
        ommers: &[Header],
        includes: (usize, &[Header]),
    ) -> Result<(), (usize, OmmerError)> {
        let (header, before) = line.split_last().expect("a chain is not empty");
        let ancestors = before.iter().enumerate().rev().map(|(number, header)| Ancestor {
            hash: header.hash_slow(),
            header,
            ommers: if number == includes.0 { includes.1 } else { &[] },
        });
        let ancestors: Vec<_> = ancestors.collect();
        check_ommers(chain, header, ommers, &ancestors).map_err(|invalid| match invalid {
            Invalid::Ommer { position, reason } => (position, reason),
            other => panic!("the error is not about an ommer: {other}"),
        })
    }

    fn check(line: &[Header], ommers: &[Header]) -> Result<(), (usize, OmmerError)> {
        check_on(&ChainSpec::always(Byzantium), line, ommers, (0, &[]))
    }

    #[test]
    fn an_ommer_is_a_child_of_the_second_to_the_seventh_generation() {
        let line = line();
        assert_eq!(check(&line, &[]), Ok(()));
        for parent in &line[2..=7] {
            assert_eq!(check(&line, &[child(parent, 1)]), Ok(()), "child of {}", parent.number);
        }
        assert_eq!(check(&line, &[child(&line[7], 1), child(&line[7], 2)]), Ok(()));
        let parent = line[1].hash_slow();
        assert_eq!(check(&line, &[child(&line[1], 1)]), Err((0, OmmerError::UnknownParent { parent })));
        let parent = line[8].hash_slow();
        assert_eq!(check(&line, &[child(&line[8], 1)]), Err((0, OmmerError::Brother { parent })));
    }

    #[test]
    fn near_the_first_block_there_are_fewer_generations() {
        let line = &line()[..3];
        assert_eq!(check(line, &[child(&line[0], 1)]), Ok(()));
        let orphan = child(&child(&line[0], 1), 1);
        let error = OmmerError::UnknownParent { parent: orphan.parent_hash };
        assert_eq!(check(line, &[orphan]), Err((0, error)));
        assert_eq!(
            check(&line[..2], &[child(&line[0], 1)]),
            Err((0, OmmerError::Brother { parent: line[0].hash_slow() }))
        );
    }

    #[test]
    fn an_invalid_ommer_is_refused_with_the_reason() {
        let line = line();
        let good = child(&line[6], 1);
        let other = child(&line[5], 2);
        let hash = good.hash_slow();
        let too_many = OmmerError::TooMany { most: 2, found: 3 };
        let with = |change: fn(&mut Header)| {
            let mut ommer = good.clone();
            change(&mut ommer);
            ommer
        };
        let table = [
            (vec![good.clone(), other.clone(), child(&line[4], 3)], (2, too_many)),
            (vec![good.clone(), good.clone()], (1, OmmerError::Duplicate { hash })),
            (vec![line[9].clone()], (0, OmmerError::Itself { hash: line[9].hash_slow() })),
            (vec![line[8].clone()], (0, OmmerError::Ancestor { hash: line[8].hash_slow() })),
            (vec![other.clone(), line[2].clone()], (1, OmmerError::Ancestor { hash: line[2].hash_slow() })),
            (
                vec![other, with(|ommer| ommer.number = 9)],
                (1, HeaderError::Number { parent: 6, found: 9 }.into()),
            ),
            (
                vec![with(|ommer| ommer.timestamp = 0)],
                (0, HeaderError::Timestamp { parent: 60, found: 0 }.into()),
            ),
            (
                vec![with(|ommer| ommer.gas_used = u64::MAX)],
                (0, HeaderError::GasUsed { limit: 5_000, found: u64::MAX }.into()),
            ),
            (
                vec![with(|ommer| ommer.base_fee_per_gas = Some(1))],
                (0, HeaderError::Unexpected(HeaderField::BaseFeePerGas).into()),
            ),
        ];
        for (ommers, error) in table {
            assert_eq!(check(&line, &ommers), Err(error));
        }
    }

    #[test]
    fn an_ommer_is_included_only_once() {
        let line = line();
        let ommer = child(&line[3], 1);
        let chain = ChainSpec::always(Byzantium);
        for by in 5..=8 {
            let found =
                check_on(&chain, &line, std::slice::from_ref(&ommer), (by, std::slice::from_ref(&ommer)));
            let error = OmmerError::Included { hash: ommer.hash_slow(), by: by as u64 };
            assert_eq!(found, Err((0, error)));
        }
    }

    #[test]
    fn an_ommer_is_checked_by_the_rules_of_its_own_height() {
        let line = line();
        let ommer = child(&line[3], 1);
        let homestead = ChainSpec::always(Homestead);
        let late = homestead.clone().with_fork(Byzantium, ForkCondition::Block(5));
        // After nineteen seconds the difficulty falls by one share under Byzantium; under Homestead it stays.
        let slow = Header { timestamp: ommer.timestamp + 9, ..ommer };
        let ommers = std::slice::from_ref(&slow);
        assert_eq!(check_on(&late, &line, ommers, (0, &[])), Ok(()));
        let early = homestead.with_fork(Byzantium, ForkCondition::Block(4));
        let error = HeaderError::Difficulty { expected: U256::from(2_047_000), found: slow.difficulty };
        assert_eq!(check_on(&early, &line, ommers, (0, &[])), Err((0, error.into())));
    }

    #[test]
    fn an_ommer_without_difficulty_is_refused() {
        let line = line();
        let chain = ChainSpec::always(ArrowGlacier).with_fork(Paris, merge_at(U256::MAX));
        let ommer = Header { difficulty: U256::ZERO, ..child(&line[6], 1) };
        assert_eq!(check_on(&chain, &line, &[ommer], (0, &[])), Err((0, OmmerError::AfterMerge)));
    }
}
