//! Sessions of one key.
//!
//! Under the key lie the sessions that have not fired, by their begin, with their end; and behind them
//! the rows, by their time and place. Sessions of a key that have not fired share no moment, so the
//! times of its rows say which session a row is in. A row joins every session that its own window, from
//! its time to `gap` after it, touches, and makes them one.
//!
//! A session fires when a row of its key comes after its time has passed, or at the end of the step; either
//! way what leaves stands where the watermark passed it.

use super::super::error::DataflowError;
use super::super::timers::NewTimers;
use super::super::track::Track;
use super::arrivals::PLACE_BYTES;
use super::emit::Fired;
use super::partition::{NOW_MS, Partition};
use super::spec::Prepared;
use state::{Key, KeyedMap, StateError};

const SESSION: u8 = 0;
const ROW: u8 = 1;

#[derive(Debug, Clone, Copy)]
struct Session {
    start: i64,
    end: i64,
}

impl Partition {
    /// Answers whether the row came in time.
    #[allow(clippy::too_many_arguments, reason = "the arguments are the step")]
    pub(super) fn session_row<'a>(
        &mut self,
        gap_ms: i64,
        chunk: &'a Prepared,
        row: usize,
        key: Key<'a>,
        track: &Track,
        timers: &mut NewTimers<'a>,
        fired: &mut Fired,
    ) -> Result<bool, DataflowError> {
        let time = chunk.times[row];
        let watermark = chunk.watermarks.value(row);
        let mut joined = Session { start: time, end: time + gap_ms };
        let mut absorbed = Vec::new();
        for session in sessions(&mut self.rows, key)? {
            if session.end - 1 <= watermark {
                fire_session(&mut self.rows, gap_ms, key, session, track, fired)?;
            } else if session.start <= time + gap_ms && session.end >= time {
                joined.start = joined.start.min(session.start);
                joined.end = joined.end.max(session.end);
                absorbed.push(session);
            }
        }
        if joined.end - 1 <= watermark {
            return Ok(false);
        }
        let is_new = absorbed.is_empty();
        for session in absorbed.iter().filter(|session| session.start != joined.start) {
            self.rows.remove(key, &sub_key(SESSION, session.start))?;
        }
        if !absorbed.iter().any(|session| (session.start, session.end) == (joined.start, joined.end)) {
            self.rows.put(key, &sub_key(SESSION, joined.start), &number(joined.end), NOW_MS)?;
        }
        let sub = chunk.places[row].sub_key(&mut self.rows, key, &sub_key(ROW, time), false)?;
        self.rows.put(key, &sub, chunk.rows.bytes(row), NOW_MS)?;
        if is_new {
            // A session that grows keeps its timer, which is set anew when it goes off too early.
            timers.set(joined.end, key);
        }
        Ok(true)
    }

    /// Fires the sessions of a key that a watermark has passed; answers the ends of the others.
    pub(super) fn fire_sessions(
        &mut self,
        gap_ms: i64,
        key: Key<'_>,
        watermark: i64,
        track: &Track,
        fired: &mut Fired,
    ) -> Result<Vec<i64>, DataflowError> {
        let mut later = Vec::new();
        for session in sessions(&mut self.rows, key)? {
            if session.end - 1 <= watermark {
                fire_session(&mut self.rows, gap_ms, key, session, track, fired)?;
            } else {
                later.push(session.end);
            }
        }
        Ok(later)
    }
}

fn sessions(rows: &mut KeyedMap, key: Key<'_>) -> Result<Vec<Session>, DataflowError> {
    let mut found = Vec::new();
    let mut damaged = false;
    rows.scan(key, NOW_MS, Some(&[SESSION]), &mut |sub, end| {
        if sub.first() != Some(&SESSION) {
            return false;
        }
        match (from_number(&sub[1..]), from_number(end)) {
            (Some(start), Some(end)) => found.push(Session { start, end }),
            _ => damaged = true,
        }
        true
    })?;
    if damaged {
        return Err(StateError::damaged("a session is no pair of times").into());
    }
    Ok(found)
}

fn fire_session(
    rows: &mut KeyedMap,
    gap_ms: i64,
    key: Key<'_>,
    session: Session,
    track: &Track,
    fired: &mut Fired,
) -> Result<(), DataflowError> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    // No row of the session is later than its last one, which the gap follows.
    let last = sub_key(ROW, session.end - gap_ms);
    rows.scan(key, NOW_MS, Some(&sub_key(ROW, session.start)), &mut |sub, row| {
        let is_own = sub.get(..9).is_some_and(|time| *time <= last[..]);
        if is_own {
            found.push((sub.to_vec(), row.to_vec()));
        }
        is_own
    })?;
    rows.remove(key, &sub_key(SESSION, session.start))?;
    for (sub, _) in &found {
        rows.remove(key, sub)?;
    }
    let place = |sub: &[u8]| sub[sub.len().saturating_sub(PLACE_BYTES)..].to_vec();
    found.sort_by_cached_key(|(sub, _)| place(sub));
    let after = track.reached_after(session.end - 1);
    fired.window(key, (session.end, after), Some(session.start));
    for (_, row) in found {
        fired.left(row);
    }
    fired.each_left();
    Ok(())
}

fn number(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

fn from_number(bytes: &[u8]) -> Option<i64> {
    let bytes = bytes.try_into().ok()?;
    Some((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64)
}

fn sub_key(kind: u8, time: i64) -> [u8; 9] {
    let mut sub = [kind; 9];
    sub[1..].copy_from_slice(&number(time));
    sub
}
