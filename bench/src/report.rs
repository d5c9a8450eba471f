//! What a person and a program are told of a replay.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use blockloom_bench::{limit::Limits, measure::Comparison};
use serde::Serialize;

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) fixtures: usize,
    pub(crate) cases: usize,
    pub(crate) blocks: usize,
    pub(crate) transactions: usize,
    pub(crate) gas: u128,
    pub(crate) failed: usize,
    pub(crate) left_out: usize,
    /// Blocks whose state root could not be compared, for want of a witness.
    pub(crate) without_state_root: usize,
    /// Blocks that there was nothing to compare with.
    pub(crate) only_executed: usize,
    pub(crate) micros: f64,
    /// What was executed sequentially beside.
    pub(crate) compared: Ratios,
    /// What was executed sequentially beside, and in parallel with its access list.
    pub(crate) listed: Ratios,
    /// Why cases were left out, and how many for each reason.
    pub(crate) reasons: BTreeMap<String, usize>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.fixtures += other.fixtures;
        self.cases += other.cases;
        self.blocks += other.blocks;
        self.transactions += other.transactions;
        self.gas += other.gas;
        self.failed += other.failed;
        self.left_out += other.left_out;
        self.without_state_root += other.without_state_root;
        self.only_executed += other.only_executed;
        self.micros += other.micros;
        self.compared.add(&other.compared);
        self.listed.add(&other.listed);
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }

    /// Counts what was measured of a block that cannot be faster than `limit` says, by its transactions.
    pub(crate) fn add_comparison(&mut self, comparison: &Comparison, limit: f64, name: impl Fn() -> String) {
        self.compared.add_block(comparison, limit, &name);
        self.listed.add_listed(comparison, name);
    }

    /// Gas in a microsecond is Mgas in a second.
    fn mgas_per_second(&self) -> f64 {
        if self.micros > 0.0 { self.gas as f64 / self.micros } else { 0.0 }
    }
}

/// Sequential times over parallel ones, of blocks that were executed both ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ratios {
    pub(crate) blocks: usize,
    sequential: f64,
    parallel: f64,
    /// What a perfect crew of as many threads would have taken; no number if nobody knows.
    perfect: f64,
    /// The sum of the ratios' logarithms.
    logarithms: f64,
    /// The lowest, and whose it is.
    worst: Option<(f64, String)>,
}

impl Ratios {
    /// Counts a block, which cannot be faster than `limit` says.
    pub(crate) fn add_block(&mut self, comparison: &Comparison, limit: f64, name: impl FnOnce() -> String) {
        let Some(ratio) = comparison.ratio() else { return };
        self.perfect += micros(comparison.sequential) / limit;
        self.add_times(comparison.sequential, comparison.parallel, ratio, name);
    }

    /// Counts a block with its access list, if it was executed so. What limits it is another matter:
    /// with a list no transaction waits for one before it.
    pub(crate) fn add_listed(&mut self, comparison: &Comparison, name: impl FnOnce() -> String) {
        if let (Some(with_list), Some(ratio)) = (comparison.with_list, comparison.with_list_ratio()) {
            self.add_times(comparison.sequential, with_list.time, ratio, name);
        }
    }

    fn add_times(
        &mut self,
        sequential: Duration,
        parallel: Duration,
        ratio: f64,
        name: impl FnOnce() -> String,
    ) {
        self.blocks += 1;
        self.sequential += micros(sequential);
        self.parallel += micros(parallel);
        self.logarithms += ratio.ln();
        if self.worst.as_ref().is_none_or(|(worst, _)| ratio < *worst) {
            self.worst = Some((ratio, name()));
        }
    }

    fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.sequential += other.sequential;
        self.parallel += other.parallel;
        self.perfect += other.perfect;
        self.logarithms += other.logarithms;
        if let Some((ratio, name)) = &other.worst
            && self.worst.as_ref().is_none_or(|(worst, _)| ratio < worst)
        {
            self.worst = Some((*ratio, name.clone()));
        }
    }

    fn total(&self) -> f64 {
        self.sequential / self.parallel
    }

    fn limit(&self) -> f64 {
        self.sequential / self.perfect
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((worst, name)) = &self.worst else { return f.write_str("nothing was compared") };
        let mean = (self.logarithms / self.blocks as f64).exp();
        let (total, limit) = (self.total(), self.limit());
        write!(
            f,
            "sequential time / parallel time of {} blocks: {total:.2} in total, geometric mean {mean:.2}, worst \
             {worst:.2} ({name})",
            self.blocks,
        )?;
        if !limit.is_finite() {
            return Ok(());
        }
        write!(f, "; {:.0} % of the {limit:.2} that a perfect crew would reach", 100.0 * total / limit)
    }
}

/// A block that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fixture: String,
    pub(crate) case: String,
    pub(crate) block: u64,
    pub(crate) error: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fixture, case, block, error } = self;
        write!(f, "failed: {fixture}: {case}, block {block}\n        {error}")
    }
}

/// A time in microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

/// Microseconds with the nanoseconds that were measured, and no more digits than that.
pub(crate) fn rounded(micros: f64) -> f64 {
    (micros * 1000.0).round() / 1000.0
}

/// One block, for a program.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) fixture: &'a str,
    pub(crate) case: &'a str,
    pub(crate) block: u64,
    pub(crate) fork: &'a str,
    pub(crate) txs: usize,
    pub(crate) gas: u64,
    pub(crate) threads: usize,
    pub(crate) micros: f64,
    #[serde(flatten)]
    pub(crate) compared: ComparedLine,
    pub(crate) incarnations: u64,
    pub(crate) ok: bool,
    pub(crate) error: Option<&'a str>,
}

/// What was measured of a block both ways, for a program.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ComparedLine {
    pub(crate) sequential_micros: Option<f64>,
    pub(crate) parallel_micros: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) with_list_micros: Option<f64>,
    pub(crate) with_list_ratio: Option<f64>,
    pub(crate) with_list_incarnations: Option<u64>,
    pub(crate) limit: Option<f64>,
    pub(crate) limits: Option<BTreeMap<&'static str, f64>>,
}

impl ComparedLine {
    pub(crate) fn new(comparison: &Comparison, limits: Option<&Limits>) -> Self {
        Self {
            sequential_micros: Some(rounded(micros(comparison.sequential))),
            parallel_micros: Some(rounded(micros(comparison.parallel))),
            ratio: comparison.ratio().map(rounded),
            with_list_micros: comparison.with_list.map(|with_list| rounded(micros(with_list.time))),
            with_list_ratio: comparison.with_list_ratio().map(rounded),
            with_list_incarnations: comparison.with_list.map(|with_list| with_list.incarnations),
            limit: limits.map(|limits| rounded(limits.here)),
            limits: limits.map(|limits| {
                limits.with_more.iter().map(|(name, limit)| (*name, rounded(*limit))).collect()
            }),
        }
    }
}

#[derive(Debug, Serialize)]
struct SummaryLine {
    summary: Summary,
}

#[derive(Debug, Serialize)]
struct Summary {
    fixtures: usize,
    cases: usize,
    blocks: usize,
    txs: usize,
    gas: u128,
    failed: usize,
    left_out: usize,
    micros: f64,
    sequential_micros: Option<f64>,
    parallel_micros: Option<f64>,
    ratio: Option<f64>,
    with_list_micros: Option<f64>,
    with_list_ratio: Option<f64>,
    limit: Option<f64>,
}

/// Where lines of JSON go.
pub(crate) struct JsonLines {
    output: Option<Box<dyn Write>>,
}

