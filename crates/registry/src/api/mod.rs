//! Which answer a request gets.
//!
//! A path may begin with `/contexts/NAME`: the subjects behind it are those of that context.

mod compatibility;
mod schemas;
mod settings;
mod subjects;

use crate::content::{Content, Parsed, Reference};
use crate::refusal::Refusal;
use crate::registry::SchemaRegistry;
use crate::request::{Answer, Request, SCHEMA_BYTES_MAX};
use crate::state::{DEFAULT_CONTEXT, State, context_of, qualified};
use formats::SchemaKind;
use serde_json::{Map, Value, json};

/// Longer names of subjects are refused.
const SUBJECT_BYTES_MAX: usize = 2048;

/// One request with what all routes need of it.
struct Call<'a> {
    registry: &'a SchemaRegistry,
    request: &'a Request,
    /// The context that the path names, with the dot in front.
    context: &'a str,
}

/// What a route answers: JSON, or a schema's own text.
enum Reply {
    Json(Value),
    Text(String),
}

type Outcome = Result<Reply, Refusal>;

impl From<Value> for Reply {
    fn from(value: Value) -> Reply {
        Reply::Json(value)
    }
}

pub(crate) fn answer(registry: &SchemaRegistry, request: &Request) -> Answer {
    let Some(content_type) = request.answer_type() else {
        return Answer::refusal("application/json", &Refusal::new(406, "the registry answers in JSON alone"));
    };
    let has_body = matches!(request.method.as_str(), "POST" | "PUT");
    if has_body && !request.is_readable() {
        return Answer::refusal(content_type, &Refusal::new(415, "the registry reads JSON alone"));
    }
    match route(registry, request) {
        Ok(Reply::Json(value)) => Answer::json(content_type, &value),
        Ok(Reply::Text(body)) => Answer { status: 200, content_type, body },
        Err(refusal) => Answer::refusal(content_type, &refusal),
    }
}

