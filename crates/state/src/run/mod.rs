//! Sorted runs: immutable files of entries in the order of their keys.
//!
//! A run is blocks of about 8 KiB, an index of their first keys, a filter of the hashes that occur, and
//! a footer. Index and filter are held in memory; blocks are read where they lie, and the system's
//! page cache keeps those that are read often. Every part is under a checksum of its own.

mod block;
mod filter;
mod footer;
mod merge;
mod reader;
mod scan;
mod writer;

#[cfg(test)]
mod tests;

pub use merge::{Merge, MergedEntry, SortedSource};
pub use reader::Run;
pub use scan::RunScan;
pub use writer::RunWriter;

#[derive(Debug, Clone)]
pub struct RunOptions {
    /// A block is closed when it has so many bytes.
    pub block_bytes: usize,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions { block_bytes: 8 << 10 }
    }
}
