//! Requests of many changes at once, and what a cluster says of each: an answer of 200 says nothing of its items.

use super::index::Index;
use super::mapping;
use crate::http_answers::shown;
use crate::messages::{Done, ServerError};
use crate::store::{Ask, Change, Verdict, Web, words};
use arrow_schema::SchemaRef;
use base::ErrorKind;
use dataflow::connector::Probed;
use os::http::segment;
use serde_json::{Value, json};

const NDJSON: &str = "application/x-ndjson";

pub(super) struct Bulk {
    web: Web,
    prefix: String,
}

/// What is known of an index.
pub(super) enum Found {
    There,
    /// The user may not look.
    Hidden,
    Missing,
}

/// One line of a request and perhaps the document behind it.
pub(super) struct Action<'a> {
    pub name: &'static str,
    pub index: &'a str,
    pub id: String,
    /// External, where there is one.
    pub version: Option<u64>,
    pub document: Option<&'a [u8]>,
}

impl Action<'_> {
    /// The action for a change whose place is known. Ids of what has no key are made of `name` and the offset.
    pub(super) fn of<'a>(change: &'a Change, index: &'a str, name: &str, base: u64) -> Action<'a> {
        let document = change.encoded.value.as_deref();
        match &change.encoded.key {
            Some(key) => Action {
                name: if document.is_some() { "index" } else { "delete" },
                index,
                id: String::from_utf8_lossy(key).into_owned(),
                version: Some(base + change.offset.unsigned_abs()),
                document,
            },
            None => Action {
                name: "create",
                index,
                id: format!("{name}-{}", change.offset),
                version: None,
                document,
            },
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut target = json!({ "_index": self.index, "_id": self.id });
        if let Some(version) = self.version {
            target["version"] = version.into();
            target["version_type"] = "external".into();
        }
        let line = json!({ (self.name): target });
        out.extend_from_slice(line.to_string().as_bytes());
        out.push(b'\n');
        if let Some(document) = self.document {
            out.extend_from_slice(document);
            out.push(b'\n');
        }
    }
}

impl Bulk {
    pub(super) fn new(web: Web, prefix: &str) -> Bulk {
        Bulk { web, prefix: prefix.into() }
    }

    fn get(&mut self, method: &str, path: &str) -> Done<(u16, Vec<u8>)> {
        let target = format!("{}{path}", self.prefix);
        let ask = Ask { method, target: &target, content_type: "", body: b"" };
        self.web.ask(&ask).map(|answer| (answer.status, answer.body))
    }

    /// The server's name and version, as far as it says them.
    pub(super) fn greet(&mut self) -> Done<String> {
        let (status, body) = self.get("GET", "/")?;
        match status {
            200 => {
                let said: Value = serde_json::from_slice(&body).unwrap_or_default();
                let version = &said["version"];
                let name = version["distribution"].as_str().unwrap_or("elasticsearch");
                Ok(format!("{name} {}", version["number"].as_str().unwrap_or("of an unknown version")))
            }
            // Who may only write is not told.
            403 => Ok("a server that does not say what it is to this user".into()),
            status => Err(unexpected(status, &body)),
        }
    }

    /// Sees whether an index can take the rows of a table; answers whether it is there, as far as the user may know.
    pub(super) fn look(&mut self, index: &str, schema: &SchemaRef) -> Done<Found> {
        match self.get("GET", &format!("/{}/_mapping", segment(index)))? {
            (200, body) => {
                let said = serde_json::from_slice(&body).unwrap_or_default();
                mapping::check(&said, schema).map_err(ServerError::invalid)?;
                Ok(Found::There)
            }
            (403, _) => Ok(Found::Hidden),
            (404, _) => Ok(Found::Missing),
            (status, body) => Err(unexpected(status, &body)),
        }
    }

    pub(super) fn probe(mut self, index: &Index, schema: &SchemaRef) -> Vec<Probed> {
        let greeted = match self.greet() {
            Ok(name) => Probed::well("reached", name),
            Err(error) => return vec![Probed::failed("reached", error.message)],
        };
        let Some(name) = index.fixed() else {
            return vec![greeted, Probed::well("index", format!("{}, by the row", index.shown()))];
        };
        let found = match self.look(name, schema) {
            Ok(Found::There) => Probed::well("index", name),
            Ok(Found::Hidden) => Probed::well("index", format!("{name}, which this user may not look at")),
            Ok(Found::Missing) => Probed::well(
                "index",
                format!("{name} is not there; the first row makes it, where the cluster allows that"),
            ),
            Err(error) => Probed::failed("index", error.message),
        };
        vec![greeted, found]
    }

