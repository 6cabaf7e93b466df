//! Start on a data directory that holds gigabytes, after a stop in good order and after a kill.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use benches::cost::{process_cpu_seconds, resident_mb};
use benches::load;
use benches::node::NodeArguments;
use benches::report::{Table, rounded};
use clap::Args;
use std::path::Path;

use crate::TOPIC;

#[derive(Args)]
pub struct Arguments {
    /// Gigabytes (10^9 bytes), at most 50; the disk must have a fifth more
    #[arg(long, default_value_t = 10.0)]
    gigabytes: f64,
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    #[arg(long, default_value_t = 1_000_000)]
    batch_bytes: usize,
}

const VALUE_BYTES: usize = 1_000;
const WINDOW: usize = 8;

pub fn run(node: &NodeArguments, arguments: &Arguments) -> Result<Table> {
    ensure!(
        arguments.gigabytes > 0.0 && arguments.gigabytes <= 50.0,
        "--gigabytes must be above 0 and at most 50"
    );
    let needed = arguments.gigabytes * benches::GIGABYTE * 1.2;
    let disk = rustix::fs::statvfs(node.folder())?;
    let free = (disk.f_bavail * disk.f_frsize) as f64;
    ensure!(
        free > needed,
        "free bytes={free:.0} needed={needed:.0}; make room, or name another disk with --folder"
    );
    let scratch = node.scratch()?;
    let data = scratch.path().join("data");
    let (batch, _) = load::batch(VALUE_BYTES, arguments.batch_bytes)?;
    let count = (arguments.gigabytes * benches::GIGABYTE / batch.len() as f64).ceil() as u64;
    let mut running = node.start(&data)?;
    let mut client = running.client()?;
    client.create_topic(TOPIC, arguments.partitions, 1, &[("retention.ms", "-1")])?;
    load::produce(&mut client, running.id(), TOPIC, arguments.partitions, &batch, count, WINDOW)?;
    let files = std::fs::read_dir(data.join("log")).or_else(|_| std::fs::read_dir(&data))?.count();
    let title = format!(
        "Start with {:.1} GB in {files} files",
        count as f64 * batch.len() as f64 / benches::GIGABYTE
    );
    let mut table = Table::new(title, &["", "listens, ms", "CPU ms", "last record read, ms", "MB of memory"]);
    let kinds = [
        ("after a kill", false, false),
        ("after a stop", true, false),
        ("after a stop, files out of the page cache", true, true),
        ("after a kill, files out of the page cache", false, true),
    ];
    for (name, in_order, cold) in kinds {
        drop(client);
        if in_order {
            running.stop()?
        } else {
            drop(running)
        }
        if cold {
            forget_pages(&data)?;
        }
        let start = Instant::now();
        running = node.start(&data)?;
        let listens_ms = start.elapsed().as_secs_f64() * 1e3;
        let cpu_ms = process_cpu_seconds(running.id())? * 1e3;
        client = running.client()?;
        read_last(&mut client)?;
        let read_ms = start.elapsed().as_secs_f64() * 1e3;
        let memory = resident_mb(running.id())?;
        table.row(name, [listens_ms, cpu_ms, read_ms, memory].map(rounded).to_vec());
    }
    running.stop()?;
    node.settle(scratch)?;
    Ok(table)
}

fn read_last(client: &mut kafka_client::Client) -> Result<()> {
    let end = client.list_offsets(TOPIC, 0, kafka_client::OffsetSpec::Latest)?.offset;
    let mut read = client.fetch(TOPIC, 0, end - 1, 1 << 20, std::time::Duration::ZERO)?;
    let last = read.next().context("the last record is not there")??;
    ensure!(last.offset == end - 1, "offset={} where {} is the last", last.offset, end - 1);
    Ok(())
}

/// Has the kernel drop what it holds of the files, which are written by now.
fn forget_pages(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_pages(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            let file = std::fs::File::open(entry.path())?;
            file.sync_data()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
