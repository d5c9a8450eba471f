//! What a block's access list says (EIP-7928), whoever executed the block.

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::{BEACON_ROOTS_ADDRESS, SYSTEM_ADDRESS},
    eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7928::BlockAccessIndex,
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, U256};
use blockloom_engine::Frame;
use revm::{
    bytecode::opcode::*,
    context::{
        TxEnv,
        transaction::{AccessList, AccessListItem},
    },
};

use crate::{
    code::Code,
    delegation::{AUTHORITY, authorization, delegating, designation},
    scene::*,
};

const GWEI: u64 = 1_000_000_000;

/// What a list says of an account, in small numbers: at which index what became what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Listed {
    reads: Vec<u64>,
    writes: Vec<(u64, Vec<(u64, u64)>)>,
    balances: Vec<(u64, u64)>,
    nonces: Vec<(u64, u64)>,
    codes: Vec<(u64, Vec<u8>)>,
}

impl Listed {
    /// It was accessed, and nothing happened to it.
    fn untouched() -> Self {
        Self::default()
    }

    fn reading(reads: &[u64]) -> Self {
        Self { reads: reads.to_vec(), ..Self::default() }
    }
}

impl After {
    /// What the block's access list says of an account, if anything.
    fn listed(&self, address: Address) -> Option<Listed> {
        let list = self.outcome.access_list.as_ref().expect("it was asked for");
        let position = list.binary_search_by_key(&address, |account| account.address).ok()?;
        let account = &list[position];
        let at = |index: BlockAccessIndex| index.get();
        let slots = account.storage_changes.iter().map(|slot| {
            let changes = slot.changes.iter();
            let changes = changes.map(|change| (at(change.block_access_index), change.new_value.to()));
            (slot.slot.to(), changes.collect())
        });
        let balances = account.balance_changes.iter();
        let nonces = account.nonce_changes.iter();
        let codes = account.code_changes.iter();
        Some(Listed {
            reads: account.storage_reads.iter().map(|key| key.to()).collect(),
            writes: slots.collect(),
            balances: balances
                .map(|change| (at(change.block_access_index), change.post_balance.to()))
                .collect(),
            nonces: nonces.map(|change| (at(change.block_access_index), change.new_nonce)).collect(),
            codes: codes.map(|change| (at(change.block_access_index), change.new_code.to_vec())).collect(),
        })
    }

    /// The index of what comes after all transactions.
    fn end(&self) -> u64 {
        self.outcome.receipts.len() as u64 + 1
    }
}

/// The index of a transaction.
fn at(position: usize) -> u64 {
    position as u64 + 1
}

#[test]
fn a_slot_that_is_written_with_what_it_holds_is_only_read() {
    let code = Code::new().sstore(0, 5).sstore(2, 9).push(1).ops([SLOAD, POP]);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &code, &[(0, 5), (2, 3)]);
        let first = scene.call(sender(0), CONTRACT, 0);
        scene.call(sender(1), CONTRACT, 0);
        let expected =
            Listed { reads: vec![0, 1], writes: vec![(2, vec![(at(first), 9)])], ..Listed::default() };
        let after = scene.play();
        assert_eq!(after.listed(CONTRACT), Some(expected), "{}", after.fork);
    });
}

#[test]
fn a_slot_that_comes_back_to_what_it_was_is_listed_at_both_turns() {
    let writer = Code::new().argument(0).store_top(0);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &writer, &[(0, 5)]);
        let there = scene.tell(sender(0), CONTRACT, &[word(7)]);
        scene.tell(sender(1), CONTRACT, &[word(7)]);
        let back = scene.tell(sender(2), CONTRACT, &[word(5)]);
        let expected = Listed { writes: vec![(0, vec![(at(there), 7), (at(back), 5)])], ..Listed::default() };
        let after = scene.play();
        assert_eq!(after.listed(CONTRACT), Some(expected), "{}", after.fork);
    });
}

