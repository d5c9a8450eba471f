//! The transactions of a generated chain: who sends what, block after block.
//!
//! Owns what the chain's next transactions depend on beside the state: nonces, newcomers, allowances that
//! may be taken back.

use alloy_eips::{eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7702::Authorization};
use alloy_primitives::{Address, U256};
use blockloom_engine::SignedTransaction;

use super::{
    CHAIN_ID,
    form::{Deed, Form, MOST_EXTRA_GAS, MOST_TIP, Prices},
    genesis::Genesis,
    proposer::Room,
};
use crate::workloads::{
    Kind, Shape,
    job::{Errand, Job},
    random::{Random, thousandths},
};

/// Of so many who are paid, one was never there before.
const PAYMENTS_PER_NEWCOMER: u64 = 16;
/// Of so many transactions of a mixed chain, one sets or clears a delegation.
const JOBS_PER_DELEGATION: u64 = 100;
/// Of so many blocks of a mixed chain, one has a validator ask for its money.
const BLOCKS_PER_EXIT: u64 = 4;
/// What asking for it uses, about.
const EXIT_GAS: u64 = 120_000;

/// Makes transactions.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    kind: Kind,
    /// The next nonce of each sender.
    nonces: Vec<u64>,
    /// The next nonce of each authority: who has an odd one has delegated.
    authority_nonces: Vec<u64>,
    newcomers: u64,
    /// What senders allowed others to take of a token.
    allowances: Vec<Allowance>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    sender: usize,
    token: Address,
    spender: Address,
}

impl Traffic {
    pub(super) fn new(kind: Kind, genesis: &Genesis) -> Self {
        let nonces = vec![0; genesis.people.senders.len()];
        let authority_nonces = vec![0; genesis.people.authorities.len()];
        Self { kind, nonces, authority_nonces, newcomers: 0, allowances: Vec::new() }
    }

    /// The transactions of a block: at least one, and as many as it has room for.
    pub(super) fn transactions(
        &mut self,
        genesis: &Genesis,
        prices: Prices,
        mut room: Room,
        random: &mut Random,
    ) -> Vec<SignedTransaction> {
        let mut signed = Vec::new();
        if self.kind == Kind::Mixed && random.below(BLOCKS_PER_EXIT) == 0 {
            let deed = exit(genesis, random);
            signed.push(self.sign(deed, genesis, prices, &mut room, random));
        }
        while signed.is_empty() || room.aim > 0 {
            let job = self.kind.job(random);
            if room.limit < job.gas_limit() + MOST_EXTRA_GAS {
                break;
            }
            let deed = if self.kind == Kind::Mixed && random.below(JOBS_PER_DELEGATION) == 0 {
                self.delegation(genesis, random)
            } else {
                self.deed(job, genesis, room.blobs, random)
            };
            signed.push(self.sign(deed, genesis, prices, &mut room, random));
        }
        signed
    }

    fn sign(
        &mut self,
        deed: Deed,
        genesis: &Genesis,
        prices: Prices,
        room: &mut Room,
        random: &mut Random,
    ) -> SignedTransaction {
        let extra = deed.form.extra_gas();
        room.take(deed.gas + extra, deed.errand.gas_limit + extra, deed.form.blobs());
        let nonce = self.nonces[deed.sender];
        self.nonces[deed.sender] += 1;
        let person = genesis.people.senders[deed.sender];
        deed.sign(person, nonce, prices, random.below(MOST_TIP).into())
    }

    /// A job that somebody does, in a block with room for so many blobs.
    fn deed(&mut self, job: Job, genesis: &Genesis, blobs: u64, random: &mut Random) -> Deed {
        let any_sender = any_sender(genesis, random);
        let (sender, errand) = match job {
            Job::Pay => (any_sender, Errand::pay(self.payee(genesis, random), some(random))),
            Job::Transfer => {
                let token = any_token_of(any_sender, genesis, random);
                (any_sender, Errand::transfer(token, self.payee(genesis, random), some(random)))
            }
            Job::Approve => self.allowance(any_sender, genesis, random),
            Job::Swap => (any_sender, Errand::swap(genesis.pool_of(any_sender), random)),
            Job::Create => (any_sender, Errand::create()),
            Job::Work => (any_sender, Errand::work(genesis.places.worker(), random)),
        };
        let form = Form::choose(&errand, genesis.tokens_of(sender), blobs, random);
        Deed { sender, errand, form, gas: job.gas(Shape::Chain) }
    }

    /// Has a sender allow somebody to take of a token, or has who once did that take it back: the slot is
    /// cleared then.
    fn allowance(&mut self, sender: usize, genesis: &Genesis, random: &mut Random) -> (usize, Errand) {
        if !self.allowances.is_empty() && random.below(2) == 0 {
            let position = random.below(self.allowances.len() as u64) as usize;
            let Allowance { sender, token, spender } = self.allowances.swap_remove(position);
            return (sender, Errand::approve(token, spender, U256::ZERO));
        }
        let token = any_token_of(sender, genesis, random);
        let spender = genesis.people.somebody(random);
        self.allowances.push(Allowance { sender, token, spender });
        (sender, Errand::approve(token, spender, some(random)))
    }

    /// Has an authority that has not delegated delegate to a token, which is then called as if it stood
    /// there; or has one that has delegated end that.
    fn delegation(&mut self, genesis: &Genesis, random: &mut Random) -> Deed {
        let number = random.below(self.authority_nonces.len() as u64) as usize;
        let authority = genesis.people.authorities[number];
        let nonce = self.authority_nonces[number];
        self.authority_nonces[number] += 1;
        let has_delegated = nonce % 2 == 1;
        let target = if has_delegated { Address::ZERO } else { genesis.places.token(0) };
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: target, nonce };
        let signature = authority.signer.sign_hash(authorization.signature_hash());
        Deed {
            sender: any_sender(genesis, random),
            errand: Errand::approve(authority.address, genesis.people.somebody(random), some(random)),
            form: Form::SetCode(authorization.into_signed(signature)),
            gas: Job::Approve.gas(Shape::Chain),
        }
    }

    /// Who is paid: any account, or one that comes into being by that.
    fn payee(&mut self, genesis: &Genesis, random: &mut Random) -> Address {
        if random.below(PAYMENTS_PER_NEWCOMER) > 0 {
            return genesis.people.somebody(random);
        }
        self.newcomers += 1;
        genesis.people.newcomer(self.newcomers)
    }
}

/// Has a validator ask for its money (EIP-7002).
fn exit(genesis: &Genesis, random: &mut Random) -> Deed {
    let key = [random.next(); 6].map(u64::to_be_bytes).concat();
    let amount = random.below(32_000_000_000).to_be_bytes();
    let errand = Errand {
        to: WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS.into(),
        // What asking costs while few ask.
        value: U256::ONE,
        data: [&key[..], &amount].concat().into(),
        gas_limit: 2 * EXIT_GAS,
    };
    Deed { sender: any_sender(genesis, random), errand, form: Form::DynamicFee, gas: EXIT_GAS }
}

fn any_sender(genesis: &Genesis, random: &mut Random) -> usize {
    random.below(genesis.people.senders.len() as u64) as usize
}

fn any_token_of(sender: usize, genesis: &Genesis, random: &mut Random) -> Address {
    let [first, second] = genesis.tokens_of(sender);
    if random.below(2) == 0 { first } else { second }
}

/// Up to one coin or token, and never nothing.
fn some(random: &mut Random) -> U256 {
    thousandths(1 + random.below(1000))
}
