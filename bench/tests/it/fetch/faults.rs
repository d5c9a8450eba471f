//! Nodes, disks and processes that fail: the result is a clear error or complete, never a wrong folder.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    HASTY, check_replay, fetch, isolated, names, printed, run,
    server::{Act, BLOCKS, Server},
};

const ALL: &str = "1..latest";

fn everything() -> Vec<String> {
    (1..=BLOCKS).map(|number| number.to_string()).collect()
}

/// Fetches everything from a server with this script, and checks that all is there and right.
fn check_complete(script: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let server = Server::start(script);
    let output = fetch(&server.url(), ALL, &out, &["--retries", "3", "--timeout", "5", "--batch", "20"]);
    let (printed, status) = printed(&output);
    assert_eq!(status, Some(0), "{printed}");
    assert!(printed.contains("fetched 6 blocks from http://127.0.0.1:"), "{printed}");
    assert_eq!(names(&out), everything());
    check_replay(&out, 6);
    server
}

/// Fetches a block from a server with this script, and checks the error, and that nothing is written.
fn check_error(
    expected: &str,
    expected_status: i32,
    script: impl Fn(usize, &str) -> Act + Send + Sync + 'static,
) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let server = Server::start(script);
    let start = Instant::now();
    let (printed, status) = printed(&fetch(&server.url(), "3", &out, &HASTY));
    assert!(printed.contains(expected), "{expected}: {printed}");
    assert_eq!(status, Some(expected_status), "{printed}");
    assert_eq!(names(&out), [""; 0]);
    assert!(start.elapsed() < Duration::from_secs(20), "{printed}");
}

/// Acts on the requests that contain `method`.
fn on(method: &'static str, act: fn() -> Act) -> impl Fn(usize, &str) -> Act + Send + Sync {
    move |_, request| if request.contains(method) { act() } else { Act::Answer }
}

fn page(status: &'static str, body: &str) -> Act {
    Act::Page(status, "", body.to_owned())
}

#[test]
fn a_node_that_answers_is_fetched_from_and_replayed() {
    let server = check_complete(|_, _| Act::Answer);
    // Slots that the tracer does not name are asked for one by one: those of system contracts that are empty.
    assert!(server.requests() < 150, "{} requests", server.requests());
}

#[test]
fn a_slow_node_is_waited_for() {
    check_complete(|_, _| Act::Late(Duration::from_millis(30)));
}

