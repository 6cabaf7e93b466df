//! One call while the frame moves over the rows of a key.
//!
//! Sums and counts change with every row that comes or goes, and are what is saved. The others point at rows: least
//! and greatest values by a queue of candidates, first and last ones and lists by the rows themselves. Those are built
//! anew from the rows that are kept, in the same order.

use super::super::error::DataflowError;
use super::super::keys::Keys;
use super::super::window::{
    Argument, Gather, Lists, Values, add_first, add_wide, decimal_column, float_column, integer_column,
    take_wide,
};
use super::spec::CallSpec;
use crate::plan::AggregateFunction;
use arrow_array::{ArrayRef, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use arrow_select::concat::concat;
use arrow_select::take::take;
use state::StateError;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A call over the rows of one evaluation.
pub(crate) struct Running<'a> {
    call: &'a CallSpec,
    argument: Argument,
    /// Rows leave the frame.
    bounded: bool,
    kind: Kind,
    /// Values that DISTINCT has let through: how often they are there, and a row that has each.
    seen: BTreeMap<Box<[u8]>, (i64, u32)>,
}

enum Kind {
    Count {
        count: i64,
        out: Vec<i64>,
    },
    Integers {
        sum: i64,
        count: i64,
        out: Vec<Option<i64>>,
    },
    Floats {
        sum: f64,
        count: i64,
        out: Vec<Option<f64>>,
    },
    Decimals {
        sum: i128,
        wraps: i64,
        count: i64,
        out: Vec<Option<i128>>,
    },
    /// The first is the least (greatest); each later one is behind it in time and in the order of values.
    Extreme {
        rows: VecDeque<u32>,
        greatest: bool,
        out: Vec<Option<u32>>,
    },
    End {
        rows: VecDeque<u32>,
        last: bool,
        out: Vec<Option<u32>>,
    },
    /// The value's row, or the current one, whose default it is.
    Lag {
        rows: VecDeque<u32>,
        out: Vec<Result<u32, u32>>,
    },
    Gather {
        rows: VecDeque<u32>,
        out: Lists,
    },
}

/// What a row does to the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Enter,
    Leave,
    /// It is in the frame since before the step: sums know of it.
    Remember,
}

