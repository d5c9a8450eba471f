//! The synchronisation primitives: the standard library's or, with the feature `shuttle`, the model checker's.
//!
//! All state that threads share uses these, so that the model checker tests the shipped code. Poisoning is
//! ignored: no foreign code runs under a lock, and a panic under a lock ends the block anyway.

use std::hash::{BuildHasher, Hash};
#[cfg(not(feature = "shuttle"))]
use std::sync as primitives;

use alloy_primitives::map::DefaultHashBuilder;
#[cfg(feature = "shuttle")]
use alloy_primitives::map::HashMap;

#[cfg(feature = "shuttle")]
use shuttle::sync as primitives;

pub use primitives::{
    MutexGuard, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

/// A lock around a value.
#[derive(Debug, Default)]
pub struct Mutex<T>(primitives::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self(primitives::Mutex::new(value))
    }

    /// Waits for the lock.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The value. Needs no lock, because the reference is exclusive.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A lock around a value that many threads read at once.
#[derive(Debug, Default)]
pub struct RwLock<T>(primitives::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self(primitives::RwLock::new(value))
    }

    /// Waits until no thread writes.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until no thread reads or writes.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A map that threads share. Nothing is locked while a value is computed.
///
/// It is a [`DashMap`](dashmap::DashMap). The model checker cannot see its locks and gets a map under a [`Mutex`].
#[derive(Debug)]
pub struct ConcurrentMap<K: Eq + Hash, V, S: BuildHasher + Clone = DefaultHashBuilder> {
    #[cfg(not(feature = "shuttle"))]
    values: dashmap::DashMap<K, V, S>,
    #[cfg(feature = "shuttle")]
    values: Mutex<HashMap<K, V, S>>,
}

impl<K: Eq + Hash, V, S: BuildHasher + Clone + Default> Default for ConcurrentMap<K, V, S> {
    fn default() -> Self {
        Self { values: Default::default() }
    }
}

impl<K: Eq + Hash, V: Clone, S: BuildHasher + Clone> ConcurrentMap<K, V, S> {
    /// The value of a key. If the map has none, `read` reads it, and the first insertion wins.
    ///
    /// # Errors
    ///
    /// If `read` fails.
    #[cfg(not(feature = "shuttle"))]
    pub fn get_or_insert<E>(&self, key: K, read: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(value) = self.values.get(&key) {
            return Ok(value.clone());
        }
        let value = read()?;
        Ok(self.values.entry(key).or_insert(value).clone())
    }

    /// The value of a key. If the map has none, `read` reads it, and the first insertion wins.
    ///
    /// # Errors
    ///
    /// If `read` fails.
    #[cfg(feature = "shuttle")]
    pub fn get_or_insert<E>(&self, key: K, read: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(value) = self.values.lock().get(&key) {
            return Ok(value.clone());
        }
        let value = read()?;
        Ok(self.values.lock().entry(key).or_insert(value).clone())
    }

    /// Removes all entries. Keeps the capacity.
    pub fn clear(&mut self) {
        #[cfg(not(feature = "shuttle"))]
        self.values.clear();
        #[cfg(feature = "shuttle")]
        self.values.get_mut().clear();
    }
}

/// A condition variable: threads wait on it for a change under a [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(primitives::Condvar);

impl Condvar {
    /// Releases the lock, waits for a notification, and takes the lock again. Spurious wake-ups are possible.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Yields to other threads in a loop that waits for one of them.
#[inline]
pub fn relax() {
    #[cfg(not(feature = "shuttle"))]
    std::hint::spin_loop();
    #[cfg(feature = "shuttle")]
    shuttle::hint::spin_loop();
}
