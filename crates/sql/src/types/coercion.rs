//! Which casts happen by themselves, which may be written, and what type holds two others.

use super::{LENGTH_MAX, LogicalType, RowField, TypeKind, decimal};

/// The digits of an exact number type, as decimal arithmetic sees it.
pub(crate) fn exact_digits(kind: &TypeKind) -> Option<decimal::Digits> {
    Some(match kind {
        TypeKind::TinyInt => (3, 0),
        TypeKind::SmallInt => (5, 0),
        TypeKind::Int => (10, 0),
        TypeKind::BigInt => (19, 0),
        TypeKind::Decimal { precision, scale } => (*precision, *scale),
        _ => return None,
    })
}

fn integer_rank(kind: &TypeKind) -> u8 {
    match kind {
        TypeKind::TinyInt => 1,
        TypeKind::SmallInt => 2,
        TypeKind::Int => 3,
        _ => 4,
    }
}

/// The type that holds the values of both without a written cast; `None` when there is none.
pub fn common_type(left: &LogicalType, right: &LogicalType) -> Option<LogicalType> {
    let nullable = left.nullable || right.nullable;
    common_kind(&left.kind, &right.kind).map(|kind| LogicalType { kind, nullable })
}

/// The same for COALESCE and for the arguments of functions, where DOUBLE holds FLOAT in whatever order.
pub fn wider_type(left: &LogicalType, right: &LogicalType) -> Option<LogicalType> {
    match (&left.kind, &right.kind) {
        (TypeKind::Float, TypeKind::Double) => common_type(right, left),
        _ => common_type(left, right),
    }
}

fn common_kind(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    use TypeKind::*;
    if left == right {
        return Some(left.clone());
    }
    Some(match (left, right) {
        (Null, other) | (other, Null) => other.clone(),
        (Char(a), Char(b)) => {
            // Flink pads no value: two lengths make a VARCHAR.
            VarChar(*a.max(b))
        }
        (Char(a) | VarChar(a), Char(b) | VarChar(b)) => VarChar(*a.max(b)),
        (Binary(a) | VarBinary(a), Binary(b) | VarBinary(b)) => VarBinary(*a.max(b)),
        // Flink takes the two for equally precise, so that the first stands.
        (Float, Double) => Float,
        (Double, other) | (other, Double) if other.is_numeric() => Double,
        (Float, other) | (other, Float) if other.is_decimal() => Double,
        (Float, other) | (other, Float) if other.is_numeric() => Float,
        (a, b) if a.is_integer() && b.is_integer() => {
            if integer_rank(a) >= integer_rank(b) {
                a.clone()
            } else {
                b.clone()
            }
        }
        (a, b) if a.is_exact() && b.is_exact() => {
            let (precision, scale) = decimal::common(exact_digits(a)?, exact_digits(b)?);
            Decimal { precision, scale }
        }
        (Timestamp(a), Timestamp(b)) => Timestamp(*a.max(b)),
        (TimestampLtz(a) | Timestamp(a), TimestampLtz(b) | Timestamp(b)) => TimestampLtz(*a.max(b)),
        (Date, Timestamp(p)) | (Timestamp(p), Date) => Timestamp(*p),
        (Date, TimestampLtz(p)) | (TimestampLtz(p), Date) => TimestampLtz(*p),
        (Time(a), Time(b)) => Time(*a.max(b)),
        (Array(a), Array(b)) => Array(Box::new(common_type(a, b)?)),
        (Multiset(a), Multiset(b)) => Multiset(Box::new(common_type(a, b)?)),
        (Map(k1, v1), Map(k2, v2)) => Map(Box::new(common_type(k1, k2)?), Box::new(common_type(v1, v2)?)),
        (Row(a), Row(b)) if a.len() == b.len() => Row(a
            .iter()
            .zip(b)
            .map(|(x, y)| {
                Some(RowField { name: x.name.clone(), data_type: common_type(&x.data_type, &y.data_type)? })
            })
            .collect::<Option<_>>()?),
        _ => return None,
    })
}

