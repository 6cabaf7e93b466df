//! What stands in the log, as the layers above see it when they replay it.

use crate::catalog::CatalogChange;
use base::{Offset, PartitionId};

/// Which upper layer an entry belongs to. The numbers stand in the log and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer(pub u8);

impl Layer {
    /// Committed offsets and the membership of consumer groups.
    pub const GROUP_OFFSETS: Layer = Layer(1);
    /// Producer ids and epochs.
    pub const PRODUCERS: Layer = Layer(2);
    /// Steps and positions of the stream processor.
    pub const STEPS: Layer = Layer(3);
    pub const TRANSACTIONS: Layer = Layer(4);
    /// Users, credentials and access rules.
    pub const USERS: Layer = Layer(5);
    /// Deployed SQL files and their states.
    pub const PIPELINES: Layer = Layer(6);
    pub const EVENT_STORE: Layer = Layer(7);
    /// Outboxes of sinks outside of the node.
    pub const OUTBOXES: Layer = Layer(8);
    /// Groups whose members are logged, and the configurations of groups.
    pub const GROUPS: Layer = Layer(9);
    /// What share groups have worked off.
    pub const SHARE_GROUPS: Layer = Layer(10);
    /// What clients may use of the node.
    pub const QUOTAS: Layer = Layer(11);
    /// Settings of the node that were changed while it ran.
    pub const SETTINGS: Layer = Layer(12);
}

/// One entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    Batch {
        partition: PartitionId,
        base_offset: Offset,
        records: u32,
        max_timestamp_ms: i64,
        bytes: &'a [u8],
    },
    /// Already applied by the log itself.
    Catalog(&'a CatalogChange),
    Layer {
        layer: Layer,
        bytes: &'a [u8],
    },
}
