//! Apache Kafka: a broker whose jobs log in through the gate, while the suite comes by another door.
//!
//! Numbers are put in transactions, and with each comes one that is taken back.

use std::net::TcpListener;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base::ErrorKind;
use kafka_client::{Client, ClientError, Isolation, OffsetSpec, TransactionalProducer};
use kafka_wire::records::{BatchBuilder, Compression};

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, KEYS, Outside, Place, USER, json, text};
use super::trial::{LIMIT, PAUSE, number, records};
use crate::process::Server;
use crate::{kafka, versions};

const SCRAM_MODULE: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
/// Of a source's topic and of a sink's; they differ so that partitions cannot simply be taken over.
const FROM_PARTITIONS: i32 = 4;
const TO_PARTITIONS: i32 = 3;
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);
/// What is taken back is told from what is committed.
const TAKEN_BACK: u64 = 1 << 40;

pub struct Kafka {
    cluster: kafka::Kafka,
    gate: Gate,
}

impl Kafka {
    pub fn new() -> Result<Kafka> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let gate_port = listener.local_addr()?.port();
        let job_port = kafka::lasting_port()?;
        let security = kafka::Security {
            listeners: format!(",JOB://127.0.0.1:{job_port}"),
            advertised: Some(format!(",JOB://127.0.0.1:{gate_port}")),
            protocols: ",JOB:SASL_PLAINTEXT".to_owned(),
            settings: format!(
                "# One that was killed is let in again soon.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=200
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.job.scram-sha-512.sasl.jaas.config={SCRAM_MODULE} required;
"
            ),
            users: vec![format!("SCRAM-SHA-512=[name={USER},password={FIRST_PASSWORD}]")],
            ..kafka::Security::default()
        };
        let cluster = kafka::start_with(&security)?;
        Ok(Kafka { cluster, gate: Gate::between(listener, job_port)? })
    }

    fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.cluster.bootstrap, "conformance")?)
    }
}

impl Kafka {
    /// Tries until a cluster that has just come up, or made a topic, or ended a transaction, is ready for it.
    fn patiently<T>(&self, attempt: impl FnMut() -> Result<T, ClientError>) -> Result<T> {
        while_it_passes(attempt, |error| may_be_tried_again(error) || error.kind() == ErrorKind::Unavailable)
    }

    /// Kafka answers a commit before its markers are written; a cluster that is killed in between may take longer to write
    /// them than a case waits.
    fn wait_decided(&self, place: &Place) -> Result<()> {
        let begun = Instant::now();
        loop {
            let is_decided = self.patiently(|| {
                let mut client = Client::connect(&self.cluster.bootstrap, "conformance")?;
                let mut end = |partition, isolation| {
                    let listed = client.list_offsets_isolated(
                        &place.name,
                        partition,
                        OffsetSpec::Latest,
                        isolation,
                    )?;
                    Ok::<_, ClientError>(listed.offset)
                };
                for partition in 0..FROM_PARTITIONS {
                    if end(partition, Isolation::ReadCommitted)? < end(partition, Isolation::ReadUncommitted)?
                    {
                        return Ok(false);
                    }
                }
                Ok(true)
            })?;
            if is_decided {
                return Ok(());
            }
            ensure!(begun.elapsed() < LIMIT, "the transaction is not decided in {LIMIT:?}");
            std::thread::sleep(PAUSE);
        }
    }

    /// One transaction. Taking the id anew ends one that is left open.
    fn transaction(&self, place: &Place, numbers: &[u64], commits: bool) -> Result<(), ClientError> {
        let client = Client::connect(&self.cluster.bootstrap, "conformance")?;
        let mut producer = TransactionalProducer::new(client, &place.name, TRANSACTION_TIMEOUT)?;
        let mut batches = Vec::new();
        for partition in 0..FROM_PARTITIONS {
            let mut builder = BatchBuilder::new(Compression::Zstd);
            for n in numbers.iter().filter(|n| (*n % KEYS) as i32 % FROM_PARTITIONS == partition) {
                let put = builder.append(*n as i64, None, Some(json(*n).as_bytes()), &[]);
                put.map_err(|reason| ClientError::Records { what: "a number".to_owned(), reason })?;
            }
            if !builder.is_empty() {
                batches.push((partition, builder));
            }
        }
        producer.write_all(&place.name, batches)?;
        if commits { producer.commit() } else { producer.abort() }
    }
}

