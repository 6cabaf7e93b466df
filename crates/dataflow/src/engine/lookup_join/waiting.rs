//! The rows that wait, in the order of their arrival, and what they wait for.
//!
//! All of it lies in one table under one key: the count of arrivals, a row for each number, and the answers that are
//! there but whose rows must wait for others. In memory is what each row waits for, not the row itself; rows that come
//! and go in one step are never written.

use super::super::batches::take_columns;
use super::super::error::DataflowError;
use super::spec::{Prepared, Spec};
use crate::plan::NodeId;
use arrow_array::UInt32Array;
use base::codec::{CodecError, FieldReader, FieldWriter};
use state::{KEY_GROUPS, Key, KeyedMap, StateError, Store, Table, TableId};
use std::collections::BTreeMap;

/// Nothing here expires.
const NOW_MS: i64 = 0;

/// The first byte of a sub key.
const COUNT: u8 = 0;
const ROW: u8 = 1;
const READY: u8 = 2;

pub(crate) struct Queue {
    table: KeyedMap,
    is_loaded: bool,
    /// Rows that have ever come.
    arrivals: u64,
    /// Behind the join, after the last step.
    pub(crate) watermark: i64,
    /// By number of arrival.
    waiting: BTreeMap<u64, Waiting>,
    /// Questions without an answer.
    pending: BTreeMap<u64, Pending>,
    /// The youngest question of each key without an answer.
    asked: BTreeMap<Vec<u8>, u64>,
    /// Answers whose rows wait for others, by question.
    ready: BTreeMap<u64, Ready>,
    /// What the table holds of the count.
    kept: Option<(u64, i64)>,
}

struct Waiting {
    question: u64,
    /// Before the row.
    watermark: i64,
    place: Place,
}

/// Where a row is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Chunk and row of this step.
    Here(u32, u32),
    Kept,
}

/// A question, and who waits for its answer.
pub(crate) struct Pending {
    pub(crate) key: Vec<u8>,
    pub(crate) arrivals: Vec<u64>,
}

struct Ready {
    packed: Vec<u8>,
    /// Rows that still wait for others.
    rows: usize,
    kept: bool,
}

/// A row that waits no longer.
pub(crate) struct Released {
    pub(crate) arrival: u64,
    pub(crate) row: ReleasedRow,
}

pub(crate) enum ReleasedRow {
    Here(u32, u32),
    Kept(Vec<u8>),
}

impl Queue {
    pub(crate) fn new(store: &Store, id: NodeId) -> Result<Queue, DataflowError> {
        let table = TableId { owner: id.0 as u32, table: 0 };
        Ok(Queue {
            // One owner, whatever the number of workers.
            table: KeyedMap::new(store, table, 0..KEY_GROUPS, None)?,
            is_loaded: false,
            arrivals: 0,
            watermark: i64::MIN,
            waiting: BTreeMap::new(),
            pending: BTreeMap::new(),
            asked: BTreeMap::new(),
            ready: BTreeMap::new(),
            kept: None,
        })
    }

    pub(crate) fn table(&mut self) -> &mut dyn Table {
        &mut self.table
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The watermark before the first row that waits.
    pub(crate) fn hold(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting.watermark)
    }

    pub(crate) fn asked(&self, key: &[u8]) -> Option<u64> {
        self.asked.get(key).copied()
    }

    pub(crate) fn open_questions(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pending.iter().map(|(number, pending)| (*number, pending.key.as_slice()))
    }

    /// Puts a row in that waits for a question, `asked` or a new one; answers which, and whether it is new.
    pub(crate) fn wait(
        &mut self,
        asked: Option<u64>,
        key: &[u8],
        watermark: i64,
        (chunk, row): (u32, u32),
    ) -> (u64, bool) {
        let arrival = self.arrive();
        let question = asked.unwrap_or(arrival);
        self.waiting.insert(arrival, Waiting { question, watermark, place: Place::Here(chunk, row) });
        let pending = self
            .pending
            .entry(question)
            .or_insert_with(|| Pending { key: key.to_vec(), arrivals: Vec::new() });
        pending.arrivals.push(arrival);
        if asked.is_none() {
            self.asked.insert(key.to_vec(), question);
        }
        (question, asked.is_none())
    }

    /// Puts a row in that has its answer and waits for others.
    pub(crate) fn wait_answered(&mut self, packed: Vec<u8>, watermark: i64, (chunk, row): (u32, u32)) {
        let arrival = self.arrive();
        self.waiting
            .insert(arrival, Waiting { question: arrival, watermark, place: Place::Here(chunk, row) });
        self.ready.insert(arrival, Ready { packed, rows: 1, kept: false });
    }

