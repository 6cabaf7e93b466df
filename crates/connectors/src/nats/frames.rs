//! What a server of NATS says: lines, some of which have headers and bytes behind them.
//!
//! The protocol is described at <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use crate::landed::Headers;
use crate::messages::{Done, EVENTS_BYTES_MAX, ServerError};

/// A longer line is none; `INFO` names all servers of a cluster.
const LINE_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Info(Vec<u8>),
    Message(Message),
    Ping,
    Pong,
    Ok,
    Error(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Of the subscription.
    pub sid: u64,
    pub subject: String,
    pub reply: Option<String>,
    /// What the server itself says in place of a message.
    pub status: Option<(u16, String)>,
    pub headers: Headers,
    pub payload: Vec<u8>,
    /// Why its headers cannot be read, which then are part of the payload.
    pub problem: Option<String>,
}

impl Message {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let headers =
            self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 48);
        self.subject.len() + self.payload.len() + headers.sum::<usize>() + 64
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

/// The first frame of `bytes` and its length, if it is there as a whole.
pub(super) fn parse(bytes: &[u8]) -> Done<Option<(Frame, usize)>> {
    let searched = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = searched.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() {
            0..LINE_BYTES_MAX => Ok(None),
            _ => Err(ServerError::malformed(&format!("a line exceeds limit={LINE_BYTES_MAX}"))),
        };
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| ServerError::malformed("a line is no text"))?;
    let behind = end + 2;
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let frame = match word.to_ascii_uppercase().as_str() {
        "MSG" => return with_payload(rest, false, &bytes[behind..], behind),
        "HMSG" => return with_payload(rest, true, &bytes[behind..], behind),
        "INFO" => Frame::Info(rest.as_bytes().to_vec()),
        "PING" => Frame::Ping,
        "PONG" => Frame::Pong,
        "+OK" => Frame::Ok,
        "-ERR" => Frame::Error(rest.trim().trim_matches('\'').to_string()),
        _ => return Err(ServerError::malformed("it says a line that the protocol does not have")),
    };
    Ok(Some((frame, behind)))
}

fn with_payload(line: &str, has_headers: bool, behind: &[u8], before: usize) -> Done<Option<(Frame, usize)>> {
    let wrong = || ServerError::malformed("a line before a message is not understood");
    let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
    let size = |word: Option<&str>| word.and_then(|word| word.parse::<usize>().ok()).ok_or_else(wrong);
    let total = size(words.pop())?;
    let headers_bytes = if has_headers { size(words.pop())? } else { 0 };
    if total > EVENTS_BYTES_MAX || headers_bytes > total {
        return Err(ServerError::malformed(&format!(
            "a message of bytes={total} exceeds limit={EVENTS_BYTES_MAX}"
        )));
    }
    let (subject, sid, reply) = match words[..] {
        [subject, sid] => (subject, sid, None),
        [subject, sid, reply] => (subject, sid, Some(reply.to_string())),
        _ => return Err(wrong()),
    };
    let Some(content) = behind.get(..total + 2) else { return Ok(None) };
    if !content.ends_with(b"\r\n") {
        return Err(wrong());
    }
    let (headers, payload) = content[..total].split_at(headers_bytes);
    let sid = sid.parse().map_err(|_| wrong())?;
    let mut message =
        Message { sid, subject: subject.to_string(), reply, payload: payload.to_vec(), ..Message::default() };
    if has_headers {
        match read_headers(headers) {
            Ok((status, headers)) => (message.status, message.headers) = (status, headers),
            // It does not stop the messages behind it.
            Err(problem) => {
                message.payload = content[..total].to_vec();
                message.problem = Some(problem);
            }
        }
    }
    Ok(Some((Frame::Message(message), before + total + 2)))
}

type Status = Option<(u16, String)>;

fn read_headers(bytes: &[u8]) -> Result<(Status, Headers), String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let first = lines.next().and_then(|line| line.strip_prefix("NATS/1.0"));
    let first = first.ok_or("headers of an unknown version")?.trim();
    let (code, words) = first.split_once(' ').unwrap_or((first, ""));
    let status = code.parse().ok().map(|code| (code, words.to_string()));
    let mut headers = Headers::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if headers.len() == HEADERS_MAX {
            return Err(format!("more than {HEADERS_MAX} headers"));
        }
        headers.push((name.to_string(), Some(value.trim().as_bytes().to_vec())));
    }
    Ok((status, headers))
}

/// Whether headers can carry it: there is no way to write a line end in them.
pub(super) fn fits_header(name: &str, value: &[u8]) -> bool {
    let is_name = !name.is_empty() && name.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b':');
    is_name && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Puts a message on its way.
