//! Brings the rows of a table into the log, some at a time.

use super::{Ask, Look, Reader, Wanted};
use crate::row_changes::pieces::{self, Key};
use crate::row_changes::{self, Origin};
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use formats::ChangeKind;
use std::sync::Arc;
use std::time::Duration;

/// What is fetched at once, if the rows are as large as those before.
const FETCH_BYTES_WANTED: usize = 2 << 20;
/// A haul is no larger, but for its last row; what else was fetched is fetched again.
const HAUL_BYTES_MAX: usize = 8 << 20;
const FIRST_FETCH_ROWS: usize = 100;
/// So many rows are larger than a haul, whatever they hold.
const UNORDERED_ROWS_MAX: usize = HAUL_BYTES_MAX / 16;
const VERSION: u8 = 1;

pub(super) struct ScanFeed {
    wanted: Arc<Wanted>,
    reader: Box<dyn Reader>,
    open: Option<Open>,
}

struct Open {
    has_key: bool,
    /// Of the last row that was given away.
    last: Option<Key>,
    fetch_rows: usize,
    /// Of a column that counts up: rows up to it are read now.
    until: Option<Key>,
    /// A look after which no more than time must pass, or transactions must end.
    seen: Option<Look>,
    looks_at: Duration,
}

/// Rows that were fetched.
struct Fetched {
    records: Vec<FeedRecord>,
    last: Option<Key>,
    /// There are no more behind them.
    is_end: bool,
    /// Others hold some: those that came do not count.
    are_held: bool,
}

fn encode(last: Option<&Key>) -> Vec<u8> {
    let mut out = FieldWriter::new();
    out.u8(VERSION);
    pieces::write_key(&mut out, last);
    out.finish()
}

fn decode(bytes: &[u8]) -> Result<Option<Key>, CodecError> {
    let mut reader = FieldReader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(CodecError { what: "an unknown version" });
    }
    let last = pieces::read_key(&mut reader)?;
    reader.finish()?;
    Ok(last)
}

impl ScanFeed {
    pub(super) fn new(wanted: Arc<Wanted>, reader: Box<dyn Reader>) -> ScanFeed {
        ScanFeed { wanted, reader, open: None }
    }

