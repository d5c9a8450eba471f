//! Where the threads of a block wait for work, and whom a change of the plan wakes.
//!
//! Of the workers that find nothing one stays on the watch for a while; the others go to sleep at
//! once. So work that comes up is met by one thread, however many there are: it takes it, and calls
//! the next one if there is more. The gate watches for itself. Promises that as long as there is work
//! and a worker asleep, somebody is on the way to look.

use blockloom_state::sync::{Condvar, Mutex, MutexGuard};

use crate::{
    parallel::scheduler::{priority::Claimant, status::Plan},
    threads::event_count::EventCount,
};

/// How often a thread looks for news before it goes to sleep. Waking somebody up costs some
/// microseconds, as much as this takes.
const LOOKS_BEFORE_SLEEP: u32 = if cfg!(feature = "shuttle") { 1 } else { 150 };

/// The plan, and the threads that wait for it to change.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    workers: Condvar,
    gate: Condvar,
    /// Of changes after which somebody may find work.
    news: EventCount,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    /// Whether a worker is on the watch, or was woken and has not looked yet.
    is_watched: bool,
    /// Workers that sleep, or were woken and have not looked yet.
    asleep: usize,
    is_gate_asleep: bool,
}

/// The plan while nobody else has it.
pub(super) struct Locked<'s> {
    shared: &'s Shared,
    state: MutexGuard<'s, State>,
}

/// What whoever changed the plan does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It looks for work: it need not call anybody for what it takes itself.
    Looks,
    /// Something else.
    GoesOn,
}

/// Whom a change wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Nobody,
    Worker,
    Gate,
}

impl Shared {
    /// Nobody waits for `plan` yet.
    pub(super) fn new(plan: Plan) -> Self {
        let state = State { plan, is_watched: false, asleep: 0, is_gate_asleep: false };
        Self {
            state: Mutex::new(state),
            workers: Condvar::default(),
            gate: Condvar::default(),
            news: EventCount::default(),
        }
    }

    /// Waits for the plan.
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { shared: self, state: self.state.lock() }
    }

    /// The worker or the gate waits until it finds something in the plan.
    pub(super) fn find<T>(&self, who: Claimant, waits: &mut u64, look: impl Fn(&mut Plan) -> Option<T>) -> T {
        let mut locked = self.lock();
        loop {
            if let Some(found) = look(&mut locked.state.plan) {
                locked.call_another();
                return found;
            }
            *waits += 1;
            locked = match who {
                Claimant::Worker => locked.wait_as_worker(),
                Claimant::Gate => locked.wait_as_gate(),
            };
        }
    }

    fn wake(&self, wake: Wake) {
        match wake {
            Wake::Nobody => {}
            Wake::Worker => self.workers.notify_one(),
            Wake::Gate => self.gate.notify_one(),
        }
    }
}

impl<'s> Locked<'s> {
    pub(super) fn plan(&mut self) -> &mut Plan {
        &mut self.state.plan
    }

    /// Tells others that the plan has changed, if any of them finds something to do now. Otherwise
    /// nobody is to come and look: that would only take the lock, and the lines under it, away from
    /// who works.
    pub(super) fn tell(mut self, then: Then) {
        let shared = self.shared;
        if self.state.plan.is_over() {
            shared.news.advance();
            drop(self.state);
            shared.workers.notify_all();
            shared.gate.notify_one();
            return;
        }
        let (has_work, is_gate_needed) = (self.state.plan.has_work(), self.state.plan.is_gate_needed());
        if has_work || is_gate_needed {
            shared.news.advance();
        }
        let wakes_gate = is_gate_needed && self.state.is_gate_asleep;
        let call = if has_work && then == Then::GoesOn { self.state.call_somebody() } else { Wake::Nobody };
        drop(self.state);
        shared.wake(call);
        if wakes_gate {
            shared.wake(Wake::Gate);
        }
    }

    /// Calls another thread, after this one has found something, if it would find something as well.
    fn call_another(mut self) {
        let shared = self.shared;
        let state = &mut *self.state;
        let is_idle = state.asleep > 0 || state.is_gate_asleep;
        let has_work = is_idle && !state.plan.is_over() && state.plan.has_work();
        let wake = if has_work { state.call_somebody() } else { Wake::Nobody };
        drop(self.state);
        shared.wake(wake);
    }

    fn wait_as_worker(mut self) -> Self {
        let shared = self.shared;
        if !self.state.is_watched {
            self.state.is_watched = true;
            let seen = shared.news.snapshot();
            drop(self.state);
            shared.news.spin_until_changed(seen, LOOKS_BEFORE_SLEEP);
            self = shared.lock();
            self.state.is_watched = false;
            if shared.news.snapshot() != seen {
                return self;
            }
        }
        self.state.asleep += 1;
        let mut state = shared.workers.wait(self.state);
        state.asleep -= 1;
        // Whoever woke this thread counts on its watching.
        state.is_watched = false;
        Self { shared, state }
    }

    fn wait_as_gate(self) -> Self {
        let shared = self.shared;
        let seen = shared.news.snapshot();
        drop(self.state);
        shared.news.spin_until_changed(seen, LOOKS_BEFORE_SLEEP);
        let mut locked = shared.lock();
        if shared.news.snapshot() == seen {
            locked.state.is_gate_asleep = true;
            locked.state = shared.gate.wait(locked.state);
            locked.state.is_gate_asleep = false;
        }
        locked
    }
}

impl State {
    /// Calls a worker that sleeps, if none is on the watch; or the gate, if all of them are busy.
    fn call_somebody(&mut self) -> Wake {
        if self.is_watched {
            Wake::Nobody
        } else if self.asleep > 0 {
            self.is_watched = true;
            Wake::Worker
        } else if self.is_gate_asleep {
            Wake::Gate
        } else {
            Wake::Nobody
        }
    }
}
