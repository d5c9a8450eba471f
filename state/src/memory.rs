//! The multi-version memory: what the transactions of a block read and write before they are final.
//!
//! Owns the versions of every location, who read which slot, and what the base said, so that those
//! who run ahead ask it once. Promises that a reader sees the newest version before it, or is told whom to
//! await; and that who publishes learns whose reads that breaks. Nothing here is ever believed: a
//! wrong version costs a run, never an outcome.
//!
//! Locations are spread over shards with a lock each. No two are held at once, and none while the
//! base is read.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use alloy_primitives::{
    Address, B256, U256,
    map::{B256Map, HashMap},
};
use hashbrown::{HashTable, hash_table::Entry};
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::{
    Account, Base, Record, TxIndex, Version,
    cell::{AccountCell, Exact, Found, SlotCell},
    index::{Incarnation, Moment},
    record::{AccountRecord, BalanceEffect, Fate, Origin, SlotRecord},
    shards::{SHARD_BITS, SHARDS, Shards},
    sync::{AtomicBool, AtomicU32, Mutex, Ordering},
};

/// How many places a shard keeps between blocks, unless the last block needed more.
const ROOM_TO_KEEP: usize = 1 << 10;

/// The multi-version memory of one block.
#[derive(Default)]
pub struct Memory {
    accounts: Shards<AccountShard>,
    slots: Shards<SlotShard>,
    codes: Mutex<B256Map<Bytecode>>,
    block_hashes: Mutex<HashMap<u64, B256>>,
    /// Whether any life began or ended in this block: if none did, slots need not ask.
    has_lives: AtomicBool,
    frontier: AtomicU32,
    /// Whether nobody runs ahead, so that nobody would find here what is remembered.
    is_alone: AtomicBool,
    sight: Sight,
    /// Its balance is not kept up: nearly every transaction adds to it, and hardly one looks.
    coinbase: Address,
}

#[derive(Debug, Default)]
struct AccountShard {
    places: HashTable<(Address, u32)>,
    cells: Vec<AccountCell>,
}

type SlotShard = HashTable<(SlotKey, SlotCell)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SlotKey {
    account: AccountId,
    key: U256,
}

impl Hash for SlotKey {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_usize(self.account.get());
        self.key.as_limbs().iter().for_each(|limb| hasher.write_u64(*limb));
    }
}

/// What an account is for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRead {
    /// What the memory calls it.
    pub id: AccountId,
    /// What the base calls it.
    pub base_id: Option<AccountId>,
    /// The account, if it exists.
    pub info: Option<AccountInfo>,
}

/// What a slot holds for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRead {
    /// A value, and where it comes from.
    Value(U256, Origin),
    /// This transaction is expected to write it, and did not yet.
    Awaits(TxIndex),
}

/// What transactions see of each other before they are final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// What they publish.
    #[default]
    Clear,
    /// Nothing: for tests of what they observe, which has to hold whatever they see.
    Blindfolded,
}

/// Who may read what the gate remembers and publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Nobody runs ahead, and nobody is about to.
    Nobody,
    /// Somebody does, or may.
    Somebody,
}

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// What happens before the transactions.
    Opening,
    /// A run of a transaction.
    Run(Version),
}

impl Writer {
    fn parts(self) -> (Moment, Incarnation) {
        match self {
            Self::Opening => (Moment::OPENING, Incarnation::FIRST),
            Self::Run(version) => (version.index.into(), version.incarnation),
        }
    }
}

impl Memory {
    /// Makes an empty memory ready for a block whose fees go to `coinbase`.
    pub fn open(&mut self, coinbase: Address, sight: Sight) {
        self.coinbase = coinbase;
        self.sight = sight;
    }

    /// Forgets everything. Room is kept as far as the last block needed it.
    pub fn reset(&mut self) {
        let Self { accounts, slots, .. } = self;
        for AccountShard { places, cells } in accounts.iter_mut() {
            let room = cells.len().max(ROOM_TO_KEEP);
            cells.clear();
            cells.shrink_to(room);
            places.clear();
            // What is empty is not hashed again.
            places.shrink_to(room, |_| 0);
        }
        for cells in slots.iter_mut() {
            let room = cells.len().max(ROOM_TO_KEEP);
            cells.clear();
            cells.shrink_to(room, |_| 0);
        }
        self.codes.get_mut().clear();
        self.block_hashes.get_mut().clear();
        // ORDER: Relaxed in all: nobody else has the memory.
        self.has_lives.store(false, Ordering::Relaxed);
        self.frontier.store(0, Ordering::Relaxed);
        self.is_alone.store(false, Ordering::Relaxed);
    }

