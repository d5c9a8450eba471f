//! Splits a block into consecutive ones, so that there are streams of real transactions wherever there is a block.
//!
//! Promises that the parts leave the state that the whole block leaves, and have its receipts, apart from the gas that
//! earlier parts used.

use std::num::NonZeroUsize;

use blockloom_engine::{Block, Frame, GivenList, Outcome, Receipt};
use blockloom_state::Changes;

/// A block as consecutive ones under its environment, each with as many of its transactions as the others, give or
/// take one; fewer than `parts` if it has fewer transactions.
///
/// Only the first part is opened, and only the last one is closed: it has the ommers and the withdrawals. No part has
/// the block's access list, whose indices are those of the whole block.
pub fn split(block: &Block, parts: NonZeroUsize) -> Vec<Block> {
    let transactions = &block.transactions;
    let parts = parts.get().min(transactions.len()).max(1);
    let start = |part: usize| part * transactions.len() / parts;
    let part = |number: usize| {
        let (is_first, is_last) = (number == 0, number + 1 == parts);
        let frame = match (is_first && block.frame.has_opening(), is_last && block.frame.has_closing()) {
            (true, true) => Frame::Full,
            (true, false) => Frame::WithoutClosing,
            (false, true) => Frame::WithoutOpening,
            (false, false) => Frame::TransactionsOnly,
        };
        Block {
            rules: block.rules.clone(),
            env: block.env.clone(),
            parent_hash: block.parent_hash,
            parent_beacon_root: block.parent_beacon_root,
            transactions: transactions[start(number)..start(number + 1)].to_vec(),
            ommers: if is_last { block.ommers.clone() } else { Vec::new() },
            withdrawals: block.withdrawals.as_ref().map(|all| if is_last { all.clone() } else { Vec::new() }),
            frame,
            list: GivenList::Nothing,
        }
    };
    (0..parts).map(part).collect()
}

