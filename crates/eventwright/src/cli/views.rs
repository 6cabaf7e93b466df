//! Materialized tables.

use super::jobs::JobsArguments;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum ViewVerb {
    /// List the materialized tables: their rows, what they take, how far they are behind
    #[command(after_help = "Examples:
  eventwright view list
  eventwright view list --data ./data -o json")]
    List {
        #[command(flatten)]
        node: JobsArguments,
    },
    /// Show a materialized table: columns, key, rows, job, freshness, and the statement that made it
    #[command(after_help = "Examples:
  eventwright view show totals
  eventwright view show totals --data ./data -o json
  eventwright sql -c 'SELECT * FROM totals LIMIT 10'      its rows")]
    Show {
        /// The table's name
        view: String,
        #[command(flatten)]
        node: JobsArguments,
    },
}
