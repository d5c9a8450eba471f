//! How far a command has come, on terminals only.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error for so many things of a name; one that shows nothing where there is no terminal.
pub(crate) fn bar(count: u64, name: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:40}} {{pos}}/{{len}} {name}, {{elapsed}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("the template is a valid one");
    let target = ProgressDrawTarget::stderr();
    ProgressBar::with_draw_target(Some(count), target).with_style(style)
}
