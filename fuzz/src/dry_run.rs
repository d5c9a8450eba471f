//! The dry run: executes transactions on a bare revm loop while their block is generated, so that each
//! gets the right nonce, whatever contracts and delegations did to its sender.
//!
//! It only decides which transactions a block gets; it checks nothing.

use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::{Address, U256};
use blockloom_engine::{Block, SignedTransaction, Transaction};
use blockloom_state::MemoryStore;
use revm::{DatabaseRef, context::TxEnv, state::AccountInfo};

use crate::{
    actors::{UNFUNDED, sender},
    message::{Amount, To},
    oracle::CheckedEvm,
    plan::{Binding, Delegation, Flaw, Form, Gas, Plan},
    program::word,
    sign::{Resolved, sign},
};

/// A balance that pays for a few transactions.
const FUNDING: u64 = 300_000_000;
/// A balance below this does not pay for most transactions.
const MINIMUM_BALANCE: u64 = 10_000_000;

/// A block that is being generated.
pub(crate) struct DryRun<'a> {
    evm: CheckedEvm<'a>,
    block: Block,
    signed: Vec<SignedTransaction>,
    gas_left: u64,
    blob_gas_left: u64,
}

/// Whether a transaction is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    Invalid,
}

impl<'a> DryRun<'a> {
    /// Starts a block.
    pub(crate) fn new(base: &'a MemoryStore, block: Block) -> Self {
        let evm = CheckedEvm::new(base, &block);
        let gas_left = block.env.gas_limit;
        let blob_gas_left = block.rules.blobs.map_or(0, |blobs| blobs.max_blob_gas_per_block());
        Self { evm, block, signed: Vec::new(), gas_left, blob_gas_left }
    }

    /// Adds a planned transaction, unless it is invalid without a planned flaw. A sender without
    /// balance is funded first.
    pub(crate) fn add(&mut self, plan: &Plan) {
        if plan.sender == UNFUNDED && self.account(sender(UNFUNDED)).balance < word(MINIMUM_BALANCE) {
            self.add_one(&fund(UNFUNDED));
        }
        self.add_one(plan);
    }

    /// The block, and its signed transactions.
    pub(crate) fn finish(self) -> (Block, Vec<SignedTransaction>) {
        (self.block, self.signed)
    }

    fn add_one(&mut self, plan: &Plan) {
        let signed = sign(plan, &self.block.rules, self.resolve(plan), self.authority_nonces(plan));
        let env = TxEnv::from_recovered_tx(&signed, sender(plan.sender));
        if self.run(&env) == Verdict::Valid || plan.flaw.is_some() {
            self.block.transactions.push(Transaction { hash: *signed.tx_hash(), env });
            self.signed.push(signed);
        }
    }

    /// The sender's present nonce, the gas limit and the value, changed by the plan's flaw.
    fn resolve(&self, plan: &Plan) -> Resolved {
        let AccountInfo { nonce, balance, .. } = self.account(sender(plan.sender));
        let gas_limit = match plan.gas {
            Gas::Limit(limit) => limit,
            Gas::RestOfBlock => self.gas_left,
        };
        let value = match plan.amount {
            Amount::Wei(wei) => word(wei.into()),
            Amount::Funding => word(FUNDING),
            Amount::Huge(value) => value,
        };
        let resolved = Resolved { nonce, gas_limit, value };
        match plan.flaw {
            None => resolved,
            Some(Flaw::NonceAhead) => Resolved { nonce: nonce.saturating_add(1), ..resolved },
            Some(Flaw::NonceBehind) => Resolved { nonce: nonce.saturating_sub(1), ..resolved },
            Some(Flaw::AboveBalance) => Resolved { value: balance.saturating_add(word(1)), ..resolved },
            Some(Flaw::AboveEveryBalance) => Resolved { value: U256::MAX, ..resolved },
            Some(Flaw::AboveBlock) => Resolved { gas_limit: self.gas_left + 1, ..resolved },
            Some(Flaw::BelowIntrinsicGas) => Resolved { gas_limit: 20_000, ..resolved },
        }
    }

    /// The nonces of the plan's authorizations, in order: the sender's nonce is incremented before
    /// them, and each valid authorization increments that of its authority.
    fn authority_nonces(&self, plan: &Plan) -> impl FnMut(&Delegation) -> u64 {
        let mut incremented = vec![plan.sender];
        move |delegation| {
            let authority = delegation.authority;
            let times = incremented.iter().filter(|number| **number == authority).count() as u64;
            if matches!(delegation.binding, Binding::ThisChain | Binding::AnyChain) {
                incremented.push(authority);
            }
            self.account(sender(authority)).nonce.saturating_add(times)
        }
    }

    fn account(&self, address: Address) -> AccountInfo {
        let account = self.evm.state().basic_ref(address);
        account.expect("a store in memory answers").unwrap_or_default()
    }

    fn run(&mut self, transaction: &TxEnv) -> Verdict {
        let blob_gas = transaction.blob_hashes.len() as u64 * DATA_GAS_PER_BLOB;
        if transaction.gas_limit > self.gas_left || blob_gas > self.blob_gas_left {
            return Verdict::Invalid;
        }
        let Ok(result) = self.evm.transact(transaction.clone()) else { return Verdict::Invalid };
        self.gas_left -= result.tx_gas_used();
        self.blob_gas_left -= blob_gas;
        Verdict::Valid
    }
}

/// A transfer that funds a sender.
fn fund(number: u8) -> Plan {
    Plan {
        sender: 0,
        to: To::Account(sender(number)),
        input_account: Address::ZERO,
        amount: Amount::Funding,
        gas: Gas::Limit(90_000),
        tip: 1,
        form: Form::Legacy,
        access: Vec::new(),
        flaw: None,
    }
}
