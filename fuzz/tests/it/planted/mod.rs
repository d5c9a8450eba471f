//! Planted faults: each fault of `planted-faults.toml`, planted alone in a copy of the workspace, makes the test fail
//! that the list names. A test that does not find its fault any more is noticed.

mod list;
mod workspace;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use walkdir::WalkDir;

use list::{Binary, Expected, Fault, Target};
use workspace::{TestResult, Workspace, folder_of, root};

/// The variable with a part of the names, files or tests of the faults that are planted.
const PATTERN: &str = "BLOCKLOOM_FAULTS";

/// The least number of faults in the list.
const MIN_FAULTS: usize = 40;

/// The longest time of a test that ends.
const TEST_LIMIT: Duration = Duration::from_secs(10 * 60);

/// After this time a test hangs, if its fault is expected to make it hang.
const HANG_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_list_of_faults_is_well_formed() {
    let faults = list::read();
    assert!(faults.len() >= MIN_FAULTS, "the list has only {} faults", faults.len());
    let mut names = BTreeSet::new();
    for Fault { name, file, find, replace, .. } in &faults {
        assert!(names.insert(name), "two faults have the name `{name}`");
        assert_ne!(find, replace, "{name}: the fault changes nothing");
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        let count = text.matches(find.as_str()).count();
        assert_eq!(count, 1, "{name}: how often {} has the text that the fault replaces", file.display());
    }
}

#[test]
fn the_tests_that_the_faults_name_exist() {
    let mut sources = BTreeMap::new();
    for fault in list::read() {
        let Target { package, binary, .. } = fault.target();
        let folder = folder_of(&root(), &package).join(match binary {
            Binary::Lib => "src",
            Binary::It => "tests/it",
        });
        let text = sources.entry(folder.clone()).or_insert_with(|| sources_in(&folder));
        let function = format!("fn {}(", fault.test.rsplit("::").next().unwrap());
        assert!(text.contains(&function), "{}: {} has no `{function})`", fault.name, folder.display());
    }
}

/// The Rust files below a folder, as one text.
fn sources_in(folder: &Path) -> String {
    let files = WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Plants the faults one at a time. Takes an hour for all of them; `BLOCKLOOM_FAULTS` selects some.
#[test]
#[ignore = "builds tests for each fault"]
fn every_planted_fault_is_found() {
    let mut faults = list::read();
    let pattern = env::var(PATTERN).unwrap_or_default();
    faults.retain(|fault| fault.matches(&pattern));
    assert!(!faults.is_empty(), "no fault has `{pattern}` in its name, its file or its test");
    // The builds of one target follow each other.
    faults.sort_by_key(Fault::target);
    let workspace = Workspace::copy();
    let mut failures = run_without_faults(&workspace, &faults);
    for (number, fault) in (1..).zip(&faults) {
        let (start, result) = (Instant::now(), plant(&workspace, fault));
        let verdict = result.as_ref().err().map_or("found", String::as_str);
        let seconds = start.elapsed().as_secs();
        println!("{number}/{}: {} ({seconds} s): {verdict}", faults.len(), fault.name);
        failures.extend(result.err().map(|error| format!("{}: {error}", fault.name)));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Runs all tests of the faults without a fault, and returns what went wrong.
#[expect(clippy::print_stdout, reason = "the sweep says how far it is")]
fn run_without_faults(workspace: &Workspace, faults: &[Fault]) -> Vec<String> {
    let mut failures = Vec::new();
    for faults in faults.chunk_by(|first, second| first.target() == second.target()) {
        let target = faults[0].target();
        let executable = match workspace.build(&target) {
            Ok(executable) => executable,
            Err(output) => panic!("without a fault {} is not built:\n{output}", target.package),
        };
        let tests: BTreeMap<_, _> = faults.iter().map(|fault| (&fault.test, limit_of(fault))).collect();
        println!("{} tests of {target} without a fault", tests.len());
        for (test, limit) in tests {
            let result = workspace.test(&target, &executable, test, limit);
            if result != TestResult::Passed {
                failures.push(format!("{test} without a fault: {result:?}"));
            }
        }
    }
    failures
}

/// Plants a fault, runs its test, and takes the fault away. An error says why the fault was not found.
fn plant(workspace: &Workspace, fault: &Fault) -> Result<(), String> {
    let text = workspace.read(&fault.file);
    workspace.write(&fault.file, &text.replacen(&fault.find, &fault.replace, 1));
    let built = workspace.build(&fault.target());
    let result =
        built.map(|executable| workspace.test(&fault.target(), &executable, &fault.test, limit_of(fault)));
    workspace.write(&fault.file, &text);
    match (result, fault.expected) {
        (Ok(TestResult::Failed), _) | (Ok(TestResult::TimedOut), Expected::Hangs) => Ok(()),
        (Ok(TestResult::TimedOut), Expected::Fails) => Err(format!("{} does not end", fault.test)),
        (Ok(TestResult::Passed), _) => Err(format!("SURVIVED {}", fault.test)),
        (Ok(TestResult::Missing), _) => Err(format!("there is no test {}", fault.test)),
        (Err(output), _) => Err(format!("it is not built\n{output}")),
    }
}

/// The longest time of a fault's test.
fn limit_of(fault: &Fault) -> Duration {
    match fault.expected {
        Expected::Fails => TEST_LIMIT,
        Expected::Hangs => HANG_LIMIT,
    }
}
