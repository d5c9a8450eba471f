//! What a machine runs on: the committed state, or a speculative run's view.
//!
//! A view must be told what a run looks at. Where revm looks at a balance, a nonce or at emptiness,
//! a hook stands: in front of new frames, in the handler's wrapper, and around a few instructions.
//! On committed state all of them are nothing.

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

/// Whether anybody takes notes of what a run looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notes {
    /// Nobody: what is committed needs no judging.
    None,
    /// The view.
    Taken,
}

/// A state that a machine can run on.
pub(crate) trait TrackedDb: Database + Sized {
    /// Who takes notes of what a run looks at.
    const NOTES: Notes = Notes::None;

    /// Puts this ground's hooks around instructions.
    fn hook(_instructions: &mut EthInstructions<EthInterpreter, MachineContext<'_, Self>>) {}

    /// Whether an account that has storage in the base, and nothing else, still has it.
    fn still_has_storage(&self, address: &Address) -> Result<bool, Self::Error>;

    /// The run spends from an account, or checks that it could.
    fn spends(&mut self, _address: Address, _account: &Account, _amount: U256) {}

    /// The run gives to an account.
    fn gives(&mut self, _address: Address, _account: &Account, _amount: U256) {}

    /// An account is about to create a contract at an address.
    fn creates(&mut self, _creator: Address, _account: &Account, _created: Address) {}
}

impl<B: Base> TrackedDb for Overlay<B> {
    fn still_has_storage(&self, address: &Address) -> Result<bool, B::Error> {
        Ok(!self.is_renewed(address))
    }
}

impl<B: Base> TrackedDb for View<'_, B> {
    const NOTES: Notes = Notes::Taken;

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

    fn creates(&mut self, creator: Address, account: &Account, created: Address) {
        View::creates(self, creator, account, created);
    }
}

type Host<'a, 'm, B> = MachineContext<'a, View<'m, B>>;
type Stage<'s, 'a, 'm, B> = InstructionContext<'s, Host<'a, 'm, B>, EthInterpreter>;

/// The view, and the account if the run has loaded it.
fn with_account<B: Base>(
    host: &mut Host<'_, '_, B>,
    address: Address,
    note: impl FnOnce(&mut View<'_, B>, &Account),
) {
    let journal = &mut host.journaled_state;
    if let Some(account) = journal.inner.state.get(&address) {
        note(&mut journal.database, account);
    }
}

/// A word of the stack, counted from its top, as an address.
fn address_at<B: Base>(stage: &Stage<'_, '_, '_, B>, depth: usize) -> Option<Address> {
    word_at(stage, depth).map(|word| Address::from_word(word.into()))
}

fn word_at<B: Base>(stage: &Stage<'_, '_, '_, B>, depth: usize) -> Option<U256> {
    let words = stage.interpreter.stack.data();
    words.len().checked_sub(depth + 1).map(|position| words[position])
}

fn again<'s, 'a, 'm, B: Base>(stage: &'s mut Stage<'_, 'a, 'm, B>) -> Stage<'s, 'a, 'm, B> {
    InstructionContext { interpreter: stage.interpreter, host: stage.host }
}

fn balance<B: Base>(mut stage: Stage<'_, '_, '_, B>) -> InstructionExecResult {
    let address = address_at(&stage, 0);
    let result = host::balance(again(&mut stage));
    if let Some(address) = address {
        with_account(stage.host, address, |view, account| view.looks_at_balance(address, account));
    }
    result
}

fn selfbalance<B: Base>(mut stage: Stage<'_, '_, '_, B>) -> InstructionExecResult {
    let address = stage.interpreter.input.target_address();
    let result = host::selfbalance(again(&mut stage));
    with_account(stage.host, address, |view, account| view.looks_at_balance(address, account));
    result
}

fn extcodehash<B: Base>(mut stage: Stage<'_, '_, '_, B>) -> InstructionExecResult {
    let address = address_at(&stage, 0);
    let result = host::extcodehash(again(&mut stage));
    if let Some(address) = address {
        with_account(stage.host, address, |view, account| {
            view.looks_at_emptiness(address, account, account.info.balance);
        });
    }
    result
}

/// What a new account costs depends on whether it is empty: after EIP-161 only if it is sent a
/// value.
fn call<B: Base>(mut stage: Stage<'_, '_, '_, B>) -> InstructionExecResult {
    let is_always_charged = !stage.interpreter.runtime_flag.spec_id().is_enabled_in(SpecId::SPURIOUS_DRAGON);
    let has_value = word_at(&stage, 2).is_some_and(|value| !value.is_zero());
    let callee = address_at(&stage, 1).filter(|_| has_value || is_always_charged);
    let result = contract::call::<{ opcode::CALL }, _, _>(again(&mut stage));
    if let Some(callee) = callee {
        with_account(stage.host, callee, |view, account| {
            view.looks_at_emptiness(callee, account, account.info.balance);
        });
    }
    result
}

/// From EIP-8037 on a creation that the creator cannot pay, or not count, ends before there is a frame.
fn create<const IS_CREATE2: bool, B: Base>(mut stage: Stage<'_, '_, '_, B>) -> InstructionExecResult {
    let creator = stage.interpreter.input.target_address();
    let value = word_at(&stage, 0);
    let result = contract::create::<IS_CREATE2, _, _>(again(&mut stage));
    if result != Err(InstructionResult::Suspend)
        && let Some(value) = value
    {
        with_account(stage.host, creator, |view, account| {
            view.spends(creator, account, value);
            view.looks_at_nonce(creator, account);
        });
    }
    result
}

/// The whole balance moves, whatever it is.
fn selfdestruct<B: Base>(mut stage: Stage<'_, '_, '_, B>) -> InstructionExecResult {
    let address = stage.interpreter.input.target_address();
    let heir = address_at(&stage, 0);
    let balance_of = |host: &Host<'_, '_, B>, address| {
        host.journaled_state.inner.state.get(&address).map_or(U256::ZERO, |account| account.info.balance)
    };
    let before = balance_of(stage.host, address);
    let result = host::selfdestruct(again(&mut stage));
    let moved = before.saturating_sub(balance_of(stage.host, address));
    with_account(stage.host, address, |view, account| view.looks_at_balance(address, account));
    if let Some(heir) = heir.filter(|heir| *heir != address) {
        with_account(stage.host, heir, |view, account| {
            view.looks_at_emptiness(heir, account, account.info.balance.saturating_sub(moved));
            view.gives(heir, account, moved);
        });
    }
    result
}

/// Every loop comes along here: a run that nobody wants ends.
fn jumpdest<B: Base>(mut stage: Stage<'_, '_, '_, B>) -> InstructionExecResult {
    if let Err(interrupt) = stage.host.journaled_state.database.check_not_stale() {
        stage.host.error = Err(ContextError::Db(interrupt));
        return Err(InstructionResult::FatalExternalError);
    }
    control::jumpdest(again(&mut stage))
}
