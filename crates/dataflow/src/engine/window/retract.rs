//! Accumulators that take rows back: what the group aggregate needs beyond what windows do.
//!
//! Counts, integer and decimal sums are exact, so a row that goes leaves no trace. Float sums add and
//! subtract in the order of input. A sum from which the last value went begins anew: its rounding
//! errors do not outlive the values, nor does what a change to forgotten state left. Least and greatest values cannot be taken back from what
//! is kept here: whoever needs that keeps all values.

use super::super::error::DataflowError;
use super::accumulator::{Accumulator, add_first, add_wide, deviate};
use super::argument::{Argument, Values};

impl Accumulator {
    /// Takes rows in or back: `slots[n]` is the slot of row `rows[n]`, and `adds` says for each row of
    /// the batch whether it comes or goes.
    pub(crate) fn change(
        &mut self,
        slots: &[u32],
        rows: &[u32],
        argument: &Argument,
        adds: &[bool],
    ) -> Result<(), DataflowError> {
        let sign = |row: usize| if adds[row] { 1 } else { -1 };
        match (self, &argument.values) {
            (Accumulator::Count { counts }, _) => {
                argument.for_each(slots, rows, |slot, row| counts[slot] += sign(row));
            }
            (
                Accumulator::SumIntegers { sums, counts, .. } | Accumulator::AvgIntegers { sums, counts, .. },
                Values::Integers(values),
            ) => argument.for_each(slots, rows, |slot, row| {
                let change = if adds[row] { values[row] } else { values[row].wrapping_neg() };
                counts[slot] += sign(row);
                sums[slot] = if counts[slot] == 0 { 0 } else { sums[slot].wrapping_add(change) };
            }),
            (Accumulator::SumFloats32 { sums, counts }, Values::Floats(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    change_float(&mut sums[slot], &mut counts[slot], values[row] as f32, adds[row]);
                });
            }
            (Accumulator::Floats { sums, counts, .. }, Values::Floats(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    change_float(&mut sums[slot], &mut counts[slot], values[row], adds[row]);
                });
            }
            (Accumulator::Decimals { sums, wraps, counts, .. }, Values::Decimals(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    if adds[row] {
                        add_wide(&mut sums[slot], &mut wraps[slot], values[row], 0);
                    } else {
                        take_wide(&mut sums[slot], &mut wraps[slot], values[row]);
                    }
                    counts[slot] += sign(row);
                    if counts[slot] == 0 {
                        (sums[slot], wraps[slot]) = (0, 0);
                    }
                });
            }
            (Accumulator::Deviations { counts, means, squares }, Values::Floats(values)) => {
                argument.for_each(slots, rows, |slot, row| {
                    let (count, mean, squares) = (&mut counts[slot], &mut means[slot], &mut squares[slot]);
                    if adds[row] {
                        // What came after it went evens out.
                        if *count < 0 { *count += 1 } else { deviate(count, mean, squares, values[row]) }
                    } else {
                        take_back(count, mean, squares, values[row]);
                    }
                });
            }
            _ => return Err(DataflowError::internal("an aggregate cannot take rows back")),
        }
        Ok(())
    }
}

fn change_float<T>(sum: &mut T, count: &mut i64, value: T, add: bool)
where
    T: std::ops::AddAssign + std::ops::SubAssign + Default,
{
    if add {
        add_first(sum, count, value);
    } else {
        *sum -= value;
        *count -= 1;
    }
    if *count == 0 {
        *sum = T::default();
    }
}

/// One value less.
fn take_back(count: &mut i64, mean: &mut f64, squares: &mut f64, value: f64) {
    *count -= 1;
    if *count <= 0 {
        (*mean, *squares) = (0.0, 0.0);
        return;
    }
    let after = value - *mean;
    *mean -= after / *count as f64;
    *squares -= (value - *mean) * after;
}

pub(crate) fn take_wide(sum: &mut i128, wraps: &mut i64, value: i128) {
    let (total, wrapped) = sum.overflowing_sub(value);
    *sum = total;
    if wrapped {
        *wraps = wraps.wrapping_add(if value >= 0 { -1 } else { 1 });
    }
}
