//! A database actor: one thread owns a database, and answers the requests of other threads.
//!
//! alloy-evm allows databases that are neither `Sync` nor `Send`. So the database stays on its thread,
//! the actor, which waits for requests while the block is executed. The other threads send requests
//! over a channel, through a [`DbActorHandle`].
//!
//! The actor ends when the last handle is dropped, also after a panic. If the actor ended first,
//! because the database panicked, a request fails with [`DbActorError::Stopped`]. So no thread waits
//! forever.
//!
//! A request costs some microseconds, most of it for waking threads. Spinning before sleeping made it
//! slower: if there are no more cores than executing threads, a spinning thread takes the core of the
//! thread that would answer.

use std::{
    io,
    panic::resume_unwind,
    sync::mpsc::{self, Sender, SyncSender},
    thread,
};

use alloy_primitives::{Address, B256, U256};
use revm::{
    Database, DatabaseRef,
    database_interface::DBErrorMarker,
    state::{AccountInfo, Bytecode},
};

use crate::alloy_evm::prefetch::PrefetchedReads;

/// Runs `client` on a new thread, with `database` as its base, and answers its requests on this thread.
/// Reads in `prefetched` need no request.
///
/// # Errors
///
/// If the system has no thread for it.
///
/// # Panics
///
/// If the client or the database panics, with the same payload.
pub(super) fn with_db_actor<DB: Database, T: Send>(
    database: &mut DB,
    prefetched: PrefetchedReads,
    client: impl FnOnce(&DbActorHandle<DB::Error>) -> T + Send,
) -> io::Result<T> {
    let (sender, requests) = mpsc::channel();
    let handle = DbActorHandle { sender, prefetched };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("blockloom".to_owned());
        let client = thread.spawn_scoped(scope, move || client(&{ handle }))?;
        for request in requests {
            request.answer(database);
        }
        Ok(client.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// A base that sends its reads to a database actor.
#[derive(Debug)]
pub(super) struct DbActorHandle<E> {
    sender: Sender<DbRequest<E>>,
    prefetched: PrefetchedReads,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DbActorError<E> {
    /// The database failed.
    #[error(transparent)]
    Database(E),
    /// The actor has ended.
    #[error("the thread that owns the database has ended")]
    Stopped,
}

impl<E: DBErrorMarker> DBErrorMarker for DbActorError<E> {}

type Reply<T, E> = SyncSender<Result<T, E>>;

#[derive(Debug)]
enum DbRequest<E> {
    Account(Address, Reply<Option<AccountInfo>, E>),
    Code(B256, Reply<Bytecode, E>),
    Slot(Address, U256, Reply<U256, E>),
    BlockHash(u64, Reply<B256, E>),
}

impl<E> DbRequest<E> {
    fn answer(self, database: &mut impl Database<Error = E>) {
        // Sending fails only if the requesting thread has panicked: then the reply is not needed.
        let _ = match self {
            Self::Account(address, reply) => reply.send(database.basic(address)).is_ok(),
            Self::Code(hash, reply) => reply.send(database.code_by_hash(hash)).is_ok(),
            Self::Slot(address, key, reply) => reply.send(database.storage(address, key)).is_ok(),
            Self::BlockHash(number, reply) => reply.send(database.block_hash(number)).is_ok(),
        };
    }
}

impl<E> DbActorHandle<E> {
    fn request<T>(&self, request: impl FnOnce(Reply<T, E>) -> DbRequest<E>) -> Result<T, DbActorError<E>> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.sender.send(request(reply)).map_err(|_| DbActorError::Stopped)?;
        answer.recv().map_err(|_| DbActorError::Stopped)?.map_err(DbActorError::Database)
    }
}

impl<E: DBErrorMarker> DatabaseRef for DbActorHandle<E> {
    type Error = DbActorError<E>;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DbActorError<E>> {
        match self.prefetched.account(&address) {
            Some(info) => Ok(info.clone()),
            None => self.request(|reply| DbRequest::Account(address, reply)),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, DbActorError<E>> {
        self.request(|reply| DbRequest::Code(code_hash, reply))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, DbActorError<E>> {
        match self.prefetched.slot(address, index) {
            Some(value) => Ok(value),
            None => self.request(|reply| DbRequest::Slot(address, index, reply)),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DbActorError<E>> {
        self.request(|reply| DbRequest::BlockHash(number, reply))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible, panic::AssertUnwindSafe, panic::catch_unwind};

    use super::*;

    /// A database that is neither `Sync` nor `Send`. It counts its reads.
    struct CountingDb {
        reads: std::rc::Rc<Cell<u64>>,
    }

    impl Database for CountingDb {
        type Error = Infallible;

        fn basic(&mut self, _address: Address) -> Result<Option<AccountInfo>, Infallible> {
            self.reads.set(self.reads.get() + 1);
            Ok(None)
        }

        fn code_by_hash(&mut self, _code_hash: B256) -> Result<Bytecode, Infallible> {
            panic!("the disk is gone")
        }

        fn storage(&mut self, _address: Address, index: U256) -> Result<U256, Infallible> {
            self.reads.set(self.reads.get() + 1);
            Ok(index + U256::from(1))
        }

        fn block_hash(&mut self, _number: u64) -> Result<B256, Infallible> {
            Ok(B256::ZERO)
        }
    }

    fn counting() -> CountingDb {
        CountingDb { reads: Default::default() }
    }

    #[test]
    fn many_threads_read_a_database_that_cannot_be_sent() {
        let mut database = counting();
        let sum = with_db_actor(&mut database, PrefetchedReads::default(), |handle| {
            thread::scope(|scope| {
                let read = |key: u64| handle.storage_ref(Address::ZERO, U256::from(key)).unwrap();
                let threads: Vec<_> = (0..8).map(|key| scope.spawn(move || read(key))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum::<U256>()
            })
        });
        assert_eq!(sum.unwrap(), U256::from(36));
        assert_eq!(database.reads.get(), 8);
    }

    #[test]
    fn a_prefetched_account_is_not_requested() {
        let mut database = counting();
        let mut prefetched = PrefetchedReads::default();
        prefetched.read_account(&mut database, Address::ZERO);
        let info =
            with_db_actor(&mut database, prefetched, |handle| handle.basic_ref(Address::ZERO).unwrap());
        assert_eq!(info.unwrap(), None);
        assert_eq!(database.reads.get(), 1);
    }

    #[test]
    fn a_panic_of_the_database_ends_the_actor_and_fails_the_request() {
        let mut database = counting();
        let mut answer = None;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            with_db_actor(&mut database, PrefetchedReads::default(), |handle| {
                answer = Some(handle.code_by_hash_ref(B256::ZERO));
            })
        }));
        let panic = ended.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the disk is gone"));
        assert!(matches!(answer, Some(Err(DbActorError::Stopped))), "{answer:?}");
    }

    #[test]
    fn a_panic_of_the_client_is_passed_on() {
        let mut database = counting();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            with_db_actor(&mut database, PrefetchedReads::default(), |_| -> () { panic!("out of ideas") })
        }));
        assert_eq!(ended.unwrap_err().downcast_ref::<&str>(), Some(&"out of ideas"));
    }
}
