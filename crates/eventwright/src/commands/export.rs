//! `export`: what a node has, or what files declare, as a document for other tools.

use crate::cli::{DocumentForm, ExportArguments, ExportVerb, ScriptArguments};
use crate::commands::topic::partitions_of;
use crate::http_client::segment;
use crate::place::Place;
use crate::script::{JobNames, Script};
use anyhow::Context;
use asyncapi::{Language, Operation, Protocol, Schema, Server, System, Table};
use connectors::Connectors;
use kafka_client::ConfigResource;
use os::Os;
use runtime::status::topic_of;
use serde_json::Value;
use sql::session::Session;
use std::collections::BTreeSet;

/// The source of a configuration that was set for the topic itself.
const OF_TOPIC: i8 = 1;

pub fn export(verb: &ExportVerb) -> anyhow::Result<()> {
    let ExportVerb::Asyncapi(arguments) = verb;
    let mut system = System {
        title: arguments.title.clone(),
        version: arguments.api_version.clone(),
        ..System::default()
    };
    if arguments.files.is_empty() || arguments.place.is_given() {
        let mut place = Place::open(&arguments.place)?;
        let told = of_node(&mut place, &mut system);
        place.close();
        told?;
    }
    of_files(arguments, &mut system)?;
    // A job may be known from a file and from the node.
    system.operations.sort();
    system.operations.dedup();
    let document = asyncapi::document(&system);
    match arguments.output {
        DocumentForm::Yaml => print!("{}", asyncapi::yaml::write(&document)),
        DocumentForm::Json => println!("{document:#}"),
    }
    Ok(())
}

fn of_node(place: &mut Place, system: &mut System) -> anyhow::Result<()> {
    let tls = place.security.tls.is_some();
    let login = place.security.login.as_ref().map(|login| match login.mechanism() {
        "SCRAM-SHA-256" => "scramSha256",
        "SCRAM-SHA-512" => "scramSha512",
        "PLAIN" => "plain",
        _ => "oauth2",
    });
    // What OAuth asks of a client stands in no property of it.
    let login = login.filter(|login| *login != "oauth2").map(str::to_string);
    system.servers.push(Server { protocol: Protocol::Kafka, address: place.kafka.clone(), tls, login });
    if let Some((address, _)) = &place.http {
        let (tls, host) = match address.strip_prefix("https://") {
            Some(host) => (true, host),
            None => (false, address.strip_prefix("http://").unwrap_or(address)),
        };
        let address = host.trim_end_matches('/').to_string();
        system.servers.push(Server { protocol: Protocol::Http, address, tls, login: None });
    }
    for found in place.client.metadata(None)?.topics {
        let Some(name) = found.name.clone().filter(|name| !found.is_internal && name != registry::TOPIC)
        else {
            continue;
        };
        let topic = system.topics.entry(name.clone()).or_default();
        topic.partitions = Some(i32::try_from(partitions_of(&found).len()).unwrap_or(i32::MAX));
        let configs = place.client.describe_configs(ConfigResource::Topic(&name))?;
        let own = configs.into_iter().filter(|config| config.config_source == OF_TOPIC);
        topic.configs = own.filter_map(|config| Some((config.name, config.value?))).collect();
    }
    let Some((_, http)) = &place.http else { return Ok(()) };
    let subjects = http.get("/subjects").context("the schema registry")?;
    for subject in subjects.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let path = format!("/subjects/{}/versions/latest", segment(subject));
        let latest = http.get(&path).with_context(|| format!("the schema of '{subject}'"))?;
        let language = latest["schemaType"].as_str().unwrap_or(Language::Avro.name());
        let language = Language::from_name(language)
            .with_context(|| format!("'{subject}' has a schema in {language}"))?;
        let text = latest["schema"].as_str().unwrap_or_default().to_string();
        let references = latest["references"].as_array().into_iter().flatten();
        let reference =
            |one: &Value| Some((one["name"].as_str()?.to_string(), one["subject"].as_str()?.to_string()));
        let references = references.filter_map(reference).collect();
        system.schemas.insert(subject.to_string(), Schema { language, text, references });
    }
    let overview = http.get("/jobs/overview").context("the jobs")?;
    for job in overview["jobs"].as_array().into_iter().flatten() {
        let (Some(id), Some(name)) = (job["jid"].as_str(), job["name"].as_str()) else { continue };
        let details = http.get(&format!("/jobs/{}", segment(id)))?;
        for operator in details["operators"].as_array().into_iter().flatten() {
            let Some(topic) = operator["topic"].as_str() else { continue };
            let is_send = operator["inputs"].as_array().is_some_and(|inputs| !inputs.is_empty());
            system.operations.push(Operation { job: name.into(), topic: topic.into(), is_send });
        }
    }
    Ok(())
}

fn of_files(arguments: &ExportArguments, system: &mut System) -> anyhow::Result<()> {
    for file in &arguments.files {
        let script = Script::read(&ScriptArguments {
            file: file.clone(),
            init: None,
            variables: arguments.variables.clone(),
        })?;
        let mut session = Session::new(connectors::table(Connectors { os: Os::real(), log: None }));
        let check = session.check_script(&script.source);
        if !check.diagnostics.is_empty() {
            return Err(script.failure(&check.diagnostics));
        }
        for table in session.tables().iter().filter_map(Table::of) {
            let topic = system.topics.entry(table.topic.clone()).or_default();
            if !topic.tables.contains(&table) {
                topic.tables.push(table);
            }
        }
        let mut names = JobNames::default();
        for job in &check.jobs {
            let name = names.name(file, job);
            let topics: BTreeSet<(&str, bool)> = job
                .plan
                .nodes
                .iter()
                .filter_map(|node| Some((topic_of(node)?, !node.inputs.is_empty())))
                .collect();
            system.operations.extend(topics.into_iter().map(|(topic, is_send)| Operation {
                job: name.clone(),
                topic: topic.into(),
                is_send,
            }));
        }
    }
    Ok(())
}
