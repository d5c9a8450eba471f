//! Reads of a store while another thread adds blocks and another one writes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use alloy_primitives::B256;
use blockloom_state::{DiskConfig, Layer, Layered, MemoryStore};
use revm_database_interface::DatabaseRef;

use super::pair::{Edit, StorePair, address, block, changes, config, word};

/// The edits of a block: payments and writes that every block repeats with another value, so that what was read before a
/// block is wrong after it; and sometimes an account that begins again, or restored values.
fn edits(number: u64) -> Vec<Edit> {
    let mut edits: Vec<_> = (1..=20).map(|byte| Edit::Pay(byte, number * 7 % 5 + u64::from(byte))).collect();
    edits.extend((1..=20).map(|byte| Edit::Write(byte, 3, number % 3)));
    match number % 4 {
        1 => edits.push(Edit::Destroy(7)),
        2 => edits.push(Edit::Recreate(9)),
        _ => {}
    }
    edits
}

/// What a state says of all accounts and slots that blocks change.
fn seen<B: DatabaseRef>(base: &B) -> Vec<(Option<u64>, u64)>
where
    B::Error: std::fmt::Debug,
{
    let account = |byte| {
        let info = base.basic_ref(address(byte)).unwrap();
        let slot = base.storage_ref(address(byte), word(3)).unwrap();
        (info.map(|info| info.balance.to()), slot.to())
    };
    (1..=20).map(account).collect()
}

/// Sets a flag at the end of a scope.
struct OnDrop<'f>(&'f AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_layered_state_stands_still_while_the_store_takes_its_blocks_over() {
    const BLOCKS: u64 = 400;
    let config = DiskConfig { cache_bytes: 1 << 20, ..config(5) };
    let StorePair { folder, disk, mut memory, history, .. } = StorePair::new(config);
    let (mut blocks, mut layer) = (Vec::new(), Layer::default());
    for number in 1..=BLOCKS {
        let changes = changes(&memory, &edits(number));
        memory.apply(&changes).unwrap();
        layer.add(&changes, number, block(number).hash);
        blocks.push(changes);
    }
    let (layered, expected) = (Layered::new(&disk, [Arc::new(layer)]), seen(&memory));
    let is_done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            // Also if a block is refused, the other threads end.
            let _done = OnDrop(&is_done);
            for (number, changes) in (1..).zip(&blocks) {
                let staged = disk.stage(changes).unwrap();
                disk.add(staged, block(number)).unwrap();
            }
        });
        threads.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                if disk.is_write_due() { disk.flush().unwrap() } else { thread::yield_now() }
            }
        });
        for _ in 0..2 {
            threads.spawn(|| {
                let (first, mut rounds) = (disk.head().number, 0);
                while !is_done.load(Ordering::Acquire) {
                    assert_eq!(seen(&layered), expected);
                    // Fills the read cache with what is there at the moment.
                    let _ = seen(&disk);
                    rounds += 1;
                }
                assert!(rounds > 0 && first < BLOCKS, "something was read while blocks were added");
            });
        }
    });
    assert_eq!(seen(&disk), expected, "no old value stays in the read cache");
    disk.flush().unwrap();
    assert_eq!(disk.unwritten_blocks(), 0);
    assert_eq!(disk.head().root, memory.root());
    StorePair { folder, config, disk, memory, history }.reopen().compare();
}

#[test]
fn a_block_that_was_staged_before_another_one_was_added_is_refused() {
    let pair = StorePair::new(config(1));
    let of = |memory: &MemoryStore, number| changes(memory, &edits(number));
    let [first, second] = [1, 2].map(|number| pair.disk.stage(&of(&pair.memory, number)).unwrap());
    pair.disk.add(first, block(1)).unwrap();
    let head = pair.disk.head();
    let refused = pair.disk.add(second, block(2)).unwrap_err();
    assert!(refused.to_string().contains("block 2"), "{refused}");
    assert_eq!(pair.disk.head(), head);
    assert_ne!(head.hash, B256::ZERO);
}
