//! revm's EVM, which also knows the creations that EIP-7610 forbids.
//!
//! Before EIP-161 an account could get storage and yet have neither nonce nor code. Creating a
//! contract at such an address is a collision. revm looks at nonce and code only, because no
//! database answers whether an account has any storage. No such account can come about any more,
//! so a chain's rules can simply name them.

use std::sync::Arc;

use alloy_primitives::{Address, map::AddressSet};
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

use crate::evm::{
    tracked_db::{TrackedDb, Notes},
    transaction::Input,
};

/// What revm executes in.
pub(crate) type MachineContext<'a, D> = Context<BlockEnv, Input<'a>, CfgEnv, D>;

/// The deepest call that may still create.
const CALL_STACK_LIMIT: usize = 1024;

/// revm's EVM and the addresses at which creation collides whatever revm thinks of them.
pub(super) struct Evm<'a, D: TrackedDb> {
    pub(super) inner: MainnetEvm<MachineContext<'a, D>>,
    pub(super) storage_only: Option<Arc<AddressSet>>,
}

impl<D: TrackedDb> Evm<'_, D> {
    /// The address that a frame is about to create and that has nothing but storage, unless revm
    /// refuses the creation before it comes to collisions.
    fn colliding_address(&mut self, init: &FrameInit) -> Result<Option<Address>, D::Error> {
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
        Ok((has_neither && journal.database.still_has_storage(&address)?).then_some(address))
    }

    /// Notes what a new frame looks at.
    fn note(&mut self, init: &FrameInit) {
        let journal = &mut self.inner.ctx.journaled_state;
        let (state, ground) = (&journal.inner.state, &mut journal.database);
        match &init.frame_input {
            FrameInput::Call(inputs) => {
                let Some(value) = inputs.transfer_value().filter(|value| !value.is_zero()) else { return };
                if let Some(account) = state.get(&inputs.caller) {
                    ground.spends(inputs.caller, account, value);
                }
                if let Some(account) = state.get(&inputs.target_address) {
                    ground.gives(inputs.target_address, account, value);
                }
            }
            FrameInput::Create(inputs) => {
                let caller = inputs.caller();
                let Some(account) = state.get(&caller) else { return };
                ground.spends(caller, account, inputs.value());
                ground.creates(caller, account, inputs.created_address(account.info.nonce));
            }
            FrameInput::Empty => {}
        }
    }

    fn nonce_of(&mut self, address: Address) -> &mut u64 {
        let account = self.inner.ctx.journaled_state.inner.state.get_mut(&address);
        &mut account.expect("the account was loaded when the collision was found").info.nonce
    }
}

impl<'a, D: TrackedDb> EvmTr for Evm<'a, D> {
    type Context = MachineContext<'a, D>;
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
        if D::NOTES == Notes::Taken {
            self.note(&init);
        }
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