pub(super) fn put(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    headers: &[(String, Vec<u8>)],
    payload: &[u8],
) {
    let reply = reply.map_or(String::new(), |reply| format!(" {reply}"));
    if headers.is_empty() {
        out.extend_from_slice(format!("PUB {subject}{reply} {}\r\n", payload.len()).as_bytes());
    } else {
        let mut block = b"NATS/1.0\r\n".to_vec();
        for (name, value) in headers {
            block.extend_from_slice(name.as_bytes());
            block.extend_from_slice(b": ");
            block.extend_from_slice(value);
            block.extend_from_slice(b"\r\n");
        }
        block.extend_from_slice(b"\r\n");
        let (size, total) = (block.len(), block.len() + payload.len());
        out.extend_from_slice(format!("HPUB {subject}{reply} {size} {total}\r\n").as_bytes());
        out.extend_from_slice(&block);
    }
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Whether a subject is one that messages are published to: tokens with dots between them, and no wildcard.
pub(super) fn is_subject(subject: &str) -> bool {
    subject.split('.').all(|token| !token.is_empty() && token != "*" && token != ">") && is_filter(subject)
}

/// The same with wildcards.
pub(super) fn is_filter(subject: &str) -> bool {
    subject.split('.').all(|token| !token.is_empty())
        && !subject.chars().any(|letter| letter.is_whitespace() || letter.is_control())
}

/// Whether a filter of a stream takes a subject.
pub(super) fn matches(filter: &str, subject: &str) -> bool {
    let (mut filters, mut tokens) = (filter.split('.'), subject.split('.'));
    loop {
        match (filters.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == "*" || wanted == found => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_when_it_is_whole() {
        let said = b"HMSG orders.new 1 reply.7 26 28\r\nNATS/1.0\r\nn: v\r\nb: a:c\r\n\r\n{}\r\nPING\r\n";
        let (frame, length) = parse(said).unwrap().unwrap();
        for cut in 0..length {
            assert_eq!(parse(&said[..cut]).unwrap(), None, "cut to {cut}");
        }
        let Frame::Message(message) = frame else { panic!("a message") };
        assert_eq!((message.subject.as_str(), message.reply.as_deref()), ("orders.new", Some("reply.7")));
        assert_eq!(
            (message.header("N").as_deref(), message.header("b").as_deref()),
            (Some("v"), Some("a:c"))
        );
        assert_eq!((message.payload, message.status), (b"{}".to_vec(), None));
        assert_eq!(parse(&said[length..]).unwrap(), Some((Frame::Ping, 6)));
    }

    #[test]
    fn a_status_has_no_message() {
        let Some((Frame::Message(message), _)) =
            parse(b"HMSG a 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n").unwrap()
        else {
            panic!("a message")
        };
        assert_eq!(message.status, Some((404, "No Messages".into())));
    }

    #[test]
    fn a_message_whose_headers_cannot_be_read_is_one_all_the_same() {
        let many = format!("NATS/1.0\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        for block in ["abcd", "NATS/2.0\r\n\r\n", &many] {
            let size = block.len();
            let said = format!("HMSG a 1 r {size} {}\r\n{block}{{}}\r\n", size + 2);
            let Some((Frame::Message(message), _)) = parse(said.as_bytes()).unwrap() else {
                panic!("a message")
            };
            assert!(message.problem.is_some() && message.headers.is_empty(), "{:?}", message.problem);
            assert_eq!(message.payload, format!("{block}{{}}").into_bytes());
        }
    }

    #[test]
    fn what_no_server_says_is_an_error() {
        for said in [
            &b"MSG a 1 x\r\n"[..],
            b"MSG a 1 99999999999\r\n",
            b"MSG 5\r\n",
            b"HMSG a 1 9 2\r\n",
            b"MSG a 1 1\r\nabcd",
            b"HELLO\r\n",
            &[0xff, b'\r', b'\n'],
            &[b'x'; LINE_BYTES_MAX],
        ] {
            assert!(parse(said).is_err(), "{:?}", String::from_utf8_lossy(&said[..said.len().min(40)]));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        put(&mut out, "a.b", Some("r"), &[("k".into(), b"v".to_vec())], b"body");
        assert_eq!(out, b"HPUB a.b r 18 22\r\nNATS/1.0\r\nk: v\r\n\r\nbody\r\n");
        assert!(fits_header("k-1", b"a: b") && !fits_header("k:", b"") && !fits_header("k", b"a\r\nb"));
    }

    #[test]
    fn filters_take_the_subjects_that_the_documentation_says() {
        for (filter, subject, takes) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a", "a.b", false),
        ] {
            assert_eq!(matches(filter, subject), takes, "{filter} {subject}");
        }
        assert!(is_subject("a.b") && !is_subject("a.*") && !is_subject("a..b") && !is_subject("a b"));
        assert!(is_filter("a.>") && !is_filter("a.\r\n"));
    }
}
