//! Aggregates as columns of state, indexed by the slot of the key.
//!
//! * Integer sums wrap at the width of their type, as Flink's do; wrapping commutes, so a sum in 64
//!   bits is cut down at the end.
//! * Decimal sums are exact in 128 bits and a count of wraps; a result that the type does not hold is
//!   NULL. So the order of additions does not matter.
//! * Float sums keep the order of input within a key, in the width that Flink sums in (FLOAT for SUM
//!   of FLOAT, DOUBLE for AVG). Slices of a hopping window merge from the latest to the earliest,
//!   which is the order in which Flink merges them.
//! * MIN and MAX replace a value only by one that compares less or greater: NaN never replaces.
//! * FIRST_VALUE and LAST_VALUE skip NULL and go by the order of input over the life of the job.
//! * DISTINCT keeps the values seen per key, in the order of their first appearance.
//! * Squared deviations are summed up by Welford's method, and merged as Flink merges them.
//! * Aggregates that are made of all their values keep them (`gathered`).

use super::super::error::DataflowError;
use super::super::keys::KeyEncoder;
use super::argument::{Argument, Representation, Values, decimal_column, float_column, integer_column};
use crate::plan::{Aggregate, AggregateFunction, type_name};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use std::sync::Arc;

use super::distinct::Distinct;
use super::gather::Gather;
use super::gathered::Gathered;

/// How to make accumulators of one aggregate call.
#[derive(Debug)]
pub(crate) struct AccumulatorSpec {
    pub(crate) function: AggregateFunction,
    pub(crate) argument: Option<usize>,
    pub(crate) filter: Option<usize>,
    pub(crate) argument_type: Option<DataType>,
    pub(crate) result_type: DataType,
    pub(crate) representation: Representation,
    /// Set when the argument is to be encoded: for DISTINCT, FIRST_VALUE and LAST_VALUE.
    pub(crate) encoder: Option<Arc<KeyEncoder>>,
    pub(crate) distinct: bool,
    /// Set when the result is made of all values.
    pub(crate) gather: Option<Arc<Gather>>,
}

/// Whether there is an accumulator for a call, and whether the declared result type is its type.
pub(crate) fn accumulator_supports(call: &Aggregate, argument: Option<&DataType>) -> Result<(), String> {
    use AggregateFunction::{Avg, Count, FirstValue, LastValue, Max, Min, SquaredDeviations, Sum};
    let result = &call.data_type;
    let Some(argument) = argument else {
        return match (call.function, call.distinct, result) {
            (Count, false, DataType::Int64) => Ok(()),
            _ => Err("only COUNT goes without an argument, and it is a BIGINT".into()),
        };
    };
    let fits = match call.function {
        Count => *result == DataType::Int64,
        Min | Max => Representation::ordered(argument).is_some() && result.equals_datatype(argument),
        FirstValue | LastValue => result.equals_datatype(argument),
        SquaredDeviations => *argument == DataType::Float64 && *result == DataType::Float64,
        function if Gather::makes(function) => Gather::supports(call, argument),
        Sum | Avg => match (Representation::numeric(argument), argument, result) {
            (Some(Representation::Decimals), DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
                if call.function == Sum {
                    from == to
                } else {
                    from <= to && *to >= 0 && *from >= 0
                }
            }
            (Some(Representation::Decimals), ..) => false,
            (Some(_), ..) => result == argument,
            (None, ..) => false,
        },
        _ => false,
    };
    let kept = !matches!(call.function, FirstValue | LastValue) && !call.distinct
        || state::columns::supports(argument);
    if fits && kept {
        return Ok(());
    }
    Err(format!("{:?} over {} cannot give {}", call.function, type_name(argument), type_name(result)))
}

