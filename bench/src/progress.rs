//! How far a command has come, on terminals only.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error for so many things of a name; one that shows nothing where there is no terminal.
pub(crate) fn bar(count: u64, name: &str) -> ProgressBar {
    styled(Some(count), &format!("{{bar:40}} {{pos}}/{{len}} {name}, {{elapsed}}, {{eta}} left"))
}

/// A bar for so many blocks, with how fast they go and a message.
pub(crate) fn rates(blocks: u64) -> ProgressBar {
    styled(Some(blocks), "{bar:40} {pos}/{len} blocks, {per_sec}, {msg}, {eta} left")
}

/// Counts things of a name of which nobody knows how many there are.
pub(crate) fn count(name: &str) -> ProgressBar {
    styled(None, &format!("{{pos}} {name}, {{elapsed}}"))
}

fn styled(count: Option<u64>, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("the template is a valid one");
    ProgressBar::with_draw_target(count, ProgressDrawTarget::stderr()).with_style(style)
}
