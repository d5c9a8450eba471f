//! A text table with aligned columns that fits a terminal of 80 columns.

use std::io::{self, Write};

/// The width of a terminal that every table fits.
pub(crate) const WIDTH: usize = 80;

/// The first column is never narrower than this, whatever the others need.
const LEAST_FIRST: usize = 8;

/// Writes a table row by row.
#[derive(Debug)]
pub(crate) struct Table {
    /// The width of each column: that of its widest cell so far.
    widths: Vec<usize>,
    /// The number of spaces between columns.
    gap: usize,
}

impl Table {
    /// A table with this many spaces between columns.
    pub(crate) fn new(gap: usize) -> Self {
        Self { widths: Vec::new(), gap }
    }

    /// Writes a whole table at once.
    pub(crate) fn write_all(output: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
        let mut table = Self::new(2);
        rows.iter().for_each(|row| table.widen(row));
        rows.iter().try_for_each(|row| table.write(output, row))
    }

    /// Writes a row: the first column left-aligned, the others right-aligned. The first cell loses its beginning if
    /// the row would not fit.
    pub(crate) fn write(&mut self, output: &mut dyn Write, row: &[String]) -> io::Result<()> {
        self.widen(row);
        let others: usize = self.widths[1..].iter().map(|width| self.gap + width).sum();
        let first = self.widths[0].min(WIDTH.saturating_sub(others).max(LEAST_FIRST));
        let mut line = format!("{:<first$}", end_of(&row[0], first));
        for (cell, width) in row.iter().zip(&self.widths).skip(1) {
            line.push_str(&format!("{:gap$}{cell:>width$}", "", gap = self.gap));
        }
        writeln!(output, "{line}")
    }

    /// Makes the columns wide enough for a row.
    pub(crate) fn widen(&mut self, row: &[String]) {
        self.widths.resize(row.len().max(self.widths.len()), 0);
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
}

/// The text in this width: filled up, or as much of its start as fits.
pub(crate) fn start_of(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let start: String = text.chars().take(width - 1).collect();
    format!("{start}…")
}

/// The text, or as much of its end as fits: names differ at the end.
pub(crate) fn end_of(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let end: String = text.chars().skip((length + 1).saturating_sub(width)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn a_long_name_loses_its_beginning() {
        let name = format!("{}/the-end", "folder".repeat(20));
        let rows = [row(&["set", "number", "another"]), row(&[&name, "1", "22"])];
        let mut output = Vec::new();
        Table::write_all(&mut output, &rows).unwrap();
        let text = String::from_utf8(output).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() == WIDTH), "{text}");
        assert!(lines[1].starts_with('…') && lines[1].contains("/the-end       1       22"), "{text}");
    }

    #[test]
    fn a_narrow_table_is_not_widened() {
        let mut output = Vec::new();
        Table::write_all(&mut output, &[row(&["set", "blocks"]), row(&["samples", "5"])]).unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "set      blocks\nsamples       5\n");
    }
}
