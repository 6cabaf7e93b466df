//! Tables on an outside Kafka cluster: `properties.bootstrap.servers` names it.
//!
//! Reading is a feed: the cluster's record batches land in the log as they are, compressed if they are, and only their
//! headers are changed. Writing is an outbox whose batches go to the cluster in transactions that also hold the outbox's
//! offset, as the offset of a group of the sink's own.

mod feed;
mod origin;
mod probe;
mod sink;

pub(super) use feed::ClusterFeed;
pub(super) use origin::offset_of;
pub(super) use probe::probe;
pub(super) use sink::ClusterSink;

use base::ErrorKind;
use base::options::Options;
use kafka_client::{Client, ClientError, ClientOptions, Security};
use os::Destinations;
use std::collections::BTreeMap;
use std::time::Duration;

/// The option that says that a table lies outside.
pub(super) const BOOTSTRAP: &str = "properties.bootstrap.servers";

const PROPERTIES: &str = "properties.";

/// Kafka's names of the times that a cluster is given to answer, and to take a connection.
const REQUEST_TIMEOUT: &str = "request.timeout.ms";
const CONNECT_TIMEOUT: &str = "socket.connection.setup.timeout.ms";

fn milliseconds(key: &str, text: &str) -> Result<Duration, String> {
    let given = text.trim().parse().ok().filter(|ms| (1..=i32::MAX as u64).contains(ms));
    given
        .map(Duration::from_millis)
        .ok_or_else(|| format!("'properties.{key}' = '{text}' is no number of milliseconds, such as '30000'"))
}

/// How to reach a cluster.
#[derive(Clone)]
pub(super) struct Cluster {
    bootstrap: String,
    options: ClientOptions,
    /// What passwords and certificates are read from, for each connection anew: they change while a job runs.
    properties: BTreeMap<String, String>,
}

impl Cluster {
    /// From the client properties of a table; none where it lies in the node's own log.
    pub(super) fn of(options: &Options, destinations: Destinations) -> Option<Result<Cluster, String>> {
        let bootstrap = options.text(BOOTSTRAP)?.to_string();
        let properties: BTreeMap<String, String> = options
            .with_prefix(PROPERTIES)
            .filter_map(|(key, value)| Some((key.strip_prefix(PROPERTIES)?.to_string(), value.to_string())))
            .collect();
        let client_id = properties.get("client.id").map_or("eventwright", String::as_str);
        let mut options = ClientOptions::new(client_id);
        options.destinations = destinations;
        let times = [
            (REQUEST_TIMEOUT, &mut options.request_timeout),
            (CONNECT_TIMEOUT, &mut options.connect_timeout),
        ];
        for (key, time) in times {
            match properties.get(key).map(|text| milliseconds(key, text)).transpose() {
                Ok(given) => *time = given.unwrap_or(*time),
                Err(message) => return Some(Err(message)),
            }
        }
        let checked = Security::from_properties(&properties).map_err(|error| error.to_string());
        Some(checked.map(|_| Cluster { bootstrap, options, properties }))
    }

    fn connect(&self) -> Result<Client, ClientError> {
        let mut options = self.options.clone();
        options.security = Security::from_properties(&self.properties).map_err(|error| {
            let (address, reason) = (self.bootstrap.clone(), error.to_string());
            ClientError::LogIn { address, reason }
        })?;
        Client::connect_with(&self.bootstrap, options)
    }
}

/// What a cluster's answer means for a table: whether another try may help, and the table's name.
fn told(table: &str, error: &ClientError) -> (ErrorKind, String) {
    let kind = match error.kind() {
        // Nobody else has this job's ids: it was this job that took too long, or an older process of it that was fenced.
        ErrorKind::Fenced => ErrorKind::Retry,
        // A topic that is not there may be made, and a log is mended by its owner.
        ErrorKind::Corrupt => ErrorKind::Unavailable,
        kind => kind,
    };
    (kind, format!("table '{table}': {error}"))
}

#[cfg(test)]
mod tests {
    use super::told;
    use base::ErrorKind;
    use kafka_client::ClientError;
    use kafka_wire::ErrorCode;

    fn kind(code: ErrorCode) -> ErrorKind {
        told("t", &ClientError::Refused { what: String::new(), code, message: None }).0
    }

    #[test]
    fn a_transaction_that_the_cluster_has_ended_is_written_again() {
        // What a commit gets behind its time-out, or behind an older request for the id that came late; what a sink
        // gets that wrote nothing for a week; what a cluster says that is not done with the transaction before.
        for code in [
            ErrorCode::InvalidTxnState,
            ErrorCode::InvalidProducerIdMapping,
            ErrorCode::ConcurrentTransactions,
        ] {
            assert_eq!(kind(code), ErrorKind::Retry, "{code}");
        }
        for code in [ErrorCode::TransactionalIdAuthorizationFailed, ErrorCode::MessageTooLarge] {
            assert_eq!(kind(code), ErrorKind::Invalid, "{code}");
        }
    }
}
