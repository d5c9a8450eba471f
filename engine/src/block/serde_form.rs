//! How blocks are written and read by serde: an access list as the list, which is checked and indexed again on reading.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::{eip4895::Withdrawal, eip7928::BlockAccessList};
use alloy_primitives::B256;
use revm::context::BlockEnv;
use serde::{Deserialize, Serialize, Serializer};

use crate::block::{
    block::{Block, Frame, GivenList, Transaction},
    error::list::ListError,
    rules::Rules,
};

/// A block as it was read: its list may be malformed.
#[derive(Deserialize)]
pub(super) struct UncheckedBlock {
    rules: Rules,
    env: BlockEnv,
    parent_hash: B256,
    parent_beacon_root: Option<B256>,
    transactions: Vec<Transaction>,
    ommers: Vec<Header>,
    withdrawals: Option<Vec<Withdrawal>>,
    frame: Frame,
    list: ListForm<BlockAccessList>,
}

/// The list that comes with a block, without its index.
#[derive(Serialize, Deserialize)]
enum ListForm<L> {
    Nothing,
    Hint(L),
    Claim(L),
}

impl Serialize for GivenList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match self {
            Self::Nothing => ListForm::Nothing,
            Self::Hint(index) => ListForm::Hint(index.list()),
            Self::Claim(index) => ListForm::Claim(index.list()),
        };
        form.serialize(serializer)
    }
}

impl TryFrom<UncheckedBlock> for Block {
    type Error = ListError;

    fn try_from(read: UncheckedBlock) -> Result<Self, ListError> {
        let UncheckedBlock { rules, env, parent_hash, parent_beacon_root, transactions, .. } = read;
        let UncheckedBlock { ommers, withdrawals, frame, list, .. } = read;
        let block = Self {
            rules,
            env,
            parent_hash,
            parent_beacon_root,
            transactions,
            ommers,
            withdrawals,
            frame,
            list: GivenList::Nothing,
        };
        let list = match list {
            ListForm::Nothing => GivenList::Nothing,
            ListForm::Hint(list) => GivenList::Hint(Arc::new(block.index_list(list)?)),
            ListForm::Claim(list) => GivenList::Claim(Arc::new(block.index_list(list)?)),
        };
        Ok(Self { list, ..block })
    }
}

/// Precompiled contracts are code: rules that replace Ethereum's cannot be written.
pub(super) mod precompiles {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use crate::block::rules::CustomPrecompiles;

    pub(crate) fn serialize<S: Serializer>(
        precompiles: &Option<CustomPrecompiles>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match precompiles {
            None => None::<()>.serialize(serializer),
            Some(_) => Err(ser::Error::custom("a chain's own precompiled contracts cannot be written")),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<CustomPrecompiles>, D::Error> {
        match Option::<()>::deserialize(deserializer)? {
            None => Ok(None),
            Some(()) => Err(de::Error::custom("a chain's own precompiled contracts cannot be read")),
        }
    }
}

/// All parameters of blobs. alloy's own form leaves out two of them.
pub(super) mod blobs {
    use alloy_eips::eip7840::BlobParams;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct BlobForm {
        target_blob_count: u64,
        max_blob_count: u64,
        update_fraction: u64,
        min_blob_fee: u64,
        max_blobs_per_tx: u64,
        blob_base_cost: u64,
    }

    pub(crate) fn serialize<S: Serializer>(
        blobs: &Option<BlobParams>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let form = blobs.map(|blobs| {
            Ok(BlobForm {
                target_blob_count: blobs.target_blob_count,
                max_blob_count: blobs.max_blob_count,
                update_fraction: u64::try_from(blobs.update_fraction)?,
                min_blob_fee: u64::try_from(blobs.min_blob_fee)?,
                max_blobs_per_tx: blobs.max_blobs_per_tx,
                blob_base_cost: blobs.blob_base_cost,
            })
        });
        let form =
            form.transpose().map_err(|error: std::num::TryFromIntError| serde::ser::Error::custom(error))?;
        form.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BlobParams>, D::Error> {
        let form = Option::<BlobForm>::deserialize(deserializer)?;
        Ok(form.map(|form| BlobParams {
            target_blob_count: form.target_blob_count,
            max_blob_count: form.max_blob_count,
            update_fraction: form.update_fraction.into(),
            min_blob_fee: form.min_blob_fee.into(),
            max_blobs_per_tx: form.max_blobs_per_tx,
            blob_base_cost: form.blob_base_cost,
        }))
    }
}
