//! MDBX: a descendant of LMDB.

use crate::store::{Batch, Check, Options, Reader, Result, Store, Table};
use signet_libmdbx::{
    Database, DatabaseFlags, Environment, Geometry, Mode, SyncMode, WriteFlags, ffi, tx::aliases::RoTxUnsync,
};
use std::{borrow::Cow, mem, path::Path};

/// The largest size of the file.
const MAX_SIZE: usize = 64 << 30;
/// By how much the file grows at a time.
const GROWTH: isize = 64 << 20;

/// A store in MDBX.
pub struct Mdbx {
    env: Environment,
    databases: [Database; 4],
}

/// A read transaction.
pub struct Snapshot {
    transaction: RoTxUnsync,
    databases: [Database; 4],
}

impl Store for Mdbx {
    fn open(dir: &Path, options: &Options) -> Result<Self> {
        let sync_mode = if options.sync { SyncMode::Durable } else { SyncMode::UtterlyNoSync };
        let env = Environment::builder()
            .set_max_dbs(4)
            .set_geometry(Geometry {
                size: Some(0..MAX_SIZE),
                growth_step: Some(GROWTH),
                ..Default::default()
            })
            .set_flags(Mode::ReadWrite { sync_mode }.into())
            .open(dir)?;
        let transaction = env.begin_rw_unsync()?;
        let create = |table: Table| transaction.create_db(Some(table.name()), DatabaseFlags::empty());
        let databases =
            [create(Table::Accounts)?, create(Table::Nodes)?, create(Table::Undo)?, create(Table::Head)?];
        transaction.commit()?;
        Ok(Self { env, databases })
    }

    fn reader(&self) -> Result<impl Reader> {
        Ok(Snapshot { transaction: self.env.begin_ro_unsync()?, databases: self.databases })
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        let transaction = self.env.begin_rw_unsync()?;
        for (table, entries) in batch.tables() {
            let database = self.databases[table as usize];
            for (key, value) in entries {
                transaction.put(database, key, value, WriteFlags::empty())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn check(&mut self) -> Result<Check> {
        // SAFETY: both are plain C structures for which zero is a valid value,
        // and the pointers outlive the call.
        let (code, problems) = self.env.with_raw_env_ptr(|env| unsafe {
            let callbacks: ffi::MDBX_chk_callbacks = mem::zeroed();
            let mut context: ffi::MDBX_chk_context = mem::zeroed();
            let code = ffi::mdbx_env_chk(env, &callbacks, &mut context, ffi::MDBX_CHK_DEFAULTS, 0, 0);
            (code, context.result.total_problems)
        });
        Ok(if code == 0 && problems == 0 { Check::Passed } else { Check::Failed })
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Reader for Snapshot {
    fn get(&self, table: Table, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let dbi = self.databases[table as usize].dbi();
        let Some(value) = self.transaction.get::<Cow<'_, [u8]>>(dbi, key)? else {
            return Ok(false);
        };
        out.clear();
        out.extend_from_slice(&value);
        Ok(true)
    }

    fn scan(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let mut cursor = self.transaction.cursor(self.databases[table as usize])?;
        let mut entries = cursor.iter_start::<Cow<'_, [u8]>, Cow<'_, [u8]>>()?;
        while let Some((key, value)) = entries.borrow_next()? {
            visit(&key, &value);
        }
        Ok(())
    }
}
