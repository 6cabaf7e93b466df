//! Outboxes: what a job sends outside lies in an internal topic until the target has it.
//!
//! A driver thread per outside sink reads the outbox by offset and applies it. The offset is stored
//! by the target itself, so a driver that starts again asks the target where it was. A slow or dead
//! target delays nobody else.

use crate::error::RuntimeError;
use crate::job::Wakeup;
use base::{Offset, PartitionId};
use dataflow::plan::NodeId;
use dataflow::sink::OutboxSink;
use eventlog::EventLog;
use os::Os;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of outbox batches that are applied before the target may commit.
const READ_BYTES_MAX: usize = 1 << 20;

/// How long a driver sleeps when nothing happens, so that time-based rolling still takes place.
const IDLE_MS_MAX: u64 = 200;

/// The outbox's topic: internal, never listed to clients as a user's topic.
pub(crate) fn topic(job: &str, sink: NodeId) -> String {
    let name: String = job
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .collect();
    format!("__outbox.{name}.{}", sink.0)
}

/// Told by the job: the outbox gets no more records (`ended`), or the node stops (`stopped`).
#[derive(Debug, Default)]
pub(crate) struct OutboxSignals {
    pub ended: AtomicBool,
    pub stopped: AtomicBool,
}

pub(crate) struct Driver {
    pub log: EventLog,
    pub os: Os,
    pub wakeup: Arc<Wakeup>,
    pub signals: Arc<OutboxSignals>,
    pub job: String,
    pub partition: PartitionId,
    pub sink: Box<dyn OutboxSink>,
}

impl Driver {
    /// Runs until the outbox has ended and the target has all of it, or until it is stopped.
    pub(crate) fn run(mut self) -> Result<(), RuntimeError> {
        let mut next = Offset(self.sink.open()?);
        let pin = format!("{}/outbox", self.job);
        self.log.pin(&pin, self.partition, Some(next));
        let mut bytes = Vec::new();
        loop {
            let seen = self.wakeup.generation();
            let ended = self.signals.ended.load(Ordering::Acquire);
            if self.signals.stopped.load(Ordering::Acquire) && !ended {
                self.sink.commit(false, self.os.clock.now_ms())?;
                return Ok(());
            }
            let high_watermark = self.log.bounds(self.partition)?.high_watermark;
            let batches = if next < high_watermark {
                self.log.read(self.partition, next, READ_BYTES_MAX)?
            } else {
                Vec::new()
            };
            for batch in &batches {
                bytes.clear();
                batch.read(&mut bytes)?;
                self.sink.apply(&bytes)?;
                next = Offset(batch.last_offset.0 + 1);
            }
            let drained = ended && next >= high_watermark;
            let durable = Offset(self.sink.commit(drained, self.os.clock.now_ms())?);
            self.log.pin(&pin, self.partition, Some(durable));
            if drained {
                self.log.pin(&pin, self.partition, None);
                return Ok(());
            }
            if batches.is_empty() {
                self.wakeup.wait(seen, IDLE_MS_MAX);
            }
        }
    }
}
