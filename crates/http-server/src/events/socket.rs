//! WebSockets (RFC 6455): each record, row or deletion is a message of JSON, which says where to go on behind it.
//!
//! `frames` knows the bytes; what is read and written, and when, is decided here. Nothing further is read of the log before the client has taken what was sent, and a client that takes nothing for
//! a minute loses its place, as with every answer. It has nothing to send but control frames.
//!
//! The connection stays that of the request: it is counted, and the server waits for it when it stops.

use super::feed::{BEAT, Ended, Feed, Message, Part};
use super::frames::{self, Came, Code, Kind, Wrong};
use crate::body::Body;
use crate::reply::Reply;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// What is spoken; a client that offers protocols is told which one it is.
const PROTOCOL: &str = "eventwright.json";
/// Browsers send no Authorization with a WebSocket. They can offer protocols, one of which may say who they are, in the
/// way that Kubernetes has: the part behind it is base64url without padding.
const CREDENTIALS: [(&str, &str); 2] = [
    ("base64url.bearer.authorization.eventwright.", "Bearer"),
    ("base64url.basic.authorization.eventwright.", "Basic"),
];
/// RFC 6455 has a client prove with it that the server knows what it answers.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION: &str = "13";

const READ_BYTES: usize = 4 << 10;
/// Of the buffer for what is sent, so much stays between two parts.
const BUFFER_BYTES_KEPT: usize = 64 << 10;
/// A client from which nothing has come for so long, though it was asked by pings, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to close behind us.
const CLOSE_MAX: Duration = Duration::from_secs(1);
const DRAINED_BYTES_MAX: usize = 1 << 20;

/// What goes on with a connection behind its last answer.
pub(crate) type Talk = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the talk of a connection, whose requests have this among their extensions.
#[derive(Clone, Default)]
pub(crate) struct Upgrades(Arc<Mutex<Option<Talk>>>);

impl Upgrades {
    pub(crate) fn take(&self) -> Option<Talk> {
        self.talk().take()
    }

    fn talk(&self) -> MutexGuard<'_, Option<Talk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Has what a WebSocket's protocols say of who asks stand where other requests have it.
pub(crate) fn take_credential(head: &mut Parts) -> Result<(), &'static str> {
    if head.method != Method::GET || !is_asked(&head.headers) {
        return Ok(());
    }
    let mut found = None;
    let mut others = Vec::new();
    for token in tokens(&head.headers, &SEC_WEBSOCKET_PROTOCOL) {
        let credential =
            CREDENTIALS.iter().find_map(|(prefix, scheme)| Some((*scheme, token.strip_prefix(prefix)?)));
        match credential {
            None => others.push(token.to_owned()),
            Some(_) if found.is_some() => return Err("two of the protocols say who asks"),
            Some(credential) => found = Some(authorization(credential)?),
        }
    }
    let Some(authorization) = found else { return Ok(()) };
    if head.headers.contains_key(AUTHORIZATION) {
        return Err("a protocol says who asks, and there is an Authorization header as well");
    }
    head.headers.insert(AUTHORIZATION, authorization);
    head.headers.remove(SEC_WEBSOCKET_PROTOCOL);
    // Browsers want one of those that they offered, and the secret is never sent back.
    if !others.iter().any(|other| other == PROTOCOL) {
        return Err("beside the protocol that says who asks, offer 'eventwright.json'");
    }
    head.headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    Ok(())
}

