//! The interface that each database implements.

use std::{error::Error, path::Path};

/// Any failure of a database or of the measuring program.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The tables of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Hashed address to account.
    Accounts,
    /// Trie path to node.
    Nodes,
    /// Block number to undo record.
    Undo,
    /// The head record.
    Head,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Accounts, Self::Nodes, Self::Undo, Self::Head];

    /// The table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Nodes => "nodes",
            Self::Undo => "undo",
            Self::Head => "head",
        }
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Writes that are committed together.
#[derive(Default)]
pub struct Batch {
    tables: [Vec<Entry>; 4],
}

impl Batch {
    /// Adds a write.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.tables[table as usize].push((key, value));
    }

    /// Brings each table's writes into ascending order of keys.
    pub fn sort(&mut self) {
        self.tables.iter_mut().for_each(|entries| entries.sort());
    }

    /// The writes of each table that has any.
    pub fn tables(&self) -> impl Iterator<Item = (Table, &[Entry])> {
        Table::ALL
            .into_iter()
            .map(|table| (table, self.tables[table as usize].as_slice()))
            .filter(|(_, entries)| !entries.is_empty())
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the database's own cache in bytes, where it has one.
    pub cache: usize,
    /// Whether a commit waits for the disk.
    pub sync: bool,
    /// Whether commits store the data for a quick repair (redb).
    pub quick_repair: bool,
    /// Whether opening verifies the whole store (redb).
    pub check_on_open: bool,
}

/// The result of the library's integrity check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// The library has no check.
    None,
    /// No damage was found.
    Passed,
    /// Damage was found.
    Failed,
}

/// A long-lived snapshot.
pub trait Reader {
    /// Copies a value into `out`; returns whether it exists.
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool>;

    /// Visits all entries of a table.
    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;
}

/// A database.
pub trait Store: Sized + Sync {
    /// Opens the store in a directory or creates it.
    fn open(dir: &Path, options: &Options) -> Result<Self>;

    /// A snapshot of the last commit, for use by one thread.
    fn reader(&self) -> Result<impl Reader>;

    /// Commits a batch atomically.
    fn commit(&self, batch: &Batch) -> Result<()>;

    /// Runs the library's integrity check.
    fn check(&mut self) -> Result<Check>;

    /// Waits for the end of background work.
    fn settle(&self) {}

    /// Closes the store cleanly.
    fn close(self) -> Result<()>;
}
