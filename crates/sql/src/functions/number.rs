//! Number functions.

use super::Parameter::{BigInt, Double, Int, Number};
use super::*;
use crate::expression::arithmetic::{Operation, compute, decimal_column, rescale};
use crate::expression::value::{integers_column, texts_column};
use crate::types::decimal;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type};
use arrow_array::{Float32Array, Float64Array};
use std::sync::Arc;

const REAL: &[Signature] = &[signature(&[Double], returns_double)];

const fn real(
    name: &'static str,
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, String>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function { name, aliases: &[], signatures: REAL, evaluate, doc, examples, ..PLAIN }
}

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "ABS",
        signatures: &[signature(&[Number], returns_first)],
        evaluate: absolute,
        doc: "The absolute value.",
        examples: &[("ABS(-5)", "5"), ("ABS(-1.5)", "1.5")],
        ..PLAIN
    },
    Function {
        name: "SIGN",
        signatures: &[signature(&[Number], returns_first)],
        evaluate: sign,
        doc: "-1, 0 or 1.",
        examples: &[("SIGN(-5)", "-1"), ("SIGN(2e0)", "1.0")],
        ..PLAIN
    },
    Function {
        name: "MOD",
        signatures: &[signature(&[Number, Number], returns_modulo)],
        may_fail: true,
        evaluate: modulo,
        doc: "The rest of a division, with the sign of the dividend.",
        examples: &[("MOD(-7, 3)", "-1"), ("MOD(7, 3)", "1"), ("MOD(5.5, 2)", "1.5")],
        ..PLAIN
    },
    Function {
        name: "POWER",
        aliases: &["POW"],
        signatures: &[signature(&[Double, Double], returns_double)],
        evaluate: |call| two(call, f64::powf),
        doc: "The first number to the power of the second.",
        examples: &[("POWER(2, 10)", "1024.0")],
        ..PLAIN
    },
    Function {
        name: "ATAN2",
        signatures: &[signature(&[Double, Double], returns_double)],
        evaluate: |call| two(call, f64::atan2),
        doc: "The angle of a point.",
        examples: &[("ATAN2(0, 1)", "0.0")],
        ..PLAIN
    },
    real("SQRT", |call| one(call, f64::sqrt), "The square root.", &[("SQRT(4)", "2.0")]),
    real("LN", |call| one(call, f64::ln), "The natural logarithm.", &[("LN(1)", "0.0")]),
    real("LOG10", |call| one(call, f64::log10), "The logarithm to base 10.", &[("LOG10(100)", "2.0")]),
    real(
        "LOG2",
        |call| one(call, |number| number.ln() / 2_f64.ln()),
        "The logarithm to base 2.",
        &[("LOG2(8)", "3.0")],
    ),
    Function {
        name: "LOG",
        signatures: &[optional(&[Double, Double], 1, returns_double)],
        evaluate: logarithm,
        doc: "The natural logarithm, or that of the second argument to the base of the first.",
        examples: &[("LOG(1)", "0.0"), ("LOG(2, 8)", "3.0")],
        ..PLAIN
    },
    real("EXP", |call| one(call, f64::exp), "e to the power of the number.", &[("EXP(0)", "1.0")]),
    real("SIN", |call| one(call, f64::sin), "The sine.", &[("SIN(0)", "0.0")]),
    real("COS", |call| one(call, f64::cos), "The cosine.", &[("COS(0)", "1.0")]),
    real("TAN", |call| one(call, f64::tan), "The tangent.", &[("TAN(0)", "0.0")]),
    real("ASIN", |call| one(call, f64::asin), "The arc sine.", &[("ASIN(0)", "0.0")]),
    real("ACOS", |call| one(call, f64::acos), "The arc cosine.", &[("ACOS(1)", "0.0")]),
    real("ATAN", |call| one(call, f64::atan), "The arc tangent.", &[("ATAN(0)", "0.0")]),
    real(
        "COT",
        |call| one(call, |angle| 1.0 / angle.tan()),
        "The cotangent.",
        &[("COT(1)", "0.6420926159343306")],
    ),
    real("SINH", |call| one(call, f64::sinh), "The hyperbolic sine.", &[("SINH(0)", "0.0")]),
    real("COSH", |call| one(call, f64::cosh), "The hyperbolic cosine.", &[("COSH(0)", "1.0")]),
    real("TANH", |call| one(call, f64::tanh), "The hyperbolic tangent.", &[("TANH(0)", "0.0")]),
    real("DEGREES", |call| one(call, f64::to_degrees), "Radians as degrees.", &[("DEGREES(0)", "0.0")]),
    real("RADIANS", |call| one(call, f64::to_radians), "Degrees as radians.", &[("RADIANS(0)", "0.0")]),
    Function {
        name: "PI",
        signatures: &[signature(&[], returns_double)],
        nullability: Nullability::Never,
        evaluate: |call| Ok(Arc::new(Float64Array::from(vec![std::f64::consts::PI; call.rows]))),
        doc: "The circle's number.",
        examples: &[("PI()", "3.141592653589793")],
        ..PLAIN
    },
    Function {
        name: "E",
        signatures: &[signature(&[], returns_double)],
        nullability: Nullability::Never,
        evaluate: |call| Ok(Arc::new(Float64Array::from(vec![std::f64::consts::E; call.rows]))),
        doc: "Euler's number.",
        examples: &[("E()", "2.718281828459045")],
        ..PLAIN
    },
    Function {
        name: "CEIL",
        aliases: &["CEILING"],
        signatures: &[signature(&[Number], returns_whole)],
        evaluate: |call| whole(call, true),
        doc: "The least whole number that is not smaller.",
        examples: &[("CEIL(1.2)", "2"), ("CEIL(-1.2e0)", "-1.0")],
        ..PLAIN
    },
    Function {
        name: "FLOOR",
        signatures: &[signature(&[Number], returns_whole)],
        evaluate: |call| whole(call, false),
        doc: "The greatest whole number that is not greater.",
        examples: &[("FLOOR(1.8)", "1"), ("FLOOR(-1.2)", "-2")],
        ..PLAIN
    },
    Function {
        name: "ROUND",
        signatures: &[optional(&[Number, Int], 1, returns_first)],
        evaluate: |call| round(call, false),
        doc: "Rounded half away from zero to a number of decimal places, which may be negative.",
        examples: &[
            ("ROUND(2.5e0)", "3.0"),
            ("ROUND(-2.5e0)", "-3.0"),
            ("ROUND(1.25, 1)", "1.3"),
            ("ROUND(125, -1)", "130"),
            ("ROUND(646.646e0, 2)", "646.65"),
        ],
        ..PLAIN
    },
    Function {
        name: "TRUNCATE",
        signatures: &[optional(&[Number, Int], 1, returns_first)],
        evaluate: |call| round(call, true),
        doc: "Cut to a number of decimal places, which may be negative.",
        examples: &[
            ("TRUNCATE(42.345e0, 2)", "42.34"),
            ("TRUNCATE(42.345e0, -1)", "40.0"),
            ("TRUNCATE(-1.9e0)", "-1.0"),
        ],
        ..PLAIN
    },
    Function {
        name: "BIN",
        signatures: &[signature(&[BigInt], returns_text)],
        evaluate: |call| {
            let numbers = call.argument(0)?.integers()?;
            texts_column(call.rows, |row, out| match numbers.get(row) {
                Some(number) => {
                    out.push_str(&format!("{number:b}"));
                    true
                }
                None => false,
            })
        },
        doc: "The binary digits.",
        examples: &[("BIN(4)", "100"), ("BIN(12)", "1100")],
        ..PLAIN
    },
];