    fn error(&self, kind: ErrorKind, message: impl std::fmt::Display) -> SourceError {
        SourceError { kind, message: format!("table '{}': {message}", self.wanted.table.name) }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.wanted.os.clock.monotonic_ns())
    }

    fn fetch(&mut self, open: &mut Open) -> Result<Fetched, SourceError> {
        let Wanted { os, table, settings } = &*self.wanted;
        let now_ms = os.clock.now_ms();
        // Without an order all of it is one haul.
        let rows_max =
            if open.has_key { open.fetch_rows.clamp(1, settings.fetch_rows) } else { UNORDERED_ROWS_MAX };
        let ask = Ask { after: open.last.as_ref(), until: open.until.as_ref(), rows_max };
        let mut fetched = Fetched { records: Vec::new(), last: None, is_end: true, are_held: false };
        let (mut bytes, mut is_whole) = (0, true);
        let origin = Origin { schema: "", table: &settings.name, time_ms: 0 };
        let is_whole_page = self.reader.fetch(&ask, &mut |values, key| {
            if bytes >= HAUL_BYTES_MAX {
                fetched.is_end = false;
                return;
            }
            let value = row_changes::encode(ChangeKind::Insert, origin, values.iter().copied());
            bytes += value.len();
            fetched.last = key.iter().map(|text| text.map(str::to_string)).collect::<Option<Key>>();
            is_whole &= fetched.last.is_some();
            let record = FeedRecord { timestamp_ms: now_ms, value: Some(value), ..FeedRecord::default() };
            fetched.records.push(record);
        })?;
        if !is_whole_page {
            return Ok(Fetched { records: Vec::new(), last: None, is_end: false, are_held: true });
        }
        let count = fetched.records.len();
        if !open.has_key {
            return match fetched.is_end {
                true => Ok(fetched),
                false => Err(self.error(
                    ErrorKind::Invalid,
                    format!(
                        "'{}' has no primary key whose order is plain, and more rows than can be read at once ({} MB): give it \
                         one, or declare the columns that tell its rows apart as the PRIMARY KEY",
                        settings.name,
                        HAUL_BYTES_MAX >> 20
                    ),
                )),
            };
        }
        if !is_whole {
            let message = "a row has NULL in its key, behind which reading cannot go on";
            return Err(self.error(ErrorKind::Invalid, format!("'{}': {message}", table.name)));
        }
        fetched.is_end &= count < rows_max;
        if let Some(row_bytes) = bytes.checked_div(count) {
            open.fetch_rows = FETCH_BYTES_WANTED / row_bytes.max(1);
        }
        Ok(fetched)
    }

    /// Some rows of a table that is read once.
    fn rows(&mut self, open: &mut Open) -> Result<Haul, SourceError> {
        let Fetched { records, last, is_end, .. } = self.fetch(open)?;
        open.last = last.or(open.last.take());
        let position = Some(encode(open.last.as_ref()));
        Ok(Haul { records, position, ended: is_end, ..Haul::default() })
    }

    /// A value up to which no more rows will come, if there is one.
    fn settled(&mut self, open: &mut Open) -> Result<Option<Key>, SourceError> {
        if self.reader.is_in_order() {
            return Ok(self.reader.look()?.map(|look| look.greatest));
        }
        // Numbers are taken before they are committed. Whoever had one at that look has had a while since, and has ended.
        let settled = match open.seen.take() {
            Some(look) if !self.reader.is_over(&look)? => {
                open.seen = Some(look);
                return Ok(None);
            }
            seen => seen.map(|look| look.greatest),
        };
        open.seen = self.reader.look()?;
        Ok(settled)
    }

    /// Rows that have come, or the next look.
    fn more(&mut self, open: &mut Open, wait: Duration) -> Result<Haul, SourceError> {
        let left = open.looks_at.saturating_sub(self.now());
        if !left.is_zero() {
            std::thread::sleep(left.min(wait));
            if left > wait {
                return Ok(Haul::default());
            }
        }
        let interval = self.wanted.settings.poll_interval;
        if open.until.is_none() {
            open.looks_at = self.now().saturating_add(interval);
            let until = self.settled(open)?;
            open.until = until.filter(|until| open.last.as_ref() != Some(until));
            if open.until.is_none() {
                return Ok(Haul::default());
            }
        }
        let Fetched { records, last, is_end, are_held } = self.fetch(open)?;
        // More is there at once, or has to be waited for.
        open.looks_at = match is_end || are_held {
            true => self.now().saturating_add(interval),
            false => Duration::ZERO,
        };
        if is_end {
            open.until = None;
        }
        if records.is_empty() {
            return Ok(Haul::default());
        }
        open.last = last.or(open.last.take());
        Ok(Haul { records, position: Some(encode(open.last.as_ref())), ..Haul::default() })
    }
}

impl Feed for ScanFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.open = None;
        let last = match position.map(decode).transpose() {
            Ok(last) => last.flatten(),
            Err(error) => {
                return Err(self.error(ErrorKind::Corrupt, format!("its position cannot be read: {error}")));
            }
        };
        let has_key = self.reader.open()?;
        if !has_key && last.is_some() {
            let message = "the table has lost the key in whose order it was read; begin with a new job";
            return Err(self.error(ErrorKind::Invalid, message));
        }
        self.open = Some(Open {
            has_key,
            last,
            fetch_rows: FIRST_FETCH_ROWS,
            until: None,
            seen: None,
            looks_at: Duration::ZERO,
        });
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let Some(mut open) = self.open.take() else {
            return Err(self.error(ErrorKind::Internal, "the database is not connected"));
        };
        let haul = match self.wanted.settings.incrementing {
            Some(_) => self.more(&mut open, Duration::from_millis(wait_ms))?,
            None => self.rows(&mut open)?,
        };
        self.open = Some(open);
        Ok(haul)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_again_and_nothing_shorter() {
        for last in [None, Some(vec!["7".to_string(), "it's".to_string()])] {
            let bytes = encode(last.as_ref());
            assert_eq!(decode(&bytes), Ok(last));
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_err());
            }
        }
    }
}
