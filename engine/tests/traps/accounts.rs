//! Balances, and accounts that are empty or not: what others see of them, and what that costs.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256, keccak256};
use blockloom_state::Allocation;
use revm::{bytecode::opcode::*, context::TxEnv};

use crate::{
    code::{Code, Word},
    scene::*,
};

const TARGET: Address = Address::repeat_byte(0x7a);
const RIPEMD: Address = Address::with_last_byte(3);

/// Writes what an opcode says of the target to the slot that it is told.
fn observing(opcode: u8) -> Code {
    Code::new().push(TARGET).ops([opcode]).store_where_told()
}

#[test]
fn a_balance_is_read_between_additions_as_it_is_there() {
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &observing(BALANCE), &[]);
        for turn in 0..15 {
            scene.transfer(sender(turn), TARGET, 10 + turn as u64);
            if turn % 3 == 2 {
                scene.tell(sender(15), CONTRACT, &[word(turn as u64)]);
            }
        }
        let after = scene.play();
        let sum = |last: u64| (0..=last).map(|turn| 10 + turn).sum::<u64>();
        let expected = [2, 5, 8, 11, 14].map(|turn| (turn, sum(turn)));
        assert_eq!(after.slots(CONTRACT), expected, "{}", after.fork);
        assert_eq!(after.balance(TARGET), sum(14));
    });
}

#[test]
fn a_contract_sees_its_own_balance_grow_and_shrink() {
    // With data it looks, without data it takes what it gets and passes 2 wei on.
    let looking = Code::new().ops([SELFBALANCE]).store_where_told();
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), looking, Code::new().call(HEIR, 2));
    everywhere(&forks(Istanbul, Osaka), |mut scene| {
        scene.rich_contract(CONTRACT, 1, &code, &[]);
        for turn in 0..6 {
            scene.tell(sender(turn), CONTRACT, &[word(turn as u64)]);
            scene.call(sender(turn + 6), CONTRACT, 5);
        }
        let after = scene.play();
        let expected: Vec<_> = (0..6).map(|turn| (turn, 1 + 3 * turn)).collect();
        assert_eq!(after.slots(CONTRACT), expected, "{}", after.fork);
        assert_eq!((after.balance(CONTRACT), after.balance(HEIR)), (19, 12));
    });
}

#[test]
fn the_hash_and_size_of_code_follow_the_account_from_nothing_to_a_contract() {
    let target = sender(3).create(0);
    let runtime = Code::new().destroy(HEIR);
    let code = Code::new()
        .push(target)
        .ops([EXTCODEHASH])
        .store_where_told()
        .push(target)
        .ops([EXTCODESIZE])
        .argument(1)
        .ops([SSTORE]);
    everywhere(&forks(Petersburg, Osaka), |mut scene| {
        scene.contract(CONTRACT, &code, &[(1, 9)]);
        scene.tell(sender(0), CONTRACT, &[word(1), word(11)]);
        scene.transfer(sender(1), target, 4);
        scene.tell(sender(2), CONTRACT, &[word(2), word(12)]);
        scene.create(sender(3), &Code::new().deploying(&runtime), 1);
        scene.tell(sender(4), CONTRACT, &[word(3), word(13)]);
        scene.call(sender(5), target, 0);
        scene.tell(sender(6), CONTRACT, &[word(4), word(14)]);
        let after = scene.play();
        let seen = [1, 2, 3, 4].map(|key| after.slot(CONTRACT, key));
        let sizes = [11, 12, 13, 14].map(|key| after.slot(CONTRACT, key));
        let hash: U256 = keccak256(runtime.bytes()).into();
        let size = word(runtime.bytes().len() as u64);
        let last = if after.fork < Cancun { (word(0), word(0)) } else { (hash, size) };
        assert_eq!(seen, [word(0), KECCAK256_EMPTY.into(), hash, last.0], "{}", after.fork);
        assert_eq!(sizes, [word(0), word(0), size, last.1]);
        assert_eq!(after.balance(HEIR), 5);
    });
}

#[test]
fn a_call_with_value_pays_for_a_new_account_only_as_long_as_it_is_new() {
    let [first, second] = [Address::repeat_byte(0x71), Address::repeat_byte(0x72)];
    let told = |address: Address| Word::from(address).0;
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(CONTRACT, 50, &Code::new().call_whom_told(1), &[]);
        let new = scene.tell(sender(0), CONTRACT, &[told(first)]);
        let known = scene.tell(sender(1), CONTRACT, &[told(first)]);
        scene.transfer(sender(2), second, 1);
        let funded = scene.tell(sender(3), CONTRACT, &[told(second)]);
        let after = scene.play();
        let gas = [known, funded].map(|position| after.gas(new) - after.gas(position));
        assert_eq!(gas, [25_000, 25_000], "{}", after.fork);
        assert_eq!((after.balance(first), after.balance(second)), (2, 2));
    });
}

#[test]
fn a_call_without_value_makes_and_pays_for_a_new_account_before_eip_161_only() {
    everywhere(&FORKS, |mut scene| {
        scene.contract(CONTRACT, &Code::new().call(TARGET, 0), &[]);
        let first = scene.call(sender(0), CONTRACT, 0);
        let second = scene.call(sender(1), CONTRACT, 0);
        let after = scene.play();
        let is_early = after.fork < SpuriousDragon;
        let extra = if is_early { 25_000 } else { 0 };
        assert_eq!(after.gas(first), after.gas(second) + extra, "{}", after.fork);
        assert_eq!(after.exists(TARGET), is_early);
    });
}

