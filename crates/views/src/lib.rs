//! Views: the results of jobs, kept by key, read at one place of the log.
//!
//! 1. A view's changes are records of a topic of the log, in the frame of the step that made them. What is here is a
//!    fold over these topics, and can be made anew from them at any time.
//! 2. All changes of a group of frames that became durable together are applied, then published as one [`Snapshot`] of
//!    all views with its place in the log: of a step a reader sees all or nothing.
//! 3. The rows lie in trees that share what is equal ([`tree`]): a snapshot costs a count, a reader keeps it for as long
//!    as it likes and delays nobody, and what has changed between two snapshots is found without looking at the rest.
//!
//! docs/adr/0024-views.md says why.

mod change;
mod codec;
mod definition;
mod error;
mod fold;
mod follow;
mod look;
mod measured;
mod rows;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod views;

pub use change::{Decision, Wanted, decide, jobs_of_dropped};
pub use definition::{ViewDefinition, ViewKey};
pub use error::ViewError;
pub use fold::{Change, Fold};
pub use follow::{Follower, FollowerHandle};
pub use look::{Health, Look};
pub use measured::metric_families;
pub use rows::{FORMAT, RowWriter};
pub use snapshot::{ChangedRows, Changes, KeyRange, Place, Rows, SCAN_ROWS_MAX, Scan, Snapshot, View};
pub use store::{TOPIC, declare, drop_views, topic_configs, topic_of};
pub use views::{Jobs, Listener, Standing, Tell, Views, Wait};