fn authorization((scheme, coded): (&str, &str)) -> Result<HeaderValue, &'static str> {
    let damaged = "the protocol that says who asks has no base64url without padding";
    let bytes = URL_SAFE_NO_PAD.decode(coded).map_err(|_| damaged)?;
    let text = match scheme {
        "Basic" => format!("Basic {}", STANDARD.encode(bytes)),
        _ => format!("Bearer {}", String::from_utf8(bytes).map_err(|_| damaged)?),
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| damaged)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Agrees to a WebSocket, and sees to it that the connection goes on with it.
pub(super) fn answer(head: &Parts, feed: Feed, place: OwnedSemaphorePermit) -> Response<Body> {
    let (response, upgrade, upgrades) = match agree(head) {
        Ok(agreed) => agreed,
        Err(refusal) => {
            let mut response = refusal.into_response();
            if response.status() == StatusCode::UPGRADE_REQUIRED {
                response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            return response.map(Body::from);
        }
    };
    super::follows(head, place);
    let talk = Box::pin(async move {
        // A client that went away before is gone.
        let Ok(stream) = upgrade.await else { return };
        talk(feed, Socket::new(stream)).await;
    });
    *upgrades.talk() = Some(talk);
    response.map(Body::from)
}

type Agreed = (Response<Full<Bytes>>, OnUpgrade, Upgrades);

fn agree(head: &Parts) -> Result<Agreed, Reply> {
    let bad = |words: &str| Reply::error(StatusCode::BAD_REQUEST, words);
    let versions: Vec<&str> = tokens(&head.headers, &SEC_WEBSOCKET_VERSION).collect();
    if versions != [VERSION] {
        let words = "a WebSocket is spoken here in version 13: 'Sec-WebSocket-Version: 13'";
        return Err(Reply::error(StatusCode::UPGRADE_REQUIRED, words));
    }
    let mut keys = head.headers.get_all(SEC_WEBSOCKET_KEY).into_iter();
    let key = keys.next().filter(|_| keys.next().is_none()).map(HeaderValue::as_bytes);
    let is_key = |key: &&[u8]| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    let key = key.filter(is_key).ok_or_else(|| bad("'Sec-WebSocket-Key' is 16 bytes in base64"))?;
    let connects = head.version == Version::HTTP_11 && has_token(&head.headers, &CONNECTION, "upgrade");
    let upgrade = head.extensions.get::<OnUpgrade>().filter(|_| connects).cloned();
    let upgrades = head.extensions.get::<Upgrades>().cloned();
    let (upgrade, upgrades) = upgrade
        .zip(upgrades)
        .ok_or_else(|| bad("a WebSocket is asked for by HTTP/1.1 and 'Connection: Upgrade'"))?;
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize());
    let accept = HeaderValue::try_from(accept).map_err(|_| bad("'Sec-WebSocket-Key' is no text"))?;
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if has_token(&head.headers, &SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok((response, upgrade, upgrades))
}

/// Why a talk ends.
enum End {
    /// The client has closed it, or is gone.
    Gone,
    /// We do.
    Close(Code, String),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

impl From<Wrong> for End {
    fn from(wrong: Wrong) -> End {
        End::Close(wrong.code, wrong.words.into())
    }
}

struct Socket {
    stream: TokioIo<Upgraded>,
    came: BytesMut,
    going: BytesMut,
    pinged: Instant,
    /// The first ping behind which nothing has come.
    unanswered: Option<Instant>,
}

impl Socket {
    fn new(stream: Upgraded) -> Socket {
        Socket {
            stream: TokioIo::new(stream),
            came: BytesMut::new(),
            going: BytesMut::new(),
            pinged: Instant::now(),
            unanswered: None,
        }
    }

    /// Waits for what the client sends, and pings it; ends only with the talk, and may be dropped at any time.
    async fn listen(&mut self) -> End {
        loop {
            match self.hear().await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn hear(&mut self) -> Result<(), End> {
        let mut bytes = [0; READ_BYTES];
        let due = self.pinged + BEAT;
        let count = tokio::select! {
            // What was said while we were busy counts.
            biased;
            read = self.stream.read(&mut bytes) => read?,
            () = tokio::time::sleep_until(due) => {
                let now = Instant::now();
                if now - *self.unanswered.get_or_insert(now) >= SILENCE_MAX {
                    return Err(End::Gone);
                }
                self.pinged = now;
                frames::put(&mut self.going, Kind::Ping, b"");
                return self.flush().await;
            }
        };
        if count == 0 {
            return Err(End::Gone);
        }
        self.unanswered = None;
        self.came.extend_from_slice(&bytes[..count]);
        while let Some(came) = frames::take(&mut self.came)? {
            match came {
                Came::Ping(words) => frames::put(&mut self.going, Kind::Pong, &words),
                Came::Pong => {}
                Came::Close(words) => {
                    frames::put(&mut self.going, Kind::Close, &words);
                    self.flush().await?;
                    return Err(End::Gone);
                }
            }
        }
        self.flush().await
    }

    fn put(&mut self, text: &str) {
        frames::put(&mut self.going, Kind::Text, text.as_bytes());
    }

    /// Has the client take everything. Who drops it half way goes on with the rest later.
    async fn flush(&mut self) -> Result<(), End> {
        while !self.going.is_empty() {
            self.stream.write_buf(&mut self.going).await?;
        }
        if self.going.capacity() > BUFFER_BYTES_KEPT {
            self.going = BytesMut::new();
        }
        Ok(self.stream.flush().await?)
    }

    async fn send(&mut self, part: Part) -> Result<(), End> {
        match part {
            Part::Rows(count) => self.put(&format!("{{\"rows\":{count}}}")),
            Part::Place(next) => self.put(&format!("{{\"next\":\"{next}\"}}")),
            Part::Messages(messages) => {
                for message in messages {
                    self.put(&text_of(message));
                }
            }
            // Pings go out anyway.
            Part::Quiet => return Ok(()),
            Part::Ended(why) => return Err(self.ended(why)),
        }
        self.flush().await
    }

    fn ended(&mut self, why: Ended) -> End {
        let (code, words) = match why {
            Ended::Time => (Code::Away, "ten minutes are over; come again with what was next".to_owned()),
            Ended::Changed => {
                let words = "what is followed was made anew or has got partitions; come again".to_owned();
                (Code::Away, words)
            }
            Ended::Stopping => (Code::Away, "the node stops".to_owned()),
            Ended::Denied => (Code::Policy, "the right to read it is gone".to_owned()),
            Ended::Failed(words) => {
                self.put(&serde_json::json!({ "errors": [words] }).to_string());
                (Code::Failed, words)
            }
        };
        End::Close(code, words)
    }

    /// Says why, and gives the client a moment to take it.
    async fn close(mut self, code: Code, words: &str) -> Result<(), End> {
        frames::put_close(&mut self.going, code, words);
        self.flush().await?;
        self.stream.shutdown().await?;
        // What the client still sends is read: a socket that is closed before is reset, and takes our words with it.
        let mut left = DRAINED_BYTES_MAX;
        let mut bytes = [0; READ_BYTES];
        let drained = async {
            while left > 0 {
                match self.stream.read(&mut bytes).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => left = left.saturating_sub(count),
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE_MAX, drained).await;
        Ok(())
    }
}

/// An object of JSON with the position behind it.
fn text_of(message: Message) -> String {
    let Message { mut json, next } = message;
    if let Some(next) = next
        && json.pop() == Some('}')
    {
        let comma = if json.ends_with('{') { "" } else { "," };
        json.push_str(&format!("{comma}\"next\":\"{next}\"}}"));
    }
    json
}

async fn talk(mut feed: Feed, mut socket: Socket) {
    let end = loop {
        let part = {
            let mut next = pin!(feed.next());
            tokio::select! {
                part = &mut next => part,
                end = socket.listen() => break end,
            }
        };
        if let Err(end) = socket.send(part).await {
            break end;
        }
    };
    match end {
        End::Close(code, words) => {
            let _ = socket.close(code, &words).await;
        }
        End::Gone => {
            let _ = socket.stream.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn head(headers: &[(HeaderName, &str)]) -> Parts {
        let mut request = Request::builder().method(Method::GET).uri("/topics/a");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_protocol_says_who_asks() {
        let credential = |headers: &[(HeaderName, &str)]| {
            let mut head = head(headers);
            take_credential(&mut head).map(|()| {
                let text = |name: HeaderName| {
                    head.headers.get(name).and_then(|value| value.to_str().ok().map(str::to_owned))
                };
                (text(AUTHORIZATION), text(SEC_WEBSOCKET_PROTOCOL))
            })
        };
        let with = |protocols: &'static str| [(UPGRADE, "WebSocket"), (SEC_WEBSOCKET_PROTOCOL, protocols)];
        let bearer = "eventwright.json, base64url.bearer.authorization.eventwright.YS5iLmM";
        let own = Some(PROTOCOL.to_owned());
        assert_eq!(credential(&with(bearer)), Ok((Some("Bearer a.b.c".into()), own.clone())));
        let basic = "base64url.basic.authorization.eventwright.w6RsaWNlOng, other, eventwright.json";
        assert_eq!(credential(&with(basic)), Ok((Some("Basic w6RsaWNlOng=".into()), own)));
        assert_eq!(credential(&with("other")), Ok((None, Some("other".into()))));
        // Elsewhere it is a header like any other.
        assert_eq!(credential(&with(bearer)[1..]), Ok((None, Some(bearer.into()))));
        for wrong in [
            "base64url.bearer.authorization.eventwright.YS5iLmM",
            "eventwright.json, base64url.bearer.authorization.eventwright.?",
            "eventwright.json, base64url.bearer.authorization.eventwright.YQpi",
            "eventwright.json, base64url.bearer.authorization.eventwright.YQ, base64url.bearer.authorization.eventwright.YQ",
        ] {
            credential(&with(wrong)).unwrap_err();
        }
        let twice = [&with(bearer)[..], &[(AUTHORIZATION, "Basic YTpi")]].concat();
        credential(&twice).unwrap_err();
    }

    #[test]
    fn positions_stand_in_messages() {
        let text = |json: &str, next: Option<&str>| {
            text_of(Message { json: json.into(), next: next.map(str::to_owned) })
        };
        assert_eq!(text("{\"a\":1}", Some("0:1")), "{\"a\":1,\"next\":\"0:1\"}");
        assert_eq!(text("{}", Some("0:1")), "{\"next\":\"0:1\"}");
        assert_eq!(text("{\"a\":1}", None), "{\"a\":1}");
    }

    /// The example of RFC 6455.
    #[test]
    fn the_key_is_answered_as_the_standard_says() {
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize());
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