    /// Where the fees go.
    pub fn coinbase(&self) -> Address {
        self.coinbase
    }

    /// All transactions before this one are final: nobody reads between them any more.
    pub fn advance(&self, frontier: TxIndex) {
        // ORDER: Relaxed: a reader that sees an older frontier keeps more than it needs to.
        self.frontier.store(Moment::from(frontier).get(), Ordering::Relaxed);
    }

    /// Says who reads what the gate remembers from now on.
    pub fn set_audience(&self, audience: Audience) {
        // ORDER: Relaxed: only the gate looks at it.
        self.is_alone.store(audience == Audience::Nobody, Ordering::Relaxed);
    }

    /// An account as it seems to be just before `reader`.
    ///
    /// # Errors
    ///
    /// If the base cannot be read.
    #[inline]
    pub fn account<B: Base>(
        &self,
        base: &B,
        address: Address,
        reader: TxIndex,
    ) -> Result<AccountRead, B::Error> {
        self.look_up(base, address, |id, cell| AccountRead {
            id,
            base_id: cell.base_id,
            info: cell.before(reader.into()).cloned(),
        })
    }

    /// `reader` needs something of an account exactly as it saw it.
    pub(crate) fn need(&self, id: AccountId, reader: TxIndex, exact: Exact) {
        let frontier = self.frontier();
        self.with_cell(id, |cell| cell.need(reader, exact, frontier));
    }

    /// What `reader` sees of a slot; it is remembered as a reader. `ask` asks the base.
    ///
    /// # Errors
    ///
    /// If `ask` fails.
    #[inline]
    pub fn slot<E>(
        &self,
        account: AccountId,
        key: U256,
        reader: TxIndex,
        ask: impl FnOnce() -> Result<U256, E>,
    ) -> Result<SlotRead, E> {
        let (life, frontier) = (self.life(account, reader.into()), self.frontier());
        let read = |cell: &mut SlotCell| cell.read(reader, life, frontier);
        let slot = SlotKey { account, key };
        let hash = self.slots.hash(&slot);
        let mut found = self.with_slot(hash, &slot, read).unwrap_or(Found::AskBase);
        if found == Found::AskBase {
            let value = ask()?;
            found = self.with_new_slot(hash, slot, |cell| {
                cell.base.get_or_insert(value);
                read(cell)
            });
        }
        match found {
            Found::Value(value, origin) => Ok(SlotRead::Value(value, origin)),
            Found::Awaited(index) => Ok(SlotRead::Awaits(index)),
            Found::AskBase => unreachable!("the base was asked"),
        }
    }

    /// Puts the effects of a run in place of what an earlier run of the same transaction left, and
    /// tells who read what is no longer so. The earlier run's effects that the new one does not
    /// have are taken away: `before` is its record. What accounts without code pay and are paid is
    /// left out: nearly every transaction changes some, and hardly any looks at one exactly.
    pub fn publish(
        &self,
        writer: Writer,
        record: &Record,
        before: Option<&Record>,
        stale: &mut Vec<TxIndex>,
    ) {
        if self.sight == Sight::Blindfolded {
            return;
        }
        let (moment, incarnation) = writer.parts();
        for account in &record.accounts {
            self.publish_account(moment, incarnation, account, stale);
        }
        for SlotRecord { account, key, value, .. } in &record.writes {
            let slot = SlotKey { account: id_of(&record.accounts[*account as usize]), key: *key };
            let publish = |cell: &mut SlotCell| cell.publish(moment, incarnation, *value, stale);
            self.with_new_slot(self.slots.hash(&slot), slot, publish);
        }
        if let Some(before) = before {
            self.withdraw(moment, incarnation, before, stale);
        }
    }

    /// A run is stale: what it wrote into slots becomes a prediction that its transaction writes
    /// there again. What it did to accounts stays as a guess.
    pub fn predict(&self, version: Version, record: &Record) {
        for SlotRecord { account, key, .. } in &record.writes {
            let slot = SlotKey { account: id_of(&record.accounts[*account as usize]), key: *key };
            let predict = |cell: &mut SlotCell| cell.predict(version.index.into(), version.incarnation);
            self.with_slot(self.slots.hash(&slot), &slot, predict);
        }
    }