impl AccumulatorSpec {
    pub(crate) fn new(
        call: &Aggregate,
        argument: Option<&DataType>,
    ) -> Result<AccumulatorSpec, DataflowError> {
        use AggregateFunction::{ArrayAgg, Count, FirstValue, LastValue, Max, Min};
        accumulator_supports(call, argument).map_err(DataflowError::invalid)?;
        let ordered = matches!(call.function, FirstValue | LastValue);
        // DISTINCT changes nothing about the least, the greatest, the first and the last value.
        let distinct = call.distinct && !matches!(call.function, Min | Max | FirstValue | LastValue);
        let gather = match argument.filter(|_| Gather::makes(call.function)) {
            Some(argument) => Some(Arc::new(Gather::new(call, argument)?)),
            None => None,
        };
        let representation = match (call.function, argument) {
            (Count, _) | (_, None) => Representation::Nothing,
            (FirstValue | LastValue, Some(_)) => Representation::Encoded,
            (ArrayAgg, Some(_)) => Representation::EncodedWithNulls,
            (_, Some(_)) if gather.is_some() => Representation::Encoded,
            (_, Some(argument)) => {
                let representation = Representation::ordered(argument);
                representation.ok_or_else(|| DataflowError::internal(format!("{argument} has no order")))?
            }
        };
        let encoder = match argument.filter(|_| ordered || distinct || gather.is_some()) {
            Some(argument) => Some(Arc::new(KeyEncoder::new(vec![0], vec![argument.clone()])?)),
            None => None,
        };
        Ok(AccumulatorSpec {
            function: call.function,
            argument: call.argument,
            filter: call.filter,
            argument_type: argument.cloned(),
            result_type: call.data_type.clone(),
            representation,
            encoder,
            distinct,
            gather,
        })
    }

    /// What the call reads of some rows.
    pub(crate) fn argument_of(&self, rows: &RecordBatch) -> Result<Argument, DataflowError> {
        let column = self.argument.map(|column| rows.column(column));
        let filter = self.filter.map(|column| rows.column(column).as_boolean());
        Argument::new(column, filter, self.representation, self.encoder.as_deref())
    }

    pub(crate) fn make(&self) -> Accumulator {
        if self.distinct
            && let Some(encoder) = &self.encoder
        {
            return Accumulator::Distinct(Box::new(Distinct::new(
                encoder.clone(),
                self.representation,
                self.plain(),
            )));
        }
        self.plain()
    }

    /// The accumulator of the values that count, DISTINCT left aside.
    pub(crate) fn plain(&self) -> Accumulator {
        if let Some(gather) = &self.gather {
            return Accumulator::Gathered(Gathered::new(gather.clone()));
        }
        let result = self.result_type.clone();
        let is_float32 = self.argument_type == Some(DataType::Float32);
        let greatest = self.function == AggregateFunction::Max;
        match (self.function, self.representation) {
            (AggregateFunction::Sum, Representation::Integers) => {
                Accumulator::SumIntegers { sums: Vec::new(), counts: Vec::new(), result }
            }
            (AggregateFunction::Avg, Representation::Integers) => {
                Accumulator::AvgIntegers { sums: Vec::new(), counts: Vec::new(), result }
            }
            (AggregateFunction::Sum, Representation::Floats) if is_float32 => {
                Accumulator::SumFloats32 { sums: Vec::new(), counts: Vec::new() }
            }
            (AggregateFunction::Sum | AggregateFunction::Avg, Representation::Floats) => {
                let average = self.function == AggregateFunction::Avg;
                Accumulator::Floats { sums: Vec::new(), counts: Vec::new(), average, result }
            }
            (AggregateFunction::Sum | AggregateFunction::Avg, Representation::Decimals) => {
                let average = self.function == AggregateFunction::Avg;
                let scale = |data_type: Option<&DataType>| match data_type {
                    Some(DataType::Decimal128(_, scale)) => *scale,
                    _ => 0,
                };
                let shift = scale(Some(&result)) - scale(self.argument_type.as_ref());
                let shift = u32::try_from(shift).unwrap_or(0);
                let sums = Vec::new();
                Accumulator::Decimals { sums, wraps: Vec::new(), counts: Vec::new(), average, shift, result }
            }
            (AggregateFunction::Min | AggregateFunction::Max, Representation::Integers) => {
                Accumulator::ExtremeIntegers { values: Vec::new(), seen: Vec::new(), greatest, result }
            }
            (AggregateFunction::Min | AggregateFunction::Max, Representation::Decimals) => {
                Accumulator::ExtremeDecimals { values: Vec::new(), greatest, result }
            }
            (AggregateFunction::Min | AggregateFunction::Max, Representation::Floats) => {
                Accumulator::ExtremeFloats { values: Vec::new(), seen: Vec::new(), greatest, result }
            }
            (AggregateFunction::Min | AggregateFunction::Max, _) => {
                Accumulator::ExtremeBytes { values: Vec::new(), greatest, result }
            }
            (AggregateFunction::FirstValue | AggregateFunction::LastValue, _) => {
                let last = self.function == AggregateFunction::LastValue;
                Accumulator::Ordered { values: Vec::new(), last, encoder: self.encoder.clone(), result }
            }
            (AggregateFunction::SquaredDeviations, _) => {
                Accumulator::Deviations { counts: Vec::new(), means: Vec::new(), squares: Vec::new() }
            }
            _ => Accumulator::Count { counts: Vec::new() },
        }
    }
}

