//! A served broker and a client of bytes, for the tests over sockets.

#![allow(dead_code, reason = "no test uses all of it")]

use broker::server::{ServerConfig, ServerHandle, start};
use broker::{Broker, BrokerConfig, Recovered};
use bytes::Bytes;
use eventlog::{EventLog, LogError, LogOptions, Recovery};
use kafka_wire::header::{decode_response_header, encode_request};
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::*;
use kafka_wire::records::{BatchBuilder, Compression};
use kafka_wire::{ApiKey, Message, Reader, Request};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything here takes; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Node {
    pub server: Option<ServerHandle>,
    pub log: EventLog,
    pub address: SocketAddr,
    pub said: Arc<Mutex<Vec<String>>>,
}

impl Node {
    pub fn start(directory: &Path, settings: &[(&str, &str)]) -> Node {
        let options =
            LogOptions { file_bytes: 1 << 20, first_file_bytes: 1 << 20, ..LogOptions::new(directory) };
        Node::start_on(os::Os::real(), options, settings)
    }

    pub fn start_on(os: os::Os, options: LogOptions, settings: &[(&str, &str)]) -> Node {
        let given: BTreeMap<String, String> =
            settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let mut recovery = Recovery::open(&os, options).unwrap();
        let recovered = Recovered::from_checkpoint(&recovery).unwrap();
        recovery
            .replay(&mut |lsn, entry| {
                recovered.apply(lsn, &entry).map_err(|error| LogError::Internal(error.to_string()))
            })
            .unwrap();
        let log = recovery.start(recovered.folds()).unwrap();
        let broker = Broker::new(log.clone(), recovered, BrokerConfig::check(&given).unwrap(), os).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = said.clone();
        let config = ServerConfig {
            log: Arc::new(move |line| lines.lock().unwrap().push(line.to_string())),
            ..ServerConfig::new("127.0.0.1:0".parse().unwrap())
        };
        let server = start(config, Arc::new(broker)).unwrap();
        Node { address: server.local_addr(), server: Some(server), log, said }
    }

    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, correlation_id: 0 }
    }

    pub fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown();
        }
        self.log.shutdown().unwrap();
    }
}

pub struct Client {
    pub stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        self.correlation_id += 1;
        let chunks = encode_request(request, version, self.correlation_id, Some("test")).unwrap();
        self.stream.write_all(&chunks.concat()).unwrap();
        self.correlation_id
    }

    pub fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        let mut reader = Reader::new(frame.into());
        let api = ApiKey::from_number(R::API_KEY).unwrap();
        let correlation_id = decode_response_header(&mut reader, api, version).unwrap();
        (correlation_id, R::Response::decode(&mut reader, version).unwrap())
    }

    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let sent = self.send(request, version);
        let (received, response) = self.receive::<R>(version);
        assert_eq!(received, sent);
        response
    }

    pub fn create_topic(&mut self, name: &str) {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            // The records are older than the default retention.
            configs: vec![CreatableTopicConfig { name: "retention.ms".into(), value: Some("-1".into()) }],
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        assert_eq!(self.call(&request, 5).topics[0].error_code, 0);
    }

    /// The server ends the connection, without another byte.
    pub fn expect_end(&mut self) {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => {}
            Ok(_) => panic!("the server answers"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

pub fn records(count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..count {
        builder.append(1_700_000_000_000, None, Some(b"value"), &[]).unwrap();
    }
    builder.build().unwrap()
}

pub fn produce(topic: &str, acks: i16, count: usize) -> ProduceRequest {
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 1_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData { index: 0, records: Some(records(count)) }],
            ..Default::default()
        }],
    }
}

pub fn fetch(topic: &str, fetch_offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}
