//! Pictures of an import: what each thread did, for which block.

use std::{io::Write, path::PathBuf, sync::Arc};

use blockloom_bench::timeline::{Timeline, TraceKeeper};
use blockloom_engine::{Config, SignedBlock};
use blockloom_fixtures::{ImportReport, StageJob};

use super::Arguments;
use crate::{
    output::check_outside_inputs,
    pictures::{chrome, facts::Facts, file::write_file, page, signed_facts},
};

/// What an import keeps for its pictures.
#[derive(Debug)]
pub(super) struct Pictures {
    trace: Option<PathBuf>,
    html: Option<PathBuf>,
    keeper: Arc<TraceKeeper>,
    jobs: Vec<StageJob>,
    facts: Facts,
}

impl Pictures {
    /// The pictures that are asked for, and the configuration of an engine that is observed for them.
    ///
    /// # Errors
    ///
    /// If a file lies inside an input.
    pub(super) fn new(arguments: &Arguments, config: Config) -> Result<(Option<Self>, Config), String> {
        let Arguments { trace, html, import, .. } = arguments;
        if trace.is_none() && html.is_none() {
            return Ok((None, config));
        }
        for (option, path) in [("--trace", trace), ("--html", html)] {
            path.as_ref().map_or(Ok(()), |path| check_outside_inputs(option, path, import))?;
        }
        let keeper = Arc::new(TraceKeeper::default());
        let config = Config { observer: Some(keeper.clone()), ..config };
        let (trace, html) = (trace.clone(), html.clone());
        Ok((Some(Self { trace, html, keeper, jobs: Vec::new(), facts: Facts::new() }), config))
    }

    /// Keeps what is known of a block's transactions.
    pub(super) fn read(&mut self, block: &SignedBlock) {
        if self.facts.len() < TraceKeeper::MOST_EVENTS {
            signed_facts::add(&mut self.facts, block);
        }
    }

    /// Keeps what the threads did for a file.
    pub(super) fn imported(&mut self, report: ImportReport) {
        let room = StageJob::MOST.saturating_sub(self.jobs.len());
        self.jobs.extend(report.jobs.into_iter().take(room));
    }

    /// Writes the files.
    ///
    /// # Errors
    ///
    /// If one cannot be written.
    pub(super) fn write(self, summary: &[String]) -> Result<(), String> {
        let Self { trace, html, keeper, jobs, facts } = self;
        let timeline = Timeline::of(&keeper.take(), &jobs);
        if let Some(path) = trace {
            write_file(&path, |output: &mut dyn Write| chrome::write(output, &timeline, &facts))?;
        }
        if let Some(path) = html {
            let write =
                |output: &mut dyn Write| page::write_stream(output, "Import", summary, &timeline, &facts);
            write_file(&path, write)?;
        }
        Ok(())
    }
}
