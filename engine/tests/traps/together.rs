//! Several traps in one block.

use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Address, B256, U256, keccak256};
use revm::bytecode::opcode::*;

use crate::{
    code::{Code, Word},
    scene::*,
};

/// Destroys itself in favour of the heir if it is called with data, and counts in slot 1 otherwise.
fn mortal() -> Code {
    let count = Code::new().increment(1, 1);
    Code::new().branch(Code::new().ops([CALLDATASIZE]), Code::new().destroy(HEIR), count)
}

fn init() -> Code {
    Code::new().sstore(2, 5).deploying(&mortal())
}

fn mortal_address() -> Address {
    CONTRACT.create2(B256::ZERO, keccak256(init().bytes()))
}

#[test]
fn a_coinbase_that_is_created_paid_destroyed_and_created_again_in_its_own_block() {
    everywhere(&forks(Petersburg, Shanghai), |mut scene| {
        let coinbase = mortal_address();
        scene.header.beneficiary = coinbase;
        scene.contract(CONTRACT, &Code::new().create2(&init().bytes(), 0).store_top(0), &[]);
        let looking = Code::new().push(coinbase).ops([EXTCODESIZE]).store_where_told();
        scene.contract(OTHER, &looking, &[]);
        scene.fund(HEIR, 1);

        scene.tell(sender(0), OTHER, &[word(1)]);
        scene.call(sender(1), CONTRACT, 0);
        scene.tell(sender(2), OTHER, &[word(2)]);
        scene.call(sender(3), coinbase, 11);
        let destroying = scene.tell(sender(4), coinbase, &[U256::ONE]);
        scene.tell(sender(5), OTHER, &[word(3)]);
        scene.call(sender(6), CONTRACT, 0);
        scene.call(sender(7), coinbase, 0);
        let tip = scene.tip();
        let after = scene.play();

        let inherited = 11 + after.gas_before(destroying) * tip;
        let later = (after.all_gas() - after.gas_before(destroying + 1)) * tip;
        let size = mortal().bytes().len() as u64;
        assert_eq!(after.balance(HEIR), 1 + inherited, "{}", after.fork);
        assert_eq!((after.balance(coinbase), after.nonce(coinbase)), (later, 1));
        assert_eq!(after.slots(coinbase), [(1, 1), (2, 5)]);
        assert_eq!(after.slots(OTHER), [(2, size)]);
        assert_eq!((after.nonce(CONTRACT), after.slot(CONTRACT, 0)), (3, Word::from(coinbase).0));
    });
}

const CREATOR: Address = Address::repeat_byte(0x5e);
const CALLER: Address = Address::repeat_byte(0x5f);
/// The most that the gas of a scene's transaction can cost.
const MOST: u64 = 400_000 * PRICE;

/// A destruction funds somebody, who creates a contract, which somebody calls who was funded by a
/// transfer. Returns where it is created and where it is called.
fn send_relay(scene: &mut Scene) -> (usize, usize) {
    scene.rich_contract(CONTRACT, 2 * MOST, &Code::new().destroy(CREATOR), &[(1, 1)]);
    scene.call(sender(0), CONTRACT, 7);
    let init = Code::new().sstore(3, 30).deploying(&Code::new().increment(3, 1));
    let creating = scene.create(CREATOR, &init, 1);
    scene.transfer(sender(1), CALLER, MOST);
    (creating, scene.call(CALLER, CREATOR.create(0), 0))
}

#[test]
fn a_funded_sender_calls_a_contract_that_was_created_by_one_who_was_funded_by_a_destruction() {
    everywhere(&FORKS, |mut scene| {
        let (creating, calling) = send_relay(&mut scene);
        let after = scene.play();
        let created = CREATOR.create(0);
        assert_eq!(after.slots(created), [(3, 31)], "{}", after.fork);
        assert_eq!(after.balance(created), 1);
        assert_eq!(after.balance(CREATOR), 2 * MOST + 7 - 1 - after.gas(creating) * PRICE);
        assert_eq!(after.balance(CALLER), MOST - after.gas(calling) * PRICE);
        assert_eq!(after.exists(CONTRACT), after.fork >= Cancun);
    });
}

#[test]
fn a_sender_at_the_end_of_a_relay_that_asks_for_too_much_makes_the_block_invalid() {
    everywhere(&FORKS, |mut scene| {
        send_relay(&mut scene);
        scene.strangers(3);
        // What its call cost is missing.
        let greedy = scene.to(CALLER, CREATOR.create(0), 1);
        let refused = scene.send_next(greedy);
        let (index, reason) = scene.refusal();
        assert_eq!(index, refused);
        assert!(reason.to_string().starts_with("lack of funds"), "{reason}");
    });
}
