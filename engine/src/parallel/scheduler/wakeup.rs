//! Where the threads of a block wait for work, and which thread a change of the schedule wakes.
//!
//! Of the workers that find no work one watches the event count for a while; the others sleep at once. The gate watches
//! for itself. New work is so found by one thread, however many there are: it claims a batch, and wakes the next thread
//! if there is more. Promises that while there is work and a worker sleeps, some thread is about to look for work.
//!
//! The story with two threads: worker B finds nothing, takes a snapshot of the event count under the lock, releases the
//! lock and watches the count. Thread A changes the schedule under the lock, sees that there is work, advances the count
//! under the lock, and releases it. B sees the new count and looks again. If B gives up watching before that, it takes
//! the lock and compares the count with its snapshot: A has either advanced it, and B looks again, or A comes later,
//! finds B among the sleepers, and wakes it. No change falls between the two.

use blockloom_state::sync::{Condvar, Mutex, MutexGuard};

use crate::{
    parallel::scheduler::{priority::Claimant, status::Schedule},
    policy::tuning::SPINS_BEFORE_SLEEP,
    threads::event_count::EventCount,
};

/// The schedule, and the threads that wait for it to change.
#[derive(Debug)]
pub(super) struct SharedSchedule {
    state: Mutex<WaitState>,
    workers: Condvar,
    gate: Condvar,
    /// Counts changes after which a thread may find work.
    changes: EventCount,
}

#[derive(Debug)]
struct WaitState {
    schedule: Schedule,
    /// Whether a worker watches the event count, or was woken and has not looked yet.
    is_watched: bool,
    /// How many workers sleep, or were woken and have not looked yet.
    asleep: usize,
    is_gate_asleep: bool,
}

/// The schedule while this thread has the lock.
pub(super) struct LockedSchedule<'s> {
    shared: &'s SharedSchedule,
    state: MutexGuard<'s, WaitState>,
}

/// What the thread that changed the schedule does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAction {
    /// It looks for work itself, so it wakes no worker for the first batch.
    FindWork,
    /// Something else.
    Other,
}

/// Which thread a change wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    None,
    Worker,
    Gate,
}

impl SharedSchedule {
    /// A schedule that no thread waits for yet.
    pub(super) fn new(schedule: Schedule) -> Self {
        let state = WaitState { schedule, is_watched: false, asleep: 0, is_gate_asleep: false };
        Self {
            state: Mutex::new(state),
            workers: Condvar::default(),
            gate: Condvar::default(),
            changes: EventCount::default(),
        }
    }

    /// Takes the lock.
    pub(super) fn lock(&self) -> LockedSchedule<'_> {
        LockedSchedule { shared: self, state: self.state.lock() }
    }

    /// Waits until `look` finds something in the schedule.
    pub(super) fn find<T>(
        &self,
        claimant: Claimant,
        waits: &mut u64,
        look: impl Fn(&mut Schedule) -> Option<T>,
    ) -> T {
        let mut locked = self.lock();
        loop {
            if let Some(found) = look(&mut locked.state.schedule) {
                locked.wake_another();
                return found;
            }
            *waits += 1;
            locked = match claimant {
                Claimant::Worker => locked.wait_as_worker(),
                Claimant::Gate => locked.wait_as_gate(),
            };
        }
    }

    fn wake(&self, wake: Wake) {
        match wake {
            Wake::None => {}
            Wake::Worker => self.workers.notify_one(),
            Wake::Gate => self.gate.notify_one(),
        }
    }
}

impl<'s> LockedSchedule<'s> {
    pub(super) fn schedule(&mut self) -> &mut Schedule {
        &mut self.state.schedule
    }

    /// Announces a change of the schedule if it gives a waiting thread work. Otherwise the waiting threads are not
    /// disturbed: they would only take the lock, and its cache lines, away from the others.
    pub(super) fn notify(mut self, next: NextAction) {
        let shared = self.shared;
        if self.state.schedule.is_over() {
            shared.changes.advance();
            drop(self.state);
            shared.workers.notify_all();
            shared.gate.notify_one();
            return;
        }
        let (has_work, is_gate_needed) =
            (self.state.schedule.has_work(), self.state.schedule.is_gate_needed());
        if has_work || is_gate_needed {
            shared.changes.advance();
        }
        let wakes_gate = is_gate_needed && self.state.is_gate_asleep;
        let wake =
            if has_work && next == NextAction::Other { self.state.thread_to_wake() } else { Wake::None };
        drop(self.state);
        shared.wake(wake);
        if wakes_gate {
            shared.wake(Wake::Gate);
        }
    }

