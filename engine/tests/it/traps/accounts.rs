//! Balances and empty accounts: what other transactions observe of them, and the gas that this costs.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256, keccak256};
use blockloom_state::Allocation;
use revm::{bytecode::opcode::*, context::TxEnv};

use super::{
    code::{Code, Word},
    scenario::*,
};

const TARGET: Address = Address::repeat_byte(0x7a);
const RIPEMD: Address = Address::with_last_byte(3);

/// Applies an opcode to the target and writes the result into the slot that the call data names.
fn observing(opcode: u8) -> Code {
    Code::new().push(TARGET).ops([opcode]).store_at_argument()
}

#[test]
fn a_balance_read_between_additions_includes_the_earlier_ones() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &observing(BALANCE), &[]);
        for i in 0..15 {
            scenario.transfer(sender(i), TARGET, 10 + i as u64);
            if i % 3 == 2 {
                scenario.call_with_words(sender(15), CONTRACT, &[word(i as u64)]);
            }
        }
        let after = scenario.execute();
        let sum = |last: u64| (0..=last).map(|i| 10 + i).sum::<u64>();
        let expected = [2, 5, 8, 11, 14].map(|i| (i, sum(i)));
        assert_eq!(after.slots(CONTRACT), expected, "{}", after.fork);
        assert_eq!(after.balance(TARGET), sum(14));
    });
}

#[test]
fn a_contract_sees_its_own_balance_grow_and_shrink() {
    // With data it records its balance. Without data it keeps the value and passes 2 wei on.
    let reading = Code::new().ops([SELFBALANCE]).store_at_argument();
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), reading, Code::new().call(HEIR, 2));
    for_each_fork(&forks(Istanbul, Osaka), |mut scenario| {
        scenario.rich_contract(CONTRACT, 1, &code, &[]);
        for i in 0..6 {
            scenario.call_with_words(sender(i), CONTRACT, &[word(i as u64)]);
            scenario.call(sender(i + 6), CONTRACT, 5);
        }
        let after = scenario.execute();
        let expected: Vec<_> = (0..6).map(|i| (i, 1 + 3 * i)).collect();
        assert_eq!(after.slots(CONTRACT), expected, "{}", after.fork);
        assert_eq!((after.balance(CONTRACT), after.balance(HEIR)), (19, 12));
    });
}

#[test]
fn the_code_hash_and_size_follow_an_account_from_absence_to_contract_to_destruction() {
    let target = sender(3).create(0);
    let runtime = Code::new().destroy(HEIR);
    let code = Code::new()
        .push(target)
        .ops([EXTCODEHASH])
        .store_at_argument()
        .push(target)
        .ops([EXTCODESIZE])
        .argument(1)
        .ops([SSTORE]);
    for_each_fork(&forks(Petersburg, Osaka), |mut scenario| {
        scenario.contract(CONTRACT, &code, &[(1, 9)]);
        scenario.call_with_words(sender(0), CONTRACT, &[word(1), word(11)]);
        scenario.transfer(sender(1), target, 4);
        scenario.call_with_words(sender(2), CONTRACT, &[word(2), word(12)]);
        scenario.create(sender(3), &Code::new().deploying(&runtime), 1);
        scenario.call_with_words(sender(4), CONTRACT, &[word(3), word(13)]);
        scenario.call(sender(5), target, 0);
        scenario.call_with_words(sender(6), CONTRACT, &[word(4), word(14)]);
        let after = scenario.execute();
        let hashes = [1, 2, 3, 4].map(|key| after.slot(CONTRACT, key));
        let sizes = [11, 12, 13, 14].map(|key| after.slot(CONTRACT, key));
        let hash: U256 = keccak256(runtime.bytes()).into();
        let size = word(runtime.bytes().len() as u64);
        let last = if after.fork < Cancun { (word(0), word(0)) } else { (hash, size) };
        assert_eq!(hashes, [word(0), KECCAK256_EMPTY.into(), hash, last.0], "{}", after.fork);
        assert_eq!(sizes, [word(0), word(0), size, last.1]);
        assert_eq!(after.balance(HEIR), 5);
    });
}

#[test]
fn a_call_with_value_pays_the_new_account_cost_only_the_first_time() {
    let [first, second] = [Address::repeat_byte(0x71), Address::repeat_byte(0x72)];
    let argument = |address: Address| Word::from(address).0;
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(CONTRACT, 50, &Code::new().call_argument(1), &[]);
        let new = scenario.call_with_words(sender(0), CONTRACT, &[argument(first)]);
        let known = scenario.call_with_words(sender(1), CONTRACT, &[argument(first)]);
        scenario.transfer(sender(2), second, 1);
        let funded = scenario.call_with_words(sender(3), CONTRACT, &[argument(second)]);
        let after = scenario.execute();
        let gas = [known, funded].map(|position| after.gas(new) - after.gas(position));
        assert_eq!(gas, [25_000, 25_000], "{}", after.fork);
        assert_eq!((after.balance(first), after.balance(second)), (2, 2));
    });
}

#[test]
fn a_call_without_value_creates_and_pays_for_a_new_account_before_eip_161_only() {
    for_each_fork(&FORKS, |mut scenario| {
        scenario.contract(CONTRACT, &Code::new().call(TARGET, 0), &[]);
        let first = scenario.call(sender(0), CONTRACT, 0);
        let second = scenario.call(sender(1), CONTRACT, 0);
        let after = scenario.execute();
        let is_early = after.fork < SpuriousDragon;
        let extra = if is_early { 25_000 } else { 0 };
        assert_eq!(after.gas(first), after.gas(second) + extra, "{}", after.fork);
        assert_eq!(after.exists(TARGET), is_early);
    });
}

