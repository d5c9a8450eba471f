//! Access lists (EIP-7928) that are wrong in one or a few things, given with blocks.
//!
//! As a hint a wrong list changes nothing; as a claim it has the block refused, for a reason that is
//! true. The blocks are hostile ones, and some of the suite of access lists, if it is there. The
//! variable `BLOCKLOOM_MUTATIONS` says how many lists are tried.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, env, ops::ControlFlow, path::Path, time::Duration};

use alloy_consensus::Header;
use alloy_eips::eip7928::{AccountChanges, BlockAccessList, ITEM_COST, compute_block_access_list_hash};
use alloy_primitives::{U256, keccak256};
use blockloom_engine::{
    Block, BlockError, Engine, GivenList, Invalid, ListError, Outcome, Reason, Step, decode_list,
};
use blockloom_fixtures::{BlockReport, Executor, Harness, Sources, check, read};
use blockloom_fuzz::{
    FORKS, HostileBlock, difference, engine_on, engines, hostile_block_of, kept_waiting, mutated,
    suites::Suites,
};
use blockloom_state::{ListItem, ListValue, MemoryStore, Parting};

/// The variable that says how many lists are tried, and how many are by default.
const VARIABLE: &str = "BLOCKLOOM_MUTATIONS";
const BY_DEFAULT: u64 = 4_000;

/// How many mutations of one list are tried before the next block.
const PER_BLOCK: u64 = 16;
/// Among how many blocks one is of the suite.
const ONE_REAL_IN: u64 = 4;
/// From how many of the suite's files blocks are taken, and from each how many.
const REAL_FILES: usize = 40;
const REAL_PER_FILE: usize = 2;

/// What comes of a list whose block is invalid without it.
const ANYWAY: &str = "the block is invalid anyway";

/// How long a hinted block is kept waiting after each step.
const PAUSE: Duration = Duration::from_micros(10);

/// How much of the hinted blocks was run ahead of the gate.
#[derive(Debug, Default)]
struct Ahead {
    transactions: u64,
    committed: u64,
    stale: u64,
}

/// A block, what comes of it without any list, and the list of all that could be executed.
struct Subject {
    base: MemoryStore,
    block: Block,
    expected: Result<Outcome, BlockError>,
    list: BlockAccessList,
}

impl Subject {
    fn new(sequential: &Engine, base: MemoryStore, block: Block) -> Self {
        let expected = sequential.execute(&base, &block);
        let list = match &expected {
            Ok(outcome) => listed(outcome),
            // The transactions before the one that is refused are a block of their own.
            Err(error) => {
                let mut sound = block.clone();
                sound.transactions.truncate(refused(error).unwrap_or_default());
                sequential.execute(&base, &sound).map_or_else(|_| Vec::new(), |outcome| listed(&outcome))
            }
        };
        Self { base, block, expected, list }
    }

    fn hostile(sequential: &Engine, number: u64) -> Self {
        let chunks = 6 + number as usize % 24;
        let HostileBlock { base, block, .. } = hostile_block_of(&FORKS, &bytes("block", number, chunks * 64));
        Self::new(sequential, base, block)
    }

    /// A list is given as a hint: nothing else comes of the block. The blocks are so small that others
    /// get ahead of the gate only if it is kept waiting.
    fn check_hint(&self, engine: &Engine, list: BlockAccessList, ahead: &mut Ahead) -> Result<(), String> {
        let Ok(block) = self.block.clone().with_hint(list) else { return Ok(()) };
        let found = kept_waiting(engine, &self.base, &block, PAUSE);
        if let Ok(outcome) = &found {
            ahead.transactions += block.transactions.len() as u64;
            ahead.committed += outcome.statistics.committed;
            ahead.stale += outcome.statistics.stale.total();
        }
        difference(&self.expected, &found).map_or(Ok(()), |text| Err(format!("hinted: {text}")))
    }

