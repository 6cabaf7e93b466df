//! The subject of a certificate as text, as Java's `X500Principal.getName` (RFC 2253) writes it, which is
//! what Kafka makes principals of: `CN=alice,OU=payments,O=Example`.

use crate::AuthError;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;

/// One element of DER: its tag, its content, and the whole of it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// `None` at the end, or if the bytes are no DER.
    fn next(&mut self) -> Option<Element<'a>> {
        let (tag, length) = (*self.0.first()?, *self.0.get(1)?);
        let (start, length) = match length {
            0..=0x7f => (2, usize::from(length)),
            0x81..=0x84 => {
                let bytes = self.0.get(2..2 + usize::from(length & 0x7f))?;
                (2 + bytes.len(), bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
            }
            _ => return None,
        };
        let end = start.checked_add(length)?;
        let (whole, content) = (self.0.get(..end)?, self.0.get(start..end)?);
        self.0 = &self.0[end..];
        Some(Element { tag, content, whole })
    }

    fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }
}

/// The subject's name of an X.509 certificate in DER.
pub fn subject_of(certificate: &[u8]) -> Result<String, AuthError> {
    subject(certificate).ok_or_else(|| AuthError::new("the certificate has no readable subject"))
}

fn subject(certificate: &[u8]) -> Option<String> {
    let outer = Der(certificate).expect(SEQUENCE)?;
    let mut fields = Der(Der(outer.content).expect(SEQUENCE)?.content);
    let mut serial = fields.next()?;
    if serial.tag == VERSION {
        serial = fields.next()?;
    }
    let _ = serial;
    let (_algorithm, _issuer, _validity) =
        (fields.expect(SEQUENCE)?, fields.expect(SEQUENCE)?, fields.expect(SEQUENCE)?);
    let mut names = Der(fields.expect(SEQUENCE)?.content);
    let mut parts = Vec::new();
    while !names.0.is_empty() {
        let mut attributes = Der(names.expect(SET)?.content);
        let mut together = Vec::new();
        while !attributes.0.is_empty() {
            together.push(attribute(attributes.expect(SEQUENCE)?.content)?);
        }
        parts.push(together.join("+"));
    }
    // The most general part comes first in the certificate and last in the text.
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(content: &[u8]) -> Option<String> {
    let mut fields = Der(content);
    let oid = fields.expect(OBJECT_ID)?.content;
    let value = fields.next()?;
    let name = match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 9] => "STREET",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        _ => {
            let hex: String = value.whole.iter().map(|byte| format!("{byte:02x}")).collect();
            return Some(format!("{}=#{hex}", dotted(oid)?));
        }
    };
    Some(format!("{name}={}", escaped(&text_of(&value)?)))
}

fn text_of(value: &Element<'_>) -> Option<String> {
    match value.tag {
        // UTF8String, NumericString, PrintableString, IA5String.
        12 | 18 | 19 | 22 => String::from_utf8(value.content.to_vec()).ok(),
        // T61String, in practice Latin-1.
        20 => Some(value.content.iter().copied().map(char::from).collect()),
        // BMPString: UTF-16.
        30 => {
            let units = value.content.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
            char::decode_utf16(units).collect::<Result<String, _>>().ok()
        }
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    let inner = text.trim_start_matches(' ').len();
    let (leading, trailing) = (text.len() - inner, text.trim_end_matches(' ').len());
    let mut out = String::with_capacity(text.len());
    for (place, character) in text.char_indices() {
        let is_outer = character == ' ' && (place < leading || place >= trailing);
        if is_outer || matches!(character, ',' | '=' | '+' | '"' | '\\' | '<' | '>' | '#' | ';') {
            out.push('\\');
        }
        match character {
            '\0' => out.push_str("\\00"),
            _ => out.push(character),
        }
    }
    out
}

/// An object id in its dotted form.
fn dotted(oid: &[u8]) -> Option<String> {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in oid {
        number = number.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    let first = *numbers.first()?;
    let (root, second) = if first < 80 { (first / 40, first % 40) } else { (2, first - 80) };
    let mut out = format!("{root}.{second}");
    for number in &numbers[1..] {
        out.push_str(&format!(".{number}"));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_subject_is_written_as_java_writes_it() {
        let der = certificate(&[
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example, Inc."),
            (DnType::OrganizationalUnitName, " a;b "),
            (DnType::CommonName, "älice"),
        ]);
        assert_eq!(subject_of(&der).unwrap(), "CN=älice,OU=\\ a\\;b\\ ,O=Example\\, Inc.,C=DE");
        let der = certificate(&[(DnType::OrganizationName, "  x "), (DnType::CommonName, "a=b#c")]);
        assert_eq!(subject_of(&der).unwrap(), r"CN=a\=b\#c,O=\ \ x\ ");
        let der = certificate(&[(DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]), "a@b")]);
        assert_eq!(subject_of(&der).unwrap(), "1.2.840.113549.1.9.1=#0c03614062");
    }

    #[test]
    fn cut_and_changed_certificates_do_not_panic() {
        let der = certificate(&[(DnType::CommonName, "alice")]);
        for end in 0..der.len().min(200) {
            let _ = subject_of(&der[..end]);
        }
        for at in 0..der.len().min(200) {
            for value in [0, 0x80, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[at] = value;
                let _ = subject_of(&changed);
            }
        }
        assert!(subject_of(&[]).is_err());
        assert!(subject_of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
