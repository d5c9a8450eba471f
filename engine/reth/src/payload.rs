//! Payloads of the engine API: reth's own environments and contexts, and transactions that are announced to the executor.

use alloy_consensus::Header;
use alloy_eips::Decodable2718;
use alloy_evm::{
    FromRecoveredTx,
    eth::{EthBlockExecutionCtx, spec::EthExecutorSpec},
};
use alloy_primitives::Bytes;
use alloy_rpc_types_engine::ExecutionData;
use blockloom_engine::Transaction;
use reth_chainspec::{EthChainSpec, Hardforks};
use reth_ethereum_primitives::TransactionSigned;
use reth_evm::{ConfigureEngineEvm, EvmEnv, ExecutableTxIterator, SenderRecoveryCache};
use reth_primitives_traits::{Recovered, SignedTransaction};
use reth_storage_errors::any::AnyError;
use revm::context::TxEnv;

use crate::{announcements::BlockKey, config::BlockloomEvmConfig};

impl<C> ConfigureEngineEvm<ExecutionData> for BlockloomEvmConfig<C>
where
    C: EthExecutorSpec + EthChainSpec<Header = Header> + Hardforks + 'static,
{
    fn evm_env_for_payload(&self, payload: &ExecutionData) -> Result<EvmEnv, Self::Error> {
        self.eth().evm_env_for_payload(payload)
    }

    fn context_for_payload<'a>(
        &self,
        payload: &'a ExecutionData,
    ) -> Result<EthBlockExecutionCtx<'a>, Self::Error> {
        self.eth().context_for_payload(payload)
    }

    /// The transactions of a payload. What is converted is announced to the executor of the payload's block.
    fn tx_iterator_for_payload(
        &self,
        payload: &ExecutionData,
    ) -> Result<impl ExecutableTxIterator<Self>, Self::Error> {
        let env = self.evm_env_for_payload(payload)?.block_env;
        let encoded: Vec<_> = payload.payload.transactions().iter().cloned().enumerate().collect();
        let sender = self.announcements().announce(BlockKey::new(payload.parent_hash(), &env), encoded.len());
        let cache = self.eth().sender_recovery_cache.clone();
        let convert = move |(place, encoded): (usize, Bytes)| {
            let recovered = recover(&encoded, cache.as_ref());
            match &recovered {
                Ok(recovered) => sender.send(place, transaction(recovered)),
                Err(_) => sender.withdraw(),
            }
            recovered
        };
        Ok((encoded, convert))
    }
}

/// Decodes a transaction and recovers its sender, as reth does.
fn recover(
    encoded: &Bytes,
    cache: Option<&SenderRecoveryCache>,
) -> Result<Recovered<TransactionSigned>, AnyError> {
    let signed = TransactionSigned::decode_2718_exact(encoded).map_err(AnyError::new)?;
    let sender = match cache {
        Some(cache) => cache.recover(&signed),
        None => signed.try_recover(),
    };
    Ok(signed.with_signer(sender.map_err(AnyError::new)?))
}

fn transaction(recovered: &Recovered<TransactionSigned>) -> Transaction {
    let env = TxEnv::from_recovered_tx(recovered.inner(), recovered.signer());
    Transaction { hash: *recovered.inner().tx_hash(), env }
}
