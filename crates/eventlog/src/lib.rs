//! The write-ahead log: one totally ordered, durable log that everything else is derived from.
//!
//! 1. An append is one frame: record batches of any partitions, catalog changes and entries of upper layers that
//!    become durable together or not at all. Frames are numbered by LSN without gaps.
//! 2. One committer writes and syncs what all appenders have left while its last sync ran; then high watermarks move.
//! 3. The log's files are also where batches are read from: an index leads from partition and offset to a file range.
//! 4. Compaction copies what it leaves of a partition into segments of that partition; the log says which are in force.
//! 5. Each file begins with a checkpoint of all state that is folded from the log, so that opening reads one file.
//!
//! docs/adr/0001-log-format.md describes the bytes, and what recovery makes of them; 0017-log-compaction.md segments.

mod append;
mod bytes;
mod catalog;
mod checkpoint;
mod checksum;
mod commit;
mod compaction;
mod directory;
mod entry;
mod error;
mod files;
mod format;
mod frames;
mod group;
mod index;
mod log;
mod measured;
mod metrics;
mod options;
mod partition;
mod read;
mod recovery;
mod scan;
mod segment;
mod shipping;
mod start;
mod topic_config;
mod upkeep;

pub use append::Frame;
pub use catalog::{
    CatalogChange, PARTITIONS_PER_TOPIC_MAX, Topic, VIEW_TOPIC_PREFIX, check_topic_name, is_internal_topic,
};
pub use compaction::CompactionReport;
pub use entry::{Entry, Layer};
pub use error::{Damage, LogError};
#[doc(hidden)]
pub use format::mend_checksums;
pub use frames::{FramePlace, FramesEnd, WrittenBatch, WrittenFrame};
pub use log::{AbortedRange, Bounds, Durable, EventLog, Fold, Listener, Seen, Transactions};
pub use measured::metric_families;
pub use metrics::{Appended, LogMetrics};
pub use options::{Committer, CompactionOptions, LogOptions};
pub use read::BatchSlice;
pub use recovery::{OpenReport, Recovery};
pub use segment::Segment;
pub use shipping::{
    Piece, RemoteMetrics, ShipPlace, ShippedFile, cut_after, log_file_name, log_file_number,
    write_copied_format,
};
pub use topic_config::{Durability, SHIPS_NOTHING, TOPIC_OPTIONS, TimestampType, TopicConfig};
pub use upkeep::RetentionReport;
