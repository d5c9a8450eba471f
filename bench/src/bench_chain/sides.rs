//! The imports of a round: all stages at once, block by block, and with one thread.

use std::{
    error::Error,
    fs, io,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use blockloom_bench::{cpu_time::used, times::Times};
use blockloom_engine::{ChainSpec, Config, Engine};
use blockloom_fixtures::{
    BlockSender, DiskChain, ImportProgress, ImportReport, Importer, LongChain, Stage, StageTimes, WireBlock,
};
use blockloom_state::{DiskConfig, DiskStore};
use rustix::time::ClockId;

use crate::{
    chain::{
        import::{ImportFailure, decode},
        opening::create,
    },
    interrupt::is_interrupted,
};

/// The number of blocks that are written to disk together, as by default in `chain`.
const BLOCKS_PER_WRITE: u64 = 16;

/// The time of an import, and the processor time of the process meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// The costs of an import in each round.
#[derive(Debug, Default)]
pub(super) struct Costs(Vec<Cost>);

impl Costs {
    pub(super) fn rounds(&self) -> usize {
        self.0.len()
    }

    /// The median of each.
    pub(super) fn median(&self) -> Cost {
        let median = |time: fn(&Cost) -> Duration| median(self.0.iter().map(time));
        Cost { wall: median(|cost| cost.wall), cpu: median(|cost| cost.cpu) }
    }
}

/// The times of the stages in each round.
#[derive(Debug, Default)]
pub(super) struct StageRounds(Vec<StageTimes>);

impl StageRounds {
    /// The median time that a stage was busy.
    pub(super) fn busy(&self, stage: Stage) -> Duration {
        median(self.0.iter().map(|times| times.busy(stage)))
    }
}

/// The imports with all stages at work at once.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) cost: Costs,
    pub(super) stages: StageRounds,
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    Times::from(times.collect::<Vec<_>>()).median()
}

/// The imports of one chain, and what they cost.
pub(super) struct Sides<'f> {
    file: &'f LongChain,
    spec: ChainSpec,
    /// The store of the genesis.
    genesis: PathBuf,
    /// The store of one import.
    copy: PathBuf,
    importer: Importer,
    single_threaded: Importer,
    engine: Engine,
    pub(super) blocks: u64,
    pub(super) transactions: usize,
    pub(super) gas: u64,
    pub(super) streams: Streams,
    /// Block by block.
    pub(super) singles: Costs,
    /// The stages with one thread.
    pub(super) alone: StageRounds,
}

/// Imports the chain on one side.
type Side<'f> = fn(&mut Sides<'f>) -> Result<(), Box<dyn Error>>;

fn config() -> DiskConfig {
    let blocks_per_write = BLOCKS_PER_WRITE.try_into().expect("it is not zero");
    DiskConfig { blocks_per_write, ..DiskConfig::default() }
}

impl<'f> Sides<'f> {
    /// Stores the genesis of a file below the folder `scratch`. `None` after an interrupt.
    pub(super) fn new(
        file: &'f LongChain,
        scratch: &Path,
        threads: NonZeroUsize,
    ) -> Result<Option<Self>, Box<dyn Error>> {
        let (genesis, copy) = (scratch.join("genesis"), scratch.join("copy"));
        let Some((chain, outline)) = create(file, &genesis, config())? else { return Ok(None) };
        let spec = chain.spec().clone();
        drop(chain);
        let with = |threads: usize| Config::with_threads(threads);
        Ok(Some(Self {
            file,
            spec,
            genesis,
            copy,
            importer: Importer::new(with(threads.get()))?,
            single_threaded: Importer::new(with(1))?,
            engine: Engine::new(with(threads.get())),
            blocks: outline.blocks,
            transactions: 0,
            gas: 0,
            streams: Streams::default(),
            singles: Costs::default(),
            alone: StageRounds::default(),
        }))
    }

