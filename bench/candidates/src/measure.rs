//! Time, size and memory.

use crate::{
    Arguments,
    data::{self, HEAD_KEY, Rng},
    store::{Batch, Reader, Result, Store, Table},
};
use std::{
    fs, io,
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// Entries per batch of the loading.
const BATCH: u64 = 100_000;
/// Reads per thread and round.
const READS: usize = 200_000;
/// Rounds of reads.
const ROUNDS: usize = 5;

fn proc_value(path: &str, name: &str) -> u64 {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().nth(0)?.parse().ok())
        .unwrap_or(0)
}

/// The memory of this process as one line, in MiB.
fn memory() -> String {
    let mib = |name| proc_value("/proc/self/status", name) / 1024;
    format!("VmHWM {} RssAnon {} RssFile {} MiB", mib("VmHWM:"), mib("RssAnon:"), mib("RssFile:"))
}

/// Bytes that this process has caused to be written.
fn written() -> u64 {
    proc_value("/proc/self/io", "write_bytes:")
}

/// All files below a directory with their sizes.
pub fn files(dir: &Path) -> io::Result<Vec<(std::path::PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.path(), entry.metadata()?.len()));
        }
    }
    found.sort();
    Ok(found)
}

fn disk_mib(dir: &Path) -> io::Result<u64> {
    Ok(files(dir)?.iter().map(|(_, len)| len).sum::<u64>() >> 20)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Fills a table in batches, the keys ascending within each.
fn load_table<S: Store>(
    store: &S,
    table: Table,
    total: u64,
    strided: bool,
    entry: impl Fn(u64) -> (Vec<u8>, Vec<u8>),
) -> Result<()> {
    let batches = total.div_ceil(BATCH);
    for number in 0..batches {
        let mut batch = Batch::default();
        let mut put = |index| {
            let (key, value) = entry(index);
            batch.put(table, key, value);
        };
        if strided {
            (number..total).step_by(batches as usize).for_each(&mut put);
        } else {
            (number * BATCH..total.min((number + 1) * BATCH)).for_each(&mut put);
        }
        store.commit(&batch)?;
    }
    Ok(())
}

/// Loads a new store.
pub fn load<S: Store>(args: &Arguments) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let start = Instant::now();
    let store = S::open(&args.dir, &args.options)?;
    let accounts = args.accounts;
    load_table(&store, Table::Accounts, accounts, args.strided, |index| {
        (data::account_key(index, accounts), data::account_value(index, 0))
    })?;
    let nodes = data::node_count(accounts);
    load_table(&store, Table::Nodes, nodes, args.strided, |index| {
        (data::node_key(index, nodes), data::node_value(index, 0))
    })?;
    let mut head = Batch::default();
    head.put(Table::Head, HEAD_KEY.to_vec(), 0_u64.to_be_bytes().to_vec());
    store.commit(&head)?;
    let loaded = start.elapsed();
    store.settle();
    let settled = start.elapsed();
    let memory = memory();
    let start = Instant::now();
    store.close()?;
    println!(
        "load: {:.1} s (settled {:.1} s), close {:.0} ms, {} MiB on disk, written {} MiB, {memory}",
        loaded.as_secs_f64(),
        settled.as_secs_f64(),
        ms(start.elapsed()),
        disk_mib(&args.dir)?,
        written() >> 20,
    );
    Ok(())
}

/// Nanoseconds per read of `threads` threads that start together.
fn read_round<S: Store>(store: &S, keys: &[Vec<Vec<u8>>]) -> Result<f64> {
    let barrier = &Barrier::new(keys.len());
    let times = thread::scope(|scope| {
        let threads: Vec<_> = keys
            .iter()
            .map(|keys| {
                scope.spawn(move || -> Result<(Instant, Instant)> {
                    let reader = store.reader()?;
                    let mut value = Vec::with_capacity(64);
                    barrier.wait();
                    let start = Instant::now();
                    for key in keys {
                        if !reader.get(Table::Accounts, key, &mut value)? {
                            return Err("an account is missing".into());
                        }
                    }
                    Ok((start, Instant::now()))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a reading thread panicked"))
            .collect::<Result<Vec<_>>>()
    })?;
    let start = times.iter().map(|(start, _)| *start).min().expect("one thread");
    let end = times.iter().map(|(_, end)| *end).max().expect("one thread");
    Ok((end - start).as_secs_f64() * 1e9 / READS as f64)
}

/// Reads with each number of threads in turn and prints the medians.
fn read_rounds<S: Store>(store: &S, accounts: u64, counts: &[usize]) -> Result<String> {
    let mut rng = Rng(7);
    let most = counts.iter().copied().max().unwrap_or(1);
    let keys: Vec<Vec<Vec<u8>>> = (0..most)
        .map(|_| (0..READS).map(|_| data::account_key(rng.below(accounts), accounts)).collect())
        .collect();
    read_round(store, &keys)?;
    let mut times = vec![Vec::new(); counts.len()];
    for _ in 0..ROUNDS {
        for (times, threads) in times.iter_mut().zip(counts) {
            times.push(read_round(store, &keys[..*threads])?);
        }
    }
    let mut line = String::new();
    let mut single = 0.0;
    for (times, threads) in times.iter_mut().zip(counts) {
        let time = median(times);
        if *threads == 1 {
            single = time;
            line += &format!("1 thread {time:.0} ns");
        } else {
            let ratio = *threads as f64 * single / time;
            line += &format!(", {threads} threads {time:.0} ns (x{ratio:.2})");
        }
    }
    Ok(line)
}

/// Random point reads.
pub fn reads<S: Store>(args: &Arguments) -> Result<()> {
    let store = S::open(&args.dir, &args.options)?;
    let line = read_rounds(&store, args.accounts, &[1, 2, 4])?;
    println!("reads: {line}; {}", memory());
    store.close()
}

/// The head's number.
pub fn head(reader: &impl Reader) -> Result<u64> {
    let mut value = Vec::new();
    if !reader.get(Table::Head, HEAD_KEY, &mut value)? {
        return Err("there is no head".into());
    }
    Ok(u64::from_be_bytes(value.as_slice().try_into()?))
}

/// Commits blocks, one after the other.
pub fn commits<S: Store>(args: &Arguments) -> Result<()> {
    let store = S::open(&args.dir, &args.options)?;
    let first = head(&store.reader()?)? + 1;
    let before = written();
    let mut times = Vec::new();
    for number in first..first + args.count {
        let block = data::block(number, args.accounts);
        let start = Instant::now();
        store.commit(&block)?;
        times.push(ms(start.elapsed()));
    }
    let foreground = written() - before;
    let memory = memory();
    let reads = read_rounds(&store, args.accounts, &[1, 2])?;
    store.settle();
    let settled = written() - before;
    let worst = times.iter().copied().fold(0.0, f64::max);
    println!(
        "commits: {} x median {:.1} ms, worst {worst:.1} ms, {:.2} MB written each ({:.2} settled), {memory}; then {reads}; {} MiB on disk",
        args.count,
        median(&mut times),
        foreground as f64 / args.count as f64 / 1e6,
        settled as f64 / args.count as f64 / 1e6,
        disk_mib(&args.dir)?,
    );
    store.close()
}

/// Opens the store and reads the head.
pub fn open<S: Store>(args: &Arguments) -> Result<()> {
    let start = Instant::now();
    let store = S::open(&args.dir, &args.options)?;
    let head = head(&store.reader()?)?;
    println!("open: {:.1} ms, head {head}, {}", ms(start.elapsed()), memory());
    store.close()
}
