//! stub
use super::Rules;
use alloy_consensus::Header;
/// stub
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {}
/// stub
pub fn check_header(_rules: &Rules, _header: &Header, _parent: &Header) -> Result<(), HeaderError> {
    Ok(())
}
