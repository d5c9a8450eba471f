//! Speculative runs: one EVM on one view of the multi-version memory.

use blockloom_state::{Base, Interrupt, Memory, Record, Sender, TxIndex, Version, View, sync::AtomicBool};
use revm::{
    context::TxEnv,
    context_interface::{
        Transaction as _,
        result::{EVMError, ExecutionResult},
        transaction::AuthorizationTr as _,
    },
};

use crate::{
    block::steps::{Place, Steps},
    evm::{handling::Handling, machine::Machine},
    parallel::traits::{Run, Speculator, Weigh},
};

/// The EVM of one worker.
pub(crate) struct EvmSpeculator<'m, B: Base + ?Sized, H> {
    steps: &'m Steps<'m>,
    /// The position of the block that the machine is set to.
    block: usize,
    machine: Machine<'m, View<'m, B>, H>,
    /// The same handling as in `machine`.
    handling: H,
}

impl<'m, B: Base + ?Sized, H: Handling> EvmSpeculator<'m, B, H> {
    /// An EVM for the transactions of some blocks.
    pub(crate) fn new(steps: &'m Steps<'m>, memory: &'m Memory, base: &'m B, handling: H) -> Self {
        let machine = Machine::new(&steps.blocks()[0], View::new(memory, base), handling.clone(), ());
        Self { steps, block: 0, machine, handling }
    }

    /// The transaction with this index. The machine is set to its block.
    fn enter(&mut self, index: TxIndex) -> &'m TxEnv {
        let Place { block, position } = self.steps.place(index);
        let of_index = &self.steps.blocks()[block];
        if block != self.block {
            self.machine.enter(of_index);
            self.block = block;
        }
        &of_index.transactions[position].env
    }

    /// Records balance, nonce and existence of the accounts that the hooks do not cover: authorities
    /// (EIP-7702), the recipient if the gas depends on whether it is empty, and the accounts that the
    /// chain's handler names.
    fn record_whole_accounts(&mut self, env: &TxEnv) {
        let counts_recipient = self.machine.charges_for_empty_recipients();
        let view = self.machine.database();
        for address in self.handling.looks_at(env) {
            view.looks_at_everything(address);
        }
        for authority in env.authorization_list().filter_map(|authorization| authorization.authority()) {
            view.looks_at_everything(authority);
        }
        if counts_recipient {
            let created = || env.caller.create(env.nonce);
            view.looks_at_everything(env.kind.to().copied().unwrap_or_else(created));
        }
    }
}

impl<'m, B: Base + ?Sized, H: Handling> Speculator<'m> for EvmSpeculator<'m, B, H> {
    type Yield = ExecutionResult;

    fn run(
        &mut self,
        version: Version,
        is_stale: &'m AtomicBool,
        record: &mut Record,
    ) -> Run<ExecutionResult> {
        let env = self.enter(version.index);
        let Some(cost) = self.handling.most_cost(env) else { return Run::GaveUp };
        let sender = Sender { address: env.caller, nonce: env.nonce, cost };
        self.machine.database().begin(version.index, sender, is_stale);
        let result = self.machine.run_raw(env);
        let mut touched = self.machine.take_touched();
        let run = match result {
            Ok(yielded) => {
                self.record_whole_accounts(env);
                match self.machine.database().finish(&mut touched, record) {
                    Ok(()) => Run::Ran(yielded),
                    Err(interrupt) => interrupted(&interrupt),
                }
            }
            Err(EVMError::Database(interrupt)) => interrupted(&interrupt),
            Err(_) => Run::GaveUp,
        };
        self.machine.give_back(touched);
        run
    }
}

impl Weigh for ExecutionResult {
    fn weight(&self) -> u64 {
        self.gas().total_gas_spent()
    }
}

fn interrupted<Y, E>(interrupt: &Interrupt<E>) -> Run<Y> {
    match interrupt {
        Interrupt::Awaits(on) => Run::Awaits(*on),
        Interrupt::Stale => Run::Stale,
        Interrupt::NeedsFrontier | Interrupt::Base(_) => Run::GaveUp,
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use alloy_consensus::Header;
    use alloy_hardforks::EthereumHardfork;
    use blockloom_state::{Incarnation, MemoryStore};

    use super::*;
    use crate::{
        block::{
            block::{Block, Transaction},
            rules::Rules,
        },
        evm::handling::Mainnet,
    };

    #[test]
    fn the_weight_of_a_run_is_its_gas() {
        let env = TxEnv { gas_limit: 50_000, ..TxEnv::default() };
        let header = Header { gas_limit: 1_000_000, ..Header::default() };
        let empty = Block::without_body(Rules::mainnet(EthereumHardfork::Byzantium), &header);
        let block = Block { transactions: vec![Transaction { hash: Default::default(), env }], ..empty };
        let (memory, base, is_stale) = (Memory::default(), MemoryStore::new(), AtomicBool::new(false));
        let version = Version { index: TxIndex::new(0), incarnation: Incarnation::FIRST };
        let blocks = [block];
        let steps = Steps::new(&blocks);
        let mut speculator = EvmSpeculator::new(&steps, &memory, &base, Mainnet);
        let run = speculator.run(version, &is_stale, &mut Record::default());
        assert!(matches!(run, Run::Ran(transfer) if transfer.weight() == 21_000));
    }
}
