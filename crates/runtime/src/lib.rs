//! Drives jobs: positions, step records, snapshots, outboxes, recovery.
//!
//! A job is one plan. Its life is in the log: a start record with the splits, a record per step
//! (committed in the same frame as what the step wrote), a record per snapshot, an end record. The
//! [`Journal`] is the fold over these. A job that is started again loads its last snapshot, re-runs
//! the journalled steps on the same input ranges with publication suppressed, compares the hash of
//! the outputs, and goes on.

pub mod error;
pub mod ids;
pub mod journal;
pub mod progress;
pub mod restart;
pub mod status;

mod background;
mod change;
mod coordinates;
mod dead_letters;
mod debug;
mod drivers;
mod feeds;
mod history;
mod inputs;
mod job;
mod late;
mod lineage;
mod lookups;
mod machine;
mod measured;
mod operators;
mod origin;
mod outbox;
mod outputs;
mod patience;
mod profile;
mod quiet;
mod rate;
mod reader;
mod records;
mod retries;
mod savepoint;
mod spans;
mod startup;
mod state_folder;
mod steps;
mod supervisor;
#[cfg(test)]
mod tests;
mod topics;
mod why;

pub use change::{Comparison, Fate, OperatorChange};
pub use dataflow::engine::{ProbedEntry, ProbedField, ProbedRow};
pub use debug::{Base, Covered, DebuggedInput, DebuggedOperator, DebuggedStep, KnownSteps, StepWanted};
pub use error::RuntimeError;
pub use job::{
    CommitPoint, JobHandle, JobOptions, JobRequest, JobStanding, Observer, ProgressWatch, Runtime, Submitted,
};
pub use journal::{Change, FeedPosition, Journal, JournalState};
pub use lineage::{Lineage, LoggedStep, Place, Stretch};
pub use machine::{Machine, Patience, Turn, Wait};
pub use measured::{Meters, metric_families};
pub use operators::{OperatorRecord, Role};
pub use progress::{
    FeedProgress, JobProgress, JobTopics, OperatorProgress, RebuildProgress, ScanProgress, SinkProgress,
};
pub use restart::{RestartPolicy, RestartSettingError, RestartStrategy};
pub use savepoint::{Savepoint, SavepointInfo, SavepointOutcome, SavepointTicket};
pub use status::{JobFailure, JobState, JobStatus};
pub use why::{Cause, Finding, why};

/// The version of the engine's semantics. A step is only replayed by the version that ran it: raise
/// it whenever an operator's results change, or a snapshot's form so that older ones are not read.
pub const ENGINE_VERSION: u32 = 3;