/// The state of one aggregate for all keys of a slice.
#[derive(Debug)]
pub(crate) enum Accumulator {
    Count {
        counts: Vec<i64>,
    },
    SumIntegers {
        sums: Vec<i64>,
        counts: Vec<i64>,
        result: DataType,
    },
    AvgIntegers {
        sums: Vec<i64>,
        counts: Vec<i64>,
        result: DataType,
    },
    SumFloats32 {
        sums: Vec<f32>,
        counts: Vec<i64>,
    },
    Floats {
        sums: Vec<f64>,
        counts: Vec<i64>,
        average: bool,
        result: DataType,
    },
    /// The sum is `wraps * 2^128 + sums`.
    Decimals {
        sums: Vec<i128>,
        wraps: Vec<i64>,
        counts: Vec<i64>,
        average: bool,
        shift: u32,
        result: DataType,
    },
    ExtremeIntegers {
        values: Vec<i64>,
        seen: Vec<bool>,
        greatest: bool,
        result: DataType,
    },
    ExtremeDecimals {
        values: Vec<Option<i128>>,
        greatest: bool,
        result: DataType,
    },
    ExtremeFloats {
        values: Vec<f64>,
        seen: Vec<bool>,
        greatest: bool,
        result: DataType,
    },
    ExtremeBytes {
        values: Vec<Option<Box<[u8]>>>,
        greatest: bool,
        result: DataType,
    },
    /// The value and the number of its row since the job began.
    Ordered {
        values: Vec<Option<(u64, Box<[u8]>)>>,
        last: bool,
        encoder: Option<Arc<KeyEncoder>>,
        result: DataType,
    },
    /// The sums of the squared distances from the means.
    Deviations {
        counts: Vec<i64>,
        means: Vec<f64>,
        squares: Vec<f64>,
    },
    Gathered(Gathered),
    Distinct(Box<Distinct>),
}

fn mismatch() -> DataflowError {
    DataflowError::internal("an aggregate got an argument of another kind")
}

