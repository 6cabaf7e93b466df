//! The stage that has AsyncAPI's own parser read what `eventwright export asyncapi` writes.
//!
//! A node with topics and schemas in all three languages is exported with the file of its tables and jobs, in YAML and in
//! JSON; the document is imported into an empty node, and what that exports must be the same.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use kafka_client::Client;
use os::Os;
use os::http::{Request, exchange};
use serde_json::{Value, json};

use crate::counts::Counts;
use crate::node::{self, Node};
use crate::process;
use crate::{peers, places};

const SQL: &str = "tests/asyncapi/shop.sql";
const LIMIT: Duration = Duration::from_secs(300);

/// Subject, language, schema.
const SCHEMAS: &[(&str, &str, &str)] = &[
    (
        "payments-key",
        "AVRO",
        r#"{"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}"#,
    ),
    (
        "payments-value",
        "AVRO",
        r#"{"type": "record", "name": "Payment", "namespace": "shop", "fields": [
            {"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": null}]}"#,
    ),
    (
        "shipments-value",
        "PROTOBUF",
        "syntax = \"proto3\";\n\nmessage Shipment {\n  int64 id = 1;\n  string city = 2;\n}\n",
    ),
    (
        "returns-value",
        "JSON",
        r#"{"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}"#,
    ),
];

pub fn run() -> Result<Counts> {
    peers::install(&["asyncapi".to_owned()])?;
    let folder = tempfile::Builder::new().prefix("asyncapi-").tempdir()?;
    let mut counts = Counts::default();
    let sql = places::root().join(SQL).display().to_string();
    let node = shop(folder.path())?;
    let exported = [("yaml", "of_node.yaml"), ("json", "of_node.json")].map(|(form, file)| {
        let file = folder.path().join(file);
        export(&node, &[&sql, "-o", form]).and_then(|text| Ok(fs::write(&file, text)?)).map(|()| file)
    });
    let exported = exported.into_iter().collect::<Result<Vec<_>>>()?;
    let of_file = folder.path().join("of_file.yaml");
    let mut alone = node::command()?;
    alone.args(["export", "asyncapi", &sql]);
    fs::write(&of_file, process::output(&mut alone, LIMIT)?)?;
    let mut validate = Command::new("node");
    validate
        .env("ASYNCAPI_TOOLS", peers::asyncapi_folder()?.join("node_modules"))
        .arg(places::root().join("tests/asyncapi/validate.mjs"))
        .args(&exported)
        .arg(&of_file);
    let finished = process::capture_shown(&mut validate, LIMIT)?;
    let good = finished.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    finished
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("not ok "))
        .for_each(|line| counts.fail(line.into()));
    if good == 3 {
        counts.pass();
    } else {
        counts.fail(format!("asyncapi: {good} of 3 documents are valid ({})", finished.status));
    }

    // Into an empty node, whose jobs nobody runs: it is the same but for them and where it listens.
    let (again, tables) = (folder.path().join("again"), folder.path().join("tables.sql"));
    let empty = node::start(&again, &folder.path().join("again.log"))?;
    let mut import = node::command()?;
    import.args(["import", "asyncapi"]).arg(&exported[0]).arg("--tables").arg(&tables);
    process::run(import.args(["-b", &empty.bootstrap, "--http", &empty.http]), LIMIT)?;
    let tables = tables.display().to_string();
    let second: Value = serde_json::from_str(&export(&empty, &[&tables, "-o", "json"])?)?;
    let first: Value = serde_json::from_str(&fs::read_to_string(&exported[1])?)?;
    for part in ["asyncapi", "info", "channels", "components"] {
        match first[part] == second[part] {
            true => counts.pass(),
            false => counts.fail(format!(
                "asyncapi: {part} of an import is {:#}, and was {:#}",
                second[part], first[part]
            )),
        }
    }
    empty.stop()?;
    node.stop()?;
    Ok(counts)
}

/// A node that has something to tell.
fn shop(folder: &Path) -> Result<Node> {
    let node = node::start(&folder.join("data"), &folder.join("node.log"))?;
    let mut client = Client::connect(&node.bootstrap, "asyncapi")?;
    client.create_topic(
        "orders",
        3,
        1,
        &[("retention.ms", "86400000"), ("cleanup.policy", "compact,delete")],
    )?;
    client.create_topic("totals", 1, 1, &[("cleanup.policy", "compact"), ("compression.type", "zstd")])?;
    for topic in ["payments", "shipments", "returns", "plain"] {
        client.create_topic(topic, 1, 1, &[])?;
    }
    for (subject, language, schema) in SCHEMAS {
        let body = json!({"schemaType": language, "schema": schema}).to_string();
        let request = Request {
            method: "POST",
            address: &node.http,
            path: &format!("/subjects/{subject}/versions"),
            headers: &[("Content-Type", "application/json")],
            body: body.as_bytes(),
        };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        if answer.status != 200 {
            bail!("{subject} is not registered: {}", String::from_utf8_lossy(&answer.body));
        }
    }
    Ok(node)
}

fn export(node: &Node, options: &[&str]) -> Result<String> {
    let mut command = node::command()?;
    command.args(["export", "asyncapi"]).args(options).args(["-b", &node.bootstrap, "--http", &node.http]);
    process::output(&mut command, LIMIT)
}
