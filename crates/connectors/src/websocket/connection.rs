//! One connection: the handshake over our own HTTP, and then messages.

use super::frames::{self, BINARY, CLOSE, Message, PING, PONG, Reader, TEXT, Wrong};
use super::options::{
    CURSOR_PARAMETER, OPEN_MESSAGE, OPEN_MESSAGE_TYPE, PLACE, SUBPROTOCOL, bytes_max, idle,
};
use crate::http::access::{Access, set};
use crate::http::codes::Meaning;
use crate::http_answers::{shown, words};
use crate::http_connection::HttpAnswer;
use crate::http_host::{Lost, written_head};
use crate::messages::{Done, ServerError};
use auth::socket::{Secured, monotonic, told};
use base::ErrorKind;
use base::options::Options;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::connector::Probed;
use os::Os;
use os::http::segment;
use std::io::{self, Write};
use std::time::Duration;

/// RFC 6455, 1.3: what a server adds to the key before it hashes both.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const READ_BYTES: usize = 64 << 10;
/// A farewell is not waited for.
const FAREWELL: Duration = Duration::from_millis(100);
/// Its code when nothing is wrong.
const NORMAL: u16 = 1000;

pub(super) struct Connection {
    stream: Secured,
    reader: Reader,
    buffer: Vec<u8>,
    os: Os,
    place: String,
    /// Zero is none.
    idle: Duration,
    /// When something came last, and whether a ping is not answered since.
    heard: Duration,
    has_asked: bool,
    /// The server has closed the connection for who we are.
    is_refused: bool,
    /// The server has said farewell.
    is_closed: bool,
}

/// A message of the server's.
pub(super) struct Came {
    pub is_text: bool,
    pub bytes: Vec<u8>,
}

/// What a server answers to the handshake.
enum Begun {
    Connection(Box<Connection>),
    Other(HttpAnswer),
}

/// Why the handshake has failed, and how long the server wants to be left alone.
pub(super) struct Refused {
    pub error: ServerError,
    pub answer: Option<HttpAnswer>,
}

impl From<ServerError> for Refused {
    fn from(error: ServerError) -> Refused {
        Refused { error, answer: None }
    }
}

/// The key's answer.
fn accepted(key: &str) -> String {
    let digest =
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    STANDARD.encode(digest)
}

impl Connection {
    /// Connects, and tells the server what is wanted, behind a cursor if there is one.
    pub(super) fn open(
        access: &Access,
        options: &Options,
        cursor: Option<&str>,
    ) -> Result<Connection, Refused> {
        let mut connection = match begin(access, options, cursor)? {
            Begun::Connection(connection) => *connection,
            Begun::Other(answer) => {
                let place = access.url().address();
                let said = format!("{place}: {}", words(&answer));
                let kind = match Meaning::of(answer.status) {
                    Meaning::Passing if answer.status == 429 => ErrorKind::Retry,
                    Meaning::Passing => ErrorKind::Unavailable,
                    Meaning::NoSuchPlace => ErrorKind::NotFound,
                    Meaning::NotLetIn | Meaning::Refused => ErrorKind::Invalid,
                    Meaning::Done => {
                        let message = format!("{said}; it opens no WebSocket there: look at 'url'");
                        let error = ServerError::new(ErrorKind::NotFound, message);
                        return Err(Refused { error, answer: Some(answer) });
                    }
                };
                return Err(Refused { error: ServerError::new(kind, said), answer: Some(answer) });
            }
        };
        if let Some(message) = options.text(OPEN_MESSAGE) {
            let message = filled(message, cursor.unwrap_or_default());
            let message =
                message.map_err(|error| ServerError::invalid(format!("'{OPEN_MESSAGE}': {error}")))?;
            let kind = if options.text(OPEN_MESSAGE_TYPE) == Some("binary") { BINARY } else { TEXT };
            connection.send(kind, message.as_bytes()).map_err(|error| connection.lost(&error))?;
        }
        Ok(connection)
    }