impl Accumulator {
    /// Makes room for slots below `slots`.
    pub(crate) fn grow(&mut self, slots: usize) {
        match self {
            Accumulator::Count { counts } => counts.resize(slots, 0),
            Accumulator::SumIntegers { sums, counts, .. } | Accumulator::AvgIntegers { sums, counts, .. } => {
                sums.resize(slots, 0);
                counts.resize(slots, 0);
            }
            Accumulator::SumFloats32 { sums, counts } => {
                sums.resize(slots, 0.0);
                counts.resize(slots, 0);
            }
            Accumulator::Floats { sums, counts, .. } => {
                sums.resize(slots, 0.0);
                counts.resize(slots, 0);
            }
            Accumulator::Decimals { sums, wraps, counts, .. } => {
                sums.resize(slots, 0);
                wraps.resize(slots, 0);
                counts.resize(slots, 0);
            }
            Accumulator::ExtremeIntegers { values, seen, .. } => {
                values.resize(slots, 0);
                seen.resize(slots, false);
            }
            Accumulator::ExtremeDecimals { values, .. } => values.resize(slots, None),
            Accumulator::ExtremeFloats { values, seen, .. } => {
                values.resize(slots, 0.0);
                seen.resize(slots, false);
            }
            Accumulator::ExtremeBytes { values, .. } => values.resize(slots, None),
            Accumulator::Ordered { values, .. } => values.resize(slots, None),
            Accumulator::Deviations { counts, means, squares } => {
                counts.resize(slots, 0);
                means.resize(slots, 0.0);
                squares.resize(slots, 0.0);
            }
            Accumulator::Gathered(gathered) => gathered.grow(slots),
            Accumulator::Distinct(distinct) => distinct.inner.grow(slots),
        }
    }

