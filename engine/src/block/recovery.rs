//! The recovery of senders: hashes many transactions at once, and asks the curve for each public key.
//!
//! Promises what recovery one by one would give, in the order of the transactions. Of a recovery one by one, the curve
//! takes 93 % of the instructions, and three hashes take most of the rest: a hash that shares its permutations with
//! others costs a tenth of that. Never looks at a header, and never leaves the calling thread.

use alloy_consensus::{SignableTransaction, crypto::SECP256K1N_HALF};
use alloy_eips::eip2718::Encodable2718;
use alloy_evm::FromRecoveredTx;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Signature};
use blockloom_state::keccak256_all;
use revm::context::TxEnv;
use secp256k1::{
    Message, PublicKey, SECP256K1,
    ecdsa::{RecoverableSignature, RecoveryId},
};

use crate::block::{
    block::{SignedTransaction, Transaction},
    error::TransactionError,
    rules::Rules,
};

/// A public key as its address is computed from it: without the tag of its form.
type PublicKeyBytes = [u8; 64];

/// Recovers the senders of signed transactions, and their authorities (EIP-7702).
///
/// This is the place for another processor: it has all signatures of a batch, and what was signed.
pub(super) fn recover(
    rules: &Rules,
    signed: &[SignedTransaction],
) -> Vec<Result<Transaction, TransactionError>> {
    let (hashes, signing_hashes) = hash(signed);
    let keys: Vec<_> = signed
        .iter()
        .zip(&signing_hashes)
        .map(|(signed, hash)| check(rules, signed).and_then(|()| public_key(signed.signature(), hash)))
        .collect();
    let found: Vec<&PublicKeyBytes> = keys.iter().flatten().collect();
    let mut senders = keccak256_all(&found).into_iter().map(Address::from_word);
    let keys_of = signed.iter().zip(hashes).zip(&keys);
    keys_of
        .map(|((signed, hash), key)| {
            key.as_ref().map_err(Clone::clone)?;
            let sender = senders.next().expect("each key has a hash");
            Ok(Transaction { hash, env: TxEnv::from_recovered_tx(signed, sender) })
        })
        .collect()
}

/// The hashes of transactions, and the hashes that were signed.
fn hash(signed: &[SignedTransaction]) -> (Vec<B256>, Vec<B256>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(2 * signed.len()));
    for signed in signed {
        signed.encode_2718(&mut bytes);
        ends.push(bytes.len());
    }
    for signed in signed {
        encode_for_signing(signed, &mut bytes);
        ends.push(bytes.len());
    }
    let begins = [0].iter().chain(&ends);
    let messages: Vec<_> = begins.zip(&ends).map(|(begin, end)| &bytes[*begin..*end]).collect();
    let mut hashes = keccak256_all(&messages);
    let signing_hashes = hashes.split_off(signed.len());
    (hashes, signing_hashes)
}

fn encode_for_signing(signed: &SignedTransaction, bytes: &mut Vec<u8>) {
    match signed {
        SignedTransaction::Legacy(signed) => signed.tx().encode_for_signing(bytes),
        SignedTransaction::Eip2930(signed) => signed.tx().encode_for_signing(bytes),
        SignedTransaction::Eip1559(signed) => signed.tx().encode_for_signing(bytes),
        SignedTransaction::Eip4844(signed) => signed.tx().encode_for_signing(bytes),
        SignedTransaction::Eip7702(signed) => signed.tx().encode_for_signing(bytes),
    }
}

/// Checks what a fork demands of signatures.
fn check(rules: &Rules, signed: &SignedTransaction) -> Result<(), TransactionError> {
    if let SignedTransaction::Legacy(legacy) = signed
        && legacy.tx().chain_id.is_some()
        && !rules.is_active(EthereumHardfork::SpuriousDragon)
    {
        return Err(TransactionError::Protected);
    }
    // EIP-2: from Homestead on, the upper of the two possible signatures is invalid.
    let is_upper = signed.signature().s() > SECP256K1N_HALF;
    if is_upper && rules.is_active(EthereumHardfork::Homestead) {
        return Err(TransactionError::Signature);
    }
    Ok(())
}

