//! The reader of a job: prepares the input of the next steps while the current one runs.

use crate::error::RuntimeError;
use crate::inputs::{Inputs, Next, Prepared};
use crate::job::{Wakeup, lock, panic_text};
use dataflow::source::Idle;
use os::Os;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

/// How long a reader waits at most when its sources have nothing.
const IDLE_MS_MAX: u64 = 200;

/// What the reader tells the job.
pub(crate) enum Message {
    Step(Prepared),
    /// There is no input at this time (ms); other things may be waiting.
    Idle(i64),
    Finished,
    Stopped,
}

/// Prepares steps on a thread of its own.
pub(crate) struct Reader {
    pub inputs: Arc<Mutex<Inputs>>,
    pub os: Os,
    pub wakeup: Arc<Wakeup>,
    pub stop: Arc<AtomicBool>,
    pub quit: Arc<AtomicBool>,
    pub rows_max: usize,
    pub clock_ms: i64,
    /// The job wants to know of this time (ms) when it comes.
    pub due_ms: Arc<AtomicI64>,
    pub sender: SyncSender<Result<Message, RuntimeError>>,
}

impl Reader {
    pub(crate) fn run(mut self, job: &str) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.read()));
        let last = result.unwrap_or_else(|panic| {
            Err(RuntimeError::Internal { job: job.to_string(), reason: panic_text(panic.as_ref()) })
        });
        // The receiver is only gone when nobody waits for the answer any more.
        let _ = self.sender.send(last);
    }

    /// Sends steps until there is something else to say, which is the answer.
    fn read(&mut self) -> Result<Message, RuntimeError> {
        loop {
            let seen = self.wakeup.generation();
            if self.stop.load(Ordering::Acquire) || self.quit.load(Ordering::Acquire) {
                return Ok(Message::Stopped);
            }
            // A step's clock never goes back, whatever the machine's does.
            self.clock_ms = self.clock_ms.max(self.os.clock.now_ms());
            let next = lock(&self.inputs).next(self.clock_ms, self.rows_max)?;
            match next {
                Next::Finished => return Ok(Message::Finished),
                Next::Step(prepared) => {
                    if self.sender.send(Ok(Message::Step(prepared))).is_err() {
                        return Ok(Message::Stopped);
                    }
                }
                Next::Nothing(Idle::Ready) => {}
                Next::Nothing(idle) => {
                    // The job may be busy with what came before; it looks around afterwards anyway.
                    let _ = self.sender.try_send(Ok(Message::Idle(self.clock_ms)));
                    let until_ms = match idle {
                        Idle::Until(at_ms) => at_ms,
                        _ => i64::MAX,
                    };
                    let until_ms = until_ms.min(self.due_ms.load(Ordering::Relaxed));
                    let wait_ms = until_ms.saturating_sub(self.clock_ms).clamp(1, IDLE_MS_MAX as i64);
                    self.wakeup.wait(seen, wait_ms as u64);
                }
            }
        }
    }
}
