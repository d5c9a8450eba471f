//! A base with changes on top that it does not have yet.
//!
//! A stream of blocks executes on the state after blocks that the store is still taking over. Each layer has what some
//! consecutive blocks left, also where a later one restored an earlier value. So a store may take the blocks over one by
//! one meanwhile: what it knows of a location that they changed is never asked for.

use std::{fmt, sync::Arc};

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, B256Map, U256Map},
};
use revm_database_interface::DatabaseRef;
use revm_state::{AccountId, AccountInfo, Bytecode};

use crate::model::{
    account::Account,
    base::Base,
    changes::{AccountChange, Changes, Life},
};

/// What consecutive blocks left at the locations that they changed.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    accounts: AddressMap<LayerAccount>,
    codes: B256Map<Bytecode>,
    /// The numbers and hashes of the blocks.
    block_hashes: Vec<(u64, B256)>,
}

/// What the blocks of a layer left of an account.
#[derive(Clone, Debug, Default)]
struct LayerAccount {
    account: Option<Account>,
    /// Whether slots that are not listed are those of the state before the layer; otherwise they are empty.
    keeps_slots: bool,
    slots: U256Map<U256>,
}

impl Layer {
    /// Adds the next block, with its hash.
    pub fn add(&mut self, changes: &Changes, number: u64, hash: B256) {
        for (address, change) in &changes.accounts {
            let new = || LayerAccount { keeps_slots: true, ..LayerAccount::default() };
            self.accounts.entry(*address).or_insert_with(new).apply(change);
        }
        self.codes.extend(changes.codes.iter().map(|(hash, code)| (*hash, code.clone())));
        self.block_hashes.push((number, hash));
    }

    /// The number of the last block; `None` if there is none.
    pub fn last_block(&self) -> Option<u64> {
        self.block_hashes.last().map(|(number, _)| *number)
    }
}

impl LayerAccount {
    fn apply(&mut self, AccountChange { account, life, slots }: &AccountChange) {
        self.account = account.after;
        // The storage of an account that was not there, or is gone, is empty.
        if *life == Life::New || account.before.is_none() || account.after.is_none() {
            self.keeps_slots = false;
            self.slots.clear();
        }
        if account.after.is_some() {
            self.slots.extend(slots.iter().map(|(key, slot)| (*key, slot.after)));
        }
    }
}

/// A base, and layers on top of it, the earliest first.
#[derive(Clone)]
pub struct Layered<'b, B: ?Sized> {
    base: &'b B,
    layers: Vec<Arc<Layer>>,
}

impl<'b, B: Base + ?Sized> Layered<'b, B> {
    /// `base` with these layers on top, the earliest first.
    pub fn new(base: &'b B, layers: impl IntoIterator<Item = Arc<Layer>>) -> Self {
        Self { base, layers: layers.into_iter().collect() }
    }

    /// What the layers left of an account, the latest first.
    fn accounts(&self, address: Address) -> impl Iterator<Item = &LayerAccount> {
        self.layers.iter().rev().filter_map(move |layer| layer.accounts.get(&address))
    }

    /// A code that one of the layers brought.
    fn new_code(&self, hash: B256) -> Option<&Bytecode> {
        self.layers.iter().rev().find_map(|layer| layer.codes.get(&hash))
    }

    /// The account, with its code if that can be read with the account only.
    fn info(&self, address: Address, account: Account) -> Result<AccountInfo, B::Error> {
        let mut code = self.new_code(account.code_hash).cloned();
        if code.is_none() && account.has_code() {
            let of_base = self.base.basic_ref(address)?;
            code = of_base.filter(|info| info.code_hash == account.code_hash).and_then(|info| info.code);
        }
        Ok(account.into_info(code, None))
    }
}

