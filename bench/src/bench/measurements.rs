//! Measures the blocks of fixtures.

use std::{io, ops::ControlFlow};

use blockloom_engine::{Block, BlockError, CommittedStep, Config, Engine, Outcome};
use blockloom_fixtures::{BlockReport, CaseBase, Executor, FixtureError, Harness};

use super::BenchRun;
use crate::{
    chain_option::print_contradictions,
    failure::Verdict,
    interrupt::is_interrupted,
    ratios::BenchSums,
    row::{Method, Row},
    terminal::{print_detail, print_message},
};

/// Measures the blocks of fixtures one after the other.
pub(super) struct BlockMeasurements<'s, 'a> {
    pub(super) session: &'s mut BenchRun<'a>,
    /// The path of the fixtures.
    pub(super) place: String,
    pub(super) method: Method,
    pub(super) sums: BenchSums,
    /// The row of the last block.
    pub(super) row: Option<Row>,
    pub(super) error: Option<io::Error>,
}

impl Executor for BlockMeasurements<'_, '_> {
    fn execute(
        &mut self,
        base: CaseBase<'_>,
        block: &Block,
        on_step: Option<&mut dyn FnMut(CommittedStep<'_>)>,
    ) -> Result<Outcome, BlockError> {
        let is_measured = block.transactions.len() >= self.session.arguments.min_txs.max(1);
        if !is_measured || on_step.is_some() {
            let outcome = Executor::execute(&mut Engine::new(Config::sequential()), base, block, on_step)?;
            if !is_measured {
                return Ok(outcome);
            }
        }
        let (outcome, row) = self.method.measure(base, block)?;
        self.row = Some(row);
        Ok(outcome)
    }
}

impl Harness for BlockMeasurements<'_, '_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        let name = format!("{}, block {}", report.case, report.number);
        let row = self.row.take();
        print_contradictions(&self.place, &report.case, &report.notes);
        if let Err(error) = &report.result {
            match Verdict::of(error) {
                Verdict::Failed => self.session.fail(&name, &error.to_string()),
                Verdict::Unknown => self.session.leave_open(&name, &error.to_string()),
            }
        } else if let Some(row) = row {
            let limit = row.limits.as_ref().map_or(f64::NAN, |limits| limits.at_threads);
            self.sums.add_block(&row.comparison, limit, || name.clone());
            self.session.charts.rows.extend(row.chart_row(format!("block {}", report.number), row.gas()));
            if let Err(error) = self.session.write_row(&row, &name, None) {
                self.error = Some(error);
                return ControlFlow::Break(());
            }
        }
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn left_out(&mut self, case: &str, reason: &str) {
        print_detail(|| format!("left out: {case}: {reason}"));
    }

    fn unusable(&mut self, error: FixtureError) -> ControlFlow<()> {
        self.session.counts.unusable += 1;
        print_message(&format!("unusable: {error}"));
        ControlFlow::Continue(())
    }
}
