//! Executes blocks with wrong access lists (EIP-7928).
//!
//! As a hint a wrong list changes nothing. As a claim it makes the block invalid, for a true reason.
//! The blocks are hostile ones and, if the suite of access lists exists, some of its blocks. The
//! variable `BLOCKLOOM_MUTATIONS` sets the number of lists.

use std::{collections::BTreeMap, env, ops::ControlFlow, path::Path, time::Duration};

use alloy_consensus::Header;
use alloy_eips::eip7928::{AccountChanges, BlockAccessList, ITEM_COST, compute_block_access_list_hash};
use alloy_primitives::{U256, keccak256};
use blockloom_engine::{
    Block, BlockError, CommittedStep, Engine, GivenList, Invalid, ListError, Outcome, Reason, decode_list,
};
use blockloom_fixtures::{BlockReport, CaseBase, Executor, FixtureError, Harness, Sources, check, read};
use blockloom_fuzz::{
    FORKS, HostileBlock, difference, engine_on, engines, execute_with_delayed_commits, hostile_block_of,
    mutated, suites::Suites,
};
use blockloom_state::{ListDifference, ListItem, ListValue, MemoryStore};

/// The variable with the number of lists, and its default.
const VARIABLE: &str = "BLOCKLOOM_MUTATIONS";
const DEFAULT_COUNT: u64 = 4_000;

/// How many mutations of one list are tried before the next block.
const PER_BLOCK: u64 = 16;
/// One block in this many comes from the suite.
const SUITE_BLOCK_INTERVAL: u64 = 4;
/// How many files of the suite are used, and how many blocks of each.
const SUITE_FILES: usize = 40;
const BLOCKS_PER_SUITE_FILE: usize = 2;

/// The result for a list of a block that is invalid without it.
const INVALID_ANYWAY: &str = "the block is invalid without the list";

/// The pause after each step of a block with a hint.
const PAUSE: Duration = Duration::from_micros(10);

/// The speculative runs of blocks with a hint.
#[derive(Debug, Default)]
struct SpeculativeRuns {
    transactions: u64,
    committed: u64,
    stale: u64,
}

/// A block, its result without a list, and the list of its valid transactions.
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
            // The transactions before the invalid one form a valid block.
            Err(error) => {
                let mut valid = block.clone();
                valid.transactions.truncate(invalid_position(error).unwrap_or_default());
                sequential.execute(&base, &valid).map_or_else(|_| Vec::new(), |outcome| listed(&outcome))
            }
        };
        Self { base, block, expected, list }
    }

    fn hostile(sequential: &Engine, number: u64) -> Self {
        let chunks = 6 + number as usize % 24;
        let HostileBlock { base, block, .. } = hostile_block_of(&FORKS, &bytes("block", number, chunks * 64));
        Self::new(sequential, base, block)
    }

    /// With the list as a hint, the result is unchanged. The pauses leave time for speculative runs,
    /// because the blocks are small.
    fn check_hint(
        &self,
        engine: &Engine,
        list: BlockAccessList,
        runs: &mut SpeculativeRuns,
    ) -> Result<(), String> {
        let Ok(block) = self.block.clone().with_hint(list) else { return Ok(()) };
        let found = execute_with_delayed_commits(engine, &self.base, &block, PAUSE);
        if let Ok(outcome) = &found {
            runs.transactions += block.transactions.len() as u64;
            runs.committed += outcome.statistics.committed;
            runs.stale += outcome.statistics.stale_at_gate.total();
        }
        difference(&self.expected, &found).map_or(Ok(()), |text| Err(format!("as a hint: {text}")))
    }

    /// With the list as a claim and a header that commits to it, the block is invalid unless the list
    /// is the one that execution yields. Sequential and parallel execution agree.
    fn check_claim(&self, engines: [&Engine; 2], list: &BlockAccessList) -> Result<&'static str, String> {
        let header = Header {
            gas_limit: self.block.env.gas_limit,
            block_access_list_hash: Some(compute_block_access_list_hash(list)),
            ..Header::default()
        };
        let block = match self.block.clone().with_claim(&header, list.clone()) {
            Ok(block) => block,
            // A transaction that asks for more gas than the block has explains a list that is too long.
            Err(Invalid::Transaction { .. }) if self.expected.is_err() => return Ok(INVALID_ANYWAY),
            Err(invalid) => return self.cause(list, &invalid),
        };
        let [first, second] = engines.map(|engine| engine.execute(&self.base, &block));
        if let Some(text) = difference(&first, &second) {
            return Err(format!("as a claim: {text}"));
        }
        match &first {
            Err(BlockError { reason: Reason::Invalid(invalid @ Invalid::List(_)), .. }) => {
                self.cause(list, invalid)
            }
            // The result is that without a list.
            other => match difference(&self.expected, other) {
                Some(text) => Err(format!("as a claim: {text}")),
                None if first.is_err() => Ok(INVALID_ANYWAY),
                None if *list == self.list => Ok("unchanged"),
                None => Err("accepted a list that execution does not yield".to_owned()),
            },
        }
    }

    /// The reason for refusing a list, if it is true.
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
            ListError::Differs { first, count } => {
                (*count > 0 && self.is_difference(list, first), "other than execution")
            }
            _ => (false, ""),
        };
        if cause.0 { Ok(cause.1) } else { Err(format!("refused for a false reason: {error}")) }
    }

    /// Whether list and execution differ at the reported entry, with the reported values.
    fn is_difference(&self, list: &BlockAccessList, reported: &ListDifference) -> bool {
        let actual = self.expected.as_ref().unwrap().access_list.as_ref().unwrap();
        let (declared, actual) = (value_at(list, reported), value_at(actual, reported));
        declared != actual && declared == reported.declared && actual == reported.actual
    }
}

