//! The coinbase, to whom nearly every transaction gives and at whom hardly one looks.

use alloy_eips::eip7702::{Authorization, RecoveredAuthority, RecoveredAuthorization};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::U256;
use blockloom_state::Allocation;
use revm::{
    bytecode::opcode::*,
    context::TxEnv,
    context_interface::{either::Either, result::InvalidTransaction},
};

use crate::{code::Code, scene::*};

#[test]
fn a_builder_pays_out_the_fees_of_the_very_block_and_not_a_wei_more() {
    for excess in [0, 1] {
        everywhere(&FORKS, |mut scene| {
            for turn in 0..12 {
                scene.transfer(sender(turn), HEIR, 1);
            }
            scene.strangers(20);
            let fees = scene.length() as u64 * TRANSFER_GAS * scene.tip();
            // The last payment tips nothing; before London the coinbase pays its price to itself.
            let cost = TRANSFER_GAS * BASE_FEE;
            let payment =
                TxEnv { gas_price: BASE_FEE.into(), ..scene.to(THE_COINBASE, OTHER, fees - cost + excess) };
            let last = scene.send_next(TxEnv { gas_limit: TRANSFER_GAS, ..payment });
            if excess > 0 {
                let (fee, balance) = (Box::new(word(fees + 1)), Box::new(word(fees)));
                let reason = InvalidTransaction::LackOfFundForMaxFee { fee, balance };
                assert_eq!(scene.refusal(), (last, reason.into()));
                return;
            }
            let london = scene.fork >= London;
            let after = scene.play_to_the_end();
            assert_eq!(after.balance(OTHER), fees - cost, "{}", after.fork);
            assert_eq!(after.balance(THE_COINBASE), if london { 0 } else { cost });
            assert_eq!(after.nonce(THE_COINBASE), 1);
        });
    }
}

#[test]
fn a_coinbase_that_sends_and_receives_all_the_time_has_its_fees_as_well() {
    everywhere(&FORKS, |mut scene| {
        scene.fund(THE_COINBASE, RICH);
        for turn in 0..10 {
            scene.transfer(sender(turn), THE_COINBASE, 1000);
            scene.transfer(THE_COINBASE, HEIR, 7);
        }
        let tip = scene.tip();
        let after = scene.play();
        assert_eq!(after.nonce(THE_COINBASE), 10, "{}", after.fork);
        let expected = RICH + 10 * (1000 - 7) + after.all_gas() * tip - 10 * TRANSFER_GAS * PRICE;
        assert_eq!(after.balance(THE_COINBASE), expected);
        assert_eq!(after.balance(HEIR), 70);
    });
}

#[test]
fn a_contract_that_looks_at_the_coinbase_sees_the_fees_of_everybody_before_it() {
    let looking = Code::new().ops([COINBASE, BALANCE]).store_where_told();
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &looking, &[]);
        scene.fund(THE_COINBASE, 5);
        let looks = (0..8).map(|turn| scene.tell(sender(turn), CONTRACT, &[word(turn as u64)]));
        let looks: Vec<_> = looks.collect();
        let tip = scene.tip();
        let after = scene.play();
        for (turn, position) in looks.into_iter().enumerate() {
            let seen = after.slot(CONTRACT, turn as u64);
            assert_eq!(seen, word(5 + after.gas_before(position) * tip), "{} {turn}", after.fork);
        }
        assert_eq!(after.balance(THE_COINBASE), 5 + after.all_gas() * tip);
    });
}

#[test]
fn a_coinbase_that_is_a_contract_counts_its_calls_and_what_it_has() {
    // Writes its balance where it is told; without data it passes 3 wei on.
    let looking = Code::new().ops([ADDRESS, BALANCE]).store_where_told();
    let paying = Code::new().call(HEIR, 3).ops([POP]).increment(100, 1);
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), looking, paying);
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(THE_COINBASE, 50, &code, &[]);
        scene.fund(HEIR, 1);
        let mut looks = Vec::new();
        for turn in 0..5 {
            scene.call(sender(turn), THE_COINBASE, 1);
            looks.push(scene.tell(sender(turn + 5), THE_COINBASE, &[word(turn as u64)]));
        }
        let tip = scene.tip();
        let after = scene.play();
        for (turn, position) in (0..).zip(looks) {
            let seen = after.slot(THE_COINBASE, turn);
            assert_eq!(seen, word(50 - 2 * (turn + 1) + after.gas_before(position) * tip), "{}", after.fork);
        }
        assert_eq!((after.slot(THE_COINBASE, 100), after.balance(HEIR)), (word(5), 16));
        assert_eq!(after.balance(THE_COINBASE), 50 - 10 + after.all_gas() * tip);
    });
}

#[test]
fn fees_that_come_after_the_coinbase_was_destroyed_go_to_a_new_account() {
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(THE_COINBASE, 50, &Code::new().destroy(HEIR), &[(1, 1)]);
        scene.fund(HEIR, 1);
        scene.strangers(5);
        let destroying = scene.call(sender(0), THE_COINBASE, 4);
        scene.transfer(sender(1), OTHER, 1);
        let tip = scene.tip();
        let after = scene.play();
        let inherited = 54 + after.gas_before(destroying) * tip;
        assert_eq!(after.balance(HEIR), 1 + inherited, "{}", after.fork);
        if after.fork < Cancun {
            // The fee of the transaction that destroys the coinbase is destroyed with it.
            let later = after.all_gas() - after.gas_before(destroying + 1);
            assert_eq!((after.balance(THE_COINBASE), after.nonce(THE_COINBASE)), (later * tip, 0));
            assert_eq!(after.slots(THE_COINBASE), []);
        } else {
            let later = after.all_gas() - after.gas_before(destroying);
            assert_eq!((after.balance(THE_COINBASE), after.nonce(THE_COINBASE)), (later * tip, 1));
            assert_eq!(after.slots(THE_COINBASE), [(1, 1)]);
        }
    });
}

