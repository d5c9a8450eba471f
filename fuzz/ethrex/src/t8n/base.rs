//! The state before a block, as ethrex's EVM reads it, and the state after it, with its root.

use std::{collections::BTreeMap, sync::Arc};

use ethrex_common_31::{
    Address, H256, NativeCrypto, U256,
    constants::EMPTY_KECCAK_HASH,
    types::{AccountState, AccountUpdate, ChainConfig, Code, CodeMetadata},
};
use ethrex_crypto_31::keccak::keccak_hash;
use ethrex_rlp_31::encode::RLPEncode;
use ethrex_trie_31::Trie;
use ethrex_vm_31::{EvmError, VmDatabase};
use serde_json::{Map, Value, json};

use crate::question::Question;

/// A state in memory.
#[derive(Clone, Debug)]
pub(crate) struct State {
    accounts: BTreeMap<Address, Account>,
    codes: BTreeMap<H256, Code>,
}

#[derive(Clone, Debug, Default)]
struct Account {
    balance: U256,
    nonce: u64,
    code_hash: H256,
    slots: BTreeMap<H256, U256>,
}

impl State {
    /// The state before the block.
    pub(crate) fn new(question: &Question) -> Self {
        let mut state = Self { accounts: BTreeMap::new(), codes: BTreeMap::new() };
        for (address, allocation) in &question.alloc {
            let code = Code::from_bytecode(allocation.code.clone().into(), &NativeCrypto);
            let slots = allocation.storage.iter().map(|(key, value)| (*key, U256::from_big_endian(&value.0)));
            let account = Account {
                balance: allocation.balance,
                nonce: allocation.nonce,
                code_hash: code.hash,
                slots: slots.collect(),
            };
            state.codes.insert(code.hash, code);
            state.accounts.insert(*address, account);
        }
        state
    }

    /// Applies what a block changed, as ethrex's store does.
    pub(crate) fn apply(&mut self, updates: Vec<AccountUpdate>) {
        for update in updates {
            if update.removed {
                self.accounts.remove(&update.address);
                continue;
            }
            let empty = Account { code_hash: *EMPTY_KECCAK_HASH, ..Account::default() };
            let account = self.accounts.entry(update.address).or_insert(empty);
            if update.removed_storage {
                account.slots.clear();
            }
            if let Some(info) = update.info {
                (account.balance, account.nonce, account.code_hash) =
                    (info.balance, info.nonce, info.code_hash);
                self.codes.extend(update.code.map(|code| (info.code_hash, code)));
            }
            account.slots.extend(update.added_storage);
            account.slots.retain(|_, value| !value.is_zero());
        }
    }

    pub(crate) fn root(&self) -> H256 {
        let leaves = self
            .accounts
            .iter()
            .map(|(address, account)| (keccak_hash(address).to_vec(), account.state().encode_to_vec()));
        Trie::compute_hash_from_unsorted_iter(leaves, &NativeCrypto)
    }

    /// The accounts as the t8n tool writes them: what is zero is left out.
    pub(crate) fn to_json(&self) -> Value {
        let accounts = self.accounts.iter().map(|(address, account)| {
            let mut fields = Map::new();
            if !account.balance.is_zero() {
                fields.insert("balance".into(), json!(account.balance));
            }
            if account.nonce != 0 {
                fields.insert("nonce".into(), json!(format!("{:#x}", account.nonce)));
            }
            if let Some(code) = self.codes.get(&account.code_hash).filter(|code| !code.is_empty()) {
                fields.insert("code".into(), json!(format!("0x{}", hex::encode(code.code()))));
            }
            if !account.slots.is_empty() {
                fields.insert("storage".into(), json!(account.slots));
            }
            (format!("{address:#x}"), Value::from(fields))
        });
        Value::Object(accounts.collect())
    }
}

impl Account {
    fn state(&self) -> AccountState {
        let leaves = self.slots.iter().map(|(key, value)| (keccak_hash(key).to_vec(), value.encode_to_vec()));
        AccountState {
            nonce: self.nonce,
            balance: self.balance,
            storage_root: Trie::compute_hash_from_unsorted_iter(leaves, &NativeCrypto),
            code_hash: self.code_hash,
        }
    }
}

/// What ethrex's EVM reads: the state, the ancestors' hashes and the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) state: Arc<State>,
    pub(crate) hashes: Arc<BTreeMap<u64, H256>>,
    pub(crate) config: ChainConfig,
}

impl VmDatabase for Base {
    fn get_account_state(&self, address: Address) -> Result<Option<AccountState>, EvmError> {
        Ok(self.state.accounts.get(&address).map(Account::state))
    }

    fn get_storage_slot(&self, address: Address, key: H256) -> Result<Option<U256>, EvmError> {
        Ok(self.state.accounts.get(&address).and_then(|account| account.slots.get(&key)).copied())
    }

    fn get_block_hash(&self, number: u64) -> Result<H256, EvmError> {
        Ok(self.hashes.get(&number).copied().unwrap_or_default())
    }

    fn get_chain_config(&self) -> Result<ChainConfig, EvmError> {
        Ok(self.config)
    }

    fn get_account_code(&self, hash: H256) -> Result<Code, EvmError> {
        if hash == *EMPTY_KECCAK_HASH {
            return Ok(Code::default());
        }
        let code = self.state.codes.get(&hash).cloned();
        code.ok_or_else(|| EvmError::DB(format!("there is no code with the hash {hash:#x}")))
    }

    fn get_code_metadata(&self, hash: H256) -> Result<CodeMetadata, EvmError> {
        self.get_account_code(hash).map(|code| CodeMetadata { length: code.len() as u64 })
    }
}
