//! An account without its storage: the plain facts that the state trie holds about it.

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
pub struct Account {
    /// The balance in wei.
    pub balance: U256,
    /// How many transactions it sent, or contracts it created.
    pub nonce: u64,
    /// The hash of its code; [`KECCAK256_EMPTY`] when it has none.
    pub code_hash: B256,
}

impl Account {
    /// No balance, no nonce, no code. Before EIP-161 such an account may exist.
    pub const EMPTY: Self = Self { balance: U256::ZERO, nonce: 0, code_hash: KECCAK256_EMPTY };

    /// Whether it is empty in the sense of EIP-161.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Whether it has code.
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }

    /// The account as the trie of accounts has it, with a storage that has this root.
    pub(crate) fn into_leaf(self, storage_root: B256) -> TrieAccount {
        let Self { balance, nonce, code_hash } = self;
        TrieAccount::new(nonce, balance, storage_root, code_hash)
    }

    /// The account as revm has it, with its code where that is at hand, and what it is called.
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
    /// A zero code hash, which some databases use for "no code", becomes the hash of empty code.
    fn from(info: &AccountInfo) -> Self {
        let code_hash = if info.code_hash.is_zero() { KECCAK256_EMPTY } else { info.code_hash };
        Self { balance: info.balance, nonce: info.nonce, code_hash }
    }
}
