//! How much the command says, and in which colours.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

/// The options that all commands have.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TerminalOptions {
    /// Only failures and errors: no progress, no tables, no remarks.
    #[arg(short, long, global = true, display_order = 100, conflicts_with = "verbose")]
    quiet: bool,
    /// Details as well: each block of `replay`, each case that is left out, each file that is skipped, each list that
    /// `diff` reads.
    #[arg(short, long, global = true, display_order = 101)]
    verbose: bool,
    /// When to use colours. `auto`: on a terminal, unless the environment variable `NO_COLOR` is set.
    #[arg(long, global = true, display_order = 102, value_name = "WHEN", value_enum, default_value = "auto")]
    color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// The options of this process.
static OPTIONS: OnceLock<TerminalOptions> = OnceLock::new();

/// Sets the options, once.
pub(crate) fn set(options: TerminalOptions) {
    let _ = OPTIONS.set(options);
}

/// Whether only failures and errors are printed.
pub(crate) fn is_quiet() -> bool {
    OPTIONS.get().is_some_and(|options| options.quiet)
}

/// Whether details are printed.
pub(crate) fn is_verbose() -> bool {
    OPTIONS.get().is_some_and(|options| options.verbose)
}

/// Prints an error or a failure to standard error; ignores a closed standard error.
pub(crate) fn print_message(message: &str) {
    let message = painted(message, io::stderr().is_terminal());
    let _ = writeln!(io::stderr(), "blockloom: {message}");
}

/// Prints what is worth knowing but no error.
pub(crate) fn print_remark(message: &str) {
    if !is_quiet() {
        print_message(message);
    }
}

/// Prints what `--verbose` asks for.
pub(crate) fn print_detail(message: impl FnOnce() -> String) {
    if is_verbose() {
        print_message(&message());
    }
}

/// A message with its first word in colour, if it is a verdict and colours are used there.
pub(crate) fn painted(message: &str, is_terminal: bool) -> Cow<'_, str> {
    let color = OPTIONS.get().map_or(Color::Never, |options| options.color);
    if uses_colors(color, is_terminal) { paint(message) } else { Cow::Borrowed(message) }
}

fn uses_colors(color: Color, is_terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// The first words that have a colour, with its number in ANSI escape codes: red and yellow.
const VERDICTS: [(&str, u8); 4] = [("failed:", 31), ("unusable:", 33), ("unknown:", 33), ("warning:", 33)];

fn paint(message: &str) -> Cow<'_, str> {
    let verdict = VERDICTS.iter().find_map(|(word, color)| Some((word, color, message.strip_prefix(word)?)));
    match verdict {
        Some((word, color, rest)) => Cow::Owned(format!("\x1b[{color}m{word}\x1b[0m{rest}")),
        None => Cow::Borrowed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_verdict_is_painted() {
        assert_eq!(paint("failed: block 3"), "\x1b[31mfailed:\x1b[0m block 3");
        assert_eq!(paint("2 blocks"), "2 blocks");
    }

    #[test]
    fn colours_are_used_where_they_are_asked_for() {
        assert!(uses_colors(Color::Always, false) && !uses_colors(Color::Never, true));
        assert!(!uses_colors(Color::Auto, false));
    }
}
