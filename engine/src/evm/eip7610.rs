//! revm's EVM, extended by the check of EIP-7610: no contract is created at an address with storage.
//!
//! Before EIP-161 an account could have storage without nonce and code. revm checks only nonce and code
//! of the created address, because databases do not tell whether an account has any storage. No new
//! account of this kind can come into existence, so the chain's rules list them.

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
    tracked_db::{TrackedDb, Tracking},
    transaction::Input,
    watch::Watch,
};

/// The context of revm's EVM.
pub(crate) type MachineContext<'a, D, T = Input<'a>> = Context<BlockEnv, T, CfgEnv, D>;

/// The greatest call depth at which a contract can be created.
const CALL_STACK_LIMIT: usize = 1024;

/// revm's EVM, and the addresses of accounts with nothing but storage in the base.
pub(crate) struct Eip7610Evm<'a, D: TrackedDb, W: Watch<'a, D>> {
    pub(super) inner: MainnetEvm<MachineContext<'a, D, W::Tx>, W>,
    pub(super) storage_only: Option<Arc<AddressSet>>,
}

impl<'a, D: TrackedDb, W: Watch<'a, D>> Eip7610Evm<'a, D, W> {
    /// The address that the frame creates, if it has nothing but storage; `None` as well if revm
    /// refuses the creation for an earlier reason.
    fn storage_only_address(&mut self, init: &FrameInit) -> Result<Option<Address>, D::Error> {
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
        // revm loads this account next, so loading it here changes no gas.
        let info = &journal.load_account(address)?.info;
        let has_neither = info.nonce == 0 && info.is_empty_code_hash();
        Ok((has_neither && journal.database.still_has_storage(&address)?).then_some(address))
    }

    /// Tells the database which balances a new frame depends on.
    fn track(&mut self, init: &FrameInit) {
        let journal = &mut self.inner.ctx.journaled_state;
        let (state, database) = (&journal.inner.state, &mut journal.database);
        match &init.frame_input {
            FrameInput::Call(inputs) => {
                let Some(value) = inputs.transfer_value().filter(|value| !value.is_zero()) else { return };
                if let Some(account) = state.get(&inputs.caller) {
                    database.spends(inputs.caller, account, value);
                }
                if let Some(account) = state.get(&inputs.target_address) {
                    database.gives(inputs.target_address, account, value);
                }
            }
            FrameInput::Create(inputs) => {
                let caller = inputs.caller();
                let Some(account) = state.get(&caller) else { return };
                database.spends(caller, account, inputs.value());
                let created = inputs.created_address(account.info.nonce);
                database.creates(caller, account, created, inputs.value());
            }
            FrameInput::Empty => {}
        }
    }

    fn nonce_of(&mut self, address: Address) -> &mut u64 {
        let account = self.inner.ctx.journaled_state.inner.state.get_mut(&address);
        &mut account.expect("`storage_only_address` loaded the account").info.nonce
    }
}

impl<'a, D: TrackedDb, W: Watch<'a, D>> EvmTr for Eip7610Evm<'a, D, W> {
    type Context = MachineContext<'a, D, W::Tx>;
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
        if D::TRACKING == Tracking::On {
            self.track(&init);
        }
        let Some(address) = self.storage_only_address(&init)? else {
            return self.inner.frame_init(init);
        };
        // During revm's own check the account has a nonce, so that revm refuses the creation.
        *self.nonce_of(address) = 1;
        let refused = match self.inner.frame_init(init)? {
            ItemOrResult::Result(refused) => refused,
            ItemOrResult::Item(_) => unreachable!("revm creates no contract at an account with a nonce"),
        };
        *self.nonce_of(address) = 0;
        Ok(ItemOrResult::Result(refused))
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
