//! Sorted runs: immutable files of keys and values in key order, the part of keyed state on disk.
//!
//! 1. A [`RunWriter`] streams ascending entries into a new file and syncs it; from then on the file
//!    never changes. The log is the write-ahead log, so a run needs none of its own: one that was not
//!    finished is removed.
//! 2. An open [`Run`] keeps its index and its filter in memory and reads blocks where they stand.
//!    The kernel's page cache is the cache.
//! 3. A [`Merge`] puts runs, and whatever else is sorted, into one order; the newest entry of a key wins.
//!
//! The bytes are described in `format.rs`.

mod cursor;
mod filter;
mod format;
mod index;
mod merge;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use cursor::RunScan;
pub use merge::{Merge, MergedEntry, SortedSource};
pub use reader::Run;
pub use writer::RunWriter;

/// How a run is written; any run can be read, however it was.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Entries are gathered into blocks of at most so many bytes; a larger entry is a block of its
    /// own. A point read reads one block.
    pub block_bytes: usize,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions { block_bytes: 8 * 1024 }
    }
}
