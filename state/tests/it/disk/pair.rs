//! A store on disk beside a store in memory, and the blocks for both, written as lists of edits.

use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use blockloom_state::{
    Accesses, Account, AccountChange, Allocation, Change, Changes, DiskConfig, DiskStore, Genesis, Life,
    MemoryStore, NewBlock,
};

/// One edit of one account.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Sets the balance; the account exists afterwards.
    Pay(u8, u64),
    /// Sets the code.
    Deploy(u8, u8),
    /// Sets a slot; zero clears it.
    Write(u8, u8, u64),
    /// Removes the account and its storage.
    Destroy(u8),
    /// Destroys the account and creates it again with empty storage.
    Recreate(u8),
}

/// A store on disk, and a store in memory with the expected content.
pub(crate) struct StorePair {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: DiskConfig,
    pub(crate) disk: DiskStore,
    pub(crate) memory: MemoryStore,
    /// The state before each block.
    pub(crate) history: Vec<MemoryStore>,
}

pub(crate) fn address(byte: u8) -> Address {
    Address::with_last_byte(byte)
}

pub(crate) fn word(value: u64) -> U256 {
    U256::from(value)
}

/// A configuration with a small cache, so that reads reach the files.
pub(crate) fn config(blocks_per_write: u64) -> DiskConfig {
    DiskConfig {
        cache_bytes: 1 << 16,
        undo_blocks: 256,
        kept_blocks: None,
        blocks_per_write: NonZeroU64::new(blocks_per_write).unwrap(),
    }
}

/// The genesis state.
pub(crate) fn allocations() -> Vec<(Address, Allocation)> {
    let allocation = |byte: u8| Allocation {
        balance: word(1000 + u64::from(byte)),
        nonce: u64::from(byte % 3),
        code: if byte.is_multiple_of(4) { Bytes::from(vec![0, byte]) } else { Bytes::new() },
        storage: (0..u64::from(byte % 7)).map(|key| (word(key), word(key * 11 + 1))).collect(),
    };
    (1..=30).map(|byte| (address(byte), allocation(byte))).collect()
}

pub(crate) fn block(number: u64) -> NewBlock {
    let encoded = Bytes::from(vec![number as u8; 40]);
    NewBlock { number, hash: keccak256(number.to_be_bytes()), note: Bytes::from(vec![7; 3]), encoded }
}

impl StorePair {
    pub(crate) fn new(config: DiskConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut genesis = Genesis::begin(folder.path(), config).unwrap();
        for (address, allocation) in allocations() {
            genesis.add(address, allocation).unwrap();
        }
        let memory = MemoryStore::from_genesis(allocations());
        assert_eq!(genesis.root().unwrap(), memory.root());
        let disk = genesis.finish(block(0)).unwrap();
        Self { folder, config, disk, memory, history: Vec::new() }
    }

    /// Compares the witnesses of a block that reads some slots of the accounts that it edits, and other accounts.
    fn compare_witnesses(&self, edits: &[Edit], changes: &Changes) {
        let mut accesses = Accesses::default();
        for (number, edit) in edits.iter().enumerate() {
            let (Edit::Pay(byte, _) | Edit::Write(byte, ..) | Edit::Destroy(byte)) = edit else { continue };
            let slots = (0..number as u64 % 4).map(|slot| word(slot * 3));
            accesses.accounts.entry(address(*byte)).or_default().extend(slots);
            accesses.accounts.entry(address(byte.wrapping_add(50))).or_default();
        }
        let [disk, memory] = [
            self.disk.witness(&accesses, changes).unwrap(),
            self.memory.witness(&accesses, changes).unwrap(),
        ];
        assert_eq!(disk, memory, "block {}", self.history.len() + 1);
    }

    /// Adds a block to both stores, and compares their roots.
    pub(crate) fn add(&mut self, edits: &[Edit]) {
        let changes = changes(&self.memory, edits);
        self.compare_witnesses(edits, &changes);
        let staged = self.disk.stage(&changes).unwrap();
        self.history.push(self.memory.clone());
        self.memory.apply(&changes).unwrap();
        assert_eq!(staged.root(), self.memory.root(), "block {}", self.history.len());
        self.disk.commit(staged, block(self.history.len() as u64)).unwrap();
        assert_eq!(self.disk.head().number, self.history.len() as u64);
    }

