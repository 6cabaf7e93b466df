//! What a client asks a node: topics, groups, dead letters.

use super::node::KAFKA_ADDRESS;
use clap::{Args, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
  eventwright dlq redrive dlq.orders --contains timeout --dry-run
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
    /// Letters with this text in their cause, origin, key or value; the others still wait
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["partition", "offset"])]
    pub contains: Option<String>,
    /// Letters of this share group; the others still wait
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["partition", "offset"])]
    pub group: Option<String>,
    /// Send again what has been sent before, too
    #[arg(long)]
    pub from_beginning: bool,
    /// Go on where a run with --max ended: an offset for each partition, such as 0:500,1:20
    #[arg(long, value_name = "PLACES", value_parser = places, conflicts_with_all = ["partition", "offset"])]
    pub from: Option<Places>,
    /// Show what would be sent and send nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub client: ClientArguments,
}

/// An offset for each partition.
#[derive(Clone)]
pub struct Places(pub BTreeMap<i32, i64>);

fn places(text: &str) -> Result<Places, String> {
    let pairs = text.split(',').map(|part| {
        let (partition, offset) = part.split_once(':')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    });
    let places = pairs.collect::<Option<BTreeMap<i32, i64>>>();
    places.map(Places).ok_or_else(|| "write an offset for each partition, such as 0:500,1:20".to_string())
}

/// Milliseconds since the epoch, or a time as it is written.
fn time_ms(text: &str) -> Result<i64, String> {
    let time = text.parse().ok().or_else(|| crate::output::parse_timestamp(text));
    time.ok_or_else(|| {
        "write milliseconds since the epoch or a time such as 2013-01-31T12:00:00Z".to_string()
    })
}