impl JsonLines {
    /// Into the file at `path`, or to standard output if it is `-`, or nowhere.
    pub(crate) fn to(path: Option<&Path>) -> io::Result<Self> {
        let output: Option<Box<dyn Write>> = match path {
            None => None,
            Some(path) if path == Path::new("-") => Some(Box::new(io::stdout().lock())),
            Some(path) => Some(Box::new(BufWriter::new(File::create(path)?))),
        };
        Ok(Self { output })
    }

    pub(crate) fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        serde_json::to_writer(&mut *output, line)?;
        output.write_all(b"\n")
    }

    /// Writes the last line.
    pub(crate) fn finish(&mut self, counts: &Counts) -> io::Result<()> {
        let (is_compared, is_listed) = (counts.compared.blocks > 0, counts.listed.blocks > 0);
        let summary = Summary {
            fixtures: counts.fixtures,
            cases: counts.cases,
            blocks: counts.blocks,
            txs: counts.transactions,
            gas: counts.gas,
            failed: counts.failed,
            left_out: counts.left_out,
            micros: rounded(counts.micros),
            sequential_micros: is_compared.then(|| rounded(counts.compared.sequential)),
            parallel_micros: is_compared.then(|| rounded(counts.compared.parallel)),
            ratio: is_compared.then(|| rounded(counts.compared.total())),
            with_list_micros: is_listed.then(|| rounded(counts.listed.parallel)),
            with_list_ratio: is_listed.then(|| rounded(counts.listed.total())),
            limit: is_compared.then(|| rounded(counts.compared.limit())),
        };
        self.write(&SummaryLine { summary })?;
        self.flush()
    }

    /// Sees to it that everything is written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.as_mut().map_or(Ok(()), |output| output.flush())
    }
}

/// Whoever closed the pipe does not want to hear more.
pub(crate) fn is_worth_a_word(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::BrokenPipe
}

/// Why JSON is not where it should be.
pub(crate) fn json_failure(path: Option<&Path>, error: &io::Error) -> String {
    format!("--json {}: {error}", path.unwrap_or(Path::new("-")).display())
}

/// Refuses to write where fixtures are read, as an option asks for it: the one would destroy the other,
/// or be read as one.
pub(crate) fn check_is_no_input(option: &str, output: &Path, inputs: &[PathBuf]) -> Result<(), String> {
    let folder = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Some(name)) = (folder.canonicalize(), output.file_name()) else { return Ok(()) };
    let target = folder.join(name);
    let is_under = |input: &&PathBuf| input.canonicalize().is_ok_and(|input| target.starts_with(input));
    match inputs.iter().find(is_under) {
        Some(input) => {
            Err(format!("{option} {}: that is in {}, which is read", output.display(), input.display()))
        }
        None => Ok(()),
    }
}

