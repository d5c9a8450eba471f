//! Batching: how a block is divided into batches, by what its transactions may use.

use crate::policy::tuning::{BATCH_GAS, MAX_PAYMENTS, MIN_PAYMENTS};

/// The gas of a transfer, as the protocol has it.
pub(crate) const TRANSFER_GAS: u64 = 21_000;

/// The lengths of batches in tests, over and over.
const TEST_LENGTHS: [usize; 6] = [1, 1, 1, 2, 1, 3];

/// What a transaction asks for, as far as policies look at it.
pub(crate) trait Demand {
    /// The gas that it may use.
    fn gas_limit(&self) -> u64;
    /// Whether it is a call without input, as payments are.
    fn is_call_without_input(&self) -> bool;
}

/// What a batch is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// About as much as speculation costs: it is left to the gate.
    Light,
    /// Many payments: it is handed out, and the gate is left a share of such batches.
    Bulk,
    /// More.
    Heavy,
    /// None of a worker's: the border between two blocks, which only the gate crosses.
    Border,
    /// So much that the end of the block may wait for it: it starts early.
    Huge {
        /// The gas that it may use.
        gas_limit: u64,
    },
}

/// Consecutive transactions that are handed out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The number of its transactions, or of its borders: at least one.
    pub(crate) transactions: usize,
    /// What they take together.
    pub(crate) effort: Effort,
}

impl Batch {
    /// A batch of one transaction.
    pub(crate) const fn single(effort: Effort) -> Self {
        Self { transactions: 1, effort }
    }
}

/// The batches of a list of transactions, in order. Small transactions of one kind go together.
#[derive(Clone, Debug)]
pub(crate) struct Batching<'b, T> {
    left: &'b [T],
}

impl<'b, T> Batching<'b, T> {
    /// The batches of these transactions.
    pub(crate) fn of(transactions: &'b [T]) -> Self {
        Self { left: transactions }
    }
}

impl<T: Demand> Iterator for Batching<'_, T> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let (first, others) = self.left.split_first()?;
        let (mut batch, mut gas) = (Batch::single(effort(first)), first.gas_limit());
        for other in others {
            gas = gas.saturating_add(other.gas_limit());
            if effort(other) != batch.effort || !has_room(&batch, gas) {
                break;
            }
            batch.transactions += 1;
        }
        self.left = &self.left[batch.transactions..];
        if batch.effort == Effort::Light && batch.transactions >= MIN_PAYMENTS {
            batch.effort = Effort::Bulk;
        }
        Some(batch)
    }
}

/// Whether a batch has room for one more transaction, with which it may use this gas.
fn has_room(batch: &Batch, gas: u64) -> bool {
    match batch.effort {
        Effort::Light => batch.transactions < MAX_PAYMENTS,
        Effort::Heavy => gas <= BATCH_GAS,
        Effort::Bulk | Effort::Border | Effort::Huge { .. } => false,
    }
}

/// What a transaction is expected to take. A call without input is a payment, unless it leaves gas for the code of
/// its recipient.
fn effort(transaction: &impl Demand) -> Effort {
    match transaction.gas_limit() {
        gas_limit if gas_limit <= TRANSFER_GAS && transaction.is_call_without_input() => Effort::Light,
        gas_limit if gas_limit > BATCH_GAS => Effort::Huge { gas_limit },
        _ => Effort::Heavy,
    }
}

/// Batches of this number of transactions for tests: most of them have one.
pub(crate) fn test_batches(transactions: usize) -> Vec<Batch> {
    let (mut batches, mut left) = (Vec::new(), transactions);
    for length in TEST_LENGTHS.into_iter().cycle() {
        if left == 0 {
            break;
        }
        let transactions = length.min(left);
        batches.push(Batch { transactions, effort: Effort::Heavy });
        left -= transactions;
    }
    batches
}

/// A transaction for the tests of policies.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct TestDemand {
    /// The gas that it may use.
    pub(crate) gas_limit: u64,
    /// Whether it is a payment.
    pub(crate) is_payment: bool,
}

#[cfg(test)]
impl Demand for TestDemand {
    fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    fn is_call_without_input(&self) -> bool {
        self.is_payment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(gas_limit: u64) -> TestDemand {
        TestDemand { gas_limit, is_payment: false }
    }

    fn lengths(transactions: &[TestDemand]) -> Vec<usize> {
        Batching::of(transactions).map(|batch| batch.transactions).collect()
    }

    #[test]
    fn a_transaction_may_have_any_gas_limit() {
        assert_eq!(lengths(&[call(u64::MAX), call(100_000), call(100_000)]), [1, 2]);
        assert_eq!(lengths(&[call(100_000), call(u64::MAX)]), [1, 1]);
        assert!(lengths(&[]).is_empty());
    }

    #[test]
    fn payments_are_batched_and_small_calls_as_well() {
        let mut transactions = vec![TestDemand { gas_limit: TRANSFER_GAS, is_payment: true }; 20];
        transactions.extend(vec![call(100_000); 4]);
        let batches: Vec<_> = Batching::of(&transactions).collect();
        let expected = [(16, Effort::Bulk), (4, Effort::Light), (3, Effort::Heavy), (1, Effort::Heavy)];
        assert_eq!(batches, expected.map(|(transactions, effort)| Batch { transactions, effort }));
    }
}
