//! Executes blocks with ethrex, as `fuzz/t8n.py` does with the Ethereum specification.
//!
//! Reads one block per line of standard input, a JSON object with the keys fork, alloc, env and txs, and writes one
//! line for each: what ethrex's `execute_block` yields, as the specification's t8n tool would say it.

mod base;
mod block;
mod execution;
mod question;

use std::io::{self, BufRead, Write};

use question::Question;

/// A line that is no block, or a block that this program cannot execute.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("standard input: {0}")]
    Io(#[from] io::Error),
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
}

fn main() -> Result<(), Error> {
    let mut output = io::stdout().lock();
    for (position, line) in io::stdin().lock().lines().enumerate() {
        let answer = answer(&line?).map_err(|problem| Error::Line { line: position + 1, problem })?;
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(line: &str) -> Result<serde_json::Value, String> {
    let question: Question = serde_json::from_str(line).map_err(|error| error.to_string())?;
    execution::answer(&question)
}
