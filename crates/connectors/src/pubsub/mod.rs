//! `pubsub`: Google Cloud Pub/Sub, and its emulators. Subscriptions are read, topics are written, over REST (ADR 0033).
//!
//! Reading is a feed: what is pulled lands in the log and is acknowledged when it is durable there; a message that comes again
//! is left out by its id. Writing is an outbox, published in batches.

mod message;
mod options;
mod subscription;
mod topic;

use crate::google::{self, Named, Resource};
use crate::landed::{HEADERS, headers_type, instant_type};
use crate::service::{Access, Client, Done, LeaseFeed, Service};
use arrow_schema::DataType;
use base::options::Options;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::table::TableDefinition;
use os::Os;
use std::sync::Arc;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "pubsub",
    doc: "A subscription of Google Cloud Pub/Sub is read: its messages are acknowledged when they lie in the log. A topic is \
          written, in batches.",
    options: options::ALL,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "effectively once (left out by message id, or by `id-attribute`, for 24 hours or 5 million messages; \
                       acknowledged when they lie in the log)",
    sink_guarantee: "at least once; with `id-attribute` a reader can leave out what was published twice (an id of the outbox's \
                     offset)",
};

const NAMED: Named = Named {
    host: "pubsub.googleapis.com",
    emulator: "PUBSUB_EMULATOR_HOST",
    scope: "https://www.googleapis.com/auth/pubsub",
    names: google::options::OWN,
};

pub(crate) struct PubSub;

impl Service for PubSub {
    type Target = topic::Topic;

    const SPEC: &'static ConnectorSpec = &SPEC;
    const PLACE: &'static str = options::SUBSCRIPTION;
    const REACHED_BY: &'static str = google::options::ENDPOINT;

    fn metadata() -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, writable, doc| MetadataSpec { key, data_type, nullable: true, writable, doc };
        vec![
            spec("message-id", DataType::Utf8, false, "The id that the topic gave the message."),
            spec("publish-time", instant_type(), false, "When the topic took it."),
            spec(
                options::ORDERING_KEY,
                DataType::Utf8,
                true,
                "By which it is ordered. Written, it goes before `key.fields`; NULL is none.",
            ),
            spec(
                "delivery-attempt",
                DataType::Int64,
                false,
                "About how often it was delivered; NULL where the subscription has no dead-letter policy of its own.",
            ),
            MetadataSpec {
                key: HEADERS,
                data_type: headers_type(),
                nullable: false,
                writable: true,
                doc: "The message's attributes, which are texts: 100 at most.",
            },
        ]
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        let mut errors = google::options::problems(table, options, &google::options::OWN);
        errors.extend(options::problems(table, options, role));
        errors
    }

    fn name(options: &Options, role: Role) -> Result<String, String> {
        options::resource(options, role).map(|resource| resource.name)
    }

    fn access(os: &Os, options: &Options) -> Result<Access, String> {
        google::access(os, options, NAMED)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options) -> Option<Box<dyn Feed>> {
        let subscription = subscription::Subscription::new(&table, options);
        Some(Box::new(LeaseFeed::new(table, access, subscription)))
    }

    fn target(_table: &TableDefinition, options: &Options, job: &str) -> topic::Topic {
        topic::Topic::new(options, job)
    }

    fn key(table: &TableDefinition, options: &Options) -> Option<(Vec<usize>, String)> {
        let place = |name: &str| table.schema.index_of(name).ok();
        let columns: Vec<usize> = options::key_fields(options).filter_map(place).collect();
        (!columns.is_empty()).then_some((columns, "|".to_string()))
    }

    fn look(client: &mut Client, options: &Options, role: Role) -> (&'static str, Done<String>) {
        match role {
            Role::Sink => {
                let topic = topic::Topic::new(options, "");
                let found = client.call(&topic.asked());
                ("topic", found.map(|_| topic.name().to_string()))
            }
            _ => {
                let found = subscription::Facts::ask(client, &read(options));
                ("subscription", found.map(|facts| facts.to_string()))
            }
        }
    }
}

/// The subscription of a table that was checked before.
fn read(options: &Options) -> Resource {
    checked(options, Role::Source)
}

fn checked(options: &Options, role: Role) -> Resource {
    let none =
        Resource { project: String::new(), collection: options::collection(role), name: String::new() };
    options::resource(options, role).unwrap_or(none)
}
