//! An empty code that one thread has to itself.
//!
//! revm clones the code of an account whenever it loads the account, and a clone counts references.
//! All accounts without code share one empty code, and so all threads its count: the cache line with
//! it goes to and fro between their cores, several times for each payment. A copy has a count of its own.

use alloy_primitives::Bytes;
use revm_state::{AccountInfo, Bytecode};

/// The empty code of one thread.
#[derive(Debug)]
pub(crate) struct OwnEmptyCode(Bytecode);

impl Default for OwnEmptyCode {
    fn default() -> Self {
        let shared = Bytecode::default();
        let jumps = shared.legacy_jump_table().expect("no code is not one that delegates").clone();
        let bytes = Bytes::copy_from_slice(shared.bytes_slice());
        #[expect(unsafe_code, reason = "revm makes an empty code in no other way but by sharing its own")]
        // SAFETY: bytes, length and jumps are those of a code that was analysed, so it is padded as one.
        let own = unsafe { Bytecode::new_analyzed(bytes, shared.len(), jumps) };
        Self(own)
    }
}

impl OwnEmptyCode {
    /// Gives it to an account without code, so that nobody gives it the one that all share.
    #[inline]
    pub(crate) fn put_into(&self, info: &mut AccountInfo) {
        if info.is_empty_code_hash() {
            info.code = Some(self.0.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    #[test]
    fn it_is_an_empty_code_like_any_other_but_elsewhere() {
        let (own, shared) = (OwnEmptyCode::default().0, Bytecode::default());
        assert_eq!(own, shared);
        assert_eq!((own.len(), own.hash_slow()), (shared.len(), shared.hash_slow()));
        assert_eq!((own.bytes(), own.legacy_jump_table()), (shared.bytes(), shared.legacy_jump_table()));
        assert!(shared.is_default() && !own.is_default());
    }

    #[test]
    fn only_accounts_without_code_get_it() {
        let own = OwnEmptyCode::default();
        let mut account = AccountInfo { code: None, ..AccountInfo::default() };
        own.put_into(&mut account);
        assert!(account.code.is_some_and(|code| code.is_empty() && !code.is_default()));
        let mut contract =
            AccountInfo { code_hash: B256::repeat_byte(1), code: None, ..AccountInfo::default() };
        own.put_into(&mut contract);
        assert_eq!(contract.code, None);
    }
}
