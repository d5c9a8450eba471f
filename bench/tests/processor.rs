//! Processor time: one test on its own, for all threads of the process are counted.

use std::{hint::black_box, thread, time::Duration};

use blockloom_bench::measure::{Processor, used};
use rustix::time::ClockId;

/// Uses a certain time of a processor, however many others want it.
fn spin() {
    let start = used(ClockId::ThreadCPUTime);
    while used(ClockId::ThreadCPUTime) - start < Duration::from_millis(20) {
        black_box(0);
    }
}

#[test]
fn the_parallel_side_is_charged_for_threads_that_linger_and_for_nothing_else() {
    let mut processor = Processor::start();
    processor.alone(spin);
    let lingering = processor.together(|| {
        spin();
        thread::spawn(spin)
    });
    lingering.join().expect("it only spins");
    spin();
    let ratio = processor.ratio();
    assert!(ratio > 1.9 && ratio < 2.3, "two that spin as long cost twice as much: {ratio}");
}
