//! Generated blocks: they succeed, they are the same again, and they have the shape that they are said
//! to have.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use blockloom_bench::{
    limit::{Crew, limit},
    workloads::{Kind, Recipe, Shape},
};
use blockloom_engine::{Anatomy, Config, Engine, Spread};
use blockloom_state::TxIndex;

const GAS: u64 = 10_000_000;

fn everything() -> impl Iterator<Item = Recipe> {
    let shapes = |kind| Shape::ALL.into_iter().map(move |shape| Recipe::new(kind, shape, GAS));
    Kind::ALL.into_iter().flat_map(shapes)
}

fn dissected(recipe: &Recipe) -> Anatomy {
    let workload = recipe.prepare();
    Engine::default().dissect(&workload.base, &workload.block, 1).unwrap()
}

#[test]
fn every_transaction_succeeds_and_uses_about_the_gas_that_was_asked_for() {
    let reference = Engine::new(Config::sequential());
    let parallel = Engine::new(Config { spread: Spread::Always, ..Config::with_threads(2) });
    for recipe in everything() {
        let workload = recipe.prepare();
        let outcome = reference.execute(&workload.base, &workload.block).unwrap();
        let failed = outcome.receipts.iter().position(|receipt| !receipt.status.coerce_status());
        assert_eq!(failed, None, "{recipe:?}");
        let share = outcome.gas_used as f64 / GAS as f64;
        assert!((0.8..1.25).contains(&share), "{recipe:?}: {share}");
        assert!(parallel.execute(&workload.base, &workload.block).unwrap() == outcome, "{recipe:?}");
    }
}

#[test]
fn the_same_recipe_yields_the_same_block_and_another_seed_another() {
    for recipe in everything() {
        let again = recipe.prepare();
        let workload = recipe.prepare();
        assert_eq!(workload.block.transactions, again.block.transactions);
        assert_eq!(workload.base.first_difference(&again.base), None);
        let other = Recipe { seed: 2, ..recipe }.prepare();
        assert_ne!(workload.block.transactions, other.block.transactions);
    }
}

#[test]
fn independent_transactions_need_nobody_and_neither_do_payments_of_few_senders() {
    let few_senders = Recipe::new(Kind::Transfers, Shape::Senders, GAS);
    let independent = everything().filter(|recipe| recipe.shape == Shape::Independent);
    for recipe in independent.chain([few_senders]) {
        let anatomy = dissected(&recipe);
        assert!(anatomy.transactions.iter().all(|part| part.needs.is_empty()), "{recipe:?}");
    }
}

#[test]
fn in_a_chain_each_needs_the_one_before_it() {
    for kind in [Kind::Transfers, Kind::Erc20, Kind::Swaps] {
        let anatomy = dissected(&Recipe::new(kind, Shape::Chain, GAS));
        for (position, part) in anatomy.transactions.iter().enumerate().skip(1) {
            assert_eq!(part.needs.last(), Some(&TxIndex::new(position - 1)), "{kind}, {position}");
        }
        assert!(limit(&anatomy, Crew::Any) < 1.01, "{kind}");
    }
}

#[test]
fn the_hotter_a_block_the_more_of_it_meets() {
    for kind in [Kind::Erc20, Kind::Swaps, Kind::Mixed] {
        let meeting = |hot| {
            let anatomy = dissected(&Recipe { hot, ..Recipe::new(kind, Shape::Hot, GAS) });
            let meeting = anatomy.transactions.iter().filter(|part| !part.needs.is_empty()).count();
            meeting as f64 / anatomy.transactions.len() as f64
        };
        let shares = [0.0, 0.3, 1.0].map(meeting);
        assert!(shares[0] == 0.0 && shares[1] > 0.05 && shares[2] > 2.0 * shares[1], "{kind}: {shares:?}");
    }
}
