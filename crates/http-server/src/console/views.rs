//! Materialized tables: what they are, what they take, and how far they are behind. Their rows are asked for in SQL.

use super::{Answered, Asked, Console, Refused};
use ::views::Look;
use broker::security::{Operation, ResourceType};
use hyper::StatusCode;
use runtime::JobStatus;
use serde_json::{Value, json};

const PAGE_MAX: usize = 500;
const PAGE_DEFAULT: usize = 200;

/// Those that a visitor may read: with Read on the topic of the view's name, as for queries.
fn readable(console: &Console, asked: &Asked<'_>) -> Vec<Look> {
    let mut looks = console.given.views.as_ref().map(::views::Views::look).unwrap_or_default();
    looks.retain(|look| asked.visitor.may(Operation::Read, ResourceType::Topic, look.view.name()));
    looks
}

/// The jobs, for those who may see them.
fn jobs(asked: &Asked<'_>) -> Vec<JobStatus> {
    match asked.visitor.may_on_cluster(Operation::Describe) {
        true => asked.site.runtime.jobs(),
        false => Vec::new(),
    }
}

fn shown(look: &Look, jobs: &[JobStatus]) -> Value {
    let mut shown = look.json();
    let job = jobs.iter().find(|job| job.name == look.view.definition().job);
    shown["job_id"] = job.map(|job| job.id.as_str()).into();
    shown["job_state"] = job.map(|job| job.state.name()).into();
    shown
}

pub(super) fn list(console: &Console, asked: &Asked<'_>) -> Answered {
    let filter = asked.value("filter").unwrap_or_default().to_lowercase();
    let (skip, max) =
        (asked.number("skip")?.unwrap_or(0), asked.number("max")?.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX));
    let mut looks = readable(console, asked);
    let all = looks.len();
    looks.retain(|look| look.view.name().to_lowercase().contains(&filter));
    let jobs = jobs(asked);
    let page: Vec<Value> = looks.iter().skip(skip).take(max).map(|look| shown(look, &jobs)).collect();
    Ok(json!({ "views": page, "found": looks.len(), "all": all }))
}

pub(super) fn one(console: &Console, name: &str, asked: &Asked<'_>) -> Answered {
    let found = readable(console, asked).into_iter().find(|look| look.view.name() == name);
    // Whoever may not read it is not told that it is there.
    let missing = || Refused { status: StatusCode::NOT_FOUND, words: format!("there is no view '{name}'") };
    let look = found.ok_or_else(missing)?;
    let jobs = jobs(asked);
    let mut view = shown(&look, &jobs);
    let job = jobs.into_iter().find(|job| job.name == look.view.definition().job);
    view["reads_topics"] = job.map(|job| job.progress.topics.reads).unwrap_or_default().into();
    Ok(view)
}
