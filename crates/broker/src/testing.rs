//! A broker on a simulated machine for the tests: no sockets, no threads, time by hand.
//!
//! `call` sends a request through the same door as a socket would and waits as the edge does, except
//! that waiting for durability commits at once, and waiting for data lets the deadline pass.

use crate::broker::{Broker, Recovered};
use crate::call::{Now, Outcome, Peer, Until, Wait, Woken};
use crate::config::BrokerConfig;
use crate::security::Session;
use bytes::Bytes;
use eventlog::{Committer, EventLog, LogOptions, Recovery};
use kafka_wire::header::{decode_response_header, encode_request};
use kafka_wire::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::messages::produce_response::PartitionProduceResponse;
use kafka_wire::records::{BatchBuilder, Compression};
use kafka_wire::{ApiKey, Message, Reader, Request};
use os::sim::SimOs;
use std::collections::BTreeMap;

pub(crate) struct Node {
    pub(crate) sim: SimOs,
    pub(crate) log: EventLog,
    pub(crate) broker: Broker,
    config: BrokerConfig,
}

/// What a request came to.
pub(crate) enum Answer {
    Frame(Bytes),
    Silent,
    Closed(String),
    /// An answer, and the end of the connection behind it.
    Last(Bytes, String),
}

impl Node {
    pub(crate) fn new() -> Node {
        Node::with(BrokerConfig::default())
    }

    pub(crate) fn with(config: BrokerConfig) -> Node {
        Node::open(SimOs::new(7), config)
    }

    fn open(sim: SimOs, config: BrokerConfig) -> Node {
        let options = LogOptions {
            committer: Committer::Manual,
            // Small files, so that checkpoints are part of what is tested.
            file_bytes: 64 << 10,
            first_file_bytes: 32 << 10,
            ..LogOptions::new("/data")
        };
        let mut recovery = Recovery::open(&sim.os(), options).unwrap();
        let recovered = Recovered::from_checkpoint(&recovery).unwrap();
        recovery
            .replay(&mut |lsn, entry| {
                recovered.apply(lsn, &entry).unwrap();
                Ok(())
            })
            .unwrap();
        let log = recovery.start(recovered.folds()).unwrap();
        let broker = Broker::new(log.clone(), recovered, config.clone(), sim.os()).unwrap();
        log.commit_pending().unwrap();
        Node { sim, log, broker, config }
    }

    pub(crate) fn traced(self, tracer: traces::Tracer) -> Node {
        Node { broker: self.broker.traced(tracer), ..self }
    }

    /// Stops in good order and starts again on the same disk.
    pub(crate) fn restart(self) -> Node {
        let config = self.config.clone();
        self.restart_with(config)
    }

    /// The same with other settings.
    pub(crate) fn restart_with(self, config: BrokerConfig) -> Node {
        let Node { sim, log, broker, .. } = self;
        log.shutdown().unwrap();
        drop((log, broker));
        Node::open(sim, config)
    }

    /// Loses power, with whatever the disk had not synced, and starts again.
    pub(crate) fn crash(self, seed: u64) -> Node {
        let Node { sim, log, broker, config } = self;
        drop((log, broker));
        sim.disk.power_cut(seed);
        Node::open(sim, config)
    }

    /// Lets time pass, and what is due happen.
    pub(crate) fn pass_ms(&self, ms: u64) {
        self.sim.clock.advance_ms(ms);
        self.broker.tick(self.now().monotonic_ms);
        self.log.commit_pending().unwrap();
    }

    pub(crate) fn now(&self) -> Now {
        Now::of(&*self.sim.clock)
    }

    pub(crate) fn peer() -> Peer {
        Node::peer_of(&BrokerConfig::default())
    }

    /// A client on this machine of a listener with this configuration.
    pub(crate) fn peer_of(config: &BrokerConfig) -> Peer {
        Peer {
            advertised_host: "127.0.0.1".into(),
            advertised_port: 9092,
            host: "127.0.0.1".into(),
            session: Session::new(&config.security, None, true).into(),
            mute: Default::default(),
        }
    }

    /// The frame goes in without its size.
    pub(crate) fn handle(&self, frame: Bytes) -> Outcome {
        self.broker.handle(frame, &Node::peer(), self.now())
    }

    pub(crate) fn finish(&self, mut outcome: Outcome) -> Answer {
        loop {
            match outcome {
                Outcome::Reply(frame) => return Answer::Frame(frame.chunks.concat().into()),
                Outcome::Silent => return Answer::Silent,
                Outcome::Close(reason) => return Answer::Closed(reason),
                Outcome::Last(chunks, reason) => return Answer::Last(chunks.concat().into(), reason),
                Outcome::Wait(wait) => outcome = self.resume(wait),
            }
        }
    }

