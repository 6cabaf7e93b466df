//! A node as whoever describes it, or makes something of a description, asks it: by Kafka's protocol and by its HTTP port.

use crate::cli::{ANY_PORT, HTTP_ADDRESS, NodeArguments, PlaceArguments};
use crate::http_client::HttpClient;
use crate::node::{self, Addresses, Node};
use anyhow::bail;
use eventlog::LogError;
use kafka_client::{Client, ClientOptions, Security};
use std::path::Path;

pub struct Place {
    pub client: Client,
    pub kafka: String,
    /// With `https://` in front where that is needed; none where there is no HTTP port.
    pub http: Option<(String, HttpClient)>,
    pub security: Security,
    /// Opened for us.
    own: Option<Node>,
}

impl Place {
    pub fn open(arguments: &PlaceArguments) -> anyhow::Result<Place> {
        let (own, kafka, http) = match &arguments.data {
            Some(data) => of_data(data)?,
            None => {
                let http = arguments.http.as_deref().unwrap_or(HTTP_ADDRESS);
                (
                    None,
                    arguments.bootstrap().to_string(),
                    Some(http.to_string()).filter(|http| http != "none"),
                )
            }
        };
        let security =
            arguments.command_config.as_deref().map(Security::from_file).transpose()?.unwrap_or_default();
        let mut options = ClientOptions::new("eventwright");
        options.security = security.clone();
        let client = Client::connect_with(&kafka, options)?;
        let http = match http {
            Some(address) => {
                let client = HttpClient::new(&address, arguments.command_config.as_deref())?;
                Some((address, client))
            }
            None => None,
        };
        Ok(Place { client, kafka, http, security, own })
    }

    pub fn close(self) {
        if let Some(node) = self.own {
            node.shutdown();
        }
    }
}

/// A node of its own on a data directory that no node serves, and where it, or the node that does, listens.
fn of_data(data: &Path) -> anyhow::Result<(Option<Node>, String, Option<String>)> {
    if !data.join("log").is_dir() {
        bail!(
            "{} is no data directory: it has no log; `eventwright start --data DIR` makes one",
            data.display()
        );
    }
    let arguments = NodeArguments::of_own(ANY_PORT);
    // Our own node would write its addresses in the place of these.
    let running = Addresses::read(data);
    match Node::open(&node::os(&arguments), data, &arguments) {
        Ok(node) => {
            let (kafka, http) = (node.kafka_address().to_string(), node.http_address());
            Ok((Some(node), kafka, http))
        }
        Err(error) => match (error.downcast_ref(), running) {
            (Some(LogError::InUse { .. }), Some(addresses)) => Ok((None, addresses.kafka, addresses.http)),
            _ => Err(error),
        },
    }
}
