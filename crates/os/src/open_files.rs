//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
    fn the_soft_limit_becomes_the_hard_one() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let lowered = current.map(|limit| limit - 1);
        setrlimit(Resource::Nofile, Rlimit { current: lowered, maximum }).unwrap();
        assert_eq!(limit(), lowered);
        assert_eq!(raise_limit(), maximum);
    }
}
