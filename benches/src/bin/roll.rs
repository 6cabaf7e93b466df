//! How long an append waits where a log file begins: with the checkpoint of a broker that knows many producers.
//!
//! Inside its own process: the state is filled without a log, and then a log with it as a fold is filled.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use base::{Lsn, PartitionId};
use benches::latency::Samples;
use benches::machine;
use benches::report::{self, Form, Table, rounded};
use broker::state::producers::SequencedBatch;
use broker::state::{BrokerState, SharedState};
use clap::Parser;
use eventlog::{Layer, LogError, LogOptions, Recovery};

#[derive(Parser)]
#[command(about = "Appends where a log file begins, by the number of producers that its checkpoint holds")]
struct Arguments {
    /// Producers, with commas between
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100_000, 250_000, 1_000_000])]
    producers: Vec<i64>,
    /// Batches that are remembered of each, five at most
    #[arg(long, default_value_t = 1)]
    batches: i32,
    /// Bytes that are appended
    #[arg(long, default_value_t = 640_000_000)]
    bytes: usize,
    /// Where the log lies; by default in the folder for temporary files
    #[arg(long)]
    folder: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

const APPEND_BYTES: usize = 100 << 10;
/// So many appends go into one sync.
const SYNC_EVERY: usize = 20;
const PARTITIONS: i64 = 50;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let load_before = machine::load()?;
    let folder = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let mut table = Table::new(
        format!("Appends of {APPEND_BYTES} bytes, ms; {} batches of each producer", arguments.batches),
        &["producers", "checkpoint, MB", "median", "where a file begins, median", "max"],
    );
    for producers in &arguments.producers {
        let state = filled(*producers, arguments.batches);
        let mut checkpoint = Vec::new();
        state.checkpoint(&mut checkpoint);
        let megabytes = checkpoint.len() as f64 / 1e6;
        drop(checkpoint);
        let (all, beginnings) = appends(state, &folder, arguments.bytes)?;
        let shown = [megabytes, all.median(), beginnings.median(), beginnings.quantile(1.0)];
        table.row(producers.to_string(), shown.into_iter().map(rounded).collect());
    }
    report::print(arguments.output, &folder, &load_before, &[table])
}

fn filled(producers: i64, batches: i32) -> BrokerState {
    let mut state = BrokerState::default();
    let mut lsn = 0;
    for base_sequence in 0..batches {
        for producer_id in 0..producers {
            lsn += 1;
            let batch = SequencedBatch {
                producer_id,
                epoch: 0,
                base_sequence,
                last_offset_delta: 0,
                max_timestamp_ms: 1_700_000_000_000,
                is_transactional: false,
            };
            let partition = PartitionId(1 + (producer_id % PARTITIONS) as u32);
            state.apply_data(Lsn(lsn), partition, lsn as i64, &batch);
        }
    }
    state
}

/// The times of all appends, and of those that began a file.
fn appends(state: BrokerState, folder: &std::path::Path, bytes: usize) -> Result<(Samples, Samples)> {
    let scratch = tempfile::tempdir_in(folder)?;
    let recovery = Recovery::open(&os::Os::real(), LogOptions::new(scratch.path()))?;
    let log = recovery.start(vec![("broker", Arc::new(SharedState(Mutex::new(state))))])?;
    let body = vec![7; APPEND_BYTES];
    let (mut all, mut beginnings) = (Samples::default(), Samples::default());
    let mut files = log.metrics().files;
    for count in 1..=bytes / APPEND_BYTES {
        let begun = Instant::now();
        let ((), lsn) = log.append::<_, LogError>(|frame| frame.layer(Layer(200), &body))?;
        let took = begun.elapsed();
        all.push_ms(took);
        let before = std::mem::replace(&mut files, log.metrics().files);
        if files > before {
            beginnings.push_ms(took);
        }
        if count % SYNC_EVERY == 0 {
            log.wait_durable(lsn)?;
        }
    }
    log.shutdown()?;
    Ok((all, beginnings))
}
