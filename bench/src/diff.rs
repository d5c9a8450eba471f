//! `blockloom diff`: the differences between two access lists (EIP-7928).

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use alloy_eips::eip7928::{AccountChanges, BlockAccessIndex, BlockAccessList, validate_block_access_list};
use alloy_primitives::Address;
use blockloom_fixtures::read_list;
use blockloom_state::{ListDifference, ListItem, ListValue, list_differences};

use crate::{
    ExitStatus,
    input::input_path,
    interrupt,
    output::is_reportable,
    terminal::{is_quiet, print_detail},
};

/// Compare two access lists (EIP-7928).
///
/// Reads RLP, as bytes or as hex digits, and JSON: a list, an object with a `blockAccessList`, or a file of tests
/// in which one block has a list. The format is recognised from the content. The first difference in the
/// order of execution is printed first.
///
/// Exit status: 0 if the lists are equal, 1 if they differ, 2 if one of them cannot be read, 130 if it was
/// interrupted.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The first list.
    #[arg(value_parser = input_path())]
    first: PathBuf,
    /// The second list.
    #[arg(value_parser = input_path())]
    second: PathBuf,
    /// Group the differences by index or by account.
    #[arg(long, value_name = "WHAT", value_enum, default_value = "index")]
    by: Grouping,
    /// Print every difference, not only the first 20.
    #[arg(long)]
    all: bool,
}

/// How differences are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Grouping {
    Index,
    Account,
}

/// The number of differences that are printed without `--all`.
const SHOWN: usize = 20;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    interrupt::ending_at_once(|| compare(arguments))
}

fn compare(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    let [first, second] = [&arguments.first, &arguments.second].map(|path| {
        print_detail(|| format!("reading {}", path.display()));
        read_list(path)
    });
    let (first, second) = (first?, second?);
    let last = last_index(&first).max(last_index(&second));
    let differences = list_differences(&first, &second);
    let comparison = ListComparison { arguments, lists: [first, second], differences, last };
    let written =
        if is_quiet() { Ok(()) } else { comparison.write(&mut BufWriter::new(io::stdout().lock())) };
    match written {
        Err(error) if is_reportable(&error) => Err(error.into()),
        _ if comparison.lists[0] == comparison.lists[1] => Ok(ExitStatus::Verified),
        _ => Ok(ExitStatus::Failed),
    }
}

/// Two lists and their differences.
struct ListComparison<'a> {
    arguments: &'a Arguments,
    lists: [BlockAccessList; 2],
    differences: Vec<ListDifference>,
    /// The last index with a change in either list.
    last: BlockAccessIndex,
}

impl ListComparison<'_> {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let [first, second] = self.names();
        for (name, list) in [&first, &second].into_iter().zip(&self.lists) {
            if let Some(fault) = fault(list) {
                writeln!(output, "{name} is malformed: {fault}")?;
            }
        }
        let Some(difference) = self.differences.first() else {
            let [same, other] = &self.lists;
            let verdict =
                if same == other { "are equal" } else { "have the same content in a different order" };
            return writeln!(output, "{first} and {second} {verdict}");
        };
        let place = self.group(Grouping::Index, difference);
        writeln!(output, "{first} and {second} differ first {place}, account {}:", difference.address)?;
        writeln!(output, "  {}", DifferenceRow(difference))?;
        writeln!(output, "{}: {}", count_of(self.differences.len()), Kinds::of(&self.differences))?;
        writeln!(output, "\nleft of the bar: {first}, right of the bar: {second}")?;
        self.write_groups(output)?;
        output.flush()
    }

    /// Writes the differences, group by group, in the order of the first difference of each group.
    fn write_groups(&self, output: &mut dyn Write) -> io::Result<()> {
        let Arguments { by, all, .. } = *self.arguments;
        let mut groups: Vec<(Group, Vec<&ListDifference>)> = Vec::new();
        let mut places_of = BTreeMap::new();
        for difference in &self.differences {
            let group = self.group(by, difference);
            let place = *places_of.entry(group).or_insert(groups.len());
            if place == groups.len() {
                groups.push((group, Vec::new()));
            }
            groups[place].1.push(difference);
        }
        let mut left = if all { usize::MAX } else { SHOWN };
        for (group, differences) in groups {
            if left == 0 {
                break;
            }
            writeln!(output, "\n{group}")?;
            for difference in differences.iter().take(left) {
                match by {
                    Grouping::Index => {
                        writeln!(output, "  {}  {}", difference.address, DifferenceRow(difference))?;
                    }
                    Grouping::Account => {
                        writeln!(
                            output,
                            "  {}, {}",
                            self.group(Grouping::Index, difference),
                            DifferenceRow(difference)
                        )?;
                    }
                }
            }
            left = left.saturating_sub(differences.len());
        }
        match self.differences.len().saturating_sub(SHOWN) {
            more if more > 0 && !all => writeln!(output, "\n{} more: --all shows them", count_of(more)),
            _ => Ok(()),
        }
    }

    fn group(&self, by: Grouping, difference: &ListDifference) -> Group {
        match (by, difference.index) {
            (Grouping::Account, _) => Group::Account(difference.address),
            (Grouping::Index, None) => Group::Accessed,
            (Grouping::Index, Some(index)) if index == self.last => Group::Last(index.0),
            (Grouping::Index, Some(index)) => Group::Index(index.0),
        }
    }

    /// The names of the lists: their paths.
    fn names(&self) -> [String; 2] {
        [&self.arguments.first, &self.arguments.second].map(|path| path.display().to_string())
    }
}

