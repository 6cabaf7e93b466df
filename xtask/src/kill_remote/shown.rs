//! What a node shows of how much is not in the store, looked at again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use os::Os;
use os::http::{Request, exchange};

const LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
/// A machine may have much else to do.
const FIRST_LIMIT: Duration = Duration::from_secs(30);

/// What was shown, by a node that was asked at this time.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub asked: Instant,
    pub lag_bytes: u64,
    pub lag: Duration,
}

/// Looks at one node, as long as it answers.
pub struct Sampler {
    last: Arc<Mutex<Option<Sample>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub fn start(http: &str) -> Sampler {
        let (last, stop): (Arc<Mutex<Option<Sample>>>, Arc<AtomicBool>) = Default::default();
        let (seen, stopped, http) = (Arc::clone(&last), Arc::clone(&stop), http.to_owned());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                // A node that is dead or asleep shows nothing.
                if let Ok(sample) = look(&http) {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample);
                }
                std::thread::sleep(PAUSE);
            }
        });
        Sampler { last, stop, thread: Some(thread) }
    }

    /// Waits until something was shown.
    pub fn wait_first(&self) -> Result<()> {
        let begun = Instant::now();
        while self.last().is_none() {
            ensure!(begun.elapsed() < FIRST_LIMIT, "the node shows nothing");
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub fn last(&self) -> Option<Sample> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(http: &str) -> Result<Sample> {
    let asked = Instant::now();
    let request = Request { method: "GET", address: http, path: "/metrics", headers: &[], body: b"" };
    let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
    let page = String::from_utf8_lossy(&answer.body);
    let value = |name: &str| -> Result<f64> {
        let line = page.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1)).context("not among the metrics")?;
        Ok(value.parse()?)
    };
    Ok(Sample {
        asked,
        lag_bytes: value("eventwright_remote_lag_bytes")? as u64,
        lag: Duration::from_secs_f64(value("eventwright_remote_lag_seconds")?),
    })
}
