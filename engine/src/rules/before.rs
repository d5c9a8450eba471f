//! All checks of a signed block before its execution, in one call.

use crate::{
    block::{
        block::{Block, SignedBlock},
        error::{BlockError, Invalid},
    },
    rules::{
        body::check_body,
        chain::ChainSpec,
        header::check_header,
        ommers::{Ancestor, check_ommers},
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
    let parent = ancestors.first().expect("the first ancestor is the parent");
    let number = block.header.number;
    let rules = chain.rules(&block.header);
    check_header(&rules, &block.header, parent.header).map_err(|error| Invalid::from(error).of(number))?;
    check_body(&rules, &block).map_err(|error| Invalid::from(error).of(number))?;
    check_ommers(chain, &block.header, &block.body.ommers, ancestors).map_err(|error| error.of(number))?;
    Block::recover(rules, block)
}
