//! `import`: makes the topics and schemas that a document describes, and writes the tables that read them.

use crate::cli::{HTTP_ADDRESS, ImportArguments, ImportVerb};
use crate::http_client::{HttpClient, segment};
use crate::place::Place;
use anyhow::{Context, bail};
use asyncapi::{Schema, System};
use connectors::Connectors;
use os::Os;
use serde_json::{Value, json};
use sql::session::Session;
use sql::source::SourceText;
use std::collections::BTreeMap;
use std::io::Write;

/// Topics that say nothing of partitions have so many.
const PARTITIONS: i32 = 1;

pub fn import(verb: &ImportVerb) -> anyhow::Result<()> {
    let ImportVerb::Asyncapi(arguments) = verb;
    let name = arguments.file.display();
    let bytes = std::fs::read(&arguments.file).with_context(|| format!("cannot read {name}"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is not a text in UTF-8"))?;
    if arguments.dry_run && !arguments.place.is_given() {
        // Of a node that has nothing yet.
        let read = asyncapi::parse(&text, &registry_url(arguments.place.http.as_deref()))
            .with_context(|| format!("{name}"))?;
        tell(&read.notes);
        let statements = statements(&read.system)?;
        tell_plan(&read.system, &BTreeMap::new());
        print!("{statements}");
        return Ok(());
    }
    let mut place = Place::open(&arguments.place)?;
    let made = make(arguments, &text, &mut place);
    place.close();
    made
}

fn registry_url(http: Option<&str>) -> String {
    let address = http.filter(|address| *address != "none").unwrap_or(HTTP_ADDRESS);
    if address.contains("://") { address.to_string() } else { format!("http://{address}") }
}

fn tell(notes: &[String]) {
    for note in notes {
        eprintln!("note: {note}");
    }
}

fn shown(partitions: Option<i32>, configs: &BTreeMap<String, String>) -> String {
    let partitions = partitions.unwrap_or(PARTITIONS);
    let mut shown = format!("{partitions} {}", if partitions == 1 { "partition" } else { "partitions" });
    for (key, value) in configs {
        shown += &format!(", {key}={value}");
    }
    shown
}

fn make(arguments: &ImportArguments, text: &str, place: &mut Place) -> anyhow::Result<()> {
    // The registry that the tables name is one that outlives this command.
    let registry = registry_url(match arguments.place.data {
        Some(_) => None,
        None => place.http.as_ref().map(|(address, _)| address.as_str()),
    });
    let read = asyncapi::parse(text, &registry).with_context(|| format!("{}", arguments.file.display()))?;
    // Nothing is made of a document whose tables cannot be.
    let statements = statements(&read.system)?;
    if let Some(file) = arguments.tables.as_ref().filter(|file| file.exists()) {
        bail!("{} is there already: name a new file by --tables", file.display());
    }
    if place.http.is_none() && !read.system.schemas.is_empty() {
        bail!(
            "the document has schemas, and the node no HTTP port to register them at: --http ADDR says where it is"
        );
    }
    tell(&read.notes);
    let there = topics_there(place)?;
    if arguments.dry_run {
        tell_plan(&read.system, &there);
        print!("{statements}");
        return Ok(());
    }
    topics(&read.system, &there, place)?;
    if let Some((_, http)) = &place.http {
        for (subject, schema) in asyncapi::in_order(&read.system.schemas) {
            register(http, subject, schema)?;
            eprintln!("schema {subject} is registered");
        }
    }
    match &arguments.tables {
        None => print!("{statements}"),
        Some(file) => {
            let new = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
            let written = new.and_then(|mut file| file.write_all(statements.as_bytes()));
            written.with_context(|| format!("cannot write {}", file.display()))?;
            eprintln!("the tables are in {}", file.display());
        }
    }
    Ok(())
}

/// What would be made, beside topics of these partitions.
fn tell_plan(system: &System, there: &BTreeMap<String, usize>) {
    for (name, topic) in &system.topics {
        match there.get(name) {
            Some(partitions) => tell_kept(name, *partitions),
            None => eprintln!("would create topic {name}: {}", shown(topic.partitions, &topic.configs)),
        }
    }
    for (subject, schema) in asyncapi::in_order(&system.schemas) {
        eprintln!("would register {subject}: {}", schema.language.name());
    }
}

fn tell_kept(topic: &str, partitions: usize) {
    eprintln!("topic {topic} is there already, with {partitions} partitions, and stays as it is");
}

/// The topics of the node, with their partitions.
fn topics_there(place: &mut Place) -> anyhow::Result<BTreeMap<String, usize>> {
    let topics = place.client.metadata(None)?.topics.into_iter();
    Ok(topics.filter_map(|topic| Some((topic.name?, topic.partitions.len()))).collect())
}

fn topics(system: &System, there: &BTreeMap<String, usize>, place: &mut Place) -> anyhow::Result<()> {
    for (name, topic) in &system.topics {
        if let Some(partitions) = there.get(name) {
            tell_kept(name, *partitions);
            continue;
        }
        let configs: Vec<(&str, &str)> =
            topic.configs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let made = place.client.create_topic(name, topic.partitions.unwrap_or(PARTITIONS), 1, &configs);
        made.with_context(|| format!("topic {name}"))?;
        eprintln!("topic {name} is created: {}", shown(topic.partitions, &topic.configs));
    }
    Ok(())
}

fn register(http: &HttpClient, subject: &str, schema: &Schema) -> anyhow::Result<()> {
    let mut references = Vec::new();
    for (name, other) in &schema.references {
        let path = format!("/subjects/{}/versions/latest", segment(other));
        let latest = http.get(&path).with_context(|| format!("'{subject}' refers to '{other}'"))?;
        references.push(json!({"name": name, "subject": other, "version": latest["version"]}));
    }
    let body = json!({"schemaType": schema.language.name(), "schema": schema.text, "references": references});
    let path = format!("/subjects/{}/versions", segment(subject));
    let answer = http.post(&path, &body).with_context(|| format!("schema {subject}"))?;
    match answer["id"] {
        Value::Number(_) => Ok(()),
        _ => bail!("schema {subject}: the registry answers without an id"),
    }
}

/// The tables as a script, which was planned without an error.
fn statements(system: &System) -> anyhow::Result<String> {
    let tables = system.topics.values().flat_map(|topic| &topic.tables);
    let script: String = tables.map(|table| format!("{};\n\n", table.statement)).collect();
    let source = SourceText::new("the document's tables", script.clone());
    let check =
        Session::new(connectors::table(Connectors { os: Os::real(), log: None })).check_script(&source);
    if !check.diagnostics.is_empty() {
        bail!("{}", sql::diagnostic::render_all(&check.diagnostics, &source).trim_end());
    }
    Ok(script)
}
