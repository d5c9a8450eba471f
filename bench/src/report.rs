//! The report of `replay` for a reader: counts, tables, and the summary.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use blockloom_bench::{calibration::Calibration, comparison::Comparison};

use crate::{
    burnt_gas::speed,
    exports::field::{Field, Value, cells, titles},
    failure::Failure,
    input::skipped,
    json::{Summary, rounded},
    list_source::ListSource,
    quantity::counted,
    ratios::Ratios,
    table::Table,
    terminal::{is_quiet, painted},
};

/// The counts of a set of fixtures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) fixtures: usize,
    pub(crate) cases: usize,
    pub(crate) blocks: usize,
    pub(crate) transactions: usize,
    pub(crate) gas: u128,
    /// Gas that was paid for but not executed.
    pub(crate) burnt_gas: u128,
    /// Gas that was executed in `micros`.
    pub(crate) timed_gas: u128,
    pub(crate) failed: usize,
    /// Blocks that were refused, as they must be, for a reason that this version cannot compare.
    pub(crate) unknown_reasons: usize,
    pub(crate) left_out: usize,
    /// Blocks without a witness: the state root could not be compared.
    pub(crate) without_state_root: usize,
    /// Blocks of fixtures that have nothing to compare with.
    pub(crate) only_executed: usize,
    /// Blocks that name no chain.
    pub(crate) unnamed: usize,
    pub(crate) micros: f64,
    /// Blocks that were executed sequentially and in parallel.
    pub(crate) compared: Ratios,
    /// Blocks that were executed sequentially, and in parallel with their access lists.
    pub(crate) listed: Ratios,
    /// Why cases were left out, with the number of cases for each reason.
    pub(crate) reasons: BTreeMap<String, usize>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.fixtures += other.fixtures;
        self.cases += other.cases;
        self.blocks += other.blocks;
        self.transactions += other.transactions;
        self.gas += other.gas;
        self.burnt_gas += other.burnt_gas;
        self.timed_gas += other.timed_gas;
        self.failed += other.failed;
        self.unknown_reasons += other.unknown_reasons;
        self.left_out += other.left_out;
        self.without_state_root += other.without_state_root;
        self.only_executed += other.only_executed;
        self.unnamed += other.unnamed;
        self.micros += other.micros;
        self.compared.add(&other.compared);
        self.listed.add(&other.listed);
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }

    /// Adds the gas of a block, with the part of it that was not executed. A block without a round has no time:
    /// an interrupt came before.
    pub(crate) fn add_gas(&mut self, gas: u64, burnt_gas: u64, rounds: usize) {
        // The receipts of an invalid block are not known, and its gas is zero.
        let burnt_gas = burnt_gas.min(gas);
        self.gas += u128::from(gas);
        self.burnt_gas += u128::from(burnt_gas);
        if rounds > 0 {
            self.timed_gas += u128::from(gas - burnt_gas);
        }
    }

    /// Adds the measurements of a block. Its dependencies limit its ratio to `limit`.
    pub(crate) fn add_comparison(&mut self, comparison: &Comparison, limit: f64, name: impl Fn() -> String) {
        self.compared.add_block(comparison, limit, &name);
        self.listed.add_listed(comparison, name);
    }

    /// The sums for a program.
    pub(crate) fn summary(&self, calibration: Option<&Calibration>) -> Summary {
        let (is_compared, is_listed) = (self.compared.blocks > 0, self.listed.blocks > 0);
        Summary {
            fixtures: self.fixtures,
            cases: self.cases,
            blocks: self.blocks,
            txs: self.transactions,
            gas: self.gas,
            burnt_gas: self.burnt_gas,
            failed: self.failed,
            unknown_reasons: self.unknown_reasons,
            left_out: self.left_out,
            micros: rounded(self.micros),
            sequential_micros: is_compared.then(|| rounded(self.compared.sequential)),
            parallel_micros: is_compared.then(|| rounded(self.compared.parallel)),
            ratio: is_compared.then(|| rounded(self.compared.total())),
            ratio_low: self.compared.interval().map(|interval| rounded(interval.low)),
            ratio_high: self.compared.interval().map(|interval| rounded(interval.high)),
            largest_share: is_compared.then(|| rounded(self.compared.largest_share())),
            with_list_micros: is_listed.then(|| rounded(self.listed.parallel)),
            with_list_ratio: is_listed.then(|| rounded(self.listed.total())),
            limit: is_compared.then(|| rounded(self.compared.limit())),
            busy_slowdown: calibration.map(|calibration| rounded(calibration.slowdown)),
        }
    }

    /// The row of a set in the table of all sets.
    fn row(&self, name: &str, warmth: Warmth, ratio: Option<Field>) -> Vec<Field> {
        let title = if warmth == Warmth::Cold { "cold Mgas/s" } else { "Mgas/s" };
        let mut row = vec![
            Field::table("set", name),
            Field::table("cases", self.cases),
            Field::table("blocks", self.blocks),
            Field::table("txs", self.transactions),
            Field::table("gas", Value::Large(self.gas)),
            Field::table(title, Value::number(speed(self.timed_gas, self.micros), 0)),
        ];
        row.extend(ratio);
        row.extend([Field::table("failed", self.failed), Field::table("left out", self.left_out)]);
        row
    }

    /// The ratio of its blocks, if any was compared.
    fn ratio(&self) -> Field {
        let is_compared = self.compared.blocks > 0;
        Field::table("ratio", Value::number(is_compared.then(|| self.compared.total()), 2))
    }

    /// The row of a set in the table of the times with access lists.
    fn sides_row(&self, name: &str) -> Vec<Field> {
        let Self { compared, listed, .. } = self;
        let millis = |micros: f64| Value::Number(micros / 1000.0, 1);
        vec![
            Field::table("set", name),
            Field::table("blocks", listed.blocks),
            Field::table("seq ms", millis(compared.sequential)),
            Field::table("par ms", millis(compared.parallel)),
            Field::table("list ms", millis(listed.parallel)),
            Field::table("ratio", Value::Number(compared.total(), 2)),
            Field::table("with lists", Value::Number(listed.total(), 2)),
        ]
    }
}

