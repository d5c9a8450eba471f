//! Pictures of executions, in files: traces that other programs open, and pages for a browser.

pub(crate) mod bench_page;
pub(crate) mod charts;
pub(crate) mod chrome;
mod data;
pub(crate) mod facts;
pub(crate) mod file;
pub(crate) mod page;
pub(crate) mod signed_facts;
