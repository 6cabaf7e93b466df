//! The command line: every verb, its options and its examples, a file for what belongs together.

mod connectors;
mod debug;
mod documents;
mod jobs;
mod machine;
mod node;
mod remote;
mod sql;
mod topics;
mod users;
mod views;

pub use self::remote::{RemoteArguments, RestoreArguments, StoreArguments, TakeoverArguments};
pub use connectors::{ConnectorTestArguments, ConnectorVerb};
pub use debug::{DebugPlace, DebugVerb};
pub use documents::{DocumentForm, ExportArguments, ExportVerb, ImportArguments, ImportVerb, PlaceArguments};
pub use jobs::{
    CheckArguments, ExplainArguments, JobVerb, JobsArguments, RunArguments, SavepointVerb, ScriptArguments,
    TraceArguments, WhyArguments,
};
pub use machine::{DoctorArguments, VerifyArguments};
pub use node::{ANY_PORT, HTTP_ADDRESS, KAFKA_ADDRESS, NodeArguments, PG_ADDRESS, StartArguments};
pub use sql::{SqlArguments, SqlForm};
pub use topics::{
    ClientArguments, Codec, ConsumeArguments, DlqVerb, Form, GroupVerb, ProduceArguments, RedriveArguments,
    TopicVerb,
};
pub use users::{UserPlace, UserVerb};
pub use views::ViewVerb;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "eventwright",
    version,
    about = "The whole event-driven system in one binary: Kafka protocol, Flink SQL, one durable log.",
    after_help = "Examples:
  eventwright run examples/flights/delays.sql        run a Flink SQL file on an embedded node
  eventwright start --data ./data                    start a node for any Kafka client
  eventwright check job.sql                          parse, plan and lint without running
  eventwright topic consume alerts -o json           read a topic as JSON lines

`eventwright help VERB` shows the options and examples of a verb."
)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Run a Flink SQL file on an embedded node
    Run(RunArguments),
    /// Start a node that Kafka clients can use, without a job
    Start(StartArguments),
    /// Parse, plan and lint a Flink SQL file without running it
    Check(CheckArguments),
    /// Show the plans of a Flink SQL file, or what each operator of a running job has done
    Explain(ExplainArguments),
    /// List and describe connectors, and try whether the tables of a file reach their systems
    #[command(subcommand)]
    Connector(ConnectorVerb),
    /// List, create, describe, delete, produce to and consume from topics
    #[command(subcommand)]
    Topic(TopicVerb),
    /// List, describe and reset consumer groups
    #[command(subcommand)]
    Group(GroupVerb),
    /// Look at dead letters of share groups and jobs, and send them back to where they came from
    #[command(subcommand)]
    Dlq(DlqVerb),
    /// Add, list and remove the users that may log in
    #[command(subcommand)]
    User(UserVerb),
    /// List, describe and stop jobs
    #[command(subcommand)]
    Job(JobVerb),
    /// Say why a running job gives no rows
    Why(WhyArguments),
    /// Say where a record came from and where it went
    Trace(TraceArguments),
    /// Run a step of a job again and look into it: inputs, state before and after, outputs
    #[command(subcommand)]
    Debug(DebugVerb),
    /// List and show materialized tables
    #[command(subcommand)]
    View(ViewVerb),
    /// Create and list savepoints, and run a file from one
    #[command(subcommand)]
    Savepoint(SavepointVerb),
    /// Describe a node or a Flink SQL file to other tools
    #[command(subcommand)]
    Export(ExportVerb),
    /// Make what a document of other tools describes
    #[command(subcommand)]
    Import(ImportVerb),
    /// Look at this machine and a data directory, and say what is wrong with them
    Doctor(DoctorArguments),
    /// Ask a node's views and topics in SQL: a shell as psql is, or statements of arguments, files and pipes
    Sql(SqlArguments),
    /// Make a data directory from the store that a node has shipped its log to
    Restore(RestoreArguments),
    /// Have a standby take over from the node that it follows
    Takeover(TakeoverArguments),
    /// Kill a node and cut its power on this machine's disk, and prove that nothing acknowledged is lost
    Verify(VerifyArguments),
}
