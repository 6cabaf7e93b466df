//! A small blocking HTTP client: one JSON request and its answer per connection, to a node on this machine.

use anyhow::{Context, bail};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How long a node may take to connect and to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct HttpClient {
    address: SocketAddr,
}

impl HttpClient {
    pub fn new(address: &str) -> anyhow::Result<HttpClient> {
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        let parsed = address.replace("localhost:", "127.0.0.1:").parse();
        let address = parsed.with_context(|| {
            format!("'{address}' is not an address: write IP:PORT, for example {}", crate::cli::HTTP_ADDRESS)
        })?;
        Ok(HttpClient { address })
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.request("GET", path, "")
    }

    pub fn patch(&self, path: &str) -> anyhow::Result<Value> {
        self.request("PATCH", path, "")
    }

    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.request("POST", path, &body.to_string())
    }

    fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let answer = self.exchange(method, path, body).with_context(|| {
            format!(
                "cannot ask the node on {}; is it running? --http ADDR or --data DIR says which one is meant",
                self.address
            )
        })?;
        let (status, text) = parse(&answer)
            .with_context(|| format!("the answer of {} to {method} {path} is not HTTP", self.address))?;
        let value: Value = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text)
                .with_context(|| format!("the answer of {} to {method} {path} is not JSON", self.address))?,
        };
        if !(200..300).contains(&status) {
            let reason = value["errors"].as_array().and_then(|errors| errors.first()?.as_str());
            // A stack trace, as Flink sends it, says in its first line what happened.
            match reason.and_then(|reason| reason.lines().next()) {
                Some(reason) => bail!("{reason}"),
                None => bail!("{} answers {method} {path} with status {status}", self.address),
            }
        }
        Ok(value)
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// The status and the body of an answer that was read to its end.
fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..head_end]).ok()?;
    let body = &answer[head_end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let header = |wanted: &str| {
        let mut headers = lines.clone().filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let body = match (header("transfer-encoding"), header("content-length")) {
        (Some(encoding), _) if encoding.eq_ignore_ascii_case("chunked") => unchunked(body)?,
        // An answer that was cut short is no answer.
        (_, Some(length)) => body.get(..length.parse().ok()?)?.to_vec(),
        _ => body.to_vec(),
    };
    Some((status, String::from_utf8(body).ok()?))
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

    #[test]
    fn answers_are_taken_apart_and_broken_ones_are_none() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}extra";
        assert_eq!(parse(plain), Some((200, "{}".into())));
        let chunked = b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked), Some((404, "{\"a\":1}".into())));
        assert_eq!(parse(b"HTTP/1.0 202 Accepted\r\n\r\n"), Some((202, String::new())));
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
}
