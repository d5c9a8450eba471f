//! The transactions of payloads, for the executors of their blocks.
//!
//! reth's payload validator first asks for a payload's transactions. Then it decodes them and recovers their
//! senders on a thread pool, and gives each of them to the block's executor as it comes. What was recovered
//! is kept here too. The executor has the whole block when it gets the first transaction: it recovers what no
//! other thread has begun, and waits only for recoveries that are under way.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use alloy_eips::Decodable2718;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::{B256, Bytes};
use blockloom_engine::Transaction;
use reth_ethereum_primitives::TransactionSigned;
use reth_evm::SenderRecoveryCache;
use reth_primitives_traits::{Recovered, SignedTransaction};
use reth_storage_errors::any::AnyError;
use revm::context::{BlockEnv, TxEnv};

/// The most payloads that are kept: no more are under way at once, and one that is never executed is
/// replaced.
const KEPT: usize = 4;

/// A payload's block, as its executor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockKey {
    parent_hash: B256,
    env: BlockEnv,
}

impl BlockKey {
    pub(crate) fn new(parent_hash: B256, env: &BlockEnv) -> Self {
        Self { parent_hash, env: env.clone() }
    }
}

/// The latest payloads that were announced and not executed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announcements(Arc<Mutex<Vec<(BlockKey, Arc<Payload>)>>>);

impl Announcements {
    /// Announces a payload. Two payloads may have the same key: executors notice a transaction that is not
    /// the announced one.
    pub(crate) fn announce(&self, key: BlockKey, payload: Arc<Payload>) {
        let mut payloads = self.payloads();
        payloads.retain(|(other, _)| *other != key);
        if payloads.len() == KEPT {
            payloads.remove(0);
        }
        payloads.push((key, payload));
    }

    /// Takes the payload of a block.
    pub(crate) fn take(&self, key: &BlockKey) -> Option<Arc<Payload>> {
        let mut payloads = self.payloads();
        let place = payloads.iter().position(|(other, _)| other == key)?;
        Some(payloads.remove(place).1)
    }

    fn payloads(&self) -> MutexGuard<'_, Vec<(BlockKey, Arc<Payload>)>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The transactions of a payload.
#[derive(Debug)]
pub(crate) struct Payload {
    encoded: Vec<Bytes>,
    /// For each transaction what was recovered; `None` in it if the transaction is invalid.
    recovered: Vec<OnceLock<Option<Transaction>>>,
    cache: Option<SenderRecoveryCache>,
}

impl Payload {
    pub(crate) fn new(encoded: &[Bytes], cache: Option<SenderRecoveryCache>) -> Self {
        let recovered = encoded.iter().map(|_| OnceLock::new()).collect();
        Self { encoded: encoded.to_vec(), recovered, cache }
    }

    /// The transaction at this place in reth's form. No transaction is recovered twice.
    pub(crate) fn convert(&self, place: usize) -> Result<Recovered<TransactionSigned>, AnyError> {
        let mut converted = None;
        let kept = self.recovered[place].get_or_init(|| {
            let recovered = recover(&self.encoded[place], self.cache.as_ref());
            let kept = recovered.as_ref().ok().map(transaction);
            converted = Some(recovered);
            kept
        });
        match (converted, kept) {
            (Some(converted), _) => converted,
            (None, Some(kept)) => Ok(decode(&self.encoded[place])?.with_signer(kept.env.caller)),
            (None, None) => recover(&self.encoded[place], self.cache.as_ref()),
        }
    }

    /// All transactions in the engine's form; `None` if one of them is invalid.
    pub(crate) fn transactions(&self) -> Option<Vec<Transaction>> {
        // The pool begins with the first transactions, so the calling thread begins with the last ones.
        let transactions = self.encoded.iter().zip(&self.recovered).rev().map(|(encoded, recovered)| {
            let recover = || recover(encoded, self.cache.as_ref()).ok().as_ref().map(transaction);
            recovered.get_or_init(recover).clone()
        });
        let mut transactions = transactions.collect::<Option<Vec<_>>>()?;
        transactions.reverse();
        Some(transactions)
    }
}

/// Decodes a transaction and recovers its sender, as reth does.
pub(crate) fn recover(
    encoded: &Bytes,
    cache: Option<&SenderRecoveryCache>,
) -> Result<Recovered<TransactionSigned>, AnyError> {
    let signed = decode(encoded)?;
    let sender = match cache {
        Some(cache) => cache.recover(&signed),
        None => signed.try_recover(),
    };
    Ok(signed.with_signer(sender.map_err(AnyError::new)?))
}

fn decode(encoded: &Bytes) -> Result<TransactionSigned, AnyError> {
    TransactionSigned::decode_2718_exact(encoded).map_err(AnyError::new)
}

fn transaction(recovered: &Recovered<TransactionSigned>) -> Transaction {
    let env = TxEnv::from_recovered_tx(recovered.inner(), recovered.signer());
    Transaction { hash: *recovered.inner().tx_hash(), env }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use alloy_consensus::{Transaction as _, TxLegacy};
    use alloy_eips::Encodable2718;
    use blockloom_fixtures::compose::Signer;

    use super::*;

    fn signed(nonce: u64) -> Bytes {
        Signer::new(1).sign(TxLegacy { nonce, ..TxLegacy::default() }).encoded_2718().into()
    }

    fn payload(transactions: u64) -> Arc<Payload> {
        let encoded: Vec<_> = (0..transactions).map(signed).collect();
        Arc::new(Payload::new(&encoded, None))
    }

    fn nonces(payload: &Payload) -> Option<Vec<u64>> {
        Some(payload.transactions()?.iter().map(|transaction| transaction.env.nonce).collect())
    }

    #[test]
    fn a_payload_has_its_transactions_in_order_and_each_converts_as_in_reth() {
        let encoded: Vec<_> = (0..4).map(signed).collect();
        let payload = Payload::new(&encoded, None);
        let converted = payload.convert(2).unwrap();
        assert_eq!(converted.signer(), Signer::new(1).address());
        assert_eq!(nonces(&payload), Some(vec![0, 1, 2, 3]));
        for (place, encoded) in encoded.iter().enumerate() {
            let converted = payload.convert(place).unwrap();
            assert_eq!(converted, recover(encoded, None).unwrap());
            assert_eq!(Some(&Some(transaction(&converted))), payload.recovered[place].get());
        }
    }

    #[test]
    fn each_transaction_is_recovered_once_by_the_pool_or_the_executor() {
        let payload = payload(200);
        let pool = Arc::clone(&payload);
        let pool = thread::spawn(move || (0..200).for_each(|place| drop(pool.convert(place).unwrap())));
        assert_eq!(nonces(&payload), Some((0..200).collect()));
        pool.join().unwrap();
    }

    #[test]
    fn a_payload_with_an_invalid_transaction_has_none() {
        let payload = Payload::new(&[signed(0), Bytes::from_static(&[2, 0xc0]), signed(2)], None);
        assert_eq!(payload.transactions(), None);
        assert!(payload.convert(1).is_err());
        assert_eq!(payload.convert(0).unwrap().nonce(), 0);
    }

    #[test]
    fn only_the_latest_payloads_are_kept_and_each_is_taken_once() {
        let key = |number| BlockKey::new(B256::repeat_byte(number), &BlockEnv::default());
        let announcements = Announcements::default();
        (0..6).for_each(|number| announcements.announce(key(number), payload(1)));
        let kept: Vec<_> = (0..6).filter(|number| announcements.take(&key(*number)).is_some()).collect();
        assert_eq!(kept, [2, 3, 4, 5]);
        assert!(announcements.take(&key(5)).is_none());
    }
}
