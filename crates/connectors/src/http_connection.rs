//! A connection over which one HTTP/1.1 request after another goes, as long as the server keeps it.
//!
//! A request is sent, and its answer is waited for in pieces of any length, so that a long poll lasts longer than one call.
//! Every length is bounded before anything is allocated for it.

use auth::https::Url;
use auth::socket::{Secured, monotonic};
use auth::tls::ClientConfig;
use os::{Clock, Os};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

const READ_BYTES: usize = 64 << 10;
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A line that says how long a chunk is.
const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;
/// What comes no slower than this may come for longer than was to be waited.
const BYTES_PER_SECOND_MIN: u64 = 8 << 10;

/// An answer that has come whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpAnswer {
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    }
}

pub(crate) struct HttpConnection {
    stream: Secured,
    clock: Arc<dyn Clock>,
    reader: AnswerReader,
    /// Whether the last answer lets another request follow.
    is_kept: bool,
}

impl HttpConnection {
    /// An answer has at most `body_bytes_max`. Over TLS the other side proves that it is the host.
    pub(crate) fn connect(
        os: &Os,
        url: &Url,
        tls: Option<Arc<ClientConfig>>,
        wait: Duration,
        body_bytes_max: usize,
    ) -> io::Result<HttpConnection> {
        let stream = Secured::connect(os, (&url.host, url.port), wait, tls)?;
        let clock = os.clock.clone();
        Ok(HttpConnection { stream, clock, reader: AnswerReader::new(body_bytes_max), is_kept: true })
    }

    /// Whether another request may be sent.
    pub(crate) fn is_free(&self) -> bool {
        self.is_kept
    }

    /// Sends a request; its answer has to be taken before the next one.
    pub(crate) fn send(&mut self, request: &[u8], wait: Duration) -> io::Result<()> {
        self.is_kept = false;
        self.stream.limited().begin_wait(wait);
        self.stream.write_all(request).and_then(|()| self.stream.flush())
    }

    /// The answer, if it is whole within `wait`, or goes on coming.
    pub(crate) fn receive(&mut self, wait: Duration) -> io::Result<Option<HttpAnswer>> {
        let mut buffer = vec![0; READ_BYTES];
        let mut until = monotonic(&*self.clock).saturating_add(wait);
        loop {
            if let Some((answer, is_kept)) = self.reader.take()? {
                self.is_kept = is_kept;
                return Ok(Some(answer));
            }
            let left = until.saturating_sub(monotonic(&*self.clock));
            match self.stream.read_within(&mut buffer, left)? {
                None => return Ok(None),
                Some(0) => {
                    return match self.reader.end()? {
                        Some(answer) => Ok(Some(answer)),
                        None => Err(io::ErrorKind::UnexpectedEof.into()),
                    };
                }
                Some(count) => {
                    until += Duration::from_micros(count as u64 * 1_000_000 / BYTES_PER_SECOND_MIN);
                    self.reader.bytes.extend_from_slice(&buffer[..count]);
                }
            }
        }
    }

