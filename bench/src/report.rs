//! The report of `replay` for a reader: counts, tables, and the summary.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use blockloom_bench::comparison::Comparison;

use crate::{
    failure::Failure,
    json::{Summary, rounded},
    list_source::ListSource,
    ratios::Ratios,
    table::Table,
};

/// The counts of a set of fixtures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) fixtures: usize,
    pub(crate) cases: usize,
    pub(crate) blocks: usize,
    pub(crate) transactions: usize,
    pub(crate) gas: u128,
    pub(crate) failed: usize,
    pub(crate) left_out: usize,
    /// Blocks without a witness: the state root could not be compared.
    pub(crate) without_state_root: usize,
    /// Blocks of fixtures that have nothing to compare with.
    pub(crate) only_executed: usize,
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

    /// Adds the measurements of a block. Its dependencies limit its ratio to `limit`.
    pub(crate) fn add_comparison(&mut self, comparison: &Comparison, limit: f64, name: impl Fn() -> String) {
        self.compared.add_block(comparison, limit, &name);
        self.listed.add_listed(comparison, name);
    }

    /// The sums for a program.
    pub(crate) fn summary(&self) -> Summary {
        let (is_compared, is_listed) = (self.compared.blocks > 0, self.listed.blocks > 0);
        Summary {
            fixtures: self.fixtures,
            cases: self.cases,
            blocks: self.blocks,
            txs: self.transactions,
            gas: self.gas,
            failed: self.failed,
            left_out: self.left_out,
            micros: rounded(self.micros),
            sequential_micros: is_compared.then(|| rounded(self.compared.sequential)),
            parallel_micros: is_compared.then(|| rounded(self.compared.parallel)),
            ratio: is_compared.then(|| rounded(self.compared.total())),
            with_list_micros: is_listed.then(|| rounded(self.listed.parallel)),
            with_list_ratio: is_listed.then(|| rounded(self.listed.total())),
            limit: is_compared.then(|| rounded(self.compared.limit())),
        }
    }

    /// Gas per microsecond is Mgas per second.
    fn mgas_per_second(&self) -> f64 {
        if self.micros > 0.0 { self.gas as f64 / self.micros } else { 0.0 }
    }
}

/// The report of a whole replay.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The counts of each set of fixtures, with the name of the set.
    pub(crate) sets: &'a [(String, Counts)],
    pub(crate) total: &'a Counts,
    pub(crate) failures: &'a [Failure],
    pub(crate) lists: Option<&'a ListSource>,
    pub(crate) unusable: usize,
}

impl Report<'_> {
    pub(crate) fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        self.write_sets(output)?;
        self.write_sides(output)?;
        for failure in self.failures {
            writeln!(output, "{failure}")?;
        }
        if self.total.cases == 0 && self.unusable == 0 {
            writeln!(output, "no case matches")?;
        }
        self.write_summary(output)?;
        self.lists.map_or(Ok(()), |lists| write!(output, "{lists}"))
    }

    /// Writes the table of all sets, with their sum if there are several.
    fn write_sets(&self, output: &mut dyn Write) -> io::Result<()> {
        let header =
            ["set", "cases", "blocks", "transactions", "gas", "Mgas/s", "ratio", "failed", "left out"];
        Table::write_all(output, &self.rows(header, set_row))
    }

    /// Writes the times of all three sides, if blocks were executed with access lists.
    fn write_sides(&self, output: &mut dyn Write) -> io::Result<()> {
        if self.total.listed.blocks == 0 {
            return Ok(());
        }
        let header = [
            "set",
            "blocks with lists",
            "sequential ms",
            "parallel ms",
            "with lists ms",
            "ratio",
            "with lists",
        ];
        writeln!(output)?;
        Table::write_all(output, &self.rows(header, sides_row))?;
        writeln!(output)
    }

    fn rows<const N: usize>(
        &self,
        header: [&str; N],
        row: fn(&str, &Counts) -> [String; N],
    ) -> Vec<[String; N]> {
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.sets.iter().map(|(name, counts)| row(name, counts)));
        if self.sets.len() > 1 {
            rows.push(row("all", self.total));
        }
        rows
    }

    /// Writes how many blocks were verified, how fast they were, and what was not verified.
    fn write_summary(&self, output: &mut dyn Write) -> io::Result<()> {
        let Counts { cases, blocks, failed, left_out, without_state_root, only_executed, .. } = self.total;
        writeln!(output, "{} of {blocks} blocks in {cases} cases passed", blocks - failed)?;
        if self.total.compared.blocks > 0 {
            writeln!(output, "{}", self.total.compared)?;
        }
        if self.total.listed.blocks > 0 {
            writeln!(output, "with access lists, {}", self.total.listed)?;
        }
        for (reason, count) in &self.total.reasons {
            writeln!(output, "{count} of {left_out} cases left out: {reason}")?;
        }
        let remarks = [
            (*without_state_root, "blocks have no witness: their state root was not compared"),
            (*only_executed, "blocks were executed only: their fixtures have nothing to compare with"),
            (self.unusable, "inputs were unusable"),
        ];
        for (count, remark) in remarks.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(output, "{count} {remark}")?;
        }
        Ok(())
    }
}

fn set_row(name: &str, counts: &Counts) -> [String; 9] {
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
        let report = Report { sets: &sets, total: &total, failures: &[], lists: None, unusable: 0 };
        report.write_sets(&mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[3].starts_with("all"), "{text}");
        assert_eq!(lines[3].split_whitespace().nth(2), Some("3"), "{text}");
        assert_eq!(lines[3].split_whitespace().nth(5), Some("50"), "{text}");
    }
}
