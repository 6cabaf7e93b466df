//! Frames of WebSockets (RFC 6455, part 5), as far as a server needs them that sends texts and takes control frames.
//!
//! What a client sends besides those is refused at the head of its frame, so that never more is kept of it than a control
//! frame has: 125 bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A data frame that is longer is refused for its length, a shorter one because nothing is to be sent.
pub(super) const FRAME_BYTES_MAX: u64 = 4 << 10;
const CONTROL_BYTES_MAX: u64 = 125;
/// Before the payload, without the bytes of a long length.
const MASK_BYTES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text = 0x1,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

/// What a client has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Came {
    Ping(Bytes),
    Pong,
    /// With its code and its words, as they are sent back.
    Close(Bytes),
}

/// Why the talk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    pub code: Code,
    pub words: &'static str,
}

/// The codes that a server closes with here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The node stops, or what is followed is another thing now.
    Away = 1001,
    Protocol = 1002,
    NoText = 1007,
    Policy = 1008,
    TooLarge = 1009,
    Failed = 1011,
}

fn wrong<T>(code: Code, words: &'static str) -> Result<T, Wrong> {
    Err(Wrong { code, words })
}

/// Takes the next frame out of what has come; none if it is not whole yet. Behind an error nothing more can be read.
pub(super) fn take(came: &mut BytesMut) -> Result<Option<Came>, Wrong> {
    let [first, second, rest @ ..] = &came[..] else { return Ok(None) };
    let (is_final, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
    if reserved != 0 {
        return wrong(Code::Protocol, "a reserved bit is set");
    }
    if second & 0x80 == 0 {
        return wrong(Code::Protocol, "a client's frames are masked");
    }
    let (length, length_bytes) = match second & 0x7f {
        126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2),
        127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8),
        short => (Some(u64::from(short)), 0),
    };
    let Some(length) = length else { return Ok(None) };
    match opcode {
        0x0..=0x2 if length > FRAME_BYTES_MAX => {
            return wrong(Code::TooLarge, "a frame has at most 4096 bytes");
        }
        0x0 => return wrong(Code::Protocol, "there is no message that is continued"),
        0x1 | 0x2 => return wrong(Code::Policy, "records are followed here, and nothing is sent to them"),
        0x8..=0xa if !is_final => return wrong(Code::Protocol, "a control frame comes in one piece"),
        0x8..=0xa if length > CONTROL_BYTES_MAX || length_bytes > 0 => {
            return wrong(Code::Protocol, "a control frame has at most 125 bytes");
        }
        0x8..=0xa => {}
        _ => return wrong(Code::Protocol, "the frame is of no known kind"),
    }
    // Which is small by now.
    let length = length as usize;
    if rest.len() < MASK_BYTES + length {
        return Ok(None);
    }
    came.advance(2);
    let mask = came.split_to(MASK_BYTES);
    let mut payload = came.split_to(length);
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    let payload = payload.freeze();
    match opcode {
        0x9 => Ok(Some(Came::Ping(payload))),
        0xa => Ok(Some(Came::Pong)),
        _ => closed(payload).map(Some),
    }
}

/// A close has no words, or a code and words.
fn closed(payload: Bytes) -> Result<Came, Wrong> {
    match payload.first_chunk() {
        None if payload.is_empty() => Ok(Came::Close(payload)),
        None => wrong(Code::Protocol, "a close has a code of two bytes"),
        Some(code) => match u16::from_be_bytes(*code) {
            1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(&payload[2..]).is_ok() => {
                Ok(Came::Close(payload))
            }
            1000..=1003 | 1007..=1014 | 3000..=4999 => {
                wrong(Code::NoText, "the words of a close are no text")
            }
            _ => wrong(Code::Protocol, "a close has a code that is none"),
        },
    }
}

