//! The systems that connectors are tried against, in groups that are installed together.

use std::path::Path;

use anyhow::{Result, bail};

use super::lakes::Format;
use super::mqtt::Quality;
use super::nats::Reading;
use super::outside::{FIRST_PASSWORD, Outside};
use super::streams::Told;
use super::{
    amqp, clickhouse, clouds, filesystem, http, kafka, kinesis, lakes, mongodb, mqtt, mysql, mysql_cdc, nats,
    opensearch, postgres, postgres_cdc, prometheus, pubsub, rabbitmq, redis, s3, sns, sqlite, sqs, stomp,
    streams,
};
use crate::amqp::Kind;
use crate::clouds::Cloud;
use crate::mysql::Brand;

/// Starts a system; its logs go into the folder.
pub type System = fn(&Path) -> Result<Box<dyn Outside>>;

/// Systems that are tried together, for they are installed together.
pub struct Group {
    name: &'static str,
    peers: &'static [&'static str],
    systems: &'static [(&'static str, System)],
}

pub const GROUPS: &[Group] = &[
    Group { name: "kafka", peers: &["kafka"], systems: &[("kafka", |_| Ok(Box::new(kafka::Kafka::new()?)))] },
    Group {
        name: "databases",
        peers: &["debian", "mysql"],
        systems: &[
            ("postgresql", |folder| Ok(Box::new(postgres::Postgres::new(folder)?))),
            ("postgresql-changes", |folder| Ok(Box::new(postgres_cdc::Changes::new(folder)?))),
            ("mariadb", |folder| Ok(Box::new(mysql::MySql::new(Brand::MariaDb, folder)?))),
            ("mariadb-changes", |folder| Ok(Box::new(mysql_cdc::Changes::new(Brand::MariaDb, folder)?))),
            ("mysql", |folder| Ok(Box::new(mysql::MySql::new(Brand::MySql, folder)?))),
            ("mysql-changes", |folder| Ok(Box::new(mysql_cdc::Changes::new(Brand::MySql, folder)?))),
            ("sqlite", |_| Ok(Box::new(sqlite::Sqlite::default()))),
        ],
    },
    Group {
        name: "rabbitmq",
        peers: &["debian"],
        systems: &[
            ("rabbitmq", |_| Ok(Box::new(rabbitmq::RabbitMq::new(rabbitmq::Kind::Queue)?))),
            ("rabbitmq-stream", |_| Ok(Box::new(rabbitmq::RabbitMq::new(rabbitmq::Kind::Stream)?))),
            ("stomp-rabbitmq", |_| Ok(Box::new(stomp::Stomp::new(stomp::Brand::RabbitMq)?))),
        ],
    },
    Group {
        name: "activemq",
        peers: &["debian", "amqp"],
        systems: &[
            ("artemis", |_| Ok(Box::new(amqp::Amqp::new(Kind::Artemis)?))),
            ("activemq", |_| Ok(Box::new(amqp::Amqp::new(Kind::ActiveMq)?))),
            ("stomp-artemis", |_| Ok(Box::new(stomp::Stomp::new(stomp::Brand::Artemis)?))),
            ("stomp-activemq", |_| Ok(Box::new(stomp::Stomp::new(stomp::Brand::ActiveMq)?))),
        ],
    },
    Group {
        name: "streams",
        peers: &["debian", "nats"],
        systems: &[
            ("nats", |_| Ok(Box::new(nats::Nats::new(Reading::Ordered)?))),
            ("nats-durable", |_| Ok(Box::new(nats::Nats::new(Reading::Durable)?))),
            ("redis-streams", |_| Ok(Box::new(redis::Redis::new(Reading::Ordered)?))),
            ("redis-streams-group", |_| Ok(Box::new(redis::Redis::new(Reading::Durable)?))),
            ("mqtt", |_| Ok(Box::new(mqtt::Mqtt::new(Quality::Exactly)?))),
            ("mqtt-qos1", |_| Ok(Box::new(mqtt::Mqtt::new(Quality::AtLeast)?))),
        ],
    },
    Group {
        name: "aws",
        peers: &["aws"],
        systems: &[
            ("sqs", |folder| Ok(Box::new(sqs::Sqs::new(folder, false)?))),
            ("sqs-fifo", |folder| Ok(Box::new(sqs::Sqs::new(folder, true)?))),
            ("kinesis", |folder| Ok(Box::new(kinesis::Kinesis::new(folder)?))),
            ("sns", |folder| Ok(Box::new(sns::Sns::new(folder)?))),
            ("s3", |folder| Ok(Box::new(s3::S3::new(folder, false)?))),
            ("s3-notifications", |folder| Ok(Box::new(s3::S3::new(folder, true)?))),
        ],
    },
    Group {
        name: "clouds",
        peers: &["pubsub", "clouds"],
        systems: &[
            ("pubsub", |folder| Ok(Box::new(pubsub::PubSub::new(folder, false)?))),
            ("pubsub-ordered", |folder| Ok(Box::new(pubsub::PubSub::new(folder, true)?))),
            ("gcs", |folder| Ok(Box::new(clouds::Clouds::new(Cloud::gcs(folder, FIRST_PASSWORD)?)?))),
            ("azure", |folder| Ok(Box::new(clouds::Clouds::new(Cloud::azure(folder, FIRST_PASSWORD)?)?))),
        ],
    },
    Group {
        name: "http",
        peers: &["debian", "streams"],
        systems: &[
            ("http", |folder| Ok(Box::new(http::Http::new(folder, false)?))),
            ("http-batch", |folder| Ok(Box::new(http::Http::new(folder, true)?))),
            ("sse", |folder| Ok(Box::new(streams::Streams::new(folder, Told::Header)?))),
            ("websocket", |folder| Ok(Box::new(streams::Streams::new(folder, Told::Query)?))),
            ("websocket-subscribed", |folder| Ok(Box::new(streams::Streams::new(folder, Told::Message)?))),
            ("prometheus", |folder| Ok(Box::new(prometheus::RemoteWrite::new(folder)?))),
        ],
    },
    Group {
        name: "lakes",
        peers: &["aws", "clouds", "lakes"],
        systems: &[
            ("filesystem", |_| Ok(Box::new(filesystem::Filesystem))),
            ("delta", |folder| Ok(Box::new(lakes::InBucket::new(Format::Delta, folder)?))),
            ("delta-gcs", |folder| {
                Ok(Box::new(lakes::InCloud::new(Cloud::gcs(folder, FIRST_PASSWORD)?, folder)?))
            }),
            ("delta-azure", |folder| {
                Ok(Box::new(lakes::InCloud::new(Cloud::azure(folder, FIRST_PASSWORD)?, folder)?))
            }),
            ("iceberg", |folder| Ok(Box::new(lakes::InBucket::new(Format::Iceberg, folder)?))),
            ("iceberg-rest", |folder| Ok(Box::new(lakes::InCatalog::new(folder)?))),
        ],
    },
    Group {
        name: "documents",
        peers: &["opensearch", "clickhouse", "mongodb"],
        systems: &[
            ("opensearch", |_| Ok(Box::new(opensearch::OpenSearch::new(false)?))),
            ("opensearch-keyed", |_| Ok(Box::new(opensearch::OpenSearch::new(true)?))),
            ("clickhouse", |_| Ok(Box::new(clickhouse::ClickHouse::new()?))),
            ("mongodb", |_| Ok(Box::new(mongodb::MongoDb::new(mongodb::Kind::Documents)?))),
            ("mongodb-keyed", |_| Ok(Box::new(mongodb::MongoDb::new(mongodb::Kind::Keyed)?))),
            ("mongodb-changes", |_| Ok(Box::new(mongodb::MongoDb::new(mongodb::Kind::Changes)?))),
        ],
    },
];

