//! What keyed state costs: snapshots beside the steps, spilling, recovery, and our runs beside embedded stores.
//!
//! It measures the engine and its state store inside this process, on a real disk, without the log and without SQL.
//! What the machine can do at best (reading and writing the same disk) stands beside it.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

mod job;
mod log;
mod recovery;
mod spill;
mod steps;
mod stores;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use benches::machine;
use benches::report::{self, Form, Table};
use clap::{Parser, Subcommand};
use tempfile::TempDir;

#[derive(Parser)]
#[command(
    about = "What keyed state costs: snapshots, spilling, recovery, and our runs beside embedded stores"
)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// An existing folder on the disk that is measured [default: temporary files]
    #[arg(long, value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    /// Small sizes, to see that it runs
    #[arg(long, global = true)]
    small: bool,
    #[arg(short, long, value_enum, default_value_t = Form::Text, global = true)]
    output: Form,
}

#[derive(Subcommand)]
enum What {
    /// Steps with and without snapshots
    Steps,
    /// Steps with state of half to ten times the memory that it may take
    Spill,
    /// From a snapshot to the first step
    Recovery {
        /// The size of the state on disk
        #[arg(long, default_value_t = 10.0)]
        gigabytes: f64,
    },
    /// The log by itself, opened again
    Log {
        #[arg(long, default_value_t = 10.0)]
        gigabytes: f64,
    },
    /// Our sorted runs beside fjall and redb
    Stores,
}

/// Where and how large.
struct Site {
    folder: PathBuf,
    small: bool,
}

impl Site {
    fn scratch(&self) -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix("eventwright-state-").tempdir_in(&self.folder)?)
    }

    /// A size, or a hundredth of it.
    fn size(&self, full: usize) -> usize {
        if self.small { full / 100 } else { full }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let load_before = machine::load()?;
    let folder = arguments.folder.unwrap_or_else(std::env::temp_dir);
    let site = Site { folder, small: arguments.small };
    let tables: Vec<Table> = match arguments.what {
        What::Log { gigabytes } => {
            check(gigabytes)?;
            vec![log::run(&site, gigabytes)?]
        }
        What::Steps => steps::run(&site)?,
        What::Spill => spill::run(&site)?,
        What::Recovery { gigabytes } => {
            check(gigabytes)?;
            vec![recovery::run(&site, gigabytes)?]
        }
        What::Stores => vec![stores::run(&site)?],
    };
    report::print(arguments.output, &site.folder, &load_before, &tables)
}

fn check(gigabytes: f64) -> Result<()> {
    ensure!((0.01..=100.0).contains(&gigabytes), "--gigabytes lies between 0.01 and 100");
    Ok(())
}
