//! Stores that somebody damaged: each is refused, when it is opened or when it is verified, or nothing is
//! wrong with what it says. None makes anything panic.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use blockloom_state::{DiskError, DiskStore, Genesis, Mark, Verified};

use crate::blocks::{Deed, Twins, block, config};

/// A store with some blocks, closed, and what it says of itself.
struct Patient {
    folder: tempfile::TempDir,
    head: Mark,
    verified: Verified,
}

impl Patient {
    /// A store of which a part lies in tables and a part in the journal.
    fn new() -> Self {
        let mut twins = Twins::new(config(1)).reopen();
        for number in 1..=20u8 {
            let write = |key| Deed::Write(number % 5, key, u64::from(number) + u64::from(key) + 1);
            let mut deeds: Vec<_> = (0..40).map(write).collect();
            deeds.push(Deed::Pay(100 + number, 7));
            deeds.push(Deed::Deploy(number, number));
            twins.add(&deeds);
        }
        let Twins { folder, disk, .. } = twins;
        let (head, verified) = (disk.head().clone(), disk.verify().unwrap());
        drop(disk);
        Self { folder, head, verified }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The largest file of the store of this kind.
    fn file(&self, kind: &str) -> PathBuf {
        let files = walk(self.path()).into_iter().filter(|path| name(path).contains(kind));
        files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap_or_else(|| panic!("no file {kind}"))
    }

    /// Opens and verifies the store: an error refuses it, and a mark is what it says of itself where that is
    /// not what it said before, so that nobody would know.
    fn verdict(&self) -> Result<Option<Mark>, DiskError> {
        let store = DiskStore::open(self.path(), config(1))?;
        let is_whole = store.verify()? == self.verified && *store.head() == self.head;
        Ok((!is_whole).then(|| store.head().clone()))
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn flip(path: &Path, at: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

fn truncate(path: &Path, share: f64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len((length as f64 * share) as u64).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// One kind of damage: what it is called, and how it is done.
type Damage = (&'static str, fn(&Patient));

/// Where the journal, whose length is made up beforehand, ends in truth.
fn journal_end(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

const DAMAGES: [Damage; 24] = [
    ("the seal is gone", |patient| fs::remove_file(patient.file("seal")).unwrap()),
    ("the seal is empty", |patient| truncate(&patient.file("seal"), 0.0)),
    ("the seal is cut in half", |patient| truncate(&patient.file("seal"), 0.2)),
    ("the seal is another's", |patient| overwrite(&patient.file("seal"), 0, &[7; 128])),
    ("both places of the seal are damaged", |patient| {
        [20, 84].into_iter().for_each(|at| flip(&patient.file("seal"), at, 3));
    }),
    ("the seal is of a later format", |patient| {
        let seal = patient.file("seal");
        let mut bytes = fs::read(&seal).unwrap();
        for place in bytes.chunks_mut(64) {
            place[19] = 9;
            let sum = alloy_primitives::keccak256(&place[..37]);
            place[37..].copy_from_slice(&sum[..27]);
        }
        fs::write(seal, bytes).unwrap();
    }),
    ("the database is gone", |patient| fs::remove_dir_all(patient.path().join("state")).unwrap()),
    ("the database is empty", |patient| {
        fs::remove_dir_all(patient.path().join("state")).unwrap();
        fs::create_dir(patient.path().join("state")).unwrap();
    }),
    ("the database is a file", |patient| {
        fs::remove_dir_all(patient.path().join("state")).unwrap();
        fs::write(patient.path().join("state"), "no folder").unwrap();
    }),
    ("the database is another store's", |patient| {
        let other = tempfile::tempdir().unwrap();
        drop(Genesis::begin(other.path(), config(1)).unwrap().finish(block(0)).unwrap());
        fs::remove_dir_all(patient.path().join("state")).unwrap();
        fs::rename(other.path().join("state"), patient.path().join("state")).unwrap();
    }),
    ("the journal is gone", |patient| fs::remove_file(patient.file(".jnl")).unwrap()),
    ("the journal is empty", |patient| truncate(&patient.file(".jnl"), 0.0)),
    ("the journal ends in the middle of a block", |patient| {
        let journal = patient.file(".jnl");
        let end = journal_end(&journal);
        OpenOptions::new().write(true).open(&journal).unwrap().set_len(end - 40).unwrap();
    }),
    ("the journal is cut in half", |patient| {
        let journal = patient.file(".jnl");
        let end = journal_end(&journal);
        OpenOptions::new().write(true).open(&journal).unwrap().set_len(end / 2).unwrap();
    }),
    ("the journal begins with nothing", |patient| overwrite(&patient.file(".jnl"), 0, &[0; 4096])),
    ("the middle of the journal is nothing", |patient| {
        let journal = patient.file(".jnl");
        overwrite(&journal, journal_end(&journal) / 2, &[0; 512]);
    }),
    ("a bit at the start of the journal flipped", |patient| flip(&patient.file(".jnl"), 0, 0)),
    ("a bit in the middle of the journal flipped", |patient| {
        let journal = patient.file(".jnl");
        flip(&journal, journal_end(&journal) / 2, 5);
    }),
    ("a bit near the end of the journal flipped", |patient| {
        let journal = patient.file(".jnl");
        flip(&journal, journal_end(&journal) - 9, 5);
    }),
    ("the list of versions is gone", |patient| fs::remove_file(patient.file("current")).unwrap()),
    ("the list of versions is empty", |patient| truncate(&patient.file("current"), 0.0)),
    ("the version of the database is another", |patient| overwrite(&patient.file("version"), 0, &[0xee; 4])),
    ("the version of the database is gone", |patient| fs::remove_file(patient.file("version")).unwrap()),
    ("two halves of the journal changed places", |patient| {
        let journal = patient.file(".jnl");
        let mut bytes = fs::read(&journal).unwrap();
        let end = usize::try_from(journal_end(&journal)).unwrap();
        bytes[..end].rotate_left(end / 2);
        fs::write(journal, bytes).unwrap();
    }),
];

#[test]
fn every_kind_of_damage_is_found() {
    for (name, damage) in DAMAGES {
        let patient = Patient::new();
        damage(&patient);
        let verdict = patient.verdict();
        assert!(verdict.is_err(), "{name}: {verdict:?}");
        // Whoever looked did not mend it into something else.
        let again = patient.verdict();
        assert!(!matches!(again, Ok(Some(_))), "{name}, again: {again:?}");
    }
}

#[test]
fn an_untouched_store_is_whole() {
    assert_eq!(Patient::new().verdict().unwrap(), None);
}

#[test]
fn one_place_of_the_seal_is_enough() {
    for place in [20, 84] {
        let patient = Patient::new();
        flip(&patient.file("seal"), place, 0);
        assert_eq!(patient.verdict().unwrap(), None);
    }
}

/// Bits all over the files: each flip is found, or does no harm.
#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let files: Vec<_> = {
        let patient = Patient::new();
        let files = walk(patient.path()).into_iter();
        let inside = |path: PathBuf| path.strip_prefix(patient.path()).unwrap().to_owned();
        files.filter(|path| length(path) > 0).map(inside).collect()
    };
    for (index, file) in files.iter().cycle().take(60).enumerate() {
        let patient = Patient::new();
        let path = patient.path().join(file);
        if !path.exists() {
            continue;
        }
        let end = if name(&path).ends_with(".jnl") { journal_end(&path) } else { length(&path) };
        let at = (index as u64 * 7919 + 13) % end;
        flip(&path, at, u8::try_from(index % 8).unwrap());
        let verdict = patient.verdict();
        assert!(!matches!(verdict, Ok(Some(_))), "bit {at} of {}: {verdict:?}", name(file));
    }
}
