//! The synchronisation primitives: the standard library's or, with the feature `shuttle`, the model checker's.
//!
//! All state that threads share uses these, so that the model checker tests the shipped code. Poisoning is
//! ignored: no foreign code runs under a lock, and a panic under a lock ends the block anyway.

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

    /// The value. Needs no lock, because the reference is exclusive.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
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
