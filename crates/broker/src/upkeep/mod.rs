//! What is forgotten because nobody has used it for long: producers, transactional ids, committed offsets.
//!
//! Each is looked for on its own schedule, in monotonic time. What goes is written to the log first, so that a restart
//! finds the same; how much is looked at and written while the append lock is held is limited, however much there is.

mod offsets;
mod producers;
mod transactional_ids;

pub use offsets::OffsetsConfig;
pub use producers::ProducersConfig;

use crate::broker::Broker;
use crate::call::Now;
use crate::config::BrokerConfig;
use crate::sync::lock;

/// Something that is done every so often.
#[derive(Debug)]
struct Round {
    every_ms: i64,
    due_ms: i64,
}

impl Round {
    fn new(every_ms: i64, now_ms: i64) -> Round {
        Round { every_ms, due_ms: now_ms.saturating_add(every_ms) }
    }

    /// Whether it is time, which then is put off.
    fn take_due(&mut self, now_ms: i64) -> bool {
        let is_due = self.due_ms <= now_ms;
        if is_due {
            self.due_ms = now_ms.saturating_add(self.every_ms);
        }
        is_due
    }
}

/// When to look for what next.
#[derive(Debug)]
pub(crate) struct Upkeep {
    offsets: Round,
    producers: Round,
    transactional_ids: Round,
}

impl Upkeep {
    pub(crate) fn new(config: &BrokerConfig, now_ms: i64) -> Upkeep {
        Upkeep {
            offsets: Round::new(config.offsets.check_every_ms, now_ms),
            producers: Round::new(config.producers.check_every_ms, now_ms),
            transactional_ids: Round::new(config.transactional_ids_check_every_ms, now_ms),
        }
    }

    /// Some of it changes while the node runs.
    pub(crate) fn keep_to(&mut self, config: &BrokerConfig) {
        self.producers.every_ms = config.producers.check_every_ms;
    }

    pub(crate) fn next_ms(&self) -> i64 {
        self.offsets.due_ms.min(self.producers.due_ms).min(self.transactional_ids.due_ms)
    }
}

impl Broker {
    /// Looks for what is due to be looked for.
    pub(crate) fn keep_up(&self, now: Now) {
        let (offsets, producers, transactional_ids) = {
            let mut upkeep = lock(&self.upkeep);
            let now_ms = now.monotonic_ms;
            let offsets = upkeep.offsets.take_due(now_ms);
            (offsets, upkeep.producers.take_due(now_ms), upkeep.transactional_ids.take_due(now_ms))
        };
        if offsets {
            self.forget_old_offsets(now);
        }
        if producers {
            self.forget_idle_producers(now);
        }
        if transactional_ids {
            self.tidy_partitions();
            self.forget_unused_ids(now);
        }
    }
}
