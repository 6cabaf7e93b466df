//! Keyed state of operators, on disk and in memory, and its snapshots.
//!
//! A key is a byte string (memcmp-comparable, as `arrow-row` makes it). Its hash names its key group,
//! the unit in which state is written, restored and handed to workers. Operators use the tables
//! ([`KeyedColumns`], [`KeyedMap`], [`KeyedWindows`], [`AppendLog`]) and think of nothing else: what
//! does not fit into memory lies in sorted runs on disk, and a snapshot is a list of runs.

pub mod append_log;
pub mod changes;
pub mod columns;
pub mod error;
pub mod key_group;
pub mod key_map;
pub mod keyed_columns;
pub mod keyed_map;
pub mod keyed_windows;
pub mod layers;
pub mod rewrite;
pub mod run;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod varint;

mod frozen;
mod ttl;
mod worker;

#[cfg(test)]
mod tests;

pub use append_log::AppendLog;
pub use changes::{Change, Changes, Mark};
pub use error::StateError;
pub use key_group::{KEY_GROUPS, groups_of_worker, hash, key_group, worker_of_group, worker_of_hash};
pub use key_map::KeyMap;
pub use keyed_columns::{Columns, KeyedColumns};
pub use keyed_map::KeyedMap;
pub use keyed_windows::KeyedWindows;
pub use rewrite::{PickedColumns, Rewrite};
pub use snapshot::{Manifest, PendingSnapshot, Snapshot, SnapshotParts};
pub use store::{Store, StoreOptions};
pub use table::{Key, Table, TableId};
