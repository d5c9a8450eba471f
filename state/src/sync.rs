//! The synchronisation primitives: the standard library's, or the model checker's.
//!
//! Everything in Blockloom that threads share goes through here, so that what the model checker
//! looks at is the shipped code. A lock is never poisoned: no code of anybody else's runs under
//! one, and a panic of ours under one ends the block anyway.

#[cfg(not(feature = "shuttle"))]
use std::sync as primitives;

#[cfg(feature = "shuttle")]
use shuttle::sync as primitives;

pub use primitives::{
    MutexGuard,
    atomic::{AtomicBool, AtomicU32, Ordering},
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

    /// The value, without a lock: nobody else can have one.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Where threads wait until something changes under a [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(primitives::Condvar);

impl Condvar {
    /// Gives the lock away, waits to be woken, and takes the lock again. It may return without
    /// having been woken.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Wakes one of those who wait.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes whoever waits.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Gives others a chance to run, in a loop that waits for them.
#[inline]
pub fn relax() {
    #[cfg(not(feature = "shuttle"))]
    std::hint::spin_loop();
    #[cfg(feature = "shuttle")]
    shuttle::hint::spin_loop();
}