    /// Wakes another thread if it would find work as well, after this one has found some.
    fn wake_another(mut self) {
        let shared = self.shared;
        let state = &mut *self.state;
        let is_idle = state.asleep > 0 || state.is_gate_asleep;
        let has_work = is_idle && !state.schedule.is_over() && state.schedule.has_work();
        let wake = if has_work { state.thread_to_wake() } else { Wake::None };
        drop(self.state);
        shared.wake(wake);
    }

    fn wait_as_worker(mut self) -> Self {
        let shared = self.shared;
        if !self.state.is_watched {
            self.state.is_watched = true;
            let snapshot = shared.changes.snapshot();
            drop(self.state);
            shared.changes.spin_until_changed(snapshot, SPINS_BEFORE_SLEEP);
            self = shared.lock();
            self.state.is_watched = false;
            if shared.changes.snapshot() != snapshot {
                return self;
            }
        }
        self.state.asleep += 1;
        let mut state = shared.workers.wait(self.state);
        state.asleep -= 1;
        // The thread that woke this one set the flag.
        state.is_watched = false;
        Self { shared, state }
    }

    fn wait_as_gate(self) -> Self {
        let shared = self.shared;
        let snapshot = shared.changes.snapshot();
        drop(self.state);
        shared.changes.spin_until_changed(snapshot, SPINS_BEFORE_SLEEP);
        let mut locked = shared.lock();
        if shared.changes.snapshot() == snapshot {
            locked.state.is_gate_asleep = true;
            locked.state = shared.gate.wait(locked.state);
            locked.state.is_gate_asleep = false;
        }
        locked
    }
}

impl WaitState {
    /// Which thread to wake: a sleeping worker if none watches, or the gate if all workers are busy.
    fn thread_to_wake(&mut self) -> Wake {
        if self.is_watched {
            Wake::None
        } else if self.asleep > 0 {
            self.is_watched = true;
            Wake::Worker
        } else if self.is_gate_asleep {
            Wake::Gate
        } else {
            Wake::None
        }
    }
}

