//! Producers whose sequences are forgotten: those that were silent for `producer.id.expiration.ms`, and the oldest where
//! there are more than `max.producer.ids`.
//!
//! Unlike in Kafka the time does not come from the records, which may be old, but from marks in the log.

use crate::broker::Broker;
use crate::call::Now;
use crate::state::BrokerState;
use crate::state::producers::Heard;
use crate::state::{encode_forgotten, encode_mark};
use crate::sync::lock;
use base::PartitionId;
use eventlog::{Frame, Layer, LogError};

/// How many are forgotten by one frame at most, but for those that were heard of in one and the same frame.
const FORGOTTEN_AT_ONCE: usize = 1_000;
/// So many marks tell the age of what is in the log precisely enough.
const MARKS_IN_EXPIRATION: i64 = 1_000;

/// The settings.
#[derive(Debug, Clone)]
pub struct ProducersConfig {
    pub expiration_ms: i64,
    pub check_every_ms: i64,
    pub count_max: usize,
}

impl ProducersConfig {
    /// The check is not made so often that marks pile up.
    pub(crate) fn new(expiration_ms: i64, check_every_ms: i64, count_max: usize) -> ProducersConfig {
        let check_every_ms = check_every_ms.max(expiration_ms / MARKS_IN_EXPIRATION);
        ProducersConfig { expiration_ms, check_every_ms, count_max }
    }
}

impl Broker {
    /// Before these producers are applied: writes who makes room for those among them that are new, if there are too many.
    /// To be written behind their batches, and applied behind them.
    pub(crate) fn write_room_for_producers(
        &self,
        frame: &mut Frame<'_>,
        state: &mut BrokerState,
        heard: impl ExactSizeIterator<Item = (PartitionId, i64)>,
    ) -> Result<Option<Heard>, LogError> {
        let count_max = self.config.producers.count_max;
        let (count, batches) = (state.producers.count(), heard.len());
        if count + batches <= count_max {
            return Ok(None);
        }
        let new = heard.filter(|(partition, id)| !state.producers.knows(*partition, *id)).count();
        let excess = (count + new).saturating_sub(count_max);
        if excess == 0 {
            return Ok(None);
        }
        // Some more, so that not every new producer has to look for the oldest one.
        let spare = (count_max / 100).min(FORGOTTEN_AT_ONCE);
        let Some(until) = state.oldest_producers((excess + spare).min(new + FORGOTTEN_AT_ONCE), Heard::MAX)
        else {
            // All of them have transactions open, whose number is limited too.
            return Ok(None);
        };
        frame.layer(Layer::PRODUCERS, &encode_forgotten(until))?;
        Ok(Some(until))
    }

    pub(super) fn forget_idle_producers(&self, now: Now) {
        let wall_ms = self.explained_wall_ms(now);
        // An error is no harm: the next round finds the same ones.
        while let Ok((true, _)) = self.log.append(|frame| self.forget_some_producers(frame, wall_ms)) {}
    }

    /// Whether there may be more.
    fn forget_some_producers(&self, frame: &mut Frame<'_>, wall_ms: i64) -> Result<bool, LogError> {
        let mut state = lock(&self.state.0);
        let wants_mark = state.producers.wants_mark();
        if wants_mark {
            frame.layer(Layer::PRODUCERS, &encode_mark(wall_ms))?;
        }
        let config = &self.in_force().producers;
        let excess = state.producers.count().saturating_sub(config.count_max);
        let expired = state.producers.heard_until(wall_ms.saturating_sub(config.expiration_ms));
        let until = match expired {
            // The last piece takes the mark along.
            Some(until) => Some(state.oldest_producers(FORGOTTEN_AT_ONCE, until).unwrap_or(until)),
            None if excess > 0 => state.oldest_producers(excess.min(FORGOTTEN_AT_ONCE), Heard::MAX),
            None => None,
        };
        if let Some(until) = until {
            frame.layer(Layer::PRODUCERS, &encode_forgotten(until))?;
        }
        if wants_mark {
            state.producers.mark(frame.lsn(), wall_ms);
        }
        if let Some(until) = until {
            state.forget_producers(until);
        }
        Ok(until.is_some())
    }
}
