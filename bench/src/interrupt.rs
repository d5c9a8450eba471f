//! The interrupt signal (Ctrl-C).

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::{ExitStatus, terminal::print_message};

/// Set by the first interrupt.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the first interrupt ends the command at once.
static ENDS_AT_ONCE: AtomicBool = AtomicBool::new(false);

/// Installs the signal handler.
pub(crate) fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        // ORDER: Relaxed: no other data depends on these flags, and only this thread sets the first one.
        let is_second = INTERRUPTED.load(Ordering::Relaxed);
        let ends_at_once = is_second || ENDS_AT_ONCE.load(Ordering::Relaxed);
        if !is_second {
            let what = if ends_at_once { "" } else { ": finishing the current step; again to end at once" };
            answer(format!("interrupted{what}"));
            // Only now: the command may end as soon as it knows.
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
        if ends_at_once {
            std::process::exit(ExitStatus::Interrupted as i32);
        }
    })
}

/// The longest time that the handler waits until its answer is printed.
const LONGEST_ANSWER: Duration = Duration::from_millis(100);

/// Prints a message on a thread of its own. If nobody reads the messages, that thread waits, and the next interrupt
/// still counts.
fn answer(message: String) {
    let (sender, is_printed) = mpsc::channel();
    let print = move || {
        print_message(&message);
        // The handler may have stopped waiting.
        let _ = sender.send(());
    };
    // Without a thread there is no answer, but the interrupt counts.
    let _ = thread::Builder::new().spawn(print);
    let _ = is_printed.recv_timeout(LONGEST_ANSWER);
}

/// Does work that changes nothing and does not ask [`is_interrupted`]: the first interrupt ends the command.
pub(crate) fn ending_at_once<T>(work: impl FnOnce() -> T) -> T {
    // ORDER: Relaxed: no other data depends on these flags.
    ENDS_AT_ONCE.store(true, Ordering::Relaxed);
    let result = work();
    ENDS_AT_ONCE.store(false, Ordering::Relaxed);
    result
}

/// Whether there was an interrupt.
pub(crate) fn is_interrupted() -> bool {
    // ORDER: Relaxed: no other data depends on this flag.
    INTERRUPTED.load(Ordering::Relaxed)
}
