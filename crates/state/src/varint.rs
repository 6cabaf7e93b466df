//! Numbers in as many bytes as they need: seven bits in each byte, the lowest first.

pub(crate) const VARINT_BYTES_MAX: usize = 10;

#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a varint and moves `at` behind it; or says what is wrong with it.
#[inline]
pub fn take_varint(bytes: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    match bytes.get(*at) {
        Some(byte) if *byte < 0x80 => {
            *at += 1;
            Ok(u64::from(*byte))
        }
        _ => take_long_varint(bytes, at),
    }
}

fn take_long_varint(bytes: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    let mut value = 0u64;
    for index in 0..VARINT_BYTES_MAX {
        let byte = *bytes.get(*at).ok_or("a number ends too early")?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number is too long")
}