    /// Sends actions together, or in parts where the cluster takes them no other way.
    pub(super) fn send(&mut self, actions: &[Action<'_>]) -> Done<Vec<Verdict>> {
        let mut body = Vec::new();
        actions.iter().for_each(|action| action.write(&mut body));
        let target = format!("{}/_bulk?filter_path=items.*.status,items.*.error", self.prefix);
        let ask = Ask { method: "POST", target: &target, content_type: NDJSON, body: &body };
        let answer = self.web.ask(&ask)?;
        match answer.status {
            200 => verdicts(&answer.body, actions),
            // For one of the actions, or for all of them together: that shows when each half comes alone.
            400 | 413 if actions.len() > 1 => {
                let (left, right) = actions.split_at(actions.len() / 2);
                let mut verdicts = self.send(left)?;
                verdicts.extend(self.send(right)?);
                Ok(verdicts)
            }
            400 | 413 => Ok(vec![Verdict::Refused(unexpected(answer.status, &answer.body).message)]),
            408 | 429 | 500..=599 => {
                let reason = unexpected(answer.status, &answer.body).message;
                Ok(actions.iter().map(|_| Verdict::NotNow(reason.clone())).collect())
            }
            status => Err(unexpected(status, &answer.body)),
        }
    }
}

/// An answer that nobody wanted.
fn unexpected(status: u16, body: &[u8]) -> ServerError {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = if said["error"].is_object() { reason(&said["error"]) } else { words(body) };
    let kind = match status {
        403 => ErrorKind::Invalid,
        404 | 405 => ErrorKind::NotFound,
        408 | 429 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    };
    let hint = match status {
        403 => "; the user may not do that",
        404 | 405 => "; look at 'hosts' and 'connection.path-prefix'",
        _ => "",
    };
    ServerError::new(kind, format!("the cluster answers {status}: {words}{hint}"))
}

/// Why something failed, with what is behind it.
fn reason(error: &Value) -> String {
    let mut words = Vec::new();
    let mut error = error;
    // What caused it, and what caused that.
    for _ in 0..4 {
        let text = |key: &str| error[key].as_str().unwrap_or_default();
        words.push(format!("{}: {}", text("type"), text("reason")));
        error = &error["caused_by"];
        if !error.is_object() {
            break;
        }
    }
    shown(&words.join("; "))
}

/// What the cluster says of each action.
fn verdicts(answer: &[u8], actions: &[Action<'_>]) -> Done<Vec<Verdict>> {
    let malformed = || ServerError::malformed("an answer does not say what became of each document");
    let answer: Value = serde_json::from_slice(answer).map_err(|_| malformed())?;
    let items =
        answer["items"].as_array().filter(|items| items.len() == actions.len()).ok_or_else(malformed)?;
    let one = |(action, item): (&Action<'_>, &Value)| {
        let item = item.as_object().and_then(|item| item.values().next()).ok_or_else(malformed)?;
        let status = item["status"].as_u64().ok_or_else(malformed)?;
        verdict(action, status, &item["error"])
    };
    actions.iter().zip(items).map(one).collect()
}

fn verdict(action: &Action<'_>, status: u64, error: &Value) -> Done<Verdict> {
    let kind = error["type"].as_str().unwrap_or_default();
    let told = || format!("the index {} answers {status}: {}", action.index, reason(error));
    Ok(match status {
        200..=299 => Verdict::Taken,
        // What is there is the same, or newer.
        409 => Verdict::Taken,
        404 if kind == "index_not_found_exception" && action.document.is_none() => Verdict::Taken,
        404 if kind == "index_not_found_exception" => {
            let message = format!("{}; create the index, or let the cluster create it", told());
            return Err(ServerError::new(ErrorKind::NotFound, message));
        }
        // There is nothing to delete.
        404 if action.document.is_none() => Verdict::Taken,
        408 | 429 | 500..=599 => Verdict::NotNow(told()),
        // Writes are blocked: a disk is full, or an index is being moved.
        403 if kind == "cluster_block_exception" => Verdict::NotNow(told()),
        401 | 403 => return Err(ServerError::invalid(format!("{}; the user may not write there", told()))),
        _ => Verdict::Refused(told()),
    })
}
