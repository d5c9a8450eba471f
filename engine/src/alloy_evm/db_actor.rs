//! A database that one thread owns, lent to many: they ask, and its owner answers.
//!
//! alloy-evm lets a client have any database, and the executor must serve each: one that cannot be
//! shared between threads, nor sent to another. So it stays where it is. The thread that owns it
//! waits for questions for as long as the block runs, and everybody else asks over a channel.
//!
//! The owner leaves when the last borrower is gone, however it went. A borrower whose owner is gone,
//! because the database panicked, is answered with [`ReadError::OwnerGone`]: nobody waits for ever.
//!
//! A question costs some microseconds, most of it for waking threads. Looking for messages a while
//! before going to sleep made it dearer: where there are no more cores than threads that execute,
//! who looks takes the core from who would answer.

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

/// Runs `borrower` on a thread of its own, with `database` as its base, and answers its questions on
/// this one. What is `known` of the database is answered at once.
///
/// # Errors
///
/// If there is no thread to be had.
///
/// # Panics
///
/// If the borrower or the database panics, with what it said.
pub(super) fn lend<DB: Database, T: Send>(
    database: &mut DB,
    known: PrefetchedReads,
    borrower: impl FnOnce(&DbActorHandle<DB::Error>) -> T + Send,
) -> io::Result<T> {
    let (questions, asked) = mpsc::channel();
    let lent = DbActorHandle { questions, known };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("blockloom".to_owned());
        let borrower = thread.spawn_scoped(scope, move || borrower(&{ lent }))?;
        for question in asked {
            question.answer(database);
        }
        Ok(borrower.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// A base that asks the owner of a database.
#[derive(Debug)]
pub(super) struct DbActorHandle<E> {
    questions: Sender<Question<E>>,
    known: PrefetchedReads,
}

/// Why the owner gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError<E> {
    /// The database failed.
    #[error(transparent)]
    Failed(E),
    /// The thread that owns the database is gone.
    #[error("nobody answers for the database any more")]
    OwnerGone,
}

impl<E: DBErrorMarker> DBErrorMarker for ReadError<E> {}

type Reply<T, E> = SyncSender<Result<T, E>>;

#[derive(Debug)]
enum Question<E> {
    Account(Address, Reply<Option<AccountInfo>, E>),
    Code(B256, Reply<Bytecode, E>),
    Slot(Address, U256, Reply<U256, E>),
    BlockHash(u64, Reply<B256, E>),
}

impl<E> Question<E> {
    fn answer(self, database: &mut impl Database<Error = E>) {
        // Who asked waits for the answer, unless its thread ended in a panic. Then nobody cares.
        let _ = match self {
            Self::Account(address, reply) => reply.send(database.basic(address)).is_ok(),
            Self::Code(hash, reply) => reply.send(database.code_by_hash(hash)).is_ok(),
            Self::Slot(address, key, reply) => reply.send(database.storage(address, key)).is_ok(),
            Self::BlockHash(number, reply) => reply.send(database.block_hash(number)).is_ok(),
        };
    }
}

impl<E> DbActorHandle<E> {
    fn ask<T>(&self, question: impl FnOnce(Reply<T, E>) -> Question<E>) -> Result<T, ReadError<E>> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.questions.send(question(reply)).map_err(|_| ReadError::OwnerGone)?;
        answer.recv().map_err(|_| ReadError::OwnerGone)?.map_err(ReadError::Failed)
    }
}

impl<E: DBErrorMarker> DatabaseRef for DbActorHandle<E> {
    type Error = ReadError<E>;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ReadError<E>> {
        match self.known.account(&address) {
            Some(info) => Ok(info.clone()),
            None => self.ask(|reply| Question::Account(address, reply)),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, ReadError<E>> {
        self.ask(|reply| Question::Code(code_hash, reply))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, ReadError<E>> {
        match self.known.slot(address, index) {
            Some(value) => Ok(value),
            None => self.ask(|reply| Question::Slot(address, index, reply)),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ReadError<E>> {
        self.ask(|reply| Question::BlockHash(number, reply))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible, panic::AssertUnwindSafe, panic::catch_unwind};

    use super::*;

    /// A database that can neither be shared nor sent: it counts its reads in a pointer of its own.
    struct Counting {
        reads: std::rc::Rc<Cell<u64>>,
    }

    impl Database for Counting {
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

    fn counting() -> Counting {
        Counting { reads: Default::default() }
    }

    #[test]
    fn many_threads_read_a_database_that_cannot_be_sent() {
        let mut database = counting();
        let sum = lend(&mut database, PrefetchedReads::default(), |lent| {
            thread::scope(|scope| {
                let read = |key: u64| lent.storage_ref(Address::ZERO, U256::from(key)).unwrap();
                let threads: Vec<_> = (0..8).map(|key| scope.spawn(move || read(key))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum::<U256>()
            })
        });
        assert_eq!(sum.unwrap(), U256::from(36));
        assert_eq!(database.reads.get(), 8);
    }

    #[test]
    fn what_is_known_is_not_asked_again() {
        let mut database = counting();
        let mut known = PrefetchedReads::default();
        known.read_account(&mut database, Address::ZERO);
        let info = lend(&mut database, known, |lent| lent.basic_ref(Address::ZERO).unwrap());
        assert_eq!(info.unwrap(), None);
        assert_eq!(database.reads.get(), 1);
    }

    #[test]
    fn a_database_that_panics_ends_the_loan_and_leaves_nobody_waiting() {
        let mut database = counting();
        let mut answer = None;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            lend(&mut database, PrefetchedReads::default(), |lent| {
                answer = Some(lent.code_by_hash_ref(B256::ZERO));
            })
        }));
        let panic = ended.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the disk is gone"));
        assert!(matches!(answer, Some(Err(ReadError::OwnerGone))), "{answer:?}");
    }

    #[test]
    fn a_borrower_that_panics_is_heard() {
        let mut database = counting();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            lend(&mut database, PrefetchedReads::default(), |_| -> () { panic!("out of ideas") })
        }));
        assert_eq!(ended.unwrap_err().downcast_ref::<&str>(), Some(&"out of ideas"));
    }
}