fn listed(outcome: &Outcome) -> BlockAccessList {
    outcome.access_list.clone().expect("all engines build lists")
}

/// The position of the invalid transaction of a block.
fn invalid_position(error: &BlockError) -> Option<usize> {
    match &error.reason {
        Reason::Invalid(Invalid::Transaction { index, .. }) => Some(index.get()),
        _ => None,
    }
}

/// The value in a list at the entry of a difference.
fn value_at(list: &[AccountChanges], reported: &ListDifference) -> Option<ListValue> {
    let account = list.iter().find(|account| account.address == reported.address)?;
    let number = ListValue::Number;
    if let ListItem::Account = reported.item {
        return reported.index.is_none().then_some(ListValue::Accessed);
    }
    if let ListItem::Read(key) = reported.item {
        let is_read = reported.index.is_none() && account.storage_reads.contains(&key);
        return is_read.then_some(ListValue::Accessed);
    }
    let at = reported.index?;
    match reported.item {
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

/// Pseudorandom bytes, the same for the same number.
fn bytes(label: &str, number: u64, length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(32)).flat_map(|word| keccak256(format!("{label} {number} {word}")).0);
    words.take(length).collect()
}

/// Collects blocks of the suite that have access lists.
struct Collector<'e> {
    sequential: &'e Engine,
    subjects: Vec<Subject>,
    left: usize,
}

impl Executor for Collector<'_> {
    fn execute(
        &mut self,
        base: CaseBase<'_>,
        block: &Block,
        on_step: Option<&mut dyn FnMut(CommittedStep<'_>)>,
    ) -> Result<Outcome, BlockError> {
        if let (GivenList::Claim(_), Some(left), Some(known)) =
            (&block.list, self.left.checked_sub(1), base.known())
        {
            self.left = left;
            let block = Block { list: GivenList::Nothing, ..block.clone() };
            self.subjects.push(Subject::new(self.sequential, known.clone(), block));
        }
        Executor::execute(&mut self.sequential.clone(), base, block, on_step)
    }
}

impl Harness for Collector<'_> {
    fn report(&mut self, _report: BlockReport) -> ControlFlow<()> {
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn left_out(&mut self, _case: &str, _reason: &str) {}

    fn unusable(&mut self, error: FixtureError) -> ControlFlow<()> {
        panic!("{error}")
    }
}

/// Some blocks of the suite with their lists.
fn suite_subjects(sequential: &Engine, suite: &Path) -> Vec<Subject> {
    let sources: Vec<_> = Sources::new([suite]).map(Result::unwrap).collect();
    let mut collector = Collector { sequential, subjects: Vec::new(), left: 0 };
    for source in sources.iter().step_by(sources.len().div_ceil(SUITE_FILES)) {
        collector.left = BLOCKS_PER_SUITE_FILE;
        for case in &read(source).unwrap().cases {
            if check(case, &mut collector).is_break() {
                break;
            }
        }
    }
    collector.subjects
}

/// Tests one mutation of a subject's list as a hint and as a claim, and returns the result.
fn try_mutation(
    subject: &Subject,
    number: u64,
    sequential: &Engine,
    parallel: &[Engine],
    runs: &mut SpeculativeRuns,
) -> Result<&'static str, String> {
    let encoded = mutated(&subject.list, &bytes("mutation", number, 64));
    let Ok(list) = decode_list(&encoded) else { return Ok("not decoded") };
    if alloy_rlp::encode(&list) != encoded {
        return Err("one list has two encodings".to_owned());
    }
    let engine = &parallel[number as usize % parallel.len()];
    subject.check_hint(engine, list.clone(), runs)?;
    subject.check_claim([sequential, engine], &list)
}

#[test]
fn a_wrong_list_never_changes_an_outcome() {
    let mutations = env::var(VARIABLE).map_or(DEFAULT_COUNT, |text| text.parse().expect("a number of lists"));
    let (sequential, parallel) = (engine_on(1), engines());
    let suite = Suites::find().unwrap().suite("eest-access-lists");
    let from_suite = suite.map_or_else(Vec::new, |suite| suite_subjects(&sequential, &suite));
    let (mut causes, mut runs) = (BTreeMap::<_, u64>::new(), SpeculativeRuns::default());
    for number in 0..mutations / PER_BLOCK {
        let hostile;
        let place = (number / SUITE_BLOCK_INTERVAL) as usize % from_suite.len().max(1);
        let subject = match from_suite.get(place).filter(|_| number % SUITE_BLOCK_INTERVAL == 0) {
            Some(subject) => subject,
            None => {
                hostile = Subject::hostile(&sequential, number);
                &hostile
            }
        };
        for mutation in number * PER_BLOCK..(number + 1) * PER_BLOCK {
            let cause = try_mutation(subject, mutation, &sequential, &parallel, &mut runs);
            let cause = cause.unwrap_or_else(|text| panic!("block {number}, mutation {mutation}: {text}"));
            *causes.entry(cause).or_default() += 1;
        }
    }
    println!("{mutations} lists, {} blocks of the suite: {causes:?}, {runs:?}", from_suite.len());
    assert!(runs.committed > runs.transactions / 4 && runs.stale > 0, "too few speculative runs: {runs:?}");
    for cause in ["not decoded", "malformed", "too long", "not justified", "other than execution"] {
        assert!(causes.contains_key(cause), "no list is {cause}");
    }
}