#[cfg(not(feature = "shuttle"))]
#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use blockloom_state::{
        Incarnation,
        sync::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::{
        parallel::scheduler::batch::{Attempt, BatchIndex},
        policy::batching::{Batch, Effort},
    };

    /// A schedule of one batch, which a worker has claimed or not.
    fn shared(batch: Work) -> SharedSchedule {
        let mut schedule = Schedule::new(&[Batch::single(Effort::Heavy)], 2);
        if batch == Work::Claimed {
            assert!(schedule.claim(Claimant::Worker).is_some());
        }
        SharedSchedule::new(schedule)
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Work {
        Ready,
        Claimed,
    }

    #[test]
    fn a_sleeping_worker_is_woken_first_and_the_gate_if_no_worker_sleeps() {
        for (is_watched, asleep, is_gate_asleep, wake) in [
            (true, 1, true, Wake::None),
            (false, 1, true, Wake::Worker),
            (false, 2, false, Wake::Worker),
            (false, 0, true, Wake::Gate),
            (false, 0, false, Wake::None),
        ] {
            let schedule = Schedule::new(&[], 2);
            let mut state = WaitState { schedule, is_watched, asleep, is_gate_asleep };
            assert_eq!(state.thread_to_wake(), wake, "{is_watched}, {asleep}, {is_gate_asleep}");
            assert_eq!(state.is_watched, is_watched || wake == Wake::Worker);
        }
    }

    #[test]
    fn a_thread_that_found_work_wakes_a_sleeping_worker_if_there_is_more() {
        for (batch, asleep, is_woken) in
            [(Work::Ready, 1, true), (Work::Ready, 0, false), (Work::Claimed, 1, false)]
        {
            let shared = shared(batch);
            let mut locked = shared.lock();
            locked.state.asleep = asleep;
            locked.wake_another();
            assert_eq!(shared.lock().state.is_watched, is_woken, "{batch:?}, {asleep} asleep");
        }
    }

    #[test]
    fn a_change_is_announced_if_it_gives_a_waiting_thread_work() {
        // A claimed frontier leaves nothing to do, neither for workers nor for the gate.
        for (batch, next, is_announced, is_woken) in [
            (Work::Ready, NextAction::Other, true, true),
            (Work::Ready, NextAction::FindWork, true, false),
            (Work::Claimed, NextAction::Other, false, false),
        ] {
            let shared = shared(batch);
            let before = shared.changes.snapshot();
            let mut locked = shared.lock();
            locked.state.asleep = 1;
            locked.notify(next);
            assert_eq!(shared.changes.snapshot() != before, is_announced, "{batch:?}");
            assert_eq!(shared.lock().state.is_watched, is_woken, "{batch:?}, {next:?}");
        }
    }

    #[test]
    fn a_change_that_only_the_gate_waits_for_is_announced() {
        let shared = shared(Work::Claimed);
        let before = shared.changes.snapshot();
        let mut locked = shared.lock();
        let attempt = Attempt { batch: BatchIndex::new(0), incarnation: Incarnation::FIRST };
        locked.schedule().ran(attempt);
        locked.notify(NextAction::Other);
        assert!(shared.changes.snapshot() != before);
    }

    #[test]
    fn each_look_that_finds_nothing_counts_as_one_wait() {
        let (shared, looks, has_found, mut waits) =
            (shared(Work::Ready), Cell::new(0), AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !has_found.load(Ordering::Relaxed) {
                    shared.lock().notify(NextAction::Other);
                    std::thread::yield_now();
                }
            });
            shared.find(Claimant::Gate, &mut waits, |_| {
                looks.set(looks.get() + 1);
                (looks.get() > 2).then_some(())
            });
            has_found.store(true, Ordering::Relaxed);
        });
        assert_eq!(waits, 2);
    }

    #[test]
    fn a_worker_that_was_woken_neither_sleeps_nor_watches() {
        let shared = shared(Work::Claimed);
        let attempt = Attempt { batch: BatchIndex::new(0), incarnation: Incarnation::FIRST };
        std::thread::scope(|scope| {
            let worker = scope
                .spawn(|| shared.find(Claimant::Worker, &mut 0, |schedule| schedule.claim(Claimant::Worker)));
            wait_until(&shared, |state| state.asleep > 0);
            let mut locked = shared.lock();
            locked.schedule().stale(attempt.batch);
            locked.schedule().aborted(attempt);
            locked.notify(NextAction::Other);
            let again = worker.join().expect("it finds the batch");
            assert_eq!(again.batch, attempt.batch);
        });
        let locked = shared.lock();
        assert_eq!((locked.state.asleep, locked.state.is_watched), (0, false));
    }
    /// Waits until the state of the waiting threads is as expected.
    fn wait_until(shared: &SharedSchedule, is_reached: impl Fn(&WaitState) -> bool) {
        while !is_reached(&shared.lock().state) {
            std::thread::yield_now();
        }
    }

    fn stop(shared: &SharedSchedule) {
        let mut locked = shared.lock();
        assert!(locked.schedule().stop().count() > 0, "a batch is running");
        locked.notify(NextAction::Other);
    }

    #[test]
    fn a_change_that_gives_the_gate_no_work_does_not_wake_it() {
        let shared = shared(Work::Claimed);
        let mut waits = 0;
        std::thread::scope(|scope| {
            let gate = scope.spawn(|| {
                shared.find(Claimant::Gate, &mut waits, |schedule| schedule.is_over().then_some(()));
            });
            wait_until(&shared, |state| state.is_gate_asleep);
            shared.lock().notify(NextAction::Other);
            // A woken thread would look again meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(5));
            stop(&shared);
            gate.join().expect("the block is over");
        });
        assert_eq!(waits, 1);
    }

    #[test]
    fn a_worker_sleeps_at_once_while_another_one_watches() {
        let shared = shared(Work::Claimed);
        shared.lock().state.is_watched = true;
        std::thread::scope(|scope| {
            scope
                .spawn(|| shared.find(Claimant::Worker, &mut 0, |schedule| schedule.is_over().then_some(())));
            wait_until(&shared, |state| state.asleep == 1);
            let is_watched = shared.lock().state.is_watched;
            stop(&shared);
            assert!(is_watched, "it did not watch itself");
        });
    }
}
