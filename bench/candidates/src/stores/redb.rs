//! redb: a copy-on-write B-tree in safe Rust, with its own page cache.

use crate::store::{Batch, Check, Options, Reader, Result, Store, Table};
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};
use std::path::Path;

type Bytes = &'static [u8];

const fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// A store in redb.
pub struct Redb {
    db: Database,
    options: Options,
}

/// One opened table per kind.
pub struct Snapshot([ReadOnlyTable<Bytes, Bytes>; 4]);

const _: () = {
    const fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Snapshot>();
};

impl Store for Redb {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let path = dir.join("redb");
        let exists = path.exists();
        let db = Database::builder()
            .set_cache_size(options.cache)
            .set_check_integrity_on_open(options.check_on_open)
            .create(path)?;
        if !exists {
            let transaction = db.begin_write()?;
            for table in Table::ALL {
                transaction.open_table(definition(table))?;
            }
            transaction.commit()?;
        }
        Ok(Self { db, options: *options })
    }

    fn reader(&self) -> Result<impl Reader> {
        let transaction = self.db.begin_read()?;
        let open = |table| transaction.open_table(definition(table));
        Ok(Snapshot([open(Table::Accounts)?, open(Table::Nodes)?, open(Table::Undo)?, open(Table::Head)?]))
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        if !self.options.sync {
            transaction.set_durability(Durability::None)?;
        }
        transaction.set_quick_repair(self.options.quick_repair);
        for (table, entries) in batch.tables() {
            let mut table = transaction.open_table(definition(table))?;
            for (key, value) in entries {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn check(&mut self) -> Result<Check> {
        Ok(if self.db.check_integrity()? { Check::Passed } else { Check::Failed })
    }

    fn close(self) -> Result<()> {
        Ok(self.db.close()?)
    }
}

impl Reader for Snapshot {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = self.0[table as usize].get(key)? else {
            return Ok(false);
        };
        out.clear();
        out.extend_from_slice(value.value());
        Ok(true)
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.0[table as usize].range::<&[u8]>(..)? {
            let (key, value) = entry?;
            visit(key.value(), value.value());
        }
        Ok(())
    }
}
