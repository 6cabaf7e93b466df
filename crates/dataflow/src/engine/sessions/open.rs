//! The sessions of the keys that a step has to do with.
//!
//! Those of a key are read when the key first comes up. They stand in the order of their begin, which is the order of
//! their end too, because sessions of a key that have not fired share no moment.

use super::super::error::DataflowError;
use super::super::timers::{NewTimers, Timers};
use super::super::track::Track;
use super::super::window::{tie_prefix, tie_time};
use super::emit::{Fired, batch};
use super::slots::{Slots, Sums};
use super::spec::{Prepared, Spec};
use crate::batch::Batch;
use state::{Key, KeyMap, KeyedMap, StateError};

/// Nothing here is forgotten by the clock.
const NOW_MS: i64 = 0;

pub(super) struct Open {
    keys: KeyMap,
    by_key: Vec<OfKey>,
    slots: Slots,
    fired: Vec<Fired>,
    /// Sessions that the state has and that are no more: their keys and begins.
    gone: Vec<(u32, i64)>,
}

/// The sessions of one key.
#[derive(Debug, Default)]
struct OfKey {
    sessions: Vec<Session>,
    /// The number of the last row in them.
    last_number: u64,
}

#[derive(Debug)]
struct Session {
    start: i64,
    end: i64,
    sums: Sums,
    /// The begin under which the state has it.
    stored_at: Option<i64>,
    is_changed: bool,
    /// A timer goes off at its end or before.
    has_timer: bool,
}

