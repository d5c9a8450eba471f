//! The scene of a block: what most of its transactions are about, and the addresses at which they create
//! contracts.

use alloy_hardforks::EthereumHardfork::{self, *};
use alloy_primitives::{Address, B256, U256, keccak256};
use blockloom_state::Allocation;
use revm::bytecode::opcode::{BLOCKHASH, CALL, CALLVALUE, COINBASE, GASPRICE, ORIGIN, SLOAD};

use crate::{
    act::{AccountOperand, Act, AfterCreate, Child, Reading},
    actors::{ABSENT, CONTRACTS, PLAIN_COINBASE, RIPEMD, UNFUNDED, contract, sender},
    assemble::has_create2,
    choices::Choices,
    init_code::init_code,
    message::{Amount, Message, To},
    occupant::Occupant,
    program::{FAILING, SLOTS, endowment, environment, huge, program, returned, word},
    theme::Theme,
};

/// The number of contracts that create a known child: the first ones.
pub(crate) const PARENTS: u8 = 2;

/// The contract that a parent creates in each of its calls.
#[derive(Clone, Copy, Debug)]
struct KnownChild {
    child: Child,
    salt: Option<u8>,
    after: AfterCreate,
}

impl KnownChild {
    fn new(theme: Theme, fork: EthereumHardfork, choices: &mut Choices<'_>) -> Self {
        use AfterCreate::{Nothing, Pay};
        let salt = Some(choices.of(&[0, 0, 1]));
        let (child, after) = match theme {
            Theme::Mixed | Theme::StorageOnly | Theme::Huge => (Child::Destructible, Nothing),
            // From Cancun on only the transaction that creates a contract destroys it (EIP-6780).
            Theme::Lives if fork >= Cancun => choices.of(&[
                (Child::Destructible, Pay),
                (Child::Destructible, Pay),
                (Child::DestroyedInInit, Nothing),
                (Child::Destructible, Nothing),
            ]),
            Theme::Lives => (Child::Destructible, Nothing),
            Theme::Touches => {
                choices.of(&[(Child::Destructible, Nothing), (Child::DestroyedInInit, Nothing)])
            }
            Theme::Creations => (choices.of(&FAILING), Nothing),
            Theme::Environment => {
                (Child::Varying(choices.of(&[ORIGIN, ORIGIN, GASPRICE, COINBASE, BLOCKHASH])), Nothing)
            }
            Theme::StaleEffects => (Child::StorageOnly, Nothing),
        };
        Self { child, salt, after }
    }

    /// The address of the child. If each creation has another address, it is that of the first.
    fn address(&self, parent: u8, fork: EthereumHardfork) -> Address {
        match self.salt.filter(|_| has_create2(fork)) {
            Some(salt) => {
                contract(parent).create2(B256::with_last_byte(salt), keccak256(init_code(self.child)))
            }
            None => contract(parent).create(1),
        }
    }

    fn act(&self, value: U256) -> Act {
        let Self { child, salt, after } = *self;
        Act::Create { child, salt, value, after }
    }
}

/// What a block is about.
#[derive(Debug)]
pub(crate) struct Scene {
    fork: EthereumHardfork,
    pub(crate) theme: Theme,
    known_children: Vec<KnownChild>,
    /// The addresses at which parents and transactions create contracts.
    created: Vec<Address>,
    /// The accounts that transactions and contracts use: those above, and others.
    targets: Vec<Address>,
}

impl Scene {
    pub(crate) fn new(fork: EthereumHardfork, choices: &mut Choices<'_>) -> Self {
        let theme = Theme::new(fork, choices);
        let known_children: Vec<_> = (0..PARENTS).map(|_| KnownChild::new(theme, fork, choices)).collect();
        let of_parents = (0..PARENTS).zip(&known_children);
        let mut created: Vec<_> = of_parents.map(|(parent, child)| child.address(parent, fork)).collect();
        if !has_create2(fork) {
            created.push(contract(0).create(2));
        }
        if matches!(theme, Theme::StorageOnly | Theme::Creations) {
            created.extend((0..3).flat_map(|nonce| [sender(0).create(nonce), sender(1).create(nonce)]));
        }
        let mut targets = created.clone();
        match theme {
            Theme::StorageOnly => targets.extend([RIPEMD, RIPEMD]),
            Theme::Touches => targets.extend([ABSENT, RIPEMD, PLAIN_COINBASE]),
            Theme::StaleEffects => targets.extend([ABSENT, ABSENT, RIPEMD]),
            Theme::Huge => {
                targets.extend([ABSENT, ABSENT, contract(2), contract(3), sender(0), sender(UNFUNDED)]);
            }
            _ => {}
        }
        Self { fork, theme, known_children, created, targets }
    }

    /// Accounts that exist before the block at addresses at which contracts are created.
    pub(crate) fn occupants(&self, choices: &mut Choices<'_>) -> Vec<(Address, Allocation)> {
        let mut occupants = Vec::new();
        for address in &self.created {
            let occupant = Occupant::new(self.theme, self.fork, choices);
            occupants.extend(occupant.map(|occupant| (*address, occupant.allocation(self.fork))));
        }
        occupants
    }

    /// How many acts a contract has beyond those about the theme. A parent has few, because its creation is
    /// undone if a later act fails.
    pub(crate) fn most_other_acts(&self, number: u8) -> usize {
        match self.theme {
            Theme::Mixed => usize::MAX,
            Theme::StaleEffects => 1,
            _ if number < PARENTS => 1,
            _ => usize::MAX,
        }
    }

