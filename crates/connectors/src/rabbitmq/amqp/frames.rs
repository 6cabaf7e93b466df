//! Frames: kind, channel, length, payload, and an end mark.

use crate::messages::{Done, ServerError};

pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
pub(super) const HEARTBEAT: u8 = 8;

/// What a frame has around its payload.
pub(super) const OVERHEAD: usize = HEAD_BYTES + 1;
const HEAD_BYTES: usize = 7;
const END: u8 = 0xce;

/// A frame whose payload lies in what was read.
pub(super) struct Frame<'a> {
    pub kind: u8,
    pub channel: u16,
    pub payload: &'a [u8],
}

/// The first frame of `bytes`, if it is there as a whole, and the bytes that it takes.
pub(super) fn parse(bytes: &[u8], frame_bytes_max: usize) -> Done<Option<(Frame<'_>, usize)>> {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let [kind, channel @ .., _, _, _, _] = *head;
    // A server that wants another protocol says so in its place.
    if !matches!(kind, METHOD | HEADER | BODY | HEARTBEAT) {
        return Err(ServerError::malformed("there is no frame of that kind"));
    }
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let whole = length.saturating_add(OVERHEAD);
    if whole > frame_bytes_max {
        return Err(ServerError::malformed(&format!(
            "a frame of bytes={whole} is longer than was agreed on: {frame_bytes_max}"
        )));
    }
    let Some(bytes) = bytes.get(..whole) else { return Ok(None) };
    if bytes[whole - 1] != END {
        return Err(ServerError::malformed("a frame does not end where it should"));
    }
    let frame = Frame { kind, channel: u16::from_be_bytes(channel), payload: &bytes[HEAD_BYTES..whole - 1] };
    Ok(Some((frame, whole)))
}

pub(super) fn put(out: &mut Vec<u8>, kind: u8, channel: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = (out.len() - start - HEAD_BYTES) as u32;
    out[start + 3..start + HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    out.push(END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_when_it_is_whole_and_refused_when_it_is_none() {
        let mut bytes = Vec::new();
        put(&mut bytes, BODY, 1, |out| out.extend_from_slice(b"hello"));
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length], 4096).unwrap().is_none(), "{length}");
        }
        let (frame, length) = parse(&bytes, 4096).unwrap().unwrap();
        assert_eq!((frame.kind, frame.channel, frame.payload, length), (BODY, 1, &b"hello"[..], bytes.len()));
        assert!(parse(&bytes, bytes.len() - 1).is_err());
        *bytes.last_mut().unwrap() = 0;
        assert!(parse(&bytes, 4096).is_err());
        assert!(parse(b"AMQP\0\0\x09\x01", 4096).is_err());
        assert!(parse(&[BODY, 0, 1, 255, 255, 255, 255], 4096).is_err());
    }
}