fn one(call: &Call<'_>, map: impl Fn(f64) -> f64) -> Result<ArrayRef, String> {
    let numbers = call.argument(0)?.numbers::<Float64Type>()?;
    Ok(Arc::new((0..call.rows).map(|row| numbers.get(row).map(&map)).collect::<Float64Array>()))
}

fn two(call: &Call<'_>, map: impl Fn(f64, f64) -> f64) -> Result<ArrayRef, String> {
    let (a, b) = (call.argument(0)?.numbers::<Float64Type>()?, call.argument(1)?.numbers::<Float64Type>()?);
    Ok(Arc::new((0..call.rows).map(|row| Some(map(a.get(row)?, b.get(row)?))).collect::<Float64Array>()))
}

fn logarithm(call: &Call<'_>) -> Result<ArrayRef, String> {
    if call.arguments.len() == 1 {
        one(call, f64::ln)
    } else {
        two(call, |base, value| value.ln() / base.ln())
    }
}

fn floats(call: &Call<'_>, map: impl Fn(f64) -> f64) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    if call.types[0].kind == TypeKind::Float {
        let numbers = value.numbers::<Float32Type>()?;
        let array: Float32Array =
            (0..call.rows).map(|row| numbers.get(row).map(|v| map(f64::from(v)) as f32)).collect();
        return Ok(Arc::new(array));
    }
    one(call, map)
}

