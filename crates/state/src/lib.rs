//! Keyed state of operators and its snapshots: key groups, key tables, columns as bytes, snapshot files.
//!
//! A key is a byte string (memcmp-comparable, as `arrow-row` makes it). Its hash names its key group,
//! the unit in which state is written, restored and handed to workers. Nothing here does I/O: a
//! snapshot is a byte string that the runtime writes.

pub mod columns;
pub mod error;
pub mod key_group;
pub mod key_map;
pub mod snapshot;

#[cfg(test)]
mod tests;

pub use error::StateError;
pub use key_group::{KEY_GROUPS, hash, key_group, worker_of_group, worker_of_hash};
pub use key_map::KeyMap;
