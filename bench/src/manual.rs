//! `blockloom completions` and `blockloom man`: what a shell and `man` know of the command.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::Command;
use clap_complete::{Shell, generate};

use crate::{ExitStatus, output::is_reportable};

/// Write the completions of a shell to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArguments {
    /// The shell.
    shell: Shell,
}

/// Write the manual as man pages: one for the command, and one for each subcommand.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArguments {
    /// The folder for the pages. It is made if it does not exist; pages in it are replaced.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn write_completions(
    arguments: &CompletionArguments,
    mut command: Command,
) -> Result<ExitStatus, Box<dyn Error>> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(arguments.shell, &mut command, name, &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if is_reportable(&error) => Err(error.into()),
        _ => Ok(ExitStatus::Verified),
    }
}

pub(crate) fn write_man_pages(
    arguments: &ManArguments,
    command: Command,
) -> Result<ExitStatus, Box<dyn Error>> {
    let folder = &arguments.folder;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(ExitStatus::Verified)
}