fn absolute(call: &Call<'_>) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    match &call.types[0].kind {
        kind if kind.is_approximate() => floats(call, f64::abs),
        TypeKind::Decimal { precision, scale } => {
            let numbers = value.numbers::<Decimal128Type>()?;
            decimal_column((0..call.rows).map(|row| numbers.get(row).map(i128::abs)), *precision, *scale)
        }
        _ => {
            let numbers = value.integers()?;
            integers_column((0..call.rows).map(|row| numbers.get(row).map(i64::wrapping_abs)), call.result)
        }
    }
}

fn sign(call: &Call<'_>) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    match &call.types[0].kind {
        kind if kind.is_approximate() => {
            floats(call, |v| if v == 0.0 || v.is_nan() { v } else { v.signum() })
        }
        TypeKind::Decimal { precision, scale } => {
            let numbers = value.numbers::<Decimal128Type>()?;
            let unit = 10_i128.pow(u32::from(*scale));
            decimal_column(
                (0..call.rows).map(|row| numbers.get(row).map(|v| v.signum() * unit)),
                *precision,
                *scale,
            )
        }
        _ => {
            let numbers = value.integers()?;
            integers_column((0..call.rows).map(|row| numbers.get(row).map(i64::signum)), call.result)
        }
    }
}

/// The type of `a % b`, which has the divisor's width for integers.
fn returns_modulo(types: &[LogicalType]) -> TypeKind {
    use crate::types::TypeKind::Decimal;
    let [left, right] = types else { return TypeKind::Int };
    if left.kind.is_integer() && right.kind.is_integer() {
        return right.kind.clone();
    }
    match (exact(&left.kind), exact(&right.kind)) {
        (Some(a), Some(b)) => {
            let (precision, scale) = decimal::modulo(a, b);
            Decimal { precision, scale }
        }
        _ => TypeKind::Double,
    }
}

fn exact(kind: &TypeKind) -> Option<decimal::Digits> {
    crate::types::exact_digits(kind)
}

fn modulo(call: &Call<'_>) -> Result<ArrayRef, String> {
    use crate::expression::cast::{CastMode, cast};
    let (left, right) = (call.argument(0)?, call.argument(1)?);
    // Integers meet in BIGINT and are narrowed after; decimals keep their digits.
    let bring = |value: &Value, from: &LogicalType| {
        let wanted = match &call.result.kind {
            TypeKind::Double => TypeKind::Double,
            TypeKind::Decimal { .. } => {
                let (precision, scale) = exact(&from.kind).unwrap_or((38, 0));
                TypeKind::Decimal { precision, scale }
            }
            _ => TypeKind::BigInt,
        };
        cast(value, from, &wanted.nullable(), CastMode::default(), call.rows)
    };
    let (left, right) = (bring(left, &call.types[0])?, bring(right, &call.types[1])?);
    let result = compute(Operation::Modulo, &left, &right, call.result, call.rows)?;
    let rest = result.into_column(call.rows)?;
    if call.result.kind.is_integer() {
        let value = Value::Column(rest);
        let numbers = value.integers()?;
        return integers_column((0..call.rows).map(|row| numbers.get(row)), call.result);
    }
    Ok(rest)
}

/// FLOOR and CEIL of a decimal have no decimal places.
fn returns_whole(types: &[LogicalType]) -> TypeKind {
    match types.first().map(|data_type| &data_type.kind) {
        Some(TypeKind::Decimal { precision, .. }) => TypeKind::Decimal { precision: *precision, scale: 0 },
        Some(kind) => kind.clone(),
        None => TypeKind::Null,
    }
}

