//! Brings the messages of a session: landed, and then acknowledged in their order.
//!
//! 1. With QoS 1 a message is acknowledged when it is durable. What the connection or the node leaves comes again.
//! 2. With QoS 2 the packet ids of messages that have landed lie in the position, in the frame of the messages. A message
//!    that the server sends again under one of these has landed, and is received once more (`PUBREC`) without landing.
//! 3. When the server lets an id go (`PUBREL`), it may use it for another message as soon as we have completed it. So that is
//!    done when a position without the id is durable, and not before: else a message that is sent again after a crash could
//!    be taken for the older one.

use super::Server;
use super::connection::Connection;
use super::options::{CLEAN, LOST_SESSION, filters, qos};
use super::packets::{AckKind, Packet, Publish, Version};
use super::properties::{CONTENT_TYPE, EXPIRY, RESPONSE_TOPIC};
use crate::landed::Landing;
use crate::messages::{Delivered, Done, ServerError, Subscriber, Tickets, keeps_headers};
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Packet ids have two bytes, and filters are what a statement has.
const FILTERS_MAX: u32 = 65_536;

/// What the log knows of the session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Session {
    filters: Vec<String>,
    qos: u8,
    /// Whether the session has these subscriptions: one that was lost, and is to be made anew, has none.
    is_subscribed: bool,
    /// Packet ids of messages of QoS 2 that have landed and are not let go, with a hash of each message.
    received: BTreeMap<u16, u64>,
}

impl Session {
    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(self.qos).u8(u8::from(self.is_subscribed));
        out.u32(self.filters.len() as u32);
        for filter in &self.filters {
            out.text(filter);
        }
        out.u32(self.received.len() as u32);
        for (id, hash) in &self.received {
            out.u32((*id).into()).u64(*hash);
        }
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Session, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let (qos, is_subscribed) = (reader.u8()?, reader.u8()? != 0);
        let mut session = Session { qos, is_subscribed, ..Session::default() };
        let count = |reader: &mut FieldReader<'_>| match reader.u32()? {
            count if count <= FILTERS_MAX => Ok(count),
            _ => Err(CodecError { what: "too many parts of a session" }),
        };
        for _ in 0..count(&mut reader)? {
            session.filters.push(reader.text()?.to_string());
        }
        for _ in 0..count(&mut reader)? {
            let id = u16::try_from(reader.u32()?).map_err(|_| CodecError { what: "no packet id" })?;
            session.received.insert(id, reader.u64()?);
        }
        reader.finish()?;
        Ok(session)
    }
}

