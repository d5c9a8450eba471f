//! Senders with many transactions, with what others sent them, and with transactions that are invalid.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::Address;
use blockloom_engine::TransactionError;
use revm::{context::TxEnv, context_interface::result::InvalidTransaction};

use crate::{code::Code, scene::*};

const SENDER: Address = Address::repeat_byte(0x5e);
const COST: u64 = TRANSFER_GAS * PRICE;

fn too_poor(fee: u64, balance: u64) -> TransactionError {
    InvalidTransaction::LackOfFundForMaxFee { fee: Box::new(word(fee)), balance: Box::new(word(balance)) }
        .into()
}

#[test]
fn a_sender_with_a_hundred_transactions_sends_them_all_in_order() {
    everywhere(&[Frontier, Byzantium, London, Osaka], |mut scene| {
        scene.fund(SENDER, 100 * (COST + 1) + 17);
        for _ in 0..100 {
            scene.transfer(SENDER, HEIR, 1);
        }
        let after = scene.play();
        assert_eq!((after.nonce(SENDER), after.balance(SENDER)), (100, 17), "{}", after.fork);
        assert_eq!(after.balance(HEIR), 100);
    });
}

#[test]
fn the_hundredth_transaction_of_a_sender_that_lacks_one_wei_makes_the_block_invalid() {
    everywhere(&[Frontier, Byzantium, London, Osaka], |mut scene| {
        scene.fund(SENDER, 100 * (COST + 1) - 1);
        for _ in 0..99 {
            scene.transfer(SENDER, HEIR, 1);
        }
        let last = scene.transfer(SENDER, HEIR, 1);
        assert_eq!(scene.refusal(), (last, too_poor(COST + 1, COST)));
    });
}

#[test]
fn what_a_sender_could_pay_alone_is_too_much_after_its_other_transactions() {
    everywhere(&[Frontier, Osaka], |mut scene| {
        scene.fund(SENDER, 3 * COST + 50);
        scene.transfer(SENDER, HEIR, 20);
        scene.transfer(sender(0), SENDER, 5);
        scene.transfer(SENDER, HEIR, 20);
        let last = scene.transfer(SENDER, HEIR, 16);
        // There would be another one who is too poor, but it comes later.
        scene.transfer(HEIR, SENDER, 1_000);
        assert_eq!(scene.refusal(), (last, too_poor(COST + 16, COST + 15)));
    });
}

#[test]
fn fifty_accounts_forward_what_the_one_before_them_sent() {
    let forwarder = |number: usize| sender(100 + number);
    for missing in [0, 1] {
        everywhere(&[Homestead, Berlin, Cancun], |mut scene| {
            let mut value = 50 * COST + 9;
            scene.transfer(sender(0), forwarder(0), value);
            let mut last = 0;
            for number in 0..50 {
                value -= COST;
                let asked = if number == 49 { value + missing } else { value };
                last = scene.transfer(forwarder(number), forwarder(number + 1), asked);
            }
            if missing > 0 {
                assert_eq!(scene.refusal(), (last, too_poor(COST + 10, COST + 9)));
                return;
            }
            let after = scene.play();
            assert_eq!(after.balance(forwarder(50)), 9, "{}", after.fork);
            for number in 0..50 {
                assert_eq!((after.balance(forwarder(number)), after.nonce(forwarder(number))), (0, 1));
            }
        });
    }
}

#[test]
fn a_sender_may_be_funded_in_the_same_block_but_not_too_late() {
    everywhere(&FORKS, |mut scene| {
        scene.transfer(sender(0), SENDER, COST + 1);
        scene.transfer(SENDER, HEIR, 1);
        let after = scene.play();
        assert_eq!((after.balance(SENDER), after.nonce(SENDER), after.balance(HEIR)), (0, 1, 1));
    });
    everywhere(&FORKS, |mut scene| {
        let early = scene.transfer(SENDER, HEIR, 1);
        scene.transfer(sender(0), SENDER, COST + 1);
        assert_eq!(scene.refusal(), (early, too_poor(COST + 1, 0)));
    });
}