fn route(registry: &SchemaRegistry, request: &Request) -> Outcome {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let (context, path) = match path.as_slice() {
        ["contexts", name, rest @ ..] => (name.trim_matches(':'), rest),
        path => (DEFAULT_CONTEXT, path),
    };
    if !context.starts_with('.') {
        return Err(Refusal::not_found());
    }
    let call = Call { registry, request, context };
    let method = match request.method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    match (method, path) {
        ("GET", []) => Ok(json!({}).into()),
        ("GET", ["contexts"]) => call.contexts(),
        ("GET", ["v1", "metadata", "id"]) => Ok(json!({
            "scope": {
                "path": [],
                "clusters": {"kafka-cluster": registry.cluster_id(), "schema-registry-cluster": "schema-registry"}
            }
        })
        .into()),
        ("GET", ["v1", "metadata", "version"]) => Ok(json!({"version": registry.version(), "commitId": ""}).into()),

        ("GET", ["subjects"]) => call.subjects(),
        ("POST", ["subjects", subject]) => call.look_up(&call.subject(subject)?),
        ("DELETE", ["subjects", subject]) => call.delete_subject(&call.subject(subject)?),
        ("GET", ["subjects", subject, "metadata"]) => call.latest_with_metadata(&call.subject(subject)?),
        ("GET", ["subjects", subject, "versions"]) => call.versions(&call.subject(subject)?),
        ("POST", ["subjects", subject, "versions"]) => call.register(&call.subject(subject)?),
        ("GET", ["subjects", subject, "versions", version]) => call.version(&call.subject(subject)?, version),
        ("DELETE", ["subjects", subject, "versions", version]) => {
            call.delete_version(&call.subject(subject)?, version)
        }
        ("GET", ["subjects", subject, "versions", version, "schema"]) => {
            call.version_text(&call.subject(subject)?, version)
        }
        ("GET", ["subjects", subject, "versions", version, "referencedby"]) => {
            call.referenced_by(&call.subject(subject)?, version)
        }

        ("GET", ["schemas"]) => call.schemas(),
        ("GET", ["schemas", "types"]) => Ok(json!(["JSON", "PROTOBUF", "AVRO"]).into()),
        ("GET", ["schemas", "ids", id]) => call.schema(id),
        ("GET", ["schemas", "ids", id, "schema"]) => call.schema_text(id),
        ("GET", ["schemas", "ids", id, "subjects"]) => call.schema_subjects(id),
        ("GET", ["schemas", "ids", id, "versions"]) => call.schema_versions(id),

        ("POST", ["compatibility", "subjects", subject, "versions"]) => {
            call.check_compatibility(&call.subject(subject)?, None)
        }
        ("POST", ["compatibility", "subjects", subject, "versions", version]) => {
            call.check_compatibility(&call.subject(subject)?, Some(version))
        }

        ("GET", ["config"]) => call.config(call.whole_context()),
        ("PUT", ["config"]) => call.set_config(call.whole_context()),
        ("DELETE", ["config"]) => call.delete_config(call.whole_context()),
        ("GET", ["config", subject]) => call.config(Some(call.subject(subject)?)),
        ("PUT", ["config", subject]) => call.set_config(Some(call.subject(subject)?)),
        ("DELETE", ["config", subject]) => call.delete_config(Some(call.subject(subject)?)),

        ("GET", ["mode"]) => call.mode(call.whole_context()),
        ("PUT", ["mode"]) => call.set_mode(call.whole_context()),
        ("DELETE", ["mode"]) => call.delete_mode(call.whole_context()),
        ("GET", ["mode", subject]) => call.mode(Some(call.subject(subject)?)),
        ("PUT", ["mode", subject]) => call.set_mode(Some(call.subject(subject)?)),
        ("DELETE", ["mode", subject]) => call.delete_mode(Some(call.subject(subject)?)),

        (
            _,
            []
            | ["contexts" | "subjects" | "schemas" | "config" | "mode"]
            | ["subjects" | "config" | "mode", _]
            | ["v1", "metadata", "id" | "version"]
            | ["subjects", _, "versions" | "metadata"]
            | ["subjects", _, "versions", _]
            | ["subjects", _, "versions", _, "schema" | "referencedby"]
            | ["schemas", "types"]
            | ["schemas", "ids", _]
            | ["schemas", "ids", _, "schema" | "subjects" | "versions"]
            | ["compatibility", "subjects", _, "versions"]
            | ["compatibility", "subjects", _, "versions", _],
        ) => Err(Refusal::new(405, "the path has no such method")),
        _ => Err(Refusal::not_found()),
    }
}

/// A version as a path names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum VersionName {
    Latest,
    Number(u32),
}

impl VersionName {
    fn parse(text: &str) -> Result<VersionName, Refusal> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("latest") || text == "-1" {
            return Ok(VersionName::Latest);
        }
        match text.parse::<u32>() {
            Ok(number) if number > 0 && i32::try_from(number).is_ok() => Ok(VersionName::Number(number)),
            _ => Err(Refusal::invalid_version(text)),
        }
    }
}

impl<'a> Call<'a> {
    /// The full name of a subject in the path.
    fn subject(&self, given: &str) -> Result<String, Refusal> {
        let is_reserved = matches!(given, "__GLOBAL" | "__EMPTY");
        if is_reserved || given.len() > SUBJECT_BYTES_MAX || given.chars().any(char::is_control) {
            return Err(Refusal::invalid_subject(given));
        }
        if self.context == DEFAULT_CONTEXT || given.starts_with(":.") {
            return Ok(qualified(given));
        }
        Ok(format!(":{}:{given}", self.context))
    }

    /// What stands for a whole context where a subject could stand; none for all.
    fn whole_context(&self) -> Option<String> {
        (self.context != DEFAULT_CONTEXT).then(|| format!(":{}:", self.context))
    }

    /// The context that numbers are looked for in: the parameter `subject` may name it.
    fn context_of_ids(&self) -> String {
        match self.request.text("subject") {
            Some(subject) if subject.starts_with(":.") => context_of(subject).to_string(),
            _ => self.context.to_string(),
        }
    }

