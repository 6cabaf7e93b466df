//! The steps of a job that can be run again, and one of them looked into: `eventwright debug`.
//!
//! What a step shows is the job's state and rows, so it is for those who may have the whole of it: who may take savepoints.

use super::{Answered, Asked, Refused, denied_words};
use broker::security::Operation;
use formats::print::value_text;
use hyper::StatusCode;
use runtime::{Base, Covered, DebuggedStep, KnownSteps, Place, RuntimeError, StepWanted, Stretch};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Rows and entries of state that are shown unless the request says otherwise, and at most.
const SHOWN: usize = 10;
const SHOWN_MAX: usize = 10_000;

fn permit(asked: &Asked<'_>) -> Result<(), Refused> {
    if asked.visitor.may_on_cluster(Operation::Alter) {
        return Ok(());
    }
    Err(Refused { status: StatusCode::FORBIDDEN, words: denied_words(asked.visitor, "Alter on the cluster") })
}

fn savepoint(asked: &Asked<'_>) -> Result<Option<PathBuf>, Refused> {
    let savepoint = asked.value("savepoint").map(PathBuf::from);
    if let Some(folder) = &savepoint {
        asked.site.savepoints.permit(folder).map_err(Refused::bad)?;
    }
    Ok(savepoint)
}

pub(super) fn list(job: &str, asked: &Asked<'_>) -> Answered {
    permit(asked)?;
    let savepoint = savepoint(asked)?;
    Ok(known_json(&asked.site.runtime.known_steps(job, savepoint.as_deref())?))
}

pub(super) fn show(job: &str, step: &str, asked: &Asked<'_>) -> Answered {
    permit(asked)?;
    let step = step.parse().map_err(|_| Refused::bad("a step is a number"))?;
    let count = |name| Ok::<_, Refused>(asked.number::<usize>(name)?.unwrap_or(SHOWN).min(SHOWN_MAX));
    let (rows_max, entries_max) = (count("rows")?, count("entries")?);
    let wanted = StepWanted { step, rows_max, entries_max, savepoint: savepoint(asked)? };
    Ok(step_json(&asked.site.runtime.debug_step(job, &wanted)?))
}

impl From<RuntimeError> for Refused {
    fn from(error: RuntimeError) -> Refused {
        use base::ErrorKind;
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict | ErrorKind::Fenced => StatusCode::CONFLICT,
            ErrorKind::Retry | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refused { status, words: error.to_string() }
    }
}

fn base_json(base: &Base) -> Value {
    let kind = match base {
        Base::Begin => "begin",
        Base::Snapshot(_) => "snapshot",
        Base::Savepoint(_) => "savepoint",
    };
    json!({ "kind": kind, "step": base.step() })
}

/// Which steps can be run again.
pub fn known_json(known: &KnownSteps) -> Value {
    let covered = |covered: &Covered| json!({ "first": covered.first, "last": covered.last, "from": base_json(&covered.base) });
    json!({
        "job": known.job,
        "last_step": known.last_step,
        "steps": known.covered.iter().map(covered).collect::<Vec<_>>(),
    })
}

/// A step that was run again; values are texts, as `print` shows them, or null.
pub fn step_json(step: &DebuggedStep) -> Value {
    let inputs = step.inputs.iter().map(|input| {
        let mut shown = place_json(&input.of);
        shown["node"] = input.node.0.into();
        shown["table"] = input.table.as_str().into();
        shown["from"] = input.from.into();
        shown["to"] = input.to.into();
        shown["finished"] = input.finished.into();
        shown["idle"] = input.idle.into();
        shown["rows"] = input.rows.into();
        shown["shown"] = input.shown.iter().map(row_json).collect();
        shown
    });
    let operators = step.operators.iter().map(|operator| {
        let probed = &operator.probed;
        json!({
            "node": operator.node.0,
            "operator": operator.summary,
            "keeps": operator.keeps,
            "inputs": operator.inputs.iter().map(|input| input.0).collect::<Vec<_>>(),
            "rows_in": probed.run.rows_in,
            "rows_out": probed.run.rows_out,
            "late_rows": probed.run.late_rows,
            "watermark_before": probed.watermark_before,
            "watermark": probed.run.watermark,
            "shown": probed.rows.iter().map(row_json).collect::<Vec<_>>(),
            "state": {
                "entries": probed.state.entries.iter().map(entry_json).collect::<Vec<_>>(),
                "left_off": probed.state.left_off,
                "bookkeeping": probed.state.bookkeeping,
                "is_whole": probed.state.is_whole,
            },
        })
    });
    let written = step.written.iter().map(|Stretch { of, from, to }| {
        let mut shown = place_json(of);
        (shown["from"], shown["to"]) = ((*from).into(), (*to).into());
        if let Place::Partition { topic, .. } = of {
            shown["is_internal"] = eventlog::is_internal_topic(topic).into();
        }
        shown
    });
    json!({
        "job": step.job,
        "step": step.step,
        "clock": step.clock_ms,
        "clock_before": step.clock_before_ms,
        "from": base_json(&step.base),
        "replayed": step.replayed,
        "inputs": inputs.collect::<Vec<_>>(),
        "operators": operators.collect::<Vec<_>>(),
        "watermark": step.watermark_ms,
        "late_rows": step.late_rows,
        "hash": format!("{:016x}", step.hash),
        "journal_hash": format!("{:016x}", step.stored_hash),
        "is_same": step.hash == step.stored_hash,
        "lsn": step.lsn.map(|lsn| lsn.0),
        "written": written.collect::<Vec<_>>(),
    })
}

fn place_json(place: &Place) -> Value {
    match place {
        Place::Partition { topic, index } => json!({ "topic": topic, "partition": index }),
        Place::Split(id) => json!({ "split": id }),
    }
}

fn row_json(row: &runtime::ProbedRow) -> Value {
    let schema = row.columns.schema();
    let values = schema.fields().iter().zip(row.columns.columns());
    let values: Vec<Value> =
        values.map(|(field, value)| json!({ "name": field.name(), "value": value_text(value, 0) })).collect();
    json!({ "kind": row.kind.short(), "values": values })
}

fn entry_json(entry: &runtime::ProbedEntry) -> Value {
    let values = |fields: &[runtime::ProbedField]| -> Vec<Value> {
        let value = |field: &runtime::ProbedField| json!({ "name": field.name, "value": value_text(&field.value, 0) });
        fields.iter().map(value).collect()
    };
    json!({
        "what": entry.what,
        "key": values(&entry.key),
        "before": entry.before.as_deref().map(values),
        "after": entry.after.as_deref().map(values),
    })
}
