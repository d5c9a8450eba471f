//! Counts opcodes, notable calls and creations, while revm executes a block.

use alloy_hardforks::EthereumHardfork::SpuriousDragon;
use alloy_primitives::{Address, B256, U256};
use blockloom_fuzz::{CacheContext, HostileBlock, StorageCheck};
use revm::{
    Inspector,
    bytecode::opcode::*,
    context_interface::JournalTr as _,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, InstructionResult, Interpreter,
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr as _, Jumps as _},
    },
};

use super::{
    Counts,
    changes::History,
    creations::{Found, InitCodes, end_of},
};

/// The opcodes that read what a transaction or its block sets.
const ENVIRONMENT: [u8; 4] = [ORIGIN, GASPRICE, COINBASE, BLOCKHASH];

/// From this amount on a transfer is huge.
const HUGE: U256 = U256::from_limbs([0, 0, 0, 1 << 8]);

/// A call or creation that is being executed.
#[derive(Debug)]
struct Frame {
    is_creation: bool,
    /// It read a slot of an earlier life of its account.
    read_lost_slot: bool,
    /// It called an account that did so.
    called_reader: bool,
}

/// Counts what happens while a block is executed.
#[derive(Debug)]
pub(super) struct Observer<'h> {
    hostile: &'h HostileBlock,
    pub(super) counts: Counts,
    pub(super) history: History,
    pub(super) check: StorageCheck,
    senders: Vec<Address>,
    frames: Vec<Frame>,
    /// The last opcodes, the latest first.
    opcodes: [u8; 5],
    init_codes: InitCodes,
    /// The empty accounts that were called without value.
    touched: Vec<Address>,
}

impl<'h> Observer<'h> {
    pub(super) fn new(hostile: &'h HostileBlock, counts: Counts) -> Self {
        Self {
            hostile,
            counts,
            history: History::default(),
            check: StorageCheck::new(&hostile.block),
            senders: hostile.block.transactions.iter().map(|transaction| transaction.env.caller).collect(),
            frames: Vec::new(),
            opcodes: [STOP; 5],
            init_codes: InitCodes::default(),
            touched: Vec::new(),
        }
    }

    fn begin(&mut self, is_creation: bool) {
        self.frames.push(Frame { is_creation, read_lost_slot: false, called_reader: false });
    }

    /// Ends a frame; its caller may have got a lost slot from it.
    fn end(&mut self, is_success: bool) {
        let ended = self.frames.pop();
        let read_lost_slot = ended.is_some_and(|frame| frame.read_lost_slot);
        if let Some(caller) = self.frames.last_mut() {
            caller.called_reader |= read_lost_slot && is_success;
        }
    }

    /// Counts uses of opcodes that read the environment.
    fn count_environment(&mut self, opcode: u8) {
        self.opcodes.rotate_right(1);
        self.opcodes[0] = opcode;
        let mut count = |read: u8, what| {
            if ENVIRONMENT.contains(&read) {
                self.counts.count(&format!("{} {what}", OpCode::name_by_op(read)));
            }
        };
        match self.opcodes {
            [SSTORE, PUSH1, read, ..] => count(read, "stored"),
            [JUMPI, PUSH2, AND, PUSH1, read] => count(read, "decides a branch"),
            [read, ..] if self.frames.last().is_some_and(|frame| frame.is_creation) => {
                count(read, "in init code");
            }
            _ => {}
        }
    }

    /// Counts reads of slots that only an earlier life of the account had, and what becomes of them.
    fn count_lost_slots(&mut self, interpreter: &Interpreter<EthInterpreter>) {
        let Some(frame) = self.frames.last_mut() else { return };
        let mut facts = Vec::new();
        match (self.opcodes[0], interpreter.stack.peek(0), interpreter.stack.peek(1)) {
            (SLOAD, Ok(key), _) if !frame.is_creation => {
                let slot = (interpreter.input.target_address(), key);
                if self.history.is_lost(self.hostile, slot) {
                    frame.read_lost_slot = true;
                    facts.push(("slot of an earlier life read", true));
                }
            }
            (LOG1, ..) => facts.push(("slot of an earlier life logged", frame.read_lost_slot)),
            (SSTORE, _, Ok(value)) if value.is_zero() => {
                facts.push(("slot of an earlier life stored elsewhere", frame.called_reader));
                frame.called_reader = false;
            }
            _ => {}
        }
        self.counts.count_facts(&facts);
    }

