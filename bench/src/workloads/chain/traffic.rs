//! The transactions of a generated chain, block by block.
//!
//! Owns what the next transactions depend on beside the state: nonces, the number of new addresses, and the
//! allowances that can be revoked.

use alloy_eips::{eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7702::Authorization};
use alloy_primitives::{Address, U256};
use blockloom_engine::SignedTransaction;
use blockloom_fixtures::Random;

use super::{
    CHAIN_ID,
    genesis::ChainGenesis,
    proposer::Budget,
    transaction::{MOST_EXTRA_GAS, MOST_TIP, PlannedTx, Prices, TxType},
};
use crate::workloads::{
    Kind, Shape,
    job::{Job, Payload},
    names::thousandths,
};

/// One in this many payments goes to an address that does not exist yet.
const PAYMENTS_PER_NEW_ADDRESS: u64 = 16;
/// One in this many transactions of a mixed chain sets or clears a delegation.
const JOBS_PER_DELEGATION: u64 = 100;
/// One in this many blocks of a mixed chain has a withdrawal request of a validator.
const BLOCKS_PER_WITHDRAWAL_REQUEST: u64 = 4;
/// The approximate gas of a withdrawal request.
const WITHDRAWAL_REQUEST_GAS: u64 = 120_000;

/// Generates transactions.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    kind: Kind,
    /// The next nonce of each sender.
    nonces: Vec<u64>,
    /// The next nonce of each authority. An authority with an odd nonce has delegated.
    authority_nonces: Vec<u64>,
    new_addresses: u64,
    /// The allowances that can be revoked.
    allowances: Vec<Allowance>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    sender: usize,
    token: Address,
    spender: Address,
}

impl Traffic {
    pub(super) fn new(kind: Kind, genesis: &ChainGenesis) -> Self {
        let nonces = vec![0; genesis.users.senders.len()];
        let authority_nonces = vec![0; genesis.users.authorities.len()];
        Self { kind, nonces, authority_nonces, new_addresses: 0, allowances: Vec::new() }
    }

    /// The transactions of a block: at least one, and as many as the budget allows.
    pub(super) fn transactions(
        &mut self,
        genesis: &ChainGenesis,
        prices: Prices,
        mut budget: Budget,
        random: &mut Random,
    ) -> Vec<SignedTransaction> {
        let mut signed = Vec::new();
        if self.kind == Kind::Mixed && random.below(BLOCKS_PER_WITHDRAWAL_REQUEST) == 0 {
            let tx = withdrawal_request(genesis, random);
            signed.push(self.sign(tx, genesis, prices, &mut budget, random));
        }
        while signed.is_empty() || budget.gas_target > 0 {
            let job = self.kind.job(random);
            if budget.gas_limit < job.gas_limit() + MOST_EXTRA_GAS {
                break;
            }
            let tx = if self.kind == Kind::Mixed && random.below(JOBS_PER_DELEGATION) == 0 {
                self.delegation(genesis, random)
            } else {
                self.plan(job, genesis, budget.blobs, random)
            };
            signed.push(self.sign(tx, genesis, prices, &mut budget, random));
        }
        signed
    }

    fn sign(
        &mut self,
        tx: PlannedTx,
        genesis: &ChainGenesis,
        prices: Prices,
        budget: &mut Budget,
        random: &mut Random,
    ) -> SignedTransaction {
        let extra = tx.tx_type.extra_gas();
        budget.take(tx.gas + extra, tx.payload.gas_limit + extra, tx.tx_type.blobs());
        let nonce = self.nonces[tx.sender];
        self.nonces[tx.sender] += 1;
        let user = genesis.users.senders[tx.sender];
        tx.sign(user, nonce, prices, random.below(MOST_TIP).into())
    }

