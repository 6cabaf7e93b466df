//! Frames of STOMP 1.2: a command, headers, a body, and a zero byte.
//!
//! The protocol is described at <https://stomp.github.io/stomp-specification-1.2.html>. A body is as long as its
//! `content-length` says, or ends with the first zero byte. One that fits into no record is not kept: its beginning is,
//! and its length, so that a message of any length can be told of without being held.

use crate::messages::{Done, MESSAGE_BYTES_MAX, ServerError};

/// Longer heads are none.
const HEAD_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 4096;
/// What is kept of a body that is too long.
const SHOWN_BYTES: usize = 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub command: String,
    /// Of several with one name the first counts.
    pub headers: Vec<(String, String)>,
    /// The beginning of it, where `length` is more.
    pub body: Vec<u8>,
    pub length: usize,
}

impl Frame {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.header(name)?.trim().parse().ok()
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 48);
        self.body.len() + headers.sum::<usize>() + 64
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        let kept_max = if self.length > MESSAGE_BYTES_MAX { SHOWN_BYTES } else { self.length };
        self.body.truncate(kept_max);
        let room = kept_max - self.body.len();
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Reads frames from what comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// So many bytes are known to hold no end of a head.
    searched: usize,
    /// The frame whose body is on its way, and how much of that is left, if its head says so.
    open: Option<(Frame, Option<usize>)>,
}

impl Decoder {
    /// Takes bytes from the front, up to the end of a frame at most; answers how many, and the frame if it is whole. Those
    /// that were not taken come again in front of the next.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Done<(usize, Option<Frame>)> {
        let mut taken = 0;
        if self.open.is_none() {
            // Between frames line ends are heartbeats.
            taken = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let rest = &bytes[taken..];
            let Some(length) = head_length(rest, self.searched) else {
                if rest.len() > HEAD_BYTES_MAX {
                    return Err(ServerError::malformed(&format!("a head exceeds limit={HEAD_BYTES_MAX}")));
                }
                self.searched = rest.len();
                return Ok((taken, None));
            };
            self.searched = 0;
            self.open = Some(parse_head(&rest[..length])?);
            taken += length;
        }
        let Some((frame, left)) = &mut self.open else { return Ok((taken, None)) };
        let rest = &bytes[taken..];
        let ends = match left {
            Some(left) => {
                let count = rest.len().min(*left);
                frame.keep(&rest[..count]);
                *left -= count;
                taken += count;
                match rest.get(count) {
                    Some(0) => true,
                    Some(_) if *left == 0 => {
                        return Err(ServerError::malformed("a body is longer than its content-length"));
                    }
                    _ => false,
                }
            }
            None => {
                let count = rest.iter().position(|byte| *byte == 0);
                frame.keep(&rest[..count.unwrap_or(rest.len())]);
                taken += count.unwrap_or(rest.len());
                count.is_some()
            }
        };
        if !ends {
            return Ok((taken, None));
        }
        Ok((taken + 1, self.open.take().map(|(frame, _)| frame)))
    }
}

/// The bytes of a head with the empty line behind it.
fn head_length(bytes: &[u8], searched: usize) -> Option<usize> {
    let places = searched.saturating_sub(2)..bytes.len().min(HEAD_BYTES_MAX);
    places.filter(|at| bytes[*at] == b'\n').find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn parse_head(bytes: &[u8]) -> Done<(Frame, Option<usize>)> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let command = lines.next().unwrap_or_default();
    if !matches!(command, "CONNECTED" | "MESSAGE" | "RECEIPT" | "ERROR") {
        return Err(ServerError::malformed(
            "it says a command that the protocol does not have; is it the right port?",
        ));
    }
    // Older clients would not understand escapes there.
    let is_escaped = command != "CONNECTED";
    let mut frame = Frame { command: command.to_string(), ..Frame::default() };
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) =
            line.split_once(':').ok_or_else(|| ServerError::malformed("a header without a colon"))?;
        if frame.headers.len() == HEADERS_MAX {
            return Err(ServerError::malformed(&format!("more than {HEADERS_MAX} headers")));
        }
        let read = |text: &str| if is_escaped { unescaped(text) } else { text.to_string() };
        frame.headers.push((read(name), read(value)));
    }
    let length = frame.header("content-length").map(|text| text.trim().parse::<usize>());
    let length =
        length.transpose().map_err(|_| ServerError::malformed("a content-length that is no number"))?;
    Ok((frame, length))
}

/// An escape that the specification does not have stays as it is: it is no reason to read nothing more.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('c') => out.push(':'),
            Some('\\') => out.push('\\'),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

fn put_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b':' => out.extend_from_slice(b"\\c"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ => out.push(byte),
        }
    }
}

/// So many bytes a text has on its way.
pub(super) fn escaped_bytes(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r' | b':' | b'\\')).count()
}

