//! Where a file sink's files grow, and where they are committed: nobody sees them before, and then all of them.

use std::io;
use std::sync::Arc;

pub(super) trait FileTarget: Send {
    /// For messages.
    fn place(&self) -> String;

    /// Finds the last commit, carries out what is open of it, and removes what it does not have; answers the outbox offset of
    /// the first record that is in no file.
    fn open(&mut self) -> io::Result<i64>;

    /// A file that is seen when it is committed. Its first record has this number, by which it is called.
    fn create(&mut self, partition: &str, number: i64, suffix: &str) -> io::Result<Arc<dyn GrowingFile>>;

    /// Commits all files that were created, with the offset behind their records.
    fn commit(&mut self, next_offset: i64) -> io::Result<()>;

    /// Whether so much waits in memory that the files should be committed now.
    fn is_full(&self) -> bool {
        false
    }
}

pub(super) trait GrowingFile: Send + Sync {
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
}

/// The name of a finished file. `identity` is the job's, in this run.
pub(super) fn finished(partition: &str, identity: &str, number: i64, suffix: &str) -> String {
    join(partition, &format!("part-{identity}-{number:020}.{suffix}"))
}

pub(super) fn join(partition: &str, name: &str) -> String {
    if partition.is_empty() { name.to_string() } else { format!("{partition}/{name}") }
}
