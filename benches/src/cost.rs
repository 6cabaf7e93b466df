//! What the kernel has charged a process, a thread or the ended children: CPU seconds and memory.
//!
//! Sums of user and system time. Times of processes come in clock ticks (10 ms), a thread's own in nanoseconds; so
//! processes are compared over seconds.

use std::fs;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// The CPU seconds that a running process has used, all its threads together.
pub fn process_cpu_seconds(process: u32) -> Result<f64> {
    let fields = stat_fields(&process.to_string())?;
    // Fields 14 and 15 of proc_pid_stat(5); the list begins behind field 2.
    ticks(&fields, 11)
        .zip(ticks(&fields, 12))
        .map(|(user, system)| user + system)
        .with_context(|| malformed(process))
}

/// The CPU seconds of all children that have ended and were waited for, and of theirs.
pub fn ended_children_cpu_seconds() -> Result<f64> {
    let fields = stat_fields("self")?;
    ticks(&fields, 13)
        .zip(ticks(&fields, 14))
        .map(|(user, system)| user + system)
        .with_context(|| malformed(0))
}

/// The CPU seconds of the calling thread.
pub fn thread_cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Memory of a process that is in RAM now, in MB (10^6 bytes).
pub fn resident_mb(process: u32) -> Result<f64> {
    status_mb(process, "VmRSS:")
}

/// The most memory that a process has had in RAM, in MB (10^6 bytes).
pub fn resident_mb_max(process: u32) -> Result<f64> {
    status_mb(process, "VmHWM:")
}

/// The process and all processes below it whose program has this name.
pub fn descendants(process: u32, program: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    let all: Vec<(u32, u32, String)> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id: u32| {
            let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let name = text.get(text.find('(')? + 1..text.rfind(')')?)?.to_owned();
            let parent = text.get(text.rfind(')')? + 1..)?.split_whitespace().nth(1)?.parse().ok()?;
            Some((id, parent, name))
        })
        .collect();
    let mut tree = vec![process];
    let mut index = 0;
    while let Some(&parent) = tree.get(index) {
        // A number that is used again could close a circle; it is then not followed a second time.
        let below = all.iter().filter(|(id, above, _)| *above == parent && !tree.contains(id));
        let below: Vec<u32> = below.map(|(id, ..)| *id).collect();
        tree.extend(below);
        index += 1;
    }
    tree.retain(|id| all.iter().any(|(other, _, name)| other == id && name == program));
    tree
}

fn status_mb(process: u32, key: &str) -> Result<f64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read file={path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes: Option<f64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024.0 / 1e6).with_context(|| format!("no {key} in file={path}"))
}

/// The fields behind the program's name, which may itself hold blanks and brackets.
fn stat_fields(process: &str) -> Result<Vec<String>> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read file={path}"))?;
    let behind = text.rfind(')').map_or("", |end| &text[end + 1..]);
    Ok(behind.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], index: usize) -> Option<f64> {
    let count: f64 = fields.get(index)?.parse().ok()?;
    Some(count / rustix::param::clock_ticks_per_second() as f64)
}

fn malformed(process: u32) -> String {
    format!("cannot read the CPU time of process={process}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_charged_what_its_thread_uses() {
        let own = std::process::id();
        let (thread, process) = (thread_cpu_seconds(), process_cpu_seconds(own).unwrap());
        let mut sum = 0_u64;
        while thread_cpu_seconds() - thread < 0.2 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let charged = process_cpu_seconds(own).unwrap() - process;
        assert!(charged > 0.17, "charged={charged}");
    }

    #[test]
    fn finds_its_own_program_and_memory() {
        let own = std::process::id();
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(descendants(own, name.trim()), vec![own]);
        assert!(resident_mb_max(own).unwrap() >= resident_mb(own).unwrap() * 0.5);
    }
}
