//! The broker's part of the page: itself, requests, topics, transactions.
//!
//! Names that begin with `kafka_` are those that boards for Kafka know: of the JMX exporter with its usual rules
//! (`kafka_server_…`, `kafka_network_…`, `kafka_controller_…`) and of kafka_exporter (`kafka_brokers`, `kafka_topic_…`,
//! `kafka_consumergroup_…`).

use super::counters::read;
use crate::broker::Broker;
use crate::call::Now;
use crate::state::transactions::TransactionState;
use crate::sync::lock;
use crate::views::Traffic;
use eventlog::{Appended, Topic};
use metrics::{Family, Page, Snapshot, Table, Value, counter, gauge, gauge_of_sum, histogram};
use std::sync::Arc;

/// The broker as a whole.
struct Measured {
    traffic: Traffic,
    connections_open: u64,
    connections_opened: u64,
    connections_refused: u64,
    connections_failed: u64,
    handshakes_failed: u64,
    connections_max: usize,
    answer_bytes: usize,
    answer_bytes_max: usize,
    request_bytes: usize,
    request_bytes_max: usize,
    users: usize,
    fetch_sessions: usize,
    transactional_ids: usize,
    transactions_open: usize,
    oldest_transaction_ms: Option<i64>,
    transactions_committed: u64,
    transactions_aborted: u64,
    producers: usize,
    fenced: bool,
}

const BROKER: Table<Measured> = Table {
    labels: &[],
    rows: &[
        counter("eventwright_kafka_produced_records_total", "Records that producers appended.", |all| {
            Some(all.traffic.records_in.into())
        }),
        counter(
            "eventwright_kafka_produced_bytes_total",
            "Bytes of batches that producers appended.",
            |all| Some(all.traffic.bytes_in.into()),
        ),
        counter("eventwright_kafka_fetched_bytes_total", "Bytes of batches given to consumers.", |all| {
            Some(all.traffic.bytes_out.into())
        }),
        gauge("eventwright_kafka_connections", "Open connections of the Kafka port.", |all| {
            Some(all.connections_open.into())
        }),
        gauge("eventwright_kafka_connections_max", "The most there may be: max.connections.", |all| {
            Some(all.connections_max.into())
        }),
        gauge(
            "eventwright_kafka_answer_bytes",
            "Bytes of answers that clients have not taken yet, or that are being made.",
            |all| Some(all.answer_bytes.into()),
        ),
        gauge(
            "eventwright_kafka_answer_bytes_max",
            "Beyond so many, connections that ask for more are not read: queued.max.response.bytes.",
            |all| Some(all.answer_bytes_max.into()),
        ),
        gauge(
            "eventwright_kafka_request_bytes",
            "Bytes of longer requests that are being received or handled.",
            |all| Some(all.request_bytes.into()),
        ),
        gauge(
            "eventwright_kafka_request_bytes_max",
            "Beyond so many, longer requests are not received: queued.max.request.bytes.",
            |all| Some(all.request_bytes_max.into()),
        ),
        counter("eventwright_kafka_connections_opened_total", "Connections that were accepted.", |all| {
            Some(all.connections_opened.into())
        }),
        counter(
            "eventwright_kafka_connections_refused_total",
            "Connections that were one too many: in all, of their address, or of those without a log-in.",
            |all| Some(all.connections_refused.into()),
        ),
        counter(
            "eventwright_kafka_connections_failed_total",
            "Connections that did not end in good order: damaged requests, failed log-ins, silence, resets.",
            |all| Some(all.connections_failed.into()),
        ),
        counter(
            "eventwright_kafka_tls_handshakes_failed_total",
            "TLS handshakes that failed or took too long.",
            |all| Some(all.handshakes_failed.into()),
        ),
        gauge("eventwright_users", "Users with a password.", |all| Some(all.users.into())),
        gauge("eventwright_kafka_fetch_sessions", "Incremental fetch sessions.", |all| {
            Some(all.fetch_sessions.into())
        }),
        gauge(
            "eventwright_producer_partitions",
            "Partitions times the producers whose sequences are kept there.",
            |all| Some(all.producers.into()),
        ),
        gauge("eventwright_transactional_ids", "Transactional ids that are known.", |all| {
            Some(all.transactional_ids.into())
        }),
        gauge("eventwright_transactions_open", "Transactions that have begun and not ended.", |all| {
            Some(all.transactions_open.into())
        }),
        gauge(
            "eventwright_transactions_oldest_age_seconds",
            "How long the oldest open transaction has been open; 0 if there is none.",
            |all| Some(Value::Real(all.oldest_transaction_ms.unwrap_or(0) as f64 / 1e3)),
        ),
        counter("eventwright_transactions_committed_total", "Transactions that were committed.", |all| {
            Some(all.transactions_committed.into())
        }),
        counter(
            "eventwright_transactions_aborted_total",
            "Transactions that were aborted, by their producer, by the next one of their id, or by time-out.",
            |all| Some(all.transactions_aborted.into()),
        ),
        gauge("kafka_brokers", "Nodes: this one.", |_| Some(Value::Count(1))),
        gauge(
            "kafka_controller_kafkacontroller_activecontrollercount",
            "The node is its controller.",
            |_| Some(Value::Count(1)),
        ),
        gauge(
            "kafka_controller_kafkacontroller_offlinepartitionscount",
            "1 while nothing can be written, the log being fenced.",
            |all| Some(all.fenced.into()),
        ),
        gauge(
            "kafka_server_replicamanager_underreplicatedpartitions",
            "Always 0: a partition has one replica, which is in sync.",
            |_| Some(Value::Count(0)),
        ),
    ],
};