    fn now(&self) -> Duration {
        monotonic(&*self.os.clock)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Nothing is read for now, so nothing can be heard.
    pub(super) fn is_deaf(&mut self) {
        self.heard = self.now();
    }

    /// Sends a message, which may take the time-out.
    fn send(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        self.stream.begin_call();
        self.write(kind, payload)
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let [a, b, c, d, ..] = self.os.random.next_u64().to_be_bytes();
        self.stream.write_all(&frames::written(kind, payload, [a, b, c, d]))?;
        self.stream.flush()
    }

    /// The next message, after waiting for it for so long at most.
    pub(super) fn take(&mut self, wait: Duration) -> Done<Option<Came>> {
        let until = self.now().saturating_add(wait);
        let mut has_heard = false;
        loop {
            match self.reader.take() {
                Ok(Some(Message::Text(bytes))) => return Ok(Some(Came { is_text: true, bytes })),
                Ok(Some(Message::Binary(bytes))) => return Ok(Some(Came { is_text: false, bytes })),
                Ok(Some(Message::Ping(said))) => {
                    self.send(PONG, &said).map_err(|error| self.lost(&error))?;
                    continue;
                }
                Ok(Some(Message::Pong)) => continue,
                Ok(Some(Message::Close(why))) => return Err(self.closed(why)),
                Ok(None) => {}
                Err(Wrong::TooLong) => {
                    return Err(ServerError::invalid(format!(
                        "{} has sent a message that is too long; raise 'max-message-size', or ask for less",
                        self.place
                    )));
                }
                Err(Wrong::Protocol(what)) => {
                    let place = &self.place;
                    return Err(ServerError::unavailable(format!(
                        "{place} does not speak WebSocket: {what}"
                    )));
                }
            }
            let left = until.saturating_sub(self.now());
            // Pings and pieces of a message that never ends may come for ever.
            if has_heard && left.is_zero() {
                return Ok(None);
            }
            match self.stream.read_within(&mut self.buffer, left).map_err(|error| self.lost(&error))? {
                Some(0) => return Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
                Some(count) => {
                    self.reader.push(&self.buffer[..count]);
                    self.heard = self.now();
                    (self.has_asked, has_heard) = (false, true);
                }
                None => {
                    self.watch()?;
                    if self.now() >= until {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Nothing has come: asks for a sign of life, or gives up.
    fn watch(&mut self) -> Done<()> {
        let silent = self.now().saturating_sub(self.heard);
        if self.idle.is_zero() {
            return Ok(());
        }
        if silent > self.idle {
            let (place, idle) = (&self.place, self.idle);
            return Err(ServerError::unavailable(format!(
                "{place} has sent nothing for {idle:?}, and answers no ping"
            )));
        }
        if silent > self.idle / 2 && !std::mem::replace(&mut self.has_asked, true) {
            self.send(PING, b"").map_err(|error| self.lost(&error))?;
        }
        Ok(())
    }

    fn closed(&mut self, why: Option<(u16, String)>) -> ServerError {
        self.is_closed = true;
        // It wants its code back; whether it still listens does not matter.
        let code = why.as_ref().map_or_else(Vec::new, |(code, _)| code.to_be_bytes().to_vec());
        self.say_farewell(&code);
        let place = &self.place;
        let Some((code, reason)) = why else {
            return ServerError::unavailable(format!("{place} has closed the connection without a reason"));
        };
        let said = match shown(&reason) {
            reason if reason.is_empty() => format!("{place} has closed the connection with {code}"),
            reason => format!("{place} has closed the connection with {code}: {reason}"),
        };
        // Policy, and by IANA's registry: unauthorized, forbidden.
        self.is_refused = matches!(code, 1008 | 3000 | 3003);
        let kind = if self.is_refused { ErrorKind::Invalid } else { ErrorKind::Unavailable };
        ServerError::new(kind, said)
    }

    fn lost(&self, error: &io::Error) -> ServerError {
        ServerError::unavailable(format!("{}: {}", self.place, told(error)))
    }

    /// Where that is taken at once.
    fn say_farewell(&mut self, code: &[u8]) {
        self.stream.limited().begin_wait(FAREWELL);
        let _ = self.write(CLOSE, code);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_closed {
            self.say_farewell(&NORMAL.to_be_bytes());
        }
    }
}

/// The first message: what stands elsewhere in place of its references, and the cursor.
fn filled(message: &str, cursor: &str) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = message;
    loop {
        let found = [PLACE, "${env:", "${file:"].into_iter().filter_map(|begin| rest.find(begin)).min();
        let Some(at) = found else { break };
        let end = at + rest[at..].find('}').ok_or("a reference does not end")? + 1;
        filled.push_str(&rest[..at]);
        match &rest[at..end] {
            PLACE => filled.push_str(&within_string(cursor)),
            reference => {
                let value = auth::secrets::resolved(reference).map_err(|error| error.to_string())?;
                filled.push_str(&within_string(&value));
            }
        }
        rest = &rest[end..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A text as it stands within a string of JSON.
fn within_string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

fn begin(access: &Access, options: &Options, cursor: Option<&str>) -> Done<Begun> {
    let key = STANDARD.encode(
        [access.os().random.next_u64().to_be_bytes(), access.os().random.next_u64().to_be_bytes()].concat(),
    );
    let protocol = options.text(SUBPROTOCOL);
    let mut head = access.head()?;
    let own = [
        ("Connection", Some("Upgrade")),
        ("Upgrade", Some("websocket")),
        ("Sec-WebSocket-Version", Some("13")),
        ("Sec-WebSocket-Key", Some(key.as_str())),
        ("Sec-WebSocket-Protocol", protocol),
    ];
    for (name, value) in own {
        if let Some(value) = value {
            set(&mut head, name, value.to_string());
        }
    }
    let mut target = access.url().path.clone();
    if let (Some(parameter), Some(cursor)) = (options.text(CURSOR_PARAMETER), cursor) {
        let mark = if target.contains('?') { '&' } else { '?' };
        target.push_str(&format!("{mark}{}={}", segment(parameter), segment(cursor)));
    }
    let host = access.host()?;
    let mut connection = host.connection().map_err(|lost| access.lost(&lost))?;
    let lost = |error: std::io::Error| access.lost(&Lost::asking(error));
    let late = || access.lost(&Lost::Late);
    connection.send(&written_head("GET", &target, &head), host.timeout()).map_err(lost)?;
    let answer = connection.begin(host.timeout()).map_err(lost)?.ok_or_else(late)?;
    if answer.status != 101 {
        return connection.receive(host.timeout()).map_err(lost)?.map(Begun::Other).ok_or_else(late);
    }
    let place = access.url().address();
    check(&answer, &key, protocol).map_err(|what| {
        ServerError::unavailable(format!("{place} does not open a WebSocket as it should: {what}"))
    })?;
    let (mut stream, behind) = connection.into_stream();
    stream.limited().timeout = host.timeout();
    let os = access.os().clone();
    Ok(Begun::Connection(Box::new(Connection {
        stream,
        reader: Reader::new(bytes_max(options), behind),
        buffer: vec![0; READ_BYTES],
        heard: monotonic(&*os.clock),
        os,
        place,
        idle: idle(options),
        has_asked: false,
        is_refused: false,
        is_closed: false,
    })))
}

/// What is wrong with an answer of 101 (RFC 6455, 4.1).
fn check(answer: &HttpAnswer, key: &str, protocol: Option<&str>) -> Result<(), String> {
    let is = |name: &str, wanted: &str| {
        answer
            .header(name)
            .is_some_and(|value| value.split(',').any(|value| value.trim().eq_ignore_ascii_case(wanted)))
    };
    if !is("upgrade", "websocket") || !is("connection", "upgrade") {
        return Err("it opens another protocol".into());
    }
    if answer.header("sec-websocket-accept") != Some(&accepted(key)) {
        return Err("it has not read the key".into());
    }
    if answer.header("sec-websocket-extensions").is_some_and(|extensions| !extensions.is_empty()) {
        return Err("it uses extensions that were not asked for".into());
    }
    match (protocol, answer.header("sec-websocket-protocol")) {
        (wanted, agreed) if wanted == agreed => Ok(()),
        (Some(wanted), None) => Err(format!("it does not speak the subprotocol '{wanted}'")),
        (_, agreed) => Err(format!("it speaks the subprotocol '{}'", shown(agreed.unwrap_or_default()))),
    }
}

pub(super) fn probe(access: &Access, options: &Options) -> Vec<Probed> {
    let place = access.url().address();
    let cursor = options.text(super::options::CURSOR_INITIAL);
    match begin(access, options, cursor) {
        Err(error) => vec![Probed::failed("reached", error.message)],
        Ok(begun) => {
            let reached =
                Probed::well("reached", if access.url().tls { format!("{place}, over TLS") } else { place });
            let opened = match begun {
                Begun::Connection(_) => Probed::well("opened", "a WebSocket; nothing was sent over it"),
                Begun::Other(answer) if Meaning::of(answer.status) == Meaning::NotLetIn => {
                    Probed::failed("logged in", words(&answer))
                }
                Begun::Other(answer) => Probed::failed("opened", words(&answer)),
            };
            vec![reached, opened]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_checked_as_the_specification_wants() {
        // Its example, 1.3.
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let right = [
            ("Upgrade", "WebSocket"),
            ("Connection", "keep-alive, Upgrade"),
            ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("Sec-WebSocket-Protocol", "chat"),
        ];
        let with = |changed: (&'static str, &'static str)| {
            let kept = right.into_iter().filter(|(name, _)| *name != changed.0).chain([changed]);
            let headers = kept.filter(|(_, value)| *value != "-");
            let headers = headers.map(|(name, value)| (name.to_string(), value.to_string())).collect();
            check(&HttpAnswer { status: 101, headers, body: Vec::new() }, key, Some("chat"))
        };
        assert_eq!(with(("Upgrade", "websocket")), Ok(()));
        for (wrong, words) in [
            (("Upgrade", "h2c"), "another protocol"),
            (("Connection", "close"), "another protocol"),
            (("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"), "the key"),
            (("Sec-WebSocket-Extensions", "permessage-deflate"), "extensions"),
            (("Sec-WebSocket-Protocol", "-"), "does not speak the subprotocol 'chat'"),
            (("Sec-WebSocket-Protocol", "cat"), "speaks the subprotocol 'cat'"),
        ] {
            assert!(with(wrong).unwrap_err().contains(words), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_message_is_filled_and_nothing_breaks_out_of_its_strings() {
        let secret = std::env::temp_dir().join(format!("eventwright-open-{}", std::process::id()));
        std::fs::write(&secret, "pen\"cil").unwrap();
        let message = format!("{{\"a\":\"{{cursor}}\",\"t\":\"${{file:{}}}\"}}", secret.display());
        let filled_in = filled(&message, "1\"\n").unwrap();
        std::fs::remove_file(secret).unwrap();
        assert_eq!(filled_in, "{\"a\":\"1\\\"\\n\",\"t\":\"pen\\\"cil\"}");
        assert_eq!(filled("{\"op\": {\"x\": \"$\"}}", "").unwrap(), "{\"op\": {\"x\": \"$\"}}");
        assert!(filled("${env:NOT_SET_ANYWHERE}", "").is_err() && filled("${file:/x", "").is_err());
    }
}