    fn withdraw(&self, moment: Moment, incarnation: Incarnation, before: &Record, stale: &mut Vec<TxIndex>) {
        let is_published = |account: &&AccountRecord| account.effect.is_some() && !account.is_payment_only();
        for account in before.accounts.iter().filter(is_published) {
            self.with_cell(id_of(account), |cell| cell.withdraw(moment, incarnation, stale));
        }
        for SlotRecord { account, key, .. } in &before.writes {
            let slot = SlotKey { account: id_of(&before.accounts[*account as usize]), key: *key };
            let withdraw = |cell: &mut SlotCell| cell.withdraw(moment, incarnation, stale);
            self.with_slot(self.slots.hash(&slot), &slot, withdraw);
        }
    }

    fn publish_account(
        &self,
        moment: Moment,
        incarnation: Incarnation,
        account: &AccountRecord,
        stale: &mut Vec<TxIndex>,
    ) {
        let Some(effect) = account.effect.as_ref().filter(|_| !account.is_payment_only()) else { return };
        let mut effect = effect.clone();
        if account.address == self.coinbase {
            effect.balance = BalanceEffect::Keep;
        }
        let is_life = effect.fate != Fate::Lives;
        let frontier = self.frontier();
        self.with_cell(id_of(account), |cell| cell.publish(moment, incarnation, effect, frontier, stale));
        if is_life {
            // ORDER: Release pairs with the Acquire in `life`: who sees the flag finds the life.
            self.has_lives.store(true, Ordering::Release);
        }
    }

    /// The name of an account that somebody else asked the base for; `info` is what the base said.
    pub fn introduce(&self, address: Address, info: Option<AccountInfo>) -> AccountId {
        let hash = self.accounts.hash(&address);
        self.enter(hash, address, || AccountCell::new(info, None), |id, _| id)
    }

    /// Looks at the cell of an account, if anybody asked for it.
    #[inline]
    fn find<R>(&self, address: Address, look: impl FnOnce(AccountId, &AccountCell) -> R) -> Option<R> {
        self.find_hashed(self.accounts.hash(&address), address, look)
    }

    #[inline]
    fn find_hashed<R>(
        &self,
        hash: u64,
        address: Address,
        look: impl FnOnce(AccountId, &AccountCell) -> R,
    ) -> Option<R> {
        let number = Shards::<AccountShard>::number_of(hash);
        let shard = self.accounts.lock(number);
        let (_, place) = shard.places.find(hash, |(known, _)| *known == address)?;
        Some(look(account_id(*place, number), &shard.cells[*place as usize]))
    }

    /// A slot as the base has it, if anybody asked.
    fn base_slot(&self, account: AccountId, key: U256) -> Option<U256> {
        let slot = SlotKey { account, key };
        self.with_slot(self.slots.hash(&slot), &slot, |cell| cell.base).flatten()
    }

    /// Finds an account, asks the base for it the first time, and looks at its cell.
    #[inline]
    fn look_up<B: Base, R>(
        &self,
        base: &B,
        address: Address,
        look: impl Fn(AccountId, &AccountCell) -> R,
    ) -> Result<R, B::Error> {
        let hash = self.accounts.hash(&address);
        if let Some(found) = self.find_hashed(hash, address, &look) {
            return Ok(found);
        }
        let info = base.basic_ref(address)?;
        let base_id = info.as_ref().and_then(|info| info.account_id);
        let info = info.map(|info| AccountInfo {
            account_id: None,
            // revm takes a zero hash for some code when it looks for collisions.
            code_hash: Account::from(&info).code_hash,
            ..info
        });
        // Somebody else may have asked at the same time: whoever comes first has the word.
        Ok(self.enter(hash, address, || AccountCell::new(info, base_id), look))
    }

    /// Looks at the cell of an account, which is made if there is none.
    fn enter<R>(
        &self,
        hash: u64,
        address: Address,
        make: impl FnOnce() -> AccountCell,
        look: impl FnOnce(AccountId, &AccountCell) -> R,
    ) -> R {
        let number = Shards::<AccountShard>::number_of(hash);
        let mut shard = self.accounts.lock(number);
        let AccountShard { places, cells } = &mut *shard;
        let known =
            places.entry(hash, |(known, _)| *known == address, |(known, _)| self.accounts.hash(known));
        let place = match known {
            Entry::Occupied(known) => known.get().1,
            Entry::Vacant(vacant) => {
                let place =
                    u32::try_from(cells.len()).expect("a block reads fewer than 2^26 accounts of a shard");
                cells.push(make());
                vacant.insert((address, place));
                place
            }
        };
        look(account_id(place, number), &cells[place as usize])
    }

