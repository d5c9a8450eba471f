//! Ctrl-C at a terminal: during each command the first one is answered at once, and ends it; the second one ends it at
//! once.

use std::{
    fs,
    io::{self, PipeReader, PipeWriter, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};

use crate::{command::command, pty::Session};

/// The longest time until the answer.
const AT_ONCE: Duration = Duration::from_millis(200);

/// The test fails if none of so many attempts is in time: the machine may be busy, and a command may end by itself.
const ATTEMPTS: usize = 8;

/// What the command prints at the first interrupt.
const ANSWER: &str = "interrupted";

/// A block whose preparation takes a second, after a short one whose row is a sign.
const BENCH: [&str; 6] = ["bench", "erc20", "--gas", "100k,1G", "--rounds", "1000"];

/// An account without changes in an access list.
const LISTED: &str = r##"{"address":"#","storageChanges":[],"storageReads":[],"balanceChanges":[],"nonceChanges":[],"codeChanges":[]}"##;

/// Interrupts a command as soon as it shows `sign`. Returns the time until the answer, or `None` if the command ended
/// before.
fn interrupt(arguments: &[&str], folder: &Path, sign: &str) -> Option<Duration> {
    let mut session = Session::start(arguments, folder);
    if !session.wait_for(sign) {
        return None;
    }
    let start = Instant::now();
    session.interrupt();
    let is_answered = session.wait_for(ANSWER);
    let time = start.elapsed();
    let (status, output) = session.end();
    if status.success() {
        return None;
    }
    assert!(is_answered, "{arguments:?}: {output}");
    assert_eq!(status.code(), Some(130), "{arguments:?}: {output}");
    Some(time)
}

fn check_answer(arguments: &[&str], folder: &Path, sign: &str) {
    let mut times = Vec::new();
    let is_in_time = (0..ATTEMPTS).any(|_| {
        let time = interrupt(arguments, folder, sign);
        times.push(time);
        time.is_some_and(|time| time <= AT_ONCE)
    });
    assert!(is_in_time, "{arguments:?}: {times:?}");
}

fn generate(folder: &Path, arguments: &[&str]) {
    let status = command().arg("generate").args(arguments).arg("-q").current_dir(folder).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_first_interrupt_is_answered_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    generate(path, &["--blocks", "300", "--gas", "1M", "--accounts", "1000", "--out", "chain"]);
    let cases: [(&[&str], &str); 4] = [
        (&BENCH, "ratio"),
        (&["replay", "chain", "--compare", "--rounds", "1000"], "fixtures,"),
        (&["list", "chain"], "items"),
        (&["generate", "--blocks", "1M", "--gas", "1M", "--out", "another"], "blocks,"),
    ];
    for (arguments, sign) in cases {
        check_answer(arguments, path, sign);
    }
    let left: Vec<_> = fs::read_dir(path.join("another")).unwrap().collect();
    assert!(left.is_empty(), "an interrupted `generate` leaves nothing: {left:?}");
}

#[test]
fn the_first_interrupt_of_an_import_or_a_verification_is_answered_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    generate(path, &["--blocks", "1000", "--gas", "300k", "--accounts", "30k", "--out", "chain"]);
    check_answer(&["chain", "kept", "--import", "chain"], path, "blocks,");
    check_answer(&["chain", "kept", "--verify"], path, "verifying");
}

#[test]
fn the_first_interrupt_of_a_comparison_of_lists_is_answered_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let list: Vec<_> = (0..400_000).map(|number| LISTED.replace('#', &format!("0x{number:040x}"))).collect();
    fs::write(folder.path().join("list.json"), format!("[{}]", list.join(","))).unwrap();
    check_answer(&["diff", "list.json", "list.json", "-v"], folder.path(), "reading");
}

#[test]
fn the_second_interrupt_ends_a_command_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut times = Vec::new();
    let is_in_time = (0..ATTEMPTS).any(|_| {
        let mut session = Session::start(&BENCH, folder.path());
        assert!(session.wait_for("ratio"));
        session.interrupt();
        assert!(session.wait_for(ANSWER));
        let start = Instant::now();
        session.interrupt();
        let (status, output) = session.end();
        assert_eq!(status.code(), Some(130), "{output}");
        times.push(start.elapsed());
        start.elapsed() <= AT_ONCE
    });
    assert!(is_in_time, "{times:?}");
}

/// A pipe that is full, and the end that would have to be read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(b".").is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

#[test]
fn interrupts_end_a_command_whose_messages_nobody_reads() {
    let mut ends = (1..).take(ATTEMPTS).map(|attempt| {
        let (_unread, full) = full_pipe();
        let mut command = command();
        command.args(["replay", "-v"]).stdout(Stdio::null()).stderr(full);
        let mut child = command.spawn().unwrap();
        let id = Pid::from_child(&child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            thread::sleep(attempt * AT_ONCE);
            // The command may have ended.
            let _ = kill_process(id, Signal::INT);
        }
        let _ = child.kill();
        child.wait().unwrap()
    });
    // The command may not have begun to listen.
    let end = ends.find(|end| end.signal() != Some(Signal::INT.as_raw())).unwrap();
    assert_eq!(end.code(), Some(130), "{end}");
}
