//! Payloads of the engine API: reth's own environments and contexts, and transactions that are announced to
//! the executor.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_evm::eth::{EthBlockExecutionCtx, spec::EthExecutorSpec};
use alloy_primitives::Bytes;
use alloy_rpc_types_engine::ExecutionData;
use reth_chainspec::{EthChainSpec, Hardforks};
use reth_evm::{ConfigureEngineEvm, EvmEnv, ExecutableTxIterator};

use crate::{
    announcements::{BlockKey, Payload, recover},
    config::BlockloomEvmConfig,
};

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

    /// The transactions of a payload. If its block can be executed in parallel, they are announced to the
    /// block's executor. A payload with an access list is not announced: reth itself executes it in parallel,
    /// out of the list.
    fn tx_iterator_for_payload(
        &self,
        payload: &ExecutionData,
    ) -> Result<impl ExecutableTxIterator<Self>, Self::Error> {
        let encoded = payload.payload.transactions();
        let cache = self.eth().sender_recovery_cache.clone();
        let announced = if self.announces() && payload.payload.as_v4().is_none() {
            let env = self.evm_env_for_payload(payload)?.block_env;
            let announced = Arc::new(Payload::new(encoded, cache.clone()));
            self.announcements().announce(BlockKey::new(payload.parent_hash(), &env), Arc::clone(&announced));
            Some(announced)
        } else {
            None
        };
        let convert = move |(place, encoded): (usize, Bytes)| match &announced {
            Some(announced) => announced.convert(place),
            None => recover(&encoded, cache.as_ref()),
        };
        Ok((encoded.iter().cloned().enumerate().collect::<Vec<_>>(), convert))
    }
}
