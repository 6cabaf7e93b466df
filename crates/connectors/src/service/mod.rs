//! What the connectors of services share that are called over HTTP: calls over connections that are kept, who makes them, a feed
//! of leased messages, a sink of batches, and the connector around them.
//!
//! A provider of services ([`crate::aws`], [`crate::google`]) says where a service is and brings an [`Identity`]; a service says
//! what its calls are. The client is our own and blocking, as those of the other systems are: the providers' crates bring an
//! asynchronous runtime, which this floor of the house does not have (ADR 0027, ADR 0033).

mod batches;
mod client;
mod connector;
mod error;
mod lasting;
mod leases;

pub(crate) use batches::{BatchTarget, Entry, Failure, Limits};
pub(crate) use client::{Asked, Call, Client, Identity, exchange, form};
pub(crate) use connector::{Service, ServiceConnector};
pub(crate) use error::{Cause, Done, ServiceError};
pub(crate) use lasting::{Ends, Lasting};
pub(crate) use leases::{LeaseFeed, LeaseLimits, Leased, Leases};

use crate::named_pause::NamedPause;
use auth::https::Url;
use auth::tls::ClientConfig;
use base::ErrorKind;
use dataflow::sink::SinkError;
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use os::Os;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The process's environment, or that of a test.
pub(crate) type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

pub(crate) fn environment() -> Environment {
    Arc::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The option that names a file with authorities, for all services.
pub(crate) const ROOT_CAS: &str = "tls.root-cas-file";

/// How a table's service is reached.
#[derive(Clone)]
pub(crate) struct Access {
    pub os: Os,
    pub url: Url,
    pub timeout: Duration,
    /// A file; without one those of the system.
    pub authorities: PathBuf,
    /// Makes one for each client.
    pub identities: Identities,
    pause: NamedPause,
}

pub(crate) type Identities = Arc<dyn Fn() -> Box<dyn Identity> + Send + Sync>;

impl Access {
    pub(crate) fn new(
        os: &Os,
        url: Url,
        timeout: Duration,
        authorities: PathBuf,
        identities: Identities,
    ) -> Access {
        Access { os: os.clone(), url, timeout, authorities, identities, pause: NamedPause::default() }
    }

    /// A client that has so many calls under way at once; none before the time that the service has named.
    pub(crate) fn client(&self, lanes: usize) -> Done<Client> {
        let waited = self.pause.wait(&self.os, Duration::ZERO, &self.url.address());
        waited.map_err(|error| ServiceError::new(error.kind, error.message))?;
        let tls = tls(&self.url, &self.authorities)?;
        Ok(Client::new(self, tls, (self.identities)(), lanes))
    }

    pub(crate) fn os(&self) -> &Os {
        &self.os
    }

    /// For how many ms more the service wants to be left alone.
    pub(crate) fn pause_ms(&self) -> Option<u64> {
        self.pause.left_ms(&self.os)
    }

    /// For a probe, which waits no longer than that.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Access {
        self.timeout = timeout;
        self
    }
}

fn tls(url: &Url, authorities: &Path) -> Done<Option<Arc<ClientConfig>>> {
    if !url.tls {
        return Ok(None);
    }
    let config = auth::tls::client_of_web(authorities);
    config
        .map(|config| Some(Arc::new(config)))
        .map_err(|error| ServiceError::invalid(error.to_string().replace("https.ca.location", ROOT_CAS)))
}

/// What an error means for a table: whether another try may help, and the table's name.
fn told(table: &TableDefinition, error: ServiceError) -> (ErrorKind, String) {
    let connector = table.options.get("connector").map_or("", String::as_str);
    (error.kind, format!("table '{}': {connector}: {}", table.name, error.message))
}

pub(crate) fn source_error(table: &TableDefinition, error: ServiceError) -> SourceError {
    let (kind, message) = told(table, error);
    SourceError { kind, message }
}

pub(crate) fn sink_error(table: &TableDefinition, error: ServiceError) -> SinkError {
    let (kind, message) = told(table, error);
    SinkError { kind, message }
}

#[cfg(test)]
pub(crate) mod testing;
