//! The generator makes what it is for: a property over blocks that all fail would hold of anything.

use alloy_hardforks::EthereumHardfork;
use blockloom_engine::{Config, Engine, Invalid, Reason};
use blockloom_fuzz::hostile_block;
use blockloom_state::Life;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

#[test]
fn hostile_blocks_succeed_fail_destroy_create_and_are_refused() {
    let mut runner = TestRunner::deterministic();
    let strategy = hostile_block(vec![EthereumHardfork::Istanbul, EthereumHardfork::Shanghai]);
    let (mut succeeded, mut failed, mut ended, mut created, mut refused) = (0, 0, 0, 0, 0);
    for _ in 0..300 {
        let hostile = strategy.new_tree(&mut runner).unwrap().current();
        match Engine::new(Config::sequential()).execute(&hostile.base, &hostile.block) {
            Ok(outcome) => {
                let successes =
                    outcome.receipts.iter().filter(|receipt| receipt.status.coerce_status()).count();
                succeeded += successes;
                failed += outcome.receipts.len() - successes;
                let changes = outcome.changes.accounts.values();
                ended += changes.clone().filter(|change| change.life == Life::New).count();
                created += changes.filter(|change| change.account.before.is_none()).count();
            }
            Err(error) => {
                let reason = &error.reason;
                assert!(matches!(reason, Reason::Invalid(Invalid::Transaction { .. })), "{error}");
                refused += 1;
            }
        }
    }
    let counts = [succeeded, failed, ended, created, refused];
    assert!(counts.iter().all(|count| *count >= 50), "{counts:?}");
}
