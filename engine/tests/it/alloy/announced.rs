//! Transactions that a client announces, and gives one by one as announced or otherwise.

use std::sync::{Arc, Mutex};

use alloy_consensus::{ReceiptEnvelope, TxEnvelope, transaction::Recovered};
use alloy_evm::{
    Evm, EvmFactory,
    block::{BlockExecutionResult, BlockExecutor, BlockExecutorFactory, CommitChanges},
};
use alloy_hardforks::EthereumHardfork::*;
use alloy_primitives::{Bytes, U256};
use blockloom_engine::{Obstacle, Transaction};
use revm::database::{BundleState, states::bundle_state::BundleRetention};

use super::case::*;

/// Calls of a contract that writes, with gas that depends on what was written before. One of two senders has
/// one call.
fn case() -> Case {
    let call = |nonce| pay(SENDER, nonce, CONTRACT, nonce, Bytes::new());
    let single = pay(OTHER, 0, CONTRACT, 7, Bytes::new());
    Case::new(Cancun, [(CONTRACT, contract(WRITER))]).with([call(0), call(1), single, call(2), call(3)])
}

/// What the client does with a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Commits,
    CommitsAndAsksForEvm,
    Drops,
}
use Treatment::*;

type Given<'a> = [(&'a Recovered<TxEnvelope>, Treatment)];

fn all_committed(case: &Case) -> Vec<(&Recovered<TxEnvelope>, Treatment)> {
    case.transactions.iter().map(|transaction| (transaction, Commits)).collect()
}

/// Gives transactions to alloy-evm's executor, and to one to which `announced` was announced. Asserts that
/// both come to the same outcome, and returns how many blocks were executed in parallel, with the reported
/// obstacles.
#[track_caller]
fn execute(case: &Case, announced: Option<Vec<Transaction>>, given: &Given<'_>) -> (u64, Vec<Obstacle>) {
    let (mut state, factory) = (case.state(), case.eth());
    let evm = factory.evm_factory().create_evm(&mut state, case.env());
    let result = give(factory.create_executor(evm, case.ctx()), given);
    let expected = (result, bundle(state));

    let reported = Arc::new(Mutex::new(Vec::new()));
    let reports = Arc::clone(&reported);
    let factory = case.parallel().with_observer(move |report| {
        assert_eq!(report.block, 10);
        reports.lock().unwrap().push(report.obstacle);
    });
    let mut state = case.state();
    let evm = factory.evm_factory().create_evm(&mut state, case.env());
    let result = give(factory.create_executor(evm, case.ctx()).announce(move || announced), given);
    assert_eq!((result, bundle(state)), expected);
    let reported = reported.lock().unwrap().clone();
    for obstacle in Obstacle::ALL {
        let count = reported.iter().filter(|reported| **reported == obstacle).count();
        assert_eq!(factory.counts().sequential(obstacle), count as u64, "{obstacle}");
    }
    (factory.counts().parallel(), reported)
}

fn bundle(mut state: CaseState<'_>) -> BundleState {
    state.merge_transitions(BundleRetention::Reverts);
    state.take_bundle()
}