    /// Counts calls without value to accounts that are empty or absent, before EIP-161.
    fn count_touch(&mut self, context: &mut CacheContext<'_>, address: Address) {
        if self.hostile.block.rules.is_active(SpuriousDragon) {
            return;
        }
        let account = context.journaled_state.load_account(address).unwrap().data;
        let is_absent = account.is_loaded_as_not_existing_not_touched();
        let is_empty = account.is_empty() && !is_absent;
        self.counts.count_facts(&[
            ("empty account called before EIP-161", is_empty),
            ("empty account called again before EIP-161", is_empty && self.touched.contains(&address)),
            (
                "destroyed account called before EIP-161",
                is_absent && self.history.destroyed.contains(&address),
            ),
        ]);
        if is_empty {
            self.touched.push(address);
        }
    }
}

impl<'a> Inspector<CacheContext<'a>> for Observer<'_> {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut CacheContext<'a>) {
        let opcode = interpreter.bytecode.opcode();
        self.counts.count(OpCode::name_by_op(opcode));
        let operand = interpreter.stack.peek(0).ok().map(|word| Address::from_word(B256::from(word)));
        if opcode == BALANCE && operand == Some(context.block.beneficiary) {
            self.counts.count("coinbase's balance read");
        }
        self.count_environment(opcode);
        self.count_lost_slots(interpreter);
    }

    fn call(&mut self, context: &mut CacheContext<'a>, call: &mut CallInputs) -> Option<CallOutcome> {
        self.begin(false);
        let value = call.transfer_value().unwrap_or_default();
        if call.target_address == Address::with_last_byte(3) && call.gas_limit < 600 {
            self.counts.count("RIPEMD-160 without enough gas");
        }
        if call.target_address == Address::with_last_byte(0x99) && call.call_value().is_zero() {
            self.counts.count("no value to an absent account");
        }
        if self.senders.contains(&call.target_address) && !call.known_bytecode.1.is_empty() {
            self.counts.count("delegated code run");
        }
        if call.transfer_value() == Some(U256::ZERO) {
            self.count_touch(context, call.target_address);
        }
        if value >= HUGE {
            self.counts.count("huge value sent");
        }
        None
    }

    fn call_end(&mut self, _: &mut CacheContext<'a>, call: &CallInputs, outcome: &mut CallOutcome) {
        let result = outcome.result.result;
        let is_huge = call.transfer_value().is_some_and(|value| value >= HUGE);
        self.counts.count_facts(&[
            ("huge value received", is_huge && result.is_ok()),
            ("transfer that overflows a balance", result == InstructionResult::OverflowPayment),
        ]);
        self.end(result.is_ok());
    }

    fn create(&mut self, context: &mut CacheContext<'a>, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.begin(true);
        let creator = context.journaled_state.load_account(inputs.caller()).unwrap().data;
        // The inputs keep the address.
        inputs.created_address(creator.info.nonce);
        self.check.create(context, inputs)
    }

    fn create_end(
        &mut self,
        context: &mut CacheContext<'a>,
        inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        let account = context.journaled_state.inner.state.get(&inputs.created_address(0));
        let found = account.map(|account| match account.info.is_empty_code_hash() {
            _ if self.check.is_refusing() => Found::Storage,
            true => Found::Nonce,
            false => Found::Code,
        });
        self.counts.count(end_of(outcome, found));
        if self.init_codes.varies(inputs, outcome) {
            self.counts.count("init code that ends differently");
        }
        self.end(outcome.result.result.is_ok());
        self.check.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, _: Address, _: Address, value: U256) {
        if value >= HUGE {
            self.counts.count("huge balance inherited");
        }
    }
}