fn whole(call: &Call<'_>, up: bool) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    match &call.types[0].kind {
        kind if kind.is_approximate() => floats(call, if up { f64::ceil } else { f64::floor }),
        TypeKind::Decimal { precision, scale } => {
            let numbers = value.numbers::<Decimal128Type>()?;
            let unit = 10_i128.pow(u32::from(*scale));
            let values = (0..call.rows).map(|row| {
                numbers.get(row).map(|v| if up { -(-v).div_euclid(unit) } else { v.div_euclid(unit) })
            });
            decimal_column(values, *precision, 0)
        }
        _ => value.clone().into_column(call.rows),
    }
}

/// ROUND of a decimal: the result type is settled by the binder, which knows the literal number of places.
fn round(call: &Call<'_>, cut: bool) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    let places = call.arguments.get(1).map(Value::integers).transpose()?;
    let places = |row: usize| places.as_ref().map_or(Some(0), |places| places.get(row));
    match &call.types[0].kind {
        kind if kind.is_approximate() => {
            let single = *kind == TypeKind::Float;
            if single {
                let numbers = value.numbers::<Float32Type>()?;
                let array: Float32Array = (0..call.rows)
                    .map(|row| {
                        let (number, places) = (numbers.get(row)?, places(row)?);
                        Some(round_text(&number.to_string(), f64::from(number), places, cut) as f32)
                    })
                    .collect();
                return Ok(Arc::new(array));
            }
            let numbers = value.numbers::<Float64Type>()?;
            let array: Float64Array = (0..call.rows)
                .map(|row| {
                    let (number, places) = (numbers.get(row)?, places(row)?);
                    Some(round_double(number, places, cut))
                })
                .collect();
            Ok(Arc::new(array))
        }
        TypeKind::Decimal { scale, .. } => {
            let numbers = value.numbers::<Decimal128Type>()?;
            let TypeKind::Decimal { precision: to_precision, scale: to_scale } = call.result.kind else {
                return Err(format!("{} is no decimal type", call.result));
            };
            let values = (0..call.rows).map(|row| {
                let rounded = round_unscaled(numbers.get(row)?, i32::from(*scale), places(row)?, cut)?;
                rescale(rounded, i32::from(*scale), to_precision, to_scale)
            });
            decimal_column(values, to_precision, to_scale)
        }
        _ => {
            let numbers = value.integers()?;
            let values = (0..call.rows).map(|row| {
                round_unscaled(i128::from(numbers.get(row)?), 0, places(row)?, cut).map(|value| value as i64)
            });
            integers_column(values, call.result)
        }
    }
}

/// Rounds the unscaled value of a decimal at a number of places, keeping its scale.
fn round_unscaled(value: i128, scale: i32, places: i64, cut: bool) -> Option<i128> {
    let dropped = i64::from(scale) - places;
    if dropped <= 0 {
        return Some(value);
    }
    let Ok(dropped) = u32::try_from(dropped) else { return Some(0) };
    let Some(unit) = 10_i128.checked_pow(dropped) else { return Some(0) };
    let rest = value % unit;
    let base = value - rest;
    if cut || rest.abs() < unit - rest.abs() { Some(base) } else { base.checked_add(unit * rest.signum()) }
}

/// Numbers of this size have no digits after the point that a double could hold.
const DOUBLE_WHOLE_MIN: f64 = 9_007_199_254_740_992.0;

fn round_double(number: f64, places: i64, cut: bool) -> f64 {
    if !number.is_finite() || (places >= 0 && number.abs() >= DOUBLE_WHOLE_MIN) {
        return number;
    }
    round_text(&number.to_string(), number, places, cut)
}

/// Rounds through the shortest decimal text, as Java's BigDecimal.valueOf(x).setScale(n, HALF_UP) does: 1.005
/// rounds to 1.01 although the double lies below.
fn round_text(shortest: &str, number: f64, places: i64, cut: bool) -> f64 {
    let Some((unscaled, scale)) = crate::expression::cast::parse_decimal(shortest) else { return number };
    let scale_wanted = scale.max(0);
    let Some(unscaled) =
        10_i128.checked_pow((scale_wanted - scale) as u32).and_then(|u| unscaled.checked_mul(u))
    else {
        return number;
    };
    match round_unscaled(unscaled, scale_wanted, places, cut) {
        Some(rounded) => crate::expression::cast::decimal_to_double(rounded, scale_wanted),
        None => number,
    }
}
