//! Materialized tables of a file on a node: declared with the job that keeps them, resumed, rebuilt, dropped.

use crate::node::Node;
use crate::output::thousands;
use anyhow::{Context, bail};
use sql::session::{DroppedView, JobRequest, NewView};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use views::{Decision, ViewDefinition, ViewKey, Views, Wanted};

/// A definition that is durable is folded within a moment.
const FOLDED_WITHIN: Duration = Duration::from_secs(60);

/// `--views-memory` in bytes.
pub fn memory(size: &str) -> anyhow::Result<u64> {
    base::units::parse_bytes(size).with_context(|| {
        format!("--views-memory '{size}' is not a size; write a number and a unit, for example 512mb")
    })
}

/// The views that there are, with the statements that made them.
pub fn statements(views: &Views) -> BTreeMap<String, String> {
    let snapshot = views.snapshot();
    let each = snapshot.views().iter().map(|view| view.definition());
    each.map(|definition| (definition.name.clone(), definition.statement.clone())).collect()
}

fn definitions(node: &Node) -> Vec<Arc<ViewDefinition>> {
    node.views.snapshot().views().iter().map(|view| view.definition().clone()).collect()
}

/// What the views of a job mean for those that are there.
pub fn decide(node: &Node, job: &JobRequest) -> anyhow::Result<Decision> {
    let there = definitions(node);
    let there: Vec<&ViewDefinition> = there.iter().map(Arc::as_ref).collect();
    let wanted = job.views.iter().map(|view| Wanted {
        name: &view.name,
        statement: &view.statement,
        or_alter: view.or_alter,
        if_not_exists: view.if_not_exists,
    });
    let wanted: Vec<Wanted<'_>> = wanted.collect();
    let is_plan_of = |name: &str| node.runtime.is_of(name, &job.fingerprint).unwrap_or(true);
    Ok(views::decide(&there, &wanted, is_plan_of)?)
}

/// Says what is lost and done again, before it is.
pub fn tell_rebuild(node: &Node, job: &JobRequest) {
    let snapshot = node.views.snapshot();
    for view in &job.views {
        if let Ok(old) = snapshot.view(&view.name) {
            eprintln!(
                "materialized table {}: its definition has changed, so it is made anew: {} rows go, and its sources are \
                 read again from where they begin",
                view.name,
                thousands(old.rows() as u64)
            );
        }
    }
}

/// A name that no job of the data directory has had.
pub fn free_name(node: &Node, base: &str) -> String {
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    let mut names = std::iter::once(base.to_string()).chain(numbered);
    names.find(|name| node.runtime.standing(name).is_none()).unwrap_or_default()
}

/// Makes the views of a job known, in the place of those of the same names.
pub fn declare(node: &Node, job: &JobRequest, name: &str) -> anyhow::Result<()> {
    let definition = |view: &NewView| {
        Ok(ViewDefinition {
            name: view.name.clone(),
            schema: view.schema.clone(),
            types: view.types.clone(),
            key: view.key.clone().map_or(ViewKey::Place, ViewKey::Columns),
            statement: view.statement.clone(),
            comment: view.comment.clone(),
            job: name.to_string(),
            topic: views::topic_of(&view.name)?,
        })
    };
    let definitions: Vec<ViewDefinition> =
        job.views.iter().map(definition).collect::<Result<_, views::ViewError>>()?;
    let lsn = views::declare(&node.log, &node.os, &definitions, true)?;
    node.log.wait_durable(lsn)?;
    node.views.wait_for(lsn, &[], FOLDED_WITHIN)?;
    for view in &definitions {
        let key = view.primary_key();
        let how = match (&view.key, key.is_empty()) {
            (ViewKey::Place, _) => "every row stays".to_string(),
            (_, true) => "one row".to_string(),
            (_, false) => format!("by ({})", key.join(", ")),
        };
        eprintln!(
            "materialized table {}: {how}; each step of job {name} brings it up to date, which meets every FRESHNESS",
            view.name
        );
    }
    Ok(())
}

/// The views that DROP names, and the jobs that end with them.
pub fn dropped(
    node: &Node,
    names: &[DroppedView],
) -> anyhow::Result<(Vec<Arc<ViewDefinition>>, Vec<String>)> {
    let there = definitions(node);
    let mut found = Vec::new();
    for dropped in names {
        match there.iter().find(|known| known.name == dropped.name) {
            Some(definition) => found.push(definition.clone()),
            None if dropped.if_exists => {}
            None => {
                let near = base::nearest(&dropped.name, there.iter().map(|known| known.name.as_str()));
                let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
                bail!("there is no materialized table '{}'{hint}", dropped.name);
            }
        }
    }
    let all: Vec<&ViewDefinition> = there.iter().map(Arc::as_ref).collect();
    let meant: Vec<&ViewDefinition> = found.iter().map(Arc::as_ref).collect();
    let jobs = views::jobs_of_dropped(&all, &meant)?;
    Ok((found, jobs))
}

/// Drops views whose jobs have ended.
pub fn drop_views(node: &Node, definitions: &[Arc<ViewDefinition>]) -> anyhow::Result<()> {
    if definitions.is_empty() {
        return Ok(());
    }
    let meant: Vec<&ViewDefinition> = definitions.iter().map(Arc::as_ref).collect();
    let lsn = views::drop_views(&node.log, &node.os, &meant)?;
    node.log.wait_durable(lsn)?;
    node.views.wait_for(lsn, &[], FOLDED_WITHIN)?;
    for definition in &meant {
        eprintln!("materialized table {} is dropped with its rows", definition.name);
    }
    Ok(())
}
