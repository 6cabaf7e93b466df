//! Numerics: PostgreSQL's binary form has groups of four decimal digits.

use super::parameter::Wrong;
use bytes::{Buf, BufMut, BytesMut};

const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// More digits than any numeric here has.
const GROUPS_MAX: usize = 32;

/// Writes a number given as its decimal text.
pub(super) fn write(text: &str, out: &mut BytesMut) {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (0, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let mut groups: Vec<u16> = Vec::new();
    let padded = format!("{whole:0>width$}", width = whole.len().div_ceil(4) * 4);
    let mut weight = (padded.len() / 4) as i16 - 1;
    let tail = format!("{fraction:0<width$}", width = fraction.len().div_ceil(4) * 4);
    for part in [padded.as_bytes(), tail.as_bytes()] {
        groups.extend(
            part.chunks(4).map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))),
        );
    }
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    out.put_u16(groups.len() as u16);
    out.put_i16(weight);
    out.put_u16(if groups.is_empty() { 0 } else { sign });
    out.put_u16(fraction.len() as u16);
    groups.iter().for_each(|group| out.put_u16(*group));
}

/// The decimal text of a binary numeric.
pub(super) fn read(mut value: &[u8]) -> Result<String, Wrong> {
    let wrong = || Wrong("the value is no binary numeric".into());
    if value.len() < 8 {
        return Err(wrong());
    }
    let count = usize::from(value.get_u16());
    let (weight, sign, scale) = (value.get_i16(), value.get_u16(), usize::from(value.get_u16()));
    match sign {
        0 | NEGATIVE => {}
        NOT_A_NUMBER => return Err(Wrong("a numeric that is not a number is not taken".into())),
        INFINITY | NEGATIVE_INFINITY => return Err(Wrong("an infinite numeric is not taken".into())),
        _ => return Err(wrong()),
    }
    if count > GROUPS_MAX
        || value.len() != count * 2
        || weight.unsigned_abs() as usize > GROUPS_MAX
        || scale > 4 * GROUPS_MAX
    {
        return Err(wrong());
    }
    let groups: Vec<u16> = (0..count).map(|_| value.get_u16()).collect();
    if groups.iter().any(|group| *group > 9999) {
        return Err(wrong());
    }
    let group =
        |index: i32| usize::try_from(index).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0);
    let weight = i32::from(weight);
    let mut whole = String::new();
    for index in 0..=weight.max(-1) {
        whole.push_str(&format!("{:04}", group(index)));
    }
    let whole = whole.trim_start_matches('0');
    let mut fraction = String::new();
    let mut index = weight + 1;
    // Groups before the first one are zeros.
    for _ in 0..(-weight - 1).max(0) {
        fraction.push_str("0000");
    }
    if weight < -1 {
        index = 0;
    }
    while fraction.len() < scale {
        fraction.push_str(&format!("{:04}", group(index)));
        index += 1;
    }
    fraction.truncate(scale);
    let minus = if sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(if fraction.is_empty() { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}
