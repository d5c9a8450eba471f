//! What watches the runs of a machine: nothing, or an inspector of revm.
//!
//! The choice is a type, so a machine without an inspector is as fast as if there were none. Handlers know nothing of
//! it: an inspector stands between the handler and the frames.

use alloy_evm::IntoTxEnv;
use revm::{
    Inspector,
    context::{FrameStack, TxEnv},
    context_interface::{Transaction, result::ExecutionResult},
    handler::{
        EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameResult, FrameTr,
        evm::{ContextDbError, FrameInitResult},
        instructions::EthInstructions,
    },
    inspector::InspectorEvmTr,
    interpreter::{interpreter::EthInterpreter, interpreter_action::FrameInit},
};

use crate::evm::{
    eip7610::{Eip7610Evm, MachineContext},
    handling::{Handling, HandlingError},
    tracked_db::TrackedDb,
    transaction::Input,
};

/// What watches the runs of a machine on the database `D`.
pub(crate) trait Watch<'a, D: TrackedDb>: Sized {
    /// The type of the transaction in the EVM's context.
    type Tx: Transaction + From<Input<'a>> + IntoTxEnv<Self::Tx>;

    /// Installs the hooks of the database around instructions, if there are any.
    fn hook(instructions: &mut EthInstructions<EthInterpreter, MachineContext<'a, D, Self::Tx>>);

    /// Runs the transaction in the context of `evm`.
    fn run<H: Handling>(
        handling: &H,
        evm: &mut Eip7610Evm<'a, D, Self>,
    ) -> Result<ExecutionResult, HandlingError<Eip7610Evm<'a, D, Self>>>;
}

/// Nothing watches.
impl<'a, D: TrackedDb> Watch<'a, D> for () {
    type Tx = Input<'a>;

    fn hook(instructions: &mut EthInstructions<EthInterpreter, MachineContext<'a, D>>) {
        D::hook(instructions);
    }

    #[inline]
    fn run<H: Handling>(
        handling: &H,
        evm: &mut Eip7610Evm<'a, D, ()>,
    ) -> Result<ExecutionResult, HandlingError<Eip7610Evm<'a, D, ()>>> {
        handling.run(evm)
    }
}

/// An inspector watches. Databases with hooks have none.
pub(crate) struct Inspected<'i, I>(pub(crate) &'i mut I);

impl<'a, D: TrackedDb, I: Inspector<MachineContext<'a, D, TxEnv>>> Watch<'a, D> for Inspected<'_, I> {
    /// revm's own type, which inspectors may expect.
    type Tx = TxEnv;

    fn hook(_instructions: &mut EthInstructions<EthInterpreter, MachineContext<'a, D, TxEnv>>) {}

    fn run<H: Handling>(
        handling: &H,
        evm: &mut Eip7610Evm<'a, D, Self>,
    ) -> Result<ExecutionResult, HandlingError<Eip7610Evm<'a, D, Self>>> {
        handling.run(&mut InspectingEvm(evm))
    }
}

impl<'a, D: TrackedDb, I: Inspector<MachineContext<'a, D, TxEnv>>> InspectorEvmTr
    for Eip7610Evm<'a, D, Inspected<'_, I>>
{
    type Inspector = I;

    fn all_inspector(
        &self,
    ) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>, &I) {
        let evm = &self.inner;
        (&evm.ctx, &evm.instruction, &evm.precompiles, &evm.frame_stack, &*evm.inspector.0)
    }

    fn all_mut_inspector(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Self::Frame>,
        &mut I,
    ) {
        let evm = &mut self.inner;
        (
            &mut evm.ctx,
            &mut evm.instruction,
            &mut evm.precompiles,
            &mut evm.frame_stack,
            &mut *evm.inspector.0,
        )
    }
}

/// An EVM whose frames call the inspector, whatever handler runs them.
struct InspectingEvm<'e, E>(&'e mut E);

impl<'a, D: TrackedDb, I: Inspector<MachineContext<'a, D, TxEnv>>> EvmTr
    for InspectingEvm<'_, Eip7610Evm<'a, D, Inspected<'_, I>>>
{
    type Context = MachineContext<'a, D, TxEnv>;
    type Instructions = EthInstructions<EthInterpreter, Self::Context>;
    type Precompiles = EthPrecompiles;
    type Frame = EthFrame<EthInterpreter>;

    fn all(&self) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>) {
        self.0.all()
    }

    fn all_mut(
        &mut self,
    ) -> (&mut Self::Context, &mut Self::Instructions, &mut Self::Precompiles, &mut FrameStack<Self::Frame>)
    {
        self.0.all_mut()
    }

    fn frame_init(
        &mut self,
        init: FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextDbError<Self::Context>> {
        self.0.inspect_frame_init(init)
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        self.0.inspect_frame_run()
    }

    fn frame_return_result(
        &mut self,
        result: <Self::Frame as FrameTr>::FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Self::Context>> {
        self.0.frame_return_result(result)
    }
}
