//! What a schedule hands out, and how records, stale attempts and the window change it.

use super::*;
use crate::policy::batching::Effort;

fn schedule(efforts: &[Effort]) -> Schedule {
    with_threads(efforts, 9)
}

fn with_threads(efforts: &[Effort], threads: usize) -> Schedule {
    Schedule::new(&efforts.iter().copied().map(Batch::single).collect::<Vec<_>>(), threads)
}

fn heavy(count: usize) -> Schedule {
    schedule(&vec![Effort::Heavy; count])
}

fn attempt(batch: usize, earlier: u32) -> Attempt {
    let incarnation = (0..earlier).fold(Incarnation::FIRST, |incarnation, _| incarnation.next());
    Attempt { batch: BatchIndex::new(batch), incarnation }
}

fn run(schedule: &mut Schedule, attempt: Attempt) {
    assert_eq!(schedule.ran(attempt), AttemptStatus::Current);
}

#[test]
fn batches_are_claimed_and_committed_in_order() {
    let mut schedule = heavy(3);
    let claimed: Vec<_> = std::iter::from_fn(|| schedule.claim(Claimant::Worker)).collect();
    assert_eq!(claimed, [attempt(0, 0), attempt(1, 0), attempt(2, 0)]);
    run(&mut schedule, claimed[1]);
    assert_eq!(schedule.at_gate(), GateStep::RunsElsewhere);
    run(&mut schedule, claimed[0]);
    for batch in 0..2 {
        assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(batch, 1)));
        schedule.committed(CommittedBy::Records);
    }
    assert_eq!(schedule.at_gate(), GateStep::RunsElsewhere);
    assert!(!schedule.is_over());
}

#[test]
fn the_farthest_batch_is_counted_from_the_frontier_of_its_time() {
    let mut schedule = heavy(400);
    let claim_all = |schedule: &mut Schedule| std::iter::from_fn(|| schedule.claim(Claimant::Worker)).last();
    let last = claim_all(&mut schedule).unwrap().batch.get();
    assert_eq!(schedule.farthest, last);
    run(&mut schedule, attempt(0, 0));
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(0, 1)));
    schedule.committed(CommittedBy::Records);
    let last = claim_all(&mut schedule).unwrap().batch.get();
    assert!(last < 399, "the window ends before the block");
    assert_eq!(schedule.farthest, last - 1);
}

#[test]
fn the_report_of_an_attempt_that_the_gate_took_over_is_ignored() {
    let mut schedule = heavy(2);
    let stale = schedule.claim(Claimant::Worker).unwrap();
    assert_eq!(schedule.stale(stale.batch), StaleBatch::Abort);
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(0, 1)));
    assert_eq!(schedule.ran(stale), AttemptStatus::Stale);
    schedule.blocked(stale, stale.batch);
    schedule.gave_up(stale);
    schedule.aborted(stale);
    schedule.committed(CommittedBy::RunsAtGate);
    assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(1, 0)));
}

#[test]
fn a_waiting_batch_is_ready_once_the_awaited_one_has_run() {
    let mut schedule = heavy(3);
    let (first, second) =
        (schedule.claim(Claimant::Worker).unwrap(), schedule.claim(Claimant::Worker).unwrap());
    schedule.blocked(second, first.batch);
    assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(2, 0)));
    assert_eq!(schedule.claim(Claimant::Worker), None);
    run(&mut schedule, first);
    assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(1, 1)));
}

#[test]
fn a_batch_that_awaits_one_that_has_run_is_ready_at_once() {
    let mut schedule = heavy(2);
    let (first, second) =
        (schedule.claim(Claimant::Worker).unwrap(), schedule.claim(Claimant::Worker).unwrap());
    run(&mut schedule, first);
    schedule.blocked(second, first.batch);
    assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(1, 1)));
}

#[test]
fn a_batch_that_awaits_a_write_that_does_not_come_is_left_to_the_gate() {
    let mut schedule = heavy(2);
    let (first, second) =
        (schedule.claim(Claimant::Worker).unwrap(), schedule.claim(Claimant::Worker).unwrap());
    run(&mut schedule, first);
    schedule.blocked(second, first.batch);
    let again = schedule.claim(Claimant::Worker).unwrap();
    schedule.blocked(again, first.batch);
    assert_eq!(schedule.claim(Claimant::Worker), None);
}

