//! From a snapshot to the first step, with nothing of the state in memory or in the page cache.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use benches::report::{Table, rounded};

use crate::Site;
use crate::job::{Draw, Job, Kind, STEP_ROWS, Taken, Work};

const BUDGET_BYTES: usize = 1 << 30;
const PAYLOAD_BYTES: usize = 200;
/// What a key takes on disk, about.
const ENTRY_BYTES: f64 = 250.0;
/// Steps after the first.
const STEPS: usize = 32;

pub fn run(site: &Site, gigabytes: f64) -> Result<Table> {
    let mut table = Table::new(
        format!("Recovery of state with {} MB of memory", BUDGET_BYTES >> 20),
        &["GB on disk", "keys", "filled, rows/s", "restored, ms", "first step, ms", "next steps, rows/s"],
    );
    for gigabytes in [gigabytes / 10.0, gigabytes] {
        let keys = site.size((gigabytes * 1e9 / ENTRY_BYTES) as usize);
        let work = Work { kind: Kind::LastRow, keys, payload_bytes: PAYLOAD_BYTES };
        let scratch = site.scratch()?;
        let (filled, bytes, manifest) = {
            let mut job = Job::open(scratch.path(), BUDGET_BYTES, work, None)?;
            let filled = job.fill()?;
            let snapshot = job.snapshot()?;
            (filled, snapshot.disk_bytes(), snapshot.manifest.clone())
        };
        forget(scratch.path())?;
        let begun = Instant::now();
        let mut job = Job::open(scratch.path(), BUDGET_BYTES, work, Some(&manifest))?;
        let restored_ms = begun.elapsed().as_secs_f64() * 1e3;
        let mut first = Taken::default();
        job.step(STEP_ROWS, Draw::Evenly, &mut first)?;
        let mut next = Taken::default();
        for _ in 0..STEPS {
            job.step(STEP_ROWS, Draw::Evenly, &mut next)?;
        }
        let values =
            [keys as f64, filled.rows_per_second(), restored_ms, first.longest_ms, next.rows_per_second()];
        table.row(rounded(bytes as f64 / 1e9).to_string(), values.into_iter().map(rounded).collect());
    }
    Ok(table)
}

/// Has the page cache drop what it holds of a folder's files; a merge may be removing some of them.
pub fn forget(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let file = match File::open(entry.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened?,
        };
        file.sync_data()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}
