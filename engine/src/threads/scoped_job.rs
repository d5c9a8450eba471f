//! Lends a function to threads that may come late: the one place of the engine with unsafe code.
//!
//! A pool's threads outlive a block, so they can only be given what lives as long as they do; a
//! block lives on the stack of the thread that executes it. Here the owner of a function hands out
//! a loan of it, works meanwhile, and then calls the loan in: who has not begun by then never will,
//! and who has is waited for. The pool's own scopes would do that too, but they wait for jobs that no
//! thread has begun, and run whatever else the pool has to do meanwhile, on the same stack: blocks
//! that are executed inside a pool would pile up there.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use blockloom_state::sync::{Condvar, Mutex};

type Work<'w> = dyn Fn() + Sync + 'w;
type Panic = Box<dyn Any + Send>;

/// A function that somebody lent, until it is called in.
pub(crate) struct ScopedJob {
    book: Mutex<ScopedJobState>,
    returned: Condvar,
}

#[derive(Default)]
struct ScopedJobState {
    /// What is lent; nothing once it is called in.
    work: Option<&'static Work<'static>>,
    /// How many use it now.
    users: usize,
    /// What the first of them that panicked said.
    panic: Option<Panic>,
}

impl ScopedJob {
    /// Calls the function, unless it was called in already.
    pub(crate) fn help(&self) {
        let Some(work) = self.borrow() else { return };
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut book = self.book.lock();
        book.users -= 1;
        if let Err(panic) = result {
            book.panic.get_or_insert(panic);
        }
        drop(book);
        self.returned.notify_all();
    }

    fn borrow(&self) -> Option<&'static Work<'static>> {
        let mut book = self.book.lock();
        let work = book.work?;
        book.users += 1;
        Some(work)
    }

    /// Takes the function back, and waits until nobody uses it.
    fn call_in(&self) {
        let mut book = self.book.lock();
        book.work = None;
        while book.users > 0 {
            book = self.returned.wait(book);
        }
    }
}

/// Hands `work` out through `spread`, does `lead` meanwhile, and calls `work` in.
///
/// # Panics
///
/// If `lead` or a call of `work` does, with what that one said.
pub(crate) fn lend<R>(work: &Work<'_>, spread: impl FnOnce(&Arc<ScopedJob>), lead: impl FnOnce() -> R) -> R {
    // SAFETY: only the lifetime changes. The reference is read in `ScopedJob::borrow` alone, while it is
    // in the book, and whoever has it counts as a user until its call has ended. It is taken out of
    // the book, and all users are waited for, before this function returns or unwinds and with it
    // the lifetime ends: nothing between here and `call_in` can unwind past it.
    #[expect(unsafe_code, reason = "a lifetime that no checker sees, kept as the comment says")]
    let work = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
    let book = ScopedJobState { work: Some(work), ..ScopedJobState::default() };
    let loan = Arc::new(ScopedJob { book: Mutex::new(book), returned: Condvar::default() });
    let result = catch_unwind(AssertUnwindSafe(|| {
        spread(&loan);
        lead()
    }));
    loan.call_in();
    // A leader that fails because a helper did is not who is to be asked.
    if let Some(panic) = loan.book.lock().panic.take() {
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
    fn who_comes_late_finds_nothing() {
        let calls = AtomicUsize::new(0);
        let count = || {
            calls.fetch_add(1, Ordering::Relaxed);
        };
        let mut late = None;
        let mut early = None;
        let answer = lend(
            &count,
            |loan| {
                let helper = Arc::clone(loan);
                early = Some(thread::spawn(move || helper.help()));
                late = Some(Arc::clone(loan));
            },
            || 7,
        );
        late.expect("it was handed out").help();
        early.expect("it was started").join().expect("it does not panic");
        assert_eq!(answer, 7);
        assert!(calls.into_inner() <= 1);
    }

    #[test]
    fn who_is_at_it_is_waited_for() {
        let (began, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            began.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            ended.fetch_add(1, Ordering::Relaxed);
        };
        for _ in 0..50 {
            let mut helpers = Vec::new();
            lend(
                &work,
                |loan| {
                    helpers.extend((0..2).map(|_| {
                        let loan = Arc::clone(loan);
                        thread::spawn(move || loan.help())
                    }));
                },
                thread::yield_now,
            );
            assert_eq!(began.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
            helpers.into_iter().for_each(|helper| helper.join().expect("it does not panic"));
        }
    }

    #[test]
    fn a_panic_of_either_side_comes_out_after_all_are_back() {
        let said = |result: thread::Result<()>| *result.unwrap_err().downcast::<&str>().unwrap();
        let by_helper = catch_unwind(|| lend(&|| panic!("the helper"), |loan| loan.help(), || ()));
        assert_eq!(said(by_helper), "the helper");
        let by_leader = catch_unwind(|| lend(&|| (), |loan| loan.help(), || panic!("the leader")));
        assert_eq!(said(by_leader), "the leader");
    }
}
