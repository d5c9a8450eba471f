//! Checks around the files and pipes that the command writes to.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::terminal::is_quiet;

/// Prints a line of results to standard output; nothing with `--quiet`. A closed pipe is no error.
pub(crate) fn print_line(line: &str) -> io::Result<()> {
    if is_quiet() {
        return Ok(());
    }
    writeln!(io::stdout(), "{line}").or_else(|error| if is_reportable(&error) { Err(error) } else { Ok(()) })
}

/// Whether to report an error of writing. A closed pipe is no error: the reader has read enough.
pub(crate) fn is_reportable(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::BrokenPipe
}

/// The absolute path of a file that may not exist, in a folder that does.
pub(crate) fn absolute(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(file.file_name()?))
}

/// Rejects an output path inside an input: writing would overwrite a fixture, or be read as one. `-` is no path.
pub(crate) fn check_outside_inputs(option: &str, output: &Path, inputs: &[PathBuf]) -> Result<(), String> {
    if output == Path::new("-") {
        return Ok(());
    }
    let Some(target) = absolute(output) else { return Ok(()) };
    let is_under = |input: &&PathBuf| input.canonicalize().is_ok_and(|input| target.starts_with(input));
    match inputs.iter().find(is_under) {
        Some(input) => {
            Err(format!("{option} {}: this path is inside the input {}", output.display(), input.display()))
        }
        None => Ok(()),
    }
}