    /// The content of a request, and the same understood.
    fn content(
        &self,
        state: &State,
        subject: &str,
        object: &Map<String, Value>,
        normalize: bool,
        is_new: bool,
    ) -> Result<(Content, Parsed), Refusal> {
        let given = |key: &str| object.get(key).filter(|value| !value.is_null());
        let kind = match given("schemaType").map(|kind| kind.as_str().unwrap_or("?")) {
            None => SchemaKind::Avro,
            Some(name) => SchemaKind::lookup(&name.to_ascii_uppercase())
                .ok_or_else(|| Refusal::invalid_schema(format!("Invalid schema type {name}")))?,
        };
        let text = given("schema").and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| Refusal::invalid_schema("Empty schema"))?;
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(Refusal::too_large(text.len(), SCHEMA_BYTES_MAX));
        }
        let mut references = match given("references") {
            None => Vec::new(),
            Some(Value::Array(values)) => {
                let bad = || Refusal::invalid_schema("a reference needs name, subject and version");
                values
                    .iter()
                    .map(|value| Reference::read(value).ok_or_else(bad))
                    .collect::<Result<Vec<_>, _>>()?
            }
            Some(_) => return Err(Refusal::invalid_schema("the references are no array")),
        };
        for reference in &mut references {
            if reference.version == 0
                && let Some((_, number, _)) = state.referred(subject, &reference.subject, 0)
            {
                reference.version = number;
            }
        }
        if normalize {
            references.sort();
            references.dedup();
        }
        let rule_set = given("ruleSet").cloned();
        check_rules(rule_set.as_ref())?;
        let mut content = Content {
            kind,
            text: text.to_string(),
            references,
            metadata: given("metadata").cloned(),
            rule_set,
        };
        let resolved = state.resolve(subject, &content)?;
        let parsed = Parsed::parse(kind, text, &resolved, is_new).map_err(|reason| {
            let shown: String = text.chars().take(1000).collect();
            Refusal::invalid_schema(format!("{shown} of type {}, details: {reason}", kind.name()))
        })?;
        content.text = parsed.text(normalize);
        Ok((content, parsed))
    }

    /// Whether the schema of a request is to be normalized.
    fn normalizes(&self, state: &State, subject: &str) -> bool {
        self.request.flag("normalize") || state.config_of(subject).normalize == Some(true)
    }

    /// The text in the form that the parameter `format` asks for.
    fn formatted(&self, state: &State, subject: &str, content: &Content) -> Result<String, Refusal> {
        let parsed = match self.request.text("format") {
            Some("serialized" | "resolved") => state.parse(subject, content)?,
            _ => return Ok(content.text.clone()),
        };
        let text = match (self.request.text("format"), &parsed) {
            (Some("serialized"), parsed) => parsed.serialized(),
            (_, Parsed::Avro(schema)) => Some(schema.whole_text()),
            _ => None,
        };
        Ok(text.unwrap_or_else(|| content.text.clone()))
    }
}

/// Rules are the clients' to carry out; here they are only well formed.
fn check_rules(rule_set: Option<&Value>) -> Result<(), Refusal> {
    let Some(rule_set) = rule_set else { return Ok(()) };
    let Value::Object(groups) = rule_set else { return Err(Refusal::invalid_rules("it is no object")) };
    for key in ["migrationRules", "domainRules", "encodingRules"] {
        let rules = match groups.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(rules)) => rules,
            Some(_) => return Err(Refusal::invalid_rules(&format!("'{key}' is no array"))),
        };
        let mut names = std::collections::HashSet::new();
        for rule in rules {
            let text = |key: &str| rule.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let Some(name) = text("name") else { return Err(Refusal::invalid_rules("a rule has no name")) };
            if !names.insert(name) {
                return Err(Refusal::invalid_rules(&format!("the rule '{name}' is there twice")));
            }
            let modes: &[&str] = match key {
                "migrationRules" => &["UPGRADE", "DOWNGRADE", "UPDOWN"],
                _ => &["READ", "WRITE", "WRITEREAD"],
            };
            if text("mode").is_some_and(|mode| !modes.contains(&mode)) {
                return Err(Refusal::invalid_rules(&format!(
                    "the rule '{name}' has a mode that is not for {key}"
                )));
            }
        }
    }
    Ok(())
}
