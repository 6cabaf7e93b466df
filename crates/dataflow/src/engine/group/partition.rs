//! The keys of one worker: a step's rows go in, the changes of the keys' rows come out.

use super::super::changelog::{Caused, Changes, rows_of_worker, same_rows};
use super::super::error::DataflowError;
use super::super::window::Lists;
use super::columns::{ABSENT, GroupColumns};
use super::kept::{self, ListRows};
use super::spec::{Call, GroupSpec, Prepared};
use super::tables;
use super::values::{OwnRows, SetChanges, SetRows, clear, first_value, write};
use crate::plan::{Changelog, NodeId};
use arrow_array::{Array, ArrayRef};
use arrow_select::concat::concat;
use state::{Key, KeyedColumns, KeyedMap, Store, Table, TableId};
use std::ops::Range;
use std::sync::Arc;

/// No place.
const NONE: u32 = u32::MAX;

pub(crate) struct Partition {
    table: KeyedColumns<GroupColumns>,
    /// Where values are kept.
    values: Option<KeyedMap>,
    /// By slot: its place among the touched ones; [`NONE`] between the steps.
    places: Vec<u32>,
}

/// The keys that a step touched, in the order in which it first did.
#[derive(Default)]
struct Touched {
    slots: Vec<u32>,
    /// The last row of each.
    causes: Vec<u32>,
    /// Whether the key had a row before the step.
    were_there: Vec<bool>,
    /// The results before the step, chunk by chunk.
    before: Vec<Vec<ArrayRef>>,
}

impl Partition {
    pub(crate) fn new(
        spec: &Arc<GroupSpec>,
        store: &Store,
        id: NodeId,
        groups: Range<usize>,
        ttl_ms: Option<u64>,
    ) -> Result<Partition, DataflowError> {
        let table = |table: u32| TableId { owner: id.0 as u32, table };
        let values = if spec.shares() { tables::SHARED_VALUES } else { tables::VALUES };
        let columns = GroupColumns::new(spec.clone());
        Ok(Partition {
            table: KeyedColumns::new(store, table(tables::COLUMNS), groups.clone(), ttl_ms, columns)?,
            values: match spec.keeps_values() {
                false => None,
                true => Some(KeyedMap::new(store, table(values), groups, ttl_ms)?),
            },
            places: Vec::new(),
        })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        let values = self.values.iter_mut().map(|map| map as &mut dyn Table);
        std::iter::once(&mut self.table as &mut dyn Table).chain(values).collect()
    }

    pub(crate) fn step(
        &mut self,
        spec: &GroupSpec,
        chunks: &[Prepared],
        (worker, workers): (usize, usize),
        sequence: u64,
        clock_ms: i64,
    ) -> Result<Caused, DataflowError> {
        let mut touched = Touched::default();
        let mut sets: Vec<SetChanges> = spec.sets.iter().map(SetChanges::new).collect();
        let (mut keys, mut slots) = (Vec::new(), Vec::new());
        let mut first = 0;
        for chunk in chunks {
            let mut rows = rows_of_worker(&chunk.keys, chunk.ordinals.len(), worker, workers);
            keys.clear();
            keys.extend(rows.iter().map(|row| {
                let row = *row as usize;
                Key { hash: chunk.keys.hash(row), bytes: chunk.keys.bytes(row) }
            }));
            self.table.slots(&keys, clock_ms, &mut slots)?;
            self.touch(spec, &mut touched, &slots, &rows, first, clock_ms)?;
            self.count_records(chunk, &mut slots, &mut rows);
            self.take_in(spec, chunk, &slots, &rows, &mut sets, sequence, clock_ms)?;
            first += chunk.ordinals.len() as u32;
        }
        self.write_values(spec, &sets, clock_ms)?;
        let caused = self.changes(spec, &touched, clock_ms)?;
        self.end(&touched, clock_ms)?;
        Ok(caused)
    }

