//! What can go wrong with a job, and what its owner can do about it.

use base::ErrorKind;
use base::codec::CodecError;
use dataflow::connector::ConnectorError;
use dataflow::engine::DataflowError;
use dataflow::sink::SinkError;
use dataflow::source::SourceError;
use eventlog::LogError;

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A sink that writes at once (print) and cannot be asked what it has.
    #[error(transparent)]
    Direct(SinkError),
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error(transparent)]
    Dataflow(#[from] DataflowError),
    #[error("job '{job}': a journal entry cannot be read: {source}")]
    Journal { job: String, source: CodecError },
    #[error(
        "job '{job}' was begun by another form of this statement (plan {stored:016x}, now {now:016x}); \
         restore the statement, or start anew with another --data directory"
    )]
    PlanChanged { job: String, stored: u64, now: u64 },
    #[error(
        "job '{job}' was begun by an older version, which did not note of what its statement consists; run the statement \
         that began it once more and stop it, then change it"
    )]
    ChangeUnknown { job: String },
    #[error(
        "job '{job}' cannot be changed to this statement: {reasons}; `explain FILE --data DIR` shows each operator"
    )]
    ChangeImpossible { job: String, reasons: String },
    #[error(
        "job '{job}' would lose something if it were changed to this statement: {reasons}; `explain FILE --data DIR` \
         shows each operator, --allow-non-restored-state (or SET 'execution.state-recovery.ignore-unclaimed-state' = \
         'true') agrees to it"
    )]
    ChangeLoses { job: String, reasons: String },
    #[error(
        "job '{job}' cannot be changed: '{split}' gives nothing at position {position}, which the job has read; the job \
         is as it was"
    )]
    ReadAgain { job: String, split: String, position: i64 },
    #[error(
        "step {step} of job '{job}' came before step {change}, in which the job's statement was changed; only steps behind \
         that can be run again with the statement that it has now"
    )]
    BeforeChange { job: String, step: u64, change: u64 },
    #[error(
        "job '{job}' was begun by engine version {stored}, this is version {now}; take a savepoint with the \
         program that began it and go on from there (--from-savepoint), or start anew with another --data directory"
    )]
    EngineChanged { job: String, stored: u32, now: u32 },
    #[error(
        "job '{job}': '{split}' changed since the job began (was {stored}, is {now}); \
         put the old content back, or start anew with another --data directory"
    )]
    InputChanged { job: String, split: String, stored: String, now: String },
    #[error(
        "job '{job}': step {step} gave other results at replay (hash {stored:016x}, now {now:016x}); the job \
         is stopped before it writes anything: its input or this program is not what it was"
    )]
    ReplayDiffers { job: String, step: u64, stored: u64, now: u64 },
    #[error(
        "job '{job}': step {step} took {stored} rows of its input, and there are {now} now; the job is as it was before \
         the change"
    )]
    InputDiffers { job: String, step: u64, stored: u64, now: u64 },
    #[error("job '{job}': the snapshot {file} cannot be used: {reason}")]
    Snapshot { job: String, file: String, reason: String, kind: ErrorKind },
    #[error("savepoint {folder}: {reason}")]
    Savepoint { folder: String, reason: String, kind: ErrorKind },
    #[error(
        "job '{job}' is known in this data directory and has not finished; give the job another name \
         ('pipeline.name') or use another --data directory"
    )]
    Known { job: String },
    #[error(
        "jobs '{job}' and '{other}' would share the topics of their outboxes, whose names have letters, digits, '.', \
         '_' and '-' alone; give the job another name ('pipeline.name')"
    )]
    Alike { job: String, other: String },
    #[error("job '{job}' does not run here; running its file again with the same --data directory starts it")]
    NotRunning { job: String },
    #[error("there is no job '{job}'")]
    Unknown { job: String },
    #[error("job '{job}' runs; stop it first")]
    StopFirst { job: String },
    #[error("job '{job}' is running already")]
    Running { job: String },
    #[error(
        "step {step} of job '{job}' cannot be run again (steps that can: {known}; the last one was {last_step}): the state          before it, or the log behind that, is gone; SET 'eventwright.debug.snapshots-retained' keeps more snapshots, and          a savepoint of the job can be named"
    )]
    NotCovered { job: String, step: u64, last_step: u64, known: String },
    #[error(
        "job '{job}': step {step} gives other results when it is run again; its input is no longer what it was (compacted,          or over its retention), so what comes behind it cannot be shown"
    )]
    RerunDiffers { job: String, step: u64 },
    #[error(
        "job '{job}': what step {step} took cannot be read again: {reason}; input goes by its topic's retention, which \
         'retention.ms' and 'retention.bytes' of the topic make longer"
    )]
    InputGone { job: String, step: u64, reason: String },
    #[error("a step is being run again already; try it when that is done")]
    Debugging,
    #[error("the node knows job '{job}' by its journal only; run its file with the same --data directory")]
    NoPlan { job: String },
    #[error("cannot make {folder} for a state to be run again in: {reason}")]
    Scratch { folder: String, reason: String },
    #[error("job '{job}' stopped unexpectedly: {reason}; please report this as a bug")]
    Internal { job: String, reason: String },
}

impl RuntimeError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            RuntimeError::Log(error) => error.kind(),
            RuntimeError::Source(error) => error.kind,
            RuntimeError::Sink(error) | RuntimeError::Direct(error) => error.kind,
            RuntimeError::Connector(error) => error.kind,
            RuntimeError::Dataflow(error) => error.kind(),
            RuntimeError::Snapshot { kind, .. } | RuntimeError::Savepoint { kind, .. } => *kind,
            RuntimeError::NotRunning { .. }
            | RuntimeError::Unknown { .. }
            | RuntimeError::NotCovered { .. }
            | RuntimeError::InputGone { .. }
            | RuntimeError::BeforeChange { .. }
            | RuntimeError::NoPlan { .. } => ErrorKind::NotFound,
            RuntimeError::RerunDiffers { .. } | RuntimeError::Debugging => ErrorKind::Conflict,
            RuntimeError::Scratch { .. } => ErrorKind::Unavailable,
            RuntimeError::Journal { .. }
            | RuntimeError::ReplayDiffers { .. }
            | RuntimeError::InputDiffers { .. }
            | RuntimeError::ReadAgain { .. } => ErrorKind::Corrupt,
            RuntimeError::PlanChanged { .. }
            | RuntimeError::EngineChanged { .. }
            | RuntimeError::ChangeUnknown { .. }
            | RuntimeError::ChangeImpossible { .. }
            | RuntimeError::ChangeLoses { .. } => ErrorKind::Invalid,
            RuntimeError::InputChanged { .. } => ErrorKind::Invalid,
            RuntimeError::Running { .. }
            | RuntimeError::StopFirst { .. }
            | RuntimeError::Known { .. }
            | RuntimeError::Alike { .. } => ErrorKind::Conflict,
            RuntimeError::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// Whether the same work may succeed later without anybody's help, so that a restart makes sense.
    pub fn may_pass(&self) -> bool {
        match self {
            // The rows that it did not show are committed: another attempt would go on behind them in silence.
            RuntimeError::Direct(_) => false,
            // The node itself goes down.
            RuntimeError::Log(LogError::Closed) => false,
            _ => matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Retry),
        }
    }
}
