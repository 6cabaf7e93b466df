//! Ids, units, limits, error kinds and option specifications that every crate shares.
//!
//! Nothing here does I/O and nothing here depends on another crate of the house.

pub mod calendar;
pub mod codec;
pub mod error_kind;
pub mod ids;
pub mod java_number;
pub mod nearest;
pub mod options;
pub mod secrets;
pub mod units;
pub mod zone;

pub use error_kind::ErrorKind;
pub use ids::{Lsn, Offset, PartitionId, TopicId};
pub use nearest::nearest;
pub use zone::Zone;