/// The first difference between the outcome of a block and what its parts yield: their outcomes, and the changes of all
/// of them.
pub fn difference_of_parts(whole: &Outcome, parts: &[Outcome], changes: &Changes) -> Option<String> {
    if let Some(mismatch) = whole.changes.first_difference(changes) {
        return Some(mismatch.to_string());
    }
    let mut gas_before = 0;
    let joined = parts.iter().flat_map(|part| {
        let before = gas_before;
        gas_before += part.receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used);
        part.receipts.iter().map(move |receipt| Receipt {
            cumulative_gas_used: before + receipt.cumulative_gas_used,
            ..receipt.clone()
        })
    });
    let is_same = joined.eq(whole.receipts.iter().cloned());
    (!is_same).then(|| "the receipts or the gas differ".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{ops::ControlFlow, slice::from_ref};

    use alloy_consensus::Header;
    use alloy_eips::eip4895::Withdrawal;
    use alloy_hardforks::EthereumHardfork::{self, Cancun, Frontier};
    use alloy_primitives::{Address, B256};
    use blockloom_engine::{Config, Engine, Rules};
    use blockloom_state::MemoryStore;

    use super::*;
    use crate::workloads::{Kind, Recipe, Shape, Workload};

    fn parts(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    /// A block with everything around its transactions, and the state before it.
    fn full_block(fork: EthereumHardfork) -> (MemoryStore, Block) {
        let Workload { base, block } = Recipe::new(Kind::Transfers, Shape::Chain, 230_000).prepare();
        let header = Header {
            number: 7,
            gas_limit: 30_000_000,
            beneficiary: Address::repeat_byte(0xbe),
            parent_beacon_block_root: Some(B256::repeat_byte(4)),
            excess_blob_gas: Some(0),
            ..Header::default()
        };
        let mut block = Block {
            transactions: block.transactions,
            ommers: vec![Header { number: 6, beneficiary: Address::repeat_byte(0x0e), ..Header::default() }],
            ..Block::without_body(Rules::mainnet(fork), &header)
        };
        for transaction in &mut block.transactions {
            transaction.env.tx_type = 0;
            transaction.env.gas_priority_fee = None;
            transaction.env.chain_id = None;
        }
        if let Some(withdrawals) = &mut block.withdrawals {
            let address = Address::repeat_byte(0xaa);
            withdrawals.push(Withdrawal { index: 1, validator_index: 2, address, amount: 3 });
            block.ommers.clear();
        }
        (base, block)
    }

    #[test]
    fn each_part_has_its_share_and_only_the_ends_have_what_is_around_the_transactions() {
        let (_, block) = full_block(Cancun);
        assert_eq!(block.transactions.len(), 11);
        let pieces = split(&block, parts(4));
        let sizes: Vec<_> = pieces.iter().map(|part| part.transactions.len()).collect();
        assert_eq!(sizes, [2, 3, 3, 3]);
        let joined: Vec<_> = pieces.iter().flat_map(|part| part.transactions.clone()).collect();
        assert_eq!(joined, block.transactions);
        let frames: Vec<_> = pieces.iter().map(|part| part.frame).collect();
        let middle = Frame::TransactionsOnly;
        assert_eq!(frames, [Frame::WithoutClosing, middle, middle, Frame::WithoutOpening]);
        let withdrawals: Vec<_> = pieces.iter().map(|part| part.withdrawals.as_ref().map(Vec::len)).collect();
        assert_eq!(withdrawals, [Some(0), Some(0), Some(0), Some(1)]);
        assert!(pieces.iter().all(|part| part.env == block.env && part.parent_hash == block.parent_hash));
    }

    #[test]
    fn a_block_with_few_transactions_has_fewer_parts() {
        let (_, block) = full_block(Cancun);
        assert_eq!(split(&block, parts(100)).len(), 11);
        let [whole] = &split(&block, parts(1))[..] else { panic!("there is one part") };
        assert_eq!((whole.frame, &whole.transactions), (Frame::Full, &block.transactions));
        let empty = Block { transactions: Vec::new(), ..block };
        let [part] = &split(&empty, parts(3))[..] else { panic!("there is one part") };
        assert_eq!(part.frame, Frame::Full);
        let bare = Block { frame: Frame::TransactionsOnly, ..full_block(Cancun).1 };
        assert!(split(&bare, parts(3)).iter().all(|part| part.frame == Frame::TransactionsOnly));
    }

    /// The outcomes of blocks as a stream, and the changes of all of them.
    fn stream(base: &MemoryStore, blocks: &[Block]) -> (Vec<Outcome>, Changes) {
        let mut outcomes = Vec::new();
        let total = Engine::new(Config::with_threads(2)).execute_blocks(base, blocks, |outcome| {
            outcomes.push(outcome);
            ControlFlow::Continue(())
        });
        (outcomes, total.unwrap().changes)
    }

    #[test]
    fn the_parts_leave_the_state_of_the_uncut_block() {
        for fork in [Frontier, Cancun] {
            let (base, block) = full_block(fork);
            let whole = Engine::new(Config::sequential()).execute(&base, &block).unwrap();
            for number in [1, 2, 4, 11] {
                let (outcomes, changes) = stream(&base, &split(&block, parts(number)));
                assert_eq!(difference_of_parts(&whole, &outcomes, &changes), None, "{fork} in {number}");
                assert_eq!(outcomes.iter().map(|part| part.gas_used).sum::<u64>(), whole.gas_used);
            }
        }
    }

    #[test]
    fn parts_that_leave_another_state_or_other_receipts_are_found() {
        let (base, block) = full_block(Cancun);
        let whole = Engine::new(Config::sequential()).execute(&base, &block).unwrap();
        let unpaid = Block { withdrawals: Some(Vec::new()), ..block.clone() };
        let (outcomes, changes) = stream(&base, from_ref(&unpaid));
        assert!(difference_of_parts(&whole, &outcomes, &changes).is_some(), "a withdrawal is missing");
        let (mut outcomes, changes) = stream(&base, &split(&block, parts(2)));
        outcomes[1].receipts[0].cumulative_gas_used += 1;
        let difference = difference_of_parts(&whole, &outcomes, &changes);
        assert_eq!(difference.as_deref(), Some("the receipts or the gas differ"));
    }
}
