//! Codes that one thread has to itself.
//!
//! revm clones the code of an account whenever it loads the account and when it calls it, and a clone
//! counts references. All accounts without code share one empty code, and whoever calls a contract
//! shares its code: the cache line with the count goes to and fro between the cores of all threads,
//! several times for each transaction. A copy has a count of its own. Copying takes a while, so only a
//! code that a thread needs again and again is copied.

use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, map::B256Map};
use revm_state::{AccountInfo, Bytecode};

/// How a code begins that delegates to another account.
const DELEGATES: [u8; 2] = [0xef, 1];
/// A code that was needed so often is copied.
const OFTEN: u32 = 8;

/// The codes that one thread knows.
#[derive(Debug)]
pub(crate) struct CodeCache {
    empty: Bytecode,
    known: B256Map<Known>,
}

#[derive(Debug)]
struct Known {
    code: Bytecode,
    needed: u32,
}

impl Default for CodeCache {
    fn default() -> Self {
        let empty = copy_of(&Bytecode::default()).expect("no code is not one that delegates");
        Self { empty, known: B256Map::default() }
    }
}

impl CodeCache {
    /// Whether the code with this hash is known: then nobody need give it.
    #[inline]
    pub(crate) fn are_with(&self, hash: &B256) -> bool {
        *hash == KECCAK256_EMPTY || self.known.contains_key(hash)
    }

    /// The code with this hash, if it is known.
    #[inline]
    pub(crate) fn get(&mut self, hash: &B256) -> Option<Bytecode> {
        self.known.get_mut(hash).map(Known::take)
    }

    /// Remembers a code, and answers with it. One that looks as if it delegated (EIP-7702) is not
    /// remembered: the same bytes, with the same hash, may be instructions somewhere else.
    pub(crate) fn add(&mut self, hash: B256, code: Bytecode) -> Bytecode {
        if code.bytes_slice().starts_with(&DELEGATES) {
            return code;
        }
        self.known.entry(hash).or_insert(Known { code, needed: 0 }).take()
    }

    /// Gives an account its code as this thread has it.
    #[inline]
    pub(crate) fn put_into(&mut self, info: &mut AccountInfo) {
        info.code = if info.is_empty_code_hash() {
            Some(self.empty.clone())
        } else {
            match info.code.take() {
                Some(code) => Some(self.add(info.code_hash, code)),
                None => self.get(&info.code_hash),
            }
        };
    }
}

impl Known {
    fn take(&mut self) -> Bytecode {
        self.needed = self.needed.saturating_add(1);
        if self.needed == OFTEN
            && let Some(copy) = copy_of(&self.code)
        {
            self.code = copy;
        }
        self.code.clone()
    }
}

/// The same code elsewhere; nothing if it is not one with instructions.
fn copy_of(code: &Bytecode) -> Option<Bytecode> {
    let jumps = code.legacy_jump_table()?.clone();
    let bytes = Bytes::copy_from_slice(code.bytes_slice());
    #[expect(unsafe_code, reason = "revm makes a code that was analysed in no other way")]
    // SAFETY: bytes, length and jumps are those of a code that was analysed, so it is padded as one.
    Some(unsafe { Bytecode::new_analyzed(bytes, code.len(), jumps) })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::bytes;

    use super::*;

    fn contract(code: Option<Bytecode>) -> AccountInfo {
        AccountInfo { code_hash: B256::repeat_byte(1), code, ..AccountInfo::default() }
    }

    fn lie_elsewhere(one: &Bytecode, other: &Bytecode) -> bool {
        one.bytecode_ptr() != other.bytecode_ptr()
    }

    #[test]
    fn the_empty_code_is_like_any_other_but_elsewhere() {
        let (own, shared) = (CodeCache::default().empty, Bytecode::default());
        assert_eq!(own, shared);
        assert_eq!((own.len(), own.hash_slow()), (shared.len(), shared.hash_slow()));
        assert_eq!((own.bytes(), own.legacy_jump_table()), (shared.bytes(), shared.legacy_jump_table()));
        assert!(shared.is_default() && !own.is_default());
    }

    #[test]
    fn an_account_without_code_gets_the_empty_one_and_one_with_an_unknown_code_none() {
        let mut codes = CodeCache::default();
        let mut account = AccountInfo { code: None, ..AccountInfo::default() };
        codes.put_into(&mut account);
        assert!(account.code.is_some_and(|code| code.is_empty() && !code.is_default()));
        let mut contract = contract(None);
        codes.put_into(&mut contract);
        assert_eq!(contract.code, None);
    }

    #[test]
    fn a_code_is_given_once_and_copied_when_it_is_needed_often() {
        let (mut codes, shared) = (CodeCache::default(), Bytecode::new_legacy(bytes!("5b600056")));
        codes.put_into(&mut contract(Some(shared.clone())));
        let mut is_own = Vec::new();
        for _ in 1..OFTEN + 2 {
            let mut account = contract(None);
            assert!(codes.are_with(&account.code_hash));
            codes.put_into(&mut account);
            let code = account.code.expect("it is known");
            assert_eq!((&code, code.legacy_jump_table()), (&shared, shared.legacy_jump_table()));
            is_own.push(lie_elsewhere(&code, &shared));
        }
        assert!(!is_own[0] && is_own[OFTEN as usize - 2..].iter().all(|own| *own), "{is_own:?}");
    }

    #[test]
    fn a_code_that_delegates_is_not_mixed_up_with_instructions_that_look_like_it() {
        let mut codes = CodeCache::default();
        let delegates = Bytecode::new_eip7702(Default::default());
        let instructions = Bytecode::new_legacy(delegates.original_bytes());
        for code in [&delegates, &instructions].into_iter().cycle().take(3 * OFTEN as usize) {
            let mut account = contract(Some(code.clone()));
            codes.put_into(&mut account);
            let given = account.code.expect("it was there");
            assert_eq!(given.is_eip7702(), code.is_eip7702());
            assert!(!codes.are_with(&account.code_hash));
        }
    }
}