    /// A list is given as the one that the header commits to, and so it does: unless it is what
    /// execution yields, the block is refused. Whoever executes says the same.
    fn check_claim(&self, engines: [&Engine; 2], list: &BlockAccessList) -> Result<&'static str, String> {
        let header = Header {
            gas_limit: self.block.env.gas_limit,
            block_access_list_hash: Some(compute_block_access_list_hash(list)),
            ..Header::default()
        };
        let block = match self.block.clone().with_claim(&header, list.clone()) {
            Ok(block) => block,
            // A transaction that asks for more than the block has explains a list that is too long.
            Err(Invalid::Transaction { .. }) if self.expected.is_err() => return Ok(ANYWAY),
            Err(invalid) => return self.cause(list, &invalid),
        };
        let [first, second] = engines.map(|engine| engine.execute(&self.base, &block));
        if let Some(text) = difference(&first, &second) {
            return Err(format!("claimed: {text}"));
        }
        match &first {
            Err(BlockError { reason: Reason::Invalid(invalid @ Invalid::List(_)), .. }) => {
                self.cause(list, invalid)
            }
            // Whatever comes out but for the list is what comes out without one.
            other => match difference(&self.expected, other) {
                Some(text) => Err(format!("claimed: {text}")),
                None if first.is_err() => Ok(ANYWAY),
                None if *list == self.list => Ok("nothing is wrong"),
                None => Err("a list is accepted that execution does not yield".to_owned()),
            },
        }
    }

    /// What a refused list is refused for, if it is true.
    fn cause(&self, list: &BlockAccessList, invalid: &Invalid) -> Result<&'static str, String> {
        let Invalid::List(error) = invalid else {
            return Err(format!("refused before execution: {invalid}"));
        };
        let items = list
            .iter()
            .map(|account| 1 + account.storage_changes.len() as u64 + account.storage_reads.len() as u64);
        let most = self.block.env.gas_limit / ITEM_COST as u64;
        let cause = match error {
            ListError::Form(_) => (list != &self.list, "malformed"),
            ListError::Items { limit, found } => {
                (*limit == most && *found == items.sum::<u64>() && found > limit, "too long")
            }
            ListError::Unjustified { reads, gas, .. } => (
                reads.saturating_mul(ITEM_COST as u64) > *gas && *gas <= self.block.env.gas_limit,
                "not justified",
            ),
            ListError::Parts { first, count } => {
                (*count > 0 && self.parts(list, first), "other than execution")
            }
            ListError::Encoding(_) | ListError::Hash { .. } => (false, ""),
        };
        if cause.0 { Ok(cause.1) } else { Err(format!("refused for what is not so: {error}")) }
    }

    /// Whether list and execution really part there, and say what they are said to say.
    fn parts(&self, list: &BlockAccessList, parting: &Parting) -> bool {
        let actual = self.expected.as_ref().unwrap().access_list.as_ref().unwrap();
        let (declared, actual) = (said(list, parting), said(actual, parting));
        declared != actual && declared == parting.declared && actual == parting.actual
    }
}

fn listed(outcome: &Outcome) -> BlockAccessList {
    outcome.access_list.clone().expect("all engines list")
}

/// The position of the transaction for which a block is refused.
fn refused(error: &BlockError) -> Option<usize> {
    match &error.reason {
        Reason::Invalid(Invalid::Transaction { index, .. }) => Some(index.get()),
        _ => None,
    }
}

/// What a list says of that of which a parting tells.
fn said(list: &[AccountChanges], parting: &Parting) -> Option<ListValue> {
    let account = list.iter().find(|account| account.address == parting.address)?;
    let number = ListValue::Number;
    if let ListItem::Account = parting.item {
        return parting.index.is_none().then_some(ListValue::Accessed);
    }
    if let ListItem::Read(key) = parting.item {
        let is_read = parting.index.is_none() && account.storage_reads.contains(&key);
        return is_read.then_some(ListValue::Accessed);
    }
    let at = parting.index?;
    match parting.item {
        ListItem::Account | ListItem::Read(_) => None,
        ListItem::Balance => account
            .balance_changes
            .iter()
            .find_map(|change| (change.block_access_index == at).then(|| number(change.post_balance))),
        ListItem::Nonce => account.nonce_changes.iter().find_map(|change| {
            (change.block_access_index == at).then(|| number(U256::from(change.new_nonce)))
        }),
        ListItem::Code => account.code_changes.iter().find_map(|change| {
            (change.block_access_index == at).then(|| ListValue::Code(change.new_code.clone()))
        }),
        ListItem::Slot(key) => account
            .storage_changes
            .iter()
            .filter(|slot| slot.slot == key)
            .flat_map(|slot| &slot.changes)
            .find_map(|change| (change.block_access_index == at).then(|| number(change.new_value))),
    }
}

