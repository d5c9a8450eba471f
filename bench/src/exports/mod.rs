//! What a command writes into files beside its report: lines of JSON, CSV, and tables in Markdown.
//!
//! A row describes its fields once ([`Field`]); the table of the report, Markdown and CSV come from that
//! description.

mod csv;
pub(crate) mod field;
mod markdown;

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::output::{absolute, check_outside_inputs, is_reportable};
use field::{Field, cells, titles};

/// The options for the files that come from the tables.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ExportOptions {
    /// Write the lines of JSON as CSV to FILE: a header with their names, then a row for each. Times are in
    /// microseconds. `-` is standard output; the report then goes to standard error.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the tables of the report as Markdown to FILE. `-` is standard output; the report then goes to
    /// standard error.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// A row of CSV, which is a line of JSON as well.
pub(crate) trait Row: Serialize {
    /// The fields, in the order of the columns. The names are the same for every row.
    fn fields(&self) -> Vec<Field>;
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{option} {}: {source}", path.display())]
pub(crate) struct ExportError {
    option: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl ExportError {
    /// Whether to report it. A closed pipe is no error: the reader has read enough.
    pub(crate) fn is_reportable(&self) -> bool {
        is_reportable(&self.source)
    }
}

/// An open file.
struct ExportFile {
    option: &'static str,
    path: PathBuf,
    output: Box<dyn Write>,
    /// Whether something was written.
    has_content: bool,
}

impl ExportFile {
    fn open(option: &'static str, path: &Path) -> Result<Self, ExportError> {
        let output: io::Result<Box<dyn Write>> = if path == Path::new("-") {
            Ok(Box::new(io::stdout().lock()))
        } else {
            File::create(path).map(|file| Box::new(BufWriter::new(file)) as Box<dyn Write>)
        };
        let path = path.to_owned();
        match output {
            Ok(output) => Ok(Self { option, path, output, has_content: false }),
            Err(source) => Err(ExportError { option, path, source }),
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ExportError> {
        self.has_content = true;
        let Self { option, path, output, .. } = self;
        write(output).map_err(|source| ExportError { option, path: path.clone(), source })
    }
}

/// The files of a command.
#[derive(Default)]
pub(crate) struct Exports {
    json: Option<ExportFile>,
    csv: Option<ExportFile>,
    markdown: Option<ExportFile>,
    /// Whether one of them is standard output, so that the report goes to standard error.
    is_on_stdout: bool,
}

impl Exports {
    /// Opens the files, none of which may be one of the inputs or lie in one.
    ///
    /// # Errors
    ///
    /// If a file cannot be written, or two of them are one.
    pub(crate) fn open(
        json: Option<&Path>,
        options: &ExportOptions,
        inputs: &[PathBuf],
    ) -> Result<Self, String> {
        let all = [
            ("--json", json),
            ("--csv", options.csv.as_deref()),
            ("--markdown", options.markdown.as_deref()),
        ];
        let on_stdout = all.iter().filter(|(_, path)| *path == Some(Path::new("-"))).count();
        if on_stdout > 1 {
            return Err("only one of --json, --csv and --markdown can be standard output".to_owned());
        }
        let mut targets: Vec<(&str, PathBuf)> = Vec::new();
        for (option, path) in all {
            let Some(path) = path else { continue };
            check_outside_inputs(option, path, inputs)?;
            let Some(target) = absolute(path) else { continue };
            if let Some((other, _)) = targets.iter().find(|(_, known)| *known == target) {
                return Err(format!("{option} {}: {other} writes this file", path.display()));
            }
            targets.push((option, target));
        }
        let open = |(option, path): (&'static str, Option<&Path>)| {
            path.map(|path| ExportFile::open(option, path)).transpose().map_err(|error| error.to_string())
        };
        let [json, csv, markdown] = all.map(open);
        Ok(Self { json: json?, csv: csv?, markdown: markdown?, is_on_stdout: on_stdout > 0 })
    }

    /// Where the report goes, and whether that is a terminal.
    pub(crate) fn report_output(&self) -> (Box<dyn Write>, bool) {
        if self.is_on_stdout {
            (Box::new(io::stderr()), io::stderr().is_terminal())
        } else {
            (Box::new(io::stdout()), io::stdout().is_terminal())
        }
    }

    /// Whether lines on the terminal would break a progress bar.
    pub(crate) fn disturbs_progress(&self) -> bool {
        self.is_on_stdout && io::stdout().is_terminal()
    }

    /// Writes a line of JSON and a row of CSV.
    pub(crate) fn write_row(&mut self, row: &impl Row) -> Result<(), ExportError> {
        self.write_json(row)?;
        let Some(csv) = &mut self.csv else { return Ok(()) };
        let (fields, is_first) = (row.fields(), !csv.has_content);
        csv.write(|output| {
            if is_first {
                csv::write_header(output, &fields)?;
            }
            csv::write_row(output, &fields)
        })
    }

    /// Writes a line of JSON.
    pub(crate) fn write_json(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        let Some(json) = &mut self.json else { return Ok(()) };
        json.write(|output| {
            serde_json::to_writer(&mut *output, line)?;
            output.write_all(b"\n")
        })
    }

    /// Writes a table in Markdown, with a blank line before it if it is not the first.
    pub(crate) fn write_table(&mut self, rows: &[Vec<Field>]) -> Result<(), ExportError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let Some(markdown) = &mut self.markdown else { return Ok(()) };
        let is_first = !markdown.has_content;
        markdown.write(|output| {
            if !is_first {
                writeln!(output)?;
            }
            markdown::write_titles(output, &titles(first))?;
            rows.iter().try_for_each(|row| markdown::write_row(output, &cells(row)))
        })
    }

    /// Writes one more row of the only table in Markdown, and the titles before the first.
    pub(crate) fn write_table_row(&mut self, row: &[Field]) -> Result<(), ExportError> {
        let Some(markdown) = &mut self.markdown else { return Ok(()) };
        let is_first = !markdown.has_content;
        markdown.write(|output| {
            if is_first {
                markdown::write_titles(output, &titles(row))?;
            }
            markdown::write_row(output, &cells(row))
        })
    }

    /// Writes what is buffered.
    pub(crate) fn flush(&mut self) -> Result<(), ExportError> {
        let files = [&mut self.json, &mut self.csv, &mut self.markdown];
        let flushed = files.into_iter().flatten().map(|file| file.write(|output| output.flush()));
        // Each file is written, whatever the others say.
        flushed.fold(Ok(()), Result::and)
    }
}
