//! A node inside the test: it answers what a closure says, in the protocol's own frames.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use kafka_wire::header::{RequestHeader, encode_response};
use kafka_wire::messages::ApiVersionsResponse;
use kafka_wire::messages::api_versions_response::ApiVersion;
use kafka_wire::{ApiKey, Message, Reader, Request};

/// What the node does with a request.
pub enum Reply {
    Frame(Vec<u8>),
    Nothing,
    Close,
}

type Handler = dyn Fn(&RequestHeader, Bytes) -> Reply + Send + Sync;

pub struct FakeNode {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeNode {
    pub fn start(handler: impl Fn(&RequestHeader, Bytes) -> Reply + Send + Sync + 'static) -> FakeNode {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, handler) = (stop.clone(), Arc::new(handler));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let handler = handler.clone();
                // It ends when the client closes its connection.
                std::thread::spawn(move || serve(stream.expect("a connection"), &*handler));
            }
        });
        FakeNode { address, stop, thread: Some(thread) }
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, handler: &Handler) {
    let mut prefix = [0; 4];
    while stream.read_exact(&mut prefix).is_ok() {
        let mut frame = vec![0; i32::from_be_bytes(prefix) as usize];
        if stream.read_exact(&mut frame).is_err() {
            return;
        }
        let mut reader = Reader::new(frame.into());
        let header = RequestHeader::decode(&mut reader).expect("the client writes headers");
        match handler(&header, reader.take_rest()) {
            Reply::Frame(bytes) if stream.write_all(&bytes).is_ok() => {}
            Reply::Nothing => {}
            Reply::Frame(_) | Reply::Close => return,
        }
    }
}

/// The request in the version that its header names.
pub fn request<R: Request>(header: &RequestHeader, body: Bytes) -> R {
    R::from_bytes(body, header.api_version).expect("the client writes valid requests")
}

/// A whole frame that answers the request.
pub fn answer<M: Message>(header: &RequestHeader, response: &M) -> Reply {
    let api = ApiKey::from_number(header.api_key).expect("a known API");
    let frame = encode_response(response, api, header.api_version, header.correlation_id);
    Reply::Frame(frame.expect("the version carries it").chunks.concat())
}

/// The node's versions: those of the wire crate, save the ones that a test gives.
pub fn versions(changed: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    let entry = |api: ApiKey| {
        let changed = changed.iter().find(|(other, _, _)| *other == api);
        let (min_version, max_version) =
            changed.map_or((*api.versions().start(), *api.versions().end()), |(_, min, max)| (*min, *max));
        ApiVersion { api_key: api.number(), min_version, max_version }
    };
    let api_keys = ApiKey::ALL.into_iter().map(entry).collect();
    ApiVersionsResponse { api_keys, ..Default::default() }
}
