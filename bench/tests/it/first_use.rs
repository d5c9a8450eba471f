//! The first use of a precompiled contract in a process takes hardly longer than later ones: nothing is set up inside
//! a block. A large pool is started beside, and threads end with their engine.

use std::{
    env, fs,
    hint::black_box,
    io,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use alloy_consensus::{Header, SignableTransaction, TxLegacy};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, bytes};
use blockloom_engine::{Block, Config, Engine, Frame, Rules, Transaction};
use blockloom_state::{Allocation, MemoryStore};
use revm::context::TxEnv;

const SENDER: Address = Address::with_last_byte(0xaa);

/// The test fails if none of so many processes keeps the bound: on a busy machine a thread may lose its core.
const ATTEMPTS: usize = 5;

/// A contract, and an input that it accepts.
struct Use {
    name: &'static str,
    address: u64,
    input: Bytes,
}

/// The first one also bears what the first block of a process costs.
fn uses() -> Vec<Use> {
    let zeros = |length| Bytes::from(vec![0; length]);
    [
        ("identity", 4, zeros(32)),
        // `correct_proof_4_4` of the reference tests of c-kzg.
        (
            "point evaluation",
            10,
            bytes!(
                "01e798154708fe7789429634053cbf9f99b619f9f084048927333fce637f549b73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff000000001522a4a7f34e1ea350ae07c29c96c7e79655aa926122e95fe69fcbd932ca49e98f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca25f26936857bc3a7c2539ea8ec3a952b7a62ad71d14c5719385c0686f1871430475bf3a00f0aa3f7b8dd99a9abc2160744faf0070725e00b60ad9a026a15b1a8c"
            ),
        ),
        (
            "ecrecover",
            1,
            bytes!(
                "456e9aea5e197a1f1af7a3e85a3212fa4049a3ba34c2289b4c860fc0b0c64ef3000000000000000000000000000000000000000000000000000000000000001c9242685bf161793cc25603c231bc2f568eb630ea16aa137d2664ac80388256084f8ae3bd7535248d0bd448298cc2e2071e56992d0774dc340c368ae950852ada"
            ),
        ),
        ("sha256", 2, zeros(64)),
        ("ripemd160", 3, zeros(64)),
        ("modexp", 5, zeros(192)),
        ("bn254 addition", 6, zeros(128)),
        ("bn254 multiplication", 7, zeros(96)),
        ("bn254 pairing", 8, zeros(192)),
        ("blake2", 9, zeros(213)),
        ("bls12-381 G1 addition", 11, zeros(256)),
        ("bls12-381 G2 addition", 13, zeros(512)),
        ("bls12-381 pairing", 15, zeros(384)),
        ("bls12-381 map to G1", 16, zeros(64)),
        ("bls12-381 map to G2", 17, zeros(128)),
        ("p256", 0x100, zeros(160)),
    ]
    .map(|(name, address, input)| Use { name, address, input })
    .into()
}

/// A block with one transaction, which calls the contract.
fn block(Use { address, input, .. }: &Use) -> Block {
    let header = Header {
        number: 1,
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(0),
        excess_blob_gas: Some(0),
        blob_gas_used: Some(0),
        ..Header::default()
    };
    let env = TxEnv {
        caller: SENDER,
        kind: TxKind::Call(Address::left_padding_from(&address.to_be_bytes())),
        data: input.clone(),
        gas_limit: 1_000_000,
        ..TxEnv::default()
    };
    let transactions = vec![Transaction { hash: B256::ZERO, env }];
    let empty = Block::without_body(Rules::mainnet(EthereumHardfork::Osaka), &header);
    Block { transactions, frame: Frame::TransactionsOnly, ..empty }
}

/// Runs an ignored test of this file in a process of its own, until it passes once. It must print the text.
fn pass_once(check: &str, sign: &str) {
    let mut report = String::new();
    for _ in 0..ATTEMPTS {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", &format!("first_use::{check}"), "--ignored", "--nocapture"])
            .output()
            .unwrap();
        report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(report.contains(sign), "{report}{}", String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            return;
        }
    }
    panic!("{report}");
}

#[test]
fn the_first_use_of_a_contract_takes_hardly_longer_than_later_ones() {
    pass_once("check_first_uses", "point evaluation: ");
}

/// The time of the first use, and the median time of later ones.
fn first_and_later(mut use_it: impl FnMut()) -> (Duration, Duration) {
    let mut timed = || {
        let start = Instant::now();
        use_it();
        start.elapsed()
    };
    let first = timed();
    let mut later: Vec<_> = (0..21).map(|_| timed()).collect();
    later.sort_unstable();
    (first, later[later.len() / 2])
}

#[test]
#[ignore = "a test above runs it in a process of its own"]
fn check_first_uses() {
    let rich = Allocation { balance: U256::from(1u64 << 60), ..Allocation::default() };
    let base = MemoryStore::from_genesis([(SENDER, rich)]);
    let engine = Engine::new(Config::sequential());
    let signed = TxLegacy::default().into_signed(Signature::test_signature());
    let recover = || assert!(black_box(&signed).recover_signer().is_ok());
    let mut times = vec![("recovery of a sender", first_and_later(recover))];
    for used in uses() {
        let block = block(&used);
        let execute = || drop(black_box(engine.execute(&base, &block).unwrap()));
        times.push((used.name, first_and_later(execute)));
    }
    times.iter().for_each(|(name, (first, later))| println!("{name}: first {first:?}, later {later:?}"));
    let (_, (_, evaluation)) = times.iter().find(|(name, _)| *name == "point evaluation").unwrap();
    // A point evaluation takes about a millisecond.
    for (name, (first, later)) in &times {
        let extra = first.saturating_sub(*later);
        assert!(
            extra < 2 * *evaluation,
            "{name}: {extra:?} more than later, of {evaluation:?} an evaluation"
        );
    }
}

/// The number of threads of this process that engines have started; `None` where the system does not list threads.
fn engine_threads() -> Option<usize> {
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let name = |task: io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("comm")).ok();
    Some(tasks.filter_map(name).filter(|name| name.starts_with("blockloom-")).count())
}

/// Waits until engines have as many threads.
fn wait_for_threads(number: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while engine_threads() != Some(number) {
        assert!(Instant::now() < deadline, "{:?} instead of {number} threads", engine_threads());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_large_pool_is_started_with_its_engine_and_ends_with_it() {
    pass_once("check_large_pools", "pools:");
}

#[test]
#[ignore = "a test above runs it in a process of its own"]
fn check_large_pools() {
    println!("pools: {:?} threads", engine_threads());
    if engine_threads().is_none() {
        return;
    }
    let small = Engine::new(Config::with_threads(20));
    wait_for_threads(0);
    let large = Engine::new(Config::with_threads(64));
    wait_for_threads(63);
    drop((small, large));
    wait_for_threads(0);
    // Engines that are dropped before their threads have started leave none.
    (0..20).for_each(|_| drop(Engine::new(Config::with_threads(64))));
    wait_for_threads(0);
}
