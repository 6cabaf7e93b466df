//! `view`: list and show materialized tables, of a running node or of a stopped data directory.

use crate::cli::{Form, HTTP_ADDRESS, JobsArguments, ViewVerb};
use crate::http_client::{HttpClient, segment};
use crate::node::{self, Addresses};
use crate::output::{print_table, thousands};
use anyhow::{Context, bail};
use eventlog::LogError;
use os::Os;
use serde_json::{Value, json};
use std::io::Write;

/// Where the console asks too.
const PATH: &str = "/console/api/views";
/// Views that a node tells of at once.
const PAGE: usize = 500;

pub fn view(verb: &ViewVerb) -> anyhow::Result<()> {
    match verb {
        ViewVerb::List { node } => {
            let views = Source::open(node)?.list()?;
            match node.output {
                Form::Json => println!("{}", json!(views)),
                Form::Text => {
                    let rows: Vec<Vec<String>> = views.iter().map(row).collect();
                    let columns = ["VIEW", "KEY", "ROWS", "SIZE", "FRESHNESS", "JOB"];
                    print_table(&mut std::io::stdout(), &columns, &rows)?;
                }
            }
        }
        ViewVerb::Show { view, node } => {
            let found = Source::open(node)?.find(view)?;
            match node.output {
                Form::Json => println!("{found}"),
                Form::Text => print(&mut std::io::stdout(), &found)?,
            }
        }
    }
    Ok(())
}

/// A node that answers, or what lies in a data directory that no node serves.
enum Source {
    Node(HttpClient),
    Stopped(Vec<Value>),
}

impl Source {
    fn open(arguments: &JobsArguments) -> anyhow::Result<Source> {
        let log_in = arguments.command_config.as_deref();
        let Some(data) = &arguments.data else {
            let address = arguments.http.as_deref().unwrap_or(HTTP_ADDRESS);
            return Ok(Source::Node(HttpClient::new(address, log_in)?));
        };
        if !data.join("log").is_dir() {
            bail!("{} is not a data directory; --data DIR of `run` or `start` made it", data.display());
        }
        match node::read_views(&Os::real(), data) {
            Ok(looks) => Ok(Source::Stopped(looks.iter().map(views::Look::json).collect())),
            Err(error) => match (error.downcast_ref(), Addresses::read(data)) {
                (Some(LogError::InUse { .. }), Some(addresses)) => {
                    let none = || format!("the node on {} runs with --http none", data.display());
                    Ok(Source::Node(HttpClient::new(&addresses.http.with_context(none)?, log_in)?))
                }
                _ => Err(error),
            },
        }
    }

    fn list(&self) -> anyhow::Result<Vec<Value>> {
        let client = match self {
            Source::Stopped(views) => return Ok(views.clone()),
            Source::Node(client) => client,
        };
        let mut views = Vec::new();
        loop {
            let mut page = client.get(&format!("{PATH}?skip={}&max={PAGE}", views.len()))?;
            let Value::Array(more) = page["views"].take() else {
                bail!("the node does not answer with views")
            };
            if more.is_empty() {
                return Ok(views);
            }
            views.extend(more);
        }
    }

