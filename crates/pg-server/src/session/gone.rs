//! Notices that a client has gone while nothing is read from it: its statement need not be run to the end for nobody.
//!
//! What the client still sends stays in the socket, and may be under TLS; so it is the socket that is asked, by a handle of
//! its own. A client that says it will send nothing more has gone too, as to PostgreSQL.

use std::io;
use std::os::fd::AsFd;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The other end of a connection; of none, it never goes.
#[derive(Debug, Default)]
pub(crate) struct Gone(Option<TcpStream>);

impl Gone {
    /// Of a stream. Where there is no further descriptor, the client is missed only when it is written to.
    pub(crate) fn of(stream: &TcpStream) -> Gone {
        let same = || {
            let socket = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
            TcpStream::from_std(socket)
        };
        Gone(same().ok())
    }

    pub(super) async fn wait(&self) {
        let Some(socket) = &self.0 else { return std::future::pending().await };
        loop {
            match socket.ready(Interest::READABLE).await {
                Ok(ready) if ready.is_read_closed() => return,
                // Something has come, which is not ours to read: until the next thing happens.
                Ok(_) => {
                    let _ = socket.try_io(Interest::READABLE, || {
                        Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock))
                    });
                }
                // The runtime ends, and the session with it.
                Err(_) => return std::future::pending().await,
            }
        }
    }
}
