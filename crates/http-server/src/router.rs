//! Which answer a request gets.

use crate::SavepointFolders;
use crate::events;
use crate::flink::{cluster, commands, details, jobs, vertices};
use crate::reply::Reply;
use crate::triggers::Triggers;
use hyper::{Method, StatusCode};
use os::Os;
use runtime::Runtime;
use std::sync::Arc;

/// What the routes look at and act on.
pub(crate) struct Site {
    pub runtime: Arc<Runtime>,
    pub os: Os,
    pub version: String,
    pub savepoints: SavepointFolders,
    pub triggers: Triggers,
}

impl Site {
    /// `target` is the path with its query.
    pub(crate) fn reply(&self, method: &Method, target: &str, body: &[u8]) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(parts) = parts(path) else {
            return Reply::error(StatusCode::BAD_REQUEST, format!("the path '{path}' is not well formed"));
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        // Flink's own clients name the version of the API.
        let parts = parts.strip_prefix(&["v1"]).unwrap_or(&parts);
        let get = method == Method::GET || method == Method::HEAD;
        match parts {
            ["openapi.json"] if get => events::openapi(&self.version),
            ["overview"] if get => cluster::overview(self),
            ["config"] if get => cluster::config(self),
            ["jobs"] if get => jobs::ids(self),
            ["jobs", "overview"] if get => jobs::overview(self),
            ["jobs", job] if get => details::job(self, job),
            ["jobs", job] if method == Method::PATCH => commands::terminate(self, job, query),
            ["jobs", job] if method == Method::DELETE => commands::end(self, job),
            ["jobs", job, "status"] if get => details::status(self, job),
            ["jobs", job, "plan"] if get => details::plan(self, job),
            ["jobs", job, "exceptions"] if get => details::exceptions(self, job, query),
            ["jobs", job, "why"] if get => details::why(self, job),
            ["jobs", job, "config"] if get => details::config(self, job),
            ["jobs", job, "metrics"] if get => vertices::job_metrics(self, job, query),
            ["jobs", job, "accumulators"] if get => vertices::job_accumulators(self, job),
            ["jobs", job, "vertices", vertex] if get => vertices::vertex(self, job, vertex),
            ["jobs", job, "vertices", vertex, "watermarks"] if get => vertices::watermarks(self, job, vertex),
            ["jobs", job, "vertices", vertex, "backpressure"] if get => {
                vertices::backpressure(self, job, vertex)
            }
            ["jobs", job, "vertices", vertex, "accumulators"] if get => {
                vertices::accumulators(self, job, vertex)
            }
            ["jobs", job, "vertices", vertex, "metrics"] if get => {
                vertices::vertex_metrics_list(self, job, vertex, query)
            }
            ["jobs", job, "vertices", vertex, "subtasks", "metrics"] if get => {
                vertices::subtask_metrics(self, job, vertex, query)
            }
            ["jobs", job, "stop"] if method == Method::POST => commands::stop(self, job, body),
            ["jobs", job, "savepoints"] if method == Method::POST => commands::savepoint(self, job, body),
            ["jobs", job, "savepoints", id] if get => commands::savepoint_status(self, job, id),
            ["openapi.json" | "overview" | "config" | "jobs" | "metrics"]
            | ["jobs", _]
            | ["jobs", _, "status" | "plan" | "exceptions" | "config" | "why" | "stop" | "savepoints"]
            | ["jobs", _, "metrics" | "accumulators"]
            | ["jobs", _, "vertices", _]
            | ["jobs", _, "vertices", _, "watermarks" | "backpressure" | "accumulators" | "metrics"]
            | ["jobs", _, "vertices", _, "subtasks", "metrics"]
            | ["jobs", _, "savepoints", _] => {
                let message = format!("{method} is not a method of {path}");
                Reply::error(StatusCode::METHOD_NOT_ALLOWED, message)
            }
            _ => Reply::error(StatusCode::NOT_FOUND, format!("Not found: {path}")),
        }
    }
}

/// The parts between the slashes, without their percent signs; none if one of them is no text.
pub(crate) fn parts(path: &str) -> Option<Vec<String>> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| decoded(part, false)).collect()
}

/// The value of a name in a query.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    decoded(value, true)
}

/// All pairs of a query; those that are no text are left out.
pub(crate) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter_map(|(key, value)| Some((decoded(key, true)?, decoded(value, true)?))).collect()
}

/// Text with `%41` for A, and in queries `+` for a blank.
pub(crate) fn decoded(text: impl AsRef<[u8]>, plus_is_blank: bool) -> Option<String> {
    let text = text.as_ref();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                (digit(rest.next())? * 16 + digit(rest.next())?) as u8
            }
            b'+' if plus_is_blank => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_lose_their_percent_signs() {
        assert_eq!(parts("/jobs//a%20b%2Fc/"), Some(vec!["jobs".into(), "a b/c".into()]));
        for wrong in ["/jobs/%", "/jobs/%2", "/jobs/%zz", "/jobs/%ff"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
        assert_eq!(query_value("a=1&mode=cancel+it&mode=2", "mode").as_deref(), Some("cancel it"));
        assert_eq!(query_value("mode", "mode").as_deref(), Some(""));
        assert_eq!(query_value("model=1", "mode"), None);
    }
}
