//! The rows of one side that a step has to do with: read from the state when first needed, changed in
//! memory, written once at the end.
//!
//! A row is known by its bytes. It is read alone when it comes or goes itself, and together with all
//! rows of its key when a row of the other side looks for matches.

use super::super::error::DataflowError;
use state::{Key, KeyMap, KeyedMap, StateError};

/// No key: rows whose key has a NULL are never kept.
pub(crate) const NO_KEY: u32 = u32::MAX;

/// How often a row is there, and how many rows of the other side match it (where that is counted).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) times: u64,
    pub(crate) matches: u64,
}

#[derive(Debug)]
struct Row {
    key: u32,
    /// As the state has it.
    stored: Counts,
    now: Counts,
    changed: bool,
}

/// What is known of a key.
#[derive(Debug, Default)]
struct KeyRows {
    rows: Vec<u32>,
    /// All rows of the key are known.
    complete: bool,
    /// The rows stand in the order of their bytes.
    sorted: bool,
}

#[derive(Debug)]
pub(crate) struct SideRows {
    index: KeyMap,
    rows: Vec<Row>,
    keys: Vec<KeyRows>,
    /// The other side's rows that match are counted.
    counts_matches: bool,
}

/// One side as a step knows it, the state behind it, and the clock of the step.
pub(crate) struct SideState<'a> {
    pub(crate) known: &'a mut SideRows,
    pub(crate) table: &'a mut KeyedMap,
    pub(crate) clock_ms: i64,
}

impl SideRows {
    pub(crate) fn new(counts_matches: bool) -> SideRows {
        SideRows { index: KeyMap::new(), rows: Vec::new(), keys: Vec::new(), counts_matches }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn bytes(&self, row: u32) -> &[u8] {
        self.index.key(row)
    }

    pub(crate) fn counts(&self, row: u32) -> Counts {
        self.rows[row as usize].now
    }

    pub(crate) fn change(&mut self, row: u32, counts: Counts) {
        let row = &mut self.rows[row as usize];
        row.now = counts;
        row.changed = true;
    }

    fn key_rows(&mut self, slot: u32) -> &mut KeyRows {
        let slot = slot as usize;
        if self.keys.len() <= slot {
            self.keys.resize_with(slot + 1, KeyRows::default);
        }
        &mut self.keys[slot]
    }

    fn add(&mut self, slot: u32, stored: Counts) {
        let row = self.rows.len() as u32;
        self.rows.push(Row { key: slot, stored, now: stored, changed: false });
        if slot != NO_KEY {
            let key = self.key_rows(slot);
            key.rows.push(row);
            key.sorted = key.rows.len() == 1;
        }
    }
}

impl SideState<'_> {
    /// The row with these bytes, which need not be there. `slot` is the key's number in the step.
    pub(crate) fn row(
        &mut self,
        (slot, key): (u32, Key<'_>),
        (hash, bytes): (u64, &[u8]),
    ) -> Result<u32, DataflowError> {
        let (row, is_new) = self.known.index.insert(hash, bytes);
        if is_new {
            let is_absent = slot == NO_KEY || self.known.key_rows(slot).complete;
            let stored = if is_absent { None } else { self.table.get(key, bytes, self.clock_ms)? };
            let counts = stored
                .map_or(Ok(Counts::default()), |stored| decode_counts(&stored, self.known.counts_matches))?;
            self.known.add(slot, counts);
        }
        Ok(row)
    }

    /// Calls back for all rows of a key that are there, in the order of their bytes.
    pub(crate) fn each(
        &mut self,
        slot: u32,
        key: Key<'_>,
        each: &mut dyn FnMut(u32, Counts),
    ) -> Result<(), DataflowError> {
        if !self.known.key_rows(slot).complete {
            self.load(slot, key)?;
        }
        let SideRows { index, rows, keys, .. } = &mut *self.known;
        let key = &mut keys[slot as usize];
        if !key.sorted {
            // What was there stands in order already, and the sort takes it as it is.
            key.rows.sort_by(|one, other| index.key(*one).cmp(index.key(*other)));
            key.sorted = true;
        }
        for row in &key.rows {
            let counts = rows[*row as usize].now;
            if counts.times > 0 {
                each(*row, counts);
            }
        }
        Ok(())
    }

    fn load(&mut self, slot: u32, key: Key<'_>) -> Result<(), DataflowError> {
        let known = &mut *self.known;
        let was_empty = known.key_rows(slot).rows.is_empty();
        let mut failure = None;
        self.table.scan(key, self.clock_ms, None, &mut |bytes, stored| {
            let (_, is_new) = known.index.insert(state::hash(bytes), bytes);
            if is_new {
                match decode_counts(stored, known.counts_matches) {
                    Ok(counts) => known.add(slot, counts),
                    Err(error) => failure = Some(error),
                }
            }
            failure.is_none()
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        let key = known.key_rows(slot);
        key.complete = true;
        key.sorted = was_empty;
        Ok(())
    }

    /// Writes what changed; `key_of` gives the keys of the step by their numbers.
    pub(crate) fn write(&mut self, keys: &KeyMap, forgets: bool) -> Result<(), DataflowError> {
        let mut value = Vec::new();
        for (number, row) in (0u32..).zip(&self.known.rows) {
            if !row.changed || row.key == NO_KEY {
                continue;
            }
            let key = Key { hash: keys.hash_of(row.key), bytes: keys.key(row.key) };
            let bytes = self.known.index.key(number);
            if row.now.times == 0 {
                if row.stored.times > 0 {
                    self.table.remove(key, bytes)?;
                }
            } else if forgets || row.now != row.stored {
                // Where state is forgotten, a row that was written lives on, even if it is the same.
                value.clear();
                encode_counts(&mut value, row.now, self.known.counts_matches);
                self.table.put(key, bytes, &value, self.clock_ms)?;
            }
        }
        Ok(())
    }
}

/// Counts as LEB128: nearly always they take one byte.
fn encode_counts(out: &mut Vec<u8>, counts: Counts, counts_matches: bool) {
    encode_count(out, counts.times);
    if counts_matches {
        encode_count(out, counts.matches);
    }
}

fn encode_count(out: &mut Vec<u8>, mut count: u64) {
    while count >= 0x80 {
        out.push(count as u8 | 0x80);
        count >>= 7;
    }
    out.push(count as u8);
}

fn decode_counts(mut bytes: &[u8], counts_matches: bool) -> Result<Counts, StateError> {
    let times = decode_count(&mut bytes)?;
    let matches = if counts_matches { decode_count(&mut bytes)? } else { 0 };
    if times == 0 || !bytes.is_empty() {
        return Err(StateError::damaged("the count of a joined row has no sense"));
    }
    Ok(Counts { times, matches })
}

fn decode_count(bytes: &mut &[u8]) -> Result<u64, StateError> {
    let mut count = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let Some((byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        count |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(count);
        }
    }
    Err(StateError::damaged("the count of a joined row does not end"))
}