#[test]
fn what_a_frame_accessed_is_listed_though_it_was_reverted() {
    let failing = Code::new().sstore(3, 1).push(HEIR).ops([BALANCE, POP, INVALID]);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &Code::new().call(OTHER, 0), &[]);
        scene.contract(OTHER, &failing, &[(3, 8)]);
        scene.call(sender(0), CONTRACT, 0);
        let after = scene.play();
        assert_eq!(after.listed(CONTRACT), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::reading(&[3])));
        assert_eq!(after.listed(HEIR), Some(Listed::untouched()));
    });
}

#[test]
fn who_comes_and_goes_within_a_transaction_has_only_reads_and_loses_what_it_had() {
    let init = Code::new().sstore(1, 7).push(2).ops([SLOAD, POP]).destroy(HEIR);
    let creating = Code::new().create(&init.bytes(), 3);
    let created = CONTRACT.create(1);
    for before in [0, 5] {
        everywhere(&FORKS, |mut scene| {
            scene.rich_contract(CONTRACT, 100, &creating, &[]);
            if before > 0 {
                scene.fund(created, before);
            }
            let position = scene.call(sender(0), CONTRACT, 0);
            let after = scene.play();
            let lost = if before > 0 { vec![(at(position), 0)] } else { vec![] };
            let expected = Listed { balances: lost, ..Listed::reading(&[1, 2]) };
            assert_eq!(after.listed(created), Some(expected), "{}", after.fork);
            let heir = Listed { balances: vec![(at(position), before + 3)], ..Listed::default() };
            assert_eq!(after.listed(HEIR), Some(heir));
            let nonces = vec![(at(position), 2)];
            let creator = Listed { balances: vec![(at(position), 97)], nonces, ..Listed::default() };
            assert_eq!(after.listed(CONTRACT), Some(creator));
        });
    }
}

#[test]
fn a_creation_that_fails_has_its_slots_read() {
    let init = Code::new().sstore(4, 1).push(5).ops([SLOAD, POP, INVALID]);
    let creating = Code::new().create(&init.bytes(), 0);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &creating, &[]);
        scene.call(sender(0), CONTRACT, 0);
        let after = scene.play();
        assert_eq!(after.listed(CONTRACT.create(1)), Some(Listed::reading(&[4, 5])), "{}", after.fork);
    });
}

#[test]
fn a_creation_that_cannot_be_paid_for_accesses_nothing() {
    let creating = Code::new().create(&Code::new().sstore(4, 1).bytes(), 1);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &creating, &[]);
        scene.call(sender(0), CONTRACT, 0);
        let after = scene.play();
        assert_eq!(after.listed(CONTRACT), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(CONTRACT.create(1)), None);
    });
}

#[test]
fn who_is_created_has_code_nonce_and_slots() {
    let runtime = Code::new().push(6).ops([SLOAD, POP]).sstore(1, 2);
    let init = Code::new().sstore(1, 2).push(3).ops([SLOAD, POP]).sstore(9, 0).deploying(&runtime);
    everywhere(&FORKS, |mut scene| {
        let created = sender(0).create(0);
        let position = scene.create(sender(0), &init, 0);
        scene.call(sender(1), created, 0);
        let after = scene.play();
        let has_nonce = after.fork >= SpuriousDragon;
        let expected = Listed {
            reads: vec![3, 6, 9],
            writes: vec![(1, vec![(at(position), 2)])],
            nonces: if has_nonce { vec![(at(position), 1)] } else { vec![] },
            codes: vec![(at(position), runtime.bytes().to_vec())],
            ..Listed::default()
        };
        assert_eq!(after.listed(created), Some(expected), "{}", after.fork);
    });
}

