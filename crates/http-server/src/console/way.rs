//! Where a record goes: the jobs and groups that read its partition, how far they are, and where the jobs write.
//!
//! What became of the record there is looked for by the page, with the searches that topics have: a job's results are not
//! tied to single records in the log.

use super::{Answered, Asked, Console, Refused};
use broker::Reader;
use broker::security::{Operation, ResourceType};
use runtime::{JobState, JobStatus};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Groups that are shown.
const GROUPS_MAX: usize = 2_000;

/// The names of views by the topics that have their rows.
type ViewsByTopic<'a> = HashMap<&'a str, &'a str>;

pub(super) fn show(
    console: &Console,
    name: &str,
    (partition, offset): (&str, &str),
    asked: &Asked<'_>,
) -> Answered {
    let topic = console.readable(name, asked)?;
    let index: usize = partition.parse().map_err(|_| Refused::bad("a partition is a number"))?;
    let offset: i64 = offset.parse().map_err(|_| Refused::bad("an offset is a number"))?;
    if index >= topic.partitions.len() {
        return Err(Refused::bad(format!(
            "the topic has the partitions from 0 to {}",
            topic.partitions.len() - 1
        )));
    }
    let sees_jobs = asked.visitor.may_on_cluster(Operation::Describe);
    let jobs = if sees_jobs { asked.site.runtime.jobs() } else { Vec::new() };
    let snapshot = console.given.views.as_ref().map(::views::Views::snapshot);
    let views = snapshot.iter().flat_map(::views::Snapshot::views);
    let views: ViewsByTopic<'_> = views.map(|view| (view.definition().topic.as_str(), view.name())).collect();
    let jobs: Vec<Value> =
        jobs.iter().filter_map(|job| of_job(console, job, (name, index, offset), &views, asked)).collect();
    Ok(
        json!({ "jobs": jobs, "sees_jobs": sees_jobs, "groups": groups(console, (name, index, offset), asked) }),
    )
}

/// None if the job does not read the topic.
fn of_job(
    console: &Console,
    job: &JobStatus,
    (topic, index, offset): (&str, usize, i64),
    views: &ViewsByTopic<'_>,
    asked: &Asked<'_>,
) -> Option<Value> {
    let split = format!("{topic}/{index}");
    let topics = &job.progress.topics;
    // Two scans of a job may read the partition: the record was taken when both have.
    let position = job.splits.iter().filter(|one| one.split == split).map(|one| one.position).min();
    if position.is_none() && !topics.reads.iter().any(|read| read == topic) {
        return None;
    }
    let may = |operation, name: &str| asked.visitor.may(operation, ResourceType::Topic, name);
    let output = |name: &String| {
        let view = views.get(name.as_str()).copied();
        // A view is read with the rights on the topic of its name.
        let may_see = may(Operation::Describe, name) || view.is_some_and(|view| may(Operation::Read, view));
        may_see.then(|| {
            let is_there = console.log.topic(name).is_some();
            json!({ "topic": name, "view": view, "is_there": is_there, "may_read": may(Operation::Read, name) })
        })
    };
    Some(json!({
        "id": job.id,
        "name": job.name,
        "state": job.state.name(),
        "position": position,
        // Of one that has finished the positions are not kept.
        "taken": position.filter(|_| job.state != JobState::Finished).map(|position| position > offset),
        "writes": topics.writes.iter().filter_map(output).collect::<Vec<_>>(),
        "letters": topics.letters.iter().filter_map(output).collect::<Vec<_>>(),
    }))
}

fn groups(console: &Console, (topic, index, offset): (&str, usize, i64), asked: &Asked<'_>) -> Vec<Value> {
    let partition = i32::try_from(index).unwrap_or(i32::MAX);
    let mut readers = console.broker.readers_of(topic, partition);
    readers.retain(|reader| asked.visitor.may(Operation::Describe, ResourceType::Group, &reader.group));
    let row = |reader: &Reader| {
        json!({
            "group": reader.group,
            "type": reader.group_type.name(),
            "next": reader.next,
            "done": reader.next > offset,
        })
    };
    readers.iter().take(GROUPS_MAX).map(row).collect()
}