/// The last index with a change.
fn last_index(list: &[AccountChanges]) -> BlockAccessIndex {
    let of_account = |account: &AccountChanges| {
        let balances = account.balance_changes.iter().map(|change| change.block_access_index);
        let nonces = account.nonce_changes.iter().map(|change| change.block_access_index);
        let codes = account.code_changes.iter().map(|change| change.block_access_index);
        let slots = account.storage_changes.iter().flat_map(|slot| &slot.changes);
        let slots = slots.map(|change| change.block_access_index);
        balances.chain(nonces).chain(codes).chain(slots).max()
    };
    list.iter().filter_map(of_account).max().unwrap_or_default()
}

/// A wrong order or a duplicate in a list. The number of transactions in its block is not known.
fn fault(list: &[AccountChanges]) -> Option<String> {
    const MOST: usize = u32::MAX as usize - 1;
    validate_block_access_list(list, MOST).err().map(|fault| fault.to_string())
}

/// A group of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// At an index.
    Index(u64),
    /// At the last index of both lists: that of a transaction, or of the end of the block.
    Last(u64),
    /// Accessed, but not changed.
    Accessed,
    /// Of an account.
    Account(Address),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(0) | Self::Last(0) => f.write_str("at index 0 (before the transactions)"),
            Self::Index(index) => write!(f, "at index {index} (transaction {})", index - 1),
            Self::Last(index) => {
                write!(f, "at index {index} (transaction {}, or after the last one)", index - 1)
            }
            Self::Accessed => f.write_str("at no index (only accessed)"),
            Self::Account(address) => write!(f, "account {address}"),
        }
    }
}

/// One difference: the value in the first and in the second list.
struct DifferenceRow<'d>(&'d ListDifference);

impl fmt::Display for DifferenceRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListDifference { item, declared, actual, .. } = self.0;
        let text = |value: &Option<ListValue>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ListValue::to_string)
        };
        write!(f, "{item}: {} | {}", text(declared), text(actual))?;
        let is_amount = matches!(item, ListItem::Balance | ListItem::Nonce);
        match (declared, actual) {
            (Some(ListValue::Number(left)), Some(ListValue::Number(right))) if is_amount => {
                let (sign, by) = if right > left { ('+', right - left) } else { ('-', left - right) };
                write!(f, " ({sign}{by})")
            }
            _ => Ok(()),
        }
    }
}

/// The number of differences of each kind.
#[derive(Default)]
struct Kinds(BTreeMap<&'static str, usize>);

impl Kinds {
    fn of(differences: &[ListDifference]) -> Self {
        let mut kinds = Self::default();
        for difference in differences {
            let kind = match difference.item {
                ListItem::Account => "accounts in one list only",
                ListItem::Balance => "balances",
                ListItem::Nonce => "nonces",
                ListItem::Code => "codes",
                ListItem::Slot(_) => "slots",
                ListItem::Read(_) => "unchanged slots",
            };
            *kinds.0.entry(kind).or_default() += 1;
        }
        kinds
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}

fn count_of(count: usize) -> String {
    if count == 1 { "1 difference".to_owned() } else { format!("{count} differences") }
}
