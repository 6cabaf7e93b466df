//! Floating-point numbers as Java prints them, because Flink does: `1.0`, `0.1`, `1.0E10`, `NaN`.
//!
//! The digits are the shortest that identify the number (as in JDK 19 and later); between 1E-3 and
//! 1E7 they are written plainly, beyond with an exponent.

/// As `Double.toString`.
pub fn double_to_string(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    let mut text = format!("{number:e}");
    // Java writes two digits at least, and where one would do takes the nearest two: 4.9E-324, not 5.0E-324.
    if !text.contains('.') && number.is_finite() {
        let nearer = format!("{number:.1e}");
        if nearer.parse() == Ok(number) {
            text = nearer;
        }
    }
    java(&text, number.is_infinite())
}

/// As `Float.toString`.
pub fn float_to_string(number: f32) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    let mut text = format!("{number:e}");
    if !text.contains('.') && number.is_finite() {
        let nearer = format!("{number:.1e}");
        if nearer.parse() == Ok(number) {
            text = nearer;
        }
    }
    java(&text, number.is_infinite())
}

/// From Rust's shortest scientific form, `-1.25e-7`.
fn java(scientific: &str, is_infinite: bool) -> String {
    let (sign, rest) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    if is_infinite {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        significant => significant,
    };
    if digits == "0" {
        return format!("{sign}0.0");
    }
    if (-3..7).contains(&exponent) {
        if exponent < 0 {
            let zeros = "0".repeat((-exponent - 1) as usize);
            return format!("{sign}0.{zeros}{digits}");
        }
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
        }
        return format!("{sign}{}.{}", &digits[..whole], &digits[whole..]);
    }
    let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
    format!("{sign}{}.{fraction}E{exponent}", &digits[..1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_java_does() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-12.5, "-12.5"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.25e10, "1.25E10"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NEG_INFINITY, "-Infinity"),
            (5e-324, "4.9E-324"),
            (2e23, "2.0E23"),
            (-20.0, "-20.0"),
        ];
        for (number, text) in cases {
            assert_eq!(double_to_string(number), text);
        }
        assert_eq!(float_to_string(0.1), "0.1");
        assert_eq!(float_to_string(3.4028235e38), "3.4028235E38");
        assert_eq!(float_to_string(1e-45), "1.4E-45");
        assert_eq!(float_to_string(-0.0), "-0.0");
    }
}
