//! Transaction handling around the interpreter: validation, gas payment, and fees.

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

/// The error of a handler on `EVM`.
pub type HandlingError<EVM> = EVMError<<<<EVM as EvmTr>::Context as ContextTr>::Db as Database>::Error>;

/// An EVM that a [`Handling`] runs a transaction on: the bounds of [`Handling::run`] in one name. A [`Handler`] of an
/// embedder is generic over it. Every EVM with these bounds has it.
///
/// ```
/// use blockloom_engine::reexport::revm::{
///     context_interface::result::ExecutionResult,
///     handler::{Handler, MainnetHandler},
/// };
/// use blockloom_engine::{Handling, HandlingError, HandlingEvm};
///
/// #[derive(Clone, Debug)]
/// struct Plain;
///
/// impl Handling for Plain {
///     fn run<EVM: HandlingEvm>(&self, evm: &mut EVM) -> Result<ExecutionResult, HandlingError<EVM>> {
///         MainnetHandler::default().run(evm)
///     }
/// }
/// ```
pub trait HandlingEvm:
    EvmTr<
        Context: ContextTr<Journal: JournalTr<State = EvmState>, Local: LocalContextTr>,
        Frame = EthFrame<EthInterpreter>,
    >
{
}

impl<EVM> HandlingEvm for EVM where
    EVM: EvmTr<
            Context: ContextTr<Journal: JournalTr<State = EvmState>, Local: LocalContextTr>,
            Frame = EthFrame<EthInterpreter>,
        >
{
}

/// How a chain handles its transactions, if it differs from mainnet: usually with a [`Handler`] of its
/// own. [`Engine::with_handling`](crate::Engine::with_handling) takes it.
///
/// The engine runs a transaction speculatively, several times, and on several threads. So the result
/// of a run must depend only on `self` and on reads through `EVM`. The engine records the following
/// observations, and runs the transaction again if one of them does not hold:
///
/// - every slot and every code that the run reads;
/// - that the sender has the transaction's nonce, and a balance of at least
///   [`most_cost`](Self::most_cost);
/// - balance, nonce and existence of the accounts in [`looks_at`](Self::looks_at).
///
/// A handler may add to any balance, and subtract from a balance up to an amount that is recorded as
/// present. If its result depends on anything else of an account, that account must be in
/// [`looks_at`](Self::looks_at). This is asked before the transaction runs, so an account that the run
/// itself chooses cannot be in it.
///
/// One run is one transaction: it leaves no settings in the context, and no other run follows it. The
/// system calls of a block, and [`ParallelExecutorFactory`](crate::ParallelExecutorFactory), always
/// handle transactions as mainnet does.
pub trait Handling: Clone + fmt::Debug + Send + Sync + 'static {
    /// Runs the transaction in the context of `evm`.
    ///
    /// # Errors
    ///
    /// The errors of the handler. Errors of the database must be returned unchanged.
    fn run<EVM: HandlingEvm>(&self, evm: &mut EVM) -> Result<ExecutionResult, HandlingError<EVM>>;

    /// The most that a transaction can cost its sender; `None` if no account can have so much. A sender
    /// with this balance must not fail for lack of funds outside the execution.
    fn most_cost(&self, transaction: &TxEnv) -> Option<U256> {
        transaction.max_balance_spending().ok()
    }

    /// The accounts with a balance, nonce or existence that the result depends on, beyond mainnet's
    /// handling. The sender may be among them.
    fn looks_at(&self, _transaction: &TxEnv) -> impl IntoIterator<Item = Address> {
        []
    }
}

/// Ethereum mainnet's handling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mainnet;

impl Handling for Mainnet {
    #[inline]
    fn run<EVM: HandlingEvm>(&self, evm: &mut EVM) -> Result<ExecutionResult, HandlingError<EVM>> {
        MainnetHandler::default().run(evm)
    }
}