    /// Undoes blocks in both stores.
    pub(crate) fn revert(&mut self, blocks: usize) {
        let left = self.history.len() - blocks;
        if let Some(memory) = self.history.drain(left..).next() {
            self.memory = memory;
        }
        self.disk.revert_to(left as u64).unwrap();
        assert_eq!(self.disk.head().root, self.memory.root());
    }

    /// Closes the store on disk and opens it again.
    pub(crate) fn reopen(self) -> Self {
        let Self { folder, config, disk, memory, history } = self;
        disk.flush().unwrap();
        let head = disk.head();
        drop(disk);
        let disk = DiskStore::open(folder.path(), config).unwrap();
        assert_eq!(disk.head(), head);
        Self { folder, config, disk, memory, history }
    }

    /// Compares each account and slot that may exist, and verifies the store on disk.
    pub(crate) fn compare(&self) {
        use revm_database_interface::DatabaseRef;
        for byte in 0..=u8::MAX {
            let stored = self.memory.account(&address(byte));
            let found = self.disk.basic_ref(address(byte)).unwrap();
            assert_eq!(
                found.as_ref().map(Account::from),
                stored.map(|stored| stored.account),
                "account {byte}"
            );
            if let Some(info) = found {
                let code = self.disk.code_by_hash_ref(info.code_hash).unwrap();
                assert_eq!(code, self.memory.code_by_hash_ref(info.code_hash).unwrap());
            }
            for key in (0..40).map(word) {
                let held = stored.and_then(|stored| stored.slots.get(&key)).copied().unwrap_or_default();
                assert_eq!(self.disk.storage_ref(address(byte), key).unwrap(), held, "slot {key} of {byte}");
            }
        }
        let verified = self.disk.verify().unwrap();
        assert_eq!(verified.accounts, self.memory.accounts().count() as u64);
        assert_eq!(
            verified.slots,
            self.memory.accounts().map(|(_, stored)| stored.slots.len() as u64).sum::<u64>()
        );
    }
}

/// The changes of the edits, applied in order.
pub(crate) fn changes(memory: &MemoryStore, edits: &[Edit]) -> Changes {
    let mut changes = Changes::default();
    for edit in edits {
        let (Edit::Pay(byte, _)
        | Edit::Deploy(byte, _)
        | Edit::Write(byte, ..)
        | Edit::Destroy(byte)
        | Edit::Recreate(byte)) = *edit;
        let stored = memory.account(&address(byte));
        let before = stored.map(|stored| stored.account);
        let untouched =
            AccountChange { account: Change { before, after: before }, ..AccountChange::default() };
        let change = changes.accounts.entry(address(byte)).or_insert(untouched);
        match *edit {
            Edit::Pay(_, wei) => {
                let account = change.account.after.unwrap_or_default();
                change.account.after = Some(Account { balance: word(wei), ..account });
            }
            Edit::Deploy(_, code) => {
                let code = revm_state::Bytecode::new_legacy(Bytes::from(vec![0, code, 1]));
                let account = change.account.after.unwrap_or_default();
                let code_hash = code.hash_slow();
                change.account.after = Some(Account { code_hash, nonce: 1, ..account });
                changes.codes.insert(code_hash, code);
            }
            Edit::Write(_, key, value) => {
                change.account.after.get_or_insert_default();
                let held = stored.filter(|_| change.life == Life::Same);
                let held =
                    held.and_then(|stored| stored.slots.get(&word(key.into()))).copied().unwrap_or_default();
                let slot =
                    change.slots.entry(word(key.into())).or_insert(Change { before: held, after: held });
                slot.after = word(value);
            }
            Edit::Destroy(_) | Edit::Recreate(_) => {
                change.slots.clear();
                change.life = if before.is_some() { Life::New } else { Life::Same };
                let exists = matches!(edit, Edit::Recreate(_));
                change.account.after = exists.then_some(Account { nonce: 1, ..Account::EMPTY });
            }
        }
    }
    changes.accounts.retain(|_, change| change.is_change());
    changes
}

/// The state root at the head of a store.
#[must_use]
pub(crate) fn root_of(store: &DiskStore) -> B256 {
    store.head().root
}