    fn resume(&self, wait: Wait) -> Outcome {
        let Wait { until, deadline_ms, resume } = wait;
        let woken = match until {
            Until::Turn | Until::Append => Woken::Ready,
            Until::Room(bytes) => panic!("nobody takes answers meanwhile: no room for bytes={bytes}"),
            Until::Deadline => {
                let left = deadline_ms.unwrap_or_default() - self.now().monotonic_ms;
                self.sim.clock.advance_ms(u64::try_from(left).unwrap_or(0));
                Woken::Deadline
            }
            Until::Durable(lsn) => {
                let committed = self.log.commit_pending();
                let fenced = self.log.fenced().is_some();
                assert!(fenced || committed.unwrap() >= lsn, "it waits for what nobody appended");
                Woken::Ready
            }
            Until::Shipped(lsn) => {
                let _ = self.log.commit_pending();
                if self.log.shipped() >= Some(lsn) || self.log.fenced().is_some() {
                    return resume(&self.broker, self.now().monotonic_ms, Woken::Ready);
                }
                let left =
                    deadline_ms.expect("a wait for the store has a deadline") - self.now().monotonic_ms;
                self.sim.clock.advance_ms(u64::try_from(left).unwrap_or(0));
                Woken::Deadline
            }
            Until::Data { .. } | Until::Ready { .. } => {
                let deadline = deadline_ms.expect("a wait for data has a deadline");
                let left = deadline - self.now().monotonic_ms;
                self.sim.clock.advance_ms(u64::try_from(left).unwrap_or(0));
                Woken::Deadline
            }
            Until::Answer(awaited) => loop {
                if let Some(reply) = awaited.take() {
                    break Woken::Reply(reply);
                }
                let next =
                    self.broker.tick(self.now().monotonic_ms).expect("a group that waits has a deadline");
                if self.broker.tickets.answered(awaited.ticket()) {
                    continue;
                }
                self.sim.clock.advance_ms(u64::try_from(next - self.now().monotonic_ms).unwrap_or(0).max(1));
            },
        };
        resume(&self.broker, self.now().monotonic_ms, woken)
    }

    pub(crate) fn send<R: Request>(&self, request: &R, version: i16) -> Outcome {
        self.handle(request_frame(request, version))
    }

    pub(crate) fn receive<R: Request>(&self, outcome: Outcome, version: i16) -> R::Response {
        match self.finish(outcome) {
            Answer::Frame(frame) => response::<R>(frame, version),
            Answer::Silent => panic!("{} got no answer", R::NAME),
            Answer::Last(frame, _) => response::<R>(frame, version),
            Answer::Closed(reason) => panic!("{} v{version} closed the connection: {reason}", R::NAME),
        }
    }

    pub(crate) fn call<R: Request>(&self, request: &R, version: i16) -> R::Response {
        self.receive::<R>(self.send(request, version), version)
    }

    /// The request of another client.
    pub(crate) fn answer_to<R: Request>(&self, peer: &Peer, request: &R, version: i16) -> Answer {
        self.finish(self.broker.handle(request_frame(request, version), peer, self.now()))
    }

    pub(crate) fn call_as<R: Request>(&self, peer: &Peer, request: &R, version: i16) -> R::Response {
        self.receive::<R>(self.broker.handle(request_frame(request, version), peer, self.now()), version)
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: config
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: name.to_string(),
                    value: Some(value.to_string()),
                })
                .collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let response = self.call(&request, 7);
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
    }

    pub(crate) fn produce(&self, topic: &str, partition: i32, records: Bytes) -> PartitionProduceResponse {
        self.call(&produce_request(topic, partition, records), 9)
            .responses
            .remove(0)
            .partition_responses
            .remove(0)
    }
}

pub(crate) fn produce_request(topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 1_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData { index: partition, records: Some(records) }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A request's frame without its size.
pub(crate) fn request_frame<R: Request>(request: &R, version: i16) -> Bytes {
    let chunks = encode_request(request, version, 42, Some("test")).unwrap();
    Bytes::from(chunks.concat()).slice(4..)
}

pub(crate) fn response<R: Request>(frame: Bytes, version: i16) -> R::Response {
    let mut reader = Reader::new(frame.slice(4..));
    let api = ApiKey::from_number(R::API_KEY).unwrap();
    assert_eq!(decode_response_header(&mut reader, api, version).unwrap(), 42);
    let response = R::Response::decode(&mut reader, version).unwrap();
    reader.finish().unwrap();
    response
}

pub(crate) fn given(pairs: &[(&str, &str)]) -> BrokerConfig {
    let given: BTreeMap<String, String> =
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    BrokerConfig::check(&given).unwrap()
}

/// A batch with one record for each (timestamp, value), keyed by its index.
pub(crate) fn batch(compression: Compression, records: &[(i64, &str)]) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for (index, (timestamp, value)) in records.iter().enumerate() {
        builder.append(*timestamp, Some(index.to_string().as_bytes()), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build().unwrap()
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced_batch(producer_id: i64, epoch: i16, sequence: i32, records: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).producer(producer_id, epoch, sequence);
    for _ in 0..records {
        builder.append(1_700_000_000_000, None, Some(b"x"), &[]).unwrap();
    }
    builder.build().unwrap()
}

/// A batch of a transaction, with one record for each value.
pub(crate) fn transactional_batch(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let mut builder =
        BatchBuilder::new(Compression::None).producer(producer_id, epoch, sequence).transactional();
    for value in values {
        builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build().unwrap()
}
