//! A client that keeps its connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing takes so long unless it never ends.
const LIMIT: Duration = Duration::from_secs(60);

pub const REQUEST: &[u8] = b"GET /config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(to: SocketAddr) -> Connection {
        Connection::over(TcpStream::connect(to).expect("the server listens"))
    }

    pub fn over(stream: TcpStream) -> Connection {
        stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
        Connection(BufReader::with_capacity(512, stream))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// The status of the next answer, whose body is read.
    pub fn status(&mut self) -> io::Result<u16> {
        Ok(self.answer()?.0)
    }

    fn answer(&mut self) -> io::Result<(u16, String)> {
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        while line != "\r\n" {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let lower = line.to_lowercase();
            status = status.or_else(|| lower.split(' ').nth(1)?.parse().ok());
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status.expect("a status"), String::from_utf8(body).expect("a text")))
    }

    /// A number without labels that the server measures.
    pub fn metric(&mut self, name: &str) -> usize {
        self.send(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").expect("it is open");
        let (status, page) = self.answer().expect("an answer");
        assert_eq!(status, 200, "{page}");
        let row = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        row.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no {name}: {page}"))
    }

    pub fn ask(&mut self) -> io::Result<u16> {
        self.send(REQUEST)?;
        self.status()
    }

    /// Waits until the server has closed it.
    pub fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}
