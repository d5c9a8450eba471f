//! One EVM that runs the transactions of one block after the other on one database.
//!
//! Owns the interpreter and the database. A transaction is borrowed from its block. The map of touched
//! accounts is reused by the next run. On committed state the machine is also an [`alloy_evm::Evm`], so
//! that alloy-evm's system calls run on it.

use alloy_evm::{Evm as AlloyEvm, EvmEnv};
use alloy_primitives::{Address, Bytes};
use blockloom_state::{Base, Changes, Overlay};
use revm::{
    Context, Database, ExecuteEvm, MainBuilder, MainContext,
    context::{BlockEnv, CfgEnv, JournalInner, TxEnv},
    context_interface::{
        Cfg as _, LocalContextTr,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultAndState},
    },
    handler::{EthPrecompiles, Handler, MainnetHandler, SystemCallTx, instructions::EthInstructions},
    primitives::hardfork::SpecId,
    state::EvmState,
};

use crate::{
    block::{
        block::Block,
        rules::{CustomPrecompiles, Rules},
    },
    evm::{eip7610::Eip7610Evm, handling::Handling, tracked_db::TrackedDb, transaction::Input, watch::Watch},
};

type MachineError<D> = EVMError<<D as Database>::Error>;

/// The gas limit of a system call before Amsterdam (EIP-4788).
const SYSTEM_CALL_GAS_LIMIT: u64 = 30_000_000;

/// Runs the transactions of blocks on a database.
pub(crate) struct Machine<'a, D: TrackedDb, H, W: Watch<'a, D> = ()> {
    evm: Eip7610Evm<'a, D, W>,
    handling: H,
    /// The rules of the block.
    rules: Rules,
    /// The error of the base that made a system call fail. alloy-evm turns the errors of system calls
    /// into text.
    failed_read: Option<D::Error>,
}

/// Why a transaction did not run.
#[derive(Debug)]
pub(crate) enum MachineFailure<E> {
    /// It is invalid at its place in the block.
    Refused(InvalidTransaction),
    /// The block's environment lacks a field that its fork needs.
    Environment(String),
    /// The base could not be read.
    Base(E),
    /// A precompile gave up.
    Abandoned(String),
}

impl<'a, D: TrackedDb, H: Handling, W: Watch<'a, D>> Machine<'a, D, H, W> {
    /// A machine for `block` on `database`, watched by `watch`.
    pub(crate) fn new(block: &Block, database: D, handling: H, watch: W) -> Self {
        let context = Context::mainnet()
            .with_cfg(block.rules.cfg_env())
            .with_block(block.env.clone())
            .with_tx(W::Tx::from(Input::System(Box::default())))
            .with_db(database);
        let mut inner = context.build_mainnet_with_inspector(watch);
        W::hook(&mut inner.instruction);
        inner.precompiles = precompiles(&block.rules, inner.ctx.cfg.spec);
        let evm = Eip7610Evm { inner, storage_only: block.rules.storage_only.clone() };
        Self { evm, handling, rules: block.rules.clone(), failed_read: None }
    }

    /// Runs the transactions of `block` from now on.
    pub(crate) fn enter(&mut self, block: &Block) {
        let Eip7610Evm { inner, storage_only } = &mut self.evm;
        inner.ctx.block = block.env.clone();
        if self.rules == block.rules {
            return;
        }
        self.rules = block.rules.clone();
        // The journal keeps the addresses of the precompiles.
        inner.ctx.journaled_state.inner = JournalInner::new();
        inner.ctx.modify_cfg(|cfg| *cfg = block.rules.cfg_env());
        let spec = inner.ctx.cfg.spec;
        inner.instruction = EthInstructions::new_mainnet_with_spec(spec);
        W::hook(&mut inner.instruction);
        inner.precompiles = precompiles(&block.rules, spec);
        storage_only.clone_from(&block.rules.storage_only);
    }

    /// The database.
    pub(super) fn database(&mut self) -> &mut D {
        &mut self.evm.inner.ctx.journaled_state.database
    }

    /// Whether the gas depends on whether the recipient is empty (EIP-2780).
    pub(super) fn charges_for_empty_recipients(&self) -> bool {
        self.evm.inner.ctx.cfg.is_amsterdam_eip2780_enabled()
    }

    /// Runs a transaction.
    #[inline]
    pub(super) fn run_raw(&mut self, transaction: &'a TxEnv) -> Result<ExecutionResult, MachineError<D>> {
        self.execute(Input::InBlock(transaction).into())
    }

    #[inline]
    fn execute(&mut self, transaction: W::Tx) -> Result<ExecutionResult, MachineError<D>> {
        self.evm.inner.ctx.tx = transaction;
        // If the database failed twice in the last run, its first error is still here.
        self.evm.inner.ctx.error = Ok(());
        let result = W::run(&self.handling, &mut self.evm);
        if result.is_err() {
            // The handler of another chain may not have cleared them.
            LocalContextTr::clear(&mut self.evm.inner.ctx.local);
            self.evm.inner.frame_stack.clear();
        }
        result
    }

    /// Takes the accounts that the last run touched; [`give_back`](Self::give_back) must follow.
    #[inline]
    pub(super) fn take_touched(&mut self) -> EvmState {
        self.evm.inner.finalize()
    }

    /// Gives the emptied map back to the journal, to keep its capacity.
    #[inline]
    pub(super) fn give_back(&mut self, mut touched: EvmState) {
        touched.clear();
        self.evm.inner.ctx.journaled_state.inner.state = touched;
    }
}

