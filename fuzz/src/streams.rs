//! What servers send by themselves: streams of events, and messages of a WebSocket behind its handshake.

use crate::{choice, queues};

/// Data that begins with one of so many bytes, behind those of stores, is a stream.
pub const COUNT: u8 = TABLES.len() as u8;

type Options = &'static [(&'static str, &'static str)];

const TABLES: [(&str, Options); 2] = [
    ("sse", &[("url", "http://server/events"), ("deduplicate", "true")]),
    (
        "websocket",
        &[
            ("url", "ws://server/feed"),
            ("open-message", "{\"after\":\"{cursor}\"}"),
            ("cursor.pointer", "/c"),
            ("cursor.initial", "0"),
            ("id.pointer", "/id"),
            ("max-message-size", "1 kb"),
        ],
    ),
];

/// The first byte chooses the protocol.
pub fn follow(data: &[u8]) {
    let Some((first, said)) = choice(data) else { return };
    let (name, options) = TABLES[usize::from(first) % TABLES.len()];
    queues::follow(name, options, said);
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
/// The key of a handshake is the same every time here, and so is its answer.
const UPGRADED: &str = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: iaJ41DPjhsQ5WyA1w3/s7pqlXnU=\r\n\r\n";

/// A frame as a server sends it, short.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

fn kinds() -> [Vec<u8>; 5] {
    let messages = [
        frame(0x81, b"{\"id\":1,\"c\":\"a\"}"),
        frame(0x89, b"ping"),
        frame(0x02, b"{\"id\""),
        frame(0x80, b":2}"),
        frame(0x88, b"\x03\xe9bye"),
    ];
    let events = "\u{feff}: hi\r\nretry: 10\r\nevent: a\r\nid: 1\r\ndata: {\"id\":1,\r\ndata:\"name\":\"x\"}\r\n\r\ndata\n\nid\n\n";
    let chunk =
        format!("{STREAM}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{events}\r\n0\r\n\r\n", events.len());
    let with = |first: u8, said: &[u8]| [&[first], said].concat();
    [
        with(0, format!("{STREAM}\r\n{events}").as_bytes()),
        with(0, chunk.as_bytes()),
        with(0, b"HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno"),
        with(1, &[UPGRADED.as_bytes(), &messages.concat()].concat()),
        with(1, b"HTTP/1.1 401 X\r\nContent-Length: 3\r\n\r\nwho"),
    ]
}

pub fn seeds(first: u8) -> Vec<Vec<u8>> {
    let mut seeds = kinds().to_vec();
    seeds.iter_mut().for_each(|seed| seed[0] += first);
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are not understood would try nothing.
    #[test]
    fn seeds_are_streams() {
        let came = |seed: &Vec<u8>| {
            let (name, options) = TABLES[usize::from(seed[0])];
            queues::follow(name, options, &seed[1..])
        };
        assert_eq!(kinds().each_ref().map(came), [2, 2, 0, 2, 0]);
    }
}
