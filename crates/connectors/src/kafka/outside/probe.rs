//! Tries whether a cluster lets a table in, and has its topic. No transactional id is taken: a job may be at work with it.

use super::{Cluster, ClusterFeed};
use base::options::Options;
use dataflow::connector::{Probed, Role};
use kafka_client::{Client, ClientError};
use std::time::Duration;

/// `options` are those of the table.
pub(in crate::kafka) fn probe(
    table: &str,
    mut cluster: Cluster,
    options: Options,
    role: Role,
    timeout_ms: u64,
) -> Vec<Probed> {
    let time = Duration::from_millis(timeout_ms.max(1));
    cluster.options.connect_timeout = cluster.options.connect_timeout.min(time);
    cluster.options.request_timeout = cluster.options.request_timeout.min(time);
    let reached = format!("a broker of {}", cluster.bootstrap);
    let mut client = match cluster.connect() {
        Ok(client) => client,
        Err(error @ (ClientError::LogIn { .. } | ClientError::Tls { .. })) => {
            return vec![Probed::well("reached", reached), Probed::failed("logged in", error)];
        }
        Err(error) => return vec![Probed::failed("reached", error)],
    };
    let who = options.text("properties.sasl.username").unwrap_or("nobody in particular");
    let mut probed = vec![Probed::well("reached", reached), Probed::well("logged in", format!("as {who}"))];
    probed.push(match role {
        Role::Source | Role::Lookup => {
            match ClusterFeed::new(table, cluster, options).partitions_of(&mut client) {
                Ok(partitions) => Probed::well("topic", format!("{partitions} partitions to read")),
                Err(error) => Probed::failed("topic", error),
            }
        }
        Role::Sink => written(&mut client, options.text("topic").unwrap_or_default()),
    });
    probed
}

fn written(client: &mut Client, topic: &str) -> Probed {
    match client.metadata(Some(&[topic])) {
        Err(error) => Probed::failed("topic", error),
        Ok(metadata) => match metadata.topics.first().map_or(0, |topic| topic.partitions.len()) {
            0 => {
                let reason = format!(
                    "there is no topic '{topic}' on the cluster, or the user may not see it; create it, or look at the \
                     user's rights"
                );
                Probed::failed("topic", reason)
            }
            partitions => Probed::well("topic", format!("'{topic}' has {partitions} partitions")),
        },
    }
}
