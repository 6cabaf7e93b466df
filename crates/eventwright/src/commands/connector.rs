//! `connector`: what connectors there are, what their options are, and whether a file's tables reach their systems.

use crate::cli::{ConnectorTestArguments, ConnectorVerb, Form};
use crate::output::print_table;
use crate::script::Script;
use anyhow::bail;
use base::options::{OptionKind, OptionSpec};
use connectors::Connectors;
use dataflow::connector::{Connector, ConnectorTable, Role};
use dataflow::plan::{NodeKind, type_name};
use dataflow::table::TableDefinition;
use os::Os;
use serde_json::{Map, Value, json};
use sql::session::Session;
use std::io::Write;
use std::sync::Arc;

pub fn connector(verb: &ConnectorVerb) -> anyhow::Result<()> {
    match verb {
        ConnectorVerb::List { output } => list(*output),
        ConnectorVerb::Describe { name, output } => describe(name, *output),
        ConnectorVerb::Test(arguments) => test(arguments),
    }
}

fn all() -> ConnectorTable {
    connectors::table(Connectors { os: Os::real(), log: None })
}

fn list(output: Form) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let connectors = all();
    let found: Vec<&Arc<dyn Connector>> =
        connectors.names().filter_map(|name| connectors.find(name)).collect();
    match output {
        Form::Json => {
            let shown: Vec<Value> = found.iter().map(|connector| shown(connector.as_ref())).collect();
            writeln!(out, "{}", json!(shown))?;
        }
        Form::Text => {
            let rows: Vec<Vec<String>> = found
                .iter()
                .map(|connector| {
                    let spec = connector.spec();
                    let guarantee =
                        |is: bool, text: &str| if is { text.to_string() } else { "-".to_string() };
                    vec![
                        spec.name.to_string(),
                        guarantee(spec.reads, spec.source_guarantee),
                        guarantee(spec.writes, spec.sink_guarantee),
                    ]
                })
                .collect();
            print_table(&mut out, &["connector", "read", "written"], &rows)?;
        }
    }
    Ok(())
}

/// All but the options.
fn shown(connector: &dyn Connector) -> Value {
    let spec = connector.spec();
    let metadata: Vec<Value> = connector
        .metadata()
        .iter()
        .map(|column| {
            json!({"key": column.key, "type": type_name(&column.data_type), "writable": column.writable, "doc": column.doc})
        })
        .collect();
    json!({
        "name": spec.name,
        "doc": spec.doc,
        "reads": spec.reads,
        "writes": spec.writes,
        "source_guarantee": spec.reads.then_some(spec.source_guarantee),
        "sink_guarantee": spec.writes.then_some(spec.sink_guarantee),
        "formats": spec.formats,
        "metadata": metadata,
    })
}

fn describe(name: &str, output: Form) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let connectors = all();
    let Some(connector) = connectors.declarable(name) else {
        let near = base::nearest(name, connectors.names());
        let names: Vec<&str> = connectors.names().collect();
        let hint = near.map_or_else(
            || format!("there are {}", names.join(", ")),
            |near| format!("did you mean '{near}'?"),
        );
        bail!("there is no connector '{name}'; {hint}");
    };
    let spec = connector.spec();
    match output {
        Form::Json => {
            let mut shown = shown(connector.as_ref());
            shown["options"] = schema(spec.name, spec.options);
            writeln!(out, "{shown}")?;
        }
        Form::Text => {
            writeln!(out, "{}\n\n{}\n", spec.name, spec.doc)?;
            if spec.reads {
                writeln!(out, "read:    {}", spec.source_guarantee)?;
            }
            if spec.writes {
                writeln!(out, "written: {}", spec.sink_guarantee)?;
            }
            if !spec.formats.is_empty() {
                writeln!(out, "formats: {}", spec.formats.join(", "))?;
            }
            for option in spec.options {
                let default = match (option.required, option.default) {
                    (true, _) => "required".to_string(),
                    (false, Some(default)) => format!("default '{default}'"),
                    (false, None) => "optional".to_string(),
                };
                writeln!(out, "\n'{}' = '{}'", option.key, option.example)?;
                writeln!(out, "    {}, {default}", option.kind.describe())?;
                writeln!(out, "    {}", option.doc)?;
            }
        }
    }
    Ok(())
}

/// A JSON schema of what may stand behind WITH. All values are texts there; what they must be stands in `x-kind`, which is
/// one of text, boolean, integer, decimal, duration, size and enum.
fn schema(connector: &str, options: &[OptionSpec]) -> Value {
    let (mut properties, mut patterns) = (Map::new(), Map::new());
    for option in options {
        match option.key.contains('*') {
            false => properties.insert(option.key.to_string(), property(option)),
            true => patterns.insert(pattern(option.key), property(option)),
        };
    }
    properties.insert("connector".into(), json!({"type": "string", "const": connector}));
    let required: Vec<&str> =
        options.iter().filter(|option| option.required).map(|option| option.key).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": connector,
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "required": required,
        "additionalProperties": false,
    })
}

/// The keys that a key with `*` stands for, as a regular expression.
fn pattern(key: &str) -> String {
    let escaped = key.replace('.', "\\.");
    match escaped.strip_suffix("\\.*") {
        Some(prefix) => format!("^{}\\..+$", prefix.replace('*', ".+")),
        None => format!("^{}$", escaped.replace('*', ".+")),
    }
}