impl<'a> Running<'a> {
    pub(crate) fn new(
        call: &'a CallSpec,
        argument: Argument,
        bounded: bool,
    ) -> Result<Running<'a>, DataflowError> {
        use AggregateFunction::{Count, FirstValue, Lag, LastValue, Max, Min, Sum};
        let values = argument.plain.as_deref().unwrap_or(&argument);
        let rows = VecDeque::new();
        let kind = match (call.function, &values.values) {
            (Count, _) => Kind::Count { count: 0, out: Vec::new() },
            (Sum, Values::Integers(_)) => Kind::Integers { sum: 0, count: 0, out: Vec::new() },
            (Sum, Values::Floats(_)) => Kind::Floats { sum: 0.0, count: 0, out: Vec::new() },
            (Sum, Values::Decimals(_)) => Kind::Decimals { sum: 0, wraps: 0, count: 0, out: Vec::new() },
            (Min | Max, _) => Kind::Extreme { rows, greatest: call.function == Max, out: Vec::new() },
            (FirstValue | LastValue, _) => {
                Kind::End { rows, last: call.function == LastValue, out: Vec::new() }
            }
            (Lag, _) => Kind::Lag { rows, out: Vec::new() },
            _ if call.gather.is_some() => Kind::Gather { rows, out: Lists::default() },
            _ => return Err(DataflowError::internal("the call cannot stand OVER a window")),
        };
        Ok(Running { call, argument, bounded, kind, seen: BTreeMap::new() })
    }

    /// Another key begins.
    pub(crate) fn begin(&mut self) {
        self.seen.clear();
        match &mut self.kind {
            Kind::Count { count, .. } => *count = 0,
            Kind::Integers { sum, count, .. } => (*sum, *count) = (0, 0),
            Kind::Floats { sum, count, .. } => (*sum, *count) = (0.0, 0),
            Kind::Decimals { sum, wraps, count, .. } => (*sum, *wraps, *count) = (0, 0, 0),
            Kind::Extreme { rows, .. }
            | Kind::End { rows, .. }
            | Kind::Lag { rows, .. }
            | Kind::Gather { rows, .. } => {
                rows.clear();
            }
        }
    }

    pub(crate) fn move_row(&mut self, row: u32, how: Move) -> Result<(), DataflowError> {
        if self.argument.selected.as_ref().is_some_and(|selected| !selected.value(row as usize)) {
            return Ok(());
        }
        // A list of distinct values that some leave is made of all rows of the frame: which of equal values came first
        // changes with it.
        let is_list = self.bounded && matches!(self.kind, Kind::Gather { .. });
        if !self.call.distinct || is_list {
            return self.move_value(row, how);
        }
        let value: Box<[u8]> = encoded(&self.argument)?.bytes(row as usize).into();
        if how == Move::Leave {
            if let Some((count, _)) = self.seen.get_mut(&value) {
                *count -= 1;
                if *count > 0 {
                    return Ok(());
                }
                self.seen.remove(&value);
                return self.move_value(row, how);
            }
            return Ok(());
        }
        let (count, _) = self.seen.entry(value).or_insert((0, row));
        *count += 1;
        if *count > 1 { Ok(()) } else { self.move_value(row, how) }
    }

    fn move_value(&mut self, row: u32, how: Move) -> Result<(), DataflowError> {
        let Running { call, argument, bounded, kind, .. } = self;
        let at = row as usize;
        let values = argument.plain.as_deref().unwrap_or(argument);
        let sign = if how == Move::Leave { -1 } else { 1 };
        match (kind, &values.values) {
            (Kind::Count { .. } | Kind::Integers { .. } | Kind::Floats { .. } | Kind::Decimals { .. }, _)
                if how == Move::Remember => {}
            (Kind::Count { count, .. }, _) => *count += sign,
            (Kind::Integers { sum, count, .. }, Values::Integers(values)) => {
                *sum = if sign > 0 { sum.wrapping_add(values[at]) } else { sum.wrapping_sub(values[at]) };
                *count += sign;
            }
            (Kind::Floats { sum, count, .. }, Values::Floats(values)) => {
                if sign > 0 {
                    add_first(sum, count, values[at]);
                } else {
                    *sum -= values[at];
                    *count -= 1;
                }
                if call.is_float32 {
                    *sum = f64::from(*sum as f32);
                }
                if *count == 0 {
                    *sum = 0.0;
                }
            }
            (Kind::Decimals { sum, wraps, count, .. }, Values::Decimals(values)) => {
                if sign > 0 {
                    add_wide(sum, wraps, values[at], 0);
                } else {
                    take_wide(sum, wraps, values[at]);
                }
                *count += sign;
            }
            (Kind::Extreme { rows, greatest, .. }, _) => {
                if how == Move::Leave {
                    if rows.front() == Some(&row) {
                        rows.pop_front();
                    }
                    return Ok(());
                }
                let keys = encoded(argument)?;
                let loses = |old: u32| {
                    let (old, new) = (keys.bytes(old as usize), keys.bytes(at));
                    if *greatest { old < new } else { old > new }
                };
                while rows.back().is_some_and(|old| loses(*old)) {
                    rows.pop_back();
                }
                // Where nothing leaves, what is behind the first is never shown.
                if *bounded || rows.is_empty() {
                    rows.push_back(row);
                }
            }
            (Kind::End { rows, last, .. }, _) => match how {
                Move::Leave => drop(rows.pop_front()),
                _ if *bounded => rows.push_back(row),
                _ if *last => *rows = VecDeque::from([row]),
                _ if rows.is_empty() => rows.push_back(row),
                _ => {}
            },
            (Kind::Lag { rows, .. }, _) => {
                rows.push_back(row);
                while rows.len() > call.offset + 1 {
                    rows.pop_front();
                }
            }
            (Kind::Gather { rows, .. }, _) => {
                if how != Move::Leave {
                    rows.push_back(row);
                    return Ok(());
                }
                let keys = encoded(argument)?;
                let equal = |other: &u32| keys.bytes(*other as usize) == keys.bytes(at);
                if let Some(place) = rows.iter().position(equal) {
                    rows.remove(place);
                }
            }
            _ => return Err(DataflowError::internal("a call got an argument of another kind")),
        }
        Ok(())
    }

    /// The result for a row as the frame is now.
    pub(crate) fn emit(&mut self, row: u32) -> Result<(), DataflowError> {
        let keys = encoded(&self.argument);
        match &mut self.kind {
            Kind::Count { count, out } => out.push(*count),
            Kind::Integers { sum, count, out } => out.push((*count > 0).then_some(*sum)),
            Kind::Floats { sum, count, out } => out.push((*count > 0).then_some(*sum)),
            Kind::Decimals { sum, wraps, count, out } => {
                out.push((*count > 0 && *wraps == 0).then_some(*sum));
            }
            Kind::Extreme { rows, out, .. } => out.push(rows.front().copied()),
            Kind::End { rows, last, out } => {
                out.push(if *last { rows.back() } else { rows.front() }.copied())
            }
            Kind::Lag { rows, out } => {
                let found = rows.len().checked_sub(self.call.offset + 1).and_then(|place| rows.get(place));
                out.push(found.copied().ok_or(row));
            }
            Kind::Gather { rows, out } => {
                let keys = keys?;
                let distinct = self.call.distinct;
                let values = rows.iter().map(|row| keys.bytes(*row as usize));
                if Gather::by_arrival(self.call.function) {
                    let mut known = BTreeSet::new();
                    values
                        .filter(|value| !distinct || known.insert(*value))
                        .for_each(|value| out.push(value, 1));
                } else {
                    let mut counts: BTreeMap<&[u8], i64> = BTreeMap::new();
                    values.for_each(|value| *counts.entry(value).or_default() += 1);
                    counts
                        .into_iter()
                        .for_each(|(value, count)| out.push(value, if distinct { 1 } else { count }));
                }
                out.end();
            }
        }
        Ok(())
    }

    /// Appends what sums and counts hold.
    pub(crate) fn save(&self, bytes: &mut Vec<u8>) {
        match &self.kind {
            Kind::Count { count, .. } => bytes.extend(count.to_le_bytes()),
            Kind::Integers { sum, count, .. } => {
                bytes.extend(sum.to_le_bytes());
                bytes.extend(count.to_le_bytes());
            }
            Kind::Floats { sum, count, .. } => {
                bytes.extend(sum.to_le_bytes());
                bytes.extend(count.to_le_bytes());
            }
            Kind::Decimals { sum, wraps, count, .. } => {
                bytes.extend(sum.to_le_bytes());
                bytes.extend(wraps.to_le_bytes());
                bytes.extend(count.to_le_bytes());
            }
            Kind::Extreme { .. } | Kind::End { .. } | Kind::Lag { .. } | Kind::Gather { .. } => {}
        }
    }

    /// Takes what [`Running::save`] appended from the front of the bytes.
    pub(crate) fn load(&mut self, bytes: &mut &[u8]) -> Result<(), StateError> {
        match &mut self.kind {
            Kind::Count { count, .. } => *count = i64::from_le_bytes(take_bytes(bytes)?),
            Kind::Integers { sum, count, .. } => {
                *sum = i64::from_le_bytes(take_bytes(bytes)?);
                *count = i64::from_le_bytes(take_bytes(bytes)?);
            }
            Kind::Floats { sum, count, .. } => {
                *sum = f64::from_le_bytes(take_bytes(bytes)?);
                *count = i64::from_le_bytes(take_bytes(bytes)?);
            }
            Kind::Decimals { sum, wraps, count, .. } => {
                *sum = i128::from_le_bytes(take_bytes(bytes)?);
                *wraps = i64::from_le_bytes(take_bytes(bytes)?);
                *count = i64::from_le_bytes(take_bytes(bytes)?);
            }
            Kind::Extreme { .. } | Kind::End { .. } | Kind::Lag { .. } | Kind::Gather { .. } => {}
        }
        Ok(())
    }

    /// The rows that the call still needs of a frame that nothing leaves.
    pub(crate) fn witnesses(&self, needed: &mut BTreeSet<u32>) {
        needed.extend(self.seen.values().map(|(_, row)| *row));
        match &self.kind {
            Kind::Extreme { rows, .. }
            | Kind::End { rows, .. }
            | Kind::Lag { rows, .. }
            | Kind::Gather { rows, .. } => {
                needed.extend(rows);
            }
            Kind::Count { .. } | Kind::Integers { .. } | Kind::Floats { .. } | Kind::Decimals { .. } => {}
        }
    }

    /// The results, in the order in which they were emitted; `columns` are those that calls read.
    pub(crate) fn finish(self, columns: &[ArrayRef]) -> Result<ArrayRef, DataflowError> {
        let result = &self.call.result;
        let missing = || DataflowError::internal("a call lacks its argument");
        let argument = || self.call.argument.map(|place| &columns[place]).ok_or_else(missing);
        match self.kind {
            Kind::Count { out, .. } => integer_column(out, None, &DataType::Int64),
            Kind::Integers { out, .. } => {
                let nulls: NullBuffer = out.iter().map(Option::is_some).collect();
                integer_column(out.into_iter().map(Option::unwrap_or_default).collect(), Some(nulls), result)
            }
            Kind::Floats { out, .. } => {
                let nulls: NullBuffer = out.iter().map(Option::is_some).collect();
                float_column(out.into_iter().map(Option::unwrap_or_default).collect(), Some(nulls), result)
            }
            Kind::Decimals { out, .. } => decimal_column(out, result),
            Kind::Extreme { out, .. } | Kind::End { out, .. } => {
                Ok(take(argument()?, &UInt32Array::from(out), None)?)
            }
            Kind::Lag { out, .. } => {
                let values = argument()?;
                let Some(default) = self.call.default.map(|place| &columns[place]) else {
                    let rows: UInt32Array = out.iter().map(|found| found.ok()).collect();
                    return Ok(take(values, &rows, None)?);
                };
                // The defaults stand behind the values.
                let both = concat(&[values.as_ref(), default.as_ref()])?;
                let place = |found: &Result<u32, u32>| match found {
                    Ok(row) => *row,
                    Err(row) => values.len() as u32 + row,
                };
                Ok(take(&both, &UInt32Array::from_iter_values(out.iter().map(place)), None)?)
            }
            Kind::Gather { out, .. } => {
                let gather = self.call.gather.as_ref().ok_or_else(missing)?;
                gather.results(&out)
            }
        }
    }
}

fn encoded(argument: &Argument) -> Result<&Keys, DataflowError> {
    match &argument.values {
        Values::Encoded(keys) => Ok(keys),
        _ => Err(DataflowError::internal("the values of a call are not encoded")),
    }
}

pub(crate) fn take_bytes<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(|| StateError::damaged("a sum is cut off"))?;
    *bytes = rest;
    Ok(*taken)
}
