//! What happens around a transaction's execution: how it is validated, what it pays, and to whom.

use std::fmt;

use alloy_primitives::{Address, U256};
use revm::{
    Database,
    context::TxEnv,
    context_interface::{
        ContextTr, JournalTr, LocalContextTr, Transaction,
        result::{EVMError, ExecutionResult},
    },
    handler::{EthFrame, EvmTr, Handler, MainnetHandler},
    interpreter::interpreter::EthInterpreter,
    state::EvmState,
};

/// Why a handler on `EVM` fails.
pub type HandlingError<EVM> = EVMError<<<<EVM as EvmTr>::Context as ContextTr>::Db as Database>::Error>;

/// How a chain handles its transactions, where that is not how mainnet does: usually by running a
/// [`Handler`] of its own. An engine takes it in
/// [`Engine::with_handling`](crate::Engine::with_handling).
///
/// It may run a transaction several times, on several threads, and ahead of its turn, so it must
/// depend on nothing but itself and what it sees through `EVM`. Slots and codes that it reads are
/// noted by themselves. Of accounts, the engine notes what mainnet's handler needs: that the sender
/// has the transaction's nonce and at least [`most_cost`](Self::most_cost). Adding to any account's
/// balance, and taking from it what it is known to have, needs nothing more. Whatever else decides
/// something, a balance, a nonce, or whether an account exists, it has to name in
/// [`looks_at`](Self::looks_at): before the transaction runs, so it cannot be an account that the run
/// itself chooses.
///
/// One run is one transaction: it leaves no settings in the context, and nothing comes after it. The
/// system calls of a block stay mainnet's, and so does
/// [`ParallelExecutorFactory`](crate::ParallelExecutorFactory).
pub trait Handling: Clone + fmt::Debug + Send + Sync + 'static {
    /// Runs the transaction in the context of `evm`.
    ///
    /// # Errors
    ///
    /// Those of the handler. Errors of the database must be handed on.
    fn run<EVM>(&self, evm: &mut EVM) -> Result<ExecutionResult, HandlingError<EVM>>
    where
        EVM: EvmTr<
                Context: ContextTr<Journal: JournalTr<State = EvmState>, Local: LocalContextTr>,
                Frame = EthFrame<EthInterpreter>,
            >;

    /// The most that a transaction can cost its sender, or nothing if no account has so much. A sender
    /// that has it may not fail for lack of funds outside the execution.
    fn most_cost(&self, transaction: &TxEnv) -> Option<U256> {
        transaction.max_balance_spending().ok()
    }

    /// The accounts whose balance, nonce or existence decides something beyond what decides it on
    /// mainnet. The sender may be among them.
    fn looks_at(&self, _transaction: &TxEnv) -> impl IntoIterator<Item = Address> {
        []
    }
}

/// As mainnet does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mainnet;

impl Handling for Mainnet {
    #[inline]
    fn run<EVM>(&self, evm: &mut EVM) -> Result<ExecutionResult, HandlingError<EVM>>
    where
        EVM: EvmTr<
                Context: ContextTr<Journal: JournalTr<State = EvmState>, Local: LocalContextTr>,
                Frame = EthFrame<EthInterpreter>,
            >,
    {
        MainnetHandler::default().run(evm)
    }
}