#[test]
fn a_transfer_to_a_destroyed_contract_pays_the_new_account_cost_again() {
    // A destroyed account exists until its transaction ends, and is absent in the next one.
    for_each_fork(&forks(SpuriousDragon, Shanghai), |mut scenario| {
        scenario.rich_contract(CONTRACT, 50, &Code::new().call(TARGET, 1), &[]);
        scenario.contract(TARGET, &Code::new().destroy(CONTRACT), &[(1, 1)]);
        scenario.call(sender(0), TARGET, 8);
        let new = scenario.call(sender(1), CONTRACT, 0);
        let known = scenario.call(sender(2), CONTRACT, 0);
        let after = scenario.execute();
        assert_eq!(after.gas(new), after.gas(known) + 25_000, "{}", after.fork);
        assert_eq!((after.balance(CONTRACT), after.balance(TARGET)), (56, 2));
        assert_eq!((after.nonce(TARGET), after.slots(TARGET)), (0, vec![]));
    });
}

#[test]
fn an_inner_call_without_funds_succeeds_after_an_earlier_transaction_funds_it() {
    // Without data it keeps the value. With data it sends 5 wei and writes whether that worked.
    let sending = Code::new().call(HEIR, 5).push(1).ops([ADD]).store_at_argument();
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), sending, Code::new());
    for_each_fork(&FORKS, |mut scenario| {
        scenario.rich_contract(CONTRACT, 4, &code, &[]);
        scenario.fund(HEIR, 1);
        scenario.call_with_words(sender(0), CONTRACT, &[word(0)]);
        scenario.call(sender(1), CONTRACT, 1);
        scenario.call_with_words(sender(2), CONTRACT, &[word(1)]);
        scenario.call_with_words(sender(3), CONTRACT, &[word(2)]);
        scenario.call(sender(4), CONTRACT, 7);
        scenario.call_with_words(sender(5), CONTRACT, &[word(3)]);
        let after = scenario.execute();
        assert_eq!(after.slots(CONTRACT), [(0, 1), (1, 2), (2, 1), (3, 2)], "{}", after.fork);
        assert_eq!((after.balance(CONTRACT), after.balance(HEIR)), (2, 11));
    });
}

#[test]
fn a_touched_empty_account_is_removed_from_eip_161_on_and_can_be_funded_again() {
    for_each_fork(&FORKS, |mut scenario| {
        let is_early = scenario.fork < SpuriousDragon;
        let [removed, funded_again, untouched] = [0x71, 0x72, 0x73].map(Address::repeat_byte);
        for address in [removed, funded_again, untouched] {
            scenario.base.insert(address, Allocation::default());
        }
        scenario.transfer(sender(0), removed, 0);
        scenario.transfer(sender(1), funded_again, 0);
        scenario.transfer(sender(2), removed, 0);
        scenario.transfer(sender(3), funded_again, 6);
        let after = scenario.execute();
        assert_eq!(after.exists(removed), is_early, "{}", after.fork);
        assert_eq!((after.balance(funded_again), after.nonce(funded_again)), (6, 0));
        assert!(after.exists(untouched), "no transaction touches it");
    });
}

#[test]
fn before_eip_161_only_the_first_of_many_touches_creates_the_account() {
    // The later touches find the account: their steps neither create it nor start a new life.
    for_each_fork(&forks(Frontier, Tangerine), |mut scenario| {
        let touches: Vec<_> = (0..12).map(|i| scenario.transfer(sender(i), TARGET, 0)).collect();
        let after = scenario.execute();
        assert!(after.exists(TARGET), "{}", after.fork);
        let changed = touches.into_iter().map(|position| after.changed(position, TARGET));
        assert_eq!(changed.collect::<Vec<_>>(), (0..12).map(|i| i == 0).collect::<Vec<_>>());
    });
}

#[test]
fn the_touch_of_the_third_precompile_survives_a_frame_that_ran_out_of_gas() {
    // This happened on mainnet in block 2,675,119, and has been a rule since then.
    let touching = |address| Code::new().call(address, 0).ops([POP, INVALID]);
    for_each_fork(&FORKS, |mut scenario| {
        let is_early = scenario.fork < SpuriousDragon;
        scenario.base.insert(RIPEMD, Allocation::default());
        scenario.base.insert(TARGET, Allocation::default());
        scenario.contract(CONTRACT, &touching(RIPEMD), &[]);
        scenario.contract(OTHER, &touching(TARGET), &[]);
        let first = scenario.call(sender(0), CONTRACT, 0);
        let second = scenario.call(sender(1), OTHER, 0);
        let after = scenario.execute();
        assert!(!after.succeeded(first) && !after.succeeded(second));
        assert_eq!(after.exists(RIPEMD), is_early, "{}", after.fork);
        assert!(after.exists(TARGET), "the touch was reverted");
    });
}

#[test]
fn a_cleared_precompile_exists_again_after_a_payment() {
    let touching = Code::new().call(RIPEMD, 0).ops([POP, INVALID]);
    for_each_fork(&FORKS, |mut scenario| {
        scenario.base.insert(RIPEMD, Allocation::default());
        scenario.contract(CONTRACT, &touching, &[]);
        scenario.call(sender(0), CONTRACT, 0);
        let paying = TxEnv { gas_limit: 30_000, ..scenario.to(sender(1), RIPEMD, 3) };
        scenario.send(paying);
        scenario.call(sender(2), CONTRACT, 0);
        let after = scenario.execute();
        assert_eq!(after.balance(RIPEMD), 3, "{}", after.fork);
    });
}
