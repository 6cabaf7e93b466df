//! Keys and values that a schema registry's serializers wrote, decoded for a reader: Avro and JSON; Protobuf stays bytes.

use super::{Asked, Console, shown};
use broker::security::{Operation, ResourceType};
use formats::avro_as_json;
use registry::{Request, SchemaRegistry};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What serializers write before what they have encoded.
const HEAD_BYTES: usize = 5;
/// Schemas that one refers to, and those that these refer to.
const REFERENCES_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A text, or why there is none; none if the bytes name no schema, or who asks may not read schemas.
pub(super) fn decoded(console: &Console, asked: &Asked<'_>, bytes: &[u8]) -> Option<Value> {
    let registry = console.given.schemas.as_ref()?;
    let id = shown::schema_id(bytes)?;
    if !asked.visitor.may(Operation::Read, ResourceType::Topic, "_schemas") {
        return None;
    }
    Some(match decode(registry, id, &bytes[HEAD_BYTES..]) {
        Ok(text) => json!({ "text": text }),
        Err(error) => json!({ "error": error }),
    })
}

fn decode(registry: &SchemaRegistry, id: u32, bytes: &[u8]) -> Result<String, String> {
    let schema = ask(registry, &["schemas", "ids", &id.to_string()])?;
    match schema["schemaType"].as_str() {
        None | Some("AVRO") => {}
        Some("JSON") if bytes.len() > TEXT_BYTES_MAX => return Err("it is too long to be shown".into()),
        Some("JSON") => return String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string()),
        Some(other) => return Err(format!("values of {other} are not decoded")),
    }
    let mut references = Vec::new();
    let find = &mut |subject: &str, version: &str| ask(registry, &["subjects", subject, "versions", version]);
    refer(find, &schema, &mut BTreeSet::new(), &mut references)?;
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let text = schema["schema"].as_str().unwrap_or_default();
    avro_as_json(&references, text, bytes, TEXT_BYTES_MAX).map_err(|error| error.to_string())
}

/// The texts of the schemas that one refers to, each behind those that it refers to itself. Each subject and version is
/// looked at once, however many refer to it.
fn refer(
    find: &mut dyn FnMut(&str, &str) -> Result<Value, String>,
    schema: &Value,
    seen: &mut BTreeSet<(String, String)>,
    texts: &mut Vec<String>,
) -> Result<(), String> {
    for reference in schema["references"].as_array().into_iter().flatten() {
        let subject = reference["subject"].as_str().unwrap_or_default();
        let version = reference["version"].to_string();
        if !seen.insert((subject.to_owned(), version.clone())) {
            continue;
        }
        if seen.len() > REFERENCES_MAX {
            return Err(format!("the schema refers to more than {REFERENCES_MAX} others"));
        }
        let found = find(subject, &version)?;
        refer(find, &found, seen, texts)?;
        let text = found["schema"].as_str().unwrap_or_default().to_owned();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    Ok(())
}

fn ask(registry: &SchemaRegistry, path: &[&str]) -> Result<Value, String> {
    let path = path.iter().map(|part| (*part).to_owned()).collect();
    let answer = registry.answer(&Request { method: "GET".into(), path, ..Default::default() });
    let body: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
    match answer.status {
        200 => Ok(body),
        _ => Err(body["message"].as_str().unwrap_or("the registry does not know the schema").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each schema names the next one twice.
    fn texts(levels: usize) -> (Result<Vec<String>, String>, usize) {
        let next = |level: usize| {
            let one = json!({ "subject": format!("s{level}"), "version": 1 });
            let twice = if level < levels { vec![one.clone(), one] } else { Vec::new() };
            json!({ "schema": format!("text {}", level as i64 - 1), "references": twice })
        };
        let (mut asked, mut texts) = (0, Vec::new());
        let mut find = |subject: &str, _: &str| {
            asked += 1;
            Ok(next(subject[1..].parse::<usize>().unwrap() + 1))
        };
        let found = refer(&mut find, &next(0), &mut BTreeSet::new(), &mut texts);
        (found.map(|()| texts), asked)
    }

    #[test]
    fn what_is_referred_to_twice_is_looked_at_once() {
        let (found, asked) = texts(40);
        let expected: Vec<String> = (0..40).rev().map(|level| format!("text {level}")).collect();
        assert_eq!((found, asked), (Ok(expected), 40));
        let (found, asked) = texts(1_000);
        assert!(found.unwrap_err().contains("more than 64"));
        assert_eq!(asked, REFERENCES_MAX);
    }
}
