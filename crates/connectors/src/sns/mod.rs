//! `sns`: topics of Amazon SNS, standard and FIFO. Rows are published from an outbox, in batches.

mod options;
mod sink;

use crate::aws;
use crate::landed::{HEADERS, headers_type};
use crate::service::{Access, Call, Client, Done, Service, ServiceError, form};
use crate::xml;
use arrow_schema::DataType;
use base::options::Options;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::table::TableDefinition;
use os::Os;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "sns",
    doc: "A topic of Amazon SNS, standard or FIFO: each row is published as a message, in batches.",
    options: options::TOPICS,
    formats: formats::FormatKind::names(),
    reads: false,
    writes: true,
    source_guarantee: "–",
    sink_guarantee: "at least once; a FIFO topic takes what is sent again within 5 minutes once (deduplication id of the outbox's \
                     offset)",
};

pub(crate) struct Sns;

impl Service for Sns {
    type Target = sink::Topic;

    const SPEC: &'static ConnectorSpec = &SPEC;
    const PLACE: &'static str = options::ARN;
    const REACHED_BY: &'static str = aws::options::REGION;

    fn metadata() -> Vec<MetadataSpec> {
        let spec =
            |key, doc| MetadataSpec { key, data_type: DataType::Utf8, nullable: true, writable: true, doc };
        vec![
            spec(options::SUBJECT, "Its subject, which e-mails show: up to 100 characters of ASCII."),
            spec(options::GROUP_ID, "Its group, within which a FIFO topic keeps the order."),
            spec(
                options::DEDUPLICATION_ID,
                "By which a FIFO topic takes it once within 5 minutes; a sink makes one from its job and the row's offset.",
            ),
            MetadataSpec {
                key: HEADERS,
                data_type: headers_type(),
                nullable: false,
                writable: true,
                doc: "The message's attributes, by which subscriptions filter; 10 at most. What is no text is binary.",
            },
        ]
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        let mut errors = aws::options::problems(table, options);
        errors.extend(options::problems(table, options, role));
        errors
    }

    fn name(options: &Options, _role: Role) -> Result<String, String> {
        options::TopicName::of(options).map(|topic| topic.name)
    }

    fn access(os: &Os, options: &Options) -> Result<Access, String> {
        let topic = options::TopicName::of(options)?;
        aws::access(os, options, "sns", Some(&topic.region), None)
    }

    fn target(_table: &TableDefinition, options: &Options, job: &str) -> sink::Topic {
        sink::Topic::new(options, job)
    }

    fn look(client: &mut Client, options: &Options, _role: Role) -> (&'static str, Done<String>) {
        let arn = options.text(options::ARN).unwrap_or_default();
        let found = client.call(&attributes(arn)).and_then(|answer| {
            let malformed = || ServiceError::malformed("the attributes of a topic");
            let text = std::str::from_utf8(&answer.body).map_err(|_| malformed())?;
            xml::parse(text).map_err(|_| malformed())?;
            Ok(arn.to_string())
        });
        ("topic", found)
    }
}

/// Asks for what the topic says of itself.
fn attributes(arn: &str) -> Call {
    call("GetTopicAttributes", arn, Vec::new())
}

/// A call about a topic, in the query protocol.
fn call(action: &str, arn: &str, fields: Vec<(String, String)>) -> Call {
    let mut all = vec![("Action", action), ("Version", "2010-03-31"), ("TopicArn", arn)];
    all.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Call {
        method: "POST",
        path: "/".into(),
        headers: vec![("content-type".into(), "application/x-www-form-urlencoded; charset=utf-8".into())],
        body: form(&all).into_bytes(),
        ..Call::default()
    }
}
