//! An account without its storage.

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use alloy_trie::TrieAccount;
use revm_state::{AccountId, AccountInfo, Bytecode};

/// Balance, nonce and code hash of an account.
///
/// ```
/// use blockloom_state::Account;
///
/// assert!(Account::EMPTY.is_empty());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Account {
    /// The balance in wei.
    pub balance: U256,
    /// The number of transactions it sent, or of contracts it created.
    pub nonce: u64,
    /// The hash of its code; [`KECCAK256_EMPTY`] if it has none.
    pub code_hash: B256,
}

impl Account {
    /// No balance, no nonce, no code. Before EIP-161 such an account may exist.
    pub const EMPTY: Self = Self { balance: U256::ZERO, nonce: 0, code_hash: KECCAK256_EMPTY };

    /// Whether the account is empty in the sense of EIP-161.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Whether the account has code.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }

    /// The leaf of the account in the state trie.
    pub(crate) fn into_leaf(self, storage_root: B256) -> TrieAccount {
        let Self { balance, nonce, code_hash } = self;
        TrieAccount::new(nonce, balance, storage_root, code_hash)
    }

    /// The account in revm's form, with its code if that is loaded, and with the id that revm carries.
    pub(crate) fn into_info(self, code: Option<Bytecode>, account_id: Option<AccountId>) -> AccountInfo {
        let Self { balance, nonce, code_hash } = self;
        AccountInfo { balance, nonce, code_hash, account_id, code }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<&AccountInfo> for Account {
    /// A zero code hash, which some databases use for an account without code, becomes the hash of empty code.
    fn from(info: &AccountInfo) -> Self {
        let code_hash = if info.code_hash.is_zero() { KECCAK256_EMPTY } else { info.code_hash };
        Self { balance: info.balance, nonce: info.nonce, code_hash }
    }
}
