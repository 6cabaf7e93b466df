//! Frames (section 2.3 of the specification): size, offset of the body, type, channel, body.

use crate::messages::{Done, ServerError};

pub(super) const AMQP: u8 = 0;
pub(super) const SASL: u8 = 1;

/// What a frame has in front of its body.
pub(super) const OVERHEAD: usize = 8;
/// The offset of the body is counted in these.
const WORD_BYTES: usize = 4;

/// A frame whose body lies in what was read. A body may be empty.
pub(super) struct Frame<'a> {
    pub kind: u8,
    pub body: &'a [u8],
}

/// The first frame of `bytes`, if it is there as a whole, and the bytes that it takes.
pub(super) fn parse(bytes: &[u8], frame_bytes_max: usize) -> Done<Option<(Frame<'_>, usize)>> {
    let Some([a, b, c, d, offset, kind, _, _]) = bytes.first_chunk::<OVERHEAD>() else { return Ok(None) };
    let size = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    let offset = usize::from(*offset) * WORD_BYTES;
    if size > frame_bytes_max {
        return Err(ServerError::malformed(&format!(
            "a frame of bytes={size} is longer than was agreed on: {frame_bytes_max}"
        )));
    }
    if offset < OVERHEAD || offset > size {
        return Err(ServerError::malformed("the body of a frame lies outside of it"));
    }
    if !matches!(*kind, AMQP | SASL) {
        return Err(ServerError::malformed("there is no frame of that type"));
    }
    let Some(frame) = bytes.get(..size) else { return Ok(None) };
    Ok(Some((Frame { kind: *kind, body: &frame[offset..] }, size)))
}

/// On the only channel.
pub(super) fn put(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, (OVERHEAD / WORD_BYTES) as u8, kind, 0, 0]);
    fill(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_when_it_is_whole_and_refused_when_it_is_none() {
        let mut bytes = Vec::new();
        put(&mut bytes, SASL, |out| out.extend_from_slice(b"hello"));
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length], 4096).unwrap().is_none(), "{length}");
        }
        let (frame, length) = parse(&bytes, 4096).unwrap().unwrap();
        assert_eq!((frame.kind, frame.body, length), (SASL, &b"hello"[..], bytes.len()));
        assert!(parse(&bytes, bytes.len() - 1).is_err());
        // An extended header is passed over.
        let extended = [&[0, 0, 0, 14, 3, AMQP, 0, 0, 9, 9, 9, 9][..], b"ab"].concat();
        assert_eq!(parse(&extended, 4096).unwrap().unwrap().0.body, b"ab");
        for wrong in [
            [0, 0, 0, 8, 1, AMQP, 0, 0],
            [0, 0, 0, 8, 3, AMQP, 0, 0],
            [0, 0, 0, 7, 2, AMQP, 0, 0],
            [0, 0, 0, 8, 2, 9, 0, 0],
            [255, 255, 255, 255, 2, AMQP, 0, 0],
        ] {
            assert!(parse(&wrong, 4096).is_err(), "{wrong:?}");
        }
    }
}