    fn find(&self, name: &str) -> anyhow::Result<Value> {
        let views = self.list()?;
        let names = || views.iter().filter_map(|view| view["name"].as_str());
        if !names().any(|known| known == name) {
            match base::nearest(name, names()) {
                Some(near) => bail!("there is no view '{name}'; did you mean '{near}'?"),
                None => {
                    bail!("there is no view '{name}'; `eventwright view list` shows those that are there")
                }
            }
        }
        match self {
            Source::Node(client) => client.get(&format!("{PATH}/{}", segment(name))),
            Source::Stopped(_) => {
                let found = views.iter().find(|view| view["name"] == name);
                found.cloned().context("the view has gone meanwhile")
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> String {
    thousands(value.as_u64().unwrap_or(0))
}

fn size(value: &Value) -> String {
    let bytes = value.as_u64().unwrap_or(0);
    match bytes {
        0..10_240 => format!("{} B", thousands(bytes)),
        10_240..10_485_760 => format!("{} KiB", thousands(bytes >> 10)),
        _ => format!("{} MiB", thousands(bytes >> 20)),
    }
}

fn key(view: &Value) -> String {
    let columns: Vec<&str> = view["key"].as_array().into_iter().flatten().map(text).collect();
    match (view["keeps_every_row"] == true, columns.is_empty()) {
        (true, _) => "every row stays".into(),
        (false, true) => "one row".into(),
        (false, false) => columns.join(", "),
    }
}

/// How fresh it is, in words.
fn freshness(view: &Value) -> String {
    let health = &view["health"];
    if !view["broken"].is_null() {
        return "given up".into();
    }
    if health.is_null() {
        return "no node runs".into();
    }
    if let Some(stands) = health["stands"].as_str() {
        return format!("stands: its job is {stands}");
    }
    if health["finished"] == true {
        return "complete".into();
    }
    match (health["lag_records"].as_u64().unwrap_or(0), health["behind_ms"].as_i64().unwrap_or(0)) {
        (0, _) => "up to date".into(),
        (records, ms) => {
            format!("{} records, {}.{} s behind", thousands(records), ms / 1000, ms % 1000 / 100)
        }
    }
}

fn row(view: &Value) -> Vec<String> {
    vec![
        text(&view["name"]).into(),
        key(view),
        number(&view["rows"]),
        size(&view["bytes"]),
        freshness(view),
        text(&view["job"]).into(),
    ]
}

fn print(out: &mut dyn Write, view: &Value) -> std::io::Result<()> {
    writeln!(out, "view {}: {} rows, {}", text(&view["name"]), number(&view["rows"]), size(&view["bytes"]))?;
    if let Some(comment) = view["comment"].as_str() {
        writeln!(out, "  {comment}")?;
    }
    if let Some(reason) = view["broken"].as_str() {
        writeln!(out, "  given up: {reason}")?;
    }
    writeln!(out, "  freshness  {}", freshness(view))?;
    writeln!(out, "  key        {}", key(view))?;
    writeln!(out, "  job        {}", text(&view["job"]))?;
    writeln!(out, "  topic      {}", text(&view["topic"]))?;
    writeln!(out, "  columns")?;
    let columns = view["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let width = columns.iter().map(|column| text(&column["name"]).chars().count()).max().unwrap_or(0);
    for column in columns {
        let not_null = if column["nullable"] == false { " NOT NULL" } else { "" };
        let (name, of) = (text(&column["name"]), text(&column["type"]));
        writeln!(out, "    {name:<width$}  {of}{not_null}")?;
    }
    writeln!(out, "\n{}", text(&view["statement"]).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(health: Value) -> Value {
        json!({
            "name": "totals", "comment": "what was sold", "key": ["city"], "keeps_every_row": false, "rows": 1234,
            "bytes": 20480, "broken": null, "job": "totals-1", "topic": "__view.totals", "health": health,
            "statement": "CREATE MATERIALIZED TABLE totals AS SELECT 1\n",
            "columns": [{"name": "city", "type": "STRING", "nullable": false}, {"name": "n", "type": "BIGINT", "nullable": true}],
        })
    }

    #[test]
    fn a_view_is_told_in_words() {
        let mut out = Vec::new();
        let health = json!({"lag_records": 0, "behind_ms": 0, "finished": false, "stands": null});
        print(&mut out, &view(health)).unwrap();
        let expected = "view totals: 1,234 rows, 20 KiB\n  what was sold\n  freshness  up to date\n  key        city\n  \
            job        totals-1\n  topic      __view.totals\n  columns\n    city  STRING NOT NULL\n    n     BIGINT\n\n\
            CREATE MATERIALIZED TABLE totals AS SELECT 1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        for (health, words) in [
            (Value::Null, "no node runs"),
            (json!({"stands": "failed"}), "stands: its job is failed"),
            (json!({"finished": true}), "complete"),
            (json!({"lag_records": 1200, "behind_ms": 2360}), "1,200 records, 2.3 s behind"),
        ] {
            assert_eq!(freshness(&view(health)), words);
        }
        let every = json!({"key": [], "keeps_every_row": true});
        assert_eq!((key(&every), key(&json!({"key": []}))), ("every row stays".into(), "one row".into()));
    }
}