struct LogIns {
    done: u64,
    failed: u64,
}

const LOG_INS: Table<LogIns> = Table {
    labels: &["listener"],
    rows: &[
        counter(
            "eventwright_authentications_succeeded_total",
            "Log-ins of the Kafka port, and requests of the HTTP port that proved who sent them.",
            |log_ins| Some(log_ins.done.into()),
        ),
        counter(
            "eventwright_authentications_failed_total",
            "Log-ins that were refused: a wrong user, password or token.",
            |log_ins| Some(log_ins.failed.into()),
        ),
    ],
};

const REQUESTS: Table<Snapshot> = Table {
    labels: &["api"],
    rows: &[histogram(
        "eventwright_kafka_request_seconds",
        "Time from a request's arrival until its answer is sent; a fetch waits for data, a produce for the disk.",
        |seconds| Some(seconds.clone().into()),
    )],
};

const REQUESTS_AS_KAFKA: Table<Snapshot> = Table {
    labels: &["request"],
    rows: &[counter(
        "kafka_network_requestmetrics_requests_total",
        "Requests that were answered.",
        |seconds| Some(seconds.count().into()),
    )],
};

const ERRORS: Table<u64> = Table {
    labels: &["api", "error"],
    rows: &[counter(
        "eventwright_kafka_request_errors_total",
        "Error codes in answers; an answer may carry several.",
        |times| Some((*times).into()),
    )],
};

const ERRORS_AS_KAFKA: Table<u64> = Table {
    labels: &["request", "error"],
    rows: &[counter("kafka_network_requestmetrics_errors_total", "Error codes in answers.", |times| {
        Some((*times).into())
    })],
};

/// What went into a topic and out of it.
#[derive(Default)]
struct TopicTraffic {
    partitions: usize,
    appended: Appended,
    fetched_bytes: u64,
}

const TOPICS: Table<TopicTraffic> = Table {
    labels: &["topic"],
    rows: &[
        counter("eventwright_topic_appended_records_total", "Records appended, by jobs too.", |topic| {
            Some(topic.appended.records.into())
        }),
        counter(
            "eventwright_topic_appended_bytes_total",
            "Bytes of batches appended, by jobs too.",
            |topic| Some(topic.appended.bytes.into()),
        ),
        counter("eventwright_topic_appended_batches_total", "Batches appended, by jobs too.", |topic| {
            Some(topic.appended.batches.into())
        }),
        counter("eventwright_topic_fetched_bytes_total", "Bytes of batches given to consumers.", |topic| {
            Some(topic.fetched_bytes.into())
        }),
        gauge_of_sum("kafka_topic_partitions", "Partitions.", |topic| Some(topic.partitions.into())),
    ],
};

/// The same for boards, which take the series without a topic for all of them.
const TOPICS_AS_KAFKA: Table<TopicTraffic> = Table {
    labels: &["topic"],
    rows: &[
        counter("kafka_server_brokertopicmetrics_messagesin_total", "Records appended.", |topic| {
            Some(topic.appended.records.into())
        }),
        counter("kafka_server_brokertopicmetrics_bytesin_total", "Bytes of batches appended.", |topic| {
            Some(topic.appended.bytes.into())
        }),
        counter("kafka_server_brokertopicmetrics_bytesout_total", "Bytes given to consumers.", |topic| {
            Some(topic.fetched_bytes.into())
        }),
    ],
};

