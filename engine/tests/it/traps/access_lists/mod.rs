//! Block access lists (EIP-7928): what execution produces, however it ran, and what a provided list does.

mod accounts;
mod block;
mod provided;
mod slots;
mod wrong_hints;

use alloy_eips::eip7928::BlockAccessIndex;
use alloy_primitives::Address;

use super::scenario::After;

/// The entries of a list for one account, in small numbers: pairs of block access index and new value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Listed {
    reads: Vec<u64>,
    writes: Vec<(u64, Vec<(u64, u64)>)>,
    balances: Vec<(u64, u64)>,
    nonces: Vec<(u64, u64)>,
    codes: Vec<(u64, Vec<u8>)>,
}

impl Listed {
    /// The account was accessed and not changed.
    fn untouched() -> Self {
        Self::default()
    }

    fn reading(reads: &[u64]) -> Self {
        Self { reads: reads.to_vec(), ..Self::default() }
    }
}

impl After {
    /// The entries of the block's access list for an account, if it is listed.
    fn listed(&self, address: Address) -> Option<Listed> {
        let list = self.outcome.access_list.as_ref().expect("the configuration asks for a list");
        let position = list.binary_search_by_key(&address, |account| account.address).ok()?;
        let account = &list[position];
        let at = |index: BlockAccessIndex| index.get();
        let slots = account.storage_changes.iter().map(|slot| {
            let changes = slot.changes.iter();
            let changes = changes.map(|change| (at(change.block_access_index), change.new_value.to()));
            (slot.slot.to(), changes.collect())
        });
        let balances = account.balance_changes.iter();
        let nonces = account.nonce_changes.iter();
        let codes = account.code_changes.iter();
        Some(Listed {
            reads: account.storage_reads.iter().map(|key| key.to()).collect(),
            writes: slots.collect(),
            balances: balances
                .map(|change| (at(change.block_access_index), change.post_balance.to()))
                .collect(),
            nonces: nonces.map(|change| (at(change.block_access_index), change.new_nonce)).collect(),
            codes: codes.map(|change| (at(change.block_access_index), change.new_code.to_vec())).collect(),
        })
    }

    /// The block access index of the steps after the transactions.
    fn end(&self) -> u64 {
        self.outcome.receipts.len() as u64 + 1
    }
}

/// The block access index of a transaction.
fn at(position: usize) -> u64 {
    position as u64 + 1
}
