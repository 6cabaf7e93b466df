//! The client of a cluster: it finds the node to ask, and offers produce, fetch and offset look-up.
//!
//! It keeps one connection to each node that it has needed and remembers who leads which partition. When a
//! node says that it does not lead any more, the memory is dropped and the error returned; the next call
//! looks again. Nothing is retried in silence, so that tests and benches see what happens.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_wire::messages::metadata_request::MetadataRequestTopic;
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::{
    FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse,
};
use kafka_wire::{ErrorCode, Message, Request};

use crate::connection::{Connection, Pending};
use crate::error::{ClientError, check};
use crate::fetched::{FetchedBatches, FetchedRecords};
use crate::options::{ClientOptions, Isolation};
use crate::within::NodeWithin;

/// From this version on a topic is named by its id alone, in Produce and in Fetch.
const TOPIC_ID_VERSION: i16 = 13;

/// A client of one node or of a cluster.
#[derive(Debug)]
pub struct Client {
    pub(crate) options: ClientOptions,
    pub(crate) bootstrap: Connection,
    /// Connections to nodes by their ids, besides the first one.
    nodes: BTreeMap<i32, Connection>,
    addresses: BTreeMap<i32, String>,
    topics: BTreeMap<String, KnownTopic>,
}

#[derive(Debug, Clone)]
struct KnownTopic {
    id: [u8; 16],
    /// The node that leads each partition.
    leaders: BTreeMap<i32, i32>,
}

/// Which offset of a partition is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    Earliest,
    /// The offset that the next record will get.
    Latest,
    /// The first record at this time (milliseconds since 1970) or later.
    Timestamp(i64),
    /// The record with the highest timestamp.
    MaxTimestamp,
}

/// The answer to an [`OffsetSpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// -1 if there is no such record.
    pub offset: i64,
    pub timestamp: i64,
    pub leader_epoch: i32,
}

/// Where a batch was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    /// The first record's offset; -1 after acks=0.
    pub base_offset: i64,
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
}

/// An idempotent producer's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerId {
    pub id: i64,
    pub epoch: i16,
}

/// A ticket for the answer to a batch that has been sent; see [`Client::send_produce`].
#[derive(Debug)]
#[must_use = "the answer must be received"]
pub struct ProduceTicket {
    node: i32,
    what: String,
    topic: String,
    /// None after acks=0.
    pending: Option<Pending<ProduceRequest>>,
}

/// A partition to be read from an offset on.
#[derive(Debug, Clone, Copy)]
pub struct WantedPartition<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
}

/// What a partition of [`Client::fetch_all`] brought.
#[derive(Debug)]
pub struct FetchedPartition {
    /// Which of those that were wanted.
    pub index: usize,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub batches: Result<FetchedBatches, ClientError>,
}

impl Client {
    /// Connects to the first of the addresses (`HOST:PORT`, separated by commas) that answers.
    pub fn connect(bootstrap: &str, client_id: &str) -> Result<Client, ClientError> {
        Client::connect_with(bootstrap, ClientOptions::new(client_id))
    }

