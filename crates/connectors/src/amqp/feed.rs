//! Brings the messages of a queue, or of a durable subscription of a topic: delivered, landed, then accepted.

use super::Server;
use super::connection::{Connection, Event, missing};
use super::message::Message;
use super::options::{CLIENT_ID, PREFETCH, SELECTOR, SUBSCRIPTION};
use super::performatives::{Attach, Node, State};
use crate::landed::Landing;
use crate::messages::{Delivered, Done, Subscriber, Tickets, keeps_headers, short_name};
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct LinkFeed {
    table: Arc<TableDefinition>,
    server: Server,
    /// Tells this scan of this job from all others.
    name: String,
    prefetch: u32,
    deduplicates: bool,
    keeps_headers: bool,
    /// The ids of deliveries; none of those that the server has settled itself.
    tickets: Tickets<Option<u32>>,
}

impl LinkFeed {
    pub(super) fn new(table: Arc<TableDefinition>, server: Server, identity: &str) -> LinkFeed {
        let prefetch = server.options.integer(PREFETCH).and_then(|count| u32::try_from(count).ok());
        LinkFeed {
            name: short_name(identity),
            prefetch: prefetch.unwrap_or(1),
            deduplicates: server.options.boolean("deduplicate"),
            keeps_headers: keeps_headers(&table),
            tickets: Tickets::default(),
            server,
            table,
        }
    }

    fn record(&self, message: Message) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        let texts = [
            ("message-id", &message.message_id),
            ("correlation-id", &message.correlation_id),
            ("group-id", &message.group_id),
            ("to", &message.to),
            ("subject", &message.subject),
            ("reply-to", &message.reply_to),
            ("content-type", &message.content_type),
            ("content-encoding", &message.content_encoding),
            ("user-id", &message.user_id),
        ];
        for (key, text) in texts {
            landing.text(key, text.as_deref());
        }
        landing.number("group-sequence", message.group_sequence.map(i64::from));
        landing.number("timestamp", message.timestamp_ms);
        // What a message does not say has these values by the specification.
        landing.boolean("durable", message.durable.unwrap_or(false));
        landing.number("priority", Some(message.priority.unwrap_or(4).into()));
        landing.number("ttl", message.ttl_ms.map(i64::from));
        landing.number("delivery-count", Some(message.delivery_count.unwrap_or(0).into()));
        landing.headers(message.headers, self.keeps_headers);
        let id = message.message_id.filter(|id| self.deduplicates && !id.is_empty());
        FeedRecord {
            partition: 0,
            timestamp_ms: message.timestamp_ms.unwrap_or_else(|| self.server.access.os().clock.now_ms()),
            key: None,
            value: Some(message.body),
            headers: landing.finish(),
            id: id.map(String::into_bytes),
        }
    }
}

impl Subscriber for LinkFeed {
    type Connection = Connection;

    fn open(&mut self, _position: Option<&[u8]>) -> Done<Connection> {
        self.tickets = Tickets::default();
        let place = self.server.place();
        // A subscription is known by these two names.
        let (container, link) = match place.1 {
            Node::Queue => {
                let own = self.server.own_name(&self.name);
                (own.clone(), own)
            }
            Node::Topic => {
                let named = |key: &str| self.server.text(key).unwrap_or(&self.name).to_string();
                (named(CLIENT_ID), named(SUBSCRIPTION))
            }
        };
        let mut connection = self.server.connect(&container)?;
        let attach =
            Attach { name: &link, address: place.0, node: place.1, selector: self.server.text(SELECTOR) };
        let attached = connection.receive_from(&attach, self.prefetch);
        attached.map_err(|error| missing(error, &place.told()))?;
        Ok(connection)
    }

    fn take(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Delivered>> {
        loop {
            match connection.take_event(wait)? {
                Some(Event::Delivery { id, is_settled, message }) => {
                    let ticket = self.tickets.give(Some(id).filter(|_| !is_settled));
                    let bytes = message.bytes();
                    return Ok(Some(Delivered { ticket, bytes, record: self.record(*message) }));
                }
                Some(Event::Outcome { .. }) => {}
                None => return Ok(None),
            }
        }
    }

    fn confirm(&mut self, connection: &mut Connection, ticket: u64) -> Done<()> {
        let mut run: Option<(u32, u32)> = None;
        for id in self.tickets.settle(ticket).flatten() {
            run = match run {
                Some((first, last)) if id == last.wrapping_add(1) => Some((first, id)),
                Some((first, last)) => {
                    connection.settle(first, last, &State::Accepted)?;
                    Some((id, id))
                }
                None => Some((id, id)),
            };
        }
        match run {
            Some((first, last)) => connection.settle(first, last, &State::Accepted),
            None => Ok(()),
        }
    }

    /// The job is behind: what it does not take may go to others.
    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.give_back()
    }
}