/// The key that made a signature of the message with this hash.
fn public_key(signature: &Signature, hash: &B256) -> Result<PublicKeyBytes, TransactionError> {
    let recover = || {
        let mut scalars = [0; 64];
        scalars[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
        scalars[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
        let parity = RecoveryId::try_from(i32::from(signature.v()))?;
        let signature = RecoverableSignature::from_compact(&scalars, parity)?;
        SECP256K1.recover_ecdsa(&Message::from_digest(hash.0), &signature)
    };
    let key: PublicKey = recover().map_err(|_: secp256k1::Error| TransactionError::Signature)?;
    let [_tag, bytes @ ..] = key.serialize_uncompressed();
    Ok(bytes)
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use alloy_consensus::{
        TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
        crypto::secp256k1::sign_message,
        transaction::{RlpEcdsaEncodableTx, SignerRecoverable},
    };
    use alloy_eips::eip7702::Authorization;
    use alloy_primitives::{Bytes, U256, b256};

    use super::*;
    use crate::block::error::Invalid;

    /// The order of the curve's group.
    const ORDER: B256 = b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

    fn key(number: u64) -> B256 {
        B256::from(U256::from(number + 1))
    }

    fn sign<T>(transaction: T, number: u64) -> SignedTransaction
    where
        T: SignableTransaction<Signature> + RlpEcdsaEncodableTx,
        alloy_consensus::Signed<T>: Into<SignedTransaction>,
    {
        let signature = sign_message(key(number), transaction.signature_hash()).unwrap();
        transaction.into_signed(signature).into()
    }

    /// A transaction of one type after the other, of different lengths and senders.
    fn transaction(nonce: u64) -> SignedTransaction {
        let input = Bytes::from(vec![1; 50 * nonce as usize]);
        match nonce % 6 {
            0 => sign(TxLegacy { chain_id: Some(1), nonce, input, ..TxLegacy::default() }, nonce),
            1 => sign(TxEip2930 { chain_id: 1, nonce, input, ..TxEip2930::default() }, nonce),
            2 => sign(TxEip1559 { chain_id: 1, nonce, input, ..TxEip1559::default() }, nonce),
            3 => sign(TxEip4844 { chain_id: 1, nonce, input, ..TxEip4844::default() }, nonce),
            4 => {
                let delegation = Authorization { chain_id: U256::ONE, address: Address::ZERO, nonce };
                let signature = sign_message(key(nonce + 1000), delegation.signature_hash()).unwrap();
                let authorization_list = vec![delegation.into_signed(signature)];
                sign(
                    TxEip7702 { chain_id: 1, nonce, input, authorization_list, ..TxEip7702::default() },
                    nonce,
                )
            }
            _ => sign(TxLegacy { chain_id: None, nonce, input, ..TxLegacy::default() }, nonce),
        }
    }

    fn with_signature(signed: &SignedTransaction, signature: Signature) -> SignedTransaction {
        let SignedTransaction::Legacy(legacy) = signed else { panic!("{signed:?}") };
        legacy.tx().clone().into_signed(signature).into()
    }

    /// A transaction whose signature belongs to no key.
    fn unsigned() -> SignedTransaction {
        with_signature(&transaction(0), Signature::new(U256::ZERO, U256::ONE, false))
    }

    fn expected(signed: &SignedTransaction) -> Transaction {
        let sender = signed.recover_signer().unwrap();
        Transaction { hash: *signed.tx_hash(), env: TxEnv::from_recovered_tx(signed, sender) }
    }

    #[test]
    fn batches_of_every_size_have_the_senders_and_hashes_of_alloy() {
        let rules = Rules::mainnet(EthereumHardfork::Osaka);
        let signed: Vec<_> = (0..40).map(transaction).collect();
        let recovered: Vec<_> = signed.iter().map(expected).collect();
        for size in 0..signed.len() {
            let batch = recover(&rules, &signed[..size]).into_iter().collect::<Result<Vec<_>, _>>();
            assert_eq!(batch.unwrap(), recovered[..size]);
        }
        assert_eq!(Transaction::recover_all(&rules, &signed).unwrap(), recovered);
        assert_eq!(Transaction::recover_sequentially(&rules, &signed).unwrap(), recovered);
        assert_eq!(Transaction::recover(&rules, &signed[4]).unwrap(), recovered[4]);
    }

    #[test]
    fn an_invalid_signature_leaves_the_others_of_its_batch() {
        let rules = Rules::mainnet(EthereumHardfork::Osaka);
        let signed = [transaction(1), unsigned(), transaction(2), unsigned(), transaction(3)];
        let none = Err(TransactionError::Signature);
        let [one, two, three] = [0, 2, 4].map(|position| Ok(expected(&signed[position])));
        assert_eq!(recover(&rules, &signed), [one, none.clone(), two, none, three]);
    }

    #[test]
    fn the_first_invalid_signature_is_named() {
        let rules = Rules::mainnet(EthereumHardfork::Osaka);
        let mut signed: Vec<_> = (0..300).map(transaction).collect();
        (signed[9], signed[290]) = (unsigned(), unsigned());
        let found =
            [Transaction::recover_all(&rules, &signed), Transaction::recover_sequentially(&rules, &signed)];
        for found in found {
            let (index, hash) = (blockloom_state::TxIndex::new(9), *unsigned().tx_hash());
            let reason = TransactionError::Signature;
            assert_eq!(found, Err(Invalid::Transaction { index, hash, reason }));
        }
    }

    #[test]
    fn an_upper_signature_is_invalid_from_homestead_on() {
        let lower = transaction(5);
        let signature = lower.signature();
        let s = U256::from_be_bytes(ORDER.0) - signature.s();
        let upper = with_signature(&lower, Signature::new(signature.r(), s, !signature.v()));
        let [frontier, homestead] =
            [EthereumHardfork::Frontier, EthereumHardfork::Homestead].map(Rules::mainnet);
        let sender = Transaction::recover(&frontier, &upper).unwrap().env.caller;
        assert_eq!(sender, lower.recover_signer().unwrap());
        assert_eq!(Transaction::recover(&homestead, &upper), Err(TransactionError::Signature));
        assert_eq!(Transaction::recover(&homestead, &lower).unwrap().env.caller, sender);
    }

    #[test]
    fn a_protected_transaction_is_invalid_before_eip_155() {
        let [tangerine, spurious] =
            [EthereumHardfork::Tangerine, EthereumHardfork::SpuriousDragon].map(Rules::mainnet);
        let (protected, free) = (transaction(0), transaction(5));
        assert_eq!(Transaction::recover(&tangerine, &protected), Err(TransactionError::Protected));
        assert_eq!(Transaction::recover(&tangerine, &free), Ok(expected(&free)));
        assert_eq!(Transaction::recover(&spurious, &protected), Ok(expected(&protected)));
    }
}