pub(super) fn families() -> Vec<Family> {
    let mut families: Vec<Family> = BROKER.families().chain(LOG_INS.families()).collect();
    families.extend(REQUESTS.families().chain(REQUESTS_AS_KAFKA.families()));
    families.extend(ERRORS.families().chain(ERRORS_AS_KAFKA.families()));
    families.extend(TOPICS.families().chain(TOPICS_AS_KAFKA.families()));
    families
}

impl Broker {
    /// Writes the log's metrics and the broker's.
    pub fn write_metrics(&self, page: &mut Page) {
        let now = Now::of(&*self.os.clock);
        self.log.write_metrics(page);
        page.one(&BROKER, &self.measured(now));
        let log_ins = [
            ("kafka", &self.counters.kafka_log_ins),
            ("http", &self.counters.http_log_ins),
            ("postgresql", &self.counters.postgresql_log_ins),
        ]
        .map(|(name, of)| {
            (vec![name.to_string()], LogIns { done: read(&of.done), failed: read(&of.failed) })
        });
        page.table(&LOG_INS, &log_ins);
        let requests: Vec<(Vec<String>, Snapshot)> = self
            .counters
            .seconds()
            .map(|(api, seconds)| (vec![api.name().to_string()], seconds.snapshot()))
            .filter(|(_, seconds)| seconds.count() > 0)
            .collect();
        page.table(&REQUESTS, &requests);
        page.table(&REQUESTS_AS_KAFKA, &requests);
        let errors: Vec<(Vec<String>, u64)> = self
            .counters
            .errors()
            .map(|(api, code, times)| (vec![api.name().to_string(), code.name().to_string()], times))
            .collect();
        page.table(&ERRORS, &errors);
        page.table(&ERRORS_AS_KAFKA, &errors);
        let mut topics = self.topics_traffic();
        page.table(&TOPICS, &topics);
        let all = TopicTraffic {
            appended: self.log.appended_in_all(),
            fetched_bytes: self.counters.fetched_bytes_in_all(),
            partitions: 0,
        };
        topics.insert(0, (vec![String::new()], all));
        page.table(&TOPICS_AS_KAFKA, &topics);
        self.write_group_metrics(page, now);
    }

    fn measured(&self, now: Now) -> Measured {
        let connections = &self.counters.connections;
        let fetch_sessions = lock(&self.sessions).count();
        let state = lock(&self.state.0);
        let open = state.transactions.iter().filter(|(_, one)| one.state == TransactionState::Ongoing);
        let (transactions_open, oldest) =
            open.fold((0, None), |(count, oldest): (usize, Option<i64>), (_, one)| {
                (count + 1, Some(oldest.map_or(one.started_at_ms, |oldest| oldest.min(one.started_at_ms))))
            });
        Measured {
            traffic: self.traffic(),
            connections_open: self.connections() as u64,
            connections_opened: read(&connections.opened),
            connections_refused: read(&connections.refused),
            connections_failed: read(&connections.failed),
            handshakes_failed: read(&connections.handshakes_failed),
            connections_max: self.in_force().connections_max,
            answer_bytes: self.answers.used(),
            answer_bytes_max: self.answers.bytes_max(),
            request_bytes: self.requests.used(),
            request_bytes_max: self.requests.bytes_max(),
            users: self.rules.current().users().count(),
            fetch_sessions,
            transactional_ids: state.transactions.count(),
            transactions_open,
            oldest_transaction_ms: oldest.map(|started_ms| now.wall_ms.saturating_sub(started_ms).max(0)),
            transactions_committed: read(&self.counters.transactions_committed),
            transactions_aborted: read(&self.counters.transactions_aborted),
            producers: state.producers.count(),
            fenced: self.log.fenced().is_some(),
        }
    }

    /// The oldest topics first: those that are shown by name stay so when others come.
    fn topics_traffic(&self) -> Vec<(Vec<String>, TopicTraffic)> {
        let mut topics = self.log.topics();
        topics.sort_by_key(|topic| topic.partitions.first().copied());
        let traffic = |topic: Arc<Topic>| {
            let mut traffic = TopicTraffic { partitions: topic.partitions.len(), ..TopicTraffic::default() };
            for partition in &topic.partitions {
                traffic.appended += self.log.appended_to(*partition).unwrap_or_default();
                traffic.fetched_bytes += self.counters.fetched_bytes(*partition);
            }
            (vec![topic.name.clone()], traffic)
        };
        topics.into_iter().map(traffic).collect()
    }
}
