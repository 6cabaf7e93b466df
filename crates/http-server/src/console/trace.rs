//! The steps around a record, with the records that they took and wrote: `eventwright trace`.
//!
//! A step is told by the log; which of its records belong together, by the records: they are of one trace, or have the same
//! key. A row that waited in a state comes with a later step, which is found by the same marks.

use super::{Answered, Asked, Console, Refused, browse, shown};
use crate::committed;
use base::Offset;
use broker::security::{Operation, ResourceType};
use kafka_wire::records::Record;
use runtime::{LoggedStep, Place, Stretch};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use traces::{TraceId, of_headers};

/// Records of one stretch that are shown: those that bear a mark, and others if there are none.
const MARKED_MAX: usize = 20;
const OTHERS_MAX: usize = 5;
/// Records of one stretch that are looked at, and bytes of all of them.
const LOOKED_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 << 20;
/// Later steps that are shown.
const LATER_MAX: usize = 10;

pub(super) fn show(
    console: &Console,
    name: &str,
    (partition, offset): (&str, &str),
    asked: &Asked<'_>,
) -> Answered {
    let record = browse::record(console, name, (partition, offset), asked)?;
    let topic = console.readable(name, asked)?;
    let index: usize = partition.parse().map_err(|_| Refused::bad("a partition is a number"))?;
    let offset: i64 = offset.parse().map_err(|_| Refused::bad("an offset is a number"))?;
    let id = *topic.partitions.get(index).ok_or_else(|| Refused::bad("there is no such partition"))?;
    if !asked.visitor.may_on_cluster(Operation::Describe) {
        return Ok(json!({ "record": record, "sees_jobs": false }));
    }
    let lineage = asked.site.runtime.lineage(id, Offset(offset)).map_err(broker::errors::ApiError::from)?;
    let mut around = Around { console, asked, mark: Mark::default(), bytes_left: BYTES_MAX };
    committed::walk(&console.log, id, (offset, offset.saturating_add(1)), 1, &mut |record| {
        if record.offset == offset {
            around.mark = Mark::of(record);
        }
        ControlFlow::Continue(())
    })?;
    let written_by = lineage.written_by.map(|step| around.step(&step, true));
    let taken_by: Vec<Value> = lineage.taken_by.iter().map(|step| around.step(step, false)).collect();
    let mut later = Vec::new();
    for step in &lineage.later {
        let shown = around.step(step, false);
        if later.len() < LATER_MAX && around.has_marked(&shown) {
            later.push(shown);
        }
    }
    Ok(json!({
        "record": record,
        "sees_jobs": true,
        "lsn": lineage.lsn.map(|lsn| lsn.0),
        "appended": lineage.lsn.map(|_| lineage.appended_ms),
        "written_by": written_by,
        "fed_by": lineage.fed_by,
        "taken_by": taken_by,
        "later": later,
        "is_whole": lineage.is_whole && around.bytes_left > 0,
    }))
}

/// What shows that two records belong together.
#[derive(Default)]
struct Mark {
    trace: Option<TraceId>,
    key: Option<Vec<u8>>,
}

impl Mark {
    fn of(record: &Record<'_>) -> Mark {
        let context = of_headers(record.headers.map(|header| (header.key, header.value)));
        Mark { trace: context.map(|context| context.trace), key: record.key.map(<[u8]>::to_vec) }
    }

    /// The name of what both have.
    fn shared(&self, other: &Record<'_>) -> Option<&'static str> {
        let other = Mark::of(other);
        if self.trace.is_some() && self.trace == other.trace {
            return Some("trace");
        }
        (self.key.is_some() && self.key == other.key).then_some("key")
    }
}

struct Around<'a> {
    console: &'a Console,
    asked: &'a Asked<'a>,
    mark: Mark,
    bytes_left: usize,
}

impl Around<'_> {
    /// A step with the records of its inputs, or of its outputs.
    fn step(&mut self, step: &LoggedStep, with_inputs: bool) -> Value {
        let inputs: Vec<Value> =
            step.inputs.iter().filter_map(|stretch| self.stretch(stretch, with_inputs)).collect();
        let outputs: Vec<Value> =
            step.outputs.iter().filter_map(|stretch| self.stretch(stretch, !with_inputs)).collect();
        json!({
            "job": step.job,
            "step": step.number,
            "clock": step.clock_ms,
            "lsn": step.lsn.0,
            "inputs": inputs,
            "outputs": outputs,
        })
    }

    fn has_marked(&self, step: &Value) -> bool {
        let outputs = step["outputs"].as_array().into_iter().flatten();
        let mut records = outputs.flat_map(|output| output["records"].as_array().into_iter().flatten());
        records.any(|record| !record["mark"].is_null())
    }

    /// None of a topic that who asks may not know of.
    fn stretch(&mut self, stretch: &Stretch, with_records: bool) -> Option<Value> {
        let (topic, index) = match &stretch.of {
            Place::Split(id) => {
                return Some(json!({ "split": id, "from": stretch.from, "to": stretch.to }));
            }
            Place::Partition { topic, index } => (topic, *index),
        };
        let may = |operation| self.asked.visitor.may(operation, ResourceType::Topic, topic);
        if !may(Operation::Describe) {
            return None;
        }
        let mut shown = json!({
            "topic": topic,
            "partition": index,
            "from": stretch.from,
            "to": stretch.to,
            "is_internal": eventlog::is_internal_topic(topic),
            "may_read": may(Operation::Read),
        });
        if with_records && may(Operation::Read) {
            // What retention has taken meanwhile is not there.
            shown["records"] = self.records(topic, index as usize, stretch).unwrap_or_default().into();
        }
        Some(shown)
    }

    fn records(&mut self, topic: &str, index: usize, stretch: &Stretch) -> Option<Vec<Value>> {
        let id = *self.console.log.topic(topic)?.partitions.get(index)?;
        let (mut marked, mut others) = (Vec::new(), Vec::new());
        let (mut next, mut looked) = (stretch.from, 0);
        while next < stretch.to && looked < LOOKED_MAX && self.bytes_left > 0 && marked.len() < MARKED_MAX {
            let at = committed::walk(&self.console.log, id, (next, stretch.to), 1 << 16, &mut |record| {
                looked += 1;
                self.bytes_left = self.bytes_left.saturating_sub(crate::events::bytes_of(record));
                match self.mark.shared(record) {
                    None if others.len() >= OTHERS_MAX => {}
                    mark => {
                        let mut line = shown::line(index, record);
                        line["mark"] = mark.into();
                        if mark.is_some() { marked.push(line) } else { others.push(line) }
                    }
                }
                if marked.len() >= MARKED_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match at {
                Ok(at) if at > next => next = at,
                _ => break,
            }
        }
        Some(if marked.is_empty() { others } else { marked })
    }
}
