//! Tables in a catalog that is asked over HTTP, by Iceberg's REST protocol.
//!
//! A commit says what it requires (the table is the same, its branch still ends where we read it) and what it changes; the
//! server does both at once, or answers 409.

use super::catalog::{Catalog, Committed, Loaded};
use super::metadata::{Addition, Metadata, NewTable};
use super::rest_identity::{Caller, Login};
use crate::lake::storage::Stores;
use crate::percent::percent_encoded;
use crate::service::{Access, Call, Client, Done, Identity, ServiceError};
use auth::https::Url;
use base::ErrorKind;
use os::Os;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What parts the levels of a namespace in a path.
const LEVELS: &str = "%1F";

/// Where a catalog is, and what it is asked for.
#[derive(Clone)]
pub(super) struct Place {
    pub url: Url,
    pub authorities: PathBuf,
    pub timeout: Duration,
    pub login: Login,
    /// As the server calls it; it may tell others by it.
    pub warehouse: Option<String>,
    pub prefix: Option<String>,
    pub namespace: Vec<String>,
    pub table: String,
}

pub(super) struct Rest {
    place: Place,
    /// One for all connections: what it was told (to be left alone for a time) holds for the next ones.
    access: Access,
    open: Option<Open>,
}

struct Open {
    client: Client,
    /// Of all paths: `/v1/PREFIX`.
    root: String,
}

impl Rest {
    pub(super) fn new(os: &Os, place: Place) -> Rest {
        let Place { url, authorities, timeout, login, .. } = &place;
        let caller = Caller::new(os, url, authorities, *timeout, login.clone());
        let identities = move || Box::new(caller.clone()) as Box<dyn Identity>;
        let access = Access::new(os, url.clone(), *timeout, authorities.clone(), Arc::new(identities));
        Rest { place, access, open: None }
    }

    /// Asks how it wants to be asked.
    fn connect(&self) -> Done<Open> {
        let mut client = self.access.client(1)?;
        let query = self.place.warehouse.iter().map(|name| ("warehouse".to_string(), name.clone())).collect();
        let call = Call { method: "GET", path: "/v1/config".into(), query, ..Call::default() };
        let config = answered(&client.call(&call)?.body)?;
        let named = |part: &str| config[part]["prefix"].as_str().map(str::to_string);
        let prefix = named("overrides").or_else(|| self.place.prefix.clone()).or_else(|| named("defaults"));
        let root = match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => format!("/v1/{}", percent_encoded(&prefix, true)),
            None => "/v1".into(),
        };
        Ok(Open { client, root })
    }

    fn ask(&mut self, method: &'static str, path: &str, body: Option<Value>) -> Done<Value> {
        if self.open.is_none() {
            self.open = Some(self.connect()?);
        }
        let Some(Open { client, root }) = &mut self.open else { return Err(ServiceError::unavailable("")) };
        let headers = match body {
            Some(_) => vec![("content-type".to_string(), "application/json".to_string())],
            None => Vec::new(),
        };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let path = format!("{root}{path}");
        let answer = client.call(&Call { method, path, headers, body, ..Call::default() });
        // A new client waits for the time that the server has named.
        if answer.as_ref().is_err_and(|error| error.pause.is_some()) {
            self.open = None;
        }
        let answer = answer?;
        if answer.body.is_empty() { Ok(Value::Null) } else { answered(&answer.body) }
    }

    fn namespace(&self) -> String {
        let levels: Vec<String> =
            self.place.namespace.iter().map(|level| percent_encoded(level, false)).collect();
        format!("/namespaces/{}", levels.join(LEVELS))
    }

    fn table(&self) -> String {
        format!("{}/tables/{}", self.namespace(), percent_encoded(&self.place.table, false))
    }
}

fn answered(body: &[u8]) -> Done<Value> {
    serde_json::from_slice(body).map_err(|error| ServiceError::malformed(&format!("it is no JSON: {error}")))
}

