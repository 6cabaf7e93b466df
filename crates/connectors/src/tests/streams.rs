//! A server on loopback whose connections go on: each is served by what a test says of its number.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(super) struct Streams {
    /// `127.0.0.1:PORT`
    pub address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Streams {
    /// `serve` gets each connection with the head of its request, one after the other; what it gives back stays open.
    pub(super) fn start(
        mut serve: impl FnMut(usize, TcpStream, &str) -> Option<TcpStream> + Send + 'static,
    ) -> Streams {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let shared = heads.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for (number, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let Some(head) = head(&mut stream) else { continue };
                shared.lock().unwrap().push(head.clone());
                kept.extend(serve(number, stream, &head));
            }
        });
        Streams { address, heads }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Byte by byte, so that what follows is left for others.
fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

pub(super) fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

pub(super) fn say(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    // Who does not listen any more is none of the test's.
    let _ = stream.write_all(bytes.as_ref());
}
