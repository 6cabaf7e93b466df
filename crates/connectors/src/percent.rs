//! Parts of URLs.

use std::fmt::Write;

/// A part of a URL as it is meant; none where a `%` has no two hexadecimal digits behind it.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        let is_hex = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// A part of a query or of a path with nothing in it that means something there; `/` stays where `keeps_slashes`.
pub(crate) fn percent_encoded(text: &str, keeps_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b'/' if keeps_slashes => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_were_written() {
        assert_eq!(percent_encoded("a b/ü~", true), "a%20b/%C3%BC~");
        assert_eq!(percent_encoded("a/b", false), "a%2Fb");
        assert_eq!(percent_decoded("a%20b%2f%C3%BC~").as_deref(), Some("a b/ü~"));
        assert_eq!(
            (percent_decoded("%2"), percent_decoded("%+1"), percent_decoded("%FF")),
            (None, None, None)
        );
    }
}