#[test]
fn a_batch_that_awaits_itself_twice_is_left_to_the_gate() {
    let mut schedule = heavy(1);
    for _ in 0..2 {
        let attempt = schedule.claim(Claimant::Worker).unwrap();
        schedule.blocked(attempt, attempt.batch);
    }
    assert_eq!(schedule.claim(Claimant::Worker), None);
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(0, 2)));
}

#[test]
fn a_stale_batch_runs_again_whether_it_ran_or_runs() {
    let mut schedule = heavy(2);
    let (first, second) =
        (schedule.claim(Claimant::Worker).unwrap(), schedule.claim(Claimant::Worker).unwrap());
    run(&mut schedule, second);
    assert_eq!(schedule.stale(second.batch), StaleBatch::RunAgain);
    assert_eq!(schedule.stale(second.batch), StaleBatch::NoRun);
    let again = schedule.claim(Claimant::Worker).unwrap();
    assert_eq!(again, attempt(1, 1));
    assert_eq!(schedule.stale(again.batch), StaleBatch::Abort);
    assert_eq!(schedule.stale(again.batch), StaleBatch::NoRun);
    assert_eq!(schedule.ran(again), AttemptStatus::Stale);
    assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(1, 2)));
    run(&mut schedule, first);
}

#[test]
fn a_stopped_schedule_hands_out_nothing() {
    let mut schedule = heavy(3);
    schedule.claim(Claimant::Worker);
    assert_eq!(schedule.stop().collect::<Vec<_>>(), [BatchIndex::new(0)]);
    assert!(schedule.is_over() && !schedule.has_work() && schedule.claim(Claimant::Worker).is_none());
}

#[test]
fn huge_batches_run_first_wherever_they_are() {
    let mut efforts = vec![Effort::Heavy; 300];
    for (position, gas_limit) in [(0, 9), (200, 1), (250, 2), (270, 2)] {
        efforts[position] = Effort::Huge { gas_limit };
    }
    let mut schedule = schedule(&efforts);
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(0, 0)));
    for next in [250, 270, 200, 1] {
        assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(next, 0)));
    }
}

#[test]
fn a_stale_huge_batch_waits_for_its_place_in_the_order() {
    let mut schedule =
        schedule(&[Effort::Heavy, Effort::Heavy, Effort::Huge { gas_limit: 1 }, Effort::Heavy]);
    let huge = schedule.claim(Claimant::Worker).unwrap();
    run(&mut schedule, huge);
    schedule.stale(huge.batch);
    for next in [attempt(0, 0), attempt(1, 0), attempt(2, 1), attempt(3, 0)] {
        assert_eq!(schedule.claim(Claimant::Worker), Some(next));
    }
}

#[test]
fn the_gates_thread_claims_huge_batches_last() {
    let mut schedule = schedule(&[Effort::Heavy, Effort::Huge { gas_limit: 1 }, Effort::Heavy]);
    schedule.claim(Claimant::Gate);
    assert_eq!(schedule.at_gate(), GateStep::RunsElsewhere);
    assert_eq!(schedule.claim(Claimant::Gate), Some(attempt(2, 0)));
    assert_eq!(schedule.claim(Claimant::Gate), Some(attempt(1, 0)));
    assert_eq!(schedule.claim(Claimant::Gate), None);
}

#[test]
fn near_the_frontier_the_gate_gets_a_share_of_bulk_batches() {
    let mut schedule = with_threads(&[Effort::Bulk; 60], 2);
    let claimed: Vec<_> =
        std::iter::from_fn(|| schedule.claim(Claimant::Worker)).map(|attempt| attempt.batch.get()).collect();
    let reach = schedule.window.reach();
    let (near, far) = claimed.iter().partition::<Vec<usize>, _>(|position| **position < reach / 2);
    assert_eq!(near, (0..reach / 2).step_by(2).collect::<Vec<_>>(), "every other one");
    assert_eq!(far, (reach / 2..=reach).collect::<Vec<_>>(), "all of them");
}

