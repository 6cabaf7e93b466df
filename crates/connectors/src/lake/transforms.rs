//! What partitions are made of: a column's value, or what a transform of Iceberg's specification makes of it.

use super::values::Value;

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transform {
    Identity,
    Year,
    Month,
    Day,
    Hour,
    Bucket(u32),
    Truncate(u32),
    /// Always NULL: a partition that is no more.
    Void,
}

impl Transform {
    /// As the specification writes it.
    pub(crate) fn parse(text: &str) -> Option<Transform> {
        let number = |name: &str| {
            let number = text.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
            number.parse::<u32>().ok().filter(|number| (1..=i32::MAX as u32).contains(number))
        };
        Some(match text {
            "identity" => Transform::Identity,
            "year" => Transform::Year,
            "month" => Transform::Month,
            "day" => Transform::Day,
            "hour" => Transform::Hour,
            "void" => Transform::Void,
            _ => match (number("bucket"), number("truncate")) {
                (Some(count), _) => Transform::Bucket(count),
                (_, Some(width)) => Transform::Truncate(width),
                _ => return None,
            },
        })
    }

    /// None where it takes no such values.
    pub(crate) fn apply(self, value: &Value) -> Option<Value> {
        if *value == Value::Null || self == Transform::Void {
            return Some(Value::Null);
        }
        Some(match (self, value) {
            (Transform::Identity, value) => value.clone(),
            (Transform::Year, value) => Value::Int(i32::try_from(months(value)?.div_euclid(12)).ok()?),
            (Transform::Month, value) => Value::Int(i32::try_from(months(value)?).ok()?),
            (Transform::Day, value) => Value::Date(i32::try_from(days(value)?).ok()?),
            (Transform::Hour, Value::Timestamp(micros)) => {
                Value::Int(i32::try_from(micros.div_euclid(MICROS_PER_HOUR)).ok()?)
            }
            (Transform::Bucket(count), value) => {
                let hash = hash(value)? & i32::MAX as u32;
                Value::Int((hash % count) as i32)
            }
            (Transform::Truncate(width), Value::Int(number)) => {
                let width = i64::from(width);
                let number = i64::from(*number);
                // What would lie below the least wraps around, as in Java.
                Value::Int((number - number.rem_euclid(width)) as i32)
            }
            (Transform::Truncate(width), Value::Long(number)) => {
                Value::Long(number.wrapping_sub(number.rem_euclid(i64::from(width))))
            }
            (Transform::Truncate(width), Value::Decimal(number, scale)) => {
                Value::Decimal(number.wrapping_sub(number.rem_euclid(i128::from(width))), *scale)
            }
            (Transform::Truncate(width), Value::Text(text)) => {
                Value::Text(super::values::shortened_min(text, width as usize).into())
            }
            (Transform::Truncate(width), Value::Bytes(bytes)) => {
                Value::Bytes(bytes[..bytes.len().min(width as usize)].to_vec())
            }
            _ => return None,
        })
    }

    /// What stands in the folder of a partition, for people.
    pub(crate) fn shown(self, value: &Value) -> Option<String> {
        let Value::Int(number) = value else { return value.text() };
        let number = i64::from(*number);
        let month =
            |months: i64| format!("{}-{:02}", 1970 + months.div_euclid(12), months.rem_euclid(12) + 1);
        Some(match self {
            Transform::Year => (1970 + number).to_string(),
            Transform::Month => month(number),
            Transform::Hour => {
                let day = Value::Date(number.div_euclid(24) as i32).text()?;
                format!("{day}-{:02}", number.rem_euclid(24))
            }
            _ => number.to_string(),
        })
    }
}

fn days(value: &Value) -> Option<i64> {
    match value {
        Value::Date(days) => Some((*days).into()),
        Value::Timestamp(micros) => Some(micros.div_euclid(MICROS_PER_DAY)),
        _ => None,
    }
}

/// Months since 1970. Of days since then, by the civil calendar over eras of 400 years.
fn months(value: &Value) -> Option<i64> {
    let days = days(value)? + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    // Years begin with March here.
    Some((era * 400 + year) * 12 + month + 2 - 1970 * 12)
}

