//! The rows of a step with their places in the order of arrival, and the watermark before each.
//!
//! Rows of two inputs see the lesser watermark of both. A place is the number of the row of input that a row came of,
//! counted from the begin of the job, then the watermark before it, then how many rows have both alike before it; so it
//! does not depend on the cut into steps.

use super::super::batches::Chunk;
use super::super::error::DataflowError;
use super::super::operator::Flow;
use super::super::track::Track;
use super::super::window::tie_prefix;
use super::partition::NOW_MS;
use arrow_array::Int64Array;
use state::{Key, KeyedMap};
use std::sync::Arc;

/// The place in the order of arrival, at the end of the sub key of every row.
pub(crate) const PLACE_BYTES: usize = 20;

/// The inputs of a step as one.
pub(crate) struct Arrivals {
    /// The watermark of all inputs together.
    pub(crate) track: Arc<Track>,
    /// By side; the rows have the watermark of all inputs together.
    pub(crate) chunks: Vec<(usize, Vec<Place>, Chunk)>,
}

/// `sequence` counts the rows of input before the step.
pub(crate) fn arrivals(inputs: Vec<Flow>, sequence: u64) -> Result<Arrivals, DataflowError> {
    let no_watermark = || DataflowError::internal("rows without a watermark");
    let tracks: Vec<Arc<Track>> =
        inputs.iter().map(|flow| flow.track.clone().ok_or_else(no_watermark)).collect::<Result<_, _>>()?;
    let track = match tracks.as_slice() {
        [one] => one.clone(),
        [one, other] if Arc::ptr_eq(one, other) => one.clone(),
        several => Arc::new(Track::minimum(several)),
    };
    let mut chunks = Vec::new();
    for (side, flow) in inputs.into_iter().enumerate() {
        let (mut last, mut repeat) = (None, 0);
        for mut chunk in flow.chunks {
            let own = chunk.batch.watermarks.take().ok_or_else(no_watermark)?;
            let rows = chunk.batch.ordinals.values().iter().zip(own.values());
            let place = |(ordinal, watermark): (&u64, &i64)| {
                repeat = if last == Some((*ordinal, *watermark)) { repeat + 1 } else { 0 };
                last = Some((*ordinal, *watermark));
                let number = sequence + ordinal;
                Place { number, watermark: *watermark, repeat, may_be_taken: *ordinal == 0 }
            };
            let places: Vec<Place> = rows.map(place).collect();
            let ordinals = chunk.batch.ordinals.values().iter();
            let least = ordinals.zip(own.values()).map(|(row, own)| match tracks.len() {
                1 => *own,
                _ => tracks[1 - side].before(*row).min(*own),
            });
            chunk.batch.watermarks = Some(Int64Array::from_iter_values(least));
            chunks.push((side, places, chunk));
        }
    }
    Ok(Arrivals { track, chunks })
}

/// Where a row stands in the order of arrival.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) watermark: i64,
    pub(crate) repeat: u32,
    /// Timers went off in a step without rows: those of the step before may have had the same place.
    pub(crate) may_be_taken: bool,
}

impl Place {
    pub(crate) fn bytes(self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        bytes[..8].copy_from_slice(&self.number.to_be_bytes());
        bytes[8..16].copy_from_slice(&tie_prefix(self.watermark));
        bytes[16..].copy_from_slice(&self.repeat.to_be_bytes());
        bytes
    }

    /// The sub key of a row that comes here, behind `prefix`. `backward`: later places come first.
    pub(crate) fn sub_key(
        mut self,
        rows: &mut KeyedMap,
        key: Key<'_>,
        prefix: &[u8],
        backward: bool,
    ) -> Result<Vec<u8>, DataflowError> {
        loop {
            let mut bytes = self.bytes();
            if backward {
                bytes.iter_mut().for_each(|byte| *byte = !*byte);
            }
            let sub = [prefix, &bytes].concat();
            if !self.may_be_taken || rows.get(key, &sub, NOW_MS)?.is_none() {
                return Ok(sub);
            }
            self.repeat += 1;
        }
    }
}
