//! Proofs (EIP-1186) of accounts and slots, and of their absence.

use alloy_primitives::{B256, Bytes};
use blockloom_state::{Account, ProofError};

use super::pair::{StorePair, address, allocations, config, root_of, word};

#[test]
fn accounts_and_slots_and_their_absence_are_proven() {
    let pair = StorePair::new(config(1));
    let keys: Vec<_> = (0..9).map(word).collect();
    for byte in 0..60 {
        let proof = pair.disk.prove(address(byte), &keys).unwrap();
        let stored = pair.memory.account(&address(byte));
        assert_eq!(proof.account, stored.map(|stored| stored.account));
        for slot in &proof.slots {
            let held = stored.and_then(|stored| stored.slots.get(&slot.key)).copied().unwrap_or_default();
            assert_eq!(slot.value, held);
        }
        assert_eq!(proof.verify(root_of(&pair.disk)), Ok(()));
        assert!(proof.verify(B256::repeat_byte(1)).is_err());
    }
}

#[test]
fn a_modified_proof_is_rejected() {
    let pair = StorePair::new(config(1));
    let root = root_of(&pair.disk);
    let proof = pair.disk.prove(address(5), &[word(1), word(30)]).unwrap();
    let mut richer = proof.clone();
    richer.account = proof.account.map(|account| Account { balance: account.balance + word(1), ..account });
    let mut absent = proof.clone();
    absent.account = None;
    let mut other = proof.clone();
    other.address = address(6);
    let mut shorter = proof.clone();
    shorter.nodes.pop();
    let mut torn = proof.clone();
    let mut bytes = torn.nodes[0].to_vec();
    bytes[9] ^= 1;
    torn.nodes[0] = Bytes::from(bytes);
    for proof in [richer, other, shorter, torn] {
        assert!(matches!(proof.verify(root), Err(ProofError::Account { .. })), "{proof:?}");
    }
    assert_eq!(absent.verify(root), Err(ProofError::StorageWithoutAccount(address(5))));
    for (slot, value) in [(0, 5), (0, 0), (1, 5)] {
        let mut wrong = proof.clone();
        wrong.slots[slot].value = word(value);
        assert!(matches!(wrong.verify(root), Err(ProofError::Slot { .. })), "{wrong:?}");
    }
    assert!(allocations().iter().any(|(held, _)| *held == address(5)));
}
