//! stub
use super::chain::ChainSpec;
use crate::error::Invalid;
use alloy_consensus::Header;
/// stub
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OmmerError {}
/// stub
#[derive(Debug)]
pub struct Ancestor<'a> {
    /// x
    pub hash: alloy_primitives::B256,
    /// x
    pub header: &'a Header,
    /// x
    pub ommers: &'a [Header],
}
/// stub
pub fn check_ommers(
    _chain: &ChainSpec,
    _header: &Header,
    _ommers: &[Header],
    _ancestors: &[Ancestor<'_>],
) -> Result<(), Invalid> {
    Ok(())
}
