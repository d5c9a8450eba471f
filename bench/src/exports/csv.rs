//! CSV: the quoting of RFC 4180, and a line feed at the end of each line.

use std::io::{self, Write};

use super::field::Field;

/// Writes the names of the fields.
pub(super) fn write_header(output: &mut dyn Write, fields: &[Field]) -> io::Result<()> {
    write_line(output, fields.iter().filter_map(|field| field.name).map(str::to_owned))
}

/// Writes a row.
pub(super) fn write_row(output: &mut dyn Write, fields: &[Field]) -> io::Result<()> {
    let named = fields.iter().filter(|field| field.name.is_some());
    write_line(output, named.map(|field| field.value.plain()))
}

fn write_line(output: &mut dyn Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let cells: Vec<_> = cells.map(|cell| quoted(&cell)).collect();
    writeln!(output, "{}", cells.join(","))
}

/// A cell, in quotes if it has a character that separates cells or lines.
fn quoted(cell: &str) -> String {
    let is_plain = !cell.contains([',', '"', '\n', '\r']);
    if is_plain { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_would_break_a_row_are_quoted() {
        let cells = ["plain", "a,b", "say \"no\"", "two\nlines", "back\rto", ""];
        let mut output = Vec::new();
        write_line(&mut output, cells.into_iter().map(str::to_owned)).unwrap();
        let expected = "plain,\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",\"back\rto\",\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
