//! Crashes, damaged files, full disks and a second process.

use crate::{
    Arguments,
    data::{self, Digest, Rng, WITNESS_KEY},
    measure,
    store::{Check, Reader, Result, Store, Table},
};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The timeout after which a child process counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(60);

fn child(args: &Arguments, command: &str, dir: &Path, extra: &[String]) -> Result<Child> {
    Ok(Command::new(env::current_exe()?)
        .args([&args.database, command])
        .arg(dir)
        .args(&args.rest)
        .args(extra)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?)
}

/// Commits blocks until it is killed, and prints the number of each durable block.
pub fn writer<S: Store>(args: &Arguments) -> Result<()> {
    let store = S::open(&args.dir, &args.options)?;
    let mut number = measure::head(&store.reader()?)?;
    loop {
        number += 1;
        store.commit(&data::block(number, args.accounts))?;
        println!("{number}");
    }
}

/// Repeatedly kills a writer at a random time and checks the store that it left.
pub fn kill<S: Store>(args: &Arguments) -> Result<()> {
    let mut rng = Rng(args.accounts);
    for _ in 0..args.count {
        let mut writer = child(args, "writer", &args.dir, &[])?;
        let mut lines = BufReader::new(writer.stdout.take().ok_or("no output")?).lines();
        let mut last = 0;
        for line in lines.by_ref().take(12) {
            last = line?.parse()?;
        }
        thread::sleep(Duration::from_micros(rng.below(40_000)));
        writer.kill()?;
        writer.wait()?;
        for line in lines {
            last = line?.parse()?;
        }
        let start = Instant::now();
        let store = S::open(&args.dir, &args.options)?;
        let reader = store.reader()?;
        let head = measure::head(&reader)?;
        let time = start.elapsed().as_secs_f64() * 1e3;
        let mut value = Vec::new();
        let undo = reader.get(Table::Undo, &head.to_be_bytes(), &mut value)?;
        let witness = reader.get(Table::Accounts, WITNESS_KEY, &mut value)? && value == head.to_be_bytes();
        println!(
            "kill: open {time:.1} ms, acknowledged {last}, found {head}, {}, {}",
            if head >= last { "nothing lost" } else { "LOST" },
            if undo && witness { "whole" } else { "TORN" },
        );
        drop(reader);
        store.close()?;
    }
    Ok(())
}

/// Reads all entries and compares them with the loaded ones.
pub fn verify<S: Store>(args: &Arguments) -> Result<()> {
    let mut store = match S::open(&args.dir, &args.options) {
        Ok(store) => store,
        Err(error) => {
            println!("outcome: error at open\n{error:?}");
            return Ok(());
        }
    };
    let mut digest = Digest::default();
    let scanned = (|| {
        let reader = store.reader()?;
        reader.scan(Table::Accounts, &mut |key, value| digest.add(key, value))?;
        reader.scan(Table::Nodes, &mut |key, value| digest.add(key, value))?;
        reader.scan(Table::Undo, &mut |_, _| {})?;
        measure::head(&reader)
    })();
    if let Err(error) = scanned {
        println!("outcome: error at read\n{error:?}");
        return Ok(());
    }
    let right = digest == args.expected;
    println!("values are {}", if right { "right" } else { "wrong" });
    let check = store.check();
    let found = !matches!(check, Ok(Check::None | Check::Passed));
    println!(
        "outcome: {}\n{check:?}",
        match (right, found) {
            (true, true) => "found by the check only, values right",
            (false, true) => "found by the check only, values wrong",
            (true, false) => "nothing noticed, values right",
            (false, false) => "SILENTLY WRONG",
        }
    );
    Ok(())
}

fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The outcome of a verification in a child process, and its output.
fn outcome(args: &Arguments, dir: &Path, expected: Digest) -> Result<(String, String)> {
    let extra = [
        "--expect-count".to_owned(),
        expected.count.to_string(),
        "--expect-sum".to_owned(),
        expected.sum.to_string(),
    ];
    let mut child = child(args, "verify", dir, &extra)?;
    let status = wait(&mut child)?;
    let mut text = String::new();
    child.stdout.take().ok_or("no output")?.read_to_string(&mut text)?;
    child.stderr.take().ok_or("no output")?.read_to_string(&mut text)?;
    let verdict = text.lines().find_map(|line| line.strip_prefix("outcome: "));
    let outcome = match status {
        None => "hangs".to_owned(),
        Some(status) if !status.success() => match verdict {
            Some(verdict) => format!("{verdict}, then {status}"),
            None if text.contains("panicked") => "panic".to_owned(),
            None => format!("crash: {status}"),
        },
        Some(_) => verdict.unwrap_or("unknown").to_owned(),
    };
    Ok((outcome, text.replace('\n', " | ")))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for (path, _) in measure::files(from)? {
        let target = to.join(path.strip_prefix(from)?);
        fs::create_dir_all(target.parent().ok_or("no parent")?)?;
        fs::copy(path, target)?;
    }
    Ok(())
}

fn flip(path: &Path, offset: u64, bit: u64) -> Result<()> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut byte)?;
    byte[0] ^= 1 << bit;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file.write_all(&byte)?)
}

/// Damages copies of a freshly loaded store and counts the outcomes.
pub fn damage(args: &Arguments) -> Result<()> {
    let expected = Digest::expected(args.accounts);
    let files: Vec<(PathBuf, u64)> = measure::files(&args.dir)?
        .into_iter()
        .filter(|(path, _)| !path.ends_with("lock.mdb") && !path.ends_with("mdbx.lck"))
        .collect();
    let total: u64 = files.iter().map(|(_, len)| len).sum();
    let work = args.scratch.join(&args.database);
    copy(&args.dir, &work)?;
    println!("undamaged: {}", outcome(args, &work, expected)?.0);
    let mut rng = Rng(40);
    let mut counts = BTreeMap::<String, u64>::new();
    for _ in 0..args.count {
        let mut offset = rng.below(total);
        let bit = rng.below(8);
        let (path, _) = files
            .iter()
            .find(|(_, len)| {
                let inside = offset < *len;
                if !inside {
                    offset -= len;
                }
                inside
            })
            .ok_or("no file")?;
        copy(&args.dir, &work)?;
        let path = path.strip_prefix(&args.dir)?;
        flip(&work.join(path), offset, bit)?;
        let (outcome, text) = outcome(args, &work, expected)?;
        println!("  {} +{offset}: {outcome}: {text:.300}", path.display());
        *counts.entry(outcome).or_default() += 1;
    }
    println!("flips: {counts:?}");
    let (path, len) = files.iter().max_by_key(|(_, len)| *len).ok_or("no file")?;
    for left in [len / 2, len - 100] {
        copy(&args.dir, &work)?;
        let target = work.join(path.strip_prefix(&args.dir)?);
        fs::OpenOptions::new().write(true).open(target)?.set_len(left)?;
        let (outcome, text) = outcome(args, &work, expected)?;
        println!("truncated from {len} to {left}: {outcome}: {text:.300}");
    }
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// Writes blocks until the disk is full, then checks the store.
pub fn fill<S: Store>(args: &Arguments) -> Result<()> {
    let store = S::open(&args.dir, &args.options)?;
    let mut number = measure::head(&store.reader()?)?;
    let error = loop {
        number += 1;
        if let Err(error) = store.commit(&data::block(number, args.accounts)) {
            break error;
        }
        if number > 100_000 {
            return Err("the disk does not fill up".into());
        }
    };
    println!("fill: block {number} failed: {error:?}");
    println!("same handle reads head {:?}", store.reader().and_then(|reader| measure::head(&reader)));
    println!("same handle commits {:?}", store.commit(&data::block(number, args.accounts)));
    println!("close {:?}", store.close());
    let store = S::open(&args.dir, &args.options)?;
    println!("reopened, head {:?}", measure::head(&store.reader()?));
    Ok(())
}

/// Opens the store in a second process at the same time.
pub fn lock<S: Store>(args: &Arguments) -> Result<()> {
    let _store = S::open(&args.dir, &args.options)?;
    let output = child(args, "open", &args.dir, &[])?.wait_with_output()?;
    print!("second process: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
