//! The list of planted faults, as `planted-faults.toml` has it.

use std::{fmt, fs, path::PathBuf};

use serde::Deserialize;

use super::workspace;

/// One fault, and the test that finds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// What is wrong, in plain words. No other fault has the same name.
    pub(super) name: String,
    /// The file with the fault, from the root of the workspace.
    pub(super) file: PathBuf,
    /// The text that the fault replaces. The file holds it once.
    pub(super) find: String,
    /// The text in its place.
    pub(super) replace: String,
    /// The package of the test.
    pub(super) package: String,
    /// The test binary.
    #[serde(default)]
    pub(super) binary: Binary,
    /// The features that the package is built with.
    #[serde(default)]
    pub(super) features: Vec<String>,
    /// The full path of the test in its binary.
    pub(super) test: String,
    /// What becomes of the test.
    #[serde(default)]
    pub(super) expected: Expected,
}

/// A test binary of a package.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Binary {
    /// The unit tests.
    #[default]
    Lib,
    /// The integration tests.
    It,
}

/// What becomes of a test that finds its fault.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expected {
    /// It fails.
    #[default]
    Fails,
    /// It does not end.
    Hangs,
}

/// What is built for a test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) package: String,
    pub(super) features: Vec<String>,
    pub(super) binary: Binary,
}

impl Fault {
    /// Whether a pattern is part of its name, its file or its test.
    pub(super) fn matches(&self, pattern: &str) -> bool {
        self.name.contains(pattern)
            || self.file.to_string_lossy().contains(pattern)
            || self.test.contains(pattern)
    }

    /// What is built for its test.
    pub(super) fn target(&self) -> Target {
        Target { package: self.package.clone(), features: self.features.clone(), binary: self.binary }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, features, binary } = self;
        write!(f, "{package} ({binary:?}")?;
        features.iter().try_for_each(|feature| write!(f, ", {feature}"))?;
        f.write_str(")")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    fault: Vec<Fault>,
}

/// Reads the list.
pub(super) fn read() -> Vec<Fault> {
    let path = workspace::root().join("fuzz/planted-faults.toml");
    let text = fs::read_to_string(path).unwrap();
    let List { fault } = toml::from_str(&text).unwrap_or_else(|error| panic!("planted-faults.toml: {error}"));
    fault
}
