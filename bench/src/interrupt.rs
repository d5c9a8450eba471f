//! The interrupt signal (Ctrl-C), and messages on standard error.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::ExitStatus;

/// Set by the first interrupt.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Installs the signal handler.
pub(crate) fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        // ORDER: Relaxed: no other data depends on this flag.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // A second interrupt does not wait for the block.
            std::process::exit(ExitStatus::Interrupted as i32);
        }
        print_message("interrupted, finishing the current block");
    })
}

/// Whether there was an interrupt.
pub(crate) fn is_interrupted() -> bool {
    // ORDER: Relaxed: no other data depends on this flag.
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Writes a message to standard error; ignores a closed standard error.
pub(crate) fn print_message(message: &str) {
    let _ = writeln!(io::stderr(), "blockloom: {message}");
}