    /// A transaction for a job, in a block with a budget of `blobs`.
    fn plan(&mut self, job: Job, genesis: &ChainGenesis, blobs: u64, random: &mut Random) -> PlannedTx {
        let any_sender = any_sender(genesis, random);
        let (sender, payload) = match job {
            Job::Pay => (any_sender, Payload::pay(self.recipient(genesis, random), amount(random))),
            Job::Transfer => {
                let token = any_token_of(any_sender, genesis, random);
                (any_sender, Payload::transfer(token, self.recipient(genesis, random), amount(random)))
            }
            Job::Approve => self.allowance(any_sender, genesis, random),
            Job::Swap => (any_sender, Payload::swap(genesis.pool_of(any_sender), random)),
            Job::Create => (any_sender, Payload::create()),
            Job::Work => (any_sender, Payload::work(genesis.addresses.worker(), random)),
        };
        let tx_type = TxType::choose(&payload, genesis.tokens_of(sender), blobs, random);
        PlannedTx { sender, payload, tx_type, gas: job.gas(Shape::Chain) }
    }

    /// Sets a new allowance, or revokes an earlier one, which clears its slot.
    fn allowance(&mut self, sender: usize, genesis: &ChainGenesis, random: &mut Random) -> (usize, Payload) {
        if !self.allowances.is_empty() && random.below(2) == 0 {
            let position = random.below(self.allowances.len() as u64) as usize;
            let Allowance { sender, token, spender } = self.allowances.swap_remove(position);
            return (sender, Payload::approve(token, spender, U256::ZERO));
        }
        let token = any_token_of(sender, genesis, random);
        let spender = genesis.users.any(random);
        self.allowances.push(Allowance { sender, token, spender });
        (sender, Payload::approve(token, spender, amount(random)))
    }

    /// Delegates a random authority to a token, and calls the token's code at the authority; or clears the
    /// delegation if the authority has one.
    fn delegation(&mut self, genesis: &ChainGenesis, random: &mut Random) -> PlannedTx {
        let number = random.below(self.authority_nonces.len() as u64) as usize;
        let authority = genesis.users.authorities[number];
        let nonce = self.authority_nonces[number];
        self.authority_nonces[number] += 1;
        let has_delegated = nonce % 2 == 1;
        let target = if has_delegated { Address::ZERO } else { genesis.addresses.token(0) };
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: target, nonce };
        let signature = authority.signer.sign_hash(authorization.signature_hash());
        PlannedTx {
            sender: any_sender(genesis, random),
            payload: Payload::approve(authority.address, genesis.users.any(random), amount(random)),
            tx_type: TxType::SetCode(authorization.into_signed(signature)),
            gas: Job::Approve.gas(Shape::Chain),
        }
    }

    /// A random account of the genesis, or a new address.
    fn recipient(&mut self, genesis: &ChainGenesis, random: &mut Random) -> Address {
        if random.below(PAYMENTS_PER_NEW_ADDRESS) > 0 {
            return genesis.users.any(random);
        }
        self.new_addresses += 1;
        genesis.users.new_address(self.new_addresses)
    }
}

/// A withdrawal request of a validator (EIP-7002).
fn withdrawal_request(genesis: &ChainGenesis, random: &mut Random) -> PlannedTx {
    let key = [random.next_number(); 6].map(u64::to_be_bytes).concat();
    let amount = random.below(32_000_000_000).to_be_bytes();
    let payload = Payload {
        to: WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS.into(),
        // The fee while there are few requests.
        value: U256::ONE,
        data: [&key[..], &amount].concat().into(),
        gas_limit: 2 * WITHDRAWAL_REQUEST_GAS,
    };
    PlannedTx {
        sender: any_sender(genesis, random),
        payload,
        tx_type: TxType::DynamicFee,
        gas: WITHDRAWAL_REQUEST_GAS,
    }
}

fn any_sender(genesis: &ChainGenesis, random: &mut Random) -> usize {
    random.below(genesis.users.senders.len() as u64) as usize
}

fn any_token_of(sender: usize, genesis: &ChainGenesis, random: &mut Random) -> Address {
    let [first, second] = genesis.tokens_of(sender);
    if random.below(2) == 0 { first } else { second }
}

/// Up to one ether or token, and more than zero.
fn amount(random: &mut Random) -> U256 {
    thousandths(1 + random.below(1000))
}