    /// Takes in rows: `slots[n]` is the slot of row `rows[n]`; `sequence` is the number, since the job
    /// began, of the row that has ordinal 0 in this step.
    pub(crate) fn update(
        &mut self,
        slots: &[u32],
        rows: &[u32],
        argument: &Argument,
        ordinals: &[u64],
        sequence: u64,
    ) -> Result<(), DataflowError> {
        match (self, &argument.values) {
            (Accumulator::Count { counts }, _) => argument.for_each(slots, rows, |slot, _| counts[slot] += 1),
            (
                Accumulator::SumIntegers { sums, counts, .. } | Accumulator::AvgIntegers { sums, counts, .. },
                Values::Integers(values),
            ) => argument.for_each(slots, rows, |slot, row| {
                sums[slot] = sums[slot].wrapping_add(values[row]);
                counts[slot] += 1;
            }),
            (Accumulator::SumFloats32 { sums, counts }, Values::Floats(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    add_first(&mut sums[slot], &mut counts[slot], values[row] as f32);
                });
            }
            (Accumulator::Floats { sums, counts, .. }, Values::Floats(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    add_first(&mut sums[slot], &mut counts[slot], values[row]);
                });
            }
            (Accumulator::Decimals { sums, wraps, counts, .. }, Values::Decimals(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    add_wide(&mut sums[slot], &mut wraps[slot], values[row], 0);
                    counts[slot] += 1;
                });
            }
            (Accumulator::ExtremeIntegers { values, seen, greatest, .. }, Values::Integers(new)) => {
                argument.for_each(slots, rows, |slot, row| {
                    replace(&mut values[slot], &mut seen[slot], new[row], *greatest);
                });
            }
            (Accumulator::ExtremeFloats { values, seen, greatest, .. }, Values::Floats(new)) => {
                argument.for_each(slots, rows, |slot, row| {
                    replace(&mut values[slot], &mut seen[slot], new[row], *greatest);
                });
            }
            (Accumulator::ExtremeDecimals { values, greatest, .. }, Values::Decimals(new)) => {
                argument.for_each(slots, rows, |slot, row| {
                    if values[slot].is_none_or(|old| if *greatest { new[row] > old } else { new[row] < old })
                    {
                        values[slot] = Some(new[row]);
                    }
                });
            }
            (Accumulator::ExtremeBytes { values, greatest, .. }, Values::Strings(new)) => {
                argument.for_each(slots, rows, |slot, row| {
                    replace_bytes(&mut values[slot], new.value(row).as_bytes(), *greatest);
                });
            }
            (Accumulator::ExtremeBytes { values, greatest, .. }, Values::Bytes(new)) => {
                argument.for_each(slots, rows, |slot, row| {
                    replace_bytes(&mut values[slot], new.value(row), *greatest)
                });
            }
            (Accumulator::Ordered { values, last, .. }, Values::Encoded(new)) => {
                argument.for_each(slots, rows, |slot, row| {
                    let number = sequence.wrapping_add(ordinals[row]);
                    replace_ordered(&mut values[slot], number, new.bytes(row), *last);
                });
            }
            (Accumulator::Deviations { counts, means, squares }, Values::Floats(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    deviate(&mut counts[slot], &mut means[slot], &mut squares[slot], values[row]);
                });
            }
            (Accumulator::Gathered(gathered), Values::Encoded(new)) => {
                gathered.update(slots, rows, argument, new);
            }
            (Accumulator::Distinct(distinct), Values::Encoded(new)) => {
                return distinct.update(slots, rows, argument, new);
            }
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    /// Merges the state of a slice whose slot `n` is our slot `slots[n]`.
    pub(crate) fn merge(&mut self, other: &Accumulator, slots: &[u32]) -> Result<(), DataflowError> {
        let pairs = || slots.iter().map(|slot| *slot as usize).enumerate();
        match (self, other) {
            (Accumulator::Count { counts }, Accumulator::Count { counts: more }) => {
                pairs().for_each(|(from, to)| counts[to] += more[from]);
            }
            (
                Accumulator::SumIntegers { sums, counts, .. },
                Accumulator::SumIntegers { sums: more, counts: more_counts, .. },
            )
            | (
                Accumulator::AvgIntegers { sums, counts, .. },
                Accumulator::AvgIntegers { sums: more, counts: more_counts, .. },
            ) => pairs().for_each(|(from, to)| {
                sums[to] = sums[to].wrapping_add(more[from]);
                counts[to] += more_counts[from];
            }),
            (
                Accumulator::SumFloats32 { sums, counts },
                Accumulator::SumFloats32 { sums: more, counts: more_counts },
            ) => pairs().for_each(|(from, to)| {
                merge_first(&mut sums[to], &mut counts[to], more[from], more_counts[from]);
            }),
            (
                Accumulator::Floats { sums, counts, .. },
                Accumulator::Floats { sums: more, counts: more_counts, .. },
            ) => pairs().for_each(|(from, to)| {
                merge_first(&mut sums[to], &mut counts[to], more[from], more_counts[from]);
            }),
            (
                Accumulator::Decimals { sums, wraps, counts, .. },
                Accumulator::Decimals { sums: more, wraps: more_wraps, counts: more_counts, .. },
            ) => pairs().for_each(|(from, to)| {
                add_wide(&mut sums[to], &mut wraps[to], more[from], more_wraps[from]);
                counts[to] += more_counts[from];
            }),
            (
                Accumulator::ExtremeIntegers { values, seen, greatest, .. },
                Accumulator::ExtremeIntegers { values: new, seen: new_seen, .. },
            ) => pairs().filter(|(from, _)| new_seen[*from]).for_each(|(from, to)| {
                replace(&mut values[to], &mut seen[to], new[from], *greatest);
            }),
            (
                Accumulator::ExtremeFloats { values, seen, greatest, .. },
                Accumulator::ExtremeFloats { values: new, seen: new_seen, .. },
            ) => pairs().filter(|(from, _)| new_seen[*from]).for_each(|(from, to)| {
                replace(&mut values[to], &mut seen[to], new[from], *greatest);
            }),
            (
                Accumulator::ExtremeDecimals { values, greatest, .. },
                Accumulator::ExtremeDecimals { values: new, .. },
            ) => pairs().for_each(|(from, to)| {
                let Some(new) = new[from] else { return };
                if values[to].is_none_or(|old| if *greatest { new > old } else { new < old }) {
                    values[to] = Some(new);
                }
            }),
            (
                Accumulator::ExtremeBytes { values, greatest, .. },
                Accumulator::ExtremeBytes { values: new, .. },
            ) => {
                pairs().for_each(|(from, to)| {
                    if let Some(new) = &new[from] {
                        replace_bytes(&mut values[to], new, *greatest);
                    }
                });
            }
            (Accumulator::Ordered { values, last, .. }, Accumulator::Ordered { values: new, .. }) => {
                pairs().for_each(|(from, to)| {
                    if let Some((number, bytes)) = &new[from] {
                        replace_ordered(&mut values[to], *number, bytes, *last);
                    }
                });
            }
            (
                Accumulator::Deviations { counts, means, squares },
                Accumulator::Deviations { counts: more, means: more_means, squares: more_squares },
            ) => pairs().filter(|(from, _)| more[*from] > 0).for_each(|(from, to)| {
                if counts[to] == 0 {
                    (counts[to], means[to], squares[to]) = (more[from], more_means[from], more_squares[from]);
                    return;
                }
                let total = counts[to] + more[from];
                let distance = more_means[from] - means[to];
                let own = counts[to] as f64;
                means[to] += more[from] as f64 / total as f64 * distance;
                squares[to] = squares[to]
                    + more_squares[from]
                    + own * more[from] as f64 / total as f64 * distance * distance;
                counts[to] = total;
            }),
            (Accumulator::Gathered(gathered), Accumulator::Gathered(more)) => gathered.merge(more, slots),
            (Accumulator::Distinct(distinct), Accumulator::Distinct(other)) => {
                return distinct.merge(other, slots);
            }
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    /// The results of some slots, in their order.
    pub(crate) fn finish(&self, slots: &[u32]) -> Result<ArrayRef, DataflowError> {
        let slots_of = || slots.iter().map(|slot| *slot as usize);
        match self {
            Accumulator::Count { counts } => {
                integer_column(slots_of().map(|slot| counts[slot]).collect(), None, &DataType::Int64)
            }
            Accumulator::SumIntegers { sums, counts, result } => {
                integer_column(slots_of().map(|slot| sums[slot]).collect(), counted(counts, slots), result)
            }
            Accumulator::AvgIntegers { sums, counts, result } => {
                let average = |slot: usize| sums[slot].checked_div(counts[slot]).unwrap_or(0);
                integer_column(slots_of().map(average).collect(), counted(counts, slots), result)
            }
            Accumulator::SumFloats32 { sums, counts } => {
                let values = slots_of().map(|slot| f64::from(sums[slot])).collect();
                float_column(values, counted(counts, slots), &DataType::Float32)
            }
            Accumulator::Floats { sums, counts, average, result } => {
                let value =
                    |slot: usize| if *average { sums[slot] / counts[slot] as f64 } else { sums[slot] };
                float_column(slots_of().map(value).collect(), counted(counts, slots), result)
            }
            Accumulator::Decimals { sums, wraps, counts, average, shift, result } => {
                let value = |slot: usize| {
                    let sum = (counts[slot] > 0 && wraps[slot] == 0).then_some(sums[slot])?;
                    if *average { average_of(sum, counts[slot], *shift) } else { Some(sum) }
                };
                decimal_column(slots_of().map(value).collect(), result)
            }
            Accumulator::ExtremeIntegers { values, seen, result, .. } => {
                let nulls = slots_of().map(|slot| seen[slot]).collect();
                integer_column(slots_of().map(|slot| values[slot]).collect(), Some(nulls), result)
            }
            Accumulator::ExtremeFloats { values, seen, result, .. } => {
                let nulls = slots_of().map(|slot| seen[slot]).collect();
                float_column(slots_of().map(|slot| values[slot]).collect(), Some(nulls), result)
            }
            Accumulator::ExtremeDecimals { values, result, .. } => {
                decimal_column(slots_of().map(|slot| values[slot]).collect(), result)
            }
            Accumulator::ExtremeBytes { values, result, .. } => {
                super::columns::bytes_column(slots_of().map(|slot| values[slot].as_deref()), result)
            }
            Accumulator::Ordered { values, encoder, result, .. } => {
                let encoder = encoder.as_ref().ok_or_else(mismatch)?;
                super::columns::encoded_column(
                    encoder,
                    slots_of().map(|slot| values[slot].as_ref().map(|v| &*v.1)),
                    result,
                )
            }
            Accumulator::Deviations { counts, squares, .. } => {
                let nulls = slots_of().map(|slot| counts[slot] > 0 && squares[slot] >= 0.0).collect();
                float_column(slots_of().map(|slot| squares[slot]).collect(), Some(nulls), &DataType::Float64)
            }
            Accumulator::Gathered(gathered) => gathered.finish(slots),
            Accumulator::Distinct(distinct) => distinct.inner.finish(slots),
        }
    }
}

fn counted(counts: &[i64], slots: &[u32]) -> Option<NullBuffer> {
    let nulls: NullBuffer = slots.iter().map(|slot| counts[*slot as usize] > 0).collect();
    (nulls.null_count() > 0).then_some(nulls)
}

/// One more value.
pub(super) fn deviate(count: &mut i64, mean: &mut f64, squares: &mut f64, value: f64) {
    *count += 1;
    let before = value - *mean;
    *mean += before / *count as f64;
    *squares += before * (value - *mean);
}

/// The first value is taken as it is (0 + -0.0 would lose the sign).
pub(crate) fn add_first<T: std::ops::AddAssign>(sum: &mut T, count: &mut i64, value: T) {
    if *count == 0 {
        *sum = value;
    } else {
        *sum += value;
    }
    *count += 1;
}

fn merge_first<T: std::ops::AddAssign>(sum: &mut T, count: &mut i64, value: T, values: i64) {
    if values == 0 {
        return;
    }
    add_first(sum, count, value);
    *count += values - 1;
}

pub(crate) fn add_wide(sum: &mut i128, wraps: &mut i64, value: i128, value_wraps: i64) {
    let (total, wrapped) = sum.overflowing_add(value);
    *sum = total;
    let carry = if !wrapped {
        0
    } else if value >= 0 {
        1
    } else {
        -1
    };
    *wraps = wraps.wrapping_add(value_wraps).wrapping_add(carry);
}

fn replace<T: PartialOrd>(value: &mut T, seen: &mut bool, new: T, greatest: bool) {
    if !*seen || (greatest && new > *value) || (!greatest && new < *value) {
        *value = new;
        *seen = true;
    }
}

fn replace_bytes(value: &mut Option<Box<[u8]>>, new: &[u8], greatest: bool) {
    if value.as_deref().is_none_or(|old| if greatest { new > old } else { new < old }) {
        *value = Some(new.into());
    }
}

fn replace_ordered(value: &mut Option<(u64, Box<[u8]>)>, number: u64, new: &[u8], last: bool) {
    if value.as_ref().is_none_or(|(old, _)| if last { number >= *old } else { number < *old }) {
        *value = Some((number, new.into()));
    }
}

/// `sum * 10^shift / count`, rounded half up (away from zero), as Flink divides decimals.
fn average_of(sum: i128, count: i64, shift: u32) -> Option<i128> {
    let count = i128::from(count);
    let mut quotient = sum.checked_div(count)?;
    let mut rest = sum % count;
    for _ in 0..shift {
        quotient = quotient.checked_mul(10)?.checked_add(rest * 10 / count)?;
        rest = rest * 10 % count;
    }
    let up = rest.unsigned_abs() * 2 >= count.unsigned_abs();
    if up { quotient.checked_add(if sum < 0 { -1 } else { 1 }) } else { Some(quotient) }
}
