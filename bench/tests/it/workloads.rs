//! Generated blocks: they succeed, they are reproducible, and they have the dependencies of their shape.

use blockloom_bench::{
    limit::{WorkerCount, limit},
    workloads::{Kind, Recipe, Shape},
};
use blockloom_engine::{Config, Dependencies, Engine, TestMode};
use blockloom_state::TxIndex;

const GAS: u64 = 10_000_000;

fn all_recipes() -> impl Iterator<Item = Recipe> {
    let shapes = |kind| Shape::ALL.into_iter().map(move |shape| Recipe::new(kind, shape, GAS));
    Kind::ALL.into_iter().flat_map(shapes)
}

fn dependencies_of(recipe: &Recipe) -> Dependencies {
    let workload = recipe.prepare();
    Engine::default().dependencies(&workload.base, &workload.block, 1).unwrap()
}

#[test]
fn every_transaction_succeeds_and_uses_about_the_requested_gas() {
    let reference = Engine::new(Config::sequential());
    let parallel = Engine::new(Config::with_threads(2)).with_test_mode(TestMode::AlwaysParallel);
    for recipe in all_recipes() {
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
fn the_same_recipe_yields_the_same_block_and_another_seed_yields_another() {
    for recipe in all_recipes() {
        let again = recipe.prepare();
        let workload = recipe.prepare();
        assert_eq!(workload.block.transactions, again.block.transactions);
        assert_eq!(workload.base.first_difference(&again.base), None);
        let other = Recipe { seed: 2, ..recipe }.prepare();
        assert_ne!(workload.block.transactions, other.block.transactions);
    }
}

#[test]
fn independent_transactions_and_payments_of_few_senders_have_no_dependencies() {
    let few_senders = Recipe::new(Kind::Transfers, Shape::Senders, GAS);
    let independent = all_recipes().filter(|recipe| recipe.shape == Shape::Independent);
    for recipe in independent.chain([few_senders]) {
        let graph = dependencies_of(&recipe);
        assert!(graph.transactions.iter().all(|part| part.depends_on.is_empty()), "{recipe:?}");
    }
}

#[test]
fn in_a_chain_each_transaction_depends_on_the_one_before_it() {
    for kind in [Kind::Transfers, Kind::Erc20, Kind::Swaps] {
        let graph = dependencies_of(&Recipe::new(kind, Shape::Chain, GAS));
        for (position, part) in graph.transactions.iter().enumerate().skip(1) {
            assert_eq!(
                part.depends_on.last().map(|needed| needed.on),
                Some(TxIndex::new(position - 1)),
                "{kind}, {position}"
            );
        }
        assert!(limit(&graph, WorkerCount::Unlimited) < 1.01, "{kind}");
    }
}

#[test]
fn a_larger_hot_share_makes_more_transactions_dependent() {
    for kind in [Kind::Erc20, Kind::Swaps, Kind::Mixed] {
        let dependent = |hot| {
            let graph = dependencies_of(&Recipe { hot, ..Recipe::new(kind, Shape::Hot, GAS) });
            let dependent = graph.transactions.iter().filter(|part| !part.depends_on.is_empty()).count();
            dependent as f64 / graph.transactions.len() as f64
        };
        let shares = [0.0, 0.3, 1.0].map(dependent);
        assert!(shares[0] == 0.0 && shares[1] > 0.05 && shares[2] > 2.0 * shares[1], "{kind}: {shares:?}");
    }
}