impl<B: Base + ?Sized> DatabaseRef for Layered<'_, B> {
    type Error = B::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, B::Error> {
        match self.accounts(address).next() {
            Some(latest) => latest.account.map(|account| self.info(address, account)).transpose(),
            None => self.base.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, B::Error> {
        self.new_code(hash).map_or_else(|| self.base.code_by_hash_ref(hash), |code| Ok(code.clone()))
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, B::Error> {
        for LayerAccount { keeps_slots, slots, .. } in self.accounts(address) {
            match slots.get(&key) {
                Some(value) => return Ok(*value),
                None if !keeps_slots => return Ok(U256::ZERO),
                None => {}
            }
        }
        self.base.storage_ref(address, key)
    }

    fn storage_by_account_id_ref(
        &self,
        address: Address,
        id: AccountId,
        key: U256,
    ) -> Result<U256, B::Error> {
        // Only accounts that no layer has come with an id.
        self.base.storage_by_account_id_ref(address, id, key)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, B::Error> {
        let hashes = self.layers.iter().rev().flat_map(|layer| &layer.block_hashes);
        let known = hashes.into_iter().find(|(of, _)| *of == number);
        known.map_or_else(|| self.base.block_hash_ref(number), |(_, hash)| Ok(*hash))
    }
}

impl<B: ?Sized> fmt::Debug for Layered<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{allocation::Allocation, changes::Change},
        stores::memory::MemoryStore,
    };

    const ACCOUNT: Address = Address::with_last_byte(1);
    const OTHER: Address = Address::with_last_byte(2);

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    fn account(balance: u64) -> Option<Account> {
        Some(Account { balance: word(balance), ..Account::EMPTY })
    }

    /// A layer that changes an account and its slots.
    fn layer(
        account: (Option<Account>, Option<Account>),
        life: Life,
        slots: &[(u64, u64, u64)],
    ) -> Arc<Layer> {
        let (before, after) = account;
        let slot = |(key, before, after): &(u64, u64, u64)| {
            (word(*key), Change { before: word(*before), after: word(*after) })
        };
        let change = AccountChange {
            account: Change { before, after },
            life,
            slots: slots.iter().map(slot).collect(),
        };
        layer_of([&Changes { accounts: [(ACCOUNT, change)].into_iter().collect(), ..Changes::default() }])
    }

    /// A layer of blocks with these changes, from block 8 on.
    fn layer_of<'c>(changes: impl IntoIterator<Item = &'c Changes>) -> Arc<Layer> {
        let mut layer = Layer::default();
        for (number, changes) in (8..).zip(changes) {
            layer.add(changes, number, B256::repeat_byte(number as u8));
        }
        Arc::new(layer)
    }

    fn base() -> MemoryStore {
        let storage = [(word(1), word(10)), (word(2), word(20))].into();
        let allocation = Allocation { balance: word(5), storage, ..Allocation::default() };
        MemoryStore::from_genesis([(ACCOUNT, allocation.clone()), (OTHER, allocation)])
    }

    /// The balance of the account, and its slots 1, 2 and 3.
    fn seen(base: &MemoryStore, layers: Vec<Arc<Layer>>) -> (Option<u64>, [u64; 3]) {
        let layered = Layered::new(base, layers);
        let info = layered.basic_ref(ACCOUNT).unwrap();
        let slot = |key| layered.storage_ref(ACCOUNT, word(key)).unwrap().to();
        (info.map(|info| info.balance.to()), [1, 2, 3].map(slot))
    }

    #[test]
    fn a_layer_hides_what_was_there_before() {
        let base = base();
        let writes = layer((account(5), account(6)), Life::Same, &[(1, 10, 11), (3, 0, 33)]);
        let dies = layer((account(6), None), Life::New, &[]);
        let is_born = layer((None, account(7)), Life::Same, &[(2, 0, 22)]);
        let lives_on = layer((account(7), account(8)), Life::Same, &[]);
        let revives = layer((account(6), account(9)), Life::New, &[(3, 0, 34)]);
        assert_eq!(seen(&base, vec![]), (Some(5), [10, 20, 0]));
        assert_eq!(seen(&base, vec![writes.clone()]), (Some(6), [11, 20, 33]));
        assert_eq!(seen(&base, vec![writes.clone(), dies.clone()]), (None, [0, 0, 0]));
        let layers = vec![writes.clone(), dies, is_born, lives_on];
        assert_eq!(seen(&base, layers), (Some(8), [0, 22, 0]));
        assert_eq!(seen(&base, vec![writes, revives]), (Some(9), [0, 0, 34]));
    }

    #[test]
    fn what_no_layer_has_is_the_bases() {
        let mut base = base();
        base.set_block_hash(7, Some(B256::repeat_byte(7)));
        let layer = layer_of([&Changes::default()]);
        assert_eq!(layer.last_block(), Some(8));
        let layered = Layered::new(&base, [layer]);
        assert_eq!(layered.basic_ref(OTHER).unwrap().unwrap().balance, word(5));
        assert_eq!(layered.storage_ref(OTHER, word(1)).unwrap(), word(10));
        let hashes = [7, 8, 9].map(|number| layered.block_hash_ref(number).unwrap());
        assert_eq!(hashes, [B256::repeat_byte(7), B256::repeat_byte(8), B256::ZERO]);
    }

    #[test]
    fn a_code_is_found_by_its_hash_in_a_layer_or_in_the_base() {
        let mut base = base();
        let code = |byte: u8| Bytecode::new_raw([byte].into());
        let of_base = base.insert_code([1].into());
        let mut changes = Changes::default();
        changes.codes.insert(code(2).hash_slow(), code(2));
        let layered = Layered::new(&base, [layer_of([&changes])]);
        assert_eq!(layered.code_by_hash_ref(of_base).unwrap(), code(1));
        assert_eq!(layered.code_by_hash_ref(code(2).hash_slow()).unwrap(), code(2));
        assert!(layered.code_by_hash_ref(code(3).hash_slow()).is_err());
    }

    #[test]
    fn a_base_may_take_the_blocks_of_a_layer_over_one_by_one() {
        let mut base = base();
        let change = |account, life, slots: &[(u64, u64, u64)]| {
            let (before, after) = account;
            let slot = |(key, before, after): &(u64, u64, u64)| {
                (word(*key), Change { before: word(*before), after: word(*after) })
            };
            let slots = slots.iter().map(slot).collect();
            let change = AccountChange { account: Change { before, after }, life, slots };
            Changes { accounts: [(ACCOUNT, change)].into_iter().collect(), ..Changes::default() }
        };
        // The second block restores the balance and slot 1; the others end the account and begin it again.
        let blocks = [
            change((account(5), account(6)), Life::Same, &[(1, 10, 11)]),
            change((account(6), account(5)), Life::Same, &[(1, 11, 10), (3, 0, 33)]),
            change((account(5), None), Life::New, &[]),
            change((None, account(5)), Life::Same, &[(2, 0, 20)]),
        ];
        for (count, expected) in
            [(2, (Some(5), [10, 20, 33])), (3, (None, [0; 3])), (4, (Some(5), [0, 20, 0]))]
        {
            let (layer, mut base) = (layer_of(&blocks[..count]), base.clone());
            assert_eq!(seen(&base, vec![layer.clone()]), expected);
            for block in &blocks[..count] {
                base.apply(block).unwrap();
                assert_eq!(seen(&base, vec![layer.clone()]), expected);
            }
        }
        base.apply(&blocks[0]).unwrap();
        assert_eq!(seen(&base, vec![]), (Some(6), [11, 20, 0]), "without the layer it shows");
    }
}