/// What tells a message from another under the same id.
fn hash(message: &Publish) -> u64 {
    let mut hash = Sha256::new();
    hash.update((message.topic.len() as u64).to_be_bytes());
    hash.update(&message.topic);
    hash.update(&message.payload);
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

pub(super) struct Subscription {
    table: Arc<TableDefinition>,
    server: Server,
    keeps_headers: bool,
    session: Session,
    /// What is to be said of each message that has landed, and of each id that is let go.
    tickets: Tickets<Option<(AckKind, u16)>>,
    /// The ticket of ids that were let go since the last haul.
    released: Option<u64>,
    /// The session is gone: another one is made when the position of this ticket, which says so, is in the log.
    gone: Option<u64>,
}

impl Subscription {
    pub(super) fn new(table: Arc<TableDefinition>, server: Server) -> Subscription {
        Subscription {
            keeps_headers: keeps_headers(&table),
            table,
            session: Session {
                filters: filters(&server.options),
                qos: qos(&server.options),
                ..Session::default()
            },
            server,
            tickets: Tickets::default(),
            released: None,
            gone: None,
        }
    }

    /// Goes on with the session that the log knows.
    fn resume(&mut self, mut connection: Connection, known: Session) -> Done<Connection> {
        if !connection.has_session && known.is_subscribed {
            return self.lost(connection);
        }
        if connection.has_session {
            let wanted = &self.session.filters;
            let old: Vec<String> =
                known.filters.iter().filter(|filter| !wanted.contains(filter)).cloned().collect();
            if !old.is_empty() {
                connection.unsubscribe(&old)?;
            }
            self.session.received.clone_from(&known.received);
            let is_subscribed =
                known.is_subscribed && known.filters == *wanted && known.qos == self.session.qos;
            if is_subscribed {
                self.session.is_subscribed = true;
                // In version 3.1.1 a subscription that is made again brings retained messages again.
                if connection.version == Version::Four {
                    return Ok(connection);
                }
            }
        }
        self.subscribe(&mut connection)?;
        Ok(connection)
    }

    /// The server does not know the session. The one that it has made instead is ended, or who comes next would take it for
    /// the one that was lost.
    fn lost(&mut self, connection: Connection) -> Done<Connection> {
        let error = ServerError::invalid(format!(
            "the server does not know the session of the client id '{}' any more: it has expired, or the server has lost \
             what it had, and messages may be missing; with '{LOST_SESSION}' = 'continue' the job goes on with what is \
             published from now on",
            self.server.client_id
        ));
        let goes_on = self.server.text(LOST_SESSION) == Some("continue");
        let ended = connection.close().and_then(|()| self.server.connect(true, false));
        if !goes_on {
            // That it is lost is said in any case.
            if let Ok(bare) = ended {
                bare.close().ok();
            }
            return Err(error);
        }
        let bare = ended?;
        self.gone = Some(self.tickets.give(None));
        self.released = self.gone;
        Ok(bare)
    }

    fn subscribe(&mut self, connection: &mut Connection) -> Done<()> {
        connection.subscribe(&self.session.filters, self.session.qos)?;
        if !self.session.is_subscribed {
            // The log shall know it at once.
            self.session.is_subscribed = true;
            self.released = Some(self.tickets.give(None));
        }
        Ok(())
    }

    /// The message's ticket; none of one that has landed before.
    fn ticket(&mut self, connection: &mut Connection, message: &Publish) -> Done<Option<u64>> {
        let id = message.id;
        let due = match message.qos {
            0 => None,
            1 => Some((AckKind::Ack, id)),
            _ => {
                // Servers that were started anew do not always say that it is a duplicate.
                let hash = hash(message);
                if self.session.received.insert(id, hash) == Some(hash) {
                    connection.acknowledge(AckKind::Received, id)?;
                    return Ok(None);
                }
                Some((AckKind::Received, id))
            }
        };
        Ok(Some(self.tickets.give(due)))
    }

    fn let_go(&mut self, connection: &mut Connection, id: u16) -> Done<()> {
        if self.session.received.remove(&id).is_some() {
            self.released = Some(self.tickets.give(Some((AckKind::Complete, id))));
            return Ok(());
        }
        connection.acknowledge(AckKind::Complete, id)
    }

    fn record(&self, message: Publish) -> FeedRecord {
        let Publish { topic, properties, payload, .. } = message;
        let mut landing = Landing::new(&self.table);
        landing.text("topic", Some(&topic));
        landing.number("qos", Some(message.qos.into()));
        landing.boolean("retained", message.retains);
        landing.boolean("duplicate", message.is_duplicate);
        landing.text("content-type", properties.text(CONTENT_TYPE).as_deref());
        landing.text("response-topic", properties.text(RESPONSE_TOPIC).as_deref());
        landing.number("message-expiry", properties.number(EXPIRY).map(i64::from));
        if let Some(problem) = &message.problem {
            landing.unreadable(&format!("the properties of the message cannot be read: {problem}"));
        }
        let payload = landing.value("the message", payload);
        let headers = properties.user.into_iter().map(|(name, value)| (name, Some(value.into_bytes())));
        landing.headers(headers, self.keeps_headers);
        FeedRecord {
            partition: 0,
            timestamp_ms: self.server.access.os().clock.now_ms(),
            key: None,
            value: Some(payload),
            headers: landing.finish(),
            id: None,
        }
    }
}

impl Subscriber for Subscription {
    type Connection = Connection;

    fn open(&mut self, position: Option<&[u8]>) -> Done<Connection> {
        (self.tickets, self.released, self.gone) = (Tickets::default(), None, None);
        (self.session.is_subscribed, self.session.received) = (false, BTreeMap::new());
        let is_clean = self.server.options.boolean(CLEAN);
        let known = position.map(Session::decode).transpose();
        let known = known.map_err(|error| ServerError::new(ErrorKind::Corrupt, error.to_string()))?;
        let mut connection = self.server.connect(is_clean, !is_clean)?;
        match known {
            Some(known) if !is_clean => self.resume(connection, known),
            _ => {
                self.subscribe(&mut connection)?;
                Ok(connection)
            }
        }
    }

    fn take(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Delivered>> {
        loop {
            // What was let go is told before anything is waited for.
            let wait = if self.released.is_some() { Duration::ZERO } else { wait };
            match connection.take(wait)? {
                Some(Packet::Publish(message)) => {
                    let bytes = message.bytes();
                    let Some(ticket) = self.ticket(connection, &message)? else { continue };
                    return Ok(Some(Delivered { ticket, bytes, record: self.record(message) }));
                }
                Some(Packet::Ack { kind: AckKind::Release, id, .. }) => self.let_go(connection, id)?,
                Some(_) => {}
                None => {
                    connection.flush()?;
                    return Ok(None);
                }
            }
        }
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.session.encode())
    }

    fn settled(&mut self) -> Option<u64> {
        self.released.take()
    }

    fn confirm(&mut self, connection: &mut Connection, ticket: u64) -> Done<()> {
        for (kind, id) in self.tickets.settle(ticket).flatten() {
            connection.acknowledge(kind, id)?;
        }
        if self.gone.is_some_and(|gone| gone <= ticket) {
            self.gone = None;
            *connection = self.server.connect(false, true)?;
            self.subscribe(connection)?;
        }
        connection.flush()
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_as_it_was_written() {
        let session = Session {
            filters: vec!["a/#".into(), "b".into()],
            qos: 2,
            is_subscribed: true,
            received: [(1, 7), (65535, u64::MAX)].into(),
        };
        let bytes = session.encode();
        assert_eq!(Session::decode(&bytes), Ok(session));
        for length in 0..bytes.len() {
            assert!(Session::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        assert!(Session::decode(&[0xff; 64]).is_err());
    }
}
