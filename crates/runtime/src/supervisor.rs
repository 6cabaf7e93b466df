//! Runs a job, and runs it again after failures that may pass.
//!
//! A job has one thread, which makes one attempt after the other. An attempt has a stop flag of its own, because its
//! parts stop each other when one of them fails; what the job's owner asks for lies beside it and ends the attempt,
//! the wait between two attempts, and the job. What became of the job is written into [`Tracked`], which outlives it.

use crate::error::RuntimeError;
use crate::job::{JobRequest, Wakeup, lock, panic_text};
use crate::journal::Journal;
use crate::restart::RestartPolicy;
use crate::status::{JobState, Tracked};
use crate::steps;
use eventlog::EventLog;
use os::Os;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use traces::Tracer;

/// No job starts again sooner than this, whatever its strategy says: a job that fails at its first breath must not
/// keep a core busy.
const DELAY_MS_MIN: u64 = 10;

/// How long the wait between two attempts goes on without a look at the clock.
const WAIT_MS_MAX: u64 = 200;

/// What the owner asks of a job, and the flag of the attempt under way.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: Mutex<(bool, Arc<AtomicBool>)>,
}

impl Stop {
    /// The job is to stop after its current step and not to be run again.
    pub(crate) fn request(&self) {
        let mut asked = lock(&self.asked);
        asked.0 = true;
        asked.1.store(true, Ordering::Release);
    }

    pub(crate) fn is_requested(&self) -> bool {
        lock(&self.asked).0
    }

    /// A flag for the next attempt; set already if the job is to stop.
    fn begin(&self) -> Arc<AtomicBool> {
        let mut asked = lock(&self.asked);
        asked.1 = Arc::new(AtomicBool::new(asked.0));
        asked.1.clone()
    }
}

/// Everything that the attempts of one job take.
pub(crate) struct Supervisor {
    pub log: EventLog,
    pub os: Os,
    pub data: PathBuf,
    pub journal: Arc<Journal>,
    pub wakeup: Arc<Wakeup>,
    pub request: JobRequest,
    pub tracked: Arc<Tracked>,
    pub tracer: Tracer,
}

impl Supervisor {
    /// Attempts until one of them says how the job ended: true when its input is done, false when it was stopped.
    pub(crate) fn run(self) -> Result<bool, RuntimeError> {
        let mut policy = RestartPolicy::new(self.request.options.restart);
        let result = loop {
            self.tracked.enter(JobState::Running, self.os.clock.now_ms());
            let result = self.attempt();
            let Err(error) = result else { break result };
            let delay_ms = if error.may_pass() && !self.tracked.stop.is_requested() {
                let now_ms = self.os.clock.monotonic_ns() / 1_000_000;
                policy.failure(now_ms, self.os.random.next_u64()).map(|delay_ms| delay_ms.max(DELAY_MS_MIN))
            } else {
                None
            };
            self.tracked.failed(&error, delay_ms, self.os.clock.now_ms());
            let Some(delay_ms) = delay_ms else { break Err(error) };
            if !self.wait(delay_ms) {
                break Ok(false);
            }
            self.tracked.begin_again();
        };
        let state = match &result {
            Ok(true) => JobState::Finished,
            Ok(false) => JobState::Canceled,
            Err(_) => JobState::Failed,
        };
        self.tracked.end(state, self.os.clock.now_ms());
        result
    }

    fn attempt(&self) -> Result<bool, RuntimeError> {
        let context = steps::Context {
            log: self.log.clone(),
            os: self.os.clone(),
            data: self.data.clone(),
            journal: self.journal.clone(),
            wakeup: self.wakeup.clone(),
            stop: self.tracked.stop.begin(),
            progress: self.tracked.progress.clone(),
            request: self.request.clone(),
            new_instance: self.tracked.instance,
            savepoints: self.tracked.savepoints().unwrap_or_default(),
            tracer: self.tracer.clone(),
        };
        catch_unwind(AssertUnwindSafe(|| steps::run(context))).unwrap_or_else(|panic| {
            let reason = panic_text(panic.as_ref());
            Err(RuntimeError::Internal { job: self.request.name.clone(), reason })
        })
    }

    /// Waits for the next attempt; false when the job is to stop instead.
    fn wait(&self, delay_ms: u64) -> bool {
        let begun_ns = self.os.clock.monotonic_ns();
        loop {
            let seen = self.wakeup.generation();
            if self.tracked.stop.is_requested() {
                return false;
            }
            let waited_ms = self.os.clock.monotonic_ns().saturating_sub(begun_ns) / 1_000_000;
            if waited_ms >= delay_ms {
                return true;
            }
            self.wakeup.wait(seen, (delay_ms - waited_ms).min(WAIT_MS_MAX));
        }
    }
}
