//! Variable-length numbers inside records: zigzag, seven bits a byte, lowest first.

/// Appends a signed number.
pub fn put_varint(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        buffer.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.push(rest as u8);
}

/// How many bytes a signed number takes.
pub fn varint_bytes(value: i64) -> usize {
    let rest = ((value << 1) ^ (value >> 63)) as u64;
    ((64 - (rest | 1).leading_zeros()) as usize).div_ceil(7)
}

/// Takes a signed number of up to 64 bits from the front of `data`; none if it does not end or does not fit.
pub fn take_varlong(data: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (index, byte) in data.iter().enumerate().take(10) {
        if index == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *data = &data[index + 1..];
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// Takes a signed number of up to 32 bits.
pub fn take_varint(data: &mut &[u8]) -> Option<i32> {
    let mut rest = *data;
    let value = i32::try_from(take_varlong(&mut rest)?).ok()?;
    *data = rest;
    Some(value)
}