/// Appends a frame, whole and without a mask, as servers send them.
pub(super) fn put(going: &mut BytesMut, kind: Kind, payload: &[u8]) {
    going.reserve(payload.len() + 10);
    going.put_u8(0x80 | kind as u8);
    match payload.len() {
        length @ 0..126 => going.put_u8(length as u8),
        length @ 126..=0xffff => {
            going.put_u8(126);
            going.put_u16(length as u16);
        }
        length => {
            going.put_u8(127);
            going.put_u64(length as u64);
        }
    }
    going.put_slice(payload);
}

/// Appends a close with as much of the words as it may have.
pub(super) fn put_close(going: &mut BytesMut, code: Code, words: &str) {
    let most = CONTROL_BYTES_MAX as usize - 2;
    let end = (0..=words.len().min(most)).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
    let payload = [&(code as u16).to_be_bytes()[..], &words.as_bytes()[..end]].concat();
    put(going, Kind::Close, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1_u8, 2, 3, 250];
        let length = u8::try_from(payload.len()).expect("a short frame");
        let coded = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key);
        [&[first, 0x80 | length], &mask[..]].concat().into_iter().chain(coded).collect()
    }

    fn read(bytes: &[u8]) -> Result<Option<Came>, u16> {
        take(&mut BytesMut::from(bytes)).map_err(|wrong| wrong.code as u16)
    }

    #[test]
    fn control_frames_are_taken_one_after_the_other_however_they_come() {
        let bytes =
            [masked(0x89, b"are you there"), masked(0x8a, b""), masked(0x88, b"\x03\xe8bye")].concat();
        let mut came = BytesMut::new();
        let mut taken = Vec::new();
        for byte in bytes {
            came.put_u8(byte);
            taken.extend(take(&mut came).expect("they are good"));
        }
        let close = Came::Close(Bytes::from_static(b"\x03\xe8bye"));
        assert_eq!(taken, [Came::Ping(Bytes::from_static(b"are you there")), Came::Pong, close]);
        assert!(came.is_empty());
        assert_eq!(read(&masked(0x88, b"")), Ok(Some(Came::Close(Bytes::new()))));
        assert_eq!((read(b""), read(b"\x89"), read(b"\x82\xfe\x00")), (Ok(None), Ok(None), Ok(None)));
    }

    #[test]
    fn what_is_not_to_be_sent_is_refused_at_its_head() {
        for (bytes, code) in [
            (&[0x81, 0x85][..], 1008),
            (&[0x01, 0x80], 1008),
            (&[0x82, 0xfe, 0x10, 0x00], 1008),
            (&[0x82, 0xfe, 0x10, 0x01], 1009),
            (&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009),
            (&[0x80, 0x80], 1002),
            (&[0x81, 0x05], 1002),
            (&[0xc1, 0x80], 1002),
            (&[0x09, 0x80], 1002),
            (&[0x89, 0xfe, 0x00, 0x7e], 1002),
            (&[0x89, 0xfe, 0x00, 0x01], 1002),
            (&[0x83, 0x80], 1002),
            (&[0x8b, 0x80], 1002),
        ] {
            assert_eq!(read(bytes), Err(code), "{bytes:02x?}");
        }
        for (payload, code) in [
            (&b"\x03"[..], 1002),
            (b"\x03\xed", 1002),
            (b"\x03\xe8\xff", 1007),
            (b"\x00\x00", 1002),
            (b"\x13\x88", 1002),
        ] {
            assert_eq!(read(&masked(0x88, payload)), Err(code), "{payload:02x?}");
        }
    }

    #[test]
    fn lengths_are_written_in_the_fewest_bytes() {
        let head = |length: usize| {
            let mut going = BytesMut::new();
            put(&mut going, Kind::Text, &vec![b'x'; length]);
            going[..going.len() - length].to_vec()
        };
        assert_eq!(head(125), [0x81, 125]);
        assert_eq!(head(126), [0x81, 126, 0, 126]);
        assert_eq!(head(0xffff), [0x81, 126, 0xff, 0xff]);
        assert_eq!(head(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        let mut going = BytesMut::new();
        put_close(&mut going, Code::Away, &"ä".repeat(100));
        assert_eq!((going.len(), &going[..4]), (2 + 2 + 122, &[0x88, 124, 0x03, 0xe9][..]));
    }
}
