//! Base 64 as Java's basic encoder and decoder have it (RFC 4648): no line breaks; the padding may be left out.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8], out: &mut String) {
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let has_bits = digit <= group.len();
            let value = (bits >> (18 - 6 * digit)) as usize & 63;
            out.push(if has_bits { DIGITS[value] as char } else { '=' });
        }
    }
}

pub(super) fn decode(digits: &[u8]) -> Result<Vec<u8>, String> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let mut rest = digits.iter();
    while let Some(digit) = rest.next() {
        if *digit == b'=' {
            // `xx==` or `xxx=`, and nothing behind it.
            let complete = match count {
                2 => rest.next() == Some(&b'='),
                3 => true,
                _ => false,
            };
            if !complete {
                return Err(
                    "the padding of the base 64 is wrong: it is = or == at the end of a group of four".into(),
                );
            }
            if rest.next().is_some() {
                return Err("the base 64 goes on behind its padding".into());
            }
            break;
        }
        let Some(value) = value_of(*digit) else {
            return Err(format!("base 64 has no digit {:?}", *digit as char));
        };
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match count {
        0 => {}
        2 => bytes.push((bits >> 4) as u8),
        3 => bytes.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => return Err("the base 64 ends within a byte".into()),
    }
    Ok(bytes)
}

fn value_of(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
