//! This machine and its disk.

use super::node::KAFKA_ADDRESS;
use super::topics::Form;
use clap::Args;
use std::path::PathBuf;

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
#[command(after_help = "Example: eventwright doctor --data ./data")]
pub struct DoctorArguments {
    /// The data directory to look at
    #[arg(long, value_name = "DIR", default_value = "eventwright-data")]
    pub data: PathBuf,
    /// The address that a node would listen on
    #[arg(long, value_name = "ADDR", default_value = KAFKA_ADDRESS)]
    pub kafka: String,
    /// The address that it would serve PostgreSQL's clients on, or `none` [default: 127.0.0.1:5432, or a free port]
    #[arg(long, value_name = "ADDR")]
    pub pg: Option<String>,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}
