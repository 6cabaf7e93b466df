//! The SQL shell.

use super::node::PG_ADDRESS;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright sql                                     a shell; \\? lists its commands
  eventwright sql -c 'SELECT city, total FROM sales' -o csv
  eventwright sql -f report.sql -o json
  eventwright sql -c 'SUBSCRIBE TO sales'             the rows, then each change, until Ctrl-C
  eventwright sql --data ./data -c '\\d'               of a data directory that no node serves
  eventwright sql --server db.example:5432 --user me --password-file secret --ca-file ca.pem

The exit status is 0; 1 if a statement of -c failed, or something of our own; 2 if the connection failed or was lost;
3 if a statement of a file or of the standard input failed. The first failure is the end, but not at a terminal.")]
pub struct SqlArguments {
    /// Address of the node's PostgreSQL port
    #[arg(long, value_name = "HOST:PORT", default_value = PG_ADDRESS)]
    pub server: String,
    /// Open the log of this data directory, which no node may serve meanwhile
    #[arg(long, alias = "data-dir", value_name = "DIR", conflicts_with = "server")]
    pub data: Option<PathBuf>,
    /// A statement, or a command such as \d; may be given several times, and comes before the files
    #[arg(short, long = "command", value_name = "SQL")]
    pub commands: Vec<String>,
    /// A file of statements, - for the standard input; may be given several times
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The user [default: PGUSER, or USER]; the password is that of PGPASSWORD or of --password-file
    #[arg(short = 'U', long)]
    pub user: Option<String>,
    /// A file that holds nothing but the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The database's name; a node has one, and takes any
    #[arg(short, long, value_name = "NAME", default_value = "eventwright")]
    pub database: String,
    /// Speak TLS, with a server that the system's authorities vouch for
    #[arg(long)]
    pub tls: bool,
    /// Speak TLS, with a server that the authorities in this PEM file vouch for
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Show a line for each column
    #[arg(short = 'x', long)]
    pub expanded: bool,
    /// Form of the rows; json is an object a line
    #[arg(short, long, value_enum, default_value_t = SqlForm::Table)]
    pub output: SqlForm,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SqlForm {
    Table,
    Csv,
    Json,
}