#[test]
fn a_sender_may_be_funded_by_a_contract_that_another_transaction_made_rich() {
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &Code::new().call(SENDER, COST + 1), &[]);
        scene.call(sender(0), CONTRACT, COST + 1);
        scene.transfer(SENDER, HEIR, 1);
        let after = scene.play();
        assert_eq!((after.balance(SENDER), after.nonce(SENDER), after.balance(HEIR)), (0, 1, 1));
    });
}

#[test]
fn the_wrong_nonce_in_the_middle_of_a_block_is_named_with_the_nonce_that_is_right_there() {
    for (stated, reason) in [
        (3, InvalidTransaction::NonceTooLow { tx: 3, state: 4 }),
        (5, InvalidTransaction::NonceTooHigh { tx: 5, state: 4 }),
    ] {
        everywhere(&[Frontier, Petersburg, Osaka], |mut scene| {
            for _ in 0..4 {
                scene.transfer(sender(0), HEIR, 1);
            }
            let wrong = TxEnv { nonce: stated, ..scene.to(sender(0), HEIR, 1) };
            let refused = scene.send_as_it_is(wrong);
            scene.transfer(sender(0), HEIR, 1);
            assert_eq!(scene.refusal(), (refused, reason.clone().into()));
        });
    }
}

#[test]
fn two_transactions_in_the_wrong_order_make_the_first_of_them_invalid() {
    everywhere(&[Frontier, Osaka], |mut scene| {
        let [second, first] = [1, 0].map(|nonce| TxEnv { nonce, ..scene.to(SENDER, HEIR, 1) });
        scene.fund(SENDER, RICH);
        let refused = scene.send_as_it_is(second);
        scene.send_as_it_is(first);
        let reason = InvalidTransaction::NonceTooHigh { tx: 1, state: 0 };
        assert_eq!(scene.refusal(), (refused, reason.into()));
    });
}

#[test]
fn a_sender_with_code_is_refused_whoever_came_before_it() {
    everywhere(&[London, Cancun, Osaka], |mut scene| {
        scene.rich_contract(CONTRACT, RICH, &Code::new().increment(1, 1), &[]);
        scene.call(sender(0), CONTRACT, 1);
        let refused = scene.transfer(CONTRACT, HEIR, 1);
        let reason = InvalidTransaction::RejectCallerWithCode;
        assert_eq!(scene.refusal(), (refused, reason.into()));
    });
}

#[test]
fn a_sender_whose_code_was_destroyed_may_send_before_cancun() {
    everywhere(&[London, Shanghai, Cancun], |mut scene| {
        scene.rich_contract(CONTRACT, 5, &Code::new().destroy(HEIR), &[]);
        scene.call(sender(0), CONTRACT, 1);
        let funding = TxEnv { gas_limit: 100_000, ..scene.to(sender(1), CONTRACT, COST + 1) };
        scene.send(funding);
        let nonce = if scene.fork < Cancun { 0 } else { 1 };
        let sending = TxEnv { nonce, gas_limit: TRANSFER_GAS, ..scene.to(CONTRACT, HEIR, 1) };
        let position = scene.send_as_it_is(sending);
        if scene.fork < Cancun {
            let after = scene.play();
            assert!(after.succeeded(position));
            assert_eq!((after.balance(CONTRACT), after.nonce(CONTRACT), after.balance(HEIR)), (0, 1, 7));
        } else {
            assert_eq!(scene.refusal(), (position, InvalidTransaction::RejectCallerWithCode.into()));
        }
    });
}

#[test]
fn of_several_invalid_transactions_the_first_is_named() {
    everywhere(&[Frontier, Byzantium, Osaka], |mut scene| {
        scene.transfer(sender(0), HEIR, 1);
        let short = TxEnv { gas_limit: 20_999, ..scene.to(sender(1), HEIR, 1) };
        let refused = scene.send(short);
        let wrong = TxEnv { nonce: 9, ..scene.to(sender(2), HEIR, 1) };
        scene.send_as_it_is(wrong);
        scene.transfer(SENDER, HEIR, 1);
        let (index, reason) = scene.refusal();
        assert_eq!(index, refused);
        let is_it = matches!(
            reason,
            TransactionError::Refused(InvalidTransaction::CallGasCostMoreThanGasLimit {
                gas_limit: 20_999,
                ..
            })
        );
        assert!(is_it, "{reason}");
    });
}