#[test]
fn a_fee_of_nothing_makes_an_empty_coinbase_before_eip_161_only() {
    everywhere(&FORKS, |mut scene| {
        scene.price = scene.header.base_fee_per_gas.unwrap_or_default();
        scene.transfer(sender(0), HEIR, 1);
        scene.transfer(sender(1), HEIR, 1);
        let after = scene.play();
        assert_eq!(after.exists(THE_COINBASE), after.fork < SpuriousDragon, "{}", after.fork);
        assert_eq!((after.balance(THE_COINBASE), after.balance(HEIR)), (0, 2));
    });
}

#[test]
fn a_fee_of_nothing_clears_an_empty_coinbase_from_eip_161_on() {
    everywhere(&FORKS, |mut scene| {
        scene.base.insert(THE_COINBASE, Allocation::default());
        scene.price = scene.header.base_fee_per_gas.unwrap_or_default();
        scene.transfer(sender(0), HEIR, 1);
        let after = scene.play();
        assert_eq!(after.exists(THE_COINBASE), after.fork < SpuriousDragon, "{}", after.fork);
    });
}

#[test]
fn a_coinbase_is_new_to_a_caller_until_the_first_fee_is_paid() {
    // The strangers pay nothing to the coinbase; one transaction in the middle does.
    let paying = Code::new().call_whom_told(1);
    everywhere(&forks(SpuriousDragon, Osaka), |mut scene| {
        scene.rich_contract(CONTRACT, 50, &paying, &[]);
        scene.price = scene.header.base_fee_per_gas.unwrap_or_default();
        let told: U256 = crate::code::Word::from(THE_COINBASE).0;
        let failing = TxEnv { gas_limit: 22_500, ..scene.to(sender(0), CONTRACT, 0) };
        scene.send(TxEnv { data: told.to_be_bytes_vec().into(), ..failing });
        let first = scene.tell(sender(1), CONTRACT, &[told]);
        let second = scene.tell(sender(2), CONTRACT, &[told]);
        let tipping = TxEnv { gas_price: u128::from(scene.price) + 2, ..scene.to(sender(3), HEIR, 1) };
        scene.send(tipping);
        let third = scene.tell(sender(4), CONTRACT, &[told]);
        let after = scene.play();
        // From Shanghai on the coinbase is warm; that is the same for all three.
        assert_eq!(after.gas(first), after.gas(second) + 25_000, "{}", after.fork);
        assert_eq!(after.gas(second), after.gas(third));
        assert_eq!(after.balance(THE_COINBASE), 3 + 2 * TRANSFER_GAS);
    });
}

#[test]
fn a_coinbase_delegates_and_is_called_while_fees_come_in() {
    let looking = Code::new().ops([SELFBALANCE]).store_where_told();
    everywhere(&[Prague, Osaka], |mut scene| {
        scene.contract(CONTRACT, &looking, &[]);
        scene.fund(THE_COINBASE, 5);
        let recovered = RecoveredAuthorization::new_unchecked(
            Authorization { chain_id: U256::ONE, address: CONTRACT, nonce: 0 },
            RecoveredAuthority::Valid(THE_COINBASE),
        );
        let authorization_list = vec![Either::Right(recovered)];
        let to = scene.to(sender(0), sender(1), 0);
        scene.send(TxEnv { tx_type: 4, gas_priority_fee: Some(3), authorization_list, ..to });
        let looks: Vec<_> = (0..4).map(|key| scene.tell(sender(2), THE_COINBASE, &[word(key)])).collect();
        let tip = scene.tip();
        let after = scene.play();
        for (key, position) in (0..).zip(looks) {
            assert_eq!(
                after.slot(THE_COINBASE, key),
                word(5 + after.gas_before(position) * tip),
                "{}",
                after.fork
            );
        }
        assert_eq!((after.nonce(THE_COINBASE), after.code(THE_COINBASE).len()), (1, 23));
        assert_eq!(after.balance(THE_COINBASE), 5 + after.all_gas() * tip);
    });
}

#[test]
fn the_coinbase_may_be_the_heir_of_a_contract_and_the_creator_of_another() {
    let child = THE_COINBASE.create(1);
    everywhere(&FORKS, |mut scene| {
        scene.fund(THE_COINBASE, RICH);
        scene.rich_contract(CONTRACT, 33, &Code::new().destroy(THE_COINBASE), &[]);
        let paying = scene.transfer(THE_COINBASE, HEIR, 1);
        scene.call(sender(0), CONTRACT, 0);
        let creating =
            scene.create(THE_COINBASE, &Code::new().deploying(&Code::new().destroy(THE_COINBASE)), 9);
        scene.call(sender(1), child, 2);
        let tip = scene.tip();
        let after = scene.play();
        let own = (after.gas(paying) + after.gas(creating)) * PRICE;
        assert_eq!(
            after.balance(THE_COINBASE),
            RICH - 1 + 33 + 2 + after.all_gas() * tip - own,
            "{}",
            after.fork
        );
        assert_eq!(after.nonce(THE_COINBASE), 2);
    });
}
