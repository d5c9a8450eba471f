//! The page of `bench`: its rows as charts, with the machine and the command.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
};

use maud::html;

use super::{
    charts::{ChartRow, memory, over_gas, over_threads, ratios},
    page::write_page,
};

/// Writes the page. `remarks` are the sums and the warnings of the report.
pub(crate) fn write(output: &mut dyn Write, rows: &[ChartRow], remarks: &[String]) -> io::Result<()> {
    let title = "Parallel against sequential execution";
    let body = html! {
        h1 { (title) }
        table {
            @for (name, value) in surroundings() { tr { td { (name) } td { (value) } } }
        }
        h2 { "Ratio beside limit" }
        (ratios(rows))
        @if let Some(chart) = over_threads(rows) { h2 { "Threads" } (chart) }
        @if let Some(chart) = over_gas(rows) { h2 { "Growth" } (chart) }
        h2 { "Memory" }
        (memory(rows))
        @if !remarks.is_empty() {
            h2 { "Remarks" }
            @for remark in remarks { p { (remark) } }
        }
    };
    write_page(output, title, &body, &())
}

/// Writes the chart of the ratios alone.
pub(crate) fn write_chart(output: &mut dyn Write, rows: &[ChartRow]) -> io::Result<()> {
    output.write_all(ratios(rows).into_string().as_bytes())
}

/// What the measurements depend on.
fn surroundings() -> Vec<(&'static str, String)> {
    let command = env::args().skip(1).collect::<Vec<_>>().join(" ");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut all = vec![
        ("command", format!("blockloom {command}")),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("cores", cores.to_string()),
    ];
    all.extend(commit().map(|commit| ("commit", commit)));
    all.extend(processor().map(|processor| ("processor", processor)));
    all
}

/// The commit of the working tree of this project in which the program lies, if it lies in one.
fn commit() -> Option<String> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(folder).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    let is_own = ["engine", "bench"].iter().all(|package| top.join(package).join("Cargo.toml").is_file());
    if is_own { git(&["describe", "--always", "--dirty", "--exclude=*"]) } else { None }
}

/// The model of the processor, where the system says it.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
