//! What access lists say about accounts that are created, destroyed, delegated or only declared.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::Address;
use revm::{
    bytecode::opcode::*,
    context::{
        TxEnv,
        transaction::{AccessList, AccessListItem},
    },
};

use super::{
    super::{
        code::Code,
        delegation::{AUTHORITY, authorization, delegating, designator},
        scenario::*,
    },
    Listed, at,
};

#[test]
fn an_account_created_and_destroyed_within_a_transaction_has_only_reads_and_loses_its_balance() {
    let init = Code::new().sstore(1, 7).push(2).ops([SLOAD, POP]).destroy(HEIR);
    let creating = Code::new().create(&init.bytes(), 3);
    let created = CONTRACT.create(1);
    for before in [0, 5] {
        for_each_fork(&FORKS, |mut scenario| {
            scenario.rich_contract(CONTRACT, 100, &creating, &[]);
            if before > 0 {
                scenario.fund(created, before);
            }
            let position = scenario.call(sender(0), CONTRACT, 0);
            let after = scenario.execute();
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
fn a_creation_without_funds_accesses_nothing() {
    let creating = Code::new().create(&Code::new().sstore(4, 1).bytes(), 1);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &creating, &[]);
        scenario.call(sender(0), CONTRACT, 0);
        let after = scenario.execute();
        assert_eq!(after.listed(CONTRACT), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(CONTRACT.create(1)), None);
    });
}

#[test]
fn a_created_account_is_listed_with_code_nonce_and_slots() {
    let runtime = Code::new().push(6).ops([SLOAD, POP]).sstore(1, 2);
    let init = Code::new().sstore(1, 2).push(3).ops([SLOAD, POP]).sstore(9, 0).deploying(&runtime);
    for_each_fork(&FORKS, |mut scenario| {
        let created = sender(0).create(0);
        let position = scenario.create(sender(0), &init, 0);
        scenario.call(sender(1), created, 0);
        let after = scenario.execute();
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
fn before_cancun_a_destroyed_account_is_listed_with_empty_values() {
    let code = Code::new().push(0).ops([SLOAD, POP]).push(7).ops([SLOAD, POP]).destroy(HEIR);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(CONTRACT, 9, &code, &[(0, 5), (1, 6)]);
        let position = scenario.call(sender(0), CONTRACT, 0);
        scenario.call(sender(1), CONTRACT, 0);
        let after = scenario.execute();
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
fn a_recreated_account_is_listed_with_both_of_its_lives() {
    // The contract counts in slot 0, and its second call destroys it. After the recreation slot 0 is empty.
    let runtime = Code::new().increment(0, 1).push(0).ops([SLOAD]).push(2).ops([EQ]);
    let runtime = Code::new().branch(runtime, Code::new().destroy(HEIR), Code::new());
    let init = Code::new().deploying(&runtime);
    let creating = Code::new().create2(&init.bytes(), 0);
    let created = CONTRACT.create2_from_code([0; 32], init.bytes());
    for_each_fork(&forks(Petersburg, Shanghai), |mut scenario| {
        scenario.contract(CONTRACT, &creating, &[]);
        let positions = [
            scenario.call(sender(0), CONTRACT, 0),
            scenario.call(sender(1), created, 0),
            scenario.call(sender(2), created, 0),
            scenario.call(sender(3), CONTRACT, 0),
            scenario.call(sender(4), created, 0),
        ];
        let [created_at, counted, destroyed, recreated, counted_again] = positions.map(at);
        let after = scenario.execute();
        let code = runtime.bytes().to_vec();
        let expected = Listed {
            writes: vec![(0, vec![(counted, 1), (destroyed, 0), (counted_again, 1)])],
            nonces: vec![(created_at, 1), (destroyed, 0), (recreated, 1)],
            codes: vec![(created_at, code.clone()), (destroyed, vec![]), (recreated, code)],
            ..Listed::default()
        };
        assert_eq!(after.listed(created), Some(expected), "{}", after.fork);
    });
}

#[test]
fn an_authority_is_listed_and_its_delegate_only_when_the_code_runs() {
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        scenario.contract(CONTRACT, &Code::new().push(1).ops([SLOAD, POP]), &[]);
        scenario.contract(OTHER, &Code::new().ops([STOP]), &[]);
        scenario.fund(AUTHORITY, RICH);
        let send = |scenario: &mut Scenario, code, nonce| {
            let transaction = delegating(scenario, sender(0), HEIR, AUTHORITY, code, nonce);
            scenario.send(transaction)
        };
        let set = send(&mut scenario, OTHER, 0);
        let changed = send(&mut scenario, CONTRACT, 1);
        scenario.call(sender(1), AUTHORITY, 0);
        let wrong_nonce = send(&mut scenario, OTHER, 7);
        let cleared = send(&mut scenario, Address::ZERO, 2);
        let after = scenario.execute();
        assert!(after.succeeded(wrong_nonce));
        let indices = [set, changed, cleared].map(at);
        let codes = [designator(OTHER), designator(CONTRACT), vec![]];
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
    for_each_fork(&[Prague, Osaka], |mut scenario| {
        for (chain, authority) in [(1, AUTHORITY), (2, OTHER)] {
            let mut transaction = delegating(&scenario, sender(0), HEIR, authority, CONTRACT, 7);
            transaction.authorization_list = vec![authorization(chain, authority, CONTRACT, 7)];
            scenario.send(transaction);
        }
        let after = scenario.execute();
        assert_eq!(after.listed(AUTHORITY), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(OTHER), None);
    });
}

#[test]
fn declared_addresses_and_reads_without_enough_gas_are_not_listed() {
    // A call with too little gas for the cold read of the heir, and then a call of a precompile.
    let out_of_gas =
        Code::new().push(0).push(0).push(0).push(0).push(0).push(OTHER).push(1_000).ops([CALL, POP]);
    let code = out_of_gas.call(Address::with_last_byte(4), 0).ops([POP, NUMBER]).push(1).ops([SWAP1, SUB]);
    for_each_fork(&forks(Berlin, Osaka), |mut scenario| {
        scenario.contract(CONTRACT, &code.clone().ops([BLOCKHASH, POP]), &[]);
        scenario.contract(OTHER, &Code::new().push(HEIR).ops([BALANCE]), &[]);
        let declared = AccessListItem { address: Address::repeat_byte(0xab), storage_keys: vec![] };
        let transaction = TxEnv {
            tx_type: 1,
            access_list: AccessList(vec![declared]),
            ..scenario.to(sender(0), CONTRACT, 0)
        };
        scenario.send(transaction);
        let after = scenario.execute();
        assert_eq!(after.listed(CONTRACT), Some(Listed::untouched()), "{}", after.fork);
        assert_eq!(after.listed(OTHER), Some(Listed::untouched()));
        assert_eq!(after.listed(Address::with_last_byte(4)), Some(Listed::untouched()));
        assert_eq!(after.listed(HEIR), None);
        assert_eq!(after.listed(Address::repeat_byte(0xab)), None);
    });
}
