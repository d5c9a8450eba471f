//! A copy of the workspace, in which faults are planted and tests are built and run.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::list::{Binary, Target};

/// The longest time of a build. The first one compiles all dependencies.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The time between two looks at a child process.
const PAUSE: Duration = Duration::from_millis(20);

/// The root of the workspace.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of a package, below the root of a workspace.
pub(super) fn folder_of(root: &Path, package: &str) -> PathBuf {
    // The package of the command has the command's name.
    root.join(if package == "blockloom" { "bench" } else { package.trim_start_matches("blockloom-") })
}

/// A copy of the workspace without its target folder.
pub(super) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// The output of the last child process.
    output: PathBuf,
    /// Locked as long as the copy is used.
    _lock: File,
}

/// How a child process ended.
enum Ended {
    With(ExitStatus),
    /// It was killed, because it took too long.
    TooLate,
}

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TestResult {
    Passed,
    Failed,
    /// It did not end within its limit.
    TimedOut,
    /// The binary has no such test.
    Missing,
}

impl Workspace {
    /// Copies the files of the workspace that git does not ignore. Waits until no other process uses the copy.
    pub(super) fn copy() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-faults");
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let copy = folder.join("workspace");
        match fs::remove_dir_all(&copy) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", copy.display()),
            _ => {}
        }
        for file in files() {
            let (from, to) = (root().join(&file), copy.join(&file));
            // Git still lists a file that was deleted and not yet committed.
            if from.is_file() {
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(from, to).unwrap();
            }
        }
        // Not the target folder of the workspace itself: cargo would take what it built here for the workspace's own.
        Self { root: copy, target: folder.join("target"), output: folder.join("output"), _lock: lock }
    }

    /// The text of a file.
    pub(super) fn read(&self, file: &Path) -> String {
        fs::read_to_string(self.root.join(file)).unwrap()
    }

    /// Replaces the text of a file.
    pub(super) fn write(&self, file: &Path, text: &str) {
        fs::write(self.root.join(file), text).unwrap();
    }

    /// Builds a test binary, and returns its path, or else the errors of the compiler.
    pub(super) fn build(&self, target: &Target) -> Result<PathBuf, String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--locked", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]);
        cargo.args(["--package", &target.package, "--features", &target.features.join(",")]);
        match target.binary {
            Binary::Lib => cargo.arg("--lib"),
            Binary::It => cargo.args(["--test", "it"]),
        };
        // A fault may leave a name unused: no warning is an error here.
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target).env_remove("RUSTFLAGS");
        let ended = self.run(&mut cargo, BUILD_LIMIT);
        let output = self.output();
        let executable = output
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        match (ended, executable) {
            (Ended::With(status), Some(executable)) if status.success() => Ok(executable),
            _ => Err(output),
        }
    }

    /// Runs one test of a binary.
    pub(super) fn test(&self, target: &Target, executable: &Path, test: &str, limit: Duration) -> TestResult {
        let mut command = Command::new(executable);
        command.args(["--exact", test]).current_dir(folder_of(&self.root, &target.package));
        // A failing case of a property must not be the first case of the next run.
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        match self.run(&mut command, limit) {
            Ended::TooLate => TestResult::TimedOut,
            Ended::With(_) if !self.output().contains("running 1 test\n") => TestResult::Missing,
            Ended::With(status) if status.success() => TestResult::Passed,
            Ended::With(_) => TestResult::Failed,
        }
    }

    /// Runs a command, and kills it after `limit`.
    fn run(&self, command: &mut Command, limit: Duration) -> Ended {
        let output = File::create(&self.output).unwrap();
        let errors = output.try_clone().unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Ended::With(status);
            }
            if start.elapsed() >= limit {
                child.kill().unwrap();
                child.wait().unwrap();
                return Ended::TooLate;
            }
            thread::sleep(PAUSE);
        }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }
}

/// The files that git tracks or would track, from the root of the workspace.
fn files() -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let output = git.output().expect("git is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).unwrap();
    list.split_terminator('\0').map(str::to_owned).collect()
}
