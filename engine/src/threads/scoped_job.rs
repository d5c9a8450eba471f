//! A scoped job: pool threads call a function that lives on another thread's stack. The only file of the
//! engine with unsafe code.
//!
//! A block lives on the stack of its thread, and the threads of a pool outlive it. Thread A owns the
//! job, thread B belongs to the pool:
//!
//! 1. A puts a reference to the job behind a lock, sends B to it, and does its own part.
//! 2. B takes the lock. If the reference is there, B counts itself as running, releases the lock, and
//!    calls the job. If the reference is gone, B does nothing.
//! 3. A has done its part. It takes the lock, removes the reference, and waits until no thread is running.
//! 4. B ends its call, counts itself out, and wakes A. A returns, and the job may be dropped.
//!
//! rayon's scopes are no substitute: they wait for jobs that no thread has begun, and run other jobs of
//! the pool meanwhile, on the same stack. Blocks that are executed inside a pool would pile up there.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use blockloom_state::sync::{Condvar, Mutex};

type Work<'w> = dyn Fn() + Sync + 'w;
type Panic = Box<dyn Any + Send>;

/// A function that other threads may call until its owner closes it.
pub(crate) struct ScopedJob {
    state: Mutex<ScopedJobState>,
    call_ended: Condvar,
}

#[derive(Default)]
struct ScopedJobState {
    /// The function; `None` once the job is closed.
    work: Option<&'static Work<'static>>,
    /// The number of calls that have begun and not ended.
    running: usize,
    /// The payload of the first call that panicked.
    panic: Option<Panic>,
}

impl ScopedJob {
    /// Calls the function, unless the job is closed.
    pub(crate) fn run(&self) {
        let Some(work) = self.begin() else { return };
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut state = self.state.lock();
        state.running -= 1;
        if let Err(panic) = result {
            state.panic.get_or_insert(panic);
        }
        drop(state);
        self.call_ended.notify_all();
    }

    fn begin(&self) -> Option<&'static Work<'static>> {
        let mut state = self.state.lock();
        let work = state.work?;
        state.running += 1;
        Some(work)
    }

    /// Lets no further call begin, and waits until all calls have ended.
    fn close(&self) {
        let mut state = self.state.lock();
        state.work = None;
        while state.running > 0 {
            state = self.call_ended.wait(state);
        }
    }
}

/// Hands `work` to other threads through `distribute`, does `lead` on this thread, then closes the job.
///
/// # Panics
///
/// If `lead` or a call of `work` panics, with the same payload; a panic of `work` comes first.
pub(crate) fn run_scoped<R>(
    work: &Work<'_>,
    distribute: impl FnOnce(&Arc<ScopedJob>),
    lead: impl FnOnce() -> R,
) -> R {
    // SAFETY: only the lifetime changes. `ScopedJob::begin` alone reads the reference, while it is in the
    // state, and counts its caller as running until the call has ended. `close` removes the reference and
    // waits for all calls before this function returns or unwinds, and with it the lifetime ends. No code
    // between this line and `close` can unwind past `close`.
    #[expect(unsafe_code, reason = "the compiler cannot check this lifetime; the comment above proves it")]
    let work = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
    let state = ScopedJobState { work: Some(work), ..ScopedJobState::default() };
    let job = Arc::new(ScopedJob { state: Mutex::new(state), call_ended: Condvar::default() });
    let result = catch_unwind(AssertUnwindSafe(|| {
        distribute(&job);
        lead()
    }));
    job.close();
    // If `lead` failed because `work` did, the panic of `work` names the cause.
    if let Some(panic) = job.state.lock().panic.take() {
        resume_unwind(panic);
    }
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn a_closed_job_is_not_called() {
        let calls = AtomicUsize::new(0);
        let count = || {
            calls.fetch_add(1, Ordering::Relaxed);
        };
        let mut late = None;
        let mut early = None;
        let answer = run_scoped(
            &count,
            |job| {
                let helper = Arc::clone(job);
                early = Some(thread::spawn(move || helper.run()));
                late = Some(Arc::clone(job));
            },
            || 7,
        );
        late.expect("the job was distributed").run();
        early.expect("the thread was started").join().expect("it does not panic");
        assert_eq!(answer, 7);
        assert!(calls.into_inner() <= 1);
    }

    #[test]
    fn the_owner_waits_for_calls_that_have_begun() {
        let (began, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            began.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            ended.fetch_add(1, Ordering::Relaxed);
        };
        for _ in 0..50 {
            let mut helpers = Vec::new();
            run_scoped(
                &work,
                |job| {
                    helpers.extend((0..2).map(|_| {
                        let job = Arc::clone(job);
                        thread::spawn(move || job.run())
                    }));
                },
                thread::yield_now,
            );
            assert_eq!(began.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
            helpers.into_iter().for_each(|helper| helper.join().expect("it does not panic"));
        }
    }

    #[test]
    fn a_panic_of_either_side_is_passed_on() {
        let message = |result: thread::Result<()>| *result.unwrap_err().downcast::<&str>().unwrap();
        let of_helper = catch_unwind(|| run_scoped(&|| panic!("the helper"), |job| job.run(), || ()));
        assert_eq!(message(of_helper), "the helper");
        let of_leader = catch_unwind(|| run_scoped(&|| (), |job| job.run(), || panic!("the leader")));
        assert_eq!(message(of_leader), "the leader");
    }
}

/// The protocol under the model checker, which decides every switch between threads.
#[cfg(all(test, feature = "shuttle"))]
mod model {
    use blockloom_state::sync::{AtomicU32, Ordering, relax};

    use super::*;

    const SCHEDULES: usize = 2_000;

    /// How many calls have begun, and how many have ended.
    #[derive(Default)]
    struct Calls {
        begun: AtomicU32,
        ended: AtomicU32,
    }

    fn calls_end_before_the_owner_returns() {
        // Leaked, so that a call that is too late finds them.
        let calls: &'static Calls = Box::leak(Box::default());
        let count = |counter: &AtomicU32| _ = counter.fetch_add(1, Ordering::Relaxed);
        let work: &'static Work<'static> = Box::leak(Box::new(move || {
            count(&calls.begun);
            relax();
            count(&calls.ended);
        }));
        let mut helpers = Vec::new();
        let distribute = |job: &Arc<ScopedJob>| {
            for _ in 0..2 {
                let job = Arc::clone(job);
                helpers.push(shuttle::thread::spawn(move || job.run()));
            }
        };
        run_scoped(work, distribute, relax);
        let begun = calls.begun.load(Ordering::Relaxed);
        assert_eq!(calls.ended.load(Ordering::Relaxed), begun, "a call is under way");
        helpers.into_iter().for_each(|helper| helper.join().expect("it does not panic"));
        assert_eq!(calls.begun.load(Ordering::Relaxed), begun, "a call began later");
    }

    #[test]
    fn every_call_ends_before_the_owner_returns() {
        shuttle::check_random(calls_end_before_the_owner_returns, SCHEDULES);
    }
}