/// Writes the table of all sets, and below it their sum if there are several.
pub(crate) fn write_table(
    output: &mut dyn Write,
    sets: &[(String, Counts)],
    total: &Counts,
) -> io::Result<()> {
    let header = ["set", "cases", "blocks", "transactions", "gas", "Mgas/s", "ratio", "failed", "left out"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(sets.iter().map(|(name, counts)| row(name, counts)));
    if sets.len() > 1 {
        rows.push(row("all", total));
    }
    write_rows(output, &rows)
}

/// Writes the table of what all sets took three ways, if some of their blocks were executed so.
pub(crate) fn write_sides(
    output: &mut dyn Write,
    sets: &[(String, Counts)],
    total: &Counts,
) -> io::Result<()> {
    if total.listed.blocks == 0 {
        return Ok(());
    }
    let header =
        ["set", "blocks with lists", "sequential ms", "parallel ms", "with lists ms", "ratio", "with lists"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(sets.iter().map(|(name, counts)| sides_row(name, counts)));
    if sets.len() > 1 {
        rows.push(sides_row("all", total));
    }
    writeln!(output)?;
    write_rows(output, &rows)?;
    writeln!(output)
}

fn write_rows<const N: usize>(output: &mut dyn Write, rows: &[[String; N]]) -> io::Result<()> {
    let mut table = Table::default();
    rows.iter().for_each(|row| table.make_room(row));
    rows.iter().try_for_each(|row| table.write(output, row))
}

fn sides_row(name: &str, counts: &Counts) -> [String; 7] {
    let Counts { compared, listed, .. } = counts;
    let millis = |micros: f64| format!("{:.1}", micros / 1000.0);
    let decimal = |number: f64| if number.is_finite() { format!("{number:.2}") } else { "-".to_owned() };
    [
        name.to_owned(),
        listed.blocks.to_string(),
        millis(compared.sequential),
        millis(compared.parallel),
        millis(listed.parallel),
        decimal(compared.total()),
        decimal(listed.total()),
    ]
}

/// Writes what it all comes to: what was verified, how far, and what was not looked at.
pub(crate) fn write_verdict(output: &mut dyn Write, total: &Counts, unusable: usize) -> io::Result<()> {
    let Counts { cases, blocks, failed, left_out, without_state_root, only_executed, .. } = total;
    writeln!(output, "{} of {blocks} blocks in {cases} cases are as they should be", blocks - failed)?;
    if total.compared.blocks > 0 {
        writeln!(output, "{}", total.compared)?;
    }
    if total.listed.blocks > 0 {
        writeln!(output, "with access lists, {}", total.listed)?;
    }
    for (reason, count) in &total.reasons {
        writeln!(output, "{count} of {left_out} cases left out: {reason}")?;
    }
    let remarks = [
        (*without_state_root, "blocks have no witness: their state root was not compared"),
        (*only_executed, "blocks were executed, but there was nothing to compare them with"),
        (unusable, "inputs were unusable"),
    ];
    for (count, remark) in remarks.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(output, "{count} {remark}")?;
    }
    Ok(())
}

fn row(name: &str, counts: &Counts) -> [String; 9] {
    [
        name.to_owned(),
        counts.cases.to_string(),
        counts.blocks.to_string(),
        counts.transactions.to_string(),
        counts.gas.to_string(),
        format!("{:.0}", counts.mgas_per_second()),
        if counts.compared.blocks > 0 { format!("{:.2}", counts.compared.total()) } else { "-".to_owned() },
        counts.failed.to_string(),
        counts.left_out.to_string(),
    ]
}

/// A table that is written row by row, as they come.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    /// How wide each column is: as wide as anything in it so far.
    widths: [usize; N],
}

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self { widths: [0; N] }
    }
}

impl<const N: usize> Table<N> {
    /// Writes a row: the first column to the left and all others to the right.
    pub(crate) fn write(&mut self, output: &mut dyn Write, row: &[String; N]) -> io::Result<()> {
        self.make_room(row);
        write!(output, "{:<width$}", row[0], width = self.widths[0])?;
        for (cell, width) in row.iter().zip(self.widths).skip(1) {
            write!(output, "  {cell:>width$}")?;
        }
        writeln!(output)
    }

    /// Makes the columns wide enough for a row.
    pub(crate) fn make_room(&mut self, row: &[String; N]) {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(blocks: usize) -> Counts {
        Counts { blocks, gas: 5_000_000, micros: 100_000.0, ..Counts::default() }
    }

    #[test]
    fn several_sets_have_a_sum() {
        let mut output = Vec::new();
        let sets = [("one".to_owned(), counts(1)), ("two".to_owned(), counts(2))];
        let mut total = counts(1);
        total.add(&counts(2));
        write_table(&mut output, &sets, &total).unwrap();
        let text = String::from_utf8(output).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[3].starts_with("all"), "{text}");
        assert_eq!(lines[3].split_whitespace().nth(2), Some("3"), "{text}");
        assert_eq!(lines[3].split_whitespace().nth(5), Some("50"), "{text}");
    }
}
