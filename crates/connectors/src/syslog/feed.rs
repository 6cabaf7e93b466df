//! Brings what the server has heard.

use super::message::{Around, Message};
use super::options::Settings;
use super::server::{Came, Server};
use crate::landed::Landing;
use crate::messages::{HAUL_BYTES_MAX, is_time};
use base::ErrorKind;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use os::Os;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct SyslogFeed {
    table: Arc<TableDefinition>,
    os: Os,
    settings: Settings,
    server: Option<Server>,
}

impl SyslogFeed {
    pub(super) fn new(table: Arc<TableDefinition>, os: Os, settings: Settings) -> SyslogFeed {
        SyslogFeed { table, os, settings, server: None }
    }

    /// Where it listens.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> Vec<String> {
        self.server.iter().flat_map(|server| server.addresses.clone()).collect()
    }

    fn record(&self, came: Came) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        landing.text("peer", Some(&came.peer));
        landing.text("transport", Some(came.transport.name()));
        landing.number("received", Some(came.at_ms));
        let around =
            Around { protocol: self.settings.protocol, zone: self.settings.zone, now_ms: came.at_ms };
        let parsed = match came.framed.problem {
            Some(problem) => Err(problem),
            None => Message::parse(&came.framed.bytes, &around),
        };
        let (timestamp_ms, value) = match parsed {
            Ok(message) => {
                let time = message.timestamp_ms.filter(is_time);
                landing.number("facility", Some(message.facility.into()));
                landing.number("severity", Some(message.severity.into()));
                landing.number("timestamp", time);
                landing.text("hostname", message.hostname.as_deref());
                landing.text("app-name", message.app_name.as_deref());
                landing.text("proc-id", message.proc_id.as_deref());
                landing.text("msg-id", message.msg_id.as_deref());
                if landing.wants("structured-data") {
                    for (name, value) in message.structured_data {
                        landing.header(&name, Some(value.into_bytes()));
                    }
                }
                (time, message.text)
            }
            Err(reason) => {
                landing.unreadable(&format!("no message of syslog: {reason}"));
                (None, came.framed.bytes)
            }
        };
        FeedRecord {
            partition: 0,
            timestamp_ms: timestamp_ms.unwrap_or(came.at_ms),
            key: None,
            value: Some(value),
            headers: landing.finish(),
            id: None,
        }
    }
}

impl Feed for SyslogFeed {
    /// What has come stays when the feed is opened anew: nobody would send it again.
    fn open(&mut self, _position: Option<&[u8]>) -> Result<(), SourceError> {
        if self.server.is_none() {
            let started = Server::start(&self.os, &self.settings);
            self.server = Some(started.map_err(|(kind, message)| SourceError {
                kind: match kind {
                    std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::InvalidInput
                    | std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::Unsupported => ErrorKind::Invalid,
                    // A job of before may be about to go; descriptors and threads come back.
                    _ => ErrorKind::Unavailable,
                },
                message: format!("table '{}': syslog: {message}", self.table.name),
            })?);
        }
        Ok(())
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let mut haul = Haul::default();
        let Some(server) = &self.server else { return Ok(haul) };
        let mut wait = Duration::from_millis(wait_ms);
        let mut bytes = 0;
        while bytes < HAUL_BYTES_MAX {
            let Some(came) = server.arrivals.take(wait) else { break };
            let record = self.record(came);
            bytes += record.value.as_ref().map_or(0, Vec::len) + 256;
            haul.records.push(record);
            // What else has come is taken as well.
            wait = Duration::ZERO;
        }
        Ok(haul)
    }

    fn lost(&self) -> u64 {
        self.server.as_ref().map_or(0, |server| server.arrivals.lost())
    }
}
