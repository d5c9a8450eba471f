//! An ethrex node as a child process, and its methods.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

/// The time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node. It is killed when it is dropped.
pub(crate) struct Node {
    process: Child,
    /// The address without its scheme.
    address: String,
}

impl Node {
    /// Starts the program `node` with a genesis, on a free port.
    pub(crate) fn start(node: &Path, genesis: &Path) -> Self {
        let mut process = Command::new(node).arg(genesis).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").map(str::to_owned);
        let address = address.unwrap_or_else(|| panic!("the node says {line:?} instead of its URL"));
        Self { process, address }
    }

    /// The URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The result of a method.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut answer: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{method}: {error}: {body}"));
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The node keeps nothing. Whether it still runs does not matter.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
