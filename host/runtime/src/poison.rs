//! Locks that outlive a panic: what they guard changes in whole steps, so nothing is half-changed when a holder panics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock, whether or not somebody has panicked with it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
