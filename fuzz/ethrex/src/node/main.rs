//! An ethrex node on loopback, for tests: `ethrex-node GENESIS [PORT]`.
//!
//! Keeps the chain of a `genesis.json` in memory, prints its URL when it answers, and runs until it is killed. It has no
//! peers. Beside ethrex's own methods it has `node_mineBlock`, which builds a block with ethrex's payload builder,
//! executes it as ethrex executes any block, and makes it the head.

mod chain;
mod receipts;
mod server;

use std::{env, fs, io};

use ethrex_common_24::types::Genesis;

/// Why the node does not start.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("usage: ethrex-node GENESIS [PORT]")]
    Usage,
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path}: {source}")]
    Genesis { path: String, source: serde_json::Error },
    #[error("{0}")]
    Chain(String),
    #[error("127.0.0.1:{port}: {source}")]
    Listen { port: u16, source: io::Error },
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or(Error::Usage)?;
    let port = arguments.next().map_or(Ok(0), |text| text.parse()).map_err(|_| Error::Usage)?;
    let text = fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let genesis: Genesis = serde_json::from_slice(&text).map_err(|source| Error::Genesis { path, source })?;
    let context = chain::open(genesis).await.map_err(Error::Chain)?;
    server::serve(context, port).await.map_err(|source| Error::Listen { port, source })
}
