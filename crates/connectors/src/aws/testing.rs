//! A server of HTTP on loopback that answers as a test says, and keeps what it was asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(crate) struct Served {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Served {
    /// Each request (its head and body as text) gets a status and a body; connections are kept.
    pub(crate) fn start(answer: impl FnMut(&str) -> (u16, String) + Send + 'static) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (asked.clone(), Arc::new(Mutex::new(answer)));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (shared, answer) = (shared.clone(), answer.clone());
                std::thread::spawn(move || {
                    while let Some(request) = request(&mut stream) {
                        shared.lock().unwrap().push(request.clone());
                        let (status, body) = (answer.lock().unwrap())(&request);
                        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
                        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
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

fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split_once("content-length: ")
                .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap_or_default().parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        match stream.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
