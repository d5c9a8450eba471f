//! The processor time of both sides of a comparison.

use std::{env, hint::black_box, process::Command, thread, time::Duration};

use blockloom_bench::cpu_time::{CpuTime, used};
use rustix::time::ClockId;

/// Uses 20 ms of processor time of this thread, regardless of other threads.
fn spin() {
    let start = used(ClockId::ThreadCPUTime);
    while used(ClockId::ThreadCPUTime) - start < Duration::from_millis(20) {
        black_box(0);
    }
}

/// The figure includes all threads of the process, so the check needs a process without other tests.
#[test]
fn the_parallel_side_is_charged_for_its_lingering_threads_only() {
    let check = "cpu_time::check_in_a_process_of_its_own";
    let output =
        Command::new(env::current_exe().unwrap()).args(["--exact", check, "--ignored"]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
}

#[test]
#[ignore = "the test above runs it in a process of its own"]
fn check_in_a_process_of_its_own() {
    let mut cpu_time = CpuTime::start();
    cpu_time.sequential(spin);
    let lingering = cpu_time.parallel(|| {
        spin();
        thread::spawn(spin)
    });
    lingering.join().expect("it only spins");
    spin();
    let ratio = cpu_time.ratio();
    assert!(ratio > 1.9 && ratio < 2.3, "two threads that spin as long use twice the time: {ratio}");
}