#[test]
fn a_failure_that_passes_is_tried_again() {
    check_complete(|number, _| match number % 40 {
        2 => page("503 Service Unavailable", "<html>busy</html>"),
        12 => Act::Half,
        22 => Act::Close,
        32 => page("200 OK", r#"[{"id":0,"result":{"hash":"0x"#),
        _ => Act::Answer,
    });
}

#[test]
fn a_limit_of_the_rate_is_respected() {
    let start = Instant::now();
    check_complete(|number, _| match number {
        0 => Act::Page("429 Too Many Requests", "Retry-After: 1\r\n", String::new()),
        3 => Act::Page("200 OK", "", r#"{"id":0,"error":{"code":-32005,"message":"slow down"}}"#.to_owned()),
        _ => Act::Answer,
    });
    assert!(start.elapsed() >= Duration::from_secs(1), "the node asked for a second");
}

#[test]
fn a_node_without_batches_gets_single_requests() {
    let refused = r#"{"id":null,"error":{"code":-32600,"message":"no batches"}}"#;
    for (status, body) in
        [("200 OK", refused), ("413 Content Too Large", "too large"), ("400 Bad Request", refused)]
    {
        let is_batch =
            |request: &str| request.split("\r\n\r\n").nth(1).is_some_and(|body| body.starts_with('['));
        check_complete(move |_, request| if is_batch(request) { page(status, body) } else { Act::Answer });
    }
}

#[test]
fn a_node_that_does_not_answer_is_an_error_in_time() {
    check_error("no answer", 2, |_, _| Act::Silence);
    check_error("no answer", 2, |_, _| Act::Close);
    check_error("eth_getProof: no answer", 2, on("eth_getProof", || Act::Silence));
    check_error("HTTP status 500", 2, |_, _| page("500 Internal Server Error", "oh"));
    check_error("HTTP status 401", 2, |_, _| page("401 Unauthorized", "who are you?"));
    check_error("HTTP status 404", 2, |_, _| page("404 Not Found", "not here"));
    check_error("redirect", 2, |_, _| {
        Act::Page("302 Found", "Location: http://127.0.0.1:1/\r\n", String::new())
    });
    check_error("no answer of JSON-RPC", 2, |_, _| page("200 OK", "<html>hello</html>"));
    check_error("no answer of JSON-RPC", 2, |_, _| page("200 OK", r#"{"id":0,"result":"0x7"#));
    let folder = tempfile::tempdir().unwrap();
    let (text, status) = printed(&fetch("http://127.0.0.1:1", "3", folder.path(), &HASTY));
    assert!(status == Some(2) && text.contains("no answer"), "{text}");
}

fn instead(
    method: &'static str,
    change: fn(&blockloom_fuzz::ChainNode, &Value, Value) -> Value,
) -> impl Fn(usize, &str) -> Act + Send + Sync {
    move |_, request| if request.contains(method) { Act::Instead(change) } else { Act::Answer }
}

#[test]
fn wrong_data_is_named_and_not_written() {
    check_error(
        "the answer is of block 2, block 3 was asked for",
        1,
        instead("eth_getBlockByNumber", |node, call, _| {
            let params =
                if call["params"][0] == "0x3" { json!(["0x2", true]) } else { call["params"].clone() };
            node.answer("eth_getBlockByNumber", &params).unwrap()
        }),
    );
    check_error(
        "is not proven in the state",
        1,
        instead("eth_getProof", |node, call, answer| {
            let params = json!([call["params"][0], call["params"][1], "0x5"]);
            if call["method"] == "eth_getProof" {
                node.answer("eth_getProof", &params).unwrap()
            } else {
                answer
            }
        }),
    );
    check_error(
        "eth_getBlockReceipts: the header says",
        1,
        instead("eth_getBlockReceipts", |node, _, _| {
            node.answer("eth_getBlockReceipts", &json!(["0x0"])).unwrap()
        }),
    );
    check_error(
        "the node has no block 3: its latest is 1",
        2,
        instead("eth_blockNumber", |_, _, _| json!("0x1")),
    );
    // Without a proof the header shows it: no slot is new, so that less gas is used.
    check_error("gas used", 1, |_, request| {
        let refused = |id: usize| json!({ "id": id, "error": { "code": -32601, "message": "unknown" } });
        let calls: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        match calls {
            Value::Array(calls) if calls[0]["method"] == "eth_getProof" => {
                Act::Page("200 OK", "", Value::from_iter((0..calls.len()).map(refused)).to_string())
            }
            Value::Object(call) if call["method"] == "eth_getProof" => {
                Act::Page("200 OK", "", refused(0).to_string())
            }
            _ => Act::Instead(
                |_, call, answer| if call["method"] == "eth_getStorageAt" { json!("0x1") } else { answer },
            ),
        }
    });
}

#[test]
fn what_is_there_is_passed_over_after_a_node_died() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    // One block at a time, so that some are whole when the node dies.
    let mut more = vec!["--requests", "1"];
    more.extend(HASTY);
    let is_dead = AtomicBool::new(false);
    let dying = Server::start(move |_, request| {
        let dies = request.contains(r#"["0x4",true]"#);
        if is_dead.fetch_or(dies, Ordering::SeqCst) || dies { Act::Close } else { Act::Answer }
    });
    let (text, status) = printed(&fetch(&dying.url(), ALL, &out, &more));
    assert_eq!(status, Some(2), "{text}");
    assert_eq!(names(&out), ["1", "2", "3"]);
    check_replay(&out, 3);
    let alive = Server::start(|_, _| Act::Answer);
    let (text, status) = printed(&fetch(&alive.url(), ALL, &out, &more));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("3 passed over"), "{text}");
    assert_eq!(names(&out), everything());
    check_replay(&out, 6);
    let before = alive.requests();
    let (text, status) = printed(&fetch(&alive.url(), ALL, &out, &more));
    // Those for the chain and its latest block, and one for the hash of each block.
    assert_eq!((status, alive.requests() - before), (Some(0), 3 + 6), "{text}");
}

/// After a reorganisation a folder is that of a block that is no longer part of the chain.
#[test]
fn a_block_of_another_branch_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let before = Server::start(|_, _| Act::Answer);
    assert_eq!(fetch(&before.url(), "2..3", &out, &HASTY).status.code(), Some(0));
    let text_before = texts(&out);
    let after = Server::start(instead("eth_getBlockByNumber", |_, call, mut answer| {
        if call["params"][0] == "0x3" {
            answer["hash"] = json!(format!("0x{}", "5".repeat(64)));
        }
        answer
    }));
    let (text, status) = printed(&fetch(&after.url(), "2..3", &out, &HASTY));
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("unusable: block 3: ") && text.contains("not overwritten"), "{text}");
    assert!(text.contains("that of the node is 0x5555") && text.contains("1 passed over"), "{text}");
    assert_eq!(texts(&out), text_before);
}

#[test]
fn a_killed_fetch_leaves_whole_folders_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let server = Server::start(|_, _| Act::Late(Duration::from_millis(20)));
    let mut killed = 0;
    for wait in [150, 300, 450, 600] {
        let url = server.url();
        let arguments = ["fetch", "--rpc", &url, ALL, "--requests", "1", "--out", out.to_str().unwrap()];
        let mut child = isolated(&arguments).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        killed += usize::from(child.wait().unwrap().signal().is_some());
        for name in names(&out).iter().filter(|name| !name.starts_with('.')) {
            check_replay(&out.join(name), 1);
        }
    }
    assert!(killed > 0);
    // What a killed process left behind under a hidden name.
    fs::create_dir_all(out.join(".6.partial")).unwrap();
    fs::write(out.join(".6.partial/block.json"), "half").unwrap();
    let _ = fs::remove_dir_all(out.join("6"));
    let (text, status) = printed(&fetch(&server.url(), ALL, &out, &[]));
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(names(&out), everything());
    check_replay(&out, 6);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let server = Server::start(|_, _| Act::Answer);
    // A limit for the size of files fails as a full disk does, once its signal is ignored.
    let script = r#"trap "" XFSZ; ulimit -f 4; exec "$0" "$@""#;
    let fetch = isolated(&["fetch", "--rpc", &server.url(), "3..5", "--out", out.to_str().unwrap()]);
    let mut limited = Command::new("bash");
    limited.args(["-c", script]).arg(fetch.get_program()).args(fetch.get_args());
    for (name, value) in fetch.get_envs() {
        assert!(value.is_none());
        limited.env_remove(name);
    }
    let (text, status) = printed(&limited.output().unwrap());
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains(".json: ") && text.contains("too large"), "{text}");
    assert_eq!(names(&out), [""; 0]);
}