    /// Notes which keys the rows touch, and what they gave before the step.
    fn touch(
        &mut self,
        spec: &GroupSpec,
        touched: &mut Touched,
        slots: &[u32],
        rows: &[u32],
        first: u32,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let columns = self.table.columns();
        self.places.resize(columns.records.len().max(self.places.len()), NONE);
        let known = touched.slots.len();
        for (slot, row) in slots.iter().zip(rows) {
            let place = &mut self.places[*slot as usize];
            if *place == NONE {
                *place = touched.slots.len() as u32;
                touched.slots.push(*slot);
                touched.causes.push(0);
                touched.were_there.push(columns.records[*slot as usize] != ABSENT);
            }
            touched.causes[*place as usize] = first + row;
        }
        touched.before.push(self.results(spec, &touched.slots[known..], clock_ms)?);
        Ok(())
    }

    /// What the calls give for some slots.
    fn results(
        &mut self,
        spec: &GroupSpec,
        slots: &[u32],
        clock_ms: i64,
    ) -> Result<Vec<ArrayRef>, DataflowError> {
        let (table, values) = (&self.table, &mut self.values);
        table.columns().finish(slots, &mut |kept| {
            let Some(map) = values.as_mut().filter(|_| !spec.calls.is_empty()) else {
                return Err(DataflowError::internal("no values are kept"));
            };
            let mut lists = Lists::default();
            for slot in slots {
                kept::show(map, (spec, kept), Key::new(table.key(*slot)), clock_ms, &mut lists)?;
            }
            kept.gather.results(&lists)
        })
    }

    /// Counts the rows of each key, and leaves out rows that go from a key that has none.
    fn count_records(&mut self, chunk: &Prepared, slots: &mut Vec<u32>, rows: &mut Vec<u32>) {
        let records = &mut self.table.columns_mut().records;
        let Some(adds) = &chunk.adds else {
            slots.iter().for_each(|slot| {
                let count = &mut records[*slot as usize];
                *count = (*count).max(0) + 1;
            });
            return;
        };
        let mut kept = 0;
        for place in 0..rows.len() {
            let (slot, row) = (slots[place], rows[place]);
            let count = &mut records[slot as usize];
            if adds[row as usize] {
                *count = (*count).max(0) + 1;
            } else if *count > 0 {
                *count -= 1;
                if *count == 0 {
                    *count = ABSENT;
                }
            } else {
                continue;
            }
            (slots[kept], rows[kept]) = (slot, row);
            kept += 1;
        }
        slots.truncate(kept);
        rows.truncate(kept);
    }

    #[allow(clippy::too_many_arguments, reason = "the arguments are the step")]
    fn take_in(
        &mut self,
        spec: &GroupSpec,
        chunk: &Prepared,
        slots: &[u32],
        rows: &[u32],
        sets: &mut [SetChanges],
        sequence: u64,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let adds = chunk.adds.as_deref();
        let own = OwnRows { keys: &chunk.keys, slots, rows, adds };
        let mut transitions = Vec::with_capacity(sets.len());
        for (number, (changes, set)) in sets.iter_mut().zip(&spec.sets).enumerate() {
            let Some(map) = &mut self.values else { break };
            let taken = SetRows { values: &chunk.values[number], passing: &chunk.passing[number] };
            let counts_all = spec.retracts || set.counts;
            transitions.push(changes.count(map, (number, set), own, taken, counts_all, clock_ms)?);
        }
        let columns = self.table.columns_mut();
        for (list, argument) in spec.lists.iter().zip(&chunk.listed) {
            let Some(map) = &mut self.values else { break };
            let (slots, rows) = match list.distinct {
                Some(at) => {
                    let transitions = &transitions[at.set][at.part];
                    (transitions.slots.as_slice(), transitions.rows.as_slice())
                }
                None => (slots, rows),
            };
            let own = ListRows { keys: &chunk.keys, slots, rows, adds };
            kept::change_list(map, list, own, argument, columns, (spec.retracts, clock_ms))?;
        }
        let accumulators = columns.accumulators.iter_mut().zip(&spec.calls);
        for ((accumulator, call), argument) in accumulators.zip(&chunk.arguments) {
            let (Some(accumulator), Some(argument)) = (accumulator, argument) else { continue };
            let (slots, rows) = match call {
                Call::Distinct { set: at, .. } => {
                    let transitions = &transitions[at.set][at.part];
                    (transitions.slots.as_slice(), transitions.rows.as_slice())
                }
                Call::Rows(_) | Call::Extreme { .. } | Call::Kept(_) => (slots, rows),
            };
            match adds {
                Some(adds) => accumulator.change(slots, rows, argument, adds)?,
                None => accumulator.update(slots, rows, argument, &chunk.ordinals, sequence)?,
            }
        }
        Ok(())
    }

