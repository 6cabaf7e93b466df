//! One HTTP/1.1 request and its answer over a connection of its own: all that talking to a JSON service needs.
//!
//! No connection is kept: requests are rare. Every length is bounded, and a peer that stops sending meets a time-out.

use crate::network::{Network, Stream};
use std::io;
use std::time::Duration;

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;

#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub method: &'a str,
    /// `host:port`.
    pub address: &'a str,
    /// Begins with `/`.
    pub path: &'a str,
    /// Besides the host, the connection and the body's length.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Sends a request and reads its answer; each wait may take `timeout`.
pub fn exchange(network: &dyn Network, request: &Request<'_>, timeout: Duration) -> io::Result<Answer> {
    // Before it connects: what must not be sent asks nobody.
    let bytes = written(request)?;
    let stream = network.connect(request.address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    exchange_bytes(stream.as_ref(), &bytes)
}

/// The same over a connection that is there, and ends with the answer.
pub fn exchange_over(stream: &dyn Stream, request: &Request<'_>) -> io::Result<Answer> {
    exchange_bytes(stream, &written(request)?)
}

/// The bytes of a request; what would break its head is refused.
fn written(request: &Request<'_>) -> io::Result<Vec<u8>> {
    let Request { method, address, path, headers, body } = request;
    let texts = headers.iter().flat_map(|(name, value)| [*name, *value]).chain([*method, *address, *path]);
    if texts.into_iter().any(|text| text.contains(['\r', '\n', '\0'])) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a line break in the head of a request"));
    }
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in *headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    Ok(bytes)
}

fn exchange_bytes(stream: &dyn Stream, bytes: &[u8]) -> io::Result<Answer> {
    stream.write_all(bytes)?;
    let answer = read_answer(stream);
    stream.shutdown();
    answer
}

fn read_answer(stream: &dyn Stream) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    // Where the answer ends, once its head says so; otherwise it ends with the connection.
    let mut length = None;
    loop {
        if length.is_some_and(|length| bytes.len() >= length) {
            break;
        }
        let count = match stream.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
            }
            other => other?,
        };
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
        if length.is_none() {
            length = end_of(&bytes);
        }
    }
    parse(&bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP, or was cut short"))
}

/// The head of an answer, and where its body begins.
fn head_of(answer: &[u8]) -> Option<(&str, usize)> {
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..head_end]).ok()?, head_end + 4))
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut headers = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

/// Where an answer ends, if its head is there and gives a length.
fn end_of(answer: &[u8]) -> Option<usize> {
    let (head, body) = head_of(answer)?;
    if header(head, "transfer-encoding").is_some() {
        return None;
    }
    body.checked_add(header(head, "content-length")?.parse().ok()?)
}

/// An answer that was read to its end.
pub fn parse(answer: &[u8]) -> Option<Answer> {
    let (head, body) = head_of(answer)?;
    let body = &answer[body..];
    let status = head.split("\r\n").next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = match (header(head, "transfer-encoding"), header(head, "content-length")) {
        (Some(encoding), _) if encoding.eq_ignore_ascii_case("chunked") => unchunked(body)?,
        // An answer that was cut short is no answer.
        (_, Some(length)) => body.get(..length.parse().ok()?)?.to_vec(),
        _ => body.to_vec(),
    };
    Some(Answer { status, body })
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..line_end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk_end = line_end.checked_add(2)?.checked_add(size)?;
        body.extend_from_slice(bytes.get(line_end + 2..chunk_end)?);
        bytes = bytes.get(chunk_end.checked_add(2)?..)?;
    }
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Option<Answer> {
        Some(Answer { status, body: body.into() })
    }

    #[test]
    fn answers_are_taken_apart_and_broken_ones_are_none() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}extra";
        assert_eq!(parse(plain), answer(200, "{}"));
        assert_eq!(end_of(plain), Some(plain.len() - 5));
        let chunked = b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked), answer(404, "{\"a\":1}"));
        assert_eq!(end_of(chunked), None);
        assert_eq!(parse(b"HTTP/1.0 202 Accepted\r\n\r\n"), answer(202, ""));
        for end in 0..plain.len() - 5 {
            assert_eq!(parse(&plain[..end]), None, "{end}");
        }
        for end in 0..chunked.len() - 4 {
            assert_eq!(parse(&chunked[..end]), None, "{end}");
        }
        let huge = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx";
        assert_eq!(parse(huge), None);
        assert_eq!(parse(b"SSH-2.0\r\n\r\n"), None);
    }

    #[test]
    fn segments_are_escaped() {
        assert_eq!(segment("delays-1_a.b~"), "delays-1_a.b~");
        assert_eq!(segment("a/b c?ü"), "a%2Fb%20c%3F%C3%BC");
    }

    #[test]
    fn a_request_goes_over_a_network_and_line_breaks_do_not() {
        let network = crate::network::real::RealNetwork::default();
        let listener = network.listen("127.0.0.1:0").unwrap();
        let address = listener.address();
        let server = std::thread::spawn(move || {
            let stream = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).unwrap();
            // The connection stays open: the length alone ends the answer.
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            let _ = stream.read(&mut request[count..]);
            String::from_utf8(request[..count].to_vec()).unwrap()
        });
        let request =
            Request { method: "POST", address: &address, path: "/a", headers: &[("X-A", "1")], body: b"{}" };
        assert_eq!(
            exchange(&network, &request, Duration::from_secs(30)).unwrap(),
            answer(200, "ok").unwrap()
        );
        let seen = server.join().unwrap();
        assert!(
            seen.starts_with("POST /a HTTP/1.1\r\n")
                && seen.contains("X-A: 1\r\n")
                && seen.ends_with("\r\n\r\n{}")
        );
        let split = Request { headers: &[("X-A", "1\r\nX-B: 2")], ..request };
        let refused = exchange(&network, &split, Duration::from_secs(30)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
