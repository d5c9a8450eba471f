//! fjall: a log-structured merge tree in safe Rust.

use crate::store::{Batch, Check, Options, Reader, Result, Store, Table};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use std::{path::Path, thread, time::Duration};

/// A store in fjall.
pub struct Fjall {
    db: Database,
    keyspaces: [Keyspace; 4],
    durability: Option<PersistMode>,
}

/// A snapshot over all keyspaces.
pub struct Snapshot<'a> {
    snapshot: fjall::Snapshot,
    keyspaces: &'a [Keyspace; 4],
}

impl Store for Fjall {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let db = Database::builder(dir).cache_size(options.cache as u64).open()?;
        let open = |table: Table| db.keyspace(table.name(), KeyspaceCreateOptions::default);
        let keyspaces = [open(Table::Accounts)?, open(Table::Nodes)?, open(Table::Undo)?, open(Table::Head)?];
        Ok(Self { db, keyspaces, durability: options.sync.then_some(PersistMode::SyncAll) })
    }

    fn reader(&self) -> Result<impl Reader> {
        Ok(Snapshot { snapshot: self.db.snapshot(), keyspaces: &self.keyspaces })
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        let mut writes = self.db.batch().durability(self.durability);
        for (table, entries) in batch.tables() {
            let keyspace = &self.keyspaces[table as usize];
            for (key, value) in entries {
                writes.insert(keyspace, key.as_slice(), value.as_slice());
            }
        }
        Ok(writes.commit()?)
    }

    fn check(&mut self) -> Result<Check> {
        Ok(Check::None)
    }

    fn settle(&self) {
        while self.db.outstanding_flushes() > 0 || self.db.active_compactions() > 0 {
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn close(self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}

impl Reader for Snapshot<'_> {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = self.snapshot.get(&self.keyspaces[table as usize], key)? else {
            return Ok(false);
        };
        out.clear();
        out.extend_from_slice(&value);
        Ok(true)
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.snapshot.iter(&self.keyspaces[table as usize]) {
            let (key, value) = entry.into_inner()?;
            visit(&key, &value);
        }
        Ok(())
    }
}