    fn arrive(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Closes a question; nothing if it is closed already.
    pub(crate) fn answered(&mut self, question: u64) -> Option<Pending> {
        let pending = self.pending.remove(&question)?;
        if self.asked.get(&pending.key) == Some(&question) {
            self.asked.remove(&pending.key);
        }
        Some(pending)
    }

    /// The rows of a question have their answer, and leave by [`Queue::next_ready`].
    pub(crate) fn make_ready(&mut self, question: u64, packed: &[u8], pending: &Pending) {
        let ready = Ready { packed: packed.to_vec(), rows: pending.arrivals.len(), kept: false };
        self.ready.insert(question, ready);
    }

    /// Takes the first row out, if it has its answer: with the question and the answer.
    pub(crate) fn next_ready(&mut self) -> Result<Option<(Released, u64, Vec<u8>)>, DataflowError> {
        let Some((arrival, waiting)) = self.waiting.first_key_value() else { return Ok(None) };
        let (arrival, question) = (*arrival, waiting.question);
        let Some(ready) = self.ready.get_mut(&question) else { return Ok(None) };
        ready.rows -= 1;
        let packed = match ready.rows {
            0 => {
                let ready = self.ready.remove(&question);
                if ready.as_ref().is_some_and(|ready| ready.kept) {
                    self.table.remove(everything(), &sub_key(READY, question))?;
                }
                ready.map(|ready| ready.packed).unwrap_or_default()
            }
            _ => ready.packed.clone(),
        };
        Ok(Some((self.leave(arrival)?, question, packed)))
    }

    /// Takes a row out.
    pub(crate) fn leave(&mut self, arrival: u64) -> Result<Released, DataflowError> {
        let missing = || StateError::damaged("a row that waits for an answer is missing");
        let waiting = self.waiting.remove(&arrival).ok_or_else(missing)?;
        let row = match waiting.place {
            Place::Here(chunk, row) => ReleasedRow::Here(chunk, row),
            Place::Kept => {
                let sub = sub_key(ROW, arrival);
                let value = self.table.get(everything(), &sub, NOW_MS)?.ok_or_else(missing)?;
                self.table.remove(everything(), &sub)?;
                ReleasedRow::Kept(decode_row(&value).map_err(StateError::from)?.3.to_vec())
            }
        };
        Ok(Released { arrival, row })
    }

    /// Reads what a restore left in the table.
    pub(crate) fn load(&mut self) -> Result<(), DataflowError> {
        if self.is_loaded {
            return Ok(());
        }
        let mut rows = Vec::new();
        let mut failure = None;
        let (ready, kept) = (&mut self.ready, &mut self.kept);
        self.table.scan(everything(), NOW_MS, None, &mut |sub, value| {
            let number = sub.get(1..).and_then(|number| number.try_into().ok()).map_or(0, u64::from_be_bytes);
            let taken = match sub.first() {
                Some(&COUNT) => decode_count(value).map(|count| *kept = Some(count)),
                Some(&ROW) => decode_row(value).map(|(question, watermark, key, _)| {
                    rows.push((number, question, watermark, key.to_vec()));
                }),
                _ => {
                    ready.insert(number, Ready { packed: value.to_vec(), rows: 0, kept: true });
                    Ok(())
                }
            };
            failure = taken.err();
            failure.is_none()
        })?;
        if let Some(error) = failure {
            return Err(StateError::from(error).into());
        }
        if let Some((arrivals, watermark)) = self.kept {
            (self.arrivals, self.watermark) = (arrivals, watermark);
        }
        for (arrival, question, watermark, key) in rows {
            self.waiting.insert(arrival, Waiting { question, watermark, place: Place::Kept });
            match self.ready.get_mut(&question) {
                Some(ready) => ready.rows += 1,
                None => {
                    self.asked.insert(key.clone(), question);
                    let new = || Pending { key, arrivals: Vec::new() };
                    self.pending.entry(question).or_insert_with(new).arrivals.push(arrival);
                }
            }
        }
        self.is_loaded = true;
        Ok(())
    }

    /// At the end of a step: what still waits goes into the table.
    pub(crate) fn keep(&mut self, spec: &Spec, chunks: &[Prepared]) -> Result<(), DataflowError> {
        let mut new: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
        for (arrival, waiting) in self.waiting.iter_mut().rev() {
            let Place::Here(chunk, row) = waiting.place else { break };
            waiting.place = Place::Kept;
            new.entry(chunk).or_default().push((row, *arrival));
        }
        for (chunk, rows) in new {
            let Some(chunk) = chunks.get(chunk as usize) else { continue };
            let indices = UInt32Array::from_iter_values(rows.iter().map(|(row, _)| *row));
            let columns = take_columns(&chunk.batch.rows, &indices)?;
            let encoded = spec.stream_rows.encode_columns(&columns, rows.len())?;
            for (index, (_, arrival)) in rows.iter().enumerate() {
                let waiting = &self.waiting[arrival];
                // A row whose answer is there needs no key any more.
                let key = self.pending.get(&waiting.question).map_or(&[][..], |pending| &pending.key);
                let mut value = FieldWriter::new();
                value.u64(waiting.question).i64(waiting.watermark).bytes(key).bytes(encoded.bytes(index));
                self.table.put(everything(), &sub_key(ROW, *arrival), &value.finish(), NOW_MS)?;
            }
        }
        for (question, ready) in self.ready.iter_mut().filter(|(_, ready)| !ready.kept) {
            ready.kept = true;
            self.table.put(everything(), &sub_key(READY, *question), &ready.packed, NOW_MS)?;
        }
        let now = (self.arrivals, self.watermark);
        if self.kept != Some(now) {
            let mut value = FieldWriter::new();
            value.u64(now.0).i64(now.1);
            self.table.put(everything(), &[COUNT], &value.finish(), NOW_MS)?;
            self.kept = Some(now);
        }
        Ok(())
    }
}

/// The key of all rows.
pub(super) fn everything() -> Key<'static> {
    Key { hash: state::hash(&[]), bytes: &[] }
}

pub(super) fn sub_key(kind: u8, number: u64) -> [u8; 9] {
    let mut sub = [kind; 9];
    sub[1..].copy_from_slice(&number.to_be_bytes());
    sub
}

fn decode_count(value: &[u8]) -> Result<(u64, i64), CodecError> {
    let mut reader = FieldReader::new(value);
    let count = (reader.u64()?, reader.i64()?);
    reader.finish().map(|()| count)
}

/// Question, watermark, key and row.
type Kept<'a> = (u64, i64, &'a [u8], &'a [u8]);

fn decode_row(value: &[u8]) -> Result<Kept<'_>, CodecError> {
    let mut reader = FieldReader::new(value);
    let row = (reader.u64()?, reader.i64()?, reader.bytes()?, reader.bytes()?);
    reader.finish().map(|()| row)
}
