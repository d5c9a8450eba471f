//! The rehearsal: transactions run on a bare revm loop while their block is being written, so that
//! each gets the nonce that it needs, whatever contracts and delegations did to its sender.
//!
//! It only decides which transactions a block gets. That those do what they should is for others to
//! judge.

use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::Address;
use blockloom_engine::{Block, SignedTransaction, Transaction};
use blockloom_state::MemoryStore;
use revm::{
    Context, DatabaseRef, ExecuteCommitEvm, MainBuilder, MainContext, MainnetEvm, context::TxEnv,
    database::CacheDB, handler::MainnetContext, state::AccountInfo,
};

use crate::{
    cast::{PAUPER, sender},
    oracle::cfg,
    plan::{Amount, Binding, Delegation, Flaw, Form, Gas, Plan, To},
    program::word,
    sign::{Turn, sign},
};

/// What sends a few transactions.
const FORTUNE: u64 = 300_000_000;
/// Whoever has less than this cannot pay for most transactions.
const POOR: u64 = 10_000_000;

/// A block that is being written.
pub(crate) struct Rehearsal<'a> {
    evm: MainnetEvm<MainnetContext<CacheDB<&'a MemoryStore>>>,
    block: Block,
    signed: Vec<SignedTransaction>,
    gas_left: u64,
    blob_gas_left: u64,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

impl<'a> Rehearsal<'a> {
    /// Starts to write a block.
    pub(crate) fn new(base: &'a MemoryStore, block: Block) -> Self {
        let evm = Context::mainnet()
            .with_cfg(cfg(&block))
            .with_block(block.env.clone())
            .with_db(CacheDB::new(base))
            .build_mainnet();
        let gas_left = block.env.gas_limit;
        let blob_gas_left = block.rules.blobs.map_or(0, |blobs| blobs.max_blob_gas_per_block());
        Self { evm, block, signed: Vec::new(), gas_left, blob_gas_left }
    }

    /// Adds a planned transaction, unless it is invalid without meaning to. A sender without means
    /// first gets a fortune.
    pub(crate) fn add(&mut self, plan: &Plan) {
        if plan.sender == PAUPER && self.account(sender(PAUPER)).balance < word(POOR) {
            self.write(&fortune_for(PAUPER));
        }
        self.write(plan);
    }

    /// The block, and its transactions as they were signed.
    pub(crate) fn finish(self) -> (Block, Vec<SignedTransaction>) {
        (self.block, self.signed)
    }

    fn write(&mut self, plan: &Plan) {
        let signed = sign(plan, &self.block.rules, self.turn(plan), self.authority_nonces(plan));
        let env = TxEnv::from_recovered_tx(&signed, sender(plan.sender));
        if self.run(&env) == Verdict::Accepted || plan.flaw.is_some() {
            self.block.transactions.push(Transaction { hash: *signed.tx_hash(), env });
            self.signed.push(signed);
        }
    }

    /// What the sender can and must do now, but for the flaw that it is to have.
    fn turn(&self, plan: &Plan) -> Turn {
        let AccountInfo { nonce, balance, .. } = self.account(sender(plan.sender));
        let gas_limit = match plan.gas {
            Gas::Limit(limit) => limit,
            Gas::AllThatIsLeft => self.gas_left,
        };
        let value = match plan.amount {
            Amount::Wei(wei) => word(wei.into()),
            Amount::Fortune => word(FORTUNE),
        };
        let turn = Turn { nonce, gas_limit, value };
        match plan.flaw {
            None => turn,
            Some(Flaw::NonceAhead) => Turn { nonce: nonce + 1, ..turn },
            Some(Flaw::NonceBehind) => Turn { nonce: nonce.saturating_sub(1), ..turn },
            Some(Flaw::AboveMeans) => Turn { value: balance + word(1), ..turn },
            Some(Flaw::AboveBlock) => Turn { gas_limit: self.gas_left + 1, ..turn },
            Some(Flaw::BelowIntrinsicGas) => Turn { gas_limit: 20_000, ..turn },
        }
    }

    /// The nonces that the plan's authorizations need, one after the other: the sender's own has
    /// gone up before, and that of every authority goes up with each valid one.
    fn authority_nonces(&self, plan: &Plan) -> impl FnMut(&Delegation) -> u64 {
        let mut gone_up = vec![plan.sender];
        move |delegation| {
            let authority = delegation.authority;
            let times = gone_up.iter().filter(|number| **number == authority).count() as u64;
            if matches!(delegation.binding, Binding::ThisChain | Binding::AnyChain) {
                gone_up.push(authority);
            }
            self.account(sender(authority)).nonce + times
        }
    }

    fn account(&self, address: Address) -> AccountInfo {
        let account = self.evm.ctx.journaled_state.database.basic_ref(address);
        account.expect("a store in memory answers").unwrap_or_default()
    }

    fn run(&mut self, transaction: &TxEnv) -> Verdict {
        let blob_gas = transaction.blob_hashes.len() as u64 * DATA_GAS_PER_BLOB;
        if transaction.gas_limit > self.gas_left || blob_gas > self.blob_gas_left {
            return Verdict::Refused;
        }
        let Ok(result) = self.evm.transact_commit(transaction.clone()) else { return Verdict::Refused };
        self.gas_left -= result.tx_gas_used();
        self.blob_gas_left -= blob_gas;
        Verdict::Accepted
    }
}

/// A transfer that makes a sender rich.
fn fortune_for(number: u8) -> Plan {
    Plan {
        sender: 0,
        to: To::Account(sender(number)),
        named: Address::ZERO,
        amount: Amount::Fortune,
        gas: Gas::Limit(90_000),
        tip: 1,
        form: Form::Legacy,
        access: Vec::new(),
        flaw: None,
    }
}