    /// Imports the chain once on each side, and the other way round in every other round. Nothing is kept of a round
    /// that is interrupted.
    pub(super) fn round(&mut self, round: usize) -> Result<(), Box<dyn Error>> {
        let mut sides: [Side<'f>; 3] = [Self::stream, Self::one_by_one, Self::stage_by_stage];
        if round % 2 == 1 {
            sides.reverse();
        }
        sides.into_iter().try_for_each(|side| if is_interrupted() { Ok(()) } else { side(self) })
    }

    fn stream(&mut self) -> Result<(), Box<dyn Error>> {
        let mut chain = self.begin()?;
        let (mut transactions, mut gas) = (0, 0);
        let (report, cost) = measured(|| {
            let count = |progress: ImportProgress<'_>| {
                transactions += progress.summary.transactions;
                gas += progress.summary.gas_used;
            };
            import_all(&mut chain, self.file, &self.importer, count)
        });
        (self.transactions, self.gas) = (transactions, gas);
        self.streams.cost.0.push(cost);
        self.streams.stages.0.push(report?.times);
        Ok(())
    }

    fn one_by_one(&mut self) -> Result<(), Box<dyn Error>> {
        let mut chain = self.begin()?;
        let (result, cost) = measured(|| import_one_by_one(&mut chain, self.file, &self.engine));
        result?;
        self.singles.0.push(cost);
        Ok(())
    }

    fn stage_by_stage(&mut self) -> Result<(), Box<dyn Error>> {
        let mut chain = self.begin()?;
        let report = import_all(&mut chain, self.file, &self.single_threaded, |_| ())?;
        self.alone.0.push(report.times);
        Ok(())
    }

    /// Opens a fresh copy of the genesis.
    fn begin(&self) -> Result<DiskChain, Box<dyn Error>> {
        let failure = |error: io::Error| format!("{}: {error}", self.copy.display());
        if self.copy.exists() {
            fs::remove_dir_all(&self.copy).map_err(failure)?;
        }
        copy_folder(&self.genesis, &self.copy).map_err(failure)?;
        Ok(DiskChain::open(DiskStore::open(&self.copy, config())?, self.spec.clone())?)
    }
}

/// Does some work and returns what it cost.
fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (since, cpu) = (Instant::now(), used(ClockId::ProcessCPUTime));
    let result = work();
    (result, Cost { wall: since.elapsed(), cpu: used(ClockId::ProcessCPUTime) - cpu })
}

/// Whether a block is imported: one that is invalid on purpose is left out.
fn is_valid(block: &WireBlock) -> bool {
    block.expect.is_none()
}

fn import_all(
    chain: &mut DiskChain,
    file: &LongChain,
    importer: &Importer,
    mut count: impl FnMut(ImportProgress<'_>) + Send,
) -> Result<ImportReport, ImportFailure> {
    let mut undecodable = None;
    let read = |sender: &mut BlockSender<'_, '_, '_>| {
        file.blocks(|block| match is_valid(&block).then(|| decode(file.path(), &block)).transpose() {
            _ if is_interrupted() => ControlFlow::Break(()),
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(signed)) => sender.send(block.rlp, signed, block.access_list).map_continue(drop),
            Err(error) => {
                undecodable = Some(error);
                ControlFlow::Break(())
            }
        })
    };
    let on_block = |progress: ImportProgress<'_>| {
        count(progress);
        ControlFlow::Continue(())
    };
    let (read, report, imported) = chain.import_all(importer, read, on_block);
    let failure = |error| ImportFailure::of(file.path(), error);
    imported.map_err(failure)?;
    undecodable.map_or(Ok(()), Err)?;
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = read?;
    chain.flush().map_err(failure)?;
    Ok(report)
}

fn import_one_by_one(chain: &mut DiskChain, file: &LongChain, engine: &Engine) -> Result<(), ImportFailure> {
    let failure = |error| ImportFailure::of(file.path(), error);
    let mut result = Ok(());
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = file.blocks(|block| {
        if is_valid(&block) {
            let signed = decode(file.path(), &block);
            let import = |signed| chain.import(signed, block.access_list, engine).map_err(failure);
            result = signed.and_then(import).map(drop);
        }
        if result.is_err() || is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    result?;
    chain.flush().map_err(failure)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