#[test]
fn one_process_at_a_time_writes_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Act::Answer);
    let lock = File::open(folder.path()).unwrap();
    lock.lock().unwrap();
    let (text, status) = printed(&fetch(&server.url(), "3", folder.path(), &HASTY));
    assert_eq!(status, Some(2));
    assert!(text.contains("another process"), "{text}");
}

#[test]
fn what_is_no_block_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Act::Answer);
    fs::create_dir(folder.path().join("3")).unwrap();
    fs::write(folder.path().join("3/notes.txt"), "mine").unwrap();
    let (text, status) = printed(&fetch(&server.url(), "2..4", folder.path(), &HASTY));
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("not overwritten") && text.contains("fetched 2 blocks"), "{text}");
    assert_eq!(fs::read_to_string(folder.path().join("3/notes.txt")).unwrap(), "mine");
    assert_eq!(names(folder.path()), ["2", "3", "4"]);
}

/// All texts below a folder.
fn texts(folder: &Path) -> String {
    let texts = names(folder).into_iter().map(|name| {
        let path = folder.join(name);
        if path.is_dir() { texts(&path) } else { fs::read_to_string(path).unwrap() }
    });
    texts.collect()
}

#[test]
fn a_token_is_sent_and_appears_nowhere() {
    const SECRETS: [&str; 4] = ["header-secret-1", "token-secret-2", "path-secret-3", "query-secret-4"];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("blocks");
    let everything = SECRETS.join(" ");
    // A node that repeats all secrets: in answers, in errors of JSON-RPC, in pages.
    let server = Server::start(move |number, request| match number {
        0 => page("503 Service Unavailable", "header-secret-1 token-secret-2 path-secret-3 query-secret-4"),
        _ if request.contains("debug_traceBlockByNumber") => {
            let error = json!({ "id": 0, "error": { "code": -32000, "message": everything } });
            Act::Page("200 OK", "", error.to_string())
        }
        _ => Act::Instead(|_, _, mut answer| {
            if let Some(fields) = answer.as_object_mut() {
                fields.insert("token".to_owned(), json!("header-secret-1 token-secret-2"));
            }
            answer
        }),
    });
    let failing = Server::start(|_, _| {
        page("403 Forbidden", "bad key: header-secret-1, token-secret-2, path-secret-3, query-secret-4")
    });
    let mut printed_by = String::new();
    for (server, expected) in [(&server, 0), (&failing, 2)] {
        let url = format!("{}/v2/path-secret-3?key=query-secret-4", server.url());
        for command in [&["fetch", "--out", out.to_str().unwrap()][..], &["replay"]] {
            let mut arguments = command.to_vec();
            arguments.extend(["--rpc", &url, "--header", "X-Key: header-secret-1", "2..3", "-v"]);
            let output = isolated(&arguments).env("BLOCKLOOM_RPC_TOKEN", "token-secret-2").output().unwrap();
            let (text, status) = printed(&output);
            assert_eq!(status, Some(expected), "{text}");
            printed_by.push_str(&text);
        }
        let heard = server.heard().to_ascii_lowercase();
        assert!(SECRETS.iter().all(|secret| heard.contains(secret)), "they were sent: {heard}");
        assert!(heard.contains("authorization: bearer token-secret-2"), "{heard}");
    }
    assert!(printed_by.contains("debug_traceBlockByNumber") && printed_by.contains("403"), "{printed_by}");
    assert_eq!(names(&out), ["2", "3"]);
    let written = texts(&out);
    for secret in SECRETS {
        assert!(!printed_by.contains(secret), "{secret}: {printed_by}");
        assert!(!written.contains(secret), "{secret} is in a file");
    }
}

