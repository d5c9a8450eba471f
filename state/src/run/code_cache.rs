//! The codes of one thread: copies with reference counts of their own.
//!
//! revm clones the code of an account when it loads the account and when it calls it, and a clone increments
//! a reference count. All accounts without code share one empty code, and all callers of a contract share
//! its code, so the cache line of the count moves between the cores several times for each transaction. A
//! copy has its own count. Copying takes time, so the thread copies only codes that it needs often.

use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, map::B256Map};
use revm_state::{AccountInfo, Bytecode};

/// The first bytes of an EIP-7702 delegation.
const DELEGATION_PREFIX: [u8; 2] = [0xef, 1];
/// A code is copied when it is needed for this many times.
const COPIED_AFTER: u32 = 8;

/// The codes of one thread.
#[derive(Debug)]
pub(super) struct CodeCache {
    empty: Bytecode,
    codes: B256Map<CachedCode>,
}

#[derive(Debug)]
struct CachedCode {
    code: Bytecode,
    needed: u32,
}

impl Default for CodeCache {
    fn default() -> Self {
        let empty = copy_of(&Bytecode::default()).expect("the empty code has a jump table");
        Self { empty, codes: B256Map::default() }
    }
}

impl CodeCache {
    /// Whether the cache has the code with this hash.
    #[inline]
    pub(super) fn contains(&self, hash: &B256) -> bool {
        *hash == KECCAK256_EMPTY || self.codes.contains_key(hash)
    }

    /// The code with this hash, if it is cached.
    #[inline]
    pub(super) fn get(&mut self, hash: &B256) -> Option<Bytecode> {
        self.codes.get_mut(hash).map(CachedCode::take)
    }

    /// Caches a code and returns it. A code with the form of a delegation (EIP-7702) is not cached: the same
    /// bytes, with the same hash, may be instructions in another account.
    pub(super) fn add(&mut self, hash: B256, code: Bytecode) -> Bytecode {
        if code.bytes_slice().starts_with(&DELEGATION_PREFIX) {
            return code;
        }
        self.codes.entry(hash).or_insert(CachedCode { code, needed: 0 }).take()
    }

    /// Gives an account the thread's copy of its code, and caches its code if the account has it.
    #[inline]
    pub(super) fn put_into(&mut self, info: &mut AccountInfo) {
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

impl CachedCode {
    fn take(&mut self) -> Bytecode {
        self.needed = self.needed.saturating_add(1);
        if self.needed == COPIED_AFTER
            && let Some(copy) = copy_of(&self.code)
        {
            self.code = copy;
        }
        self.code.clone()
    }
}

/// A copy of a code in memory of its own; `None` for a delegation.
fn copy_of(code: &Bytecode) -> Option<Bytecode> {
    let jumps = code.legacy_jump_table()?.clone();
    let bytes = Bytes::copy_from_slice(code.bytes_slice());
    #[expect(unsafe_code, reason = "revm has no other constructor for an analysed code")]
    // SAFETY: bytes, length and jump table are those of an analysed code, so the bytes are padded.
    Some(unsafe { Bytecode::new_analyzed(bytes, code.len(), jumps) })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::bytes;

    use super::*;

    fn contract(code: Option<Bytecode>) -> AccountInfo {
        AccountInfo { code_hash: B256::repeat_byte(1), code, ..AccountInfo::default() }
    }

    fn differ_in_memory(one: &Bytecode, other: &Bytecode) -> bool {
        one.bytecode_ptr() != other.bytecode_ptr()
    }

    #[test]
    fn the_empty_code_is_a_copy_of_the_shared_one() {
        let (own, shared) = (CodeCache::default().empty, Bytecode::default());
        assert_eq!(own, shared);
        assert_eq!((own.len(), own.hash_slow()), (shared.len(), shared.hash_slow()));
        assert_eq!((own.bytes(), own.legacy_jump_table()), (shared.bytes(), shared.legacy_jump_table()));
        assert!(shared.is_default() && !own.is_default());
    }

    #[test]
    fn an_account_without_code_gets_the_empty_code_and_an_unknown_code_stays_missing() {
        let mut codes = CodeCache::default();
        let mut account = AccountInfo { code: None, ..AccountInfo::default() };
        codes.put_into(&mut account);
        assert!(account.code.is_some_and(|code| code.is_empty() && !code.is_default()));
        let mut contract = contract(None);
        codes.put_into(&mut contract);
        assert_eq!(contract.code, None);
    }

    #[test]
    fn a_code_is_cached_at_once_and_copied_when_it_is_needed_often() {
        let (mut codes, shared) = (CodeCache::default(), Bytecode::new_legacy(bytes!("5b600056")));
        codes.put_into(&mut contract(Some(shared.clone())));
        let mut is_own = Vec::new();
        for _ in 1..COPIED_AFTER + 2 {
            let mut account = contract(None);
            assert!(codes.contains(&account.code_hash));
            codes.put_into(&mut account);
            let code = account.code.expect("it is cached");
            assert_eq!((&code, code.legacy_jump_table()), (&shared, shared.legacy_jump_table()));
            is_own.push(differ_in_memory(&code, &shared));
        }
        assert!(!is_own[0] && is_own[COPIED_AFTER as usize - 2..].iter().all(|own| *own), "{is_own:?}");
    }

    #[test]
    fn a_delegation_is_not_confused_with_instructions_of_the_same_bytes() {
        let mut codes = CodeCache::default();
        let delegation = Bytecode::new_eip7702(Default::default());
        let instructions = Bytecode::new_legacy(delegation.original_bytes());
        for code in [&delegation, &instructions].into_iter().cycle().take(3 * COPIED_AFTER as usize) {
            let mut account = contract(Some(code.clone()));
            codes.put_into(&mut account);
            let given = account.code.expect("it was there");
            assert_eq!(given.is_eip7702(), code.is_eip7702());
            assert!(!codes.contains(&account.code_hash));
        }
    }
}
