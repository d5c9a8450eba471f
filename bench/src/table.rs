//! A text table with aligned columns.

use std::io::{self, Write};

/// Writes a table row by row.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    /// The width of each column: that of its widest cell so far.
    widths: [usize; N],
}

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self { widths: [0; N] }
    }
}

impl<const N: usize> Table<N> {
    /// Writes a whole table at once.
    pub(crate) fn write_all(output: &mut dyn Write, rows: &[[String; N]]) -> io::Result<()> {
        let mut table = Self::default();
        rows.iter().for_each(|row| table.widen(row));
        rows.iter().try_for_each(|row| table.write(output, row))
    }

    /// Writes a row: the first column left-aligned, the others right-aligned.
    pub(crate) fn write(&mut self, output: &mut dyn Write, row: &[String; N]) -> io::Result<()> {
        self.widen(row);
        write!(output, "{:<width$}", row[0], width = self.widths[0])?;
        for (cell, width) in row.iter().zip(self.widths).skip(1) {
            write!(output, "  {cell:>width$}")?;
        }
        writeln!(output)
    }

    /// Makes the columns wide enough for a row.
    pub(crate) fn widen(&mut self, row: &[String; N]) {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
}