pub fn all() -> impl Iterator<Item = &'static (&'static str, System)> {
    GROUPS.iter().flat_map(|group| group.systems)
}

/// Systems, and what is installed for them.
pub struct Chosen {
    pub systems: Vec<&'static (&'static str, System)>,
    pub peers: Vec<String>,
}

/// What the names of systems and groups stand for; all if there are none.
pub fn choose(names: &[String]) -> Result<Chosen> {
    for name in names {
        if !GROUPS.iter().any(|group| group.name == name) && !all().any(|(system, _)| system == name) {
            let known: Vec<String> = GROUPS.iter().map(Group::text).collect();
            bail!("there is no system={name}; there are {}", known.join("; "));
        }
    }
    let is_named = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let mut chosen = Chosen { systems: Vec::new(), peers: Vec::new() };
    for group in GROUPS {
        let before = chosen.systems.len();
        let wanted = group.systems.iter().filter(|(system, _)| is_named(group.name) || is_named(system));
        chosen.systems.extend(wanted);
        if chosen.systems.len() > before {
            chosen.peers.extend(group.peers.iter().map(|peer| (*peer).to_owned()));
        }
    }
    Ok(chosen)
}

impl Group {
    /// `rabbitmq (rabbitmq, rabbitmq-stream, …)`
    fn text(&self) -> String {
        let systems: Vec<&str> = self.systems.iter().map(|(name, _)| *name).collect();
        format!("{} ({})", self.name, systems.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{all, choose};

    #[test]
    fn groups_and_systems_are_chosen_by_name() {
        let names = |chosen: &[&str]| {
            let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
            choose(&chosen).map(|chosen| chosen.systems.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), all().count());
        assert_eq!(
            names(&["clouds", "sqlite"]).unwrap(),
            ["sqlite", "pubsub", "pubsub-ordered", "gcs", "azure"]
        );
        let said = names(&["mars"]).unwrap_err().to_string();
        assert!(said.starts_with("there is no system=mars; there are kafka (kafka); databases ("), "{said}");
        assert_eq!(choose(&["kafka".to_owned()]).unwrap().peers, ["kafka"]);
    }
}
