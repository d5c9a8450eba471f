//! One block, executed again and again: sequentially, then with several thread counts on a base
//! whose answers take an unpredictable time. All must agree.

use std::{hint, ops::ControlFlow, sync::LazyLock, thread};

use alloy_primitives::{Address, B256, U256};
use blockloom_engine::{Block, BlockError, Config, Engine, Outcome, Place, Receipt, Step};
use blockloom_state::{Changes, MemoryStore, MissingCode};
use revm::{
    DatabaseRef,
    state::{AccountInfo, Bytecode},
};

/// How often each thread count executes a block; in every other round a callback is told of each step.
const ROUNDS: u64 = 4;

/// The engines keep their threads and memories from block to block, as a client's would.
static ENGINES: LazyLock<[Engine; 3]> =
    LazyLock::new(|| [2, 3, 8].map(|threads| Engine::new(Config::with_threads(threads))));

/// What a block came to, and the steps that led there.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) result: Result<Outcome, BlockError>,
    pub(crate) steps: Vec<Told>,
}

/// A step as a callback was told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) place: Place,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) changes: Changes,
}

/// Executes a block in every way there is and returns what all of them say.
pub(crate) fn agree(base: &MemoryStore, block: &Block) -> Reference {
    let sequential = Engine::new(Config::sequential());
    let reference = told(&sequential, base, block);
    compare("one thread, nobody told", &reference.result, &sequential.execute(base, block));
    for engine in ENGINES.iter() {
        for round in 0..ROUNDS {
            let name = format!("{} threads, round {round}", engine.threads());
            let shuffled = Shuffled { base, seed: round << 8 | engine.threads() as u64 };
            if round % 2 == 0 {
                compare(&name, &reference.result, &engine.execute(&shuffled, block));
            } else {
                let found = told(engine, &shuffled, block);
                compare_steps(&name, &reference.steps, &found.steps);
                compare(&name, &reference.result, &found.result);
            }
        }
    }
    reference
}

fn told<B: blockloom_state::Base>(engine: &Engine, base: &B, block: &Block) -> Reference {
    let mut steps = Vec::new();
    let result = engine.execute_with(base, block, |Step { place, receipt, changes, .. }| {
        steps.push(Told { place, receipt: receipt.cloned(), changes });
        ControlFlow::Continue(())
    });
    Reference { result, steps }
}

fn compare(name: &str, expected: &Result<Outcome, BlockError>, found: &Result<Outcome, BlockError>) {
    match (expected, found) {
        (Ok(expected), Ok(found)) => {
            let differing =
                expected.receipts.iter().zip(&found.receipts).position(|(ours, theirs)| ours != theirs);
            let difference = expected.changes.first_difference(&found.changes);
            assert_eq!(
                difference, None,
                "{name}: the changes differ; the first differing receipt: {differing:?}"
            );
            assert_eq!(differing, None, "{name}: the first differing receipt");
            assert!(expected == found, "{name}: expected {expected:?}, found {found:?}");
        }
        (Err(expected), Err(found)) => {
            assert_eq!(expected.to_string(), found.to_string(), "{name}");
            assert_eq!(format!("{expected:?}"), format!("{found:?}"), "{name}");
        }
        (Ok(_), Err(error)) => panic!("{name}: sequential execution finds no such error: {error}"),
        (Err(error), Ok(_)) => panic!("{name}: missed what sequential execution finds: {error}"),
    }
}

fn compare_steps(name: &str, expected: &[Told], found: &[Told]) {
    for (expected, found) in expected.iter().zip(found) {
        let place = expected.place;
        assert_eq!(place, found.place, "{name}");
        assert_eq!(expected.receipt, found.receipt, "{name}: {place}");
        let difference = expected.changes.first_difference(&found.changes);
        assert_eq!(difference, None, "{name}: {place}: the changes differ");
        assert!(expected == found, "{name}: {place}: expected {expected:?}, found {found:?}");
    }
    assert_eq!(expected.len(), found.len(), "{name}: the number of steps");
}

/// A base whose answers take a while: how long depends on the seed and on what is asked.
struct Shuffled<'a> {
    base: &'a MemoryStore,
    seed: u64,
}

impl Shuffled<'_> {
    /// Spins or yields. Nobody sleeps: a block must not take a millisecond more for it.
    fn dawdle(&self, location: &[u8]) {
        let mixed = location.iter().fold(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |mixed, byte| {
            (mixed ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
        });
        match mixed % 8 {
            0 => thread::yield_now(),
            1 | 2 => (0..(mixed >> 8) % 400).for_each(|_| hint::spin_loop()),
            _ => {}
        }
    }
}

impl DatabaseRef for Shuffled<'_> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        self.dawdle(address.as_slice());
        self.base.basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, MissingCode> {
        self.dawdle(code_hash.as_slice());
        self.base.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, MissingCode> {
        self.dawdle(&[address.as_slice(), &index.to_be_bytes::<32>()].concat());
        self.base.storage_ref(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        self.dawdle(&number.to_be_bytes());
        self.base.block_hash_ref(number)
    }
}
