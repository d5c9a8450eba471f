//! A node of which one answer is damaged: its block is refused with a short error, or fetched.

#![no_main]

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use blockloom_fixtures::node::{Fetcher, Node, NodeChain, Request, RequestError};
use blockloom_fuzz::ChainNode;
use libfuzzer_sys::fuzz_target;

static NODE: LazyLock<ChainNode> = LazyLock::new(|| ChainNode::sample(3));
static RAW_NODE: LazyLock<ChainNode> = LazyLock::new(|| NODE.clone().with_raw_blocks());

/// A node that writes `patch` over its answer number `left`, from `start` on.
struct Patched<'p> {
    node: &'p ChainNode,
    left: AtomicUsize,
    start: usize,
    patch: &'p [u8],
}

impl Node for Patched<'_> {
    fn send(&self, requests: &[Request]) -> Vec<Result<String, RequestError>> {
        let answers = self.node.send(requests).into_iter();
        let patched = answers.map(|answer| match answer {
            Ok(text) if self.left.fetch_sub(1, Ordering::Relaxed) == 0 => {
                let mut bytes = text.into_bytes();
                let start = self.start % (bytes.len() + 1);
                let end = (start + self.patch.len()).min(bytes.len());
                bytes.splice(start..end, self.patch.iter().copied());
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            answer => answer,
        });
        patched.collect()
    }
}

fuzz_target!(|input: &[u8]| {
    let [number, left, high, low, patch @ ..] = input else { return };
    let start = usize::from(u16::from_be_bytes([*high, *low]));
    let node = if number & 0x80 == 0 { &*NODE } else { &*RAW_NODE };
    let node = Patched { node, left: AtomicUsize::new(usize::from(left % 24)), start, patch };
    let fetched = NodeChain::find(&node, Some(NODE.chain()))
        .and_then(|chain| Fetcher::new(&node, chain).block(u64::from(number % 3) + 1));
    match fetched {
        Ok(block) => drop(block.files()),
        Err(error) => assert!(error.to_string().len() < 2000, "{error}"),
    }
});
