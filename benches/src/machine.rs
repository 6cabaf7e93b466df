//! The machine that a table was measured on, in one line.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Processor, cores, memory, kernel, and the file system that holds the folder.
pub fn describe(folder: &Path) -> Result<String> {
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let memory_kb = memory_kb("MemTotal:")?;
    Ok(format!(
        "{cores} cores of {}, {:.0} GB of memory, Linux {}, {}",
        model.trim_start_matches([' ', '\t', ':']),
        memory_kb * 1024.0 / 1e9,
        kernel.trim(),
        file_system(folder)?
    ))
}

/// How much else the machine has been doing.
pub fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Kind and device of the file system; a memory file system would make every sync free.
fn file_system(folder: &Path) -> Result<String> {
    let device = fs::metadata(folder).with_context(|| format!("no folder={}", folder.display()))?.dev();
    // Fields of proc_pid_mountinfo(5): 3 is the device's numbers; behind " - " stand the kind and the source.
    let numbers = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let line = mounts.lines().find(|line| line.split_whitespace().nth(2) == Some(&numbers));
    let behind = line.and_then(|line| line.split_once(" - ")).map(|(_, behind)| behind);
    let mut words = behind.unwrap_or("").split_whitespace();
    Ok(format!(
        "{} on {}",
        words.next().unwrap_or("unknown file system"),
        words.next().unwrap_or("unknown device")
    ))
}

/// Takes several times as much memory as will be written, at most half of what is free, and gives it back, so that what is
/// measured next finds its memory there.
///
/// A virtual machine gives memory that is free for a few seconds back to its host, and pays for it again at the next touch:
/// up to a CPU second for each gigabyte, by chance to the one and not to the other.
pub fn warm(written_bytes: u64) -> Result<()> {
    const PAGE_BYTES: usize = 4096;
    let free_bytes = memory_kb("MemAvailable:")? as u64 * 1024;
    let mut memory = vec![0_u8; (written_bytes * 3).min(free_bytes / 2) as usize];
    for page in memory.chunks_mut(PAGE_BYTES) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
    Ok(())
}

/// A line of `/proc/meminfo`.
fn memory_kb(key: &str) -> Result<f64> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let line = memory.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {key} in file=/proc/meminfo"))
}