#[test]
fn light_batches_are_left_to_the_gate() {
    let mut schedule = schedule(&[Effort::Heavy, Effort::Light, Effort::Heavy, Effort::Light]);
    let (first, third) =
        (schedule.claim(Claimant::Worker).unwrap(), schedule.claim(Claimant::Worker).unwrap());
    assert_eq!((first, third), (attempt(0, 0), attempt(2, 0)));
    assert_eq!(schedule.claim(Claimant::Worker), None);
    run(&mut schedule, first);
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(0, 1)));
    schedule.committed(CommittedBy::Records);
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(1, 0)));
}

fn close_window(schedule: &mut Schedule) {
    while schedule.window.reach() > 0 {
        schedule.window.shrink();
    }
}

#[test]
fn while_the_window_is_closed_the_gate_runs_several_batches_at_once() {
    let mut schedule = heavy(20);
    close_window(&mut schedule);
    assert_eq!(schedule.at_gate(), GateStep::Run(0..3), "and the window opens after one more");
    assert_eq!(schedule.claim(Claimant::Worker), None);
    schedule.committed(CommittedBy::RunsOfSeveral(2));
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(3, 0)));
    schedule.committed(CommittedBy::RunsAtGate);
    assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(4, 0)));
}

#[test]
fn batches_that_ran_ahead_are_committed_one_by_one_even_if_the_window_is_closed() {
    let mut schedule = heavy(20);
    for _ in 0..2 {
        let ran = schedule.claim(Claimant::Worker).unwrap();
        run(&mut schedule, ran);
    }
    close_window(&mut schedule);
    for batch in 0..2 {
        assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(batch, 1)));
        schedule.committed(CommittedBy::RunsAtGate);
    }
}

#[test]
fn effects_are_published_at_once_when_a_worker_has_asked_for_work() {
    let mut schedule = heavy(3);
    assert_eq!(schedule.publication(), Publication::Deferred);
    schedule.note_worker();
    assert_eq!(schedule.publication(), Publication::Immediate);
}

#[test]
fn there_is_work_for_workers_and_for_the_gate_until_each_batch_is_taken() {
    let mut schedule = heavy(1);
    assert!(schedule.has_work() && schedule.is_gate_needed());
    let attempt = schedule.claim(Claimant::Worker).unwrap();
    assert!(!schedule.has_work() && !schedule.is_gate_needed(), "a worker runs the frontier");
    run(&mut schedule, attempt);
    assert!(!schedule.has_work() && schedule.is_gate_needed());
    schedule.at_gate();
    assert!(!schedule.is_gate_needed(), "the gate has it");
    schedule.committed(CommittedBy::Records);
    assert!(schedule.is_gate_needed(), "the block is over");
}

#[test]
fn a_batch_whose_stale_attempt_was_aborted_is_ready_again() {
    let mut schedule = heavy(1);
    let stale = schedule.claim(Claimant::Worker).unwrap();
    schedule.stale(stale.batch);
    schedule.aborted(stale);
    assert_eq!(schedule.claim(Claimant::Worker), Some(attempt(0, 1)));
}

#[test]
fn the_window_grows_with_records_that_the_gate_need_not_wait_for_and_shrinks_when_one_is_stale() {
    let mut schedule = heavy(9);
    let start = schedule.window.reach();
    let commit = |schedule: &mut Schedule, is_gate_early: bool, by| {
        let claimed = schedule.claim(Claimant::Worker).unwrap();
        if is_gate_early {
            assert_eq!(schedule.at_gate(), GateStep::RunsElsewhere);
        }
        run(schedule, claimed);
        schedule.at_gate();
        schedule.committed(by);
        schedule.window.reach()
    };
    assert_eq!(commit(&mut schedule, false, CommittedBy::RunsAtGate), start);
    assert_eq!(commit(&mut schedule, true, CommittedBy::Records), start);
    let grown = commit(&mut schedule, false, CommittedBy::Records);
    assert!(grown > start);
    schedule.at_gate();
    schedule.found_stale();
    assert!(schedule.window.reach() < grown);
}

#[test]
fn a_single_batch_before_the_window_opens_is_committed_as_usual() {
    let mut schedule = heavy(20);
    close_window(&mut schedule);
    while schedule.window.pause_left() > 1 {
        schedule.window.advance();
    }
    assert_eq!(schedule.at_gate(), GateStep::Commit(attempt(0, 0)));
}