fn property(option: &OptionSpec) -> Value {
    let (kind, more) = match option.kind {
        OptionKind::Text => ("text", json!({})),
        OptionKind::Boolean => ("boolean", json!({"enum": ["true", "false"]})),
        OptionKind::Integer { min, max } => {
            ("integer", json!({"x-minimum": min, "x-maximum": max, "pattern": "^-?[0-9]+$"}))
        }
        OptionKind::Decimal { min, max } => ("decimal", json!({"x-minimum": min, "x-maximum": max})),
        OptionKind::Duration => ("duration", json!({"x-unit": "as written: ms, s, min, h, d"})),
        OptionKind::Size => ("size", json!({"x-unit": "as written: b, kb, mb, gb"})),
        OptionKind::OneOf(names) => ("enum", json!({"enum": names})),
    };
    let mut property = json!({
        "type": "string",
        "description": option.doc,
        "examples": [option.example],
        "x-kind": kind,
    });
    if let Some(default) = option.default {
        property["default"] = json!(default);
    }
    if base::secrets::is_secret(option.key) {
        property["writeOnly"] = json!(true);
    }
    if let (Value::Object(property), Value::Object(more)) = (&mut property, more) {
        property.extend(more);
    }
    property
}

/// The tables of the jobs with what they are used for, each once.
fn tables(script: &Script, connectors: &ConnectorTable) -> anyhow::Result<Vec<(Arc<TableDefinition>, Role)>> {
    let report = Session::new(connectors.clone()).check_script(&script.source);
    if !report.diagnostics.is_empty() {
        return Err(script.failure(&report.diagnostics));
    }
    let mut found: Vec<(Arc<TableDefinition>, Role)> = Vec::new();
    for node in report.jobs.iter().flat_map(|job| &job.plan.nodes) {
        let used = match &node.kind {
            NodeKind::Scan { table, .. } => (table.clone(), Role::Source),
            NodeKind::Sink { table } => (table.clone(), Role::Sink),
            NodeKind::LookupJoin(join) => (join.table.clone(), Role::Lookup),
            _ => continue,
        };
        if !found.iter().any(|(table, role)| table.name == used.0.name && *role == used.1) {
            found.push(used);
        }
    }
    Ok(found)
}

fn test(arguments: &ConnectorTestArguments) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let script = Script::read(&arguments.script)?;
    let mut os = Os::real();
    os.permits.exec = arguments.allow_exec;
    os.permits.open_syslog = arguments.insecure_syslog;
    let os = if arguments.allow_link_local { os.with_any_destination() } else { os };
    let connectors = connectors::table(Connectors { os, log: None });
    let mut tables = tables(&script, &connectors)?;
    if let Some(wanted) = &arguments.table {
        let names: Vec<String> = tables.iter().map(|(table, _)| table.name.clone()).collect();
        tables.retain(|(table, _)| table.name == *wanted);
        if tables.is_empty() {
            bail!("no job of the file reads or writes a table '{wanted}'; they use {}", names.join(", "));
        }
    }
    let (mut failed, mut shown) = (0, Vec::new());
    for (table, role) in &tables {
        let role_name = match role {
            Role::Source => "source",
            Role::Sink => "sink",
            Role::Lookup => "lookup",
        };
        let name = table.options.get("connector").map_or("values", String::as_str);
        let Some(connector) = connectors.find(name) else { continue };
        let probed = connector.probe(table, *role, arguments.timeout_seconds.saturating_mul(1000));
        let works = probed.iter().all(|one| one.found.is_ok());
        failed += usize::from(!works);
        match arguments.output {
            Form::Json => {
                let steps: Vec<Value> = probed
                    .iter()
                    .map(|one| match &one.found {
                        Ok(found) => json!({"step": one.step, "works": true, "found": found}),
                        Err(reason) => json!({"step": one.step, "works": false, "reason": reason}),
                    })
                    .collect();
                shown.push(json!({
                    "table": table.name, "role": role_name, "connector": name, "works": works, "steps": steps
                }));
            }
            Form::Text => {
                writeln!(out, "{} ({name}, {role_name})", table.name)?;
                if probed.is_empty() {
                    writeln!(out, "  nothing outside the node")?;
                }
                for one in &probed {
                    match &one.found {
                        Ok(found) => writeln!(out, "  {:<10} yes: {found}", one.step)?,
                        Err(reason) => writeln!(out, "  {:<10} NO: {reason}", one.step)?,
                    }
                }
            }
        }
    }
    if arguments.output == Form::Json {
        writeln!(out, "{}", json!({"tables": shown, "failed": failed}))?;
    }
    if failed > 0 {
        bail!("{failed} of {} tables do not reach what they need", tables.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_a_star_become_patterns() {
        assert_eq!(pattern("properties.*"), "^properties\\..+$");
        assert_eq!(pattern("fields.*.kind"), "^fields\\..+\\.kind$");
    }

    #[test]
    fn every_connector_has_a_schema() {
        let connectors = all();
        for name in connectors.names() {
            let spec = connectors.find(name).unwrap().spec();
            let schema = schema(name, spec.options);
            let known = schema["properties"].as_object().unwrap().len()
                + schema["patternProperties"].as_object().unwrap().len();
            assert_eq!(known, spec.options.len(), "{name}");
            assert_eq!(schema["properties"]["connector"]["const"], name);
        }
        let jdbc = schema("jdbc", connectors.find("jdbc").unwrap().spec().options);
        assert_eq!(jdbc["properties"]["password"]["writeOnly"], true);
        assert_eq!(jdbc["required"], json!(["connector", "url", "table-name"]));
    }
}
