//! Places of the log as PostgreSQL writes them: `16/B374D848`.

use base::Lsn;

pub fn shown(lsn: Lsn) -> String {
    format!("{:X}/{:X}", lsn.0 >> 32, lsn.0 & 0xffff_ffff)
}

pub fn parse(text: &str) -> Option<Lsn> {
    let (high, low) = text.trim().split_once('/')?;
    let part = |digits: &str| {
        let is_hex = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { u64::from_str_radix(digits, 16).ok() } else { None }
    };
    Some(Lsn(part(high)? << 32 | part(low)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_they_are_written() {
        for number in [0, 1, u64::from(u32::MAX), 0x16_b374_d848, u64::MAX] {
            assert_eq!(parse(&shown(Lsn(number))), Some(Lsn(number)));
        }
        assert_eq!(shown(Lsn(0x16_b374_d848)), "16/B374D848");
        for wrong in ["", "/", "1", "1/", "/1", "x/1", "1/123456789", "+1/1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
