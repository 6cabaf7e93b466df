//! A connection to the servers of a table that is made when it is needed, and anew when it is lost.

use crate::messages::ServerError;
use base::ErrorKind;
use dataflow::connector::{Probed, Role};
use formats::bson::Document;
use mongo_client::{Address, Connection, WireError, Wired, batch, code, wrong};
use os::Os;
use std::time::Duration;

pub(crate) struct Session {
    os: Os,
    pub address: Address,
    pub database: String,
    pub collection: String,
    timeout: Duration,
    open: Option<Connection>,
}

/// The same with what can be done about it.
pub(crate) fn with_hint(error: WireError) -> WireError {
    let hint = match error.code {
        13 => "; the user may not do that",
        number if code::HISTORY_LOST.contains(&number) => {
            "; changes that were not read yet are in the server's oplog no more; begin with a new job, which reads all documents \
             anew, and give the oplog more room (replSetResizeOplog)"
        }
        code::TOO_LARGE => {
            "; a document and what the server says of its change are together larger than 16 MB, which only servers from 7.0 on \
             tell in parts"
        }
        number if code::CHANGES_ENDED.contains(&number) => {
            "; the server tells no changes behind that place; begin with a new job, which reads all documents anew"
        }
        number if code::NO_REPLICA_SET.contains(&number) => {
            "; only a replica set tells changes: start the server with --replSet, and call rs.initiate()"
        }
        _ => "",
    };
    WireError { message: format!("{}{hint}", error.message), ..error }
}

pub(crate) fn server_error(error: WireError) -> ServerError {
    let error = with_hint(error);
    ServerError::new(error.kind, error.message)
}

impl Session {
    pub(crate) fn new(
        os: &Os,
        address: Address,
        database: &str,
        collection: &str,
        timeout: Duration,
    ) -> Session {
        let timeout = timeout.max(Duration::from_millis(1));
        let (database, collection) = (database.to_string(), collection.to_string());
        Session { os: os.clone(), address, database, collection, timeout, open: None }
    }

    /// By the monotonic clock.
    pub(crate) fn now(&self) -> Duration {
        auth::socket::monotonic(&*self.os.clock)
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether there is a connection that can be used.
    pub(crate) fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.is_broken())
    }

    /// How many bytes the last answer had.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Connection::answer_bytes)
    }

    /// A command that may take longer, or shall take less long, than others.
    pub(crate) fn command_within(&mut self, command: Document, timeout: Duration) -> Wired<Document> {
        self.connection()?.set_timeout(timeout);
        let answer = self.command(command);
        let usual = self.timeout;
        if let Some(open) = &mut self.open {
            open.set_timeout(usual);
        }
        answer
    }

    /// Connects anew.
    pub(crate) fn reopen(&mut self) -> Wired<()> {
        self.open = None;
        self.connection().map(drop)
    }

    /// The connection, of which calls may be made.
    pub(crate) fn connection(&mut self) -> Wired<&mut Connection> {
        if self.open.as_ref().is_none_or(Connection::is_broken) {
            self.open = None;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            none => Ok(none.insert(Connection::open(&self.os, &self.address, self.timeout)?)),
        }
    }

    pub(crate) fn command(&mut self, command: Document) -> Wired<Document> {
        let database = self.database.clone();
        self.connection()?.command(&database, command)
    }

    /// Refuses what only looks like a collection; whether it is there.
    pub(crate) fn look(&mut self) -> Wired<bool> {
        let filter = Document::new().with("name", self.collection.as_str());
        let command = Document::new()
            .with("listCollections", 1)
            .with("filter", filter)
            .with("authorizedCollections", true)
            .with("nameOnly", true);
        let found = match self.command(command) {
            Ok(answer) => batch(answer)?.documents,
            // Who may only write, or a server that is asked otherwise, says nothing; that is no reason not to write.
            Err(error) if error.code != 0 && error.kind == ErrorKind::Invalid => return Ok(true),
            Err(error) => return Err(error),
        };
        let named = found.iter().find(|one| one.text("name") == Some(&self.collection));
        match named.and_then(|one| one.text("type")) {
            Some("view") => Err(wrong(format!(
                "{}.{} is a view, which can only be asked; name the collection behind it",
                self.database, self.collection
            ))),
            _ => Ok(named.is_some()),
        }
    }

    pub(crate) fn probe(mut self, role: Role) -> Vec<Probed> {
        let reached = match self.connection() {
            Ok(connection) => {
                let set = match (connection.replica_set(), connection.is_router()) {
                    (Some(name), _) => format!("the replica set '{name}'"),
                    (None, true) => "a router of a cluster".into(),
                    (None, false) => "one server".into(),
                };
                Probed::well("reached", format!("{set}, by protocol version {}", connection.wire_version()))
            }
            Err(error) => return vec![Probed::failed("reached", with_hint(error).message)],
        };
        let name = format!("{}.{}", self.database, self.collection);
        let found = match self.look() {
            Ok(true) => Probed::well("collection", name),
            Ok(false) if role == Role::Sink => {
                Probed::well("collection", format!("{name} is not there; the first row makes it"))
            }
            Ok(false) => Probed::well("collection", format!("{name} is not there, and so has no documents")),
            Err(error) => Probed::failed("collection", with_hint(error).message),
        };
        vec![reached, found]
    }
}
