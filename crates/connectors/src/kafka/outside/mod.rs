//! Tables on an outside Kafka cluster: `properties.bootstrap.servers` names it.
//!
//! Reading is a feed: the cluster's record batches land in the log as they are, compressed if they are, and only their
//! headers are changed. Writing is an outbox whose batches go to the cluster in transactions that also hold the outbox's
//! offset, as the offset of a group of the sink's own.

mod feed;
mod origin;
mod sink;

pub(super) use feed::ClusterFeed;
pub(super) use origin::offset_of;
pub(super) use sink::ClusterSink;

use base::ErrorKind;
use base::options::Options;
use kafka_client::{Client, ClientError, ClientOptions, Security};
use std::collections::BTreeMap;

/// The option that says that a table lies outside.
pub(super) const BOOTSTRAP: &str = "properties.bootstrap.servers";

const PROPERTIES: &str = "properties.";

/// How to reach a cluster.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    bootstrap: String,
    options: ClientOptions,
}

impl Cluster {
    /// From the client properties of a table; none where it lies in the node's own log.
    pub(super) fn of(options: &Options) -> Option<Result<Cluster, String>> {
        let bootstrap = options.text(BOOTSTRAP)?.to_string();
        let properties: BTreeMap<String, String> = options
            .with_prefix(PROPERTIES)
            .filter_map(|(key, value)| Some((key.strip_prefix(PROPERTIES)?.to_string(), value.to_string())))
            .collect();
        let client_id = properties.get("client.id").map_or("eventwright", String::as_str);
        let mut options = ClientOptions::new(client_id);
        Some(Security::from_properties(&properties).map_err(|error| error.to_string()).map(|security| {
            options.security = security;
            Cluster { bootstrap, options }
        }))
    }

    fn connect(&self) -> Result<Client, ClientError> {
        Client::connect_with(&self.bootstrap, self.options.clone())
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
