//! Files of SQL, jobs and savepoints.

use super::node::NodeArguments;
use super::remote::RemoteArguments;
use super::topics::Form;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The statements that are run or checked.
#[derive(Args, Clone)]
pub struct ScriptArguments {
    /// The Flink SQL file
    pub file: PathBuf,
    /// A file whose statements come first, as with Flink's SQL client
    #[arg(short, long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// A value for `${NAME}` in the files; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
}

#[derive(Args, Clone)]
#[command(after_help = "Examples:
  eventwright run examples/flights/delays.sql
  eventwright run job.sql --data ./data               keep the data; run again to resume
  eventwright run job.sql --keep-running              leave the node up when the jobs are done
  eventwright run job.sql --var REGION=eu --kafka 127.0.0.1:0
  eventwright run job.sql --init tables.sql           tables and settings from a file of their own
  eventwright run job.sql --from-savepoint data/savepoints/savepoint-orders-1f2e3d4c
  eventwright run job.sql --data ./data --remote s3://backups/orders
  eventwright run job.sql --data ./standby-data --remote s3://backups/orders --standby

Results of print tables go to standard output, everything else to standard error.
`${NAME}` in the file stands for --var NAME=value or the environment's NAME.")]
pub struct RunArguments {
    #[command(flatten)]
    pub script: ScriptArguments,
    /// Where the log and the state lie; without it, a new directory among the temporary files
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub node: NodeArguments,
    #[command(flatten)]
    pub remote: RemoteArguments,
    /// Leave the node up when the jobs are done, until it is interrupted
    #[arg(long)]
    pub keep_running: bool,
    /// Threads that a step runs on [default: `parallelism.default` of the file, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub workers: Option<u16>,
    /// Rows that a step takes from one split at most
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub step_rows_max: u32,
    /// A snapshot of a job's state is taken after this many steps
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub snapshot_steps: u32,
    /// Begin with the state of this savepoint; the file must hold exactly one job
    #[arg(long, value_name = "DIR")]
    pub from_savepoint: Option<PathBuf>,
    /// Agree that state is lost where the statement of an unfinished job, or of a savepoint, has changed; `explain FILE
    /// --data DIR` says which
    #[arg(short = 'n', long)]
    pub allow_non_restored_state: bool,
    /// What the state of a job may take in memory, such as 256mb
    /// [default: `taskmanager.memory.managed.size` of the file, else 1gb]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Show at the end what each operator has done, as `explain --analyze` does
    #[arg(long)]
    pub analyze: bool,
    /// Crash tests: kill this process when it passes POINT of a commit path for the N-th time
    #[arg(long, value_name = "POINT:N", hide = true)]
    pub kill_at: Option<String>,
    /// Form of the summary
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright check job.sql
  eventwright check job.sql --var REGION=eu -o json")]
pub struct CheckArguments {
    #[command(flatten)]
    pub script: ScriptArguments,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright explain job.sql                        the plan of each job, its state, advice
  eventwright explain job.sql --data ./data          what becomes of an unfinished job that is run with this file
  eventwright explain --analyze orders               rows, time and state of each operator
  eventwright explain --analyze orders --data ./data -o json")]
pub struct ExplainArguments {
    /// The Flink SQL file; with --analyze the job's name, which 'pipeline.name' sets, or its id; `job list` shows both
    #[arg(value_name = "FILE|JOB")]
    pub target: String,
    /// Look at a running job: rows, late rows, time and state of each operator
    #[arg(long)]
    pub analyze: bool,
    /// A file whose statements come first
    #[arg(short, long, value_name = "FILE", conflicts_with = "analyze")]
    pub init: Option<PathBuf>,
    /// A value for `${NAME}` in the files; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE", conflicts_with = "analyze")]
    pub variables: Vec<String>,
    /// The data directory of the node that runs the job; with a file one that no node serves, to say what becomes of its
    /// unfinished jobs
    #[arg(long, value_name = "DIR", conflicts_with = "http")]
    pub data: Option<PathBuf>,
    /// Address of the node's monitoring API [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// A file that says how to log in, with the properties that Kafka's tools take
    #[arg(long, value_name = "FILE")]
    pub command_config: Option<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

/// Which node is asked, or which data directory.
#[derive(Args)]
pub struct JobsArguments {
    /// A data directory: its node is asked if one runs, otherwise its journal is read
    #[arg(long, value_name = "DIR", conflicts_with = "http")]
    pub data: Option<PathBuf>,
    /// Address of a node's monitoring API, with https:// in front if it speaks TLS [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// A file that says how to log in, with the properties that Kafka's tools take
    #[arg(long, value_name = "FILE")]
    pub command_config: Option<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

#[derive(Args)]
#[command(
    after_help = "Looks at each table that the job writes, and goes up from there to the operator where rows end: a condition that is true
for none, a split without rows that holds the watermark back, a join without partners, a target that fails.

Examples:
  eventwright why                    all jobs
  eventwright why orders -o json"
)]
pub struct WhyArguments {
    /// The job's name, which 'pipeline.name' sets, or its id; `job list` shows both [default: all jobs]
    pub job: Option<String>,
    #[command(flatten)]
    pub jobs: JobsArguments,
}

#[derive(Args)]
#[command(
    after_help = "Names the step that wrote the record and what it took, the steps that took the record and what they wrote, and so on.
Which records of a step belong together is told by their trace or their key.

Examples:
  eventwright trace orders/0/17
  eventwright trace orders/0/17 --depth 1 -o json"
)]
pub struct TraceArguments {
    /// The record: TOPIC/PARTITION/OFFSET
    pub record: String,
    /// How many jobs, one behind the other, are followed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub depth: u32,
    #[command(flatten)]
    pub jobs: JobsArguments,
}

