//! The character sets that every Java has.

#[derive(Debug, Clone, Copy)]
pub(super) enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// Written with a byte order mark, big end first; read by the mark.
    Utf16,
    Utf16BigEnd,
    Utf16LittleEnd,
}

impl Charset {
    pub(super) fn named(name: &str) -> Result<Charset, String> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "US-ASCII" | "ASCII" | "ISO646-US" | "646" => Charset::Ascii,
            "ISO-8859-1" | "ISO8859-1" | "ISO8859_1" | "ISO_8859-1" | "ISO_8859_1" | "LATIN1" | "L1" => {
                Charset::Latin1
            }
            "UTF-8" | "UTF8" => Charset::Utf8,
            "UTF-16" | "UTF16" | "UTF_16" | "UNICODE" => Charset::Utf16,
            "UTF-16BE" | "UTF_16BE" | "X-UTF-16BE" | "UNICODEBIGUNMARKED" => Charset::Utf16BigEnd,
            "UTF-16LE" | "UTF_16LE" | "X-UTF-16LE" | "UNICODELITTLEUNMARKED" => Charset::Utf16LittleEnd,
            _ => {
                return Err(format!(
                    "the character set '{name}' is not supported; use US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE or UTF-16"
                ));
            }
        })
    }

    /// What the set lacks is a question mark.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        let narrow = |limit: u32| {
            text.chars()
                .map(|letter| if (letter as u32) < limit { letter as u32 as u8 } else { b'?' })
                .collect()
        };
        match self {
            Charset::Ascii => narrow(0x80),
            Charset::Latin1 => narrow(0x100),
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Utf16 if text.is_empty() => Vec::new(),
            Charset::Utf16 => {
                std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
            }
            Charset::Utf16BigEnd => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Charset::Utf16LittleEnd => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }

    /// What cannot be read is U+FFFD.
    pub(super) fn decode(self, bytes: &[u8], out: &mut String) {
        match self {
            Charset::Ascii => {
                out.extend(
                    bytes
                        .iter()
                        .map(|byte| if *byte < 0x80 { *byte as char } else { char::REPLACEMENT_CHARACTER }),
                );
            }
            Charset::Latin1 => out.extend(bytes.iter().map(|byte| *byte as char)),
            Charset::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Charset::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes, out),
                [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes, out),
                _ => units(bytes, u16::from_be_bytes, out),
            },
            Charset::Utf16BigEnd => units(bytes, u16::from_be_bytes, out),
            Charset::Utf16LittleEnd => units(bytes, u16::from_le_bytes, out),
        }
    }
}

fn units(bytes: &[u8], read: fn([u8; 2]) -> u16, out: &mut String) {
    let pairs = bytes.chunks_exact(2);
    let is_cut = !pairs.remainder().is_empty();
    let letters = char::decode_utf16(pairs.map(|pair| read([pair[0], pair[1]])));
    out.extend(letters.map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)));
    if is_cut {
        out.push(char::REPLACEMENT_CHARACTER);
    }
}
