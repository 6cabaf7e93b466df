//! A step that was run again, for people.

use base::calendar::timestamp;
use serde_json::Value;
use std::fmt::Write;

/// Of a value in a line.
const SHOWN_CHARS_MAX: usize = 120;

pub(super) fn known(answer: &Value) -> String {
    let mut text = String::new();
    let job = answer["job"].as_str().unwrap_or_default();
    let _ = writeln!(text, "job {job}, whose last step is {}", answer["last_step"]);
    for steps in answer["steps"].as_array().into_iter().flatten() {
        let _ =
            writeln!(text, "  steps {} to {}, from {}", steps["first"], steps["last"], base(&steps["from"]));
    }
    if answer["steps"].as_array().is_none_or(Vec::is_empty) {
        text +=
            "  no step can be run again: SET 'eventwright.debug.snapshots-retained' keeps more snapshots\n";
    }
    text
}

fn base(base: &Value) -> String {
    match base["kind"].as_str() {
        Some("begin") => "the job's begin".into(),
        kind => format!("the {} behind step {}", kind.unwrap_or_default(), base["step"]),
    }
}

pub(super) fn step(answer: &Value) -> String {
    let mut text = String::new();
    let job = answer["job"].as_str().unwrap_or_default();
    let clock = answer["clock"].as_i64().map(timestamp).unwrap_or_default();
    let _ = writeln!(text, "job {job}, step {} at {clock}", answer["step"]);
    let before = counted(&answer["replayed"], "step");
    let _ = writeln!(text, "  run again from {}, with {before} before it", base(&answer["from"]));
    if let Some(watermark) = answer["watermark"].as_i64() {
        let _ = writeln!(text, "  watermark behind it: {}", time(watermark));
    }
    text += "inputs\n";
    for input in answer["inputs"].as_array().into_iter().flatten() {
        self::input(&mut text, input);
    }
    if answer["inputs"].as_array().is_none_or(Vec::is_empty) {
        text += "  nothing: the clock moved\n";
    }
    text += "operators\n";
    for operator in answer["operators"].as_array().into_iter().flatten() {
        self::operator(&mut text, operator);
    }
    text += "outputs\n";
    outputs(&mut text, answer);
    text += match answer["is_same"].as_bool() {
        Some(true) => "the results are those of the journal\n",
        _ => "the results are NOT those of the journal: the step's input is no longer what it was\n",
    };
    text
}

fn counted(count: &Value, what: &str) -> String {
    match count.as_u64().unwrap_or_default() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// What has no end has none in the calendar either.
fn time(ms: i64) -> String {
    if ms == i64::MAX { "the end of time".into() } else { timestamp(ms) }
}

fn input(text: &mut String, input: &Value) {
    let place = match input["topic"].as_str() {
        Some(topic) => format!("{topic}/{}", input["partition"]),
        None => input["split"].as_str().unwrap_or_default().to_owned(),
    };
    let table = match input["table"].as_str().unwrap_or_default() {
        "" => "answers".to_owned(),
        table => format!("table {table}"),
    };
    let rows = counted(&input["rows"], "row");
    let _ = write!(text, "  {table}, {place} from {} to {}: {rows}", input["from"], input["to"]);
    if input["finished"] == true {
        *text += ", the last of it";
    }
    if input["idle"] == true {
        *text += ", which has fallen idle";
    }
    *text += "\n";
    rows_of(text, "    ", &input["shown"], &input["rows"]);
}

fn operator(text: &mut String, operator: &Value) {
    let (rows_in, rows_out) = (counted(&operator["rows_in"], "row"), &operator["rows_out"]);
    let name = operator["operator"].as_str().unwrap_or_default();
    let _ = writeln!(text, "  [{}] {name}", operator["node"]);
    let late = match operator["late_rows"].as_u64() {
        Some(late) if late > 0 => format!(", {late} late"),
        _ => String::new(),
    };
    let _ = writeln!(text, "    {rows_in} in, {rows_out} out{late}");
    let watermarks = (operator["watermark_before"].as_i64(), operator["watermark"].as_i64());
    if let (before, Some(after)) = watermarks
        && before != Some(after)
    {
        let before = before.map_or("none".into(), time);
        let _ = writeln!(text, "    watermark: {before} -> {}", time(after));
    }
    let state = &operator["state"];
    for entry in state["entries"].as_array().into_iter().flatten() {
        let side = |side: &Value| match side {
            Value::Null => "nothing".to_owned(),
            fields => match values(fields) {
                fields if fields.is_empty() => "there".into(),
                fields => fields,
            },
        };
        let what = entry["what"].as_str().unwrap_or_default();
        let key = values(&entry["key"]);
        let key = if key.is_empty() { key } else { format!(" {key}") };
        let (before, after) = (side(&entry["before"]), side(&entry["after"]));
        let _ = writeln!(text, "    state: {what}{key}: {before} -> {after}");
    }
    if state["left_off"].as_u64().is_some_and(|count| count > 0) {
        let _ = writeln!(text, "    state: {} more (--entries)", counted(&state["left_off"], "change"));
    }
    if state["is_whole"] == false {
        *text += "    state: it is too large to tell all that had its time\n";
    }
    rows_of(text, "    ", &operator["shown"], rows_out);
}

fn outputs(text: &mut String, answer: &Value) {
    let written = answer["written"].as_array().into_iter().flatten();
    let mut any = false;
    for output in written {
        let (from, to) =
            (output["from"].as_i64().unwrap_or_default(), output["to"].as_i64().unwrap_or_default());
        let records = counted(&to.saturating_sub(from).into(), "record");
        let topic = output["topic"].as_str().unwrap_or_default();
        let _ = writeln!(text, "  {topic}/{}: {records} from {from} on", output["partition"]);
        any = true;
    }
    if answer["lsn"].is_null() {
        *text += "  where they went is not known any more: the log does not reach back so far\n";
    } else if !any {
        *text += "  none in the log\n";
    }
}

/// Rows with their kinds; `count` is how many there are.
fn rows_of(text: &mut String, indent: &str, rows: &Value, count: &Value) {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    for row in rows {
        let kind = row["kind"].as_str().unwrap_or_default();
        let _ = writeln!(text, "{indent}{kind} {}", values(&row["values"]));
    }
    let more = count.as_u64().unwrap_or_default().saturating_sub(rows.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "{indent}{} (--rows)", counted(&more.into(), "more row"));
    }
}