    /// When the life began that an account lives just before `reader`, if it began in this block.
    #[inline]
    fn life(&self, id: AccountId, reader: Moment) -> Option<Moment> {
        // ORDER: Acquire pairs with the Release in `publish_account`.
        if !self.has_lives.load(Ordering::Acquire) {
            return None;
        }
        self.with_cell(id, |cell| cell.life_before(reader))
    }

    #[inline]
    fn with_cell<R>(&self, id: AccountId, look: impl FnOnce(&mut AccountCell) -> R) -> R {
        let (place, number) = (id.get() >> SHARD_BITS, id.get() % SHARDS);
        look(&mut self.accounts.lock(number).cells[place])
    }

    /// Looks at a slot, if anybody did before.
    #[inline]
    fn with_slot<R>(&self, hash: u64, slot: &SlotKey, look: impl FnOnce(&mut SlotCell) -> R) -> Option<R> {
        let mut shard = self.slots.lock(Shards::<SlotShard>::number_of(hash));
        shard.find_mut(hash, |(known, _)| known == slot).map(|(_, cell)| look(cell))
    }

    /// Looks at a slot, whether anybody did before or not.
    #[inline]
    fn with_new_slot<R>(&self, hash: u64, slot: SlotKey, look: impl FnOnce(&mut SlotCell) -> R) -> R {
        let mut shard = self.slots.lock(Shards::<SlotShard>::number_of(hash));
        let known = shard.entry(hash, |(known, _)| *known == slot, |(known, _)| self.slots.hash(known));
        look(&mut known.or_insert_with(|| (slot, SlotCell::default())).into_mut().1)
    }

    #[inline]
    fn is_alone(&self) -> bool {
        // ORDER: Relaxed: see `set_audience`.
        self.is_alone.load(Ordering::Relaxed)
    }

    #[inline]
    fn frontier(&self) -> Moment {
        // ORDER: Relaxed, see `advance`.
        Moment::from_number(self.frontier.load(Ordering::Relaxed))
    }

    /// The code with this hash, from the base.
    pub(crate) fn code<B: Base>(&self, base: &B, hash: B256) -> Result<Bytecode, B::Error> {
        if let Some(code) = self.codes.lock().get(&hash) {
            return Ok(code.clone());
        }
        let code = base.code_by_hash_ref(hash)?;
        Ok(self.codes.lock().entry(hash).or_insert(code).clone())
    }

    /// The hash of an earlier block, from the base.
    pub(crate) fn block_hash<B: Base>(&self, base: &B, number: u64) -> Result<B256, B::Error> {
        if let Some(hash) = self.block_hashes.lock().get(&number) {
            return Ok(*hash);
        }
        let hash = base.block_hash_ref(number)?;
        Ok(*self.block_hashes.lock().entry(number).or_insert(hash))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

fn id_of(account: &AccountRecord) -> AccountId {
    account.id.expect("an account is introduced before it has effects")
}

fn account_id(place: u32, shard: usize) -> AccountId {
    AccountId::new((place as usize) << SHARD_BITS | shard)
        .expect("a block reads fewer than 2^26 accounts of a shard")
}

/// A base seen through a memory: what those who run ahead have asked for is not asked again. What
/// is asked for here is not remembered there, for the one reader that there is remembers it itself.
/// While nobody runs ahead the base alone is asked. Names of accounts are the memory's.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'m, B> {
    /// What remembers.
    pub memory: &'m Memory,
    /// What is asked.
    pub base: &'m B,
}

impl<B> Remembered<'_, B> {
    fn memory(&self) -> Option<&Memory> {
        (!self.memory.is_alone()).then_some(self.memory)
    }
}

