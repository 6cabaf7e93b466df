//! How many files and sockets this process may have open.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and sockets that connections leave to the log and the jobs: a quarter of all, but no more than this.
pub const RESERVED_MAX: usize = 4_096;
/// And no less than this, if there are twice as many.
pub const RESERVED_MIN: usize = 512;

/// How the open files of a process are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// For connections of the Kafka and the HTTP port together, at least 1.
    pub connections: usize,
    /// For everything else, the PostgreSQL port among it.
    pub reserved: usize,
}

impl Division {
    /// Of so many open files; without a limit there is enough for everybody.
    pub fn of(limit: Option<u64>) -> Division {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let reserved = (limit / 4).clamp(RESERVED_MIN, RESERVED_MAX).min(limit / 2);
        Division { connections: (limit - reserved).max(1), reserved }
    }
}

/// Whether an error says that no file or socket more can be opened.
pub fn are_used_up(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The limit in force; `None` if there is none.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit to the hard one, which a process may do for itself, and returns what is in force then.
pub fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Whoever may not has the limit that there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    limit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_open_files_to_others() {
        let divided = |limit| {
            let Division { connections, reserved } = Division::of(limit);
            (connections, reserved)
        };
        assert_eq!(divided(Some(20_000)), (15_904, 4_096));
        assert_eq!(divided(Some(4_000)), (3_000, 1_000));
        assert_eq!(divided(Some(1_024)), (512, 512));
        assert_eq!(divided(Some(256)), (128, 128));
        assert_eq!(divided(Some(0)), (1, 0));
        assert_eq!(divided(None), (usize::MAX - RESERVED_MAX, RESERVED_MAX));
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let lowered = current.map(|limit| limit - 1);
        setrlimit(Resource::Nofile, Rlimit { current: lowered, maximum }).unwrap();
        assert_eq!(limit(), lowered);
        assert_eq!(raise_limit(), maximum);
    }
}