#[test]
fn a_replay_from_a_node_is_a_fetch_and_a_replay() {
    let server = Server::start(|_, _| Act::Answer);
    let output = run(&["replay", "--rpc", &server.url(), "2..3", "latest"]);
    let (text, status) = printed(&output);
    assert_eq!(status, Some(0), "{text}");
    let host = server.url().replace("http://", "");
    assert!(text.contains(&host), "the row is named by the node: {text}");
    let output = run(&["replay", "--rpc", &server.url()]);
    assert_eq!(output.status.code(), Some(2));
    let output = run(&["replay", "--rpc", &server.url(), "path/of/a/folder"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_is_wrong_with_a_replay_from_a_node_is_said_before_the_fetch() {
    let server = Server::start(|_, _| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nowhere/lines").display().to_string();
    let genesis = folder.path().join("genesis.json").display().to_string();
    for (option, value, why) in [
        ("--json", &file, &file),
        ("--csv", &file, &file),
        ("--markdown", &file, &file),
        ("--genesis", &genesis, &"--chain FILE".to_owned()),
    ] {
        let (text, status) = printed(&run(&["replay", "--rpc", &server.url(), "2", option, value]));
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains(option) && text.contains(why), "{text}");
    }
    assert_eq!(server.requests(), 0);
}
