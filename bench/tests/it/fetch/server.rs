//! A node on a loopback port that plays a chain, and misbehaves as it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use blockloom_fuzz::ChainNode;
use serde_json::{Value, json};

/// How many blocks the chain has.
pub(super) const BLOCKS: u64 = 6;

/// What the server does with a request.
pub(super) enum Act {
    /// Answers it.
    Answer,
    /// Answers after a while.
    Late(Duration),
    /// Answers what this makes of the right answer.
    Instead(fn(&ChainNode, &Value, Value) -> Value),
    /// Answers with a status line, headers and a body of its own.
    Page(&'static str, &'static str, String),
    /// Sends half of the answer and closes the connection.
    Half,
    /// Says nothing, until the client gives up.
    Silence,
    /// Closes the connection.
    Close,
}

/// Decides by the number of the request, from 0, and its text with all headers.
type Script = dyn Fn(usize, &str) -> Act + Send + Sync;

pub(super) struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    heard: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(script: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (requests, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let (node, script): (_, Arc<Script>) = (Arc::new(ChainNode::sample(BLOCKS)), Arc::new(script));
        let shared = (Arc::clone(&is_over), Arc::clone(&requests), Arc::clone(&heard));
        let accept = move || {
            let (is_over, requests, heard) = shared;
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (node, script) = (Arc::clone(&node), Arc::clone(&script));
                let (requests, heard) = (Arc::clone(&requests), Arc::clone(&heard));
                // A connection ends when its client closes it, at the latest by the client's own time limit.
                thread::spawn(move || {
                    let _ = serve(stream.unwrap(), &node, &*script, &requests, &heard);
                });
            }
        };
        let thread = Some(thread::spawn(accept));
        Self { address, is_over, requests, heard, thread }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// All that was sent to it.
    pub(super) fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Answers one request and closes the connection.
fn serve(
    mut stream: TcpStream,
    node: &ChainNode,
    script: &Script,
    requests: &AtomicUsize,
    heard: &Mutex<String>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    heard.lock().unwrap().push_str(&format!("{head}{body}\n"));
    let act = script(requests.fetch_add(1, Ordering::SeqCst), &format!("{head}{body}"));
    let calls: Value = serde_json::from_str(&body).unwrap();
    let answer = |change: &dyn Fn(&Value, Value) -> Value| answers(node, &calls, change).to_string();
    let right = || answer(&|_, answer| answer);
    let page = |status: &str, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let text = match act {
        Act::Answer => page("200 OK", "", &right()),
        Act::Late(wait) => {
            thread::sleep(wait);
            page("200 OK", "", &right())
        }
        Act::Instead(change) => page("200 OK", "", &answer(&|call, answer| change(node, call, answer))),
        Act::Page(status, headers, body) => page(status, headers, &body),
        Act::Half => {
            let whole = page("200 OK", "", &right());
            whole[..whole.len() / 2].to_owned()
        }
        Act::Silence => {
            // Until the client closes the connection.
            let _ = reader.read(&mut [0]);
            return Ok(());
        }
        Act::Close => return stream.shutdown(Shutdown::Both),
    };
    stream.write_all(text.as_bytes())
}

fn answers(node: &ChainNode, calls: &Value, change: &dyn Fn(&Value, Value) -> Value) -> Value {
    let answer = |call: &Value| {
        let method = call["method"].as_str().unwrap();
        let answer = match method {
            "anvil_nodeInfo" => Ok(json!({ "hardFork": "Prague" })),
            _ => node.answer(method, &call["params"]),
        };
        match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": call["id"], "result": change(call, result) }),
            Err((code, message)) => {
                json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": code, "message": message } })
            }
        }
    };
    match calls {
        Value::Array(calls) => calls.iter().map(answer).collect(),
        call => answer(call),
    }
}
