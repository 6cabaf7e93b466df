//! The command line: every verb, its options and its examples.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The address on which Kafka clients are served unless told otherwise.
pub const KAFKA_ADDRESS: &str = "127.0.0.1:9092";

/// The address on which jobs can be looked at unless told otherwise; Flink's.
pub const HTTP_ADDRESS: &str = "127.0.0.1:8081";

/// The address on which views and topics can be queried unless told otherwise; PostgreSQL's.
pub const PG_ADDRESS: &str = "127.0.0.1:5432";

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
    /// Look at dead letters of share groups, and send them back to where they came from
    #[command(subcommand)]
    Dlq(DlqVerb),
    /// Add, list and remove the users that may log in
    #[command(subcommand)]
    User(UserVerb),
    /// List, describe and stop jobs
    #[command(subcommand)]
    Job(JobVerb),
    /// Create and list savepoints, and run a file from one
    #[command(subcommand)]
    Savepoint(SavepointVerb),
    /// Look at this machine and a data directory, and say what is wrong with them
    Doctor(DoctorArguments),
    /// Kill a node and cut its power on this machine's disk, and prove that nothing acknowledged is lost
    Verify(VerifyArguments),
}

#[derive(Args, Clone)]
pub struct NodeArguments {
    /// Address to serve Kafka clients on; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = KAFKA_ADDRESS)]
    pub kafka: String,
    /// Address to serve Flink's monitoring API and the schema registry on, with https:// in front for TLS, or `none` [default: 127.0.0.1:8081, or a free port if it is taken]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Address to serve PostgreSQL's clients on, or `none` [default: 127.0.0.1:5432, or a free port if it is taken]
    #[arg(long, value_name = "ADDR")]
    pub pg: Option<String>,
    /// What all queries of PostgreSQL's clients may take in memory together, such as 512mb
    #[arg(long, value_name = "SIZE", default_value = "256mb")]
    pub pg_memory: String,
    /// Serve Kafka clients on an address other than loopback without TLS and log-in
    #[arg(long)]
    pub insecure: bool,
    /// The same for the HTTP address
    #[arg(long)]
    pub insecure_http: bool,
    /// The same for the PostgreSQL address
    #[arg(long)]
    pub insecure_pg: bool,
    /// Let jobs connect to link-local addresses and to those of the metadata services of clouds, which are refused otherwise
    #[arg(long)]
    pub allow_link_local: bool,
    /// A folder that savepoints may be written to, may be given several times; the first is where they go without a target [default: DATA/savepoints, which always may]
    #[arg(long, value_name = "DIR")]
    pub savepoints: Vec<PathBuf>,
    /// A file with the topics that webhooks write, and the secrets they sign with (docs/guide/http-events.md)
    #[arg(long, value_name = "FILE")]
    pub webhooks: Option<PathBuf>,
    /// What the rows of all materialized tables together may take in memory
    #[arg(long, value_name = "SIZE", default_value = "1gb")]
    pub views_memory: String,
    /// A file of the broker's settings under Kafka's names, one `key=value` on a line
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A setting of the broker; goes before the file, may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

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
  eventwright start
  eventwright start --data ./data --kafka 127.0.0.1:0
  eventwright start --kafka 0.0.0.0:9092 --set security.protocol=SASL_SSL \\
    --set ssl.certificate.location=node.pem --set ssl.key.location=node.key
  kcat -b 127.0.0.1:9092 -L")]
pub struct StartArguments {
    /// Where the log and the state lie
    #[arg(long, value_name = "DIR", default_value = "eventwright-data")]
    pub data: PathBuf,
    #[command(flatten)]
    pub node: NodeArguments,
    /// Keep what is durable of the data in this folder too, so that `verify` can cut the power
    #[arg(long, value_name = "DIR", hide = true)]
    pub shadow: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright verify                                  some 100 kills and power cuts, about a minute
  eventwright verify --kill 1000 --power-cut 1000 --folder /mnt/data
  eventwright verify --power-cut 0 -o json

Producers write to a node that dies again and again; what is left is compared with what they were told.
A power cut is a kill after which everything that was not synced is gone, or survives in part.")]
pub struct VerifyArguments {
    /// How often the node is killed (SIGKILL)
    #[arg(long, value_name = "N", default_value_t = 48)]
    pub kill: u64,
    /// How often it loses its power
    #[arg(long, value_name = "N", default_value_t = 48)]
    pub power_cut: u64,
    /// A folder on the disk that is to be tried; what is written there goes with the end, unless something is wrong
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// Where the deaths are placed [default: by the clock; the report names it]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Form of the report
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

#[derive(Subcommand)]
pub enum ConnectorVerb {
    /// List the connectors and what they promise
    List {
        /// Form of the list
        #[arg(short, long, value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Describe a connector: its options, with -o json as a JSON schema
    #[command(after_help = "Examples:
  eventwright connector describe jdbc
  eventwright connector describe kafka -o json")]
    Describe {
        name: String,
        /// Form of the description
        #[arg(short, long, value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Open the outside connection of each table that a job of a file reads or writes, without running a job
    Test(ConnectorTestArguments),
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright connector test job.sql                  every table that a job of the file uses
  eventwright connector test job.sql --table orders --timeout-seconds 3

Nothing is changed outside: a job that runs meanwhile notices nothing. The exit status is 0 if all tables reach
what they need.")]
pub struct ConnectorTestArguments {
    #[command(flatten)]
    pub script: ScriptArguments,
    /// Only this table
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// How long each connection, and each answer, may take
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout_seconds: u64,
    /// Let tables connect to link-local addresses, as the node's option does
    #[arg(long)]
    pub allow_link_local: bool,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright explain job.sql                        the plan of each job, its state, advice
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
    /// The data directory of the node that runs the job
    #[arg(long, value_name = "DIR", conflicts_with = "http", requires = "analyze")]
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

#[derive(Args)]
pub struct ClientArguments {
    /// Address of the node, or of any Kafka broker
    #[arg(short, long, value_name = "ADDR", default_value = KAFKA_ADDRESS)]
    pub bootstrap: String,
    /// A file that says how to log in, with the properties that Kafka's tools take
    #[arg(long, value_name = "FILE")]
    pub command_config: Option<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Text,
    Json,
}

#[derive(Subcommand)]
pub enum TopicVerb {
    /// List the topics
    #[command(after_help = "Example: eventwright topic list -o json")]
    List {
        /// List internal topics too
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Create a topic
    #[command(
        after_help = "Example: eventwright topic create orders --partitions 3 --config retention.ms=86400000"
    )]
    Create {
        /// The topic's name
        topic: String,
        /// How many partitions the topic has
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: i32,
        /// A topic configuration; may be given several times
        #[arg(long = "config", value_name = "KEY=VALUE")]
        configs: Vec<String>,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Show a topic's partitions, offsets and configuration
    #[command(after_help = "Example: eventwright topic describe orders")]
    Describe {
        /// The topic's name
        topic: String,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Delete a topic and its records
    #[command(after_help = "Example: eventwright topic delete orders")]
    Delete {
        /// The topic's name
        topic: String,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Produce records from lines of standard input or a file
    #[command(after_help = "Examples:
  echo '{\"id\":1}' | eventwright topic produce orders
  eventwright topic produce orders --file orders.jsonl --key-separator '|' --compression lz4")]
    Produce(ProduceArguments),
    /// Print records of a topic
    #[command(after_help = "Examples:
  eventwright topic consume orders --max 10
  eventwright topic consume orders --follow -o json
  eventwright topic consume orders --partition 0 --offset 100 --contains EWR --key JFK")]
    Consume(ConsumeArguments),
}

#[derive(Args)]
pub struct ProduceArguments {
    /// The topic's name
    pub topic: String,
    /// Read lines from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What parts the key from the value in a line; without it records have no key
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// Partition to write; without it, keyed records go by the key's hash and others in turn
    #[arg(long)]
    pub partition: Option<i32>,
    /// How batches are compressed
    #[arg(long, value_enum, default_value_t = Codec::None)]
    pub compression: Codec,
    /// At most this many records a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    #[command(flatten)]
    pub client: ClientArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Args)]
pub struct ConsumeArguments {
    /// The topic's name
    pub topic: String,
    /// Only this partition
    #[arg(long)]
    pub partition: Option<i32>,
    /// Start at this offset instead of the beginning
    #[arg(long, conflicts_with = "since")]
    pub offset: Option<i64>,
    /// Start at this time: milliseconds since the epoch, or a time such as 2013-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    pub since: Option<i64>,
    /// Stop after this many printed records
    #[arg(long, value_name = "N")]
    pub max: Option<u64>,
    /// Wait for more records at the end, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only records with this key
    #[arg(long)]
    pub key: Option<String>,
    /// Only records whose value contains this text
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    #[command(flatten)]
    pub client: ClientArguments,
}

#[derive(Subcommand)]
pub enum GroupVerb {
    /// List the consumer groups
    #[command(after_help = "Example: eventwright group list")]
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Show a group's members, offsets and lag
    #[command(after_help = "Example: eventwright group describe billing -o json")]
    Describe {
        /// The group's id
        group: String,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Show what can be set for a group, and set it; the group need not exist
    #[command(after_help = "Examples:
  eventwright group configure workers
  eventwright group configure workers --set share.auto.offset.reset=earliest --set share.delivery.count.limit=3
  eventwright group configure workers --unset share.delivery.count.limit")]
    Configure {
        group: String,
        /// A value in place of the default; may be given several times
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        /// Back to the default; may be given several times
        #[arg(long = "unset", value_name = "KEY")]
        unsets: Vec<String>,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Set a group's offsets on a topic; the group must have no members
    #[command(after_help = "Examples:
  eventwright group reset billing --topic orders --to earliest --dry-run
  eventwright group reset billing --topic orders --to 2013-01-01T00:00:00Z
  eventwright group reset billing --topic orders --to 42")]
    Reset {
        /// The group's id
        group: String,
        /// The topic whose offsets are set
        #[arg(long)]
        topic: String,
        /// `earliest`, `latest`, an offset, or a time such as 2013-01-31T12:00:00Z
        #[arg(long)]
        to: String,
        /// Show what would change and change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Subcommand)]
pub enum DlqVerb {
    /// List the dead-letter topics and how many letters they have
    #[command(after_help = "Example: eventwright dlq list -o json")]
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Show the letters of a topic: what they are about, and why they are dead
    #[command(after_help = "Examples:
  eventwright dlq show dlq.orders
  eventwright dlq show dlq.orders --max 10 -o json")]
    Show {
        topic: String,
        /// At most this many letters
        #[arg(long, value_name = "N")]
        max: Option<u64>,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Send letters back to the topics they came from; a second run goes on behind the first
    #[command(after_help = "Examples:
  eventwright dlq redrive dlq.orders --dry-run
  eventwright dlq redrive dlq.orders --max 100
  eventwright dlq redrive dlq.orders --partition 0 --offset 42")]
    Redrive(RedriveArguments),
}

#[derive(Args)]
pub struct RedriveArguments {
    pub topic: String,
    /// At most this many letters
    #[arg(long, value_name = "N")]
    pub max: Option<u64>,
    /// One letter: its partition in the dead-letter topic
    #[arg(long, value_name = "N")]
    pub partition: Option<i32>,
    /// One letter: its offset there
    #[arg(long, value_name = "N")]
    pub offset: Option<i64>,
    /// Send again what has been sent before, too
    #[arg(long)]
    pub from_beginning: bool,
    /// Show what would be sent and send nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub client: ClientArguments,
}

#[derive(Subcommand)]
pub enum UserVerb {
    /// Add a user, or give it another password
    #[command(after_help = "Examples:
  eventwright user add admin --admin --data ./data --password-file admin.password
  pass show alice | eventwright user add alice -b node:9092 --command-config admin.properties

The password is the file's, the environment's or standard input's first line, never an argument. What is kept of it
(SCRAM-SHA-256 and SCRAM-SHA-512, salted) lets nobody log in.")]
    Add {
        /// The user's name
        user: String,
        /// Allow the user everything, by access rules
        #[arg(long)]
        admin: bool,
        /// Read the password from this file
        #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
        password_file: Option<PathBuf>,
        /// Read the password from this variable of the environment
        #[arg(long, value_name = "NAME")]
        password_env: Option<String>,
        #[command(flatten)]
        place: UserPlace,
    },
    /// List the users and how they may log in
    #[command(after_help = "Example: eventwright user list --data ./data -o json")]
    List {
        #[command(flatten)]
        place: UserPlace,
    },
    /// Remove a user, and the access rules that name it
    #[command(
        after_help = "Example: eventwright user remove alice -b node:9092 --command-config admin.properties"
    )]
    Remove {
        /// The user's name
        user: String,
        #[command(flatten)]
        place: UserPlace,
    },
}

/// Where the users are: in a running node, or in a data directory that no node serves.
#[derive(Args)]
pub struct UserPlace {
    /// A data directory that no node serves; without it, the node at --bootstrap is asked
    #[arg(long, value_name = "DIR", conflicts_with_all = ["bootstrap", "command_config"])]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub client: ClientArguments,
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

#[derive(Args)]
#[command(after_help = "Example: eventwright doctor --data ./data")]
pub struct DoctorArguments {
    /// The data directory to look at
    #[arg(long, value_name = "DIR", default_value = "eventwright-data")]
    pub data: PathBuf,
    /// The address that a node would listen on
    #[arg(long, value_name = "ADDR", default_value = KAFKA_ADDRESS)]
    pub kafka: String,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

/// Milliseconds since the epoch, or a time as it is written.
fn time_ms(text: &str) -> Result<i64, String> {
    let time = text.parse().ok().or_else(|| crate::output::parse_timestamp(text));
    time.ok_or_else(|| {
        "write milliseconds since the epoch or a time such as 2013-01-31T12:00:00Z".to_string()
    })
}