    /// Writes the values that the step changed, and brings least and greatest ones up to date.
    fn write_values(
        &mut self,
        spec: &GroupSpec,
        sets: &[SetChanges],
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let Some(map) = &mut self.values else { return Ok(()) };
        for (number, changes) in sets.iter().enumerate() {
            let mut gone = Vec::new();
            for changed in changes.changed() {
                let bytes = self.table.key(changed.slot);
                let grown = write(map, Key::new(bytes), &changed, spec.forgets, clock_ms)?;
                let slot = changed.slot as usize;
                let columns = self.table.columns_mut();
                columns.kept[slot] += grown;
                let Some(firsts) = &mut columns.firsts[number] else { continue };
                let value = &mut firsts[slot];
                if changed.after[0] > 0 {
                    if value.as_deref().is_none_or(|first| changed.value() < first) {
                        *value = Some(changed.value().into());
                    }
                } else if value.as_deref() == Some(changed.value()) {
                    *value = None;
                    gone.push(changed.slot);
                }
            }
            for slot in gone {
                let first = first_value(map, Key::new(self.table.key(slot)), number, clock_ms)?;
                if let Some(firsts) = &mut self.table.columns_mut().firsts[number] {
                    firsts[slot as usize] = first;
                }
            }
        }
        Ok(())
    }

    /// What became of the rows of the touched keys, in the order of the last rows that touched them.
    fn changes(
        &mut self,
        spec: &GroupSpec,
        touched: &Touched,
        clock_ms: i64,
    ) -> Result<Caused, DataflowError> {
        let count = touched.slots.len();
        let mut before: Vec<ArrayRef> =
            spec.keys.decode(touched.slots.iter().map(|slot| self.table.key(*slot)))?;
        let mut after = before.clone();
        let keys = before.len();
        for call in 0..spec.calls.len() {
            let parts: Vec<&dyn Array> = touched.before.iter().map(|part| part[call].as_ref()).collect();
            before.push(match touched.before.as_slice() {
                [one] => one[call].clone(),
                _ => concat(&parts)?,
            });
        }
        after.extend(self.results(spec, &touched.slots, clock_ms)?);
        let columns = self.table.columns();
        let same = same_rows(&before[keys..], &after[keys..], count)?;
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.sort_unstable_by_key(|place| touched.causes[*place as usize]);
        let mut changes = Changes::new(spec.changelog);
        // What only grows shows a key once, however long it is remembered.
        let repeats = spec.forgets && spec.changelog != Changelog::Insert;
        for place in order {
            let at = place as usize;
            let was_there = touched.were_there[at];
            let is_there = columns.records[touched.slots[at] as usize] != ABSENT;
            if was_there && is_there && same.value(at) && !repeats {
                continue;
            }
            changes.push(touched.causes[at], was_there.then_some(place), is_there.then_some(place));
        }
        changes.finish(&before, &after)
    }

    /// Forgets the keys that are no more.
    fn end(&mut self, touched: &Touched, clock_ms: i64) -> Result<(), DataflowError> {
        for slot in &touched.slots {
            self.places[*slot as usize] = NONE;
            let columns = self.table.columns();
            if columns.records[*slot as usize] != ABSENT {
                continue;
            }
            // Only values that went more often than they came are left.
            if let Some(map) = &mut self.values
                && columns.kept[*slot as usize] != 0
            {
                clear(map, Key::new(self.table.key(*slot)), clock_ms)?;
            }
            self.table.remove(*slot);
        }
        Ok(())
    }
}