/// Tries as long as the error is one that passes.
fn while_it_passes<T>(
    mut attempt: impl FnMut() -> Result<T, ClientError>,
    passes: impl Fn(&ClientError) -> bool,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if passes(&error) && begun.elapsed() < LIMIT => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A transaction that is fenced was not committed: it took too long.
fn may_be_tried_again(error: &ClientError) -> bool {
    matches!(error.kind(), ErrorKind::Retry | ErrorKind::Fenced)
}

impl Outside for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn connector(&self) -> &'static str {
        "kafka"
    }

    fn version(&self) -> Result<String> {
        Ok(format!("Apache Kafka {}", versions::KAFKA))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => Some("a cluster refuses no record for what is in it"),
            _ => None,
        }
    }

    fn start(&mut self) -> Result<()> {
        self.cluster.start_again()
    }

    fn kill(&mut self) -> Result<()> {
        self.cluster.kill();
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.cluster.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, direction: Direction) -> Result<()> {
        let partitions = if direction == Direction::Source { FROM_PARTITIONS } else { TO_PARTITIONS };
        let mut client = self.client()?;
        client.create_topic(&place.name, partitions, 1, &[])?;
        // It is made; the broker hears of it later.
        for partition in 0..partitions {
            self.patiently(|| client.list_offsets(&place.name, partition, OffsetSpec::Latest))?;
        }
        Ok(())
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let of_direction = match direction {
            Direction::Source => {
                "'format' = 'json', 'scan.startup.mode' = 'earliest-offset', \
                 'properties.isolation.level' = 'read_committed'"
            }
            Direction::Sink => {
                "'key.format' = 'json', 'key.fields' = 'k', 'value.format' = 'json', \
                 'properties.compression.type' = 'lz4'"
            }
        };
        format!(
            "'connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '127.0.0.1:{}', \
             'properties.security.protocol' = 'SASL_PLAINTEXT', 'properties.sasl.mechanism' = 'SCRAM-SHA-512', \
             'properties.sasl.username' = '{USER}', 'properties.sasl.password' = '${{file:{}}}', \
             'properties.request.timeout.ms' = '2000', {of_direction}",
            place.name,
            self.gate.port,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let taken_back: Vec<u64> = numbers.clone().map(|n| n + TAKEN_BACK).collect();
        let numbers: Vec<u64> = numbers.collect();
        self.patiently(|| self.transaction(place, &taken_back, false))?;
        // Nobody knows what became of a commit whose answer is missing.
        while_it_passes(|| self.transaction(place, &numbers, true), may_be_tried_again)?;
        self.wait_decided(place)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let records = self.patiently(|| {
            let mut client = Client::connect(&self.cluster.bootstrap, "conformance")?;
            records(&mut client, &place.name, TO_PARTITIONS)
        })?;
        records.iter().map(|record| number(record.value.as_deref().unwrap_or_default())).collect()
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.cluster.set_password(USER, password)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = b"{\"k\":1,\"n\":\xff no number".to_vec();
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(0, None, Some(&poison), &[])?;
        self.client()?.produce(&place.name, 0, batch.build()?, -1)?;
        Ok(poison)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A topic has no columns; what does not fit is that it is not there.
            return Ok(format!("there is no topic '{}' on the cluster", place.name));
        }
        self.prepare(place, direction)?;
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(0, None, Some(b"{\"k\":1,\"n\":\"many\"}"), &[])?;
        self.client()?.produce(&place.name, 0, batch.build()?, -1).context("the record that does not fit")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
