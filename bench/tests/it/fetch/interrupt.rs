//! Ctrl-C during a fetch: what is there is whole, and the next fetch goes on.

use std::{
    path::Path,
    sync::{Mutex, mpsc},
    time::Duration,
};

use super::{
    check_replay, fetch, names, printed,
    server::{Act, BLOCKS, Server},
};
use crate::pty::Session;

/// No step of a test takes so long.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a command, presses Ctrl-C as soon as `reached` has something, lets the node go on after the answer, and
/// returns what the terminal got. The status must be that of an interrupt.
fn interrupt(arguments: &[&str], reached: &mpsc::Receiver<()>, go_on: impl FnOnce()) -> String {
    let mut session = Session::start(arguments, Path::new("."));
    reached.recv_timeout(LIMIT).unwrap();
    session.interrupt();
    assert!(session.wait_for("interrupted"));
    go_on();
    let (status, output) = session.end();
    assert_eq!(status.code(), Some(130), "{output}");
    output
}

#[test]
fn an_interrupted_fetch_leaves_whole_folders_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let (reaches, reached) = mpsc::channel();
    let (goes_on, is_interrupted) = mpsc::channel::<()>();
    let (reaches, is_interrupted) = (Mutex::new(reaches), Mutex::new(is_interrupted));
    // Block 4 is half fetched when the interrupt comes: its proofs are asked for.
    let server = Server::start(move |_, request| {
        if request.contains("eth_getProof") && request.contains(r#""0x3"]"#) {
            let _ = reaches.lock().unwrap().send(());
            let _ = is_interrupted.lock().unwrap().recv_timeout(LIMIT);
        }
        Act::Answer
    });
    let url = server.url();
    let path = out.to_str().unwrap();
    // One block after the other.
    let arguments = ["fetch", "--rpc", &url, "1..latest", "--out", path, "--requests", "1"];
    let output = interrupt(&arguments, &reached, || drop(goes_on));
    assert!(output.contains("fetched 3 blocks"), "{output}");
    assert_eq!(names(&out), ["1", "2", "3"]);
    check_replay(&out, 3);
    let (text, status) = printed(&fetch(&url, "1..latest", &out, &[]));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("3 passed over"), "{text}");
    let everything: Vec<_> = (1..=BLOCKS).map(|number| number.to_string()).collect();
    assert_eq!(names(&out), everything);
    check_replay(&out, everything.len());
}

/// Before the first block, and in a wait between two tries.
#[test]
fn an_interrupt_ends_the_tries_of_a_node_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    for command in [&["fetch", "--out", out.to_str().unwrap()][..], &["replay"]] {
        let (reaches, reached) = mpsc::channel();
        let reaches = Mutex::new(reaches);
        let server = Server::start(move |number, _| {
            if number == 2 {
                let _ = reaches.lock().unwrap().send(());
            }
            Act::Close
        });
        let url = server.url();
        let arguments = [command, &["--rpc", &url, "3", "--retries", "20"]].concat();
        interrupt(&arguments, &reached, || ());
        assert_eq!(names(&out), [""; 0]);
    }
}
