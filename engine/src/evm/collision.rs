//! revm's EVM, which also knows the creations that EIP-7610 forbids.
//!
//! Before EIP-161 an account could get storage and yet have neither nonce nor code. Creating a
//! contract at such an address is a collision. revm looks at nonce and code only, because no
//! database answers whether an account has any storage. No such account can come about any more,
//! so a chain's rules can simply name them.

use std::sync::Arc;

use alloy_primitives::{Address, map::AddressSet};
use blockloom_state::{Base, Overlay};
use revm::{
    Context,
    context::{BlockEnv, CfgEnv, FrameStack},
    context_interface::JournalTr,
    handler::{
        EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameTr, ItemOrResult, MainnetEvm,
        evm::{ContextDbError, FrameInitResult},
        instructions::EthInstructions,
    },
    interpreter::{FrameInput, interpreter::EthInterpreter, interpreter_action::FrameInit},
};

use super::transaction::Input;

/// What revm executes in.
pub(super) type MachineContext<'a, B> = Context<BlockEnv, Input<'a>, CfgEnv, Overlay<B>>;

/// The deepest call that may still create.
const CALL_STACK_LIMIT: usize = 1024;

/// revm's EVM and the addresses at which creation collides whatever revm thinks of them.
pub(super) struct Evm<'a, B: Base> {
    pub(super) inner: MainnetEvm<MachineContext<'a, B>>,
    pub(super) storage_only: Option<Arc<AddressSet>>,
}

impl<B: Base> Evm<'_, B> {
    /// The address that a frame is about to create and that has nothing but storage, unless revm
    /// refuses the creation before it comes to collisions.
    fn colliding_address(&mut self, init: &FrameInit) -> Result<Option<Address>, B::Error> {
        let (Some(storage_only), FrameInput::Create(inputs)) = (&self.storage_only, &init.frame_input) else {
            return Ok(None);
        };
        let journal = &mut self.inner.ctx.journaled_state;
        let caller = &journal.load_account(inputs.caller())?.info;
        let is_refused_earlier =
            init.depth > CALL_STACK_LIMIT || caller.balance < inputs.value() || caller.nonce == u64::MAX;
        let address = inputs.created_address(caller.nonce);
        if is_refused_earlier || !storage_only.contains(&address) {
            return Ok(None);
        }
        // revm is about to load the account as well, so loading it here changes nothing.
        let info = &journal.load_account(address)?.info;
        let has_neither = info.nonce == 0 && info.is_empty_code_hash();
        let still_has_storage = !journal.database.is_renewed(&address);
        Ok((has_neither && still_has_storage).then_some(address))
    }

    fn nonce_of(&mut self, address: Address) -> &mut u64 {
        let account = self.inner.ctx.journaled_state.inner.state.get_mut(&address);
        &mut account.expect("the account was loaded when the collision was found").info.nonce
    }
}

impl<'a, B: Base> EvmTr for Evm<'a, B> {
    type Context = MachineContext<'a, B>;
    type Instructions = EthInstructions<EthInterpreter, Self::Context>;
    type Precompiles = EthPrecompiles;
    type Frame = EthFrame<EthInterpreter>;

    #[inline]
    fn all(&self) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>) {
        self.inner.all()
    }

    #[inline]
    fn all_mut(
        &mut self,
    ) -> (&mut Self::Context, &mut Self::Instructions, &mut Self::Precompiles, &mut FrameStack<Self::Frame>)
    {
        self.inner.all_mut()
    }

    #[inline]
    fn frame_init(
        &mut self,
        init: <Self::Frame as FrameTr>::FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextDbError<Self::Context>> {
        let Some(address) = self.colliding_address(&init)? else {
            return self.inner.frame_init(init);
        };
        // For the moment of the check the account has what revm looks for in a collision.
        *self.nonce_of(address) = 1;
        let collision = match self.inner.frame_init(init)? {
            ItemOrResult::Result(collision) => collision,
            ItemOrResult::Item(_) => unreachable!("an account with a nonce is not created again"),
        };
        *self.nonce_of(address) = 0;
        Ok(ItemOrResult::Result(collision))
    }

    #[inline]
    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        self.inner.frame_run()
    }

    #[inline]
    fn frame_return_result(
        &mut self,
        result: <Self::Frame as FrameTr>::FrameResult,
    ) -> Result<Option<<Self::Frame as FrameTr>::FrameResult>, ContextDbError<Self::Context>> {
        self.inner.frame_return_result(result)
    }
}
