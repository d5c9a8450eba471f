//! Receipts, read one by one: ethrex's own methods read those of a block as a range, of which its store in memory returns
//! only the first.

use ethrex_common_24::{H256, types::calculate_base_fee_per_blob_gas};
use ethrex_rpc_24::{
    RpcApiContext, RpcErr,
    types::{
        block_identifier::BlockIdentifierOrHash,
        receipt::{RpcReceipt, RpcReceiptBlockInfo, RpcReceiptTxInfo},
    },
};
use serde_json::Value;

/// `eth_getBlockReceipts`.
pub(crate) async fn of_block(context: &RpcApiContext, params: Option<Vec<Value>>) -> Result<Value, RpcErr> {
    let block = BlockIdentifierOrHash::parse(first(params)?, 0)?;
    let Some(number) = block.resolve_block_number(&context.storage).await? else { return Ok(Value::Null) };
    Ok(serde_json::to_value(receipts(context, number).await?)?)
}

/// `eth_getTransactionReceipt`.
pub(crate) async fn of_transaction(
    context: &RpcApiContext,
    params: Option<Vec<Value>>,
) -> Result<Value, RpcErr> {
    let hash: H256 = serde_json::from_value(first(params)?)?;
    let Some((number, _, index)) = context.storage.get_transaction_location(hash).await? else {
        return Ok(Value::Null);
    };
    Ok(serde_json::to_value(receipts(context, number).await?.get(index as usize))?)
}

fn first(params: Option<Vec<Value>>) -> Result<Value, RpcErr> {
    let first = params.and_then(|params| params.into_iter().next());
    first.ok_or_else(|| RpcErr::BadParams("one parameter".to_owned()))
}

/// The receipts of a canonical block, as `eth_getBlockReceipts` answers them.
async fn receipts(context: &RpcApiContext, number: u64) -> Result<Vec<RpcReceipt>, RpcErr> {
    let storage = &context.storage;
    let (header, body) = (storage.get_block_header(number)?, storage.get_block_body(number).await?);
    let (Some(header), Some(body)) = (header, body) else { return Ok(Vec::new()) };
    let schedule = storage.get_chain_config().get_fork_blob_schedule(header.timestamp);
    let fraction = schedule.map(|schedule| schedule.base_fee_update_fraction).unwrap_or_default();
    let blob_base_fee =
        calculate_base_fee_per_blob_gas(header.excess_blob_gas.unwrap_or_default(), fraction).low_u64();
    let (base_fee, block) = (header.base_fee_per_gas, RpcReceiptBlockInfo::from_block_header(header));
    let (mut receipts, mut gas_before, mut logs_before) = (Vec::new(), 0, 0);
    for (index, transaction) in body.transactions.into_iter().enumerate() {
        let index = index as u64;
        let receipt = storage.get_receipt(number, index).await?;
        let receipt =
            receipt.ok_or_else(|| RpcErr::Internal(format!("no receipt {index} of block {number}")))?;
        let gas = receipt.cumulative_gas_used - gas_before;
        let of_transaction =
            RpcReceiptTxInfo::from_transaction(transaction, index, gas, blob_base_fee, base_fee)?;
        let logs = receipt.logs.len() as u64;
        gas_before = receipt.cumulative_gas_used;
        receipts.push(RpcReceipt::new(receipt, of_transaction, block.clone(), logs_before));
        logs_before += logs;
    }
    Ok(receipts)
}