    /// What a contract does first.
    pub(crate) fn first_acts(&self, number: u8, choices: &mut Choices<'_>) -> Vec<Act> {
        if choices.below(8) == 0 {
            return Vec::new();
        }
        if let Some(child) = self.known_children.get(usize::from(number)) {
            let value = match self.theme {
                Theme::Huge => huge(choices),
                Theme::Lives | Theme::StorageOnly => word(choices.of(&[0, 0, 0, 1])),
                _ => endowment(choices),
            };
            return self.with_condition(child.act(value));
        }
        if self.theme == Theme::StaleEffects {
            let callee = AccountOperand::Input;
            return self.with_condition(Act::Call { opcode: CALL, callee, value: word(1), gas: 40_000 });
        }
        (0..=choices.below(2)).map(|_| self.act(number, choices)).collect()
    }

    /// The act; with stale effects only in every other call, and never in a call with a value. Calls are counted
    /// in slot 0, which every contract has before the block, with an odd value.
    fn with_condition(&self, act: Act) -> Vec<Act> {
        if self.theme != Theme::StaleEffects {
            return vec![act];
        }
        let is_odd = Act::StopIf(Reading::Numbered(SLOAD, 0));
        vec![Act::Increment { slot: 0, by: 1 }, Act::StopIf(Reading::Plain(CALLVALUE)), is_odd, act]
    }

    fn act(&self, number: u8, choices: &mut Choices<'_>) -> Act {
        let slot = number % SLOTS;
        let target = AccountOperand::Constant(self.target(choices));
        let call_with_gas = |value, gas| Act::Call { opcode: CALL, callee: target, value, gas };
        let call = |value| call_with_gas(value, 40_000);
        match self.theme {
            Theme::Mixed | Theme::StaleEffects => Act::Increment { slot, by: 1 },
            Theme::Lives => {
                let answer = Reading::Answer { of: target, input: choices.of(&[1, 3]) };
                match choices.below(5) {
                    0..3 => Act::Store { reading: answer, slot },
                    3 => Act::Log(answer),
                    _ => call(word(1)),
                }
            }
            Theme::StorageOnly | Theme::Touches => {
                call_with_gas(word(choices.of(&[0, 0, 0, 1])), choices.of(&[40_000, 40_000, 0]))
            }
            Theme::Huge => match choices.below(5) {
                0..4 => call(huge(choices)),
                _ => Act::Destroy(target),
            },
            Theme::Creations => Act::Create {
                child: choices.of(&FAILING),
                salt: Some(0),
                value: endowment(choices),
                after: AfterCreate::Nothing,
            },
            Theme::Environment => match choices.below(4) {
                0..2 => Act::Store { reading: environment(choices), slot },
                2 => Act::Log(environment(choices)),
                _ => Act::StopIf(environment(choices)),
            },
        }
    }

    /// The message of a transaction that is about the theme; `None` if the transaction is about nothing in
    /// particular.
    pub(crate) fn message(&self, choices: &mut Choices<'_>) -> Option<Message> {
        let one_in = if matches!(self.theme, Theme::Lives | Theme::Huge) { 4 } else { 2 };
        if self.theme == Theme::Mixed || choices.below(one_in) == 0 {
            return None;
        }
        let target_address = self.target(choices);
        let target = To::Account(target_address);
        let parent = To::Account(contract(choices.of(&[0, 0, 1])));
        let other = To::Account(contract(PARENTS + choices.below(CONTRACTS - PARENTS)));
        let (to, amount) = match (choices.below(8), self.theme) {
            (_, Theme::Mixed) => return None,
            (0..2, Theme::Lives) => (parent, Amount::Wei(0)),
            (2..4, Theme::Lives) => (target, Amount::Wei(1)),
            (4..6, Theme::Lives) => (target, Amount::Wei(0)),
            (0..4, Theme::StorageOnly | Theme::Touches) => (target, Amount::Wei(0)),
            (4, Theme::StorageOnly | Theme::Touches) => (target, Amount::Wei(1)),
            (5..7, Theme::StorageOnly | Theme::Touches) => (parent, Amount::Wei(0)),
            (7, Theme::StorageOnly) => (To::Creation(program(choices)), Amount::Wei(0)),
            (0..5, Theme::Huge) => (target, Amount::Huge(huge(choices))),
            (5, Theme::Huge) => (To::Creation(program(choices)), Amount::Huge(huge(choices))),
            (6, Theme::Huge) => (parent, Amount::Wei(0)),
            (0..3, Theme::StaleEffects) => (parent, Amount::Wei(choices.below(2))),
            (3..6, Theme::StaleEffects) => (target, Amount::Wei(choices.below(2))),
            (0..4, Theme::Creations | Theme::Environment) => (parent, Amount::Wei(choices.below(2))),
            (4..7, Theme::Creations) | (4, Theme::Environment) => {
                (To::Creation(self.init_program(choices)), Amount::Wei(choices.below(2)))
            }
            _ => (other, Amount::Wei(choices.below(2))),
        };
        let input_account = match self.theme {
            Theme::StaleEffects => target_address,
            // Such an input makes a destructible contract read a slot.
            _ => contract(choices.of(&[1, 3])),
        };
        Some(Message { to, amount, input_account })
    }

    /// Init code that ends with a code, which may be refused, or fails.
    fn init_program(&self, choices: &mut Choices<'_>) -> Vec<Act> {
        let mut acts = program(choices);
        acts.truncate(2);
        if self.theme == Theme::Environment {
            acts.push(Act::StopIf(environment(choices)));
        }
        acts.push(match choices.below(4) {
            0..2 => returned(choices),
            2 => Act::Revert,
            _ => Act::Exhaust,
        });
        acts
    }

    /// One of the targets, most often the first.
    fn target(&self, choices: &mut Choices<'_>) -> Address {
        if choices.below(2) == 0 { self.targets[0] } else { choices.of(&self.targets) }
    }
}