    /// Whether something of the answer has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.reader.head.is_some() || !self.reader.bytes.is_empty()
    }

    /// The head of the answer, without a body, if it comes within `wait`. What follows is taken by [`Self::piece`], or is
    /// another protocol's (see [`Self::into_stream`]); [`Self::receive`] goes on to the whole.
    pub(crate) fn begin(&mut self, wait: Duration) -> io::Result<Option<HttpAnswer>> {
        let mut buffer = vec![0; READ_BYTES];
        let until = monotonic(&*self.clock).saturating_add(wait);
        loop {
            if let Some(Head { status, headers, .. }) = self.reader.head()? {
                return Ok(Some(HttpAnswer { status: *status, headers: headers.clone(), body: Vec::new() }));
            }
            let left = until.saturating_sub(monotonic(&*self.clock));
            match self.stream.read_within(&mut buffer, left)? {
                None => return Ok(None),
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(count) => self.reader.bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// What has come of the body of an answer that has begun, however long that is, after waiting for it for `wait` at most.
    pub(crate) fn piece(&mut self, wait: Duration) -> io::Result<Piece> {
        if !self.reader.is_whole(usize::MAX)? && self.reader.body.is_empty() {
            let mut buffer = vec![0; READ_BYTES];
            match self.stream.read_within(&mut buffer, wait)? {
                None => return Ok(Piece::Nothing),
                Some(0) => return Ok(Piece::End),
                Some(count) => self.reader.bytes.extend_from_slice(&buffer[..count]),
            }
        }
        let is_whole = self.reader.is_whole(usize::MAX)?;
        let body = std::mem::take(&mut self.reader.body);
        Ok(match body.is_empty() {
            true if is_whole => Piece::End,
            // A part of what says how long a chunk is.
            true => Piece::Nothing,
            false => Piece::Bytes(body),
        })
    }

    /// The stream, and what has come behind the head, for another protocol that the server has agreed to.
    pub(crate) fn into_stream(self) -> (Secured, Vec<u8>) {
        (self.stream, self.reader.bytes)
    }
}

/// What has come of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

/// Takes answers apart as they come.
struct AnswerReader {
    body_bytes_max: usize,
    bytes: Vec<u8>,
    head: Option<Head>,
    /// What has come of the body.
    body: Vec<u8>,
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    length: Length,
    is_kept: bool,
}

/// What is still to come of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    /// What says how long a chunk is.
    Chunks,
    /// A chunk, and its end.
    Chunk(usize),
    ChunkEnd,
    /// Behind the last chunk.
    Trailer,
    ToTheEnd,
}

fn broken(what: &str) -> io::Error {
    io::Error::other(format!("the answer is no HTTP: {what}"))
}

impl AnswerReader {
    fn new(body_bytes_max: usize) -> AnswerReader {
        AnswerReader { body_bytes_max, bytes: Vec::new(), head: None, body: Vec::new() }
    }

    fn too_long(&self) -> io::Error {
        let message = format!("the answer is longer than {} bytes", self.body_bytes_max);
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    }

    /// The head of the answer, once it has come.
    fn head(&mut self) -> io::Result<Option<&Head>> {
        while self.head.is_none() {
            let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                return match self.bytes.len() > HEAD_BYTES_MAX {
                    true => Err(broken("its head does not end")),
                    false => Ok(None),
                };
            };
            let head = parse_head(&self.bytes[..end])?;
            self.bytes.drain(..end + 4);
            // Answers of 1xx come before the answer; but 101 is one, to who has asked for another protocol.
            self.head = Some(head).filter(|head| !(100..200).contains(&head.status) || head.status == 101);
        }
        Ok(self.head.as_ref())
    }

    /// An answer that is whole, and whether the connection stays.
    fn take(&mut self) -> io::Result<Option<(HttpAnswer, bool)>> {
        if self.head()?.is_none() || !self.is_whole(self.body_bytes_max)? {
            return Ok(None);
        }
        let body = std::mem::take(&mut self.body);
        Ok(self.whole(body))
    }

    /// Moves what has come of the body to the rest of it, which may have `bytes_max`; whether that is all.
    fn is_whole(&mut self, bytes_max: usize) -> io::Result<bool> {
        loop {
            let Some(head) = &mut self.head else { return Ok(false) };
            let (length, room) = (head.length, bytes_max.saturating_sub(self.body.len()));
            let next = match length {
                Length::Bytes(0) => return Ok(true),
                Length::Bytes(left) | Length::Chunk(left) if left > room => return Err(self.too_long()),
                Length::Bytes(left) | Length::Chunk(left) => {
                    let count = left.min(self.bytes.len());
                    if count == 0 {
                        return Ok(false);
                    }
                    self.body.extend(self.bytes.drain(..count));
                    match (length, left - count) {
                        (Length::Chunk(_), 0) => Length::ChunkEnd,
                        (Length::Chunk(_), left) => Length::Chunk(left),
                        (_, left) => Length::Bytes(left),
                    }
                }
                Length::ToTheEnd if self.bytes.len() > room => return Err(self.too_long()),
                Length::ToTheEnd => {
                    self.body.append(&mut self.bytes);
                    return Ok(false);
                }
                Length::ChunkEnd => {
                    if self.bytes.len() < 2 {
                        return Ok(false);
                    }
                    if !self.bytes.starts_with(b"\r\n") {
                        return Err(broken("a chunk that does not end where it says"));
                    }
                    self.bytes.drain(..2);
                    Length::Chunks
                }
                Length::Chunks => {
                    let Some(end) = line_end(&self.bytes)? else { return Ok(false) };
                    let size = std::str::from_utf8(&self.bytes[..end]).ok();
                    let size = size.and_then(|line| line.split(';').next());
                    let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
                    let size = size.ok_or_else(|| broken("a chunk without its length"))?;
                    self.bytes.drain(..end + 2);
                    if size == 0 { Length::Trailer } else { Length::Chunk(size) }
                }
                Length::Trailer => {
                    let Some(end) = line_end(&self.bytes)? else { return Ok(false) };
                    self.bytes.drain(..end + 2);
                    // An empty line is the end.
                    if end == 0 { Length::Bytes(0) } else { Length::Trailer }
                }
            };
            head.length = next;
        }
    }

    fn whole(&mut self, body: Vec<u8>) -> Option<(HttpAnswer, bool)> {
        let Head { status, headers, is_kept, .. } = self.head.take()?;
        // What comes without a request belongs to none.
        let is_kept = is_kept && self.bytes.is_empty();
        Some((HttpAnswer { status, headers, body }, is_kept))
    }

    /// The connection has ended: so has an answer that says nothing of its length.
    fn end(&mut self) -> io::Result<Option<HttpAnswer>> {
        let Some(head) = self.head.take_if(|head| head.length == Length::ToTheEnd) else { return Ok(None) };
        let body = std::mem::take(&mut self.body);
        Ok(Some(HttpAnswer { status: head.status, headers: head.headers, body }))
    }
}

