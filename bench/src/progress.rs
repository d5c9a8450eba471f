//! Progress bars on standard error, shown only on a terminal, and only if nothing else is written there.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::{is_quiet, is_verbose};

/// The time between two updates of a clock.
const TICK: Duration = Duration::from_millis(250);

/// A bar for `count` items called `name`; hidden if standard error is no terminal.
pub(crate) fn bar(count: u64, name: &str) -> ProgressBar {
    styled(Some(count), &format!("{{bar:40}} {{pos}}/{{len}} {name}, {{elapsed}}, {{eta}} left"))
}

/// A bar for `blocks` blocks, with blocks per second and a message.
pub(crate) fn rates(blocks: u64) -> ProgressBar {
    styled(Some(blocks), "{bar:40} {pos}/{len} blocks, {per_sec}, {msg}, {eta} left")
}

/// A counter of items called `name`, for an unknown number of items.
pub(crate) fn count(name: &str) -> ProgressBar {
    styled(None, &format!("{{pos}} {name}, {{elapsed}}"))
}

/// The name of a step that takes long, and the time since its start.
pub(crate) fn clock(name: &'static str) -> ProgressBar {
    let clock = styled(None, "{msg}, {elapsed}").with_message(name);
    clock.enable_steady_tick(TICK);
    clock
}

fn styled(count: Option<u64>, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() || is_quiet() || is_verbose() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("the template is a valid one");
    ProgressBar::with_draw_target(count, ProgressDrawTarget::stderr()).with_style(style)
}