#[test]
fn until_cancun_who_is_destroyed_loses_everything_that_was_accessed() {
    let code = Code::new().push(0).ops([SLOAD, POP]).push(7).ops([SLOAD, POP]).destroy(HEIR);
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(CONTRACT, 9, &code, &[(0, 5), (1, 6)]);
        let position = scene.call(sender(0), CONTRACT, 0);
        scene.call(sender(1), CONTRACT, 0);
        let after = scene.play();
        let index = at(position);
        let expected = if after.fork < Cancun {
            Listed {
                reads: vec![7],
                writes: vec![(0, vec![(index, 0)])],
                balances: vec![(index, 0)],
                nonces: vec![(index, 0)],
                codes: vec![(index, vec![])],
            }
        } else {
            Listed { balances: vec![(index, 0)], ..Listed::reading(&[0, 7]) }
        };
        assert_eq!(after.listed(CONTRACT), Some(expected), "{}", after.fork);
    });
}

#[test]
fn a_new_life_is_listed_after_the_old_one() {
    // The first call destroys, the second creates again; the new contract finds nothing in slot 0.
    let runtime = Code::new().increment(0, 1).push(0).ops([SLOAD]).push(2).ops([EQ]);
    let runtime = Code::new().branch(runtime, Code::new().destroy(HEIR), Code::new());
    let init = Code::new().deploying(&runtime);
    let creating = Code::new().create2(&init.bytes(), 0);
    let created = CONTRACT.create2_from_code([0; 32], init.bytes());
    everywhere(&forks(Petersburg, Shanghai), |mut scene| {
        scene.contract(CONTRACT, &creating, &[]);
        let positions = [
            scene.call(sender(0), CONTRACT, 0),
            scene.call(sender(1), created, 0),
            scene.call(sender(2), created, 0),
            scene.call(sender(3), CONTRACT, 0),
            scene.call(sender(4), created, 0),
        ];
        let [born, counted, destroyed, reborn, counted_again] = positions.map(at);
        let after = scene.play();
        let code = runtime.bytes().to_vec();
        let expected = Listed {
            writes: vec![(0, vec![(counted, 1), (destroyed, 0), (counted_again, 1)])],
            nonces: vec![(born, 1), (destroyed, 0), (reborn, 1)],
            codes: vec![(born, code.clone()), (destroyed, vec![]), (reborn, code)],
            ..Listed::default()
        };
        assert_eq!(after.listed(created), Some(expected), "{}", after.fork);
    });
}

#[test]
fn the_coinbase_is_listed_with_every_fee_and_without_any() {
    everywhere(&forks(London, Osaka), |mut scene| {
        scene.price = BASE_FEE;
        scene.transfer(sender(0), HEIR, 0);
        let after = scene.play();
        assert_eq!(after.listed(THE_COINBASE), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(HEIR), Some(Listed::untouched()));
    });
    everywhere(&FORKS, |mut scene| {
        let position = scene.transfer(sender(0), HEIR, 7);
        let tip = scene.tip();
        let after = scene.play();
        let balances = (0..after.outcome.receipts.len())
            .map(|position| (at(position), after.gas_before(position + 1) * tip));
        let expected = Listed { balances: balances.collect(), ..Listed::default() };
        assert_eq!(after.listed(THE_COINBASE), Some(expected), "{}", after.fork);
        let heir = Listed { balances: vec![(at(position), 7)], ..Listed::default() };
        assert_eq!(after.listed(HEIR), Some(heir));
        let left = RICH - 7 - TRANSFER_GAS * PRICE;
        let (balances, nonces) = (vec![(at(position), left)], vec![(at(position), 1)]);
        assert_eq!(after.listed(sender(0)), Some(Listed { balances, nonces, ..Listed::default() }));
    });
}

#[test]
fn a_block_without_transactions_does_not_list_its_coinbase() {
    let after = Scene::new(Osaka, 0).play_to_the_end();
    assert_eq!(after.outcome.access_list, Some(vec![]));
}

