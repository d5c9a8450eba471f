//! Deposits to the beacon chain (EIP-6110), decoded from the logs of the deposit contract.
//!
//! The layout of such a log is consensus: a log with another layout makes the block invalid, even if a
//! lenient decoder could read it.

use alloy_primitives::{Address, B256, b256};
use blockloom_state::TxIndex;

use crate::block::{
    error::{DepositError, Invalid},
    outcome::Receipt,
};

/// The hash of `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
const DEPOSIT_EVENT: B256 = b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");

/// The length of a deposit log's data: five offsets, five lengths, five padded fields.
const DATA_LENGTH: usize = 576;

/// One field of a deposit log: the offset of its length in the data, and its required length.
struct DepositField {
    name: &'static str,
    offset: usize,
    length: usize,
}

const FIELDS: [DepositField; 5] = [
    DepositField { name: "pubkey", offset: 160, length: 48 },
    DepositField { name: "withdrawal_credentials", offset: 256, length: 32 },
    DepositField { name: "amount", offset: 320, length: 8 },
    DepositField { name: "signature", offset: 384, length: 96 },
    DepositField { name: "index", offset: 512, length: 8 },
];

/// The deposits of a block, as the concatenated data of the request to the consensus layer.
pub(super) fn deposits(contract: Address, receipts: &[Receipt]) -> Result<Vec<u8>, Invalid> {
    let mut request = Vec::new();
    for (position, receipt) in receipts.iter().enumerate() {
        let is_deposit = |log: &&alloy_primitives::Log| {
            log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT)
        };
        for log in receipt.logs.iter().filter(is_deposit) {
            append(&mut request, &log.data.data)
                .map_err(|reason| Invalid::Deposit { index: TxIndex::new(position), reason })?;
        }
    }
    Ok(request)
}

fn append(request: &mut Vec<u8>, data: &[u8]) -> Result<(), DepositError> {
    if data.len() != DATA_LENGTH {
        return Err(DepositError::Length(data.len()));
    }
    for (position, DepositField { name, offset, length }) in FIELDS.iter().enumerate() {
        let fits = is_word(&data[position * 32..], *offset) && is_word(&data[*offset..], *length);
        if !fits {
            return Err(DepositError::Layout { field: name });
        }
    }
    for DepositField { offset, length, .. } in FIELDS {
        request.extend_from_slice(&data[offset + 32..offset + 32 + length]);
    }
    Ok(())
}

/// Whether `data` starts with `value` as a word of 32 bytes.
fn is_word(data: &[u8], value: usize) -> bool {
    let (zeros, low) = data[..32].split_at(24);
    zeros.iter().all(|byte| *byte == 0) && low == (value as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Eip658Value, TxType};
    use alloy_primitives::Log;

    use super::*;

    const CONTRACT: Address = Address::repeat_byte(0xd0);

    fn valid_data() -> Vec<u8> {
        let mut data = vec![0; DATA_LENGTH];
        for (position, DepositField { offset, length, .. }) in FIELDS.iter().enumerate() {
            data[position * 32 + 24..position * 32 + 32].copy_from_slice(&(*offset as u64).to_be_bytes());
            data[offset + 24..offset + 32].copy_from_slice(&(*length as u64).to_be_bytes());
            data[offset + 32..offset + 32 + length].fill(position as u8 + 1);
        }
        data
    }

    fn receipts(data: Vec<u8>) -> [Receipt; 1] {
        let deposit = Log::new_unchecked(CONTRACT, vec![DEPOSIT_EVENT], data.into());
        let other_event = Log::new_unchecked(CONTRACT, vec![B256::ZERO], Default::default());
        let of_other_contract = Log::new_unchecked(Address::ZERO, vec![DEPOSIT_EVENT], Default::default());
        [Receipt {
            tx_type: TxType::Legacy,
            status: Eip658Value::success(),
            cumulative_gas_used: 0,
            logs: vec![of_other_contract, other_event, deposit],
        }]
    }

    #[test]
    fn the_request_is_the_concatenation_of_the_fields() {
        let request = deposits(CONTRACT, &receipts(valid_data())).unwrap();
        let lengths = FIELDS.map(|field| field.length);
        assert_eq!(request.len(), lengths.iter().sum::<usize>());
        assert!(request[..48].iter().all(|byte| *byte == 1));
        assert!(request[request.len() - 8..].iter().all(|byte| *byte == 5));
    }

    #[test]
    fn every_offset_and_every_length_must_be_right() {
        for position in 0..10 {
            let mut data = valid_data();
            let at = if position < 5 { position * 32 } else { FIELDS[position - 5].offset };
            data[at + 31] ^= 1;
            let error = deposits(CONTRACT, &receipts(data)).unwrap_err();
            let reason = DepositError::Layout { field: FIELDS[position % 5].name };
            assert_eq!(error, Invalid::Deposit { index: TxIndex::new(0), reason });
        }
        let short = deposits(CONTRACT, &receipts(vec![0; 575])).unwrap_err();
        assert_eq!(short, Invalid::Deposit { index: TxIndex::new(0), reason: DepositError::Length(575) });
    }
}
