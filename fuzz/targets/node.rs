//! A node of which one answer is damaged: its block is refused with a short error, or fetched.

#![no_main]

use std::{
    collections::HashMap,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use blockloom_fixtures::node::{Fetcher, Node, NodeChain, Request, RequestError};
use blockloom_fuzz::ChainNode;
use libfuzzer_sys::fuzz_target;

static NODE: LazyLock<ChainNode> = LazyLock::new(|| ChainNode::sample(3));
static RAW_NODE: LazyLock<ChainNode> = LazyLock::new(|| NODE.clone().with_raw_blocks());

/// The right answers so far. A proof takes the node longer than all the rest of a fetch.
static ANSWERS: LazyLock<Mutex<HashMap<String, Answer>>> = LazyLock::new(Mutex::default);

/// When there are more, they are dropped: a damaged answer leads to requests of its own.
const MOST_ANSWERS: usize = 10_000;

type Answer = Result<String, RequestError>;

/// The node's answer to a request.
fn answer(node: &ChainNode, has_raw_blocks: bool, request: &Request) -> Answer {
    let key = format!("{has_raw_blocks} {request:?}");
    let mut answers = ANSWERS.lock().expect("no thread panicked");
    if answers.len() > MOST_ANSWERS {
        answers.clear();
    }
    answers.entry(key).or_insert_with(|| node.send(std::slice::from_ref(request)).remove(0)).clone()
}

/// A node that writes `patch` over its answer number `left`, from `start` on.
struct Patched<'p> {
    has_raw_blocks: bool,
    left: AtomicUsize,
    start: usize,
    patch: &'p [u8],
}

impl Node for Patched<'_> {
    fn send(&self, requests: &[Request]) -> Vec<Answer> {
        let node = if self.has_raw_blocks { &*RAW_NODE } else { &*NODE };
        let answers = requests.iter().map(|request| answer(node, self.has_raw_blocks, request));
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
    let has_raw_blocks = number & 0x80 != 0;
    let node = Patched { has_raw_blocks, left: AtomicUsize::new(usize::from(left % 24)), start, patch };
    let fetched = NodeChain::find(&node, Some(NODE.chain()))
        .and_then(|chain| Fetcher::new(&node, chain).block(u64::from(number % 3) + 1));
    match fetched {
        Ok(block) => drop(block.files()),
        Err(error) => assert!(error.to_string().len() < 2000, "{error}"),
    }
});
