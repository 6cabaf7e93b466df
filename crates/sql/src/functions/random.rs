//! Random values that are the same when a step is replayed.
//!
//! A random number is a function of the step (its clock, and how many rows were read before it), the node of the plan,
//! the call in the statement and the place of the row among those that reach the node; so a job that is restored draws
//! the same values again, and the number of workers does not matter. With a seed of the statement's own it is the number
//! that Java's `Random` with that seed gives at the row's place.

use super::Parameter::Int;
use super::*;
use crate::expression::value::texts_column;
use arrow_array::{Float64Array, Int32Array};
use std::fmt::Write;
use std::sync::Arc;

fn returns_uuid(_: &[LogicalType]) -> TypeKind {
    TypeKind::string()
}

/// Evaluated for every row; the last argument, which the binder adds, is the number of the call in the statement.
const RANDOM: Function = Function { is_random: true, ..PLAIN };

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "RAND",
        signatures: &[optional(&[Int], 1, returns_double)],
        evaluate: rand,
        doc: "A random number from 0 to less than 1. Rows get other numbers, but a replayed step gets the same again; with a seed they are those of Java's Random.",
        examples: &[("RAND() < 1", "TRUE"), ("RAND(5) >= 0", "TRUE")],
        ..RANDOM
    },
    Function {
        name: "RAND_INTEGER",
        signatures: &[signature(&[Int], returns_int), signature(&[Int, Int], returns_int)],
        may_fail: true,
        evaluate: rand_integer,
        doc: "A random integer from 0 to less than the last argument; before it may stand a seed.",
        examples: &[("RAND_INTEGER(1)", "0"), ("RAND_INTEGER(5, 10) < 10", "TRUE")],
        ..RANDOM
    },
    Function {
        name: "UUID",
        signatures: &[signature(&[], returns_uuid)],
        evaluate: uuid,
        doc: "A random UUID (version 4) for each row; a replayed step gets the same again.",
        examples: &[("CHAR_LENGTH(UUID())", "36")],
        ..RANDOM
    },
];

/// The finisher of SplitMix64: every bit of the result depends on every bit of the input.
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Random bits for a row; `part` is the number of the word of one value.
fn bits(call: &Call<'_>, row: usize, part: u64) -> Result<u64, String> {
    let site = call.arguments.last().ok_or("a random value without its place in the statement")?;
    let site = site.integers()?.get(0).unwrap_or_default() as u64;
    let seed = mixed(call.draw.seed ^ mixed(site.wrapping_mul(4).wrapping_add(part).wrapping_add(1)));
    Ok(mixed(seed.wrapping_add(call.draw.place(row).wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

fn rand(call: &Call<'_>) -> Result<ArrayRef, String> {
    let seeds = if call.arguments.len() > 1 { Some(call.argument(0)?.integers()?) } else { None };
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match &seeds {
            Some(seeds) => {
                // Each double takes two numbers of the generator.
                let place = call.draw.place(row).wrapping_mul(2);
                seeds.get(row).map(|seed| JavaRandom::at(seed, place).next_double())
            }
            None => Some((bits(call, row, 0)? >> 11) as f64 / (1_u64 << 53) as f64),
        });
    }
    Ok(Arc::new(Float64Array::from(out)))
}

fn rand_integer(call: &Call<'_>) -> Result<ArrayRef, String> {
    let with_seed = call.arguments.len() > 2;
    let bounds = call.argument(usize::from(with_seed))?.integers()?;
    let seeds = if with_seed { Some(call.argument(0)?.integers()?) } else { None };
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let Some(bound) = bounds.get(row) else {
            out.push(None);
            continue;
        };
        if bound <= 0 {
            return Err(format!("the bound of RAND_INTEGER is {bound}; it must be greater than 0"));
        }
        out.push(match &seeds {
            Some(seeds) => {
                let place = call.draw.place(row);
                seeds.get(row).map(|seed| JavaRandom::at(seed, place).next_below(bound as i32))
            }
            // The high half of a product: the bias of 64 bits over 31 cannot be noticed.
            None => Some(((u128::from(bits(call, row, 0)?) * bound as u128) >> 64) as i32),
        });
    }
    Ok(Arc::new(Int32Array::from(out)))
}

fn uuid(call: &Call<'_>) -> Result<ArrayRef, String> {
    let mut words = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        words.push((bits(call, row, 0)?, bits(call, row, 1)?));
    }
    texts_column(call.rows, |row, out| {
        let (high, low) = words[row];
        let high = high & !0xf000 | 0x4000;
        let low = low & (u64::MAX >> 2) | 1 << 63;
        write!(
            out,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
        .is_ok()
    })
}

/// The linear congruential generator of `java.util.Random`.
struct JavaRandom(u64);

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    /// Behind so many numbers: the steps are put together by squaring.
    fn at(seed: i64, mut count: u64) -> JavaRandom {
        let mut state = (seed as u64 ^ JavaRandom::MULTIPLIER) & JavaRandom::MASK;
        let (mut factor, mut summand) = (JavaRandom::MULTIPLIER, 0xb_u64);
        while count > 0 {
            if count & 1 == 1 {
                state = state.wrapping_mul(factor).wrapping_add(summand) & JavaRandom::MASK;
            }
            summand = summand.wrapping_mul(factor.wrapping_add(1)) & JavaRandom::MASK;
            factor = factor.wrapping_mul(factor) & JavaRandom::MASK;
            count >>= 1;
        }
        JavaRandom(state)
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(JavaRandom::MULTIPLIER).wrapping_add(0xb) & JavaRandom::MASK;
        (self.0 >> (48 - bits)) as i32
    }

    fn next_double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 / (1_u64 << 53) as f64
    }

    fn next_below(&mut self, bound: i32) -> i32 {
        let mut value = self.next(31);
        if bound & (bound - 1) == 0 {
            return ((i64::from(bound) * i64::from(value)) >> 31) as i32;
        }
        // Numbers of the last, incomplete round are thrown away.
        loop {
            let rest = value % bound;
            if value.wrapping_sub(rest).wrapping_add(bound - 1) >= 0 {
                return rest;
            }
            value = self.next(31);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::JavaRandom;

    /// What `new java.util.Random(seed)` gives, at its begin and further on.
    #[test]
    fn numbers_with_a_seed_are_those_of_java() {
        assert_eq!(JavaRandom::at(5, 0).next_double(), 0.730519863614471);
        assert_eq!(JavaRandom::at(5, 2).next_double(), 0.08825840967622589);
        assert_eq!(JavaRandom::at(7, 0).next_double(), 0.7306990420600421);
        assert_eq!(JavaRandom::at(5, 0).next_below(10), 7);
        assert_eq!(JavaRandom::at(3, 0).next_below(1000), 734);
        let mut stepped = JavaRandom::at(42, 0);
        for _ in 0..1_000 {
            stepped.next(31);
        }
        assert_eq!(stepped.0, JavaRandom::at(42, 1_000).0);
    }
}
