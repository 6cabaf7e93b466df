//! A server of HTTP on loopback that answers as a test says, and keeps what it was asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) struct Served {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A request as it came.
pub(crate) struct Asked {
    /// Its first line and its headers.
    pub head: String,
    pub body: Vec<u8>,
}

/// A status, headers and a body; without an answer the connection ends.
pub(crate) type Answer = Option<(u16, Vec<(&'static str, String)>, Vec<u8>)>;

impl Served {
    /// Each request (its head and body as text) gets a status and a body; connections are kept.
    pub(crate) fn start(mut answer: impl FnMut(&str) -> (u16, String) + Send + 'static) -> Served {
        Served::start_with(move |asked| {
            let text = format!("{}\r\n\r\n{}", asked.head, String::from_utf8_lossy(&asked.body));
            let (status, body) = answer(&text);
            Some((status, Vec::new(), body.into_bytes()))
        })
    }

    /// The same with headers and bytes.
    pub(crate) fn start_with(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (asked.clone(), Arc::new(Mutex::new(answer)));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (shared, answer) = (shared.clone(), answer.clone());
                std::thread::spawn(move || {
                    while let Some(request) = request(&mut stream) {
                        let text =
                            format!("{}\r\n\r\n{}", request.head, String::from_utf8_lossy(&request.body));
                        shared.lock().unwrap().push(text);
                        let answered = (answer.lock().unwrap())(&request);
                        let Some((status, headers, body)) = answered else { break };
                        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                        for (name, value) in headers {
                            head.push_str(&format!("{name}: {value}\r\n"));
                        }
                        if stream.write_all(&[head.as_bytes(), b"\r\n", &body].concat()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Served { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut piece = [0; 64 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head
                .to_lowercase()
                .split_once("content-length: ")
                .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap_or_default().parse().unwrap());
            let mut body = bytes.split_off(end + 4);
            while body.len() < length {
                match stream.read(&mut piece) {
                    Ok(count @ 1..) => body.extend_from_slice(&piece[..count]),
                    _ => return None,
                }
            }
            return Some(Asked { head, body });
        }
        match stream.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
