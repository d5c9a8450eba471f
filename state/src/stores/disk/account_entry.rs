//! The stored form of an account: balance, nonce, code hash, and the identity and root of its storage.

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};

use crate::model::account::Account;

/// The number of a life. A slot belongs to a life. When the life ends, its slots are unreachable and are pruned
/// later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LifeId(u64);

impl LifeId {
    /// The first life. Number 0 identifies the account trie.
    pub(super) const FIRST: Self = Self(1);

    /// The next life.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number.
    pub(super) const fn get(self) -> u64 {
        self.0
    }

    /// The big-endian bytes: earlier lives sort first.
    pub(super) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The life with these big-endian bytes.
    pub(super) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl From<u64> for LifeId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// The storage of an account that has or had slots in this life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StorageEntry {
    /// The life of its slots.
    pub(super) life: LifeId,
    /// The root of its trie.
    pub(super) root: B256,
}

/// The stored form of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccountEntry {
    /// Balance, nonce and code hash.
    pub(super) account: Account,
    /// The storage; `None` while no slot was written in this life. An empty storage may be dropped.
    pub(super) storage: Option<StorageEntry>,
}

const HAS_CODE: u8 = 1 << 6;
const HAS_STORAGE: u8 = 1 << 7;
const BALANCE_LENGTH: u8 = HAS_CODE - 1;

impl AccountEntry {
    /// The account's leaf in the trie.
    pub(super) fn leaf(&self) -> TrieAccount {
        self.account.into_leaf(self.storage_root())
    }

    /// The storage root, also of an account without storage.
    pub(super) fn storage_root(&self) -> B256 {
        self.storage.map_or(EMPTY_ROOT_HASH, |storage| storage.root)
    }

    /// Encodes the entry: a byte with flags and the length of the balance, the balance, the code hash, the life and
    /// root of the storage, and the nonce.
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
        if let Some(StorageEntry { life, root }) = self.storage {
            bytes[0] |= HAS_STORAGE;
            bytes.extend(life.to_bytes());
            bytes.extend(root);
        }
        bytes.extend(U256::from(nonce).to_be_bytes_trimmed_vec());
        bytes
    }

    /// Decodes an entry; `None` if the bytes are invalid.
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
            // Number 0 is the account trie, and the last number has no successor.
            if matches!(u64::from_be_bytes(*life), 0 | u64::MAX) {
                return None;
            }
            let (root, after) = after.split_first_chunk::<32>()?;
            storage = Some(StorageEntry { life: LifeId::from_bytes(*life), root: root.into() });
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
        fn an_encoded_entry_decodes_to_itself(
            balance: [u8; 32], zeros in 0usize..32, nonce: u64, code: Option<[u8; 32]>, root: Option<[u8; 32]>,
        ) {
            let balance = U256::from_be_bytes(balance) >> (8 * zeros);
            let code_hash = code.map_or(KECCAK256_EMPTY, B256::from);
            let storage = root.map(|root| StorageEntry { life: LifeId::from(nonce / 2 + 1), root: root.into() });
            let entry = AccountEntry { account: Account { balance, nonce, code_hash }, storage };
            let bytes = entry.encode();
            prop_assert_eq!(AccountEntry::decode(&bytes), Some(entry));
        }

        #[test]
        fn any_bytes_decode_to_an_entry_or_are_invalid(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(entry) = AccountEntry::decode(&bytes) {
                prop_assert_eq!(AccountEntry::decode(&entry.encode()), Some(entry));
            }
        }
    }
}