#[test]
fn an_authority_is_listed_and_its_delegate_only_when_it_runs() {
    everywhere(&[Prague, Osaka], |mut scene| {
        scene.contract(CONTRACT, &Code::new().push(1).ops([SLOAD, POP]), &[]);
        scene.contract(OTHER, &Code::new().ops([STOP]), &[]);
        scene.fund(AUTHORITY, RICH);
        let send = |scene: &mut Scene, code, nonce| {
            let transaction = delegating(scene, sender(0), HEIR, AUTHORITY, code, nonce);
            scene.send(transaction)
        };
        let set = send(&mut scene, OTHER, 0);
        let moved = send(&mut scene, CONTRACT, 1);
        scene.call(sender(1), AUTHORITY, 0);
        let refused = send(&mut scene, OTHER, 7);
        let cleared = send(&mut scene, Address::ZERO, 2);
        let after = scene.play();
        assert!(after.succeeded(refused));
        let indices = [set, moved, cleared].map(at);
        let codes = [designation(OTHER), designation(CONTRACT), vec![]];
        let expected = Listed {
            nonces: indices.into_iter().zip(1..).collect(),
            codes: indices.into_iter().zip(codes).collect(),
            ..Listed::reading(&[1])
        };
        assert_eq!(after.listed(AUTHORITY), Some(expected), "{}", after.fork);
        assert_eq!(after.listed(CONTRACT), Some(Listed::untouched()));
        assert_eq!(after.listed(OTHER), None);
        assert_eq!(after.listed(Address::ZERO), None);
    });
}

#[test]
fn an_authorization_for_another_chain_does_not_access_the_authority() {
    everywhere(&[Prague, Osaka], |mut scene| {
        for (chain, authority) in [(1, AUTHORITY), (2, OTHER)] {
            let mut transaction = delegating(&scene, sender(0), HEIR, authority, CONTRACT, 7);
            transaction.authorization_list = vec![authorization(chain, authority, CONTRACT, 7)];
            scene.send(transaction);
        }
        let after = scene.play();
        assert_eq!(after.listed(AUTHORITY), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(OTHER), None);
    });
}

#[test]
fn what_is_only_declared_and_what_cannot_be_paid_for_is_not_accessed() {
    // Looks at the heir with too little gas for somebody cold, and then at a precompiled contract.
    let poor = Code::new().push(0).push(0).push(0).push(0).push(0).push(OTHER).push(1_000).ops([CALL, POP]);
    let code = poor.call(Address::with_last_byte(4), 0).ops([POP, NUMBER]).push(1).ops([SWAP1, SUB]);
    everywhere(&forks(Berlin, Osaka), |mut scene| {
        scene.contract(CONTRACT, &code.clone().ops([BLOCKHASH, POP]), &[]);
        scene.contract(OTHER, &Code::new().push(HEIR).ops([BALANCE]), &[]);
        let declared = AccessListItem { address: Address::repeat_byte(0xab), storage_keys: vec![] };
        let transaction =
            TxEnv { tx_type: 1, access_list: AccessList(vec![declared]), ..scene.to(sender(0), CONTRACT, 0) };
        scene.send(transaction);
        let after = scene.play();
        assert_eq!(after.listed(CONTRACT), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::untouched()));
        assert_eq!(after.listed(Address::with_last_byte(4)), Some(Listed::untouched()));
        assert_eq!(after.listed(HEIR), None);
        assert_eq!(after.listed(Address::repeat_byte(0xab)), None);
    });
}

/// A scene with everything that happens before and after the transactions. The contracts of requests
/// do as they are told; nothing is in the contracts of roots and hashes but slot 7.
fn full_scene(mut scene: Scene, withdrawals: &Code, consolidations: &Code) -> Scene {
    scene.frame = Frame::Full;
    scene.contract(BEACON_ROOTS_ADDRESS, &Code::new().sstore(7, 1), &[]);
    scene.contract(HISTORY_STORAGE_ADDRESS, &Code::new().sstore(7, 2), &[(7, 2)]);
    scene.contract(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, withdrawals, &[(0, 5)]);
    scene.contract(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, consolidations, &[(0, 5)]);
    scene
}

fn pay(address: Address, amount: u64) -> Withdrawal {
    Withdrawal { address, amount, ..Withdrawal::default() }
}

