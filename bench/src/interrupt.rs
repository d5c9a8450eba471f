//! Whoever asks the command to stop, and what is said aside.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::Status;

/// Set by whoever asks the command to stop.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Listens for signals from now on.
pub(crate) fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        // ORDER: Relaxed: nothing else is passed on with this flag.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // Whoever asks twice does not want to wait for the block to end.
            std::process::exit(Status::Interrupted as i32);
        }
        say("interrupted, the block is being finished");
    })
}

/// Whether somebody asked to stop.
pub(crate) fn is_interrupted() -> bool {
    // ORDER: Relaxed: nothing else is passed on with this flag.
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Writes to standard error, or nowhere if that is closed.
pub(crate) fn say(message: &str) {
    let _ = writeln!(io::stderr(), "blockloom: {message}");
}
