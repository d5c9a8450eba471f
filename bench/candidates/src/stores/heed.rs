//! heed: LMDB, a copy-on-write B-tree in a memory map.

use crate::store::{Batch, Check, Options, Reader, Result, Store, Table};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, WithoutTls, types::Bytes};
use std::path::Path;

/// Address space that is set aside: the largest size of the file.
const MAP_SIZE: usize = 64 << 30;

type Databases = [Database<'static, Bytes, Bytes>; 4];

/// A store in LMDB.
pub struct Heed {
    env: Env<WithoutTls>,
    databases: Databases,
}

/// A read transaction.
pub struct Snapshot<'a> {
    transaction: RoTxn<'a, WithoutTls>,
    databases: Databases,
}

impl Store for Heed {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let mut builder = EnvOpenOptions::new().read_txn_without_tls();
        builder.map_size(MAP_SIZE).max_dbs(4).max_readers(64);
        if !options.sync {
            // SAFETY: the measurement accepts a damaged file after a power failure.
            unsafe { builder.flags(EnvFlags::NO_SYNC) };
        }
        // SAFETY: the file is not changed by others while it is mapped.
        let env = unsafe { builder.open(dir)? };
        let transaction = env.write_txn()?;
        let databases = env
            .create_databases_and_commit(transaction, |opener, transaction| {
                let mut create =
                    |table: Table| opener.create_database::<Bytes, Bytes>(transaction, Some(table.name()));
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit([
                    create(Table::Accounts)?,
                    create(Table::Nodes)?,
                    create(Table::Undo)?,
                    create(Table::Head)?,
                ]))
            })?
            .unwrap_commit();
        Ok(Self { env, databases })
    }

    fn reader(&self) -> Result<impl Reader> {
        Ok(Snapshot { transaction: self.env.read_txn()?, databases: self.databases })
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (table, entries) in batch.tables() {
            let database = self.databases[table as usize];
            for (key, value) in entries {
                database.put(&mut transaction, key, value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn check(&mut self) -> Result<Check> {
        Ok(Check::None)
    }

    fn close(self) -> Result<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

impl Reader for Snapshot<'_> {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = self.databases[table as usize].get(&self.transaction, key)? else {
            return Ok(false);
        };
        out.clear();
        out.extend_from_slice(value);
        Ok(true)
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.databases[table as usize].iter(&self.transaction)? {
            let (key, value) = entry?;
            visit(key, value);
        }
        Ok(())
    }
}