fn line_end(bytes: &[u8]) -> io::Result<Option<usize>> {
    let looked_at = &bytes[..bytes.len().min(CHUNK_LINE_BYTES_MAX)];
    let end = looked_at.windows(2).position(|window| window == b"\r\n");
    if end.is_none() && looked_at.len() == CHUNK_LINE_BYTES_MAX {
        return Err(broken("the length of a chunk does not end"));
    }
    Ok(end)
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(bytes).map_err(|_| broken("its head is no text"))?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let version = first.strip_prefix("HTTP/1.").ok_or_else(|| broken("its first line"))?;
    let status = version.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(|| broken("it has no status"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    let header = |wanted: &str| {
        let mut headers = headers.iter();
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    };
    let says = |name: &str, word: &str| {
        header(name).is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let length = match header("content-length") {
        // They have no body, also where they say how long that of another answer would be (RFC 9110, 8.6).
        _ if status == 204 || status == 304 || (100..200).contains(&status) => Length::Bytes(0),
        _ if says("transfer-encoding", "chunked") => Length::Chunks,
        Some(length) => Length::Bytes(length.parse().map_err(|_| broken("its length is no number"))?),
        None => Length::ToTheEnd,
    };
    let is_kept = if version.starts_with('1') {
        !says("connection", "close")
    } else {
        says("connection", "keep-alive")
    };
    Ok(Head { status, headers, length, is_kept: is_kept && length != Length::ToTheEnd })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads bytes piece by piece, of which each has `step`.
    fn read(bytes: &[u8], step: usize) -> io::Result<Option<(HttpAnswer, bool)>> {
        let mut reader = AnswerReader::new(20);
        for piece in bytes.chunks(step) {
            if let Some(found) = reader.take()? {
                return Ok(Some(found));
            }
            reader.bytes.extend_from_slice(piece);
        }
        match reader.take()? {
            Some(found) => Ok(Some(found)),
            None => Ok(reader.end()?.map(|answer| (answer, false))),
        }
    }

    fn body(text: &str, step: usize) -> (u16, String, bool) {
        let (answer, is_kept) = read(text.as_bytes(), step).unwrap().unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap(), is_kept)
    }

    #[test]
    fn answers_are_read_in_pieces_of_any_size() {
        for step in [1, 2, 3, 7, 1000] {
            let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n{}";
            assert_eq!(body(plain, step), (200, "{}".into(), true));
            let continued = format!("HTTP/1.1 100 Continue\r\n\r\n{plain}");
            assert_eq!(body(&continued, step), (200, "{}".into(), true));
            let closed = "HTTP/1.1 404 No\r\nconnection: close\r\nContent-Length: 0\r\n\r\n";
            assert_eq!(body(closed, step), (404, String::new(), false));
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n";
            assert_eq!(body(chunked, step), (200, "abcde".into(), true));
            assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nto the end", step), (200, "to the end".into(), false));
            for none in ["304 X\r\nContent-Length: 7", "204 X\r\nTransfer-Encoding: chunked"] {
                let (status, text, is_kept) = body(&format!("HTTP/1.1 {none}\r\n\r\n"), step);
                assert!((status == 204 || status == 304) && text.is_empty() && is_kept, "{none}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_or_too_long_is_an_error() {
        for wrong in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\n\r\nlonger than twenty bytes",
        ] {
            assert!(read(wrong.as_bytes(), 5).is_err(), "{wrong}");
        }
        let endless = vec![b'x'; HEAD_BYTES_MAX + 10];
        assert!(read(&endless, 10_000).is_err());
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
        assert_eq!(read(cut.as_bytes(), 9).unwrap(), None);
    }
}