/// The hash of a value: whole numbers as 64 bits, so that INT and BIGINT lie in one bucket.
fn hash(value: &Value) -> Option<u32> {
    Some(match value {
        Value::Int(number) | Value::Date(number) => murmur3(&i64::from(*number).to_le_bytes()),
        Value::Long(number) | Value::Time(number) | Value::Timestamp(number) => {
            murmur3(&number.to_le_bytes())
        }
        Value::Decimal(number, _) => murmur3(&shortest(*number)),
        Value::Text(text) => murmur3(text.as_bytes()),
        Value::Bytes(bytes) => murmur3(bytes),
        _ => return None,
    })
}

/// A number in two's complement, the highest byte first, with no byte more than it needs.
pub(crate) fn shortest(number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let fill = if number < 0 { 0xff } else { 0 };
    let mut start = 0;
    while start < 15 && bytes[start] == fill && (bytes[start + 1] & 0x80) == (fill & 0x80) {
        start += 1;
    }
    bytes[start..].to_vec()
}

/// Murmur3 of 32 bits for x86, with the seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mixed = |block: u32| block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let mut hash = 0u32;
    let (blocks, rest) = bytes.as_chunks::<4>();
    for block in blocks {
        hash = (hash ^ mixed(u32::from_le_bytes(*block))).rotate_left(13);
        hash = hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !rest.is_empty() {
        let block = rest.iter().rev().fold(0, |block, byte| block << 8 | u32::from(*byte));
        hash ^= mixed(block);
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of the appendix "32-bit hash requirements" of Iceberg's specification.
    #[test]
    fn hashes_are_those_of_the_specification() {
        let micros = 1_510_871_468_000_000;
        for (value, expected) in [
            (Value::Int(34), 2017239379),
            (Value::Long(34), 2017239379),
            (Value::Decimal(1420, 2), -500754589),
            (Value::Date(17486), -653330422),
            (Value::Time(81_068_000_000), -662762989),
            (Value::Timestamp(micros), -2047944441),
            (Value::Text("iceberg".into()), 1210000089),
            (Value::Bytes(vec![0, 1, 2, 3]), -188683207),
        ] {
            assert_eq!(hash(&value).map(|hash| hash as i32), Some(expected), "{value:?}");
        }
        assert_eq!(hash(&Value::Boolean(true)), None);
    }

    #[test]
    fn transforms_give_what_the_specification_says() {
        // 2017-11-16T22:31:08, and a moment before 1970.
        let late = Value::Timestamp(1_510_871_468_000_000);
        let early = Value::Timestamp(-1);
        for (transform, value, expected, shown) in [
            ("year", &late, Value::Int(47), "2017"),
            ("month", &late, Value::Int(574), "2017-11"),
            ("day", &late, Value::Date(17486), "2017-11-16"),
            ("hour", &late, Value::Int(419686), "2017-11-16-22"),
            ("year", &early, Value::Int(-1), "1969"),
            ("month", &early, Value::Int(-1), "1969-12"),
            ("day", &early, Value::Date(-1), "1969-12-31"),
            ("hour", &early, Value::Int(-1), "1969-12-31-23"),
            ("month", &Value::Date(59), Value::Int(2), "1970-03"),
            ("bucket[16]", &Value::Int(34), Value::Int(3), "3"),
            ("truncate[10]", &Value::Int(-1), Value::Int(-10), "-10"),
            ("truncate[50]", &Value::Decimal(1065, 2), Value::Decimal(1050, 2), "10.50"),
            ("truncate[3]", &Value::Text("iceberg".into()), Value::Text("ice".into()), "ice"),
        ] {
            let found = Transform::parse(transform).unwrap();
            let made = found.apply(value).unwrap();
            assert_eq!((&made, found.shown(&made).as_deref()), (&expected, Some(shown)), "{transform}");
        }
        assert_eq!(Transform::Void.apply(&late), Some(Value::Null));
        assert_eq!(Transform::Day.apply(&Value::Int(1)), None);
        assert_eq!(Transform::Bucket(4).apply(&Value::Null), Some(Value::Null));
        for unknown in ["bucket[0]", "bucket[x]", "zorder", "truncate", "bucket[4"] {
            assert_eq!(Transform::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn numbers_take_as_few_bytes_as_they_can() {
        for (number, bytes) in [
            (0, vec![0]),
            (-1, vec![0xff]),
            (127, vec![0x7f]),
            (128, vec![0, 0x80]),
            (-128, vec![0x80]),
            (-129, vec![0xff, 0x7f]),
        ] {
            assert_eq!(shortest(number), bytes, "{number}");
        }
    }
}
