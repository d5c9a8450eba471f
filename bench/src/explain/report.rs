//! The explanation of a block in words and tables.

use std::{
    io::{self, Write},
    time::Duration,
};

use blockloom_bench::{
    explanation::{COMPARED, Cause, Explanation, Subject, WORKERS, share},
    limit::WorkerCount,
    lost_runs::LossReason,
};
use blockloom_engine::Block;

use crate::{
    names,
    pictures::facts::selector,
    quantity::{counted, short},
    table::Table,
};

/// The report of one block.
pub(super) struct Report<'r> {
    pub(super) place: &'r str,
    pub(super) block: &'r Block,
    pub(super) explanation: &'r Explanation,
    /// The number of rows of each table.
    pub(super) top: usize,
}

impl Report<'_> {
    pub(super) fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        self.summary().iter().try_for_each(|line| writeln!(output, "{line}"))?;
        self.write_critical_path(output)?;
        let Explanation { locations, accounts, .. } = self.explanation;
        write_causes(output, "hot locations", locations, self.top)?;
        write_causes(output, "hot accounts", accounts, self.top)?;
        self.write_lost(output)
    }

    /// The block in a few lines.
    pub(super) fn summary(&self) -> Vec<String> {
        let Explanation { comparison, graph, limits, threads, spent, .. } = self.explanation;
        let gas: u64 = graph.transactions.iter().map(|transaction| transaction.gas).sum();
        let [alone, together] = [comparison.sequential, comparison.parallel].map(names::of_time);
        let reached = self.explanation.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let transactions = counted(self.block.transactions.len(), "transaction");
        let (gas, limit) = (short(gas.into()), self.explanation.limit);
        let limits = WORKERS.iter().zip(limits).map(|(workers, limit)| {
            let workers = match workers {
                WorkerCount::Exactly(count) => count.to_string(),
                WorkerCount::Unlimited => "any number".to_owned(),
            };
            format!("{workers}: {limit:.2}")
        });
        let parts = spent.parts().into_iter().filter(|(_, time)| share(*time, spent.total) >= 0.005);
        let parts = parts.map(|(name, time)| format!("{:.0} % {name}", 100.0 * share(time, spent.total)));
        vec![
            format!("block {} ({})", self.block.number(), self.place),
            format!(
                "{transactions}, {gas} gas: {alone} on one thread, {together} on {threads}: {reached} of at most {limit:.2}"
            ),
            format!("limit by threads: {}", Vec::from_iter(limits).join(", ")),
            format!("time of all threads: {}", Vec::from_iter(parts).join(", ")),
            self.main_cause(),
        ]
    }

    /// What limits the block most.
    fn main_cause(&self) -> String {
        let Explanation { causes, compared_limit: limit, .. } = self.explanation;
        let limit = *limit;
        let Some(first) = causes.first() else {
            return "no transaction depends on another one".to_owned();
        };
        let name = names::of_subject(&first.subject);
        if first.limit_without < limit * 1.02 {
            let of = match first.subject {
                Subject::Transaction(_) => String::new(),
                _ => format!("; most transactions meet at {name} ({} write there)", first.writers),
            };
            return format!("nothing alone limits it{of}");
        }
        format!(
            "limited most by {name}: without it {:.2} instead of {limit:.2} on {COMPARED} threads",
            first.limit_without
        )
    }

    fn write_critical_path(&self, output: &mut dyn Write) -> io::Result<()> {
        let Explanation { critical_path, graph, .. } = self.explanation;
        let times = critical_path.iter().map(|step| graph.transactions[step.position].time);
        let length: Duration = times.sum();
        let of = counted(critical_path.len(), "transaction");
        writeln!(output, "\ncritical path: {of}, {}", names::of_time(length))?;
        if critical_path.is_empty() {
            return Ok(());
        }
        let titles = ["waits for", "index", "hash", "to", "selector", "gas", "time"].map(str::to_owned);
        let mut rows = vec![titles.into()];
        // The longest ones say more than the first ones.
        let mut longest: Vec<_> = (0..critical_path.len()).collect();
        longest
            .sort_by_key(|place| std::cmp::Reverse(graph.transactions[critical_path[*place].position].time));
        longest.truncate(self.top);
        longest.sort_unstable();
        rows.extend(longest.into_iter().map(|place| {
            let step = critical_path[place];
            let (transaction, measured) =
                (&self.block.transactions[step.position], &graph.transactions[step.position]);
            let waits_for = step.waits_for.map_or_else(String::new, |needed| {
                let location = needed.location.as_ref().map_or("everything".to_owned(), names::of_location);
                format!("{}: {location}", needed.on.get())
            });
            vec![
                waits_for,
                step.position.to_string(),
                names::of_hash(transaction),
                names::of_recipient(transaction),
                selector(transaction).unwrap_or_else(|| "-".to_owned()),
                short(measured.gas.into()),
                names::of_time(measured.time),
            ]
        }));
        Table::write_all(output, &rows)?;
        let left_out = critical_path.len().saturating_sub(self.top);
        if left_out > 0 { writeln!(output, "and {left_out} shorter ones") } else { Ok(()) }
    }

    fn write_lost(&self, output: &mut dyn Write) -> io::Result<()> {
        let lost = &self.explanation.lost;
        let time: Duration = lost.iter().map(|run| run.time).sum();
        let runs = counted(lost.len(), "run");
        writeln!(output, "\nlost: {runs}, {} of all threads", names::of_time(time))?;
        for words in LossReason::WORDS {
            let count = lost.iter().filter(|run| run.reason.words() == words).count();
            if count > 0 {
                writeln!(output, "  {count} {words}")?;
            }
        }
        Ok(())
    }
}

/// Writes the first causes as a table.
pub(super) fn write_causes(
    output: &mut dyn Write,
    title: &str,
    causes: &[Cause],
    top: usize,
) -> io::Result<()> {
    if causes.is_empty() {
        return Ok(());
    }
    writeln!(output)?;
    let titles = [title, "writers", "readers", "lost runs", "time lost", "limit without"].map(str::to_owned);
    let mut rows = vec![titles.into()];
    rows.extend(causes.iter().take(top).map(|cause| {
        vec![
            names::of_subject(&cause.subject),
            cause.writers.to_string(),
            cause.readers.to_string(),
            cause.lost_runs.to_string(),
            names::of_time(cause.time_lost),
            format!("{:.2}", cause.limit_without),
        ]
    }));
    Table::write_all(output, &rows)
}
