//! What is kept of an account, and how: its balance, nonce and code hash, and where its storage is.

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};

use crate::model::account::Account;

/// The number of a life. A slot belongs to a life: when the life ends, its slots are out of reach, and
/// swept up later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LifeId(u64);

impl LifeId {
    /// The first one. What would be the one before it stands for the trie of accounts.
    pub(super) const FIRST: Self = Self(1);

    /// The one that begins after it.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// As a number.
    pub(super) const fn get(self) -> u64 {
        self.0
    }

    /// So that those that began earlier sort first.
    pub(super) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The one with these bytes.
    pub(super) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl From<u64> for LifeId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// The storage of an account that has, or had, any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// The life that its slots belong to.
    pub(super) life: LifeId,
    /// The root of its trie.
    pub(super) root: B256,
}

/// What is kept of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccountEntry {
    /// Balance, nonce and code hash.
    pub(super) account: Account,
    /// Its storage; `None` as long as no slot was written in this life. One that is empty may be forgotten.
    pub(super) storage: Option<Storage>,
}

const HAS_CODE: u8 = 1 << 6;
const HAS_STORAGE: u8 = 1 << 7;
const BALANCE_LENGTH: u8 = HAS_CODE - 1;

impl AccountEntry {
    /// The account as the trie has it.
    pub(super) fn leaf(&self) -> TrieAccount {
        self.account.into_leaf(self.storage_root())
    }

    /// The root of its storage, whether it has any or not.
    pub(super) fn storage_root(&self) -> B256 {
        self.storage.map_or(EMPTY_ROOT_HASH, |storage| storage.root)
    }

    /// A first byte that says what there is and how long the balance is, the balance, the hash of the code,
    /// life and root of the storage, and the nonce.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Account { balance, nonce, code_hash } = self.account;
        let balance = balance.to_be_bytes_trimmed_vec();
        let mut bytes = Vec::with_capacity(2 + balance.len() + 8 + 72);
        bytes.push(u8::try_from(balance.len()).expect("a word has 32 bytes"));
        bytes.extend(balance);
        if self.account.has_code() {
            bytes[0] |= HAS_CODE;
            bytes.extend(code_hash);
        }
        if let Some(Storage { life, root }) = self.storage {
            bytes[0] |= HAS_STORAGE;
            bytes.extend(life.to_bytes());
            bytes.extend(root);
        }
        bytes.extend(U256::from(nonce).to_be_bytes_trimmed_vec());
        bytes
    }

    /// The account that these bytes keep; `None` if none does.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&flags, rest) = bytes.split_first()?;
        let (balance, mut rest) = rest.split_at_checked(usize::from(flags & BALANCE_LENGTH))?;
        let balance = U256::try_from_be_slice(balance)?;
        let mut code_hash = KECCAK256_EMPTY;
        if flags & HAS_CODE != 0 {
            let (hash, after) = rest.split_first_chunk::<32>()?;
            (code_hash, rest) = (hash.into(), after);
        }
        let mut storage = None;
        if flags & HAS_STORAGE != 0 {
            let (life, after) = rest.split_first_chunk()?;
            // The first number stands for the accounts, and nothing follows the last one.
            if matches!(u64::from_be_bytes(*life), 0 | u64::MAX) {
                return None;
            }
            let (root, after) = after.split_first_chunk::<32>()?;
            storage = Some(Storage { life: LifeId::from_bytes(*life), root: root.into() });
            rest = after;
        }
        let nonce = U256::try_from_be_slice(rest)?.try_into().ok()?;
        Some(Self { account: Account { balance, nonce, code_hash }, storage })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_put(
            balance: [u8; 32], zeros in 0usize..32, nonce: u64, code: Option<[u8; 32]>, root: Option<[u8; 32]>,
        ) {
            let balance = U256::from_be_bytes(balance) >> (8 * zeros);
            let code_hash = code.map_or(KECCAK256_EMPTY, B256::from);
            let storage = root.map(|root| Storage { life: LifeId::from(nonce / 2 + 1), root: root.into() });
            let entry = AccountEntry { account: Account { balance, nonce, code_hash }, storage };
            let bytes = entry.encode();
            prop_assert_eq!(AccountEntry::decode(&bytes), Some(entry));
        }

        #[test]
        fn any_bytes_are_an_account_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(entry) = AccountEntry::decode(&bytes) {
                prop_assert_eq!(AccountEntry::decode(&entry.encode()), Some(entry));
            }
        }
    }
}
