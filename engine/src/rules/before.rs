//! All checks of a signed block before its execution: up to the first rule that it breaks, or all.

use crate::{
    block::{
        block::{Block, SignedBlock},
        error::{BlockError, Invalid},
        rules::Rules,
    },
    rules::{
        body::{broken_body_rules, check_body},
        chain::ChainSpec,
        header::{broken_header_rules, check_header, wrong_fields},
        ommers::{Ancestor, broken_ommer_rules, check_ommers},
    },
};

/// Checks a signed block's header, body and ommers, and recovers its senders.
///
/// `ancestors` are the blocks before it: its parent first, then the parent's parent, seven of them or
/// all that exist. If the chain reaches the Merge by total difficulty, the caller must also check
/// [`is_after_merge`](ChainSpec::is_after_merge), because headers do not contain the total difficulty.
/// After the execution, [`check_outcome`](crate::check_outcome) checks the other fields of the header.
///
/// # Errors
///
/// The first rule that the block breaks.
///
/// # Panics
///
/// If `ancestors` is empty: every check needs the parent.
pub fn check_block(
    chain: &ChainSpec,
    block: SignedBlock,
    ancestors: &[Ancestor<'_>],
) -> Result<Block, BlockError> {
    Block::recover(check_signed_block(chain, &block, ancestors)?, block)
}

/// Does what [`check_block`] does, on the calling thread alone: for callers that check several blocks at once, on threads of
/// their own.
///
/// # Errors
///
/// Those of [`check_block`].
///
/// # Panics
///
/// If `ancestors` is empty: every check needs the parent.
pub fn check_block_sequentially(
    chain: &ChainSpec,
    block: SignedBlock,
    ancestors: &[Ancestor<'_>],
) -> Result<Block, BlockError> {
    Block::recover_sequentially(check_signed_block(chain, &block, ancestors)?, block)
}

/// Checks everything but the signatures, and returns the rules of the block.
fn check_signed_block(
    chain: &ChainSpec,
    block: &SignedBlock,
    ancestors: &[Ancestor<'_>],
) -> Result<Rules, BlockError> {
    let parent = ancestors.first().expect("the first ancestor is the parent");
    let number = block.header.number;
    let rules = chain.rules(&block.header);
    check_header(&rules, &block.header, parent.header).map_err(|error| Invalid::from(error).of(number))?;
    check_body(&rules, block).map_err(|error| Invalid::from(error).of(number))?;
    check_ommers(chain, &block.header, &block.body.ommers, ancestors).map_err(|error| error.of(number))?;
    Ok(rules)
}

/// Every rule that a signed block breaks before its execution, in the order of [`check_block`]. The
/// signatures are not checked.
///
/// It explains a refused block: a block may break several rules, and [`check_block`] names the first. Without
/// `ancestors` only the rules are checked that need no parent. More than seven help to find an ommer that is
/// one of them.
pub fn broken_rules(chain: &ChainSpec, block: &SignedBlock, ancestors: &[Ancestor<'_>]) -> Vec<Invalid> {
    let SignedBlock { header, body } = block;
    let rules = chain.rules(header);
    let of_body = broken_body_rules(&rules, block).map(Invalid::from);
    let Some(parent) = ancestors.first() else {
        return wrong_fields(&rules, header).map(Invalid::from).chain(of_body).collect();
    };
    let of_header = broken_header_rules(&rules, header, parent.header).map(Invalid::from);
    let of_ommers = broken_ommer_rules(chain, header, &body.ommers, ancestors);
    of_header.chain(of_body).chain(of_ommers).collect()
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{BlockBody, EMPTY_ROOT_HASH, Header};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{B256, U256};

    use super::*;
    use crate::block::error::{body::BodyError, header::HeaderError, ommers::OmmerError};

    #[test]
    fn every_broken_rule_is_found_and_the_first_is_the_one_of_the_check() {
        let chain = ChainSpec::always(EthereumHardfork::Berlin);
        let parent = Header {
            gas_limit: 30_000_000,
            difficulty: U256::from(2_048_000),
            timestamp: 1_000,
            ..Header::default()
        };
        let hash = parent.hash_slow();
        let orphan = Header { parent_hash: B256::repeat_byte(9), ..parent.clone() };
        let header = Header {
            parent_hash: hash,
            number: 1,
            timestamp: 1_009,
            gas_limit: 60_000_000,
            transactions_root: B256::ZERO,
            ..parent.clone()
        };
        let body = BlockBody { ommers: vec![parent.clone(), orphan], ..BlockBody::default() };
        let ommers_hash = body.calculate_ommers_root();
        let block = SignedBlock { header: Header { ommers_hash, ..header }, body };
        let ancestors = [Ancestor { hash, header: &parent, ommers: &[] }];
        let ommer = |position, reason| Invalid::Ommer { position, reason };
        let unknown = |parent| OmmerError::UnknownParent { parent };
        let root = BodyError::TransactionsRoot { expected: B256::ZERO, found: EMPTY_ROOT_HASH };
        let expected = [
            HeaderError::GasLimitChange { parent: 30_000_000, found: 60_000_000 }.into(),
            root.clone().into(),
            ommer(0, OmmerError::Ancestor { hash }),
            ommer(0, unknown(B256::ZERO)),
            ommer(1, unknown(B256::repeat_byte(9))),
        ];
        assert_eq!(broken_rules(&chain, &block, &ancestors), expected);
        assert_eq!(broken_rules(&chain, &block, &[]), [root.into()], "without a parent");
        for check in [check_block, check_block_sequentially] {
            let error = check(&chain, block.clone(), &ancestors).unwrap_err();
            assert_eq!(error.to_string(), format!("block 1: {}", expected[0]));
        }
    }
}