#[test]
fn system_calls_are_listed_before_and_after_the_transactions_and_their_caller_is_not() {
    everywhere(&[Prague, Osaka], |scene| {
        let mut scene = full_scene(scene, &Code::new().increment(0, 1), &Code::new().ops([STOP]));
        scene.withdrawals = vec![pay(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 3)];
        scene.transfer(sender(0), HEIR, 1);
        let after = scene.play();
        let opening = Listed { writes: vec![(7, vec![(0, 1)])], ..Listed::default() };
        assert_eq!(after.listed(BEACON_ROOTS_ADDRESS), Some(opening), "{}", after.fork);
        assert_eq!(after.listed(HISTORY_STORAGE_ADDRESS), Some(Listed::reading(&[7])));
        let closing = Listed {
            writes: vec![(0, vec![(after.end(), 6)])],
            balances: vec![(after.end(), 3 * GWEI)],
            ..Listed::default()
        };
        assert_eq!(after.listed(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), Some(closing));
        assert_eq!(after.listed(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS), Some(Listed::untouched()));
        assert_eq!(after.listed(SYSTEM_ADDRESS), None);
    });
}

#[test]
fn what_comes_and_goes_at_one_index_is_no_change() {
    // Each of the calls turns 5 into 9 and 9 into 5; the first one also passes on what was withdrawn.
    let turning = Code::new().push(0).ops([SLOAD]).push(14).ops([SUB]).store_top(0);
    let first = Code::new().call(OTHER, 0).ops([POP]).call(HEIR, GWEI);
    everywhere(&[Prague, Osaka], |scene| {
        let mut scene = full_scene(scene, &first, &Code::new().call(OTHER, 0));
        scene.contract(OTHER, &turning, &[(0, 5)]);
        scene.withdrawals = vec![pay(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 1)];
        let after = scene.play();
        assert_eq!(after.slots(OTHER), [(0, 5)], "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::reading(&[0])));
        assert_eq!(after.listed(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), Some(Listed::untouched()));
        let heir = Listed { balances: vec![(after.end(), GWEI)], ..Listed::default() };
        assert_eq!(after.listed(HEIR), Some(heir));
    });
}

#[test]
fn withdrawals_are_listed_after_the_transactions_even_of_nothing() {
    everywhere(&[Shanghai, Cancun, Prague, Osaka], |scene| {
        let stop = Code::new().ops([STOP]);
        let mut scene = full_scene(scene, &stop, &stop);
        scene.withdrawals = vec![pay(HEIR, 2), pay(OTHER, 0), pay(HEIR, 5)];
        let position = scene.transfer(sender(0), HEIR, 1);
        let after = scene.play();
        let balances = vec![(at(position), 1), (after.end(), 1 + 7 * GWEI)];
        let heir = Listed { balances, ..Listed::default() };
        assert_eq!(after.listed(HEIR), Some(heir), "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::untouched()));
        assert!(!after.exists(OTHER));
    });
}

#[test]
fn the_list_is_in_order_and_says_nothing_twice() {
    let busy = Code::new().increment(1, 1).increment(300, 1).argument(0).ops([SLOAD, POP]).sstore(2, 9);
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &busy, &[(2, 9)]);
        for turn in 0..40 {
            scene.tell(sender(turn % 16), CONTRACT, &[word(turn as u64 * 7 % 30)]);
        }
        let after = scene.play();
        let list = after.outcome.access_list.unwrap();
        let transactions = after.outcome.receipts.len();
        alloy_eips::eip7928::validate_block_access_list(&list, transactions).unwrap();
        let contract = list.iter().find(|account| account.address == CONTRACT).unwrap();
        assert_eq!(contract.storage_changes.len(), 2, "{}", after.fork);
        assert!(contract.storage_changes.iter().all(|slot| slot.changes.len() == 40));
        assert!(contract.storage_reads.contains(&U256::from(2)));
    });
}