#[test]
fn a_destroyed_contract_is_new_again_for_who_sends_it_something() {
    // Who is destroyed is there until its transaction ends, and not there in the next.
    everywhere(&forks(SpuriousDragon, Shanghai), |mut scene| {
        scene.rich_contract(CONTRACT, 50, &Code::new().call(TARGET, 1), &[]);
        scene.contract(TARGET, &Code::new().destroy(CONTRACT), &[(1, 1)]);
        scene.call(sender(0), TARGET, 8);
        let new = scene.call(sender(1), CONTRACT, 0);
        let known = scene.call(sender(2), CONTRACT, 0);
        let after = scene.play();
        assert_eq!(after.gas(new), after.gas(known) + 25_000, "{}", after.fork);
        assert_eq!((after.balance(CONTRACT), after.balance(TARGET)), (56, 2));
        assert_eq!((after.nonce(TARGET), after.slots(TARGET)), (0, vec![]));
    });
}

#[test]
fn an_inner_call_that_cannot_pay_can_pay_once_somebody_funded_it() {
    // Takes what it is sent; called with data it sends 5 wei and writes whether it could.
    let sending = Code::new().call(HEIR, 5).push(1).ops([ADD]).store_where_told();
    let code = Code::new().branch(Code::new().ops([CALLDATASIZE]), sending, Code::new());
    everywhere(&FORKS, |mut scene| {
        scene.rich_contract(CONTRACT, 4, &code, &[]);
        scene.fund(HEIR, 1);
        scene.tell(sender(0), CONTRACT, &[word(0)]);
        scene.call(sender(1), CONTRACT, 1);
        scene.tell(sender(2), CONTRACT, &[word(1)]);
        scene.tell(sender(3), CONTRACT, &[word(2)]);
        scene.call(sender(4), CONTRACT, 7);
        scene.tell(sender(5), CONTRACT, &[word(3)]);
        let after = scene.play();
        assert_eq!(after.slots(CONTRACT), [(0, 1), (1, 2), (2, 1), (3, 2)], "{}", after.fork);
        assert_eq!((after.balance(CONTRACT), after.balance(HEIR)), (2, 11));
    });
}

#[test]
fn an_empty_account_that_is_touched_goes_from_eip_161_on_and_may_come_back() {
    everywhere(&FORKS, |mut scene| {
        let is_early = scene.fork < SpuriousDragon;
        let [gone, back, untouched] = [0x71, 0x72, 0x73].map(Address::repeat_byte);
        for address in [gone, back, untouched] {
            scene.base.insert(address, Allocation::default());
        }
        scene.transfer(sender(0), gone, 0);
        scene.transfer(sender(1), back, 0);
        scene.transfer(sender(2), gone, 0);
        scene.transfer(sender(3), back, 6);
        let after = scene.play();
        assert_eq!(after.exists(gone), is_early, "{}", after.fork);
        assert_eq!((after.balance(back), after.nonce(back)), (6, 0));
        assert!(after.exists(untouched), "nobody touched it");
    });
}

#[test]
fn an_account_that_many_touch_begins_once_before_eip_161() {
    // Whoever touches it second finds it there: its step neither makes it nor starts a new life.
    everywhere(&forks(Frontier, Tangerine), |mut scene| {
        let touches: Vec<_> = (0..12).map(|turn| scene.transfer(sender(turn), TARGET, 0)).collect();
        let after = scene.play();
        assert!(after.exists(TARGET), "{}", after.fork);
        let changed = touches.into_iter().map(|position| after.changed(position, TARGET));
        assert_eq!(changed.collect::<Vec<_>>(), (0..12).map(|turn| turn == 0).collect::<Vec<_>>());
    });
}

#[test]
fn the_touch_of_the_third_precompile_outlives_a_frame_that_ran_out_of_gas() {
    // What happened on mainnet in block 2,675,119 is the rule since.
    let touching = |address| Code::new().call(address, 0).ops([POP, INVALID]);
    everywhere(&FORKS, |mut scene| {
        let is_early = scene.fork < SpuriousDragon;
        scene.base.insert(RIPEMD, Allocation::default());
        scene.base.insert(TARGET, Allocation::default());
        scene.contract(CONTRACT, &touching(RIPEMD), &[]);
        scene.contract(OTHER, &touching(TARGET), &[]);
        let first = scene.call(sender(0), CONTRACT, 0);
        let second = scene.call(sender(1), OTHER, 0);
        let after = scene.play();
        assert!(!after.succeeded(first) && !after.succeeded(second));
        assert_eq!(after.exists(RIPEMD), is_early, "{}", after.fork);
        assert!(after.exists(TARGET), "the touch was reverted");
    });
}

#[test]
fn a_precompile_that_was_cleared_is_there_again_when_somebody_pays_it() {
    let touching = Code::new().call(RIPEMD, 0).ops([POP, INVALID]);
    everywhere(&FORKS, |mut scene| {
        scene.base.insert(RIPEMD, Allocation::default());
        scene.contract(CONTRACT, &touching, &[]);
        scene.call(sender(0), CONTRACT, 0);
        let paying = TxEnv { gas_limit: 30_000, ..scene.to(sender(1), RIPEMD, 3) };
        scene.send(paying);
        scene.call(sender(2), CONTRACT, 0);
        let after = scene.play();
        assert_eq!(after.balance(RIPEMD), 3, "{}", after.fork);
    });
}