impl<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>> Machine<'a, Overlay<B>, H, W> {
    /// Runs a transaction on the committed state. [`commit`](Self::commit) must follow; without it, or
    /// after a failure, the machine must not be used again.
    #[inline]
    pub(crate) fn run(
        &mut self,
        transaction: &'a TxEnv,
    ) -> Result<ExecutionResult, MachineFailure<B::Error>> {
        self.run_raw(transaction).map_err(MachineFailure::from)
    }

    /// Commits the effects of the last run.
    #[inline]
    pub(crate) fn commit(&mut self) {
        let mut touched = self.take_touched();
        self.overlay().commit_touched(&mut touched);
        self.give_back(touched);
    }

    /// What watches the runs.
    pub(crate) fn watch(&mut self) -> &mut W {
        &mut self.evm.inner.inspector
    }

    /// The overlay.
    pub(crate) fn overlay(&mut self) -> &mut Overlay<B> {
        self.database()
    }

    /// Takes the error of the base, if it made a system call fail.
    pub(crate) fn take_failed_read(&mut self) -> Option<B::Error> {
        self.failed_read.take()
    }

    /// Everything that was committed, as changes to the base.
    pub(crate) fn into_changes(self) -> Changes {
        self.evm.inner.ctx.journaled_state.database.into_changes()
    }
}

/// The precompiled contracts of a block.
fn precompiles(rules: &Rules, spec: SpecId) -> EthPrecompiles {
    match rules.precompiles {
        Some(CustomPrecompiles(precompiles)) => EthPrecompiles { precompiles, spec },
        None => EthPrecompiles::new(spec),
    }
}

impl<E> From<EVMError<E>> for MachineFailure<E> {
    fn from(error: EVMError<E>) -> Self {
        match error {
            EVMError::Transaction(reason) => Self::Refused(reason),
            EVMError::Header(reason) => Self::Environment(reason.to_string()),
            EVMError::Database(error) => Self::Base(error),
            EVMError::Custom(message) => Self::Abandoned(message),
            EVMError::CustomAny(error) => Self::Abandoned(error.to_string()),
        }
    }
}

impl<'a, B: Base, H: Handling, W: Watch<'a, Overlay<B>>> AlloyEvm for Machine<'a, Overlay<B>, H, W> {
    type DB = Overlay<B>;
    type Tx = W::Tx;
    type Error = MachineError<Overlay<B>>;
    type HaltReason = HaltReason;
    type Spec = SpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = EthPrecompiles;
    type Inspector = W;

    fn block(&self) -> &BlockEnv {
        &self.evm.inner.ctx.block
    }

    fn cfg_env(&self) -> &CfgEnv {
        &self.evm.inner.ctx.cfg
    }

    fn chain_id(&self) -> u64 {
        self.evm.inner.ctx.cfg.chain_id
    }

    fn transact_raw(&mut self, tx: W::Tx) -> Result<ResultAndState, MachineError<Overlay<B>>> {
        let result = self.execute(tx);
        let state = self.evm.inner.finalize();
        Ok(ResultAndState::new(result?, state))
    }

    fn transact_system_call(
        &mut self,
        caller: Address,
        contract: Address,
        data: Bytes,
    ) -> Result<ResultAndState, MachineError<Overlay<B>>> {
        let mut call = TxEnv::new_system_tx_with_caller(caller, contract, data);
        if !self.evm.inner.ctx.cfg.enable_amsterdam_eip8037 {
            // revm uses Amsterdam's limit under every fork.
            call.gas_limit = SYSTEM_CALL_GAS_LIMIT;
        }
        self.evm.inner.ctx.tx = Input::System(Box::new(call)).into();
        let result = MainnetHandler::default().run_system_call(&mut self.evm);
        let state = self.evm.inner.finalize();
        match result {
            Ok(result) => Ok(ResultAndState::new(result, state)),
            Err(EVMError::Database(error)) => {
                let message = error.to_string();
                self.failed_read = Some(error);
                Err(EVMError::Custom(message))
            }
            Err(error) => Err(error),
        }
    }

    fn finish(self) -> (Overlay<B>, EvmEnv) {
        let Context { block, cfg, journaled_state, .. } = self.evm.inner.ctx;
        (journaled_state.database, EvmEnv::new(cfg, block))
    }

    /// An inspector is always enabled, and watches no system call.
    fn set_inspector_enabled(&mut self, _enabled: bool) {}

    fn components(&self) -> (&Overlay<B>, &W, &EthPrecompiles) {
        let evm = &self.evm.inner;
        (&evm.ctx.journaled_state.database, &evm.inspector, &evm.precompiles)
    }

    fn components_mut(&mut self) -> (&mut Overlay<B>, &mut W, &mut EthPrecompiles) {
        let evm = &mut self.evm.inner;
        (&mut evm.ctx.journaled_state.database, &mut evm.inspector, &mut evm.precompiles)
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::Header;
    use alloy_hardforks::EthereumHardfork;
    use blockloom_state::MemoryStore;

    use super::*;
    use crate::{block::rules::Rules, evm::handling::Mainnet};

    #[test]
    fn alloy_evm_sees_the_chain_the_fork_and_the_number_of_the_block() {
        let rules = Rules { chain_id: 7, ..Rules::mainnet(EthereumHardfork::Cancun) };
        let header = Header { number: 10, ..Header::default() };
        let (block, base) = (Block::without_body(rules, &header), MemoryStore::new());
        let machine = Machine::new(&block, Overlay::new(&base), Mainnet, ());
        assert_eq!((machine.chain_id(), machine.cfg_env().chain_id), (7, 7));
        assert_eq!(machine.cfg_env().spec, SpecId::CANCUN);
        assert_eq!(machine.block().number, alloy_primitives::U256::from(10));
    }
}