impl Open {
    pub(super) fn new(spec: &Spec) -> Open {
        Open {
            keys: KeyMap::new(),
            by_key: Vec::new(),
            slots: Slots::new(spec),
            fired: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// How many sessions have fired.
    pub(super) fn fired(&self) -> usize {
        self.fired.len()
    }

    /// The number of a key, whose sessions are read if they are not there yet.
    pub(super) fn key(
        &mut self,
        spec: &Spec,
        state: &mut KeyedMap,
        key: Key<'_>,
    ) -> Result<u32, DataflowError> {
        let (number, is_new) = self.keys.insert(key.hash, key.bytes);
        if is_new {
            let sessions = self.read(spec, state, key)?;
            self.by_key.push(sessions);
        }
        Ok(number)
    }

    fn read(&mut self, spec: &Spec, state: &mut KeyedMap, key: Key<'_>) -> Result<OfKey, DataflowError> {
        let mut found = OfKey::default();
        let mut is_damaged = false;
        state.scan(key, NOW_MS, None, &mut |sub, value| {
            let Some((start, end, last_number, sums)) = decode(spec, sub, value) else {
                is_damaged = true;
                return false;
            };
            let sums = self.slots.keep_stored(sums);
            found.last_number = found.last_number.max(last_number);
            let stored_at = Some(start);
            found.sessions.push(Session { start, end, sums, stored_at, is_changed: false, has_timer: true });
            true
        })?;
        if is_damaged {
            return Err(StateError::damaged("a session has no bounds").into());
        }
        Ok(found)
    }

    /// Notes a row of a key; answers its number among the rows of the key, or nothing if it came too late.
    pub(super) fn add(&mut self, spec: &Spec, key: u32, row: usize, chunk: &Prepared) -> Option<u64> {
        let (time, watermark) = (chunk.times[row], chunk.watermarks.value(row));
        self.fire(key, watermark);
        let OfKey { sessions, last_number } = &mut self.by_key[key as usize];
        let first = sessions.partition_point(|session| session.end < time);
        let behind = sessions.partition_point(|session| session.start <= time + spec.gap_ms);
        let touched = &sessions[first..behind];
        let start = touched.first().map_or(time, |session| session.start.min(time));
        let end = touched.last().map_or(time, |session| session.end).max(time + spec.gap_ms);
        if end - 1 <= watermark {
            return None;
        }
        let slot = if touched.is_empty() {
            let slot = self.slots.new_slot();
            let sums = Sums::In(slot);
            let session = Session { start, end, sums, stored_at: None, is_changed: true, has_timer: false };
            sessions.insert(first, session);
            slot
        } else {
            let slot = self.slots.slot(&mut sessions[first].sums);
            for mut later in sessions.drain(first + 1..behind).collect::<Vec<_>>() {
                let merged = self.slots.slot(&mut later.sums);
                self.slots.note_merge(merged, slot);
                self.gone.extend(later.stored_at.map(|start| (key, start)));
                // The timer of the other goes off when the sessions could have fired, and finds them grown.
                sessions[first].has_timer |= later.has_timer;
            }
            let session = &mut sessions[first];
            (session.start, session.end, session.is_changed) = (start, end, true);
            slot
        };
        *last_number += 1;
        self.slots.note_row(slot, row as u32);
        Some(*last_number)
    }

    /// Does what was noted of a chunk.
    pub(super) fn take_in(
        &mut self,
        spec: &Spec,
        chunk: &Prepared,
        numbers: &[u64],
    ) -> Result<(), DataflowError> {
        self.slots.take_in(spec, &chunk.arguments, numbers)
    }

    /// Fires the sessions of a key that a watermark has passed.
    pub(super) fn fire(&mut self, key: u32, watermark: i64) {
        let sessions = &mut self.by_key[key as usize].sessions;
        let passed = sessions.partition_point(|session| session.end - 1 <= watermark);
        for mut session in sessions.drain(..passed) {
            let slot = self.slots.slot(&mut session.sums);
            self.gone.extend(session.stored_at.map(|start| (key, start)));
            self.fired.push(Fired { key, start: session.start, end: session.end, slot });
        }
    }

    pub(super) fn fire_all(&mut self, watermark: i64) {
        (0..self.keys.len() as u32).for_each(|key| self.fire(key, watermark));
    }

    /// A timer of the key has gone off; answers whether its sessions are here.
    pub(super) fn lost_timer(&mut self, key: Key<'_>) -> bool {
        let number = self.keys.find(key.hash, key.bytes);
        if let Some(number) = number {
            self.by_key[number as usize].sessions.iter_mut().for_each(|session| session.has_timer = false);
        }
        number.is_some()
    }

    /// Writes to the state what is still open, and answers what has fired.
    pub(super) fn finish(
        mut self,
        spec: &Spec,
        track: &Track,
        state: &mut KeyedMap,
        timers: &mut Timers,
    ) -> Result<Batch, DataflowError> {
        let fired = std::mem::take(&mut self.fired);
        let rows = batch(spec, &self.keys, &mut self.slots, fired, track)?;
        let key = |number: u32| Key { hash: self.keys.hash_of(number), bytes: self.keys.key(number) };
        for (number, start) in &self.gone {
            state.remove(key(*number), &tie_prefix(*start))?;
        }
        let mut new = NewTimers::default();
        let (mut changed, mut slots) = (Vec::new(), Vec::new());
        for (number, of_key) in (0..).zip(&self.by_key) {
            for session in &of_key.sessions {
                if !session.has_timer {
                    new.set(session.end, key(number));
                }
                if let (true, Sums::In(slot)) = (session.is_changed, &session.sums) {
                    changed.push((number, of_key.last_number, session));
                    slots.push(*slot);
                }
            }
        }
        let saved = spec.saved.encode_columns(&self.slots.save(&slots)?, slots.len())?;
        let mut value = Vec::new();
        for (place, (number, last_number, session)) in changed.into_iter().enumerate() {
            if let Some(start) = session.stored_at.filter(|start| *start != session.start) {
                state.remove(key(number), &tie_prefix(start))?;
            }
            encode(&mut value, spec, session.end, last_number, saved.bytes(place));
            state.put(key(number), &tie_prefix(session.start), &value, NOW_MS)?;
        }
        timers.keep(new)?;
        Ok(rows)
    }
}

/// A session is its begin, and under it its end, the number of a row that is not before its last one if there are
/// numbers, and its sums.
fn encode(value: &mut Vec<u8>, spec: &Spec, end: i64, last_number: u64, sums: &[u8]) {
    value.clear();
    value.extend_from_slice(&tie_prefix(end));
    if spec.is_numbered {
        value.extend_from_slice(&last_number.to_be_bytes());
    }
    value.extend_from_slice(sums);
}

fn decode<'a>(spec: &Spec, start: &[u8], value: &'a [u8]) -> Option<(i64, i64, u64, &'a [u8])> {
    let start = tie_time(start.try_into().ok()?);
    let (end, rest) = value.split_first_chunk()?;
    let end = tie_time(*end);
    let (last_number, sums) = match spec.is_numbered {
        true => rest.split_first_chunk().map(|(number, sums)| (u64::from_be_bytes(*number), sums))?,
        false => (0, rest),
    };
    (start < end).then_some((start, end, last_number, sums))
}