/// `name=value, name=value`.
fn values(fields: &Value) -> String {
    let field = |field: &Value| {
        let name = field["name"].as_str().unwrap_or_default();
        let value = field["value"].as_str();
        let mut shown: String =
            value.unwrap_or("NULL").chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
        // Quotes are what JSON is made of.
        shown = shown.replace("\\\"", "\"").replace("\\'", "'");
        let cut = value.is_some_and(|value| value.chars().nth(SHOWN_CHARS_MAX).is_some());
        format!("{name}={shown}{}", if cut { "…" } else { "" })
    };
    fields.as_array().into_iter().flatten().map(field).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(name: &str, value: &str) -> Value {
        json!({ "name": name, "value": value })
    }

    #[test]
    fn a_step_reads_from_its_inputs_to_its_outputs() {
        let row = json!({ "kind": "+I", "values": [field("k", "a\n"), { "name": "v", "value": null }] });
        let answer = json!({
            "job": "sums", "step": 7, "clock": 1000, "from": { "kind": "snapshot", "step": 5 }, "replayed": 1,
            "watermark": 2000, "late_rows": 1, "is_same": true, "lsn": 9,
            "inputs": [
                { "table": "t", "topic": "in", "partition": 0, "from": 3, "to": 5, "rows": 2, "finished": false,
                  "idle": false, "shown": [row] },
                { "table": "", "split": "a.csv", "from": 0, "to": 1, "rows": 0, "finished": true, "idle": true,
                  "shown": [] },
            ],
            "operators": [
                { "node": 0, "operator": "Scan(`t`)", "rows_in": 2, "rows_out": 2, "late_rows": 0,
                  "watermark": null, "watermark_before": null, "shown": [row],
                  "state": { "entries": [], "left_off": 0, "is_whole": true } },
                { "node": 1, "operator": "GroupAggregate(..)", "rows_in": 1, "rows_out": 0, "late_rows": 1,
                  "watermark": i64::MAX, "watermark_before": 1000, "shown": [],
                  "state": { "entries": [
                      { "what": "aggregates", "key": [field("k", "a")], "before": null, "after": [field("n", "1")] },
                      { "what": "timer", "key": [field("at", "9")], "before": [], "after": null },
                  ], "left_off": 3, "is_whole": false } },
            ],
            "written": [{ "topic": "out", "partition": 1, "from": 4, "to": 5 }],
        });
        let wanted = r"job sums, step 7 at 1970-01-01 00:00:01
  run again from the snapshot behind step 5, with 1 step before it
  watermark behind it: 1970-01-01 00:00:02
inputs
  table t, in/0 from 3 to 5: 2 rows
    +I k=a\n, v=NULL
    1 more row (--rows)
  answers, a.csv from 0 to 1: 0 rows, the last of it, which has fallen idle
operators
  [0] Scan(`t`)
    2 rows in, 2 out
    +I k=a\n, v=NULL
    1 more row (--rows)
  [1] GroupAggregate(..)
    1 row in, 0 out, 1 late
    watermark: 1970-01-01 00:00:01 -> the end of time
    state: aggregates k=a: nothing -> n=1
    state: timer at=9: there -> nothing
    state: 3 changes more (--entries)
    state: it is too large to tell all that had its time
outputs
  out/1: 1 record from 4 on
the results are those of the journal
";
        assert_eq!(step(&answer), wanted);
        let mut other = answer.clone();
        (other["is_same"], other["lsn"], other["written"]) = (false.into(), Value::Null, json!([]));
        let text = step(&other);
        assert!(
            text.contains("  where they went is not known any more") && text.contains("NOT those"),
            "{text}"
        );
    }

    #[test]
    fn the_steps_that_can_be_run_again_are_told_with_where_from() {
        let steps = json!([
            { "first": 1, "last": 4, "from": { "kind": "begin", "step": 0 } },
            { "first": 5, "last": 9, "from": { "kind": "savepoint", "step": 4 } },
        ]);
        let wanted = "job a, whose last step is 9\n  steps 1 to 4, from the job's begin\n  steps 5 to 9, from the \
            savepoint behind step 4\n";
        assert_eq!(known(&json!({ "job": "a", "last_step": 9, "steps": steps })), wanted);
        assert!(known(&json!({ "job": "a", "last_step": 9, "steps": [] })).contains("no step can"));
    }
}
