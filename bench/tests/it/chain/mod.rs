//! `blockloom chain`: imports, rejected files, undo, and crashes.

mod chain_file;
mod crashes;
mod encoded;
mod import;
mod long;
