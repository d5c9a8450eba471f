//! A tracked database: the state under an EVM, with hooks for the parts of accounts that a run reads.
//!
//! revm loads whole accounts. A speculative run's view must know whether the run depends on a balance,
//! a nonce, or on emptiness. The hooks are called before new frames, after the run, and around a few
//! instructions. On committed state they do nothing.

use alloy_primitives::{Address, U256};
use blockloom_state::{Base, Interrupt, Overlay, View};
use revm::{
    Database,
    bytecode::opcode,
    context_interface::context::ContextError,
    handler::instructions::EthInstructions,
    interpreter::{
        InstructionContext, InstructionExecResult, InstructionResult,
        instructions::{Instruction, contract, control, host},
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr, RuntimeFlag},
    },
    primitives::hardfork::SpecId,
    state::Account,
};

use crate::evm::eip7610::MachineContext;

/// Whether a database records the reads of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// It does not: runs on committed state are not validated.
    Off,
    /// It does.
    On,
}

/// A database that an EVM runs on.
pub(crate) trait TrackedDb: Database + Sized {
    /// Whether the hooks below do anything.
    const TRACKING: Tracking = Tracking::Off;

    /// Installs the hooks around instructions.
    fn hook(_instructions: &mut EthInstructions<EthInterpreter, MachineContext<'_, Self>>) {}

    /// Whether an account that the chain lists as one with only storage still has it. The account was read.
    fn still_has_storage(&self, address: &Address) -> Result<bool, Self::Error>;

    /// The run subtracts from a balance, or checks that it could.
    fn spends(&mut self, _address: Address, _account: &Account, _amount: U256) {}

    /// The run adds to a balance.
    fn gives(&mut self, _address: Address, _account: &Account, _amount: U256) {}

    /// An account creates a contract at an address, and gives it an amount.
    fn creates(&mut self, _creator: Address, _account: &Account, _created: Address, _amount: U256) {}
}

impl<B: Base> TrackedDb for Overlay<B> {
    fn still_has_storage(&self, address: &Address) -> Result<bool, B::Error> {
        Ok(self.keeps_storage_of_base(address))
    }
}

impl<B: Base + ?Sized> TrackedDb for View<'_, B> {
    const TRACKING: Tracking = Tracking::On;

    fn hook(instructions: &mut EthInstructions<EthInterpreter, MachineContext<'_, Self>>) {
        let table = instructions.instruction_table_mut();
        table[usize::from(opcode::BALANCE)] = Instruction::new(balance);
        table[usize::from(opcode::SELFBALANCE)] = Instruction::new(selfbalance);
        table[usize::from(opcode::EXTCODEHASH)] = Instruction::new(extcodehash);
        table[usize::from(opcode::CALL)] = Instruction::new(call);
        table[usize::from(opcode::CREATE)] = Instruction::new(create::<false, B>);
        table[usize::from(opcode::CREATE2)] = Instruction::new(create::<true, B>);
        table[usize::from(opcode::SELFDESTRUCT)] = Instruction::new(selfdestruct);
        table[usize::from(opcode::JUMPDEST)] = Instruction::new(jumpdest);
    }

    fn still_has_storage(&self, _address: &Address) -> Result<bool, Self::Error> {
        Err(Interrupt::NeedsFrontier)
    }

    fn spends(&mut self, address: Address, account: &Account, amount: U256) {
        View::spends(self, address, account, amount);
    }

    fn gives(&mut self, address: Address, account: &Account, amount: U256) {
        View::gives(self, address, account, amount);
    }

    fn creates(&mut self, creator: Address, account: &Account, created: Address, amount: U256) {
        View::creates(self, creator, account, created, amount);
    }
}

type Host<'a, 'm, B> = MachineContext<'a, View<'m, B>>;
type HookContext<'s, 'a, 'm, B> = InstructionContext<'s, Host<'a, 'm, B>, EthInterpreter>;

/// Calls `note` with the view and the account, if the run has loaded the account.
fn with_account<B: Base + ?Sized>(
    host: &mut Host<'_, '_, B>,
    address: Address,
    note: impl FnOnce(&mut View<'_, B>, &Account),
) {
    let journal = &mut host.journaled_state;
    if let Some(account) = journal.inner.state.get(&address) {
        note(&mut journal.database, account);
    }
}

/// The word at `depth` below the top of the stack, as an address.
fn address_at<B: Base + ?Sized>(context: &HookContext<'_, '_, '_, B>, depth: usize) -> Option<Address> {
    word_at(context, depth).map(|word| Address::from_word(word.into()))
}

fn word_at<B: Base + ?Sized>(context: &HookContext<'_, '_, '_, B>, depth: usize) -> Option<U256> {
    let words = context.interpreter.stack.data();
    words.len().checked_sub(depth + 1).map(|position| words[position])
}

fn reborrow<'s, 'a, 'm, B: Base + ?Sized>(
    context: &'s mut HookContext<'_, 'a, 'm, B>,
) -> HookContext<'s, 'a, 'm, B> {
    InstructionContext { interpreter: context.interpreter, host: context.host }
}