fn give<E>(mut executor: E, given: &Given<'_>) -> BlockExecutionResult<ReceiptEnvelope>
where
    E: BlockExecutor<Transaction = TxEnvelope, Receipt = ReceiptEnvelope>,
{
    executor.apply_pre_execution_changes().unwrap();
    for (transaction, treatment) in given {
        let commit = |_: &E::Result| if *treatment == Drops { CommitChanges::No } else { CommitChanges::Yes };
        executor.execute_transaction_with_commit_condition(*transaction, commit).unwrap();
        if *treatment == CommitsAndAsksForEvm {
            let _ = executor.evm_mut();
        }
    }
    executor.apply_post_execution_changes().unwrap()
}

#[test]
fn announced_transactions_are_executed_in_parallel() {
    let case = case();
    assert_eq!(execute(&case, Some(case.announced()), &all_committed(&case)), (1, vec![]));
}

#[test]
fn a_client_may_stop_before_the_last_announced_transaction() {
    let case = case();
    assert_eq!(execute(&case, Some(case.announced()), &all_committed(&case)[..3]), (1, vec![]));
}

#[test]
fn another_transaction_than_the_announced_one_is_executed_after_what_was_committed() {
    let case = case();
    let unexpected = (1, vec![Obstacle::Unexpected]);
    let mut given = all_committed(&case);
    // The single call comes one place too late.
    given.swap(2, 3);
    assert_eq!(execute(&case, Some(case.announced()), &given), unexpected);

    // More transactions than announced.
    let announced = case.announced()[..3].to_vec();
    assert_eq!(execute(&case, Some(announced), &all_committed(&case)), unexpected);

    // The announced sender is another one.
    let mut announced = case.announced();
    announced[2].env.caller = SENDER;
    announced[2].env.nonce = 2;
    assert_eq!(execute(&case, Some(announced), &all_committed(&case)), unexpected);

    // The hash and the sender are the announced ones, and the environment is not.
    let mut announced = case.announced();
    announced[1].env.value += U256::from(1);
    assert_eq!(execute(&case, Some(announced), &all_committed(&case)), unexpected);
}

#[test]
fn nothing_is_executed_beforehand_if_the_first_transaction_is_not_the_announced_one() {
    let case = case();
    let mut given = all_committed(&case);
    // The single call comes first.
    given[..3].rotate_right(1);
    assert_eq!(execute(&case, Some(case.announced()), &given), (0, vec![Obstacle::Unexpected]));
}

#[test]
fn a_result_that_is_not_committed_invalidates_those_after_it() {
    let case = case();
    let mut given = all_committed(&case);
    given[2].1 = Drops;
    assert_eq!(execute(&case, Some(case.announced()), &given), (1, vec![Obstacle::Interrupted]));
}

#[test]
fn a_client_that_asks_for_the_evm_in_between_gets_sequential_execution() {
    let case = case();
    let mut given = all_committed(&case);
    given[1].1 = CommitsAndAsksForEvm;
    assert_eq!(execute(&case, Some(case.announced()), &given), (1, vec![Obstacle::Interrupted]));
    let last = given.len() - 1;
    (given[1].1, given[last].1) = (Commits, CommitsAndAsksForEvm);
    assert_eq!(execute(&case, Some(case.announced()), &given), (1, vec![]));
}

#[test]
fn a_client_may_give_the_index_of_each_transaction() {
    let case = case();
    let expected = import(&case.eth(), &case, Granularity::Block).result.unwrap();
    let factory = case.parallel();
    let evm = factory.evm_factory().create_evm(case.state(), case.env());
    let mut executor = factory.create_executor(evm, case.ctx()).announce(|| Some(case.announced()));
    executor.apply_pre_execution_changes().unwrap();
    for (index, transaction) in case.transactions.iter().enumerate() {
        executor.execute_transaction_with_index(transaction, index).unwrap();
        assert_eq!(executor.evm().db().bal_state.bal_index.get(), index as u64 + 1);
    }
    assert_eq!(executor.apply_post_execution_changes().unwrap(), expected);
    assert_eq!(factory.counts().sequential(Obstacle::Interrupted), 0);
    assert_eq!(factory.counts().parallel(), 1);
}

#[test]
fn an_announcement_that_is_withdrawn_leads_to_sequential_execution() {
    let case = case();
    assert_eq!(execute(&case, None, &all_committed(&case)), (0, vec![Obstacle::Withdrawn]));
}

#[test]
fn transactions_that_were_not_announced_are_an_obstacle_if_there_are_several() {
    let case = case();
    for (transactions, reported) in [(1, 0), (2, 1), (5, 1)] {
        let factory = case.parallel();
        let mut state = case.state();
        let evm = factory.evm_factory().create_evm(&mut state, case.env());
        give(factory.create_executor(evm, case.ctx()), &all_committed(&case)[..transactions]);
        assert_eq!(factory.counts().sequential(Obstacle::OneByOne), reported, "{transactions} transactions");
        assert_eq!(factory.counts().parallel(), 0);
    }
}

#[test]
fn a_declined_block_is_executed_sequentially_for_the_given_reason() {
    let case = case();
    let factory = case.parallel();
    let decline = || {
        let evm = factory.evm_factory().create_evm(case.state(), case.env());
        factory.create_executor(evm, case.ctx()).decline(Obstacle::AccessList)
    };
    decline().execute_block(&case.transactions).unwrap();
    give(decline(), &all_committed(&case));
    let announced = decline().announce(|| unreachable!("it is not waited for in vain"));
    give(announced, &all_committed(&case));
    assert_eq!(factory.counts().sequential(Obstacle::AccessList), 3);
    assert_eq!(factory.counts().parallel(), 0);
}

#[test]
fn a_single_announced_transaction_is_nothing_to_report() {
    let mut case = case();
    case.transactions.truncate(1);
    assert_eq!(execute(&case, Some(case.announced()), &all_committed(&case)), (0, vec![]));
    let factory = case.parallel();
    let evm = factory.evm_factory().create_evm(case.state(), case.env());
    let declined = factory.create_executor(evm, case.ctx()).decline(Obstacle::AccessList);
    give(declined.announce(|| Some(case.announced())), &all_committed(&case));
    assert_eq!(factory.counts().sequential(Obstacle::AccessList), 0);
}
