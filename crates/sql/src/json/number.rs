//! Numbers of JSON: written as Java's BigDecimal writes them, and compared by their values, whatever their size.

use std::cmp::Ordering;

/// A number in its normal form: `12`, `1.50`, `1.5E+10`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) text: String,
    /// Without a fraction and an exponent in the text.
    pub(crate) is_integer: bool,
    /// With an exponent in the text.
    pub(crate) has_exponent: bool,
}

/// Digits without leading zeros, and how many of them stand behind the point.
struct Parts<'n> {
    negative: bool,
    digits: std::borrow::Cow<'n, str>,
    scale: i64,
}

impl Number {
    /// From a number as JSON, SQL or Java writes it; `None` where the exponent is beyond reason.
    pub(crate) fn read(text: &str, is_integer: bool) -> Option<Number> {
        let parts = Parts::of(text)?;
        Some(Number { text: parts.text(), is_integer, has_exponent: text.contains(['e', 'E']) })
    }

    pub(crate) fn integer(value: i64) -> Number {
        Number { text: value.to_string(), is_integer: true, has_exponent: false }
    }

    /// As the functions of paths give it, and Java writes it.
    pub(crate) fn double(value: f64) -> Number {
        Number { text: base::java_number::double_to_string(value), is_integer: false, has_exponent: false }
    }

    pub(crate) fn to_f64(&self) -> f64 {
        self.text.parse().unwrap_or(f64::NAN)
    }

    /// Without zeros at its end, and without an exponent where the number is not much longer than its digits.
    pub(crate) fn stripped(&self) -> Number {
        let Some(parts) = Parts::of(&self.text) else { return self.clone() };
        let kept = parts.digits.trim_end_matches('0');
        let dropped = (parts.digits.len() - kept.len()) as i64;
        let parts = match kept {
            "" => Parts { negative: false, digits: "0".into(), scale: 0 },
            kept => Parts { negative: parts.negative, digits: kept.into(), scale: parts.scale - dropped },
        };
        Number { text: parts.text(), is_integer: parts.scale <= 0, has_exponent: false }
    }

    /// Plainly, without an exponent; `None` where that would be thousands of digits.
    pub(crate) fn plain(&self) -> Option<String> {
        const ZEROS_MAX: i64 = 4_000;
        let parts = Parts::of(&self.text)?;
        let sign = if parts.negative { "-" } else { "" };
        let count = parts.digits.len() as i64;
        if parts.scale.abs() > ZEROS_MAX {
            return None;
        }
        Some(if parts.scale <= 0 {
            format!("{sign}{}{}", parts.digits, "0".repeat(-parts.scale as usize))
        } else if count > parts.scale {
            let (whole, fraction) = parts.digits.split_at((count - parts.scale) as usize);
            format!("{sign}{whole}.{fraction}")
        } else {
            format!("{sign}0.{}{}", "0".repeat((parts.scale - count) as usize), parts.digits)
        })
    }
}

impl PartialOrd for Number {
    /// By value.
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        let (a, b) = (Parts::of(&self.text)?, Parts::of(&other.text)?);
        let signs = |parts: &Parts<'_>| match (parts.digits.as_ref(), parts.negative) {
            ("0", _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let (left, right) = (signs(&a), signs(&b));
        if left != right || left == 0 {
            return Some(left.cmp(&right));
        }
        let size = a.exponent().cmp(&b.exponent()).then_with(|| {
            let (x, y) = (a.digits.trim_end_matches('0'), b.digits.trim_end_matches('0'));
            x.cmp(y)
        });
        Some(if left < 0 { size.reverse() } else { size })
    }
}

impl<'n> Parts<'n> {
    fn of(text: &'n str) -> Option<Parts<'n>> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        if exponent.unsigned_abs() > i32::MAX as u64 {
            return None;
        }
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: std::borrow::Cow<'n, str> = match fraction {
            "" => whole.into(),
            fraction => format!("{whole}{fraction}").into(),
        };
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let scale = fraction.len() as i64 - exponent;
        let zeros = (all.len() - all.trim_start_matches('0').len()).min(all.len() - 1);
        let digits = if zeros == 0 { all } else { all[zeros..].to_string().into() };
        let negative = negative && digits != "0";
        Some(Parts { negative, digits, scale })
    }

    /// The power of ten of the first digit.
    fn exponent(&self) -> i64 {
        self.digits.len() as i64 - 1 - self.scale
    }

    /// As `BigDecimal.toString`.
    fn text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let count = self.digits.len() as i64;
        let exponent = self.exponent();
        if self.scale >= 0 && exponent >= -6 {
            if self.scale == 0 {
                return format!("{sign}{}", self.digits);
            }
            if count > self.scale {
                let (whole, fraction) = self.digits.split_at((count - self.scale) as usize);
                return format!("{sign}{whole}.{fraction}");
            }
            return format!("{sign}0.{}{}", "0".repeat((self.scale - count) as usize), self.digits);
        }
        let (first, rest) = self.digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let plus = if exponent > 0 { "+" } else { "" };
        match exponent {
            0 => format!("{sign}{first}{point}{rest}"),
            _ => format!("{sign}{first}{point}{rest}E{plus}{exponent}"),
        }
    }
}