impl<B: Base> revm_database_interface::DatabaseRef for Remembered<'_, B> {
    type Error = B::Error;

    #[inline]
    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        let base = |id, cell: &AccountCell| (id, cell.base().cloned());
        let (id, info) = match self.memory().and_then(|memory| memory.find(address, base)) {
            Some((id, info)) => (Some(id), info),
            None => (None, self.base.basic_ref(address)?),
        };
        Ok(info.map(|info| AccountInfo { account_id: id, ..info }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        self.memory.code(self.base, hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, B::Error> {
        let known = self.memory().and_then(|memory| {
            let id = memory.find(address, |id, _| id)?;
            memory.base_slot(id, key)
        });
        known.map_or_else(|| self.base.storage_ref(address, key), Ok)
    }

    #[inline]
    fn storage_by_account_id_ref(
        &self,
        address: Address,
        id: AccountId,
        key: U256,
    ) -> Result<U256, B::Error> {
        match self.memory().and_then(|memory| memory.base_slot(id, key)) {
            Some(known) => Ok(known),
            None => self.base.storage_ref(address, key),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        self.memory.block_hash(self.base, number)
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use revm_database_interface::DatabaseRef;

    use super::*;
    use crate::{Allocation, MemoryStore, MissingCode};

    const CONTRACT: Address = Address::with_last_byte(1);
    const KEY: U256 = U256::ZERO;

    /// A store that counts how often it is asked.
    struct Counted {
        store: MemoryStore,
        asked: AtomicUsize,
    }

    impl Counted {
        fn new() -> Self {
            let storage = [(KEY, U256::from(7))].into();
            let contract = Allocation { nonce: 1, storage, ..Allocation::default() };
            Self { store: MemoryStore::from_genesis([(CONTRACT, contract)]), asked: AtomicUsize::new(0) }
        }

        fn count(&self) -> &MemoryStore {
            self.asked.fetch_add(1, Ordering::Relaxed);
            &self.store
        }
    }

    impl DatabaseRef for Counted {
        type Error = MissingCode;

        fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
            self.count().basic_ref(address)
        }

        fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, MissingCode> {
            self.count().code_by_hash_ref(hash)
        }

        fn storage_ref(&self, address: Address, key: U256) -> Result<U256, MissingCode> {
            self.count().storage_ref(address, key)
        }

        fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
            self.count().block_hash_ref(number)
        }
    }

    fn read_at_gate(memory: &Memory, base: &Counted) {
        let remembered = Remembered { memory, base };
        assert!(remembered.basic_ref(CONTRACT).unwrap().is_some());
        assert_eq!(remembered.storage_ref(CONTRACT, KEY).unwrap(), U256::from(7));
        remembered.block_hash_ref(5).unwrap();
    }

    fn read_ahead(memory: &Memory, base: &Counted) {
        let reader = TxIndex::new(3);
        let AccountRead { id, .. } = memory.account(base, CONTRACT, reader).unwrap();
        let slot = memory.slot(id, KEY, reader, || base.storage_ref(CONTRACT, KEY)).unwrap();
        assert_eq!(slot, SlotRead::Value(U256::from(7), Origin::Base));
        memory.block_hash(base, 5).unwrap();
    }

    #[test]
    fn who_runs_ahead_asks_the_base_once_and_spares_the_gate_the_question() {
        let (ahead_first, gate_first) = ([read_ahead, read_at_gate], [read_at_gate, read_ahead]);
        // Of what the gate asked for first only the hash of a block is remembered.
        for (order, questions) in [(ahead_first, 3), (gate_first, 3 + 2)] {
            let (base, memory) = (Counted::new(), Memory::default());
            order.iter().chain(&order).for_each(|read| read(&memory, &base));
            assert_eq!(base.asked.into_inner(), questions, "an account, a slot and a hash");
        }
    }

    #[test]
    fn a_memory_that_was_reset_knows_nothing() {
        let (base, mut memory) = (Counted::new(), Memory::default());
        read_ahead(&memory, &base);
        memory.reset();
        read_ahead(&memory, &base);
        assert_eq!(base.asked.load(Ordering::Relaxed), 6, "asked again");
    }

    #[test]
    fn what_a_large_block_leaves_behind_is_freed_after_a_small_one() {
        let (base, mut memory) = (Counted::new(), Memory::default());
        for number in 0..200_000u64 {
            let address = Address::from_word(U256::from(number).into());
            memory.account(&base, address, TxIndex::new(0)).unwrap();
        }
        let room = |memory: &mut Memory| -> usize {
            memory.accounts.iter_mut().map(|shard| shard.cells.capacity()).sum()
        };
        memory.reset();
        memory.reset();
        assert!(room(&mut memory) <= SHARDS * ROOM_TO_KEEP, "{} cells", room(&mut memory));
    }
}