/// Puts a frame on its way. A body without `content-length` among the headers has to be free of zero bytes.
pub(super) fn put(out: &mut Vec<u8>, command: &str, headers: &[(&str, &str)], body: &[u8]) {
    out.extend_from_slice(command.as_bytes());
    out.push(b'\n');
    for (name, value) in headers {
        put_escaped(out, name);
        out.push(b':');
        put_escaped(out, value);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(body);
    out.push(0);
}

/// The same for the first frame, which knows no escapes; an error where one would be needed.
pub(super) fn put_connect(out: &mut Vec<u8>, headers: &[(&str, &str)]) -> Done<()> {
    out.extend_from_slice(b"CONNECT\n");
    for (name, value) in headers {
        if value.contains(['\n', '\r', '\0']) {
            return Err(ServerError::invalid(format!(
                "the log-in cannot say '{name}': it has a line end or a zero in it"
            )));
        }
        out.extend_from_slice(format!("{name}:{value}\n").as_bytes());
    }
    out.extend_from_slice(b"\n\0");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Done<Vec<Frame>> {
        let (mut decoder, mut frames, mut at) = (Decoder::default(), Vec::new(), 0);
        loop {
            let (taken, frame) = decoder.take(&bytes[at..])?;
            at += taken;
            match frame {
                Some(frame) => frames.push(frame),
                None => return Ok(frames),
            }
        }
    }

    /// What lies in a buffer to which some bytes at a time are added.
    fn in_pieces(bytes: &[u8], size: usize) -> Done<Vec<Frame>> {
        let (mut decoder, mut frames, mut buffer) = (Decoder::default(), Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                let (taken, frame) = decoder.take(&buffer)?;
                buffer.drain(..taken);
                match frame {
                    Some(frame) => frames.push(frame),
                    None => break,
                }
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_read_however_they_come() {
        let said = b"\n\r\nMESSAGE\r\nmessage-id:a\\cb\\n\\\\\\t\r\nx:1\r\nx:2\r\n\r\nbody\0\nMESSAGE\ncontent-length:3\n\n\0a\0\0\n\n\
                     RECEIPT\nreceipt-id:7\n\n\0";
        let frames = all(said).unwrap();
        assert_eq!(frames.len(), 3);
        let first = &frames[0];
        assert_eq!(first.header("message-id"), Some("a:b\n\\\\t"));
        assert_eq!(
            (first.header("x"), first.number("x"), first.body.as_slice()),
            (Some("1"), Some(1), &b"body"[..])
        );
        assert_eq!((frames[1].body.as_slice(), frames[1].length), (&b"\0a\0"[..], 3));
        assert_eq!((frames[2].command.as_str(), frames[2].header("receipt-id")), ("RECEIPT", Some("7")));
        for size in 1..said.len() {
            assert_eq!(in_pieces(said, size).unwrap(), frames, "pieces of {size}");
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let headers = [("a:b", "c\nd\re\\f"), ("content-length", "3")];
        let mut out = Vec::new();
        put(&mut out, "MESSAGE", &headers, b"x\0y");
        let frames = all(&out).unwrap();
        let found: Vec<(&str, &str)> =
            frames[0].headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!((found.as_slice(), frames[0].body.as_slice()), (&headers[..], &b"x\0y"[..]));
        assert!(put_connect(&mut out, &[("passcode", "a:b\\n")]).is_ok());
        assert!(out.ends_with(b"CONNECT\npasscode:a:b\\n\n\n\0"));
        assert!(put_connect(&mut out, &[("passcode", "a\nb")]).is_err());
    }

    #[test]
    fn of_a_body_that_fits_into_no_record_the_beginning_is_kept() {
        for head in [format!("content-length:{}\n", MESSAGE_BYTES_MAX + 5), String::new()] {
            let mut said = format!("MESSAGE\n{head}\n").into_bytes();
            said.resize(said.len() + MESSAGE_BYTES_MAX + 5, b'x');
            said.push(0);
            for frames in [all(&said).unwrap(), in_pieces(&said, 60_000).unwrap()] {
                assert_eq!((frames[0].body.len(), frames[0].length), (SHOWN_BYTES, MESSAGE_BYTES_MAX + 5));
            }
        }
    }

    #[test]
    fn what_no_server_says_is_an_error() {
        let long = [b"MESSAGE\n".to_vec(), vec![b'x'; HEAD_BYTES_MAX + 1]].concat();
        let many = format!("MESSAGE\n{}\n\0", "a:b\n".repeat(HEADERS_MAX + 1));
        for said in [
            &b"HTTP/1.1 400 Bad\n\n"[..],
            b"MESSAGE\nno colon\n\n\0",
            b"MESSAGE\ncontent-length:x\n\n\0",
            b"MESSAGE\ncontent-length:-1\n\n\0",
            b"MESSAGE\ncontent-length:1\n\nab\0",
            b"CONNECT\n\n\0",
            &long,
            many.as_bytes(),
        ] {
            assert!(all(said).is_err(), "{:?}", String::from_utf8_lossy(&said[..said.len().min(40)]));
        }
        // A length that nobody can have takes no memory.
        assert!(all(format!("MESSAGE\ncontent-length:{}\n\n", usize::MAX).as_bytes()).unwrap().is_empty());
    }
}
