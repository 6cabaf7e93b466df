//! What is asked of every broker.

use anyhow::Result;

use crate::Run;

/// How much of what.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub partitions: usize,
    pub value_bytes: usize,
    /// At most.
    pub records: u64,
    /// At most, in each direction.
    pub seconds: u64,
}

impl Load {
    /// A value without luck: the same bytes in every run, and none that a disk could compress.
    pub fn value(&self) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..self.value_bytes).map(|_| random()).collect()
    }
}

/// A running broker that is not used by anybody else.
pub trait Broker {
    /// The process that is charged.
    fn process(&self) -> u32;

    /// Makes the topic.
    fn prepare(&mut self, load: &Load) -> Result<()>;

    /// Counts what was acknowledged.
    fn produce(&mut self, load: &Load) -> Result<Run>;

    /// Reads what was produced, from the beginning.
    fn consume(&mut self, load: &Load, produced: u64) -> Result<Run>;
}