/// What the times of a report are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmth {
    /// Of one execution each, with cold caches.
    Cold,
    /// Medians after a round that warms up.
    Warm,
}

/// The report of a whole replay.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The counts of each set of fixtures, with the name of the set.
    pub(crate) sets: &'a [(String, Counts)],
    pub(crate) total: &'a Counts,
    pub(crate) failures: &'a [Failure],
    /// Lines about files that contradict themselves.
    pub(crate) notes: &'a [String],
    pub(crate) lists: Option<&'a ListSource>,
    pub(crate) unusable: usize,
    /// Files in folders that are no fixtures.
    pub(crate) skipped: usize,
    pub(crate) warmth: Warmth,
    /// Whether the machine was quiet, if blocks were compared.
    pub(crate) calibration: Option<Calibration>,
}

impl Report<'_> {
    /// Writes the report. `is_terminal`: whether `output` is one.
    pub(crate) fn write(&self, output: &mut dyn Write, is_terminal: bool) -> io::Result<()> {
        if !is_quiet() {
            self.write_tables(output)?;
        }
        for failure in self.failures {
            writeln!(output, "{}", painted(&failure.to_string(), is_terminal))?;
        }
        if is_quiet() {
            return Ok(());
        }
        self.notes.iter().try_for_each(|note| writeln!(output, "{note}"))?;
        if self.total.cases > 0 {
            self.write_summary(output)?;
        } else if self.unusable == 0 {
            writeln!(output, "no case matches")?;
        }
        self.write_remarks(output)?;
        if let Some(warning) = self.calibration.and_then(|calibration| calibration.warning()) {
            writeln!(output, "{}", painted(&format!("warning: {warning}"), is_terminal))?;
        }
        self.lists.map_or(Ok(()), |lists| write!(output, "{lists}"))
    }

    /// The tables: of all sets, and of the times of all three sides if blocks were executed with access lists. Each has
    /// a row with the sum if there are several sets.
    pub(crate) fn tables(&self) -> Vec<Vec<Vec<Field>>> {
        if self.total.cases == 0 {
            return Vec::new();
        }
        let is_compared = self.total.compared.blocks > 0;
        let mut tables = vec![
            self.rows(|name, counts| counts.row(name, self.warmth, is_compared.then(|| counts.ratio()))),
        ];
        if self.total.listed.blocks > 0 {
            tables.push(self.rows(|name, counts| counts.sides_row(name)));
        }
        tables
    }

    /// Writes the tables; the second one between blank lines.
    fn write_tables(&self, output: &mut dyn Write) -> io::Result<()> {
        for (position, rows) in self.tables().iter().enumerate() {
            let lines: Vec<_> = rows
                .first()
                .map(|row| titles(row))
                .into_iter()
                .chain(rows.iter().map(|row| cells(row)))
                .collect();
            if position == 0 {
                Table::write_all(output, &lines)?;
            } else {
                writeln!(output)?;
                Table::write_all(output, &lines)?;
                writeln!(output)?;
            }
        }
        Ok(())
    }

    fn rows(&self, row: impl Fn(&str, &Counts) -> Vec<Field>) -> Vec<Vec<Field>> {
        let sets = self.sets.iter().filter(|(_, counts)| counts.cases > 0);
        let mut rows: Vec<_> = sets.map(|(name, counts)| row(name, counts)).collect();
        if rows.len() > 1 {
            rows.push(row("all", self.total));
        }
        rows
    }

    /// Writes how many blocks were verified, and how fast they were.
    fn write_summary(&self, output: &mut dyn Write) -> io::Result<()> {
        let Counts { cases, blocks, failed, unknown_reasons, compared, listed, .. } = self.total;
        let (passed, blocks) = (blocks - failed - unknown_reasons, counted(*blocks, "block"));
        writeln!(output, "{passed} of {blocks} in {} passed", counted(*cases, "case"))?;
        if compared.blocks > 0 {
            writeln!(output, "{compared}")?;
        }
        if listed.blocks > 0 {
            writeln!(output, "with access lists, {listed}")?;
        }
        Ok(())
    }

    /// Writes what was not verified, not executed, or not read.
    fn write_remarks(&self, output: &mut dyn Write) -> io::Result<()> {
        let Counts { left_out, unknown_reasons, without_state_root, only_executed, unnamed, .. } =
            *self.total;
        for (reason, count) in &self.total.reasons {
            writeln!(output, "{count} of {} left out: {reason}", counted(left_out, "case"))?;
        }
        let blocks = |count| counted(count, "block");
        let remarks = [
            (
                unknown_reasons,
                format!(
                    "{} refused, but the test wants a reason that this version does not know",
                    blocks(unknown_reasons)
                ),
            ),
            (
                without_state_root,
                format!("{} without a witness: no state root to compare with", blocks(without_state_root)),
            ),
            (
                only_executed,
                format!("{} only executed: their fixtures have no results", blocks(only_executed)),
            ),
            (unnamed, format!("{} without a chain id: chain found by number and time (-v)", blocks(unnamed))),
            (self.unusable, format!("{} unusable", counted(self.unusable, "input"))),
            (self.skipped, skipped(self.skipped)),
        ];
        let mut remarks = remarks.into_iter().filter(|(count, _)| *count > 0);
        remarks.try_for_each(|(_, remark)| writeln!(output, "{remark}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(blocks: usize) -> Counts {
        Counts {
            cases: 1,
            blocks,
            gas: 5_000_000,
            timed_gas: 5_000_000,
            micros: 100_000.0,
            ..Counts::default()
        }
    }

    /// The report of some sets.
    fn report(sets: &[(String, Counts)], unusable: usize) -> String {
        let mut total = Counts::default();
        sets.iter().for_each(|(_, counts)| total.add(counts));
        let (failures, notes, lists, skipped) = (&[], &[], None, 0);
        let (warmth, calibration) = (Warmth::Cold, None);
        let report =
            Report { sets, total: &total, failures, notes, lists, unusable, skipped, warmth, calibration };
        let mut output = Vec::new();
        report.write(&mut output, false).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn several_sets_have_a_sum() {
        let text = report(&[("one".to_owned(), counts(1)), ("two".to_owned(), counts(2))], 0);
        let lines: Vec<_> = text.lines().collect();
        let sum: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(sum, ["all", "2", "3", "0", "10M", "50", "0", "0"], "{text}");
        assert_eq!(lines[4..], ["3 of 3 blocks in 2 cases passed"], "{text}");
    }

    #[test]
    fn where_nothing_was_read_there_is_no_table() {
        assert_eq!(report(&[("one".to_owned(), Counts::default())], 1), "1 input unusable\n");
        assert_eq!(report(&[], 0), "no case matches\n");
    }

    #[test]
    fn one_block_is_singular() {
        let alone = Counts { without_state_root: 1, ..counts(1) };
        let text = report(&[("one".to_owned(), alone)], 0);
        assert!(text.contains("1 of 1 block in 1 case passed\n1 block without a witness"), "{text}");
    }

    #[test]
    fn burnt_gas_and_gas_without_a_time_are_no_speed() {
        let speed_of = |burnt_gas, rounds| {
            let mut counts = Counts { cases: 1, blocks: 1, micros: 100_000.0, ..Counts::default() };
            counts.add_gas(5_000_000, burnt_gas, rounds);
            let text = report(&[("one".to_owned(), counts)], 0);
            let row: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
            assert_eq!(row[4], "5M", "{text}");
            row[5].to_owned()
        };
        assert_eq!([speed_of(0, 1), speed_of(5_000_000, 1), speed_of(0, 0)], ["50", "-", "-"]);
    }

    #[test]
    fn tables_fit_a_terminal() {
        let huge = Counts {
            blocks: 100_000,
            transactions: 10_000_000,
            failed: 99_999,
            left_out: 99_999,
            gas: 10_000_000_000_000,
            timed_gas: 10_000_000_000_000,
            ..counts(1)
        };
        let text = report(&[("a-name-that-is-as-long/as-file-names-can-be".to_owned(), huge)], 0);
        assert!(text.lines().take(2).all(|line| line.chars().count() <= 80), "{text}");
    }
}
