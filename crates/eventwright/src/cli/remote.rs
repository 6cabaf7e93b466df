//! Copies of a node in a store elsewhere.

use clap::Args;
use std::path::PathBuf;

#[derive(Args, Clone)]
pub struct StoreArguments {
    /// An option of the store under the name that tables of buckets have, such as s3.endpoint=http://minio:9000; may be given several times
    #[arg(long = "remote-option", value_name = "KEY=VALUE")]
    pub remote_options: Vec<String>,
}

#[derive(Args, Clone)]
pub struct RemoteArguments {
    /// Ship the log and the jobs' snapshots to a store as they are written: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or a directory (docs/guide/remote.md)
    #[arg(long, value_name = "STORE")]
    pub remote: Option<String>,
    #[command(flatten)]
    pub store: StoreArguments,
    /// How long the store keeps what is only needed to come back to an earlier time
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub remote_history: String,
    /// How much of the log is kept here while the store does not take it, though retention gives it up
    #[arg(long, value_name = "SIZE", default_value = "64gb")]
    pub remote_behind_max: String,
    /// Follow the node that writes into the store, and take over when it has gone silent
    #[arg(long, requires = "remote")]
    pub standby: bool,
    /// How long the other node may be silent before a standby takes over
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub takeover_after: String,
}

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright restore --from s3://backups/orders --data ./data
  eventwright restore --from /mnt/backup/orders --data ./data --until 2026-11-30T09:00:00Z")]
pub struct RestoreArguments {
    /// The store that a node has shipped its log to: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or a directory
    #[arg(long, value_name = "STORE")]
    pub from: String,
    #[command(flatten)]
    pub store: StoreArguments,
    /// The data directory to make; it must not hold a log
    #[arg(long, value_name = "DIR", default_value = "eventwright-data")]
    pub data: PathBuf,
    /// Nothing that was written after this time [default: all that is there]
    #[arg(long, value_name = "TIMESTAMP")]
    pub until: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Example: eventwright takeover --data ./standby-data")]
pub struct TakeoverArguments {
    /// The data directory of a node that was started with --standby, by `start` or `run`
    #[arg(long, value_name = "DIR", default_value = "eventwright-data")]
    pub data: PathBuf,
}
