//! `blockloom diff`: where two access lists (EIP-7928) part.

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
use blockloom_state::{ListItem, ListValue, Parting, partings};

use crate::{Status, report::is_worth_a_word};

/// Tell two access lists (EIP-7928) apart.
///
/// Reads RLP, as bytes or as hex digits, and JSON: a list, an object that holds one as `blockAccessList`, or a
/// file of tests in which one block comes with a list; the form is recognised from the content. Where the
/// lists part first, in the order in which a block happens, is told first.
///
/// Exit status: 0 if they are equal, 1 if they are not, 2 if one of them cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The one list.
    first: PathBuf,
    /// The other list.
    second: PathBuf,
    /// What stands together: what happens at one index, or what happens to one account.
    #[arg(long, value_name = "WHAT", value_enum, default_value = "index")]
    by: Grouping,
    /// Show every place where they part, and not only the first ones.
    #[arg(long)]
    all: bool,
}

/// How places are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Grouping {
    Index,
    Account,
}

/// How many places are shown, if not all of them are.
const SHOWN: usize = 20;

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    let (first, second) = (read_list(&arguments.first)?, read_list(&arguments.second)?);
    let last = last_index(&first).max(last_index(&second));
    let partings = partings(&first, &second);
    let comparison = Comparison { arguments, lists: [first, second], partings, last };
    match comparison.write(&mut BufWriter::new(io::stdout().lock())) {
        Err(error) if is_worth_a_word(&error) => Err(error.into()),
        _ if comparison.lists[0] == comparison.lists[1] => Ok(Status::Verified),
        _ => Ok(Status::Failed),
    }
}

/// Two lists, compared.
struct Comparison<'a> {
    arguments: &'a Arguments,
    lists: [BlockAccessList; 2],
    partings: Vec<Parting>,
    /// The last index at which either says that something happens.
    last: BlockAccessIndex,
}

impl Comparison<'_> {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let [first, second] = self.names();
        for (name, list) in [&first, &second].into_iter().zip(&self.lists) {
            if let Some(fault) = fault(list) {
                writeln!(output, "{name} is malformed: {fault}")?;
            }
        }
        let Some(parting) = self.partings.first() else {
            let [same, other] = &self.lists;
            let verdict = if same == other { "are equal" } else { "say the same, but not in the same way" };
            return writeln!(output, "{first} and {second} {verdict}");
        };
        let place = self.group(Grouping::Index, parting);
        writeln!(output, "{first} and {second} part first {place}, account {}:", parting.address)?;
        writeln!(output, "  {}", Row(parting))?;
        writeln!(output, "they part in {}: {}", places(self.partings.len()), Kinds::of(&self.partings))?;
        writeln!(output, "\nleft of the bar: {first}, right of it: {second}")?;
        self.write_groups(output)?;
        output.flush()
    }

    /// Writes the places, group by group. A group stands where its first place is.
    fn write_groups(&self, output: &mut dyn Write) -> io::Result<()> {
        let Arguments { by, all, .. } = *self.arguments;
        let mut groups: Vec<(Group, Vec<&Parting>)> = Vec::new();
        let mut places_of = BTreeMap::new();
        for parting in &self.partings {
            let group = self.group(by, parting);
            let place = *places_of.entry(group).or_insert(groups.len());
            if place == groups.len() {
                groups.push((group, Vec::new()));
            }
            groups[place].1.push(parting);
        }
        let mut left = if all { usize::MAX } else { SHOWN };
        for (group, partings) in groups {
            if left == 0 {
                break;
            }
            writeln!(output, "\n{group}")?;
            for parting in partings.iter().take(left) {
                match by {
                    Grouping::Index => writeln!(output, "  {}  {}", parting.address, Row(parting))?,
                    Grouping::Account => {
                        writeln!(output, "  {}, {}", self.group(Grouping::Index, parting), Row(parting))?;
                    }
                }
            }
            left = left.saturating_sub(partings.len());
        }
        match self.partings.len().saturating_sub(SHOWN) {
            more if more > 0 && !all => writeln!(output, "\n{} more: --all shows them", places(more)),
            _ => Ok(()),
        }
    }

    fn group(&self, by: Grouping, parting: &Parting) -> Group {
        match (by, parting.index) {
            (Grouping::Account, _) => Group::Account(parting.address),
            (Grouping::Index, None) => Group::Accessed,
            (Grouping::Index, Some(index)) if index == self.last => Group::Last(index.0),
            (Grouping::Index, Some(index)) => Group::Index(index.0),
        }
    }

    /// What the lists are called: their paths.
    fn names(&self) -> [String; 2] {
        [&self.arguments.first, &self.arguments.second].map(|path| path.display().to_string())
    }
}

/// The last index at which something happens.
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

/// What is wrong with the order of a list, or said twice in it. How many transactions its block has is not
/// known.
fn fault(list: &[AccountChanges]) -> Option<String> {
    const MOST: usize = u32::MAX as usize - 1;
    validate_block_access_list(list, MOST).err().map(|fault| fault.to_string())
}

/// What stands together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// What happens at an index.
    Index(u64),
    /// What happens at the last index of both lists: nobody knows whether that is a transaction's.
    Last(u64),
    /// What is only accessed.
    Accessed,
    /// What happens to an account.
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

/// What both lists say of one place.
struct Row<'p>(&'p Parting);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parting { item, declared, actual, .. } = self.0;
        let said = |value: &Option<ListValue>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ListValue::to_string)
        };
        write!(f, "{item}: {} | {}", said(declared), said(actual))?;
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

/// How many places there are of each kind.
#[derive(Default)]
struct Kinds(BTreeMap<&'static str, usize>);

impl Kinds {
    fn of(partings: &[Parting]) -> Self {
        let mut kinds = Self::default();
        for parting in partings {
            let kind = match parting.item {
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

fn places(count: usize) -> String {
    if count == 1 { "1 place".to_owned() } else { format!("{count} places") }
}
