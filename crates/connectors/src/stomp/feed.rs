//! Brings the messages of a queue, or of a durable subscription of a topic: delivered, landed, then acknowledged.

use super::Server;
use super::brand::{AMQP_MESSAGE_ID, Brand, wishes};
use super::connection::{Connection, Event, SUBSCRIPTION_ID};
use super::error::missing;
use super::frames::Frame;
use super::options::{CLIENT_ID, DEDUPLICATE, ID_HEADER, PREFETCH, SELECTOR, SUBSCRIPTION};
use crate::landed::Landing;
use crate::messages::{
    Delivered, Done, MESSAGE_BYTES_MAX, ServerError, Subscriber, Tickets, is_time, keeps_headers, short_name,
};
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use std::sync::Arc;
use std::time::Duration;

/// Headers of the protocol and of the servers, which are columns of their own or of no use to anybody.
const KNOWN: &[&str] = &[
    "destination",
    "destination-type",
    "subscription",
    "message-id",
    AMQP_MESSAGE_ID,
    "ack",
    "receipt",
    "content-length",
    "content-type",
    "correlation-id",
    "reply-to",
    "type",
    "JMSXGroupID",
    "_AMQ_GROUP_ID",
    "timestamp",
    "persistent",
    "priority",
    "expires",
    "expiration",
    "redelivered",
];

pub(super) struct SubscriptionFeed {
    table: Arc<TableDefinition>,
    server: Server,
    /// Tells this scan of this job from all others.
    name: String,
    prefetch: u32,
    keeps_headers: bool,
    /// By what the server knows the deliveries.
    tickets: Tickets<String>,
}

impl SubscriptionFeed {
    pub(super) fn new(table: Arc<TableDefinition>, server: Server, identity: &str) -> SubscriptionFeed {
        let prefetch = server.options.integer(PREFETCH).and_then(|count| u32::try_from(count).ok());
        SubscriptionFeed {
            name: short_name(identity),
            prefetch: prefetch.unwrap_or(1),
            keeps_headers: keeps_headers(&table),
            tickets: Tickets::default(),
            server,
            table,
        }
    }

    /// What the message is known by.
    fn id(&self, brand: Brand, frame: &Frame) -> Option<String> {
        match self.server.text(ID_HEADER) {
            Some(name) => frame.header(name).filter(|id| !id.is_empty()).map(str::to_string),
            None => brand.id(frame),
        }
    }

    fn record(&self, brand: Brand, frame: Frame) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        let id = self.id(brand, &frame);
        landing.text("message-id", id.as_deref());
        for key in ["destination", "correlation-id", "reply-to", "type", "content-type"] {
            landing.text(key, frame.header(key));
        }
        landing.text("group-id", frame.header("JMSXGroupID").or_else(|| frame.header("_AMQ_GROUP_ID")));
        let time = brand.time_ms(&frame).filter(is_time);
        landing.number("timestamp", time);
        landing.boolean("persistent", frame.header("persistent") == Some("true"));
        landing.number("priority", Some(frame.number("priority").unwrap_or(4)));
        landing.number("ttl", brand.ttl_ms(&frame));
        landing.boolean("redelivered", frame.header("redelivered") == Some("true"));
        if frame.length > MESSAGE_BYTES_MAX {
            landing.unreadable(&format!(
                "the message has bytes={}, and limit={MESSAGE_BYTES_MAX}; here are the first {}",
                frame.length,
                frame.body.len()
            ));
        }
        let own = frame.headers.into_iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
        landing.headers(own.map(|(name, value)| (name, Some(value.into_bytes()))), self.keeps_headers);
        FeedRecord {
            partition: 0,
            timestamp_ms: time.unwrap_or_else(|| self.server.access.os().clock.now_ms()),
            key: None,
            value: Some(frame.body),
            headers: landing.finish(),
            id: id.filter(|_| self.server.options.boolean(DEDUPLICATE)).map(String::into_bytes),
        }
    }
}

impl Subscriber for SubscriptionFeed {
    type Connection = Connection;

    fn open(&mut self, _position: Option<&[u8]>) -> Done<Connection> {
        self.tickets = Tickets::default();
        let place = self.server.place();
        // A subscription is known by these two names.
        let named = |key: &str| self.server.text(key).unwrap_or(&self.name);
        let (client, subscription) = match place.is_kept(&self.server.options) {
            true => (Some(named(CLIENT_ID)), Some(named(SUBSCRIPTION))),
            false => (None, None),
        };
        let connected = self.server.connect(client);
        let mut connection = connected.map_err(|error| missing(error, &place.told()))?;
        let brand = connection.brand();
        let destination = place.destination(brand);
        if brand == Brand::Other && subscription.is_some() {
            return Err(ServerError::invalid(
                "the server does not say that it is ActiveMQ, Artemis or RabbitMQ, so that it is not known how it keeps a \
                 subscription: read a queue, or let RabbitMQ name itself (stomp.hide_server_info = false)",
            ));
        }
        let selector = self.server.text(SELECTOR);
        if selector.is_some() && brand == Brand::RabbitMq {
            return Err(ServerError::invalid(
                "RabbitMQ has no selectors: leave out 'selector', and filter in the query",
            ));
        }
        let id = subscription.filter(|_| brand == Brand::RabbitMq).unwrap_or(SUBSCRIPTION_ID);
        let wishes = wishes(brand, &place, subscription, self.prefetch);
        let mut headers = vec![("id", id), ("destination", &destination), ("ack", "client-individual")];
        headers.extend(wishes.iter().map(|(name, value)| (*name, value.as_str())));
        headers.extend(selector.map(|selector| ("selector", selector)));
        connection.subscribe(&headers).map_err(|error| missing(error, &place.told()))?;
        Ok(connection)
    }

    fn take(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Delivered>> {
        loop {
            match connection.take_event(wait)? {
                Some(Event::Message(frame)) => {
                    let ack = frame.header("ack").map(str::to_string);
                    let ack =
                        ack.ok_or_else(|| ServerError::malformed("a message that cannot be acknowledged"))?;
                    let (ticket, bytes) = (self.tickets.give(ack), frame.bytes());
                    let record = self.record(connection.brand(), *frame);
                    return Ok(Some(Delivered { ticket, bytes, record }));
                }
                Some(Event::Receipt(_)) => {}
                None => return Ok(None),
            }
        }
    }

    fn confirm(&mut self, connection: &mut Connection, ticket: u64) -> Done<()> {
        for id in self.tickets.settle(ticket) {
            connection.acknowledge(&id)?;
        }
        connection.flush()
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}