#[derive(Subcommand)]
pub enum JobVerb {
    /// List the jobs with their states
    #[command(after_help = "Examples:
  eventwright job list
  eventwright job list --data ./data -o json")]
    List {
        #[command(flatten)]
        jobs: JobsArguments,
    },
    /// Show a job: its state, what it has read and written, why it failed
    #[command(after_help = "Example: eventwright job describe orders --data ./data")]
    Describe {
        /// The job's name, which 'pipeline.name' sets, or its id; `job list` shows both
        job: String,
        #[command(flatten)]
        jobs: JobsArguments,
    },
    /// End an unfinished job that does not run for good: nothing resumes it, and its topics may be deleted
    #[command(after_help = "What it has sent to an outside system and that system has not taken yet is lost.

Example: eventwright job end orders")]
    End {
        /// The job's name, which 'pipeline.name' sets, or its id; `job list` shows both
        job: String,
        #[command(flatten)]
        jobs: JobsArguments,
    },
    /// Stop a running job after its current step; running its file again resumes it
    #[command(after_help = "Example: eventwright job stop orders")]
    Stop {
        /// The job's name, which 'pipeline.name' sets, or its id; `job list` shows both
        job: String,
        #[command(flatten)]
        jobs: JobsArguments,
    },
}

#[derive(Subcommand)]
pub enum SavepointVerb {
    /// Write the state of a running job into a new folder; the job goes on
    #[command(after_help = "Examples:
  eventwright savepoint create orders
  eventwright savepoint create orders --to /backup --data ./data     on a node with --savepoints /backup")]
    Create {
        /// The job's name, which 'pipeline.name' sets, or its id; `job list` shows both
        job: String,
        /// The savepoint becomes a new folder in this one, which --savepoints of the node allows [default: the node's own]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        #[command(flatten)]
        jobs: JobsArguments,
    },
    /// List the savepoints in a folder
    #[command(after_help = "Example: eventwright savepoint list /backup -o json")]
    List {
        /// The folder that holds them
        #[arg(value_name = "DIR", default_value = "eventwright-data/savepoints")]
        folder: PathBuf,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Run a file from a savepoint: the same as `run FILE --from-savepoint DIR`
    #[command(after_help = "Example:
  eventwright savepoint restore data/savepoints/savepoint-orders-1f2e3d4c job.sql --data ./other")]
    Restore {
        /// The savepoint's folder
        #[arg(value_name = "DIR")]
        savepoint: PathBuf,
        #[command(flatten)]
        run: Box<RunArguments>,
    },
}
