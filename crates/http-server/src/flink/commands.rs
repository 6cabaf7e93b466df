//! What changes a job: cancelling it, ending it for good, stopping it with a savepoint, taking savepoints.

use crate::reply::Reply;
use crate::router::{Site, query_value};
use hyper::StatusCode;
use runtime::JobState;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// `PATCH /jobs/:jobid?mode=cancel`: the job stops after its current step.
pub(crate) fn terminate(site: &Site, name_or_id: &str, query: &str) -> Reply {
    let Some(job) = site.runtime.find(name_or_id) else { return Reply::no_job(name_or_id) };
    match query_value(query, "mode").as_deref() {
        None | Some("cancel") => {}
        Some(_) => {
            let message = "mode must be 'cancel'; POST /jobs/:jobid/stop stops a job with a savepoint";
            return Reply::error(StatusCode::BAD_REQUEST, message);
        }
    }
    if job.state == JobState::Canceled {
        return Reply::accepted(json!({}));
    }
    if !job.state.is_active() {
        let message = format!("the job '{}' does not run: it is {}", job.name, job.state.name());
        return Reply::error(StatusCode::CONFLICT, message);
    }
    match site.runtime.stop(&job.name) {
        Ok(()) => Reply::accepted(json!({})),
        Err(error) => Reply::of_error(&error),
    }
}

/// `DELETE /jobs/:jobid`, which Flink has not: a job that does not run ends for good.
pub(crate) fn end(site: &Site, name_or_id: &str) -> Reply {
    match site.runtime.end(name_or_id) {
        Ok(()) => Reply::accepted(json!({})),
        Err(error) => Reply::of_error(&error),
    }
}

/// What a request for a savepoint says.
struct Wanted {
    id: String,
    target: PathBuf,
    stops: bool,
}

/// `POST /jobs/:jobid/savepoints`.
pub(crate) fn savepoint(site: &Site, name_or_id: &str, body: &[u8]) -> Reply {
    trigger(site, name_or_id, body, |fields| {
        Ok((text(fields, "target-directory")?, flag(fields, "cancel-job")?))
    })
}

/// `POST /jobs/:jobid/stop`: a savepoint, and no step after it.
pub(crate) fn stop(site: &Site, name_or_id: &str, body: &[u8]) -> Reply {
    trigger(site, name_or_id, body, |fields| {
        if flag(fields, "drain")? {
            return Err(
                "'drain' would end windows before their time and is not supported; leave it out".into()
            );
        }
        Ok((text(fields, "targetDirectory")?, true))
    })
}

fn trigger(
    site: &Site,
    name_or_id: &str,
    body: &[u8],
    read: impl FnOnce(&Map<String, Value>) -> Result<(Option<String>, bool), String>,
) -> Reply {
    let Some(job) = site.runtime.find(name_or_id) else { return Reply::no_job(name_or_id) };
    let wanted = match wanted(site, body, read) {
        Ok(wanted) => wanted,
        Err(message) => return Reply::error(StatusCode::BAD_REQUEST, message),
    };
    if !job.state.is_active() {
        let message = format!("the job '{}' does not run: it is {}", job.name, job.state.name());
        return Reply::error(StatusCode::CONFLICT, message);
    }
    let begun = site.triggers.begin(&wanted.id, &job.name, || {
        if wanted.stops {
            site.runtime.stop_with_savepoint(&job.name, &wanted.target)
        } else {
            site.runtime.savepoint(&job.name, &wanted.target)
        }
    });
    match begun {
        Ok(()) => Reply::accepted(json!({ "request-id": wanted.id })),
        Err(error) => Reply::of_error(&error),
    }
}

fn wanted(
    site: &Site,
    body: &[u8],
    read: impl FnOnce(&Map<String, Value>) -> Result<(Option<String>, bool), String>,
) -> Result<Wanted, String> {
    let fields = match body.trim_ascii() {
        [] => Map::new(),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("the body is not a JSON object".into()),
            Err(error) => return Err(format!("the body is not JSON: {error}")),
        },
    };
    let (target, stops) = read(&fields)?;
    let id = match text(&fields, "triggerId")? {
        Some(id) if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => id.to_lowercase(),
        Some(_) => return Err("'triggerId' is not a text of 32 hexadecimal digits".into()),
        None => format!("{:016x}{:016x}", site.os.random.next_u64(), site.os.random.next_u64()),
    };
    let target = match target.as_deref().map(|target| target.strip_prefix("file:").unwrap_or(target)) {
        None => site.savepoints.default().to_path_buf(),
        Some("") => return Err("the target directory is empty".into()),
        Some(target) if target.contains("://") && !target.starts_with("//") => {
            return Err(format!("the target directory '{target}' is not a path of this machine"));
        }
        Some(target) => {
            let target = PathBuf::from(target.strip_prefix("//").unwrap_or(target));
            site.savepoints.permit(&target)?;
            target
        }
    };
    Ok(Wanted { id, target, stops })
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("'{name}' is not a text")),
    }
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("'{name}' is not true or false")),
    }
}

/// `GET /jobs/:jobid/savepoints/:triggerid`.
pub(crate) fn savepoint_status(site: &Site, name_or_id: &str, id: &str) -> Reply {
    match site.runtime.find(name_or_id) {
        Some(job) => site.triggers.status(&id.to_lowercase(), &job.name),
        None => Reply::no_job(name_or_id),
    }
}
