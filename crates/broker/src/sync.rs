//! Locks that survive a panic of their holder.
//!
//! A handler that panics costs its connection; the state it held stays usable, because every change
//! to it is made after all checks. A poisoned lock would turn one bad request into a dead broker.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
