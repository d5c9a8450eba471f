//! Senders with many transactions, with funds from earlier transactions, and with invalid transactions.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::Address;
use blockloom_engine::TransactionError;
use revm::{context::TxEnv, context_interface::result::InvalidTransaction};

use super::{code::Code, scenario::*};

const SENDER: Address = Address::repeat_byte(0x5e);
const COST: u64 = TRANSFER_GAS * PRICE;

fn lack_of_funds(fee: u64, balance: u64) -> TransactionError {
    InvalidTransaction::LackOfFundForMaxFee { fee: Box::new(word(fee)), balance: Box::new(word(balance)) }
        .into()
}

#[test]
fn a_sender_with_a_hundred_transactions_sends_all_of_them_in_order() {
    for_each_fork(&[Frontier, Byzantium, London, Osaka], |mut scenario| {
        scenario.fund(SENDER, 100 * (COST + 1) + 17);
        for _ in 0..100 {
            scenario.transfer(SENDER, HEIR, 1);
        }
        let after = scenario.execute();
        assert_eq!((after.nonce(SENDER), after.balance(SENDER)), (100, 17), "{}", after.fork);
        assert_eq!(after.balance(HEIR), 100);
    });
}

#[test]
fn a_missing_wei_in_the_hundredth_transaction_of_a_sender_makes_the_block_invalid() {
    for_each_fork(&[Frontier, Byzantium, London, Osaka], |mut scenario| {
        scenario.fund(SENDER, 100 * (COST + 1) - 1);
        for _ in 0..99 {
            scenario.transfer(SENDER, HEIR, 1);
        }
        let last = scenario.transfer(SENDER, HEIR, 1);
        assert_eq!(scenario.rejection(), (last, lack_of_funds(COST + 1, COST)));
    });
}

#[test]
fn the_earlier_transactions_of_a_sender_count_against_its_balance() {
    for_each_fork(&[Frontier, Osaka], |mut scenario| {
        scenario.fund(SENDER, 3 * COST + 50);
        scenario.transfer(SENDER, HEIR, 20);
        scenario.transfer(sender(0), SENDER, 5);
        scenario.transfer(SENDER, HEIR, 20);
        let last = scenario.transfer(SENDER, HEIR, 16);
        // Another sender without funds, later in the block.
        scenario.transfer(HEIR, SENDER, 1_000);
        assert_eq!(scenario.rejection(), (last, lack_of_funds(COST + 16, COST + 15)));
    });
}

#[test]
fn fifty_accounts_each_forward_the_transfer_of_the_account_before() {
    let forwarder = |number: usize| sender(100 + number);
    for missing in [0, 1] {
        for_each_fork(&[Homestead, Berlin, Cancun], |mut scenario| {
            let mut value = 50 * COST + 9;
            scenario.transfer(sender(0), forwarder(0), value);
            let mut last = 0;
            for number in 0..50 {
                value -= COST;
                let requested = if number == 49 { value + missing } else { value };
                last = scenario.transfer(forwarder(number), forwarder(number + 1), requested);
            }
            if missing > 0 {
                assert_eq!(scenario.rejection(), (last, lack_of_funds(COST + 10, COST + 9)));
                return;
            }
            let after = scenario.execute();
            assert_eq!(after.balance(forwarder(50)), 9, "{}", after.fork);
            for number in 0..50 {
                assert_eq!((after.balance(forwarder(number)), after.nonce(forwarder(number))), (0, 1));
            }
        });
    }
}

#[test]
fn a_sender_can_be_funded_earlier_in_the_same_block_but_not_later() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.transfer(sender(0), SENDER, COST + 1);
        scenario.transfer(SENDER, HEIR, 1);
        let after = scenario.execute();
        assert_eq!((after.balance(SENDER), after.nonce(SENDER), after.balance(HEIR)), (0, 1, 1));
    });
    for_each_fork(&FORKS, |mut scenario| {
        let early = scenario.transfer(SENDER, HEIR, 1);
        scenario.transfer(sender(0), SENDER, COST + 1);
        assert_eq!(scenario.rejection(), (early, lack_of_funds(COST + 1, 0)));
    });
}