    pub fn connect_with(bootstrap: &str, options: ClientOptions) -> Result<Client, ClientError> {
        let reason = "it is empty".to_owned();
        let mut error = ClientError::Address { address: bootstrap.to_owned(), reason };
        for address in bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            match Connection::open(address, &options) {
                Ok(bootstrap) => {
                    let (nodes, addresses, topics) = Default::default();
                    return Ok(Client { options, bootstrap, nodes, addresses, topics });
                }
                Err(refused) => error = refused,
            }
        }
        Err(error)
    }

    /// A client of a node in this process.
    pub fn within(node: NodeWithin, options: ClientOptions) -> Result<Client, ClientError> {
        let bootstrap = Connection::within(node, &options)?;
        let (nodes, addresses, topics) = Default::default();
        Ok(Client { options, bootstrap, nodes, addresses, topics })
    }

    /// The connection that was made first, for calls that this client does not offer.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.bootstrap
    }

    /// Sends any request to the node of the first connection, in the highest common version.
    pub fn call<R, S>(&mut self, request: &R) -> Result<S, ClientError>
    where
        R: Request<Response = S>,
        S: Message,
    {
        self.bootstrap.call(request)
    }

    /// Nodes and topics; all topics if none is named. A topic that does not exist is not created and
    /// comes with its error code.
    pub fn metadata(&mut self, topics: Option<&[&str]>) -> Result<MetadataResponse, ClientError> {
        let version = self.bootstrap.version::<MetadataRequest>()?;
        let mut topics: Option<Vec<MetadataRequestTopic>> = topics.map(|names| {
            let named =
                |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() };
            names.iter().map(named).collect()
        });
        if version == 0 && topics.is_none() {
            // In version 0 an empty list asks for all topics.
            topics = Some(vec![]);
        }
        let allow_auto_topic_creation = version < 4;
        let request = MetadataRequest { topics, allow_auto_topic_creation, ..Default::default() };
        let response = self.bootstrap.call_version(&request, version)?;
        check(response.error_code, None, || "the request for metadata".to_owned())?;
        self.remember(&response);
        Ok(response)
    }

    fn remember(&mut self, response: &MetadataResponse) {
        for broker in &response.brokers {
            let address = node_address(&broker.host, broker.port);
            if self.addresses.insert(broker.node_id, address.clone()).is_some_and(|old| old != address) {
                self.nodes.remove(&broker.node_id);
            }
        }
        for topic in &response.topics {
            let Some(name) = topic.name.clone() else { continue };
            if topic.error_code != 0 {
                self.topics.remove(&name);
                continue;
            }
            let leaders =
                topic.partitions.iter().map(|part| (part.partition_index, part.leader_id)).collect();
            self.topics.insert(name, KnownTopic { id: topic.topic_id, leaders });
        }
    }

    /// The id of the partition's leader and the id of the topic.
    pub(crate) fn leader(&mut self, topic: &str, partition: i32) -> Result<(i32, [u8; 16]), ClientError> {
        let known = |client: &Client| {
            let known = client.topics.get(topic)?;
            Some((*known.leaders.get(&partition)?, known.id))
        };
        let mut found = known(self);
        if found.is_none_or(|(leader, _)| leader < 0) {
            let response = self.metadata(Some(&[topic]))?;
            if let Some(topic) = response.topics.first() {
                check(topic.error_code, None, || format!("topic={}", topic.name.as_deref().unwrap_or("")))?;
            }
            found = known(self);
        }
        let refused = |code| {
            let what = format!("topic={topic} partition={partition}");
            Err(ClientError::Refused { what, code, message: None })
        };
        match found {
            Some((leader, id)) if leader >= 0 => Ok((leader, id)),
            Some(_) => refused(ErrorCode::LeaderNotAvailable),
            None => refused(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// The connection to a node, made anew if it was closed.
    pub(crate) fn node(&mut self, id: i32) -> Result<&mut Connection, ClientError> {
        if self.nodes.get(&id).is_none_or(Connection::is_closed) {
            let what = format!("node={id}");
            let code = ErrorCode::BrokerNotAvailable;
            let unknown = ClientError::Refused { what, code, message: None };
            let address = self.addresses.get(&id).ok_or(unknown)?;
            if *address == self.bootstrap.address() && !self.bootstrap.is_closed() {
                return Ok(&mut self.bootstrap);
            }
            let connection = Connection::open(address, &self.options)?;
            self.nodes.insert(id, connection);
        }
        match self.nodes.get_mut(&id) {
            Some(connection) => Ok(connection),
            None => Ok(&mut self.bootstrap),
        }
    }

    pub(crate) fn remember_node(&mut self, id: i32, host: &str, port: i32) {
        self.addresses.insert(id, node_address(host, port));
    }

    /// Drops what is remembered of a topic if the code says that it is out of date.
    pub(crate) fn forget_if_stale(&mut self, topic: &str, code: i16) {
        let stale = [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::UnknownTopicId,
            ErrorCode::InconsistentTopicId,
            ErrorCode::FencedLeaderEpoch,
            ErrorCode::LeaderNotAvailable,
        ];
        if ErrorCode::from_number(code).is_some_and(|code| stale.contains(&code)) {
            self.topics.remove(topic);
        }
    }

    /// Appends a batch and waits for the acknowledgement; `acks` is -1 (all), 1 or 0.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
        acks: i16,
    ) -> Result<Produced, ClientError> {
        let ticket = self.send_produce(topic, partition, batch, acks)?;
        self.receive_produce(ticket)
    }

    /// Sends a batch without waiting; [`Client::receive_produce`] takes the tickets in the same order.
    pub fn send_produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
        acks: i16,
    ) -> Result<ProduceTicket, ClientError> {
        let (node, topic_id) = self.leader(topic, partition)?;
        let timeout_ms = i32::try_from(self.options.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let data = PartitionProduceData { index: partition, records: Some(batch) };
        let topic_data =
            vec![TopicProduceData { name: topic.to_owned(), topic_id, partition_data: vec![data] }];
        let request = ProduceRequest { acks, timeout_ms, topic_data, ..Default::default() };
        let connection = self.node(node)?;
        let version = connection.version_up_to::<ProduceRequest>(version_max(topic_id))?;
        let pending = match acks {
            0 => {
                connection.send_unanswered(&request, version)?;
                None
            }
            _ => Some(connection.send_version(&request, version)?),
        };
        let what = format!("topic={topic} partition={partition}");
        Ok(ProduceTicket { node, what, topic: topic.to_owned(), pending })
    }

    /// Waits for the acknowledgement of a batch.
    pub fn receive_produce(&mut self, ticket: ProduceTicket) -> Result<Produced, ClientError> {
        let Some(pending) = ticket.pending else {
            return Ok(Produced { base_offset: -1, log_append_time_ms: -1, log_start_offset: -1 });
        };
        // The answer can only come on the connection of the request, so that none is opened here.
        let connection = match self.nodes.get_mut(&ticket.node) {
            Some(connection) => connection,
            None => &mut self.bootstrap,
        };
        let response: ProduceResponse = connection.receive(pending)?;
        let parts = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        let Some(part) = parts.into_iter().next() else {
            return Err(self.missing(ProduceRequest::NAME, "the partition is not in the answer"));
        };
        self.forget_if_stale(&ticket.topic, part.error_code);
        check(part.error_code, part.error_message.as_ref(), || ticket.what)?;
        Ok(Produced {
            base_offset: part.base_offset,
            log_append_time_ms: part.log_append_time_ms,
            log_start_offset: part.log_start_offset,
        })
    }

    /// Reads records from an offset on; with nothing there it waits for up to `wait_max`.
    pub fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: i32,
        wait_max: Duration,
    ) -> Result<FetchedRecords, ClientError> {
        self.fetch_isolated(topic, partition, offset, bytes_max, wait_max, Isolation::ReadUncommitted)
    }

    /// Reads records as [`Client::fetch`] does, with a choice of what of transactions is seen.
    pub fn fetch_isolated(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: i32,
        wait_max: Duration,
        isolation: Isolation,
    ) -> Result<FetchedRecords, ClientError> {
        let (node, topic_id) = self.leader(topic, partition)?;
        let asked = FetchPartition {
            partition,
            fetch_offset: offset,
            partition_max_bytes: bytes_max,
            ..Default::default()
        };
        let request = FetchRequest {
            max_wait_ms: i32::try_from(wait_max.as_millis()).unwrap_or(i32::MAX),
            min_bytes: 1,
            max_bytes: bytes_max,
            isolation_level: isolation.number(),
            topics: vec![FetchTopic { topic: topic.to_owned(), topic_id, partitions: vec![asked] }],
            ..Default::default()
        };
        let timeout = self.options.request_timeout.saturating_add(wait_max);
        let limit_bytes = self.options.decompressed_bytes_max;
        let connection = self.node(node)?;
        let version = connection.version_up_to::<FetchRequest>(version_max(topic_id))?;
        let pending = connection.send_version(&request, version)?;
        let response = connection.receive_within(pending, timeout)?;
        self.forget_if_stale(topic, response.error_code);
        let what = format!("topic={topic} partition={partition} offset={offset}");
        check(response.error_code, None, || what.clone())?;
        let parts = response.responses.into_iter().flat_map(|topic| topic.partitions);
        let Some(part) = parts.into_iter().next() else {
            return Err(self.missing(FetchRequest::NAME, "the partition is not in the answer"));
        };
        self.forget_if_stale(topic, part.error_code);
        check(part.error_code, None, || what.clone())?;
        Ok(FetchedRecords::new(what, part, offset, isolation, limit_bytes))
    }

    /// Reads from many partitions at once: each node that leads some is asked before the first answers. What one
    /// partition is refused for stands in its own answer.
    pub fn fetch_all(
        &mut self,
        wanted: &[WantedPartition<'_>],
        bytes_max: i32,
        wait_max: Duration,
        isolation: Isolation,
    ) -> Result<Vec<FetchedPartition>, ClientError> {
        let mut by_node: BTreeMap<i32, Vec<(usize, [u8; 16])>> = BTreeMap::new();
        for (index, one) in wanted.iter().enumerate() {
            let (node, topic_id) = self.leader(one.topic, one.partition)?;
            by_node.entry(node).or_default().push((index, topic_id));
        }
        let timeout = self.options.request_timeout.saturating_add(wait_max);
        let mut pending = Vec::with_capacity(by_node.len());
        for (node, asked) in &by_node {
            let mut topics: Vec<FetchTopic> = Vec::new();
            for (index, topic_id) in asked {
                let one = &wanted[*index];
                let partition = FetchPartition {
                    partition: one.partition,
                    fetch_offset: one.offset,
                    partition_max_bytes: bytes_max,
                    ..Default::default()
                };
                match topics.iter_mut().find(|topic| topic.topic == one.topic) {
                    Some(topic) => topic.partitions.push(partition),
                    None => topics.push(FetchTopic {
                        topic: one.topic.to_owned(),
                        topic_id: *topic_id,
                        partitions: vec![partition],
                    }),
                }
            }
            let request = FetchRequest {
                max_wait_ms: i32::try_from(wait_max.as_millis()).unwrap_or(i32::MAX),
                min_bytes: 1,
                max_bytes: bytes_max,
                isolation_level: isolation.number(),
                topics,
                ..Default::default()
            };
            let by_id = asked.iter().all(|(_, topic_id)| *topic_id != [0; 16]);
            let connection = self.node(*node)?;
            let version = connection.version_up_to::<FetchRequest>(if by_id {
                i16::MAX
            } else {
                TOPIC_ID_VERSION - 1
            })?;
            pending.push((*node, connection.send_version(&request, version)?));
        }
        let limit_bytes = self.options.decompressed_bytes_max;
        let mut fetched = Vec::new();
        for (node, pending) in pending {
            let response = self.node(node)?.receive_within(pending, timeout)?;
            check(response.error_code, None, || format!("a fetch from node={node}"))?;
            for topic in response.responses {
                for part in topic.partitions {
                    let found = by_node[&node].iter().find(|(index, topic_id)| {
                        let one = &wanted[*index];
                        let same = if topic.topic.is_empty() {
                            topic.topic_id == *topic_id
                        } else {
                            topic.topic == one.topic
                        };
                        same && one.partition == part.partition_index
                    });
                    let Some((index, _)) = found else { continue };
                    let one = &wanted[*index];
                    self.forget_if_stale(one.topic, part.error_code);
                    let what =
                        || format!("topic={} partition={} offset={}", one.topic, one.partition, one.offset);
                    let checked = check(part.error_code, None, what);
                    let (high_watermark, log_start_offset) = (part.high_watermark, part.log_start_offset);
                    let batches =
                        checked.map(|()| FetchedBatches::new(part, one.offset, isolation, limit_bytes));
                    fetched.push(FetchedPartition {
                        index: *index,
                        high_watermark,
                        log_start_offset,
                        batches,
                    });
                }
            }
        }
        Ok(fetched)
    }

    /// Looks up an offset of a partition.
    pub fn list_offsets(
        &mut self,
        topic: &str,
        partition: i32,
        spec: OffsetSpec,
    ) -> Result<ListedOffset, ClientError> {
        self.list_offsets_isolated(topic, partition, spec, Isolation::ReadUncommitted)
    }

    /// The same; for a reader of committed records the latest offset is that behind the last which is decided.
    pub fn list_offsets_isolated(
        &mut self,
        topic: &str,
        partition: i32,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<ListedOffset, ClientError> {
        let (node, _) = self.leader(topic, partition)?;
        let timestamp = match spec {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::Timestamp(timestamp) => timestamp,
        };
        let asked = ListOffsetsPartition { partition_index: partition, timestamp, ..Default::default() };
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation.number(),
            topics: vec![ListOffsetsTopic { name: topic.to_owned(), partitions: vec![asked] }],
            ..Default::default()
        };
        let response = self.node(node)?.call(&request)?;
        let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
        let Some(part) = parts.into_iter().next() else {
            return Err(self.missing(ListOffsetsRequest::NAME, "the partition is not in the answer"));
        };
        self.forget_if_stale(topic, part.error_code);
        check(part.error_code, None, || format!("topic={topic} partition={partition}"))?;
        Ok(ListedOffset { offset: part.offset, timestamp: part.timestamp, leader_epoch: part.leader_epoch })
    }

    /// Asks for the identity of an idempotent producer, or of a transactional one.
    pub fn init_producer_id(
        &mut self,
        transactional_id: Option<&str>,
        transaction_timeout: Duration,
    ) -> Result<ProducerId, ClientError> {
        let request = InitProducerIdRequest {
            transactional_id: transactional_id.map(str::to_owned),
            transaction_timeout_ms: i32::try_from(transaction_timeout.as_millis()).unwrap_or(i32::MAX),
            ..Default::default()
        };
        let response = match transactional_id {
            None => self.bootstrap.call(&request)?,
            Some(id) => {
                let node = self.coordinator(id, crate::groups::TRANSACTION)?;
                self.node(node)?.call(&request)?
            }
        };
        check(response.error_code, None, || "the request for a producer id".to_owned())?;
        Ok(ProducerId { id: response.producer_id, epoch: response.producer_epoch })
    }

    pub(crate) fn missing(&self, request: &'static str, reason: &str) -> ClientError {
        let address = self.bootstrap.address().to_owned();
        ClientError::Protocol { address, request, reason: reason.to_owned() }
    }
}

/// Without an id the topic must be named, which only the versions before can do.
fn version_max(topic_id: [u8; 16]) -> i16 {
    if topic_id == [0; 16] { TOPIC_ID_VERSION - 1 } else { i16::MAX }
}

/// An IPv6 address needs brackets before its port.
pub(crate) fn node_address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
