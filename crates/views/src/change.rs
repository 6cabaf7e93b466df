//! What becomes of the views that there are when a file declares or drops some.
//!
//! The views of one job stand and fall together: the job cannot be told to keep fewer, or others.

use crate::ViewError;
use crate::definition::ViewDefinition;
use std::collections::BTreeSet;

/// A view that a file declares.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    pub name: &'a str,
    pub statement: &'a str,
    /// One of the name makes room.
    pub or_alter: bool,
    /// One of the name stays.
    pub if_not_exists: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// None of them is there.
    Declare,
    /// They are there, as they are declared: their job goes on.
    Resume { job: String },
    /// These jobs end, the rows that they kept go, and all is read again.
    Rebuild { jobs: Vec<String> },
    /// They are there, perhaps by other queries, and stay as they are.
    Leave,
}

/// What declaring views together means. `is_plan_of` says whether a job has the plan that they have now; one that has
/// not begun has any.
pub fn decide(
    there: &[&ViewDefinition],
    wanted: &[Wanted<'_>],
    is_plan_of: impl Fn(&str) -> bool,
) -> Result<Decision, ViewError> {
    let find = |wanted: &Wanted<'_>| there.iter().find(|known| known.name == wanted.name);
    let known: Vec<(&Wanted<'_>, &&ViewDefinition)> =
        wanted.iter().filter_map(|wanted| Some((wanted, find(wanted)?))).collect();
    let Some((_, first)) = known.first() else { return Ok(Decision::Declare) };
    let jobs: BTreeSet<&str> = known.iter().map(|(_, known)| known.job.as_str()).collect();
    let others = others_of(there, &jobs, |name| wanted.iter().any(|wanted| wanted.name == name));
    let unchanged = known.iter().all(|(wanted, known)| wanted.statement == known.statement);
    if known.len() == wanted.len()
        && jobs.len() == 1
        && unchanged
        && others.is_none()
        && is_plan_of(&first.job)
    {
        return Ok(Decision::Resume { job: first.job.clone() });
    }
    if known.iter().all(|(wanted, _)| wanted.or_alter) {
        return match others {
            None => Ok(Decision::Rebuild { jobs: jobs.into_iter().map(str::to_string).collect() }),
            Some(other) => Err(together(first, other, "alter")),
        };
    }
    if known.iter().all(|(wanted, _)| wanted.if_not_exists) {
        return match wanted.iter().find(|wanted| find(wanted).is_none()) {
            None => Ok(Decision::Leave),
            Some(new) => Err(ViewError::Invalid(format!(
                "materialized tables that are created next to one another are one job, and of these '{}' is there and \
                 '{}' is not; put another statement between them",
                first.name, new.name
            ))),
        };
    }
    let changed = known.iter().find(|(wanted, _)| !wanted.or_alter && !wanted.if_not_exists);
    Err(ViewError::Exists(changed.map_or(first, |(_, known)| known).name.clone()))
}

/// The jobs that end with these views.
pub fn jobs_of_dropped(
    there: &[&ViewDefinition],
    dropped: &[&ViewDefinition],
) -> Result<Vec<String>, ViewError> {
    let jobs: BTreeSet<&str> = dropped.iter().map(|dropped| dropped.job.as_str()).collect();
    match others_of(there, &jobs, |name| dropped.iter().any(|dropped| dropped.name == name)) {
        None => Ok(jobs.into_iter().map(str::to_string).collect()),
        Some(other) => {
            let same_job = dropped.iter().find(|dropped| dropped.job == other.job);
            Err(together(same_job.unwrap_or(&dropped[0]), other, "drop"))
        }
    }
}

/// A view that one of the jobs keeps besides.
fn others_of<'a>(
    there: &[&'a ViewDefinition],
    jobs: &BTreeSet<&str>,
    is_meant: impl Fn(&str) -> bool,
) -> Option<&'a ViewDefinition> {
    there.iter().find(|known| jobs.contains(known.job.as_str()) && !is_meant(&known.name)).copied()
}

fn together(one: &ViewDefinition, other: &ViewDefinition, verb: &str) -> ViewError {
    ViewError::Invalid(format!(
        "the job '{}' keeps '{}' and '{}' together; {verb} both, in statements next to one another",
        one.job, one.name, other.name
    ))
}