#[test]
fn a_sender_can_be_funded_by_a_contract_that_another_transaction_funded() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &Code::new().call(SENDER, COST + 1), &[]);
        scenario.call(sender(0), CONTRACT, COST + 1);
        scenario.transfer(SENDER, HEIR, 1);
        let after = scenario.execute();
        assert_eq!((after.balance(SENDER), after.nonce(SENDER), after.balance(HEIR)), (0, 1, 1));
    });
}

#[test]
fn a_wrong_nonce_in_the_middle_of_a_block_is_reported_with_the_expected_nonce() {
    for (stated, reason) in [
        (3, InvalidTransaction::NonceTooLow { tx: 3, state: 4 }),
        (5, InvalidTransaction::NonceTooHigh { tx: 5, state: 4 }),
    ] {
        for_each_fork(&[Frontier, Petersburg, Osaka], |mut scenario| {
            for _ in 0..4 {
                scenario.transfer(sender(0), HEIR, 1);
            }
            let wrong_nonce = TxEnv { nonce: stated, ..scenario.to(sender(0), HEIR, 1) };
            let rejected = scenario.send_unchanged(wrong_nonce);
            scenario.transfer(sender(0), HEIR, 1);
            assert_eq!(scenario.rejection(), (rejected, reason.clone().into()));
        });
    }
}

#[test]
fn two_transactions_in_the_wrong_order_make_the_first_of_them_invalid() {
    for_each_fork(&[Frontier, Osaka], |mut scenario| {
        let [second, first] = [1, 0].map(|nonce| TxEnv { nonce, ..scenario.to(SENDER, HEIR, 1) });
        scenario.fund(SENDER, RICH);
        let rejected = scenario.send_unchanged(second);
        scenario.send_unchanged(first);
        let reason = InvalidTransaction::NonceTooHigh { tx: 1, state: 0 };
        assert_eq!(scenario.rejection(), (rejected, reason.into()));
    });
}

#[test]
fn a_sender_with_code_is_rejected_after_other_transactions() {
    for_each_fork(&[London, Cancun, Osaka], |mut scenario| {
        scenario.rich_contract(CONTRACT, RICH, &Code::new().increment(1, 1), &[]);
        scenario.call(sender(0), CONTRACT, 1);
        let rejected = scenario.transfer(CONTRACT, HEIR, 1);
        let reason = InvalidTransaction::RejectCallerWithCode;
        assert_eq!(scenario.rejection(), (rejected, reason.into()));
    });
}

#[test]
fn a_destroyed_contract_can_send_before_cancun() {
    for_each_fork(&[London, Shanghai, Cancun], |mut scenario| {
        scenario.rich_contract(CONTRACT, 5, &Code::new().destroy(HEIR), &[]);
        scenario.call(sender(0), CONTRACT, 1);
        let funding = TxEnv { gas_limit: 100_000, ..scenario.to(sender(1), CONTRACT, COST + 1) };
        scenario.send(funding);
        let nonce = if scenario.fork < Cancun { 0 } else { 1 };
        let sending = TxEnv { nonce, gas_limit: TRANSFER_GAS, ..scenario.to(CONTRACT, HEIR, 1) };
        let position = scenario.send_unchanged(sending);
        if scenario.fork < Cancun {
            let after = scenario.execute();
            assert!(after.succeeded(position));
            assert_eq!((after.balance(CONTRACT), after.nonce(CONTRACT), after.balance(HEIR)), (0, 1, 7));
        } else {
            assert_eq!(scenario.rejection(), (position, InvalidTransaction::RejectCallerWithCode.into()));
        }
    });
}

#[test]
fn of_several_invalid_transactions_the_first_is_reported() {
    for_each_fork(&[Frontier, Byzantium, Osaka], |mut scenario| {
        scenario.transfer(sender(0), HEIR, 1);
        let short = TxEnv { gas_limit: 20_999, ..scenario.to(sender(1), HEIR, 1) };
        let rejected = scenario.send(short);
        let wrong_nonce = TxEnv { nonce: 9, ..scenario.to(sender(2), HEIR, 1) };
        scenario.send_unchanged(wrong_nonce);
        scenario.transfer(SENDER, HEIR, 1);
        let (index, reason) = scenario.rejection();
        assert_eq!(index, rejected);
        let is_expected = matches!(
            reason,
            TransactionError::Refused(InvalidTransaction::CallGasCostMoreThanGasLimit {
                gas_limit: 20_999,
                ..
            })
        );
        assert!(is_expected, "{reason}");
    });
}