/// Bytes that look as if chance had chosen them; the same for the same number.
fn bytes(what: &str, number: u64, length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(32)).flat_map(|word| keccak256(format!("{what} {number} {word}")).0);
    words.take(length).collect()
}

/// Keeps the valid blocks of the suite that it is shown.
struct Collector<'e> {
    sequential: &'e Engine,
    subjects: Vec<Subject>,
    left: usize,
}

impl Executor for Collector<'_> {
    fn execute(
        &mut self,
        base: &MemoryStore,
        block: &Block,
        on_step: Option<&mut dyn FnMut(Step<'_>)>,
    ) -> Result<Outcome, BlockError> {
        if let (GivenList::Claim(_), Some(left)) = (&block.list, self.left.checked_sub(1)) {
            self.left = left;
            let block = Block { list: GivenList::Nothing, ..block.clone() };
            self.subjects.push(Subject::new(self.sequential, base.clone(), block));
        }
        Executor::execute(&mut self.sequential.clone(), base, block, on_step)
    }
}

impl Harness for Collector<'_> {
    fn report(&mut self, _report: BlockReport) -> ControlFlow<()> {
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn left_out(&mut self, _case: &str, _reason: &str) {}
}

/// Some blocks with lists that others made.
fn real_subjects(sequential: &Engine, suite: &Path) -> Vec<Subject> {
    let sources: Vec<_> = Sources::new([suite]).map(Result::unwrap).collect();
    let mut collector = Collector { sequential, subjects: Vec::new(), left: 0 };
    for source in sources.iter().step_by(sources.len().div_ceil(REAL_FILES)) {
        collector.left = REAL_PER_FILE;
        for case in &read(source).unwrap().cases {
            if check(case, &mut collector).is_break() {
                break;
            }
        }
    }
    collector.subjects
}

/// Tries one mutation of a subject's list in every way, and says what came of it.
fn try_mutation(
    subject: &Subject,
    number: u64,
    sequential: &Engine,
    parallel: &[Engine],
    ahead: &mut Ahead,
) -> Result<&'static str, String> {
    let encoded = mutated(&subject.list, &bytes("mutation", number, 64));
    let Ok(list) = decode_list(&encoded) else { return Ok("not decoded") };
    if alloy_rlp::encode(&list) != encoded {
        return Err("one list has two encodings".to_owned());
    }
    let engine = &parallel[number as usize % parallel.len()];
    subject.check_hint(engine, list.clone(), ahead)?;
    subject.check_claim([sequential, engine], &list)
}

#[test]
fn a_wrong_list_never_has_a_wrong_outcome() {
    let mutations = env::var(VARIABLE).map_or(BY_DEFAULT, |text| text.parse().expect("a number of lists"));
    let (sequential, parallel) = (engine_on(1), engines());
    let suite = Suites::find().unwrap().suite("eest-access-lists");
    let real = suite.map_or_else(Vec::new, |suite| real_subjects(&sequential, &suite));
    let (mut causes, mut ahead) = (BTreeMap::<_, u64>::new(), Ahead::default());
    for number in 0..mutations / PER_BLOCK {
        let hostile;
        let place = (number / ONE_REAL_IN) as usize % real.len().max(1);
        let subject = match real.get(place).filter(|_| number % ONE_REAL_IN == 0) {
            Some(real) => real,
            None => {
                hostile = Subject::hostile(&sequential, number);
                &hostile
            }
        };
        for mutation in number * PER_BLOCK..(number + 1) * PER_BLOCK {
            let cause = try_mutation(subject, mutation, &sequential, &parallel, &mut ahead);
            let cause = cause.unwrap_or_else(|text| panic!("block {number}, mutation {mutation}: {text}"));
            *causes.entry(cause).or_default() += 1;
        }
    }
    println!("{mutations} lists, {} real blocks: {causes:?}, {ahead:?}", real.len());
    assert!(ahead.committed > ahead.transactions / 4 && ahead.stale > 0, "nobody ran ahead: {ahead:?}");
    for cause in ["not decoded", "malformed", "too long", "not justified", "other than execution"] {
        assert!(causes.contains_key(cause), "no list is {cause}");
    }
}
