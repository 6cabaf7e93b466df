//! What this process takes of the machine, from `/proc`.

use std::fs;

/// Linux tells times to programs in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// In user code and in the kernel, of all threads.
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    pub open_files: u64,
    /// None without a limit.
    pub open_files_max: Option<u64>,
    /// Since the epoch.
    pub started_seconds: f64,
}

impl Usage {
    /// None on a system that does not tell.
    pub fn of_this_process() -> Option<Usage> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let page_bytes = rustix::param::page_size() as u64;
        // The folder that is read is open itself.
        let open_files = (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1);
        let mut usage = of_texts(&stat, &boot, &limits, page_bytes)?;
        usage.open_files = open_files;
        Some(usage)
    }
}

/// The fields are numbered in proc_pid_stat(5); the second is the program's name, which may hold anything.
fn of_texts(stat: &str, boot: &str, limits: &str, page_bytes: u64) -> Option<Usage> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let boot_seconds =
        boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    Some(Usage {
        cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS_PER_SECOND,
        threads: field(20)?,
        started_seconds: boot_seconds as f64 + field(22)? as f64 / TICKS_PER_SECOND,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)?.saturating_mul(page_bytes),
        open_files: 0,
        open_files_max: files.split_whitespace().next()?.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_the_kernel_are_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 12 0 500 4096000 30 18446744073709551615";
        let boot = "cpu 1 2\nbtime 1700000000\n";
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024         4096     files\n";
        let usage = of_texts(stat, boot, limits, 4_096).unwrap();
        assert_eq!(usage.cpu_seconds, 4.0);
        assert_eq!(usage.started_seconds, 1_700_000_005.0);
        assert_eq!((usage.threads, usage.virtual_bytes, usage.resident_bytes), (12, 4_096_000, 122_880));
        assert_eq!(usage.open_files_max, Some(1_024));
        assert_eq!(
            of_texts(stat, boot, &limits.replace("1024", "unlimited"), 1).unwrap().open_files_max,
            None
        );
        assert_eq!(of_texts("", boot, limits, 1), None);
    }

    #[test]
    fn this_process_takes_something() {
        let usage = Usage::of_this_process().unwrap();
        assert!(usage.resident_bytes > 1 << 18 && usage.threads >= 1 && usage.open_files >= 3, "{usage:?}");
    }
}
