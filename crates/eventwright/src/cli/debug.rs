//! Steps that are run again.

use super::jobs::JobsArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum DebugVerb {
    /// Run a step again, beside the job, and show its inputs, each operator's rows and state, and its outputs
    #[command(
        after_help = "The job itself, its state and its outputs are not touched, whether it runs or not. Values are shown as `print` shows them.

Examples:
  eventwright debug step 17 --job orders
  eventwright debug step --at totals/0/3             the step that wrote that record, or took it
  eventwright debug step 17 --job orders --rows 100 --entries 100 -o json
  eventwright debug step 17 --job orders --data ./data --file job.sql      no node runs on the directory"
    )]
    Step {
        /// The step's number, counted from 1; `trace` and `debug list` show numbers
        #[arg(required_unless_present = "at")]
        number: Option<u64>,
        /// The step that wrote this record, or else the first one that took it: TOPIC/PARTITION/OFFSET
        #[arg(long, value_name = "RECORD", conflicts_with = "number")]
        at: Option<String>,
        /// The job's name, which 'pipeline.name' sets, or its id; `job list` shows both
        #[arg(long, value_name = "JOB", required_unless_present = "at")]
        job: Option<String>,
        /// Rows that are shown of each input and each operator
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        rows: u32,
        /// Entries of state that are shown of each operator
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        entries: u32,
        #[command(flatten)]
        place: DebugPlace,
    },
    /// Show which steps of a job can be run again
    #[command(after_help = "Examples:
  eventwright debug list orders
  eventwright debug list orders --savepoint ./data/savepoints/savepoint-orders-1f2e3d4c")]
    List {
        /// The job's name, which 'pipeline.name' sets, or its id; `job list` shows both
        job: String,
        #[command(flatten)]
        place: DebugPlace,
    },
}

#[derive(Args)]
pub struct DebugPlace {
    /// A savepoint of the job, from which steps can be run again too; of a running node, in a folder for its savepoints
    #[arg(long, value_name = "DIR")]
    pub savepoint: Option<PathBuf>,
    /// The job's Flink SQL file, where no node runs on the data directory
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A value for `${NAME}` in the file; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE", requires = "file")]
    pub variables: Vec<String>,
    #[command(flatten)]
    pub jobs: JobsArguments,
}
