//! Damaged stores: opening or verification reports an error, or the content is unchanged. No damage
//! leads to a panic.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use blockloom_state::{BlockMetadata, DiskError, DiskStore, Genesis, Verified};

use super::pair::{Edit, StorePair, block, config};

/// A closed store with some blocks, with its head and its verified content.
struct DamagedStore {
    folder: tempfile::TempDir,
    head: BlockMetadata,
    verified: Verified,
}

impl DamagedStore {
    /// A store with data in tables and in the journal.
    fn new() -> Self {
        let mut pair = StorePair::new(config(1)).reopen();
        for number in 1..=20u8 {
            let write = |key| Edit::Write(number % 5, key, u64::from(number) + u64::from(key) + 1);
            let mut edits: Vec<_> = (0..40).map(write).collect();
            edits.push(Edit::Pay(100 + number, 7));
            edits.push(Edit::Deploy(number, number));
            pair.add(&edits);
        }
        let StorePair { folder, disk, .. } = pair;
        let (head, verified) = (disk.head(), disk.verify().unwrap());
        drop(disk);
        Self { folder, head, verified }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The largest file of the store with `kind` in its path.
    fn file(&self, kind: &str) -> PathBuf {
        let files = walk(self.path()).into_iter().filter(|path| name(path).contains(kind));
        files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap_or_else(|| panic!("no file {kind}"))
    }

    /// Opens and verifies the store. Returns an error if the damage is found, the new head if the content
    /// differs without an error, and `None` if the content is unchanged.
    fn verdict(&self) -> Result<Option<BlockMetadata>, DiskError> {
        let store = DiskStore::open(self.path(), config(1))?;
        let is_unchanged = store.verify()? == self.verified && store.head() == self.head;
        Ok((!is_unchanged).then(|| store.head()))
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

/// One kind of damage: its name, and the function that causes it.
type Damage = (&'static str, fn(&DamagedStore));

/// The end of the journal's data. The file itself is longer, because it is preallocated.
fn journal_end(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

const DAMAGES: [Damage; 24] = [
    ("the superblock is missing", |store| fs::remove_file(store.file("superblock")).unwrap()),
    ("the superblock is empty", |store| truncate(&store.file("superblock"), 0.0)),
    ("the superblock is truncated", |store| truncate(&store.file("superblock"), 0.01)),
    ("the superblock is overwritten", |store| overwrite(&store.file("superblock"), 0, &[7; 4160])),
    ("both copies of the superblock are damaged", |store| {
        [20, 4116].into_iter().for_each(|at| flip(&store.file("superblock"), at, 3));
    }),
    ("the superblock has a later format", |store| {
        let superblock = store.file("superblock");
        let mut bytes = fs::read(&superblock).unwrap();
        for from in [0, 4096] {
            let copy = &mut bytes[from..from + 64];
            copy[19] = 9;
            let sum = alloy_primitives::keccak256(&copy[..37]);
            copy[37..].copy_from_slice(&sum[..27]);
        }
        fs::write(superblock, bytes).unwrap();
    }),
    ("the database is missing", |store| fs::remove_dir_all(store.path().join("state")).unwrap()),
    ("the database is empty", |store| {
        fs::remove_dir_all(store.path().join("state")).unwrap();
        fs::create_dir(store.path().join("state")).unwrap();
    }),
    ("the database is a file", |store| {
        fs::remove_dir_all(store.path().join("state")).unwrap();
        fs::write(store.path().join("state"), "no folder").unwrap();
    }),
    ("the database belongs to another store", |store| {
        let other = tempfile::tempdir().unwrap();
        drop(Genesis::begin(other.path(), config(1)).unwrap().finish(block(0)).unwrap());
        fs::remove_dir_all(store.path().join("state")).unwrap();
        fs::rename(other.path().join("state"), store.path().join("state")).unwrap();
    }),
    ("the journal is missing", |store| fs::remove_file(store.file(".jnl")).unwrap()),
    ("the journal is empty", |store| truncate(&store.file(".jnl"), 0.0)),
    ("the journal ends in the middle of a block", |store| {
        let journal = store.file(".jnl");
        let end = journal_end(&journal);
        OpenOptions::new().write(true).open(&journal).unwrap().set_len(end - 40).unwrap();
    }),
    ("the journal is truncated to half of its data", |store| {
        let journal = store.file(".jnl");
        let end = journal_end(&journal);
        OpenOptions::new().write(true).open(&journal).unwrap().set_len(end / 2).unwrap();
    }),
    ("the start of the journal is zeroed", |store| overwrite(&store.file(".jnl"), 0, &[0; 4096])),
    ("the middle of the journal is zeroed", |store| {
        let journal = store.file(".jnl");
        overwrite(&journal, journal_end(&journal) / 2, &[0; 512]);
    }),
    ("a bit at the start of the journal is flipped", |store| flip(&store.file(".jnl"), 0, 0)),
    ("a bit in the middle of the journal is flipped", |store| {
        let journal = store.file(".jnl");
        flip(&journal, journal_end(&journal) / 2, 5);
    }),
    ("a bit near the end of the journal is flipped", |store| {
        let journal = store.file(".jnl");
        flip(&journal, journal_end(&journal) - 9, 5);
    }),
    ("the list of versions is missing", |store| fs::remove_file(store.file("current")).unwrap()),
    ("the list of versions is empty", |store| truncate(&store.file("current"), 0.0)),
    ("the version of the database is unknown", |store| overwrite(&store.file("version"), 0, &[0xee; 4])),
    ("the version of the database is missing", |store| fs::remove_file(store.file("version")).unwrap()),
    ("the two halves of the journal are swapped", |store| {
        let journal = store.file(".jnl");
        let mut bytes = fs::read(&journal).unwrap();
        let end = usize::try_from(journal_end(&journal)).unwrap();
        bytes[..end].rotate_left(end / 2);
        fs::write(journal, bytes).unwrap();
    }),
];

#[test]
fn every_kind_of_damage_is_found() {
    for (name, damage) in DAMAGES {
        let store = DamagedStore::new();
        damage(&store);
        let verdict = store.verdict();
        assert!(verdict.is_err(), "{name}: {verdict:?}");
        // The failed attempt did not change the store into another valid one.
        let again = store.verdict();
        assert!(!matches!(again, Ok(Some(_))), "{name}, again: {again:?}");
    }
}

#[test]
fn an_undamaged_store_is_accepted() {
    assert_eq!(DamagedStore::new().verdict().unwrap(), None);
}

#[test]
fn one_intact_copy_of_the_seal_is_enough() {
    for position in [20, 4116] {
        let store = DamagedStore::new();
        flip(&store.file("superblock"), position, 0);
        assert_eq!(store.verdict().unwrap(), None);
    }
}

/// Flips one bit in each of 60 places, in all files.
#[test]
fn a_flipped_bit_is_found_or_changes_no_content() {
    let files: Vec<_> = {
        let store = DamagedStore::new();
        let files = walk(store.path()).into_iter();
        let inside = |path: PathBuf| path.strip_prefix(store.path()).unwrap().to_owned();
        files.filter(|path| length(path) > 0).map(inside).collect()
    };
    for (index, file) in files.iter().cycle().take(60).enumerate() {
        let store = DamagedStore::new();
        let path = store.path().join(file);
        if !path.exists() {
            continue;
        }
        let end = if name(&path).ends_with(".jnl") { journal_end(&path) } else { length(&path) };
        let at = (index as u64 * 7919 + 13) % end;
        flip(&path, at, u8::try_from(index % 8).unwrap());
        let verdict = store.verdict();
        assert!(!matches!(verdict, Ok(Some(_))), "bit {at} of {}: {verdict:?}", name(file));
    }
}
