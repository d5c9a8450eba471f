//! How a block is cut into stretches: what its transactions ask for tells how much each may take.

use crate::block::block::{Block, Transaction};

/// What a transfer takes.
pub(crate) const TRANSFER: u64 = 21_000;
/// Who gas_limit for so much may take as long as many others together.
const HUGE: u64 = 350_000;
/// How many payments go together at most, and how many are worth handing out.
const PAYMENTS_TOGETHER: usize = 16;
const PAYMENTS_WORTH_IT: usize = 8;
/// How much gas transactions that go together ask for at most.
const GAS_TOGETHER: u64 = 300_000;
/// How many transactions stretches have in tests.
const LENGTHS_IN_TESTS: [usize; 6] = [1, 1, 1, 2, 1, 3];

/// What a stretch is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Hardly more than speculation costs: it is left to the gate.
    Light,
    /// Much of that: it is handed out as one, but the gate is left its share.
    Bulk,
    /// More.
    Heavy,
    /// So much that it should be begun early: it may be what the block's end waits for.
    Huge {
        /// How much it may take, to be compared with others.
        gas_limit: u64,
    },
}

/// How long a stretch is, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// How many transactions it has: at least one.
    pub(crate) transactions: usize,
    /// What all of them take.
    pub(crate) effort: Effort,
}

impl Batch {
    /// One transaction for itself.
    pub(crate) const fn single(effort: Effort) -> Self {
        Self { transactions: 1, effort }
    }
}

/// The stretches of some transactions, in order: who takes little goes together with others of its kind.
#[derive(Clone, Debug)]
pub(crate) struct Batching<'b> {
    left: &'b [Transaction],
}

impl<'b> Batching<'b> {
    pub(crate) fn of(transactions: &'b [Transaction]) -> Self {
        Self { left: transactions }
    }
}

impl Iterator for Batching<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let (first, others) = self.left.split_first()?;
        let (mut cut, mut asked) = (Batch::single(effort(first)), first.env.gas_limit);
        for other in others {
            asked = asked.saturating_add(other.env.gas_limit);
            if effort(other) != cut.effort || !has_room(&cut, asked) {
                break;
            }
            cut.transactions += 1;
        }
        self.left = &self.left[cut.transactions..];
        if cut.effort == Effort::Light && cut.transactions >= PAYMENTS_WORTH_IT {
            cut.effort = Effort::Bulk;
        }
        Some(cut)
    }
}

/// Whether a stretch would still be a short one with one more, if it asked for so much.
fn has_room(cut: &Batch, gas: u64) -> bool {
    match cut.effort {
        Effort::Light => cut.transactions < PAYMENTS_TOGETHER,
        Effort::Heavy => gas <= GAS_TOGETHER,
        Effort::Bulk | Effort::Huge { .. } => false,
    }
}

/// What a transaction is expected to take: a transfer takes about as long as speculating costs.
/// Who pays a contract leaves gas for it.
fn effort(transaction: &Transaction) -> Effort {
    let gas_limit = transaction.env.gas_limit;
    if is_payment(transaction) && gas_limit <= TRANSFER {
        Effort::Light
    } else if gas_limit >= HUGE {
        Effort::Huge { gas_limit: gas_limit }
    } else {
        Effort::Heavy
    }
}

/// Whether it is a call without input, as payments are.
pub(crate) fn is_payment(transaction: &Transaction) -> bool {
    transaction.env.data.is_empty() && transaction.env.kind.is_call()
}

/// How tests have blocks cut: most transactions are for themselves.
pub(crate) fn cuts_in_tests(block: &Block) -> Vec<Batch> {
    let (mut cuts, mut left) = (Vec::new(), block.transactions.len());
    for length in LENGTHS_IN_TESTS.into_iter().cycle() {
        if left == 0 {
            break;
        }
        let length = length.min(left);
        cuts.push(Batch { transactions: length, effort: Effort::Heavy });
        left -= length;
    }
    cuts
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, Bytes};
    use revm::context::TxEnv;

    use super::*;

    fn call(gas_limit: u64, data: Bytes) -> Transaction {
        Transaction { hash: B256::ZERO, env: TxEnv { gas_limit, data, ..TxEnv::default() } }
    }

    fn lengths(transactions: &[Transaction]) -> Vec<usize> {
        Batching::of(transactions).map(|cut| cut.transactions).collect()
    }

    #[test]
    fn a_transaction_may_ask_for_all_the_gas_there_is() {
        let some = || call(100_000, [1].into());
        assert_eq!(lengths(&[call(u64::MAX, [1].into()), some(), some()]), [1, 2]);
        assert_eq!(lengths(&[some(), call(u64::MAX, [1].into())]), [1, 1]);
        assert!(lengths(&[]).is_empty());
    }

    #[test]
    fn payments_go_together_and_calls_that_take_little_as_well() {
        let mut transactions = vec![call(TRANSFER, Bytes::new()); 20];
        transactions.extend(vec![call(100_000, [1].into()); 4]);
        let cuts: Vec<_> = Batching::of(&transactions).collect();
        let expected = [(16, Effort::Bulk), (4, Effort::Light), (3, Effort::Heavy), (1, Effort::Heavy)];
        assert_eq!(cuts, expected.map(|(transactions, effort)| Batch { transactions, effort }));
    }
}
