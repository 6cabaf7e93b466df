//! What lies under the key of an OVER partition, beside the rows that wait.
//!
//! Under an empty sub key: the time of the last row that left, when what is kept may be forgotten, and the sums. Behind
//! it the rows that are still needed, by time and place.

use super::super::error::DataflowError;
use super::super::window::{tie_prefix, tie_time};
use super::running::take_bytes;
use state::{Key, KeyedMap, StateError};

/// No time.
pub(crate) const NEVER: i64 = i64::MIN;

/// Less than the sub key of every row.
const FIRST_ROW: &[u8] = &[0];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyState {
    /// The time of the last row that left.
    pub(crate) last: i64,
    /// When the watermark makes the key forget all; [`NEVER`] without.
    pub(crate) forget_at: i64,
    pub(crate) sums: Option<Vec<u8>>,
}

impl KeyState {
    pub(crate) fn empty() -> KeyState {
        KeyState { last: NEVER, forget_at: NEVER, sums: None }
    }

    pub(crate) fn read(map: &mut KeyedMap, key: Key<'_>, clock_ms: i64) -> Result<KeyState, DataflowError> {
        let Some(stored) = map.get(key, &[], clock_ms)? else { return Ok(KeyState::empty()) };
        let mut rest = stored.as_slice();
        let last = i64::from_le_bytes(take_bytes(&mut rest)?);
        let forget_at = i64::from_le_bytes(take_bytes(&mut rest)?);
        let [has_sums] = take_bytes(&mut rest)?;
        let sums = (has_sums != 0).then(|| rest.to_vec());
        Ok(KeyState { last, forget_at, sums })
    }

    pub(crate) fn write(&self, map: &mut KeyedMap, key: Key<'_>, clock_ms: i64) -> Result<(), StateError> {
        let mut bytes = Vec::with_capacity(17 + self.sums.as_ref().map_or(0, Vec::len));
        bytes.extend(self.last.to_le_bytes());
        bytes.extend(self.forget_at.to_le_bytes());
        bytes.push(u8::from(self.sums.is_some()));
        bytes.extend(self.sums.iter().flatten());
        map.put(key, &[], &bytes, clock_ms)
    }
}

/// The sub key of a row, and what is read of it.
pub(crate) type KeptRow = (Vec<u8>, Vec<u8>);

/// The rows that are kept: their sub keys and what is read of them.
pub(crate) fn kept_rows(map: &mut KeyedMap, key: Key<'_>, clock_ms: i64) -> Result<Vec<KeptRow>, StateError> {
    let mut rows = Vec::new();
    map.scan(key, clock_ms, Some(FIRST_ROW), &mut |sub, row| {
        rows.push((sub.to_vec(), row.to_vec()));
        true
    })?;
    Ok(rows)
}

/// The sub key of a row: no time is less than every one that a row can have.
pub(crate) fn row_key(time: i64, place: &[u8]) -> Vec<u8> {
    [&[1], &tie_prefix(time)[..], place].concat()
}

pub(crate) fn time_of(sub: &[u8]) -> Result<i64, StateError> {
    let prefix = sub.get(1..9).and_then(|prefix| prefix.try_into().ok());
    prefix.map(tie_time).ok_or_else(|| StateError::damaged("a row of an OVER has no time"))
}
