//! `--kill-at POINT:N`: the process kills itself at a chosen point of a commit path, for crash tests.

use anyhow::{Context, bail};
use runtime::{CommitPoint, Observer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn points() -> impl Iterator<Item = (&'static str, CommitPoint)> {
    CommitPoint::ALL.into_iter().chain(CommitPoint::OF_CHANGES)
}

/// An observer that ends the process with SIGKILL when `point` is passed for the N-th time.
pub fn observer(kill_at: &str) -> anyhow::Result<Observer> {
    let (name, count) =
        kill_at.split_once(':').context("--kill-at takes POINT:N, for example during-commit:17")?;
    let Some((_, point)) = points().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = points().map(|(name, _)| name).collect();
        bail!("--kill-at: there is no point '{name}'; the points are {}", known.join(", "));
    };
    let count: u64 = count.parse().with_context(|| format!("--kill-at: '{count}' is not a number"))?;
    let passed = AtomicU64::new(0);
    Ok(Arc::new(move |at, _step| {
        if at == point && passed.fetch_add(1, Ordering::AcqRel) + 1 == count {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }))
}
