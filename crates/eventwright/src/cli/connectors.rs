//! Connectors, and whether they reach their systems.

use super::jobs::ScriptArguments;
use super::topics::Form;
use clap::{Args, Subcommand};

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
    /// Look at tables of 'exec' as a node does that may run commands; none is run
    #[arg(long)]
    pub allow_exec: bool,
    /// Let tables of 'syslog' listen on any address, as the node's option does
    #[arg(long)]
    pub insecure_syslog: bool,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}