fn loaded(mut answer: Value) -> Done<Loaded> {
    let metadata = answer["metadata"].take();
    if !metadata.is_object() {
        return Err(ServiceError::malformed("a table without metadata"));
    }
    let place = answer["metadata-location"].as_str().unwrap_or_default().to_string();
    Ok(Loaded { metadata: Metadata(metadata), place, version: 0 })
}

/// Whether an answer of 409 says that something is there already, or another was first.
fn is_conflict(error: &ServiceError) -> bool {
    error.code == "409"
}

impl Catalog for Rest {
    fn place(&self) -> String {
        let Place { url, namespace, table, .. } = &self.place;
        format!("{}.{table} of the catalog {}", namespace.join("."), url.address())
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause_ms()
    }

    fn load(&mut self, _stores: &mut Stores) -> Done<Option<Loaded>> {
        match self.ask("GET", &self.table(), None) {
            // A server that does not know the paths has no tables either.
            Err(error) if error.kind == ErrorKind::NotFound && self.open.is_some() => Ok(None),
            answer => loaded(answer?).map(Some),
        }
    }

    fn create(&mut self, _stores: &mut Stores, table: &NewTable) -> Done<()> {
        let namespace = json!({"namespace": self.place.namespace, "properties": {}});
        match self.ask("GET", &self.namespace(), None) {
            Err(error) if error.kind == ErrorKind::NotFound => {
                match self.ask("POST", "/namespaces", Some(namespace)) {
                    Err(error) if is_conflict(&error) => {}
                    made => drop(made?),
                }
            }
            found => drop(found?),
        }
        let version = ("format-version".to_string(), "2".to_string());
        let properties = table.properties.iter().chain([&version]);
        let properties = properties.map(|(key, value)| (key.clone(), Value::from(value.clone())));
        let body = json!({
            "name": self.place.table, "schema": table.schema, "partition-spec": table.spec, "stage-create": false,
            "properties": Value::Object(properties.collect::<Map<_, _>>()),
        });
        match self.ask("POST", &format!("{}/tables", self.namespace()), Some(body)) {
            Err(error) if is_conflict(&error) => Ok(()),
            made => made.map(drop),
        }
    }

    fn commit(
        &mut self,
        stores: &mut Stores,
        loaded_before: &Loaded,
        addition: &Addition,
    ) -> Done<Committed> {
        let Addition { snapshot, parent, properties } = addition;
        let metadata = &loaded_before.metadata;
        let properties = properties.iter().map(|(key, value)| (key.clone(), Value::from(value.clone())));
        let body = json!({
            "identifier": {"namespace": self.place.namespace, "name": self.place.table},
            "requirements": [
                {"type": "assert-table-uuid", "uuid": metadata.text("table-uuid")?},
                {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": parent},
            ],
            "updates": [
                {"action": "add-snapshot", "snapshot": snapshot},
                {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": snapshot["snapshot-id"]},
                {"action": "set-properties", "updates": Value::Object(properties.collect::<Map<_, _>>())},
            ],
        });
        match self.ask("POST", &self.table(), Some(body)) {
            Err(error) if is_conflict(&error) => Ok(Committed::Conflict),
            // So some answer where only the sequence number is no longer the next one.
            Err(error) if error.code == "400" => {
                let Some(now) = self.load(stores)? else { return Err(error) };
                let (id, before, after) = (snapshot["snapshot-id"].as_i64(), &metadata.0, &now.metadata.0);
                let has_moved = before["last-sequence-number"] != after["last-sequence-number"]
                    || before["refs"]["main"]["snapshot-id"] != after["refs"]["main"]["snapshot-id"];
                if id.is_some_and(|id| now.metadata.has_snapshot(id)) {
                    Ok(Committed::Done(now))
                } else if has_moved {
                    Ok(Committed::Conflict)
                } else {
                    Err(error)
                }
            }
            // Without metadata in the answer it is looked up anew.
            answer => loaded(answer?).map(Committed::Done),
        }
    }
}
