//! What a sender of syslog says over one connection: where messages end, and what each of them is.

use crate::tables;
use connectors::Connectors;
use dataflow::feed::FeedRequest;
use dataflow::table::{MetadataColumn, TableDefinition};
use os::sim::SimOs;
use os::{Listener, Network, Os, Stream};
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What stands before what a sender says.
pub const FIRST: u8 = b'L';

/// What there is of the connection: nobody has come, it is heard, it has ended, nobody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Coming,
    Heard,
    Ended,
    Closed,
}

type Shared = Arc<(Mutex<At>, Condvar)>;

struct Senders {
    said: Vec<u8>,
    at: Shared,
}

struct Door {
    said: Vec<u8>,
    at: Shared,
}

struct Says {
    left: Mutex<io::Cursor<Vec<u8>>>,
    at: Shared,
}

fn set(shared: &Shared, at: At) {
    *shared.0.lock().expect("no thread panics") = at;
    shared.1.notify_all();
}

fn wait_for(shared: &Shared, wanted: &[At]) {
    let at = shared.0.lock().expect("no thread panics");
    drop(shared.1.wait_while(at, |at| !wanted.contains(at)).expect("no thread panics"));
}

impl Network for Senders {
    fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Door { said: self.said.clone(), at: self.at.clone() }))
    }

    fn connect(&self, _: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Listener for Door {
    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        let is_first = *self.at.0.lock().expect("no thread panics") == At::Coming;
        if is_first {
            set(&self.at, At::Heard);
            return Ok(Box::new(Says {
                left: Mutex::new(io::Cursor::new(self.said.clone())),
                at: self.at.clone(),
            }));
        }
        wait_for(&self.at, &[At::Closed]);
        Err(io::ErrorKind::NotConnected.into())
    }

    fn address(&self) -> String {
        "here".into()
    }

    fn close(&self) {
        set(&self.at, At::Closed);
    }
}

impl Stream for Says {
    /// In small pieces, so that they end anywhere.
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let length = out.len().min(7);
        io::Read::read(&mut *self.left.lock().expect("no thread panics"), &mut out[..length])
    }

    fn write_all(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self) {}

    fn peer_address(&self) -> String {
        "sender".into()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for Says {
    fn drop(&mut self) {
        set(&self.at, At::Ended);
    }
}

/// The values of what lands, and whether each is a message.
fn landed(said: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let at: Shared = Arc::new((Mutex::new(At::Coming), Condvar::new()));
    let network = Senders { said: said.to_vec(), at: at.clone() };
    let os = Os { network: Arc::new(network), ..SimOs::new(1).os() };
    let connectors = connectors::table(Connectors { os, log: None });
    let connector = connectors.find("syslog").expect("a connector");
    let table = tables::table(&[
        ("connector", "syslog"),
        ("listen", "tcp://127.0.0.1:0"),
        ("format", "json"),
        ("max-message-size", "480"),
    ]);
    let metadata = connector.metadata().into_iter().map(|spec| MetadataColumn {
        name: spec.key.into(),
        key: spec.key.into(),
        data_type: spec.data_type,
        is_virtual: true,
    });
    let table = Arc::new(TableDefinition { metadata: metadata.collect(), ..(*table).clone() });
    let mut feed =
        connector.feed(FeedRequest { table, identity: "job".into() }).expect("a table that is right");
    feed.open(None).expect("it listens");
    wait_for(&at, &[At::Ended]);
    let mut found = Vec::new();
    loop {
        let haul = feed.poll(0).expect("what has come");
        if haul.records.is_empty() {
            return found;
        }
        for record in haul.records {
            let is_message = record.headers.iter().all(|(name, _)| name != "u:");
            found.push((record.value.unwrap_or_default(), is_message));
        }
    }
}

pub fn hear(data: &[u8]) {
    let found = landed(data);
    let bytes: usize = found.iter().map(|(value, _)| value.len()).sum();
    assert!(bytes <= data.len(), "{bytes} bytes of {}", data.len());
    assert!(found.iter().all(|(value, _)| value.len() <= 480));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "<165>1 2003-10-11T22:14:15.003Z host app 7 ID47 [a@1 b=\"c\\\"d\"][e] text\n<34>Oct 11 22:14:15 host su[1]: no\n",
        "17 <34>1 - - - - - -35 <1>2026-11-29T12:00:00Z host app: x",
        "<13>Feb 29 12:00:00 host a: b\0<13>app: c\r\n12:30 no message\n999999999 x\n",
        "99 <1>cut",
    ];
    texts.iter().map(|text| [&[FIRST], text.as_bytes()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are not understood would try nothing.
    #[test]
    fn seeds_are_messages() {
        let texts = |said: &[u8]| -> Vec<(String, bool)> {
            let told = |(value, is_message): (Vec<u8>, bool)| {
                (String::from_utf8_lossy(&value).into_owned(), is_message)
            };
            landed(said).into_iter().map(told).collect()
        };
        let seeds = seeds();
        assert_eq!(texts(&seeds[0][1..]), [("text".into(), true), ("no".into(), true)]);
        assert_eq!(texts(&seeds[3][1..]), [("<1>cut".into(), false)]);
    }
}
