//! Documents about a node that other tools read: written and read.

use super::node::KAFKA_ADDRESS;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum ExportVerb {
    /// Write topics, schemas, tables and jobs as an AsyncAPI 3 document
    Asyncapi(ExportArguments),
}

#[derive(Subcommand)]
pub enum ImportVerb {
    /// Make the topics and schemas of an AsyncAPI 3 document, and write the tables that read them
    Asyncapi(ImportArguments),
}

#[derive(Args)]
pub struct PlaceArguments {
    /// Address of the node, or of any Kafka broker [default: 127.0.0.1:9092]
    #[arg(short, long, value_name = "ADDR")]
    pub bootstrap: Option<String>,
    /// Address of the node's HTTP port, where its schema registry and its jobs are, or `none` [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// The node of this data directory; one that no node serves is opened meanwhile
    #[arg(long, alias = "data-dir", value_name = "DIR", conflicts_with_all = ["bootstrap", "http"])]
    pub data: Option<PathBuf>,
    /// A file that says how to log in, with the properties that Kafka's tools take
    #[arg(long, value_name = "FILE")]
    pub command_config: Option<PathBuf>,
}

impl PlaceArguments {
    pub fn bootstrap(&self) -> &str {
        self.bootstrap.as_deref().unwrap_or(KAFKA_ADDRESS)
    }

    /// Whether anything says that a node is meant.
    pub fn is_given(&self) -> bool {
        self.bootstrap.is_some()
            || self.http.is_some()
            || self.data.is_some()
            || self.command_config.is_some()
    }
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright export asyncapi                           of the node on 127.0.0.1:9092
  eventwright export asyncapi orders.sql                of a file alone
  eventwright export asyncapi orders.sql --data ./data -o json

Tables are known from files only, jobs from files and from a running node.")]
pub struct ExportArguments {
    /// Flink SQL files whose tables and jobs are described; nothing of them is run
    pub files: Vec<PathBuf>,
    /// A value for `${NAME}` in the files; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    #[command(flatten)]
    pub place: PlaceArguments,
    /// What the document is about
    #[arg(long, value_name = "TEXT", default_value = "Eventwright")]
    pub title: String,
    /// The version of what it is about
    #[arg(long, value_name = "VERSION", default_value = "1.0.0")]
    pub api_version: String,
    /// Form of the document
    #[arg(short, long, value_enum, default_value_t = DocumentForm::Yaml)]
    pub output: DocumentForm,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentForm {
    Yaml,
    Json,
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright import asyncapi orders.yaml --dry-run      what would be made
  eventwright import asyncapi orders.yaml --tables orders.sql

Topics that are there already stay as they are.")]
pub struct ImportArguments {
    /// The document, in YAML or JSON
    pub file: PathBuf,
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Write the tables' statements to this new file instead of the standard output
    #[arg(long, value_name = "FILE")]
    pub tables: Option<PathBuf>,
    /// Say what would be made and make nothing; what is there is looked at where an address, --data or --command-config names a node
    #[arg(long)]
    pub dry_run: bool,
}
