//! stub
use super::Rules;
use crate::SignedBlock;
/// stub
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {}
/// stub
pub fn check_body(_rules: &Rules, _block: &SignedBlock) -> Result<(), BodyError> {
    Ok(())
}