fn balance<B: Base + ?Sized>(mut context: HookContext<'_, '_, '_, B>) -> InstructionExecResult {
    let address = address_at(&context, 0);
    let result = host::balance(reborrow(&mut context));
    if let Some(address) = address {
        with_account(context.host, address, |view, account| view.looks_at_balance(address, account));
    }
    result
}

fn selfbalance<B: Base + ?Sized>(mut context: HookContext<'_, '_, '_, B>) -> InstructionExecResult {
    let address = context.interpreter.input.target_address();
    let result = host::selfbalance(reborrow(&mut context));
    with_account(context.host, address, |view, account| view.looks_at_balance(address, account));
    result
}

fn extcodehash<B: Base + ?Sized>(mut context: HookContext<'_, '_, '_, B>) -> InstructionExecResult {
    let address = address_at(&context, 0);
    let result = host::extcodehash(reborrow(&mut context));
    if let Some(address) = address {
        with_account(context.host, address, |view, account| {
            view.looks_at_emptiness(address, account, account.info.balance);
        });
    }
    result
}

/// The gas of a call depends on whether the callee is empty; after EIP-161 only if the call has a value.
fn call<B: Base + ?Sized>(mut context: HookContext<'_, '_, '_, B>) -> InstructionExecResult {
    let is_always_charged =
        !context.interpreter.runtime_flag.spec_id().is_enabled_in(SpecId::SPURIOUS_DRAGON);
    let has_value = word_at(&context, 2).is_some_and(|value| !value.is_zero());
    let callee = address_at(&context, 1).filter(|_| has_value || is_always_charged);
    let result = contract::call::<{ opcode::CALL }, _, _>(reborrow(&mut context));
    if let Some(callee) = callee {
        with_account(context.host, callee, |view, account| {
            view.looks_at_emptiness(callee, account, account.info.balance);
        });
    }
    result
}

/// From EIP-8037 on, a creation that fails for the creator's balance or nonce ends without a frame.
fn create<const IS_CREATE2: bool, B: Base + ?Sized>(
    mut context: HookContext<'_, '_, '_, B>,
) -> InstructionExecResult {
    let creator = context.interpreter.input.target_address();
    let value = word_at(&context, 0);
    let result = contract::create::<IS_CREATE2, _, _>(reborrow(&mut context));
    if result != Err(InstructionResult::Suspend)
        && let Some(value) = value
    {
        with_account(context.host, creator, |view, account| {
            view.spends(creator, account, value);
            view.looks_at_nonce(creator, account);
        });
    }
    result
}

/// The whole balance moves, so the run depends on its exact value.
fn selfdestruct<B: Base + ?Sized>(mut context: HookContext<'_, '_, '_, B>) -> InstructionExecResult {
    let address = context.interpreter.input.target_address();
    let beneficiary = address_at(&context, 0);
    let balance_of = |host: &Host<'_, '_, B>, address| {
        host.journaled_state.inner.state.get(&address).map_or(U256::ZERO, |account| account.info.balance)
    };
    let before = balance_of(context.host, address);
    let result = host::selfdestruct(reborrow(&mut context));
    let moved = before.saturating_sub(balance_of(context.host, address));
    with_account(context.host, address, |view, account| view.looks_at_balance(address, account));
    if let Some(beneficiary) = beneficiary.filter(|beneficiary| *beneficiary != address) {
        with_account(context.host, beneficiary, |view, account| {
            view.looks_at_emptiness(beneficiary, account, account.info.balance.saturating_sub(moved));
            view.gives(beneficiary, account, moved);
        });
    }
    result
}

/// Every loop passes a JUMPDEST, so a stale run ends here.
fn jumpdest<B: Base + ?Sized>(mut context: HookContext<'_, '_, '_, B>) -> InstructionExecResult {
    if let Err(interrupt) = context.host.journaled_state.database.check_not_stale() {
        context.host.error = Err(ContextError::Db(interrupt));
        return Err(InstructionResult::FatalExternalError);
    }
    control::jumpdest(reborrow(&mut context))
}
