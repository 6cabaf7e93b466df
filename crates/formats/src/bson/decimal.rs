//! Decimal128 of IEEE 754 with its coefficient as a binary integer: 34 digits and an exponent.

use std::fmt;

/// The bits, as they lie in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal128(pub u128);

const EXPONENT_BIAS: i32 = 6176;
const EXPONENT_MAX: i32 = 6111;
const EXPONENT_MIN: i32 = -6176;
/// One more than the greatest coefficient.
const COEFFICIENT_LIMIT: u128 = 10u128.pow(34);
const SIGN: u128 = 1 << 127;

/// What the bits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    NaN,
    Infinite { is_negative: bool },
    Finite { is_negative: bool, coefficient: u128, exponent: i32 },
}

impl Decimal128 {
    /// The number `value` with so many digits behind its point; none if 34 digits do not hold it.
    pub fn of(value: i128, scale: i8) -> Option<Decimal128> {
        let (mut coefficient, mut exponent) = (value.unsigned_abs(), -i32::from(scale));
        while coefficient >= COEFFICIENT_LIMIT && coefficient % 10 == 0 {
            coefficient /= 10;
            exponent += 1;
        }
        if coefficient >= COEFFICIENT_LIMIT || !(EXPONENT_MIN..=EXPONENT_MAX).contains(&exponent) {
            return None;
        }
        let sign = if value < 0 { SIGN } else { 0 };
        Some(Decimal128(sign | ((exponent + EXPONENT_BIAS) as u128) << 113 | coefficient))
    }

    pub(crate) fn parts(self) -> Parts {
        let is_negative = self.0 & SIGN != 0;
        match self.0 >> 122 & 0x1f {
            0x1f => Parts::NaN,
            0x1e => Parts::Infinite { is_negative },
            // The other form, whose coefficients are all too great, and so are zero.
            form if form >> 3 == 3 => {
                let exponent = (self.0 >> 111 & 0x3fff) as i32 - EXPONENT_BIAS;
                Parts::Finite { is_negative, coefficient: 0, exponent }
            }
            _ => {
                let exponent = (self.0 >> 113 & 0x3fff) as i32 - EXPONENT_BIAS;
                let coefficient = self.0 & ((1 << 113) - 1);
                let coefficient = if coefficient < COEFFICIENT_LIMIT { coefficient } else { 0 };
                Parts::Finite { is_negative, coefficient, exponent }
            }
        }
    }
}

/// As the vendor's drivers write it: with an exponent where zeros would be lost or many.
impl fmt::Display for Decimal128 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_negative, coefficient, exponent) = match self.parts() {
            Parts::NaN => return out.write_str("NaN"),
            Parts::Infinite { is_negative } => {
                return out.write_str(if is_negative { "-Infinity" } else { "Infinity" });
            }
            Parts::Finite { is_negative, coefficient, exponent } => (is_negative, coefficient, exponent),
        };
        if is_negative {
            out.write_str("-")?;
        }
        let digits = coefficient.to_string();
        let count = digits.len() as i32;
        let adjusted = exponent + count - 1;
        if exponent > 0 || adjusted < -6 {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let sign = if adjusted < 0 { "" } else { "+" };
            return write!(out, "{first}{point}{rest}E{sign}{adjusted}");
        }
        if exponent == 0 {
            return out.write_str(&digits);
        }
        let places = -exponent;
        if places < count {
            let (whole, fraction) = digits.split_at((count - places) as usize);
            return write!(out, "{whole}.{fraction}");
        }
        write!(out, "0.{}{digits}", "0".repeat((places - count) as usize))
    }
}