/// Whether a value of one type may stand where the other is wanted without a written cast: Flink's rule for
/// INSERT and for arguments. Nullability is looked at elsewhere.
pub fn implicitly_castable(from: &LogicalType, to: &LogicalType) -> bool {
    use TypeKind::*;
    match (&from.kind, &to.kind) {
        (Null, _) => true,
        (a, b) if a == b => true,
        (Char(_) | VarChar(_), Char(_) | VarChar(_)) => true,
        (Binary(_) | VarBinary(_), Binary(_) | VarBinary(_)) => true,
        (a, b) if a.is_integer() && b.is_integer() => integer_rank(a) <= integer_rank(b),
        (a, Decimal { .. }) if a.is_exact() => true,
        (a, Float | Double) if a.is_exact() => true,
        (Float, Double) => true,
        (Timestamp(_) | TimestampLtz(_) | Date, Timestamp(_) | TimestampLtz(_)) => true,
        (Time(_), Time(_)) => true,
        (Array(a), Array(b)) | (Multiset(a), Multiset(b)) => implicitly_castable(a, b),
        (Map(k1, v1), Map(k2, v2)) => implicitly_castable(k1, k2) && implicitly_castable(v1, v2),
        (Row(a), Row(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(x, y)| implicitly_castable(&x.data_type, &y.data_type))
        }
        _ => false,
    }
}

/// Whether CAST(from AS to) may be written. The text is what to do instead.
pub fn castable(from: &LogicalType, to: &LogicalType) -> Result<(), Option<&'static str>> {
    use TypeKind::*;
    let fits = match (&from.kind, &to.kind) {
        (Null, _) => true,
        (a, b) if a == b => true,
        (Row(a), Row(b)) => {
            return if a.len() == b.len() {
                a.iter().zip(b).try_for_each(|(x, y)| castable(&x.data_type, &y.data_type))
            } else {
                Err(None)
            };
        }
        (Array(a), Array(b)) | (Multiset(a), Multiset(b)) => return castable(a, b),
        (Map(k1, v1), Map(k2, v2)) => {
            castable(k1, k2)?;
            return castable(v1, v2);
        }
        (Variant, _) | (_, Variant) => {
            return Err(Some("JSON_STRING(value) is its text; JSON_VALUE takes a scalar out of a text"));
        }
        (_, Char(_) | VarChar(_)) => true,
        (Char(_) | VarChar(_), to) => !to.is_constructed() && !to.is_interval() && !matches!(to, Null),
        (a, b) if a.is_numeric() && b.is_numeric() => true,
        (Boolean, b) if b.is_numeric() => true,
        (a, Boolean) if a.is_numeric() => true,
        (Binary(_) | VarBinary(_), Binary(_) | VarBinary(_)) => true,
        (Date, Timestamp(_) | TimestampLtz(_)) => true,
        (Timestamp(_) | TimestampLtz(_), Date | Time(_)) => true,
        (Timestamp(_) | TimestampLtz(_), Timestamp(_) | TimestampLtz(_)) => true,
        (Time(_), Time(_) | Timestamp(_) | TimestampLtz(_)) => true,
        (a, b) if a.is_timestamp() && b.is_numeric() => {
            return Err(Some("use UNIX_TIMESTAMP(CAST(… AS STRING)) or TIMESTAMPDIFF"));
        }
        (a, b) if a.is_numeric() && b.is_timestamp() => {
            return Err(Some("use TO_TIMESTAMP_LTZ(value, 3)"));
        }
        (a, b) if a.is_integer() && b.is_interval() => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(None) }
}

/// Whether the values must be changed to become the other type (as opposed to a change of name only).
pub fn needs_cast(from: &LogicalType, to: &LogicalType) -> bool {
    use TypeKind::*;
    match (&from.kind, &to.kind) {
        (a, b) if a == b => false,
        // Every value fits a longer VARCHAR; a sink takes any text as it is.
        (VarChar(a) | Char(a), VarChar(b)) => b < a && *b != LENGTH_MAX,
        (Binary(a) | VarBinary(a), VarBinary(b)) => b < a,
        _ => from.to_arrow() != to.to_arrow() || !timestamps_agree(&from.kind, &to.kind),
    }
}

fn timestamps_agree(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind::*;
    match (from, to) {
        (Timestamp(a), Timestamp(b)) | (TimestampLtz(a), TimestampLtz(b)) | (Time(a), Time(b)) => a <= b,
        (Row(a), Row(b)) => a.iter().zip(b).all(|(x, y)| !needs_cast(&x.data_type, &y.data_type)),
        (Array(a), Array(b)) | (Multiset(a), Multiset(b)) => !needs_cast(a, b),
        (Map(k1, v1), Map(k2, v2)) => !needs_cast(k1, k2) && !needs_cast(v1, v2),
        (Char(_), Char(_)) | (VarChar(_), Char(_)) => false,
        (Binary(_), Binary(_)) | (VarBinary(_), Binary(_)) => false,
        _ => true,
    }
}
