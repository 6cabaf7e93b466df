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
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory_kb: f64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(f64::NAN);
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
