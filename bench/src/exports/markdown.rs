//! Tables in Markdown, as GitHub renders them.

use std::io::{self, Write};

/// Writes the titles, and the line under them: the first column left-aligned, the others right-aligned.
pub(super) fn write_titles(output: &mut dyn Write, titles: &[String]) -> io::Result<()> {
    write_row(output, titles)?;
    let alignments = (0..titles.len()).map(|column| if column == 0 { ":---" } else { "---:" });
    writeln!(output, "|{}|", alignments.collect::<Vec<_>>().join("|"))
}

/// Writes a row.
pub(super) fn write_row(output: &mut dyn Write, cells: &[String]) -> io::Result<()> {
    let cells: Vec<_> = cells.iter().map(|cell| escaped(cell)).collect();
    writeln!(output, "| {} |", cells.join(" | "))
}

/// A cell without what Markdown takes for markup, in one line.
fn escaped(cell: &str) -> String {
    let mut escaped = String::with_capacity(cell.len());
    for c in cell.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '\\' | '|' | '`' | '*' | '<' | '[' | ']' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_ends_a_cell_or_a_row() {
        let cells = ["a|b".to_owned(), "c\\|d\ne".to_owned(), "*f*".to_owned()];
        let mut output = Vec::new();
        write_titles(&mut output, &["one".to_owned(), "two".to_owned(), "three".to_owned()]).unwrap();
        write_row(&mut output, &cells).unwrap();
        let expected = "| one | two | three |\n|:---|---:|---:|\n| a\\|b | c\\\\\\|d e | \\*f\\* |\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
