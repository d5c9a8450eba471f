//! The state before a block as its witness proves it: a base that knows no more than the block needs.
//!
//! Owns the witness, and the codes and block hashes that come with it. Promises that every answer belongs to the
//! state with the given root, or an error that names the account, slot, code or block. A read takes no lock and
//! changes nothing.

use alloy_primitives::{
    Address, B256, Bytes, U256,
    map::{B256Map, HashMap},
};
use alloy_trie::EMPTY_ROOT_HASH;
use revm_database_interface::DatabaseRef;
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::{
    model::{account::Account, allocation::bytecode_of, changes::Changes},
    trie::{error::WitnessError, witness::Witness},
};

/// The account id of an account without storage.
const NO_STORAGE: usize = 0;

/// The state before a block, as far as its witness proves it.
///
/// ```
/// use alloy_primitives::Address;
/// use blockloom_state::{MemoryStore, Witness, WitnessStore};
/// use revm_database_interface::DatabaseRef;
///
/// let root = MemoryStore::new().root();
/// let empty = WitnessStore::new(Witness::new([]), root);
/// assert_eq!(empty.basic_ref(Address::ZERO), Ok(None));
/// ```
#[derive(Clone, Debug)]
pub struct WitnessStore {
    witness: Witness,
    root: B256,
    codes: B256Map<Bytecode>,
    block_hashes: HashMap<u64, B256>,
}

impl WitnessStore {
    /// The state with this root, as far as `witness` proves it.
    pub fn new(witness: Witness, root: B256) -> Self {
        Self { witness, root, codes: B256Map::default(), block_hashes: HashMap::default() }
    }

    /// Adds a code and returns its hash.
    pub fn insert_code(&mut self, code: Bytes) -> B256 {
        let code = bytecode_of(code);
        let hash = code.hash_slow();
        self.codes.insert(hash, code);
        hash
    }

    /// Sets the hash that BLOCKHASH returns for `number`.
    pub fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// The root of the state.
    pub const fn root(&self) -> B256 {
        self.root
    }

    /// The root of the state after `changes`.
    ///
    /// # Errors
    ///
    /// Those of [`Witness::root_after`].
    pub fn root_after(&self, changes: &Changes) -> Result<B256, WitnessError> {
        self.witness.root_after(self.root, changes)
    }

    /// The id of an account with this storage root, which names its root node; `None` if the witness has no such node.
    fn account_id(&self, storage_root: &B256) -> Option<AccountId> {
        if *storage_root == EMPTY_ROOT_HASH {
            return AccountId::new(NO_STORAGE);
        }
        self.witness.position(storage_root).and_then(|position| AccountId::new(position + 1))
    }
}

impl DatabaseRef for WitnessStore {
    type Error = WitnessError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        let found = self.witness.account(self.root, address)?;
        Ok(found.map(|(account, storage_root)| account.into_info(None, self.account_id(&storage_root))))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        if hash == Account::EMPTY.code_hash {
            return Ok(Bytecode::default());
        }
        self.codes.get(&hash).cloned().ok_or(WitnessError::Code(hash))
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, WitnessError> {
        let Some((_, storage_root)) = self.witness.account(self.root, address)? else {
            return Ok(U256::ZERO);
        };
        self.witness.slot(address, storage_root, key)
    }

    fn storage_by_account_id_ref(
        &self,
        address: Address,
        id: AccountId,
        key: U256,
    ) -> Result<U256, WitnessError> {
        let position = match id.get() {
            NO_STORAGE => return Ok(U256::ZERO),
            id => id - 1,
        };
        match self.witness.hash_at(position) {
            Some(storage_root) => self.witness.slot(address, storage_root, key),
            None => self.storage_ref(address, key),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, WitnessError> {
        self.block_hashes.get(&number).copied().ok_or(WitnessError::BlockHash(number))
    }
}
