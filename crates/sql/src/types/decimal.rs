//! Precision and scale of decimal arithmetic, by Flink's rules (those of SQL Server and Hive).
//!
//! Where the exact result would need more than 38 digits, the integral digits are kept and the scale gives way,
//! but not below 6.

/// Flink's greatest precision.
pub const PRECISION_MAX: u8 = 38;
const SCALE_KEPT: i32 = 6;

/// A precision and a scale.
pub type Digits = (u8, u8);

fn adjust(precision: i32, scale: i32) -> Digits {
    let limit = i32::from(PRECISION_MAX);
    if precision <= limit {
        return (precision as u8, scale as u8);
    }
    let integral = precision - scale;
    let scale = (limit - integral).max(scale.min(SCALE_KEPT));
    (PRECISION_MAX, scale as u8)
}

fn wide((precision, scale): Digits) -> (i32, i32) {
    (i32::from(precision), i32::from(scale))
}

pub fn addition(left: Digits, right: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(left), wide(right));
    let scale = s1.max(s2);
    adjust((p1 - s1).max(p2 - s2) + scale + 1, scale)
}

pub fn multiplication(left: Digits, right: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(left), wide(right));
    adjust(p1 + p2 + 1, s1 + s2)
}

pub fn division(left: Digits, right: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(left), wide(right));
    let scale = SCALE_KEPT.max(s1 + p2 + 1);
    adjust(p1 - s1 + s2 + scale, scale)
}

pub fn modulo(left: Digits, right: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(left), wide(right));
    let scale = s1.max(s2);
    adjust((p1 - s1).min(p2 - s2) + scale, scale)
}

/// The type that holds the values of both.
pub fn common(left: Digits, right: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(left), wide(right));
    let scale = s1.max(s2);
    adjust((p1 - s1).max(p2 - s2) + scale, scale)
}

/// The type of ROUND(x, digits): one more integral digit when digits are cut off.
pub fn round((precision, scale): Digits, digits: i32) -> Digits {
    let (precision, scale) = (i32::from(precision), i32::from(scale));
    if digits >= scale {
        return (precision as u8, scale as u8);
    }
    if digits < 0 {
        let precision = (1 + precision - scale).min(i32::from(PRECISION_MAX));
        return (precision as u8, 0);
    }
    let precision = (1 + precision - scale + digits).min(i32::from(PRECISION_MAX));
    (precision as u8, digits as u8)
}
