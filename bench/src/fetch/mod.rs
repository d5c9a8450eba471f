//! `blockloom fetch`: blocks from a node, each as a folder that `replay` reads.

mod blocks;
mod client;
mod endpoint;
mod folder;
mod retry;
mod run;

use std::{error::Error, path::PathBuf};

pub(crate) use blocks::BlockRange;
pub(crate) use endpoint::Secret;
pub(crate) use run::{Job, fetch};

use blockloom_engine::ChainSpec;

use crate::{ExitStatus, chain_option::named_chain, interrupt};

/// Fetch blocks from a node, with the state that they read.
///
/// Each block becomes a folder DIR/NUMBER that `replay` reads. It is executed and verified before it is written: its
/// transactions, withdrawals, receipts and ancestors against its header, and its state against the state root of its
/// parent, if the node has `eth_getProof`. A folder is written whole or not at all, and what is there already is passed
/// over, so an interrupted fetch goes on where it was.
///
/// A token: `--header 'Authorization: Bearer ...'`, or the environment variable `BLOCKLOOM_RPC_TOKEN`, which is sent as
/// that header. Neither is ever printed, nor is what follows the host in URL.
///
/// Exit status: 1 if an answer of the node contradicts its block; otherwise 130 if it was interrupted; otherwise 2 if
/// the node has not answered, or something is unusable; otherwise 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The node, as `http://HOST:PORT` or `https://HOST/PATH`.
    #[arg(long, value_name = "URL")]
    rpc: Secret,
    #[command(flatten)]
    connection: Connection,
    /// Numbers of blocks, or `latest`; FIRST..LAST is a range with both ends.
    #[arg(required = true, value_name = "BLOCKS")]
    blocks: Vec<BlockRange>,
    /// Write the folders of the blocks to DIR.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The chain: mainnet, sepolia, holesky, hoodi, or the path of a genesis.json. Default: the network that the node's
    /// chain id names, or what a geth, a reth or an anvil says of its rules.
    #[arg(long, value_name = "NAME|FILE", value_parser = named_chain)]
    chain: Option<ChainSpec>,
}

/// How a node is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Connection {
    /// A header of every request to the node, for example 'Authorization: Bearer ...'. May be given several times.
    #[arg(long, value_name = "NAME: VALUE", help_heading = "Node", requires = "rpc")]
    header: Vec<Secret>,
    /// The most requests that are under way at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Node", requires = "rpc")]
    requests: u16,
    /// The most calls in one request. If the node refuses so many, fewer are sent.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Node", requires = "rpc")]
    batch: u16,
    /// How often a request is sent again after a failure, with growing waits between.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=20), help_heading = "Node", requires = "rpc")]
    retries: u8,
    /// The longest time for one request, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = "Node", requires = "rpc")]
    timeout: u32,
}

/// The host and the port of the node at `rpc`.
pub(crate) fn node_name(rpc: &Secret) -> Result<String, String> {
    let name = endpoint::Endpoint::new(rpc, &[])?.to_string();
    Ok(name.split_once("://").map_or(name.clone(), |(_, host)| host.to_owned()))
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus, Box<dyn Error>> {
    interrupt::listen()?;
    let job = Job {
        rpc: &arguments.rpc,
        connection: &arguments.connection,
        blocks: &arguments.blocks,
        chain: arguments.chain.as_ref(),
    };
    let report = fetch(&job, &arguments.out)?;
    report.print(&arguments.out);
    Ok(report.status())
}
