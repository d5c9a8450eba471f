//! Everything about a signed block that can be said before it is executed, in one call.

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
/// `ancestors` are the blocks that lead to it: its parent first, then the parent of that, seven of
/// them or all that there are. A chain that comes to the Merge by its total difficulty must also
/// ask [`is_after_merge`](ChainSpec::is_after_merge), which headers alone cannot tell. Once the block
/// is executed, [`check_outcome`](crate::check_outcome) compares the rest.
///
/// # Errors
///
/// The first rule that the block breaks.
///
/// # Panics
///
/// Without any ancestor: who does not know the parent cannot say anything about the block.
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
