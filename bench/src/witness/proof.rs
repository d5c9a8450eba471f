//! Executes the block in a folder with its witness and nothing else, and verifies the result.

use std::{error::Error, ops::ControlFlow, path::Path};

use blockloom_engine::{Block, BlockError, CommittedStep, Engine, Outcome};
use blockloom_fixtures::{
    BlockReport, Case, CaseBase, CheckError, Compared, Executor, FixtureError, Harness, Source, check, read,
};

use super::BlockFailure;

/// Executes the block in `folder` and compares everything that its header says.
pub(super) fn prove(folder: &Path, engine: &Engine) -> Result<(), Box<dyn Error>> {
    let mut proof = Proof { engine, failure: None, proven: 0 };
    for case in read(&Source::Folder(folder.to_owned()))?.cases {
        let Case::Block(case) = case else { continue };
        let number = case.header.number;
        let _ = check(&Case::Block(case), &mut proof);
        if let Some(error) = proof.failure.take() {
            return Err(
                BlockFailure(format!("block {number}: its witness does not prove it: {error}")).into()
            );
        }
    }
    assert_eq!(proof.proven, 1, "a folder has one block");
    Ok(())
}

struct Proof<'e> {
    engine: &'e Engine,
    failure: Option<CheckError>,
    proven: usize,
}

impl Executor for Proof<'_> {
    fn execute(
        &mut self,
        base: CaseBase<'_>,
        block: &Block,
        on_step: Option<&mut dyn FnMut(CommittedStep<'_>)>,
    ) -> Result<Outcome, BlockError> {
        assert!(base.known().is_none(), "there is nothing but the witness");
        Executor::execute(&mut self.engine.clone(), base, block, on_step)
    }
}

impl Harness for Proof<'_> {
    fn report(&mut self, report: BlockReport) -> ControlFlow<()> {
        self.proven += usize::from(report.compared == Compared::Everything);
        self.failure = report.result.err();
        ControlFlow::Continue(())
    }

    fn left_out(&mut self, _case: &str, _reason: &str) {}

    fn unusable(&mut self, error: FixtureError) -> ControlFlow<()> {
        unreachable!("a folder is read before it is checked: {error}")
    }
}
