//! Quotas as bytes on the wire: the codes with which changes are refused, and the times that clients are told to wait.
//! `cargo xtask clients quota-codes` runs it, and `--kafka` shows that Kafka says the same.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use kafka_client::{Client, ClientOptions, Connection};
use kafka_wire::ErrorCode as E;
use kafka_wire::header::encode_request;
use kafka_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_wire::messages::create_topics_request::CreatableTopic;
use kafka_wire::messages::describe_client_quotas_request::ComponentData;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::*;
use kafka_wire::records::{BatchBuilder, Compression};

use crate::counts::Counts;

/// Kafka's broker hears of a quota a moment after its controller has answered.
const TRIES: u32 = 50;
const BETWEEN: Duration = Duration::from_millis(100);
/// Bytes, or whatever is measured, in a second; the window is of ten whole seconds and one that runs.
const LIMIT: f64 = 1_000.0;
const PRODUCE_VERSION: i16 = 9;

type Parts<'a> = &'a [(&'a str, Option<&'a str>)];
/// A key and its value, or none to remove it.
type Ops<'a> = &'a [(&'a str, Option<f64>)];

struct Codes {
    bootstrap: String,
    connection: Connection,
    topic: String,
    clients: u32,
    counts: Counts,
}

pub fn run(bootstrap: &str) -> Result<Counts> {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let topic = format!("quotas-{unique}");
    Client::connect(bootstrap, "quotas")?.create_topic(&topic, 1, 1, &[])?;
    let connection = Connection::open(bootstrap, &ClientOptions::new("quotas"))?;
    let counts = Counts::default();
    let mut codes = Codes { bootstrap: bootstrap.to_owned(), connection, topic, clients: 0, counts };
    codes.changes()?;
    codes.filters()?;
    codes.produce()?;
    codes.fetch()?;
    codes.mutations()?;
    codes.request_time()?;
    codes.connections()?;
    Ok(codes.counts)
}

impl Codes {
    fn check(&mut self, what: &str, is_so: bool, found: impl std::fmt::Debug) {
        if is_so {
            self.counts.pass();
            println!("ok {what}: {found:?}");
        } else {
            self.counts.fail(format!("FAILED {what}: {found:?}"));
        }
    }

    fn alter(&mut self, entries: &[(Parts<'_>, Ops<'_>)]) -> Result<Vec<E>> {
        let entry = |(parts, ops): &(Parts<'_>, Ops<'_>)| EntryData {
            entity: parts
                .iter()
                .map(|(kind, name)| EntityData {
                    entity_type: kind.to_string(),
                    entity_name: name.map(str::to_owned),
                })
                .collect(),
            ops: ops
                .iter()
                .map(|(key, value)| OpData {
                    key: key.to_string(),
                    value: value.unwrap_or_default(),
                    remove: value.is_none(),
                })
                .collect(),
        };
        let request =
            AlterClientQuotasRequest { entries: entries.iter().map(entry).collect(), validate_only: false };
        let answer = self.connection.call_version(&request, 1)?;
        answer.entries.iter().map(|entry| code(entry.error_code)).collect()
    }

    fn set(&mut self, parts: Parts<'_>, key: &str, value: Option<f64>) -> Result<()> {
        let codes = self.alter(&[(parts, &[(key, value)])])?;
        ensure!(codes == [E::None], "{key}={value:?} of {parts:?}: {codes:?}");
        Ok(())
    }

    fn changes(&mut self) -> Result<()> {
        let rate: Ops<'_> = &[("producer_byte_rate", Some(5.0))];
        let user: Parts<'_> = &[("user", Some("u"))];
        let ip: Parts<'_> = &[("ip", Some("10.0.0.1"))];
        let cases: &[(&str, Parts<'_>, Ops<'_>, E)] = &[
            ("an entity without a type", &[], rate, E::InvalidRequest),
            ("an unknown type", &[("group", Some("g"))], rate, E::InvalidRequest),
            ("an empty name", &[("user", Some(""))], rate, E::InvalidRequest),
            ("an ip with a user", &[("user", Some("u")), ("ip", Some("10.0.0.1"))], rate, E::InvalidRequest),
            ("bytes of an ip", ip, rate, E::InvalidRequest),
            ("connections of a user", user, &[("connection_creation_rate", Some(1.0))], E::InvalidRequest),
            ("an unknown key", user, &[("producer_byte_rat", Some(1.0))], E::InvalidRequest),
            ("a limit of 0", user, &[("producer_byte_rate", Some(0.0))], E::InvalidRequest),
            ("a limit below 0", user, &[("request_percentage", Some(-1.0))], E::InvalidRequest),
            ("half a byte", user, &[("producer_byte_rate", Some(1.5))], E::InvalidRequest),
            ("half a percent", user, &[("request_percentage", Some(0.5))], E::None),
            ("too many connections", ip, &[("connection_creation_rate", Some(1e12))], E::InvalidRequest),
            ("nothing to remove", user, &[("controller_mutation_rate", None)], E::None),
            ("an unknown key to remove", user, &[("nothing", None)], E::None),
            ("no change at all", user, &[], E::None),
            ("what was set is removed", user, &[("request_percentage", None)], E::None),
        ];
        for (what, parts, ops, wanted) in cases {
            let found = self.alter(&[(parts, ops)])?;
            self.check(what, found == [*wanted], found);
        }
        let found = self.alter(&[(user, rate), (user, rate)])?;
        self.check("an entity twice", found.contains(&E::InvalidRequest), &found);
        self.set(user, "producer_byte_rate", None)
    }

    fn described(&mut self, components: &[(&str, i8, Option<&str>)], strict: bool) -> Result<(E, usize)> {
        let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| ComponentData {
            entity_type: kind.to_string(),
            match_type: *match_type,
            r#match: name.map(str::to_owned),
        };
        let components = components.iter().map(component).collect();
        let answer = self.connection.call_version(&DescribeClientQuotasRequest { components, strict }, 1)?;
        Ok((code(answer.error_code)?, answer.entries.unwrap_or_default().len()))
    }

    fn filters(&mut self) -> Result<()> {
        let parts: [Parts<'_>; 3] =
            [&[("user", Some("u"))], &[("user", None), ("client-id", Some("c"))], &[("client-id", None)]];
        for parts in parts {
            self.set(parts, "consumer_byte_rate", Some(1e9))?;
        }
        for _ in 0..TRIES {
            if self.described(&[], false)?.1 == parts.len() {
                break;
            }
            std::thread::sleep(BETWEEN);
        }
        type Case<'a> = (&'a str, &'a [(&'a str, i8, Option<&'a str>)], bool, (E, usize));
        let invalid = (E::InvalidRequest, 0);
        let cases: &[Case<'_>] = &[
            ("all", &[], false, (E::None, 3)),
            ("nothing, strictly", &[], true, (E::None, 0)),
            ("any user", &[("user", 2, None)], false, (E::None, 2)),
            ("any user alone", &[("user", 2, None)], true, (E::None, 1)),
            ("the default user", &[("user", 1, None)], false, (E::None, 1)),
            ("one user", &[("user", 0, Some("u"))], true, (E::None, 1)),
            ("another user", &[("user", 0, Some("v"))], true, (E::None, 0)),
            ("a name of null", &[("user", 0, None)], false, invalid),
            ("a default with a name", &[("user", 1, Some("u"))], false, invalid),
            ("any with a name", &[("user", 2, Some("u"))], false, invalid),
            ("an unknown match", &[("user", 9, None)], false, invalid),
            ("a type twice", &[("user", 2, None), ("user", 2, None)], false, invalid),
            ("an ip with a user", &[("user", 2, None), ("ip", 2, None)], false, invalid),
            ("an empty type", &[("", 2, None)], false, invalid),
            ("an unknown type", &[("group", 2, None)], false, (E::UnsupportedVersion, 0)),
        ];
        for (what, components, strict, wanted) in cases {
            let found = self.described(components, *strict)?;
            self.check(&format!("described: {what}"), found == *wanted, found);
        }
        for parts in parts {
            self.set(parts, "consumer_byte_rate", None)?;
        }
        Ok(())
    }

    /// A connection of a client that nobody has measured yet.
    fn stranger(&mut self) -> Result<(Connection, String)> {
        self.clients += 1;
        let id = format!("stranger-{}", self.clients);
        Ok((Connection::open(&self.bootstrap, &ClientOptions::new(&id))?, id))
    }

    fn produce_request(&self, bytes: usize) -> Result<ProduceRequest> {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(-1, None, Some(&vec![7; bytes]), &[])?;
        let data = PartitionProduceData { index: 0, records: Some(builder.build()?) };
        let topic =
            TopicProduceData { name: self.topic.clone(), partition_data: vec![data], ..Default::default() };
        Ok(ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() })
    }

    fn produce(&mut self) -> Result<()> {
        let everybody: Parts<'_> = &[("client-id", None)];
        self.set(everybody, "producer_byte_rate", Some(LIMIT))?;
        let request = self.produce_request(12_000)?;
        for _ in 0..TRIES {
            let (mut connection, id) = self.stranger()?;
            let began = Instant::now();
            let told = connection.call_version(&request, PRODUCE_VERSION)?;
            if told.throttle_time_ms == 0 {
                std::thread::sleep(BETWEEN);
                continue;
            }
            let chunks = encode_request(&request, PRODUCE_VERSION, 1, Some(&id))?;
            let bytes = chunks.iter().map(|chunk| chunk.len()).sum::<usize>() - 4;
            let wanted = ((bytes as f64 / 10.0 - LIMIT) / LIMIT * 10_000.0).round() as i32;
            let told = told.throttle_time_ms;
            self.check("a producer waits for what it sent too much", told == wanted, (told, wanted));
            connection.call_version(&ListGroupsRequest::default(), 4)?;
            let waited = began.elapsed();
            let is_so = waited >= Duration::from_millis(told as u64 - 20);
            self.check("its connection is not served meanwhile", is_so, waited);
            break;
        }
        self.set(everybody, "producer_byte_rate", None)
    }

    fn fetch(&mut self) -> Result<()> {
        let request = self.produce_request(2_000)?;
        for _ in 0..20 {
            self.connection.call_version(&request, PRODUCE_VERSION)?;
        }
        let everybody: Parts<'_> = &[("user", None), ("client-id", None)];
        self.set(everybody, "consumer_byte_rate", Some(LIMIT))?;
        let partition = FetchPartition { partition: 0, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic =
            FetchTopic { topic: self.topic.clone(), partitions: vec![partition], ..Default::default() };
        let request =
            FetchRequest { max_bytes: 1 << 20, topics: vec![topic], session_epoch: -1, ..Default::default() };
        let bytes_of = |answer: &FetchResponse| -> usize {
            let parts = answer.responses.iter().flat_map(|topic| &topic.partitions);
            parts.map(|part| part.records.as_ref().map_or(0, |records| records.len())).sum()
        };
        let mut found = None;
        for _ in 0..TRIES {
            let (mut connection, _) = self.stranger()?;
            let first = connection.call_version(&request, 11)?;
            if bytes_of(&first) > 10_000 && first.responses[0].partitions[0].log_start_offset == 0 {
                // The first batch is larger than the quota.
                let from_second = shifted(&request);
                if bytes_of(&connection.call_version(&from_second, 11)?) > 10_000 {
                    std::thread::sleep(BETWEEN);
                    continue;
                }
            }
            let (mut connection, _) = self.stranger()?;
            let request = shifted(&request);
            // Kafka cuts batches off at the limit, and then refuses what stands around them: it gives them a moment later.
            let mut first = connection.call_version(&request, 11)?;
            if first.throttle_time_ms > 0 {
                first = connection.call_version(&request, 11)?;
            }
            found = Some((first, connection.call_version(&request, 11)?));
            break;
        }
        let (first, second) = found.context("the quota of consumers does not come into force")?;
        let (bytes, told) = (bytes_of(&first), first.throttle_time_ms);
        self.check("a fetch gives what the window allows", (8_000..=10_000).contains(&bytes), bytes);
        self.check("its consumer need not wait", told == 0, told);
        let (bytes, told) = (bytes_of(&second), second.throttle_time_ms);
        self.check("the next one is empty", second.responses.is_empty(), bytes);
        self.check("its consumer waits", (1..=11_000).contains(&told), told);
        self.set(everybody, "consumer_byte_rate", None)
    }

    fn mutations(&mut self) -> Result<()> {
        let everybody: Parts<'_> = &[("user", None), ("client-id", None)];
        self.set(everybody, "controller_mutation_rate", Some(1.0))?;
        let mut wanted = (E::None, false);
        for _ in 0..TRIES {
            let (mut connection, id) = self.stranger()?;
            // The bucket holds eleven.
            let first = self.create(&mut connection, &format!("{id}-a"), 12, 7)?;
            let second = self.create(&mut connection, &format!("{id}-b"), 2, 7)?;
            if second.0 == E::None {
                std::thread::sleep(BETWEEN);
                continue;
            }
            self.check("a burst of partitions is made", first == (E::None, 0), first);
            let is_so = second.0 == E::ThrottlingQuotaExceeded && (1..=1_000).contains(&second.1);
            self.check("more are refused", is_so, second);
            let (mut connection, id) = self.stranger()?;
            let old = self.create(&mut connection, &format!("{id}-a"), 13, 5)?;
            wanted = (old.0, (1_500..=2_000).contains(&old.1));
            self.check("an old client waits instead", wanted == (E::None, true), old);
            break;
        }
        ensure!(wanted.1, "the quota of changes does not come into force");
        self.set(everybody, "controller_mutation_rate", None)
    }

    fn create(
        &self,
        connection: &mut Connection,
        name: &str,
        partitions: i32,
        version: i16,
    ) -> Result<(E, i32)> {
        let topic = CreatableTopic {
            name: format!("{}-{name}", self.topic),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
        let answer = connection.call_version(&request, version)?;
        Ok((code(answer.topics[0].error_code)?, answer.throttle_time_ms))
    }

    fn request_time(&mut self) -> Result<()> {
        let everybody: Parts<'_> = &[("user", None), ("client-id", None)];
        self.set(everybody, "request_percentage", Some(0.000_001))?;
        let mut told = 0;
        for _ in 0..TRIES {
            let (mut connection, _) = self.stranger()?;
            // The time of one request may be counted with the next.
            for _ in 0..3 {
                told = told.max(connection.call_version(&ListGroupsRequest::default(), 4)?.throttle_time_ms);
            }
            if told > 0 {
                break;
            }
            std::thread::sleep(BETWEEN);
        }
        self.check("who takes up time waits, a second at the most", told == 1_000, told);
        // Its own connection is throttled until then.
        self.set(everybody, "request_percentage", None)
    }

    fn connections(&mut self) -> Result<()> {
        let ip: Parts<'_> = &[("ip", Some("127.0.0.1"))];
        self.set(ip, "connection_creation_rate", Some(1.0))?;
        let mut refused = 0;
        for _ in 0..TRIES {
            // Opening it asks for the versions, which is refused with it.
            if self.stranger().is_err() {
                refused += 1;
                break;
            }
        }
        self.check("connections above the quota are closed", refused > 0, refused);
        self.set(ip, "connection_creation_rate", None)?;
        let mut again = false;
        for _ in 0..TRIES {
            again = self.stranger().is_ok();
            if again {
                break;
            }
        }
        self.check("without the quota they are served", again, again);
        Ok(())
    }
}

/// Behind the first, large batch.
fn shifted(request: &FetchRequest) -> FetchRequest {
    let mut request = request.clone();
    request.topics[0].partitions[0].fetch_offset = 1;
    request
}

fn code(number: i16) -> Result<E> {
    E::from_number(number).with_context(|| format!("the code {number} is not known"))
}
