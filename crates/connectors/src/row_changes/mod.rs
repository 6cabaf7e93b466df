//! Changes of database rows on their way through the log: what feeds of changes land, and how jobs read it.

mod change;
pub(crate) mod options;
pub(crate) mod pieces;
mod source;

pub(crate) use change::{Origin, encode};
pub(crate) use source::{ChangeSource, Reading, metadata, source};
