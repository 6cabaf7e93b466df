//! JSON schemas as a table of nodes that refer to each other by place, references resolved.
//!
//! A schema object may say several things at once (`type` beside `enum` beside `anyOf`): such a one becomes an `allOf` of
//! its parts. References are resolved within the text, and to the schemas that it was registered with.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) type Id = usize;

#[derive(Debug)]
pub(crate) struct JsonSchema {
    pub nodes: Vec<Node>,
    pub root: Id,
    value: Value,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Node {
    /// Anything goes.
    Any,
    /// Nothing goes.
    Never,
    Null,
    Boolean,
    Text(Bounds, Option<String>),
    Number {
        is_integer: bool,
        bounds: Bounds,
    },
    /// The values, each as JSON.
    Enum(BTreeSet<String>),
    Object(Box<Object>),
    Array(Box<Array>),
    Not(Id),
    Combined(Criterion, Vec<Id>),
    /// Being read, or a reference.
    Alias(Id),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Criterion {
    All,
    Any,
    One,
}

/// Numeric keywords by name: `maxLength`, `minimum`.
pub(crate) type Bounds = BTreeMap<&'static str, f64>;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Object {
    pub properties: BTreeMap<String, Id>,
    /// Properties whose schema has a default.
    pub defaulted: BTreeSet<String>,
    pub required: BTreeSet<String>,
    pub patterns: Vec<(String, Id)>,
    /// None where anything goes.
    pub additional: Option<Id>,
    pub dependent_names: BTreeMap<String, BTreeSet<String>>,
    pub dependent_schemas: BTreeMap<String, Id>,
    pub bounds: Bounds,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Array {
    /// What all items are.
    pub all: Option<Id>,
    /// What the first ones are, one by one.
    pub first: Vec<Id>,
    /// What those behind `first` are; none where anything goes.
    pub additional: Option<Id>,
    pub is_unique: bool,
    pub bounds: Bounds,
}

/// A schema of more parts is refused.
const NODES_MAX: usize = 100_000;
/// References that lead to references.
const ALIASES_MAX: usize = 100;
const DEPTH_MAX: usize = 300;

const TEXT_BOUNDS: &[&str] = &["maxLength", "minLength"];
const NUMBER_BOUNDS: &[&str] = &["maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf"];
const OBJECT_BOUNDS: &[&str] = &["maxProperties", "minProperties"];
const ARRAY_BOUNDS: &[&str] = &["maxItems", "minItems"];
const OBJECT_KEYS: &[&str] = &[
    "properties",
    "required",
    "patternProperties",
    "additionalProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "maxProperties",
    "minProperties",
    "propertyNames",
];
const ARRAY_KEYS: &[&str] =
    &["items", "prefixItems", "additionalItems", "uniqueItems", "maxItems", "minItems", "contains"];
const TEXT_KEYS: &[&str] = &["maxLength", "minLength", "pattern"];

impl JsonSchema {
    /// Reads a schema; `references` are others by the names that it calls them.
    pub(crate) fn parse(text: &str, references: &[(&str, &str)]) -> Result<JsonSchema, String> {
        let read = |text: &str| serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"));
        let value: Value = read(text)?;
        let mut documents = vec![(String::new(), &value)];
        let parsed: Vec<(String, Value)> = references
            .iter()
            .map(|(name, text)| Ok((name.to_string(), read(text)?)))
            .collect::<Result<_, String>>()?;
        documents.extend(parsed.iter().map(|(name, value)| (name.clone(), value)));
        let mut parser = Parser { documents, nodes: Vec::new(), places: HashMap::new(), depth: 0 };
        let root = parser.schema(0, "", &value)?;
        let nodes = parser.nodes;
        Ok(JsonSchema { nodes, root, value })
    }

    /// The text without blanks; with its members in the order of their names if it is to be normalized.
    pub(crate) fn text(&self, normalize: bool) -> String {
        if normalize { sorted(&self.value).to_string() } else { self.value.to_string() }
    }

    /// A node behind all references.
    pub(crate) fn node(&self, id: Id) -> (Id, &Node) {
        let mut id = id;
        for _ in 0..ALIASES_MAX {
            match &self.nodes[id] {
                Node::Alias(next) => id = *next,
                node => return (id, node),
            }
        }
        // A reference to itself says nothing.
        (id, &Node::Any)
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let pairs: BTreeMap<&String, &Value> = object.iter().collect();
            pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

struct Parser<'a> {
    /// The schema itself, under an empty name, and those that it refers to.
    documents: Vec<(String, &'a Value)>,
    nodes: Vec<Node>,
    /// By document and pointer: what was read already, or is being read.
    places: HashMap<(usize, String), Id>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn add(&mut self, node: Node) -> Result<Id, String> {
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} parts"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn schema(&mut self, document: usize, pointer: &str, value: &'a Value) -> Result<Id, String> {
        if let Some(id) = self.places.get(&(document, pointer.to_string())) {
            return Ok(*id);
        }
        let id = self.add(Node::Any)?;
        self.places.insert((document, pointer.to_string()), id);
        // References lead deeper than the text does.
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it refers to itself over too many others".into());
        }
        let node = match value {
            Value::Bool(true) => Node::Any,
            Value::Bool(false) => Node::Never,
            Value::Object(object) => self.object(document, pointer, object)?,
            _ => return Err(format!("what stands at '#{pointer}' is neither an object nor a boolean")),
        };
        self.depth -= 1;
        self.nodes[id] = node;
        Ok(id)
    }

    fn object(
        &mut self,
        document: usize,
        pointer: &str,
        object: &'a Map<String, Value>,
    ) -> Result<Node, String> {
        if let Some(Value::String(reference)) = object.get("$ref") {
            return self.reference(document, reference);
        }
        let mut parts = Vec::new();
        self.typed(document, pointer, object, &mut parts)?;
        if let Some(values) = object.get("enum") {
            let Value::Array(values) = values else {
                return Err(format!("the 'enum' at '#{pointer}' is no array"));
            };
            parts.push(Node::Enum(values.iter().map(|value| sorted(value).to_string()).collect()));
        }
        if let Some(value) = object.get("const") {
            parts.push(Node::Enum([sorted(value).to_string()].into()));
        }
        if let Some(not) = object.get("not") {
            parts.push(Node::Not(self.schema(document, &format!("{pointer}/not"), not)?));
        }
        for (key, criterion) in
            [("allOf", Criterion::All), ("anyOf", Criterion::Any), ("oneOf", Criterion::One)]
        {
            let Some(values) = object.get(key) else { continue };
            let Value::Array(values) = values else {
                return Err(format!("'{key}' at '#{pointer}' is no array"));
            };
            parts.push(Node::Combined(
                criterion,
                self.schemas(document, &format!("{pointer}/{key}"), values)?,
            ));
        }
        match parts.len() {
            0 => Ok(Node::Any),
            1 => Ok(parts.remove(0)),
            _ => {
                let ids = parts.into_iter().map(|part| self.add(part)).collect::<Result<_, _>>()?;
                Ok(Node::Combined(Criterion::All, ids))
            }
        }
    }

    fn schemas(&mut self, document: usize, pointer: &str, values: &'a [Value]) -> Result<Vec<Id>, String> {
        let schemas = values.iter().enumerate();
        schemas.map(|(place, value)| self.schema(document, &format!("{pointer}/{place}"), value)).collect()
    }

    fn named(
        &mut self,
        document: usize,
        pointer: &str,
        object: &'a Map<String, Value>,
        key: &str,
    ) -> Result<Vec<(String, Id)>, String> {
        match object.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Object(schemas)) => schemas
                .iter()
                .map(|(name, value)| {
                    let place = format!("{pointer}/{key}/{}", name.replace('~', "~0").replace('/', "~1"));
                    Ok((name.clone(), self.schema(document, &place, value)?))
                })
                .collect(),
            Some(_) => Err(format!("'{key}' at '#{pointer}' is no object")),
        }
    }

    /// What `type` says, or what the keywords of one type imply.
    fn typed(
        &mut self,
        document: usize,
        pointer: &str,
        object: &'a Map<String, Value>,
        parts: &mut Vec<Node>,
    ) -> Result<(), String> {
        let has = |keys: &[&str]| keys.iter().any(|key| object.contains_key(*key));
        let names: Vec<&str> = match object.get("type") {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) => {
                let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
                names.ok_or_else(|| format!("a 'type' at '#{pointer}' is no text"))?
            }
            Some(_) => return Err(format!("the 'type' at '#{pointer}' is neither a text nor an array")),
            None if has(OBJECT_KEYS) => vec!["object"],
            None if has(ARRAY_KEYS) => vec!["array"],
            None if has(NUMBER_BOUNDS) => vec!["number"],
            None if has(TEXT_KEYS) => vec!["string"],
            None => return Ok(()),
        };
        let mut nodes = Vec::with_capacity(names.len());
        for name in &names {
            nodes.push(match *name {
                "null" => Node::Null,
                "boolean" => Node::Boolean,
                "string" => {
                    let pattern = object.get("pattern").and_then(Value::as_str).map(str::to_string);
                    Node::Text(bounds(object, TEXT_BOUNDS), pattern)
                }
                "number" | "integer" => {
                    Node::Number { is_integer: *name == "integer", bounds: number_bounds(object) }
                }
                "object" => Node::Object(Box::new(self.members(document, pointer, object)?)),
                "array" => Node::Array(Box::new(self.items(document, pointer, object)?)),
                other => return Err(format!("'{other}' at '#{pointer}' is no type of JSON")),
            });
        }
        match nodes.len() {
            1 => parts.append(&mut nodes),
            _ => {
                let ids = nodes.into_iter().map(|node| self.add(node)).collect::<Result<_, _>>()?;
                parts.push(Node::Combined(Criterion::Any, ids));
            }
        }
        Ok(())
    }

    fn members(
        &mut self,
        document: usize,
        pointer: &str,
        object: &'a Map<String, Value>,
    ) -> Result<Object, String> {
        let texts = |value: &Value, key: &str| -> Result<BTreeSet<String>, String> {
            let refuse = || format!("'{key}' at '#{pointer}' is no array of texts");
            let values = value.as_array().ok_or_else(refuse)?;
            values.iter().map(|value| value.as_str().map(str::to_string).ok_or_else(refuse)).collect()
        };
        let mut members = Object { bounds: bounds(object, OBJECT_BOUNDS), ..Object::default() };
        members.properties = self.named(document, pointer, object, "properties")?.into_iter().collect();
        if let Some(Value::Object(properties)) = object.get("properties") {
            let has_default = |(_, value): &(&String, &Value)| value.get("default").is_some();
            members.defaulted = properties.iter().filter(has_default).map(|(name, _)| name.clone()).collect();
        }
        // Draft 3 has a boolean, which says nothing here.
        if let Some(required) = object.get("required").filter(|required| !required.is_boolean()) {
            members.required = texts(required, "required")?;
        }
        members.patterns = self.named(document, pointer, object, "patternProperties")?;
        for (pattern, _) in &members.patterns {
            fancy_regex::Regex::new(pattern)
                .map_err(|_| format!("the pattern '{pattern}' at '#{pointer}' is not understood"))?;
        }
        members.additional = self.additional(document, pointer, object, "additionalProperties")?;
        if let Some(Value::Object(dependencies)) = object.get("dependencies") {
            for (name, value) in dependencies {
                if value.is_array() {
                    members.dependent_names.insert(name.clone(), texts(value, "dependencies")?);
                } else {
                    let place = format!("{pointer}/dependencies/{name}");
                    members.dependent_schemas.insert(name.clone(), self.schema(document, &place, value)?);
                }
            }
        }
        if let Some(Value::Object(dependencies)) = object.get("dependentRequired") {
            for (name, value) in dependencies {
                members.dependent_names.insert(name.clone(), texts(value, "dependentRequired")?);
            }
        }
        members.dependent_schemas.extend(self.named(document, pointer, object, "dependentSchemas")?);
        Ok(members)
    }

    fn items(
        &mut self,
        document: usize,
        pointer: &str,
        object: &'a Map<String, Value>,
    ) -> Result<Array, String> {
        let mut array = Array { bounds: bounds(object, ARRAY_BOUNDS), ..Array::default() };
        array.is_unique = object.get("uniqueItems") == Some(&Value::Bool(true));
        if let Some(Value::Array(first)) = object.get("prefixItems") {
            array.first = self.schemas(document, &format!("{pointer}/prefixItems"), first)?;
            array.additional = self.additional(document, pointer, object, "items")?;
            return Ok(array);
        }
        match object.get("items") {
            Some(Value::Array(first)) => {
                array.first = self.schemas(document, &format!("{pointer}/items"), first)?;
                array.additional = self.additional(document, pointer, object, "additionalItems")?;
            }
            Some(all) => array.all = Some(self.schema(document, &format!("{pointer}/items"), all)?),
            None => {}
        }
        Ok(array)
    }

    /// None where anything goes.
    fn additional(
        &mut self,
        document: usize,
        pointer: &str,
        object: &'a Map<String, Value>,
        key: &str,
    ) -> Result<Option<Id>, String> {
        match object.get(key) {
            None | Some(Value::Bool(true)) => Ok(None),
            Some(value) => self.schema(document, &format!("{pointer}/{key}"), value).map(Some),
        }
    }

    fn reference(&mut self, document: usize, reference: &str) -> Result<Node, String> {
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        // What JSON schemas themselves look like is compared with nothing.
        if name.starts_with("http://json-schema.org/") || name.starts_with("https://json-schema.org/") {
            return Ok(Node::Any);
        }
        let is_meant = |(known, value): &(String, &Value)| {
            known == name
                || ["$id", "id"].iter().any(|key| value.get(*key).and_then(Value::as_str) == Some(name))
        };
        let document = match name {
            "" => document,
            _ => self
                .documents
                .iter()
                .position(|known| !known.1.is_null() && is_meant(known))
                .ok_or_else(|| format!("it refers to '{name}', which is not among its references"))?,
        };
        let (_, value) = self.documents[document];
        let pointer = percent_decoded(fragment);
        let found = if pointer.is_empty() || pointer.starts_with('/') {
            value.pointer(&pointer).map(|value| (pointer.clone(), value))
        } else {
            anchored(value, &pointer, String::new())
        };
        let (pointer, value) =
            found.ok_or_else(|| format!("it refers to '{reference}', where nothing is"))?;
        let pointer = if pointer == "/" { String::new() } else { pointer };
        Ok(Node::Alias(self.schema(document, &pointer, value)?))
    }
}

/// The schema that has an `$anchor`.
fn anchored<'a>(value: &'a Value, name: &str, pointer: String) -> Option<(String, &'a Value)> {
    match value {
        Value::Object(object) => {
            let id = format!("#{name}");
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            if text("$anchor") == Some(name) || text("$id") == Some(&id) {
                return Some((pointer, value));
            }
            object.iter().find_map(|(key, value)| {
                anchored(value, name, format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")))
            })
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .find_map(|(place, value)| anchored(value, name, format!("{pointer}/{place}"))),
        _ => None,
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push((hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0)) as u8);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn bounds(object: &Map<String, Value>, keys: &[&'static str]) -> Bounds {
    keys.iter().filter_map(|key| Some((*key, object.get(*key)?.as_f64()?))).collect()
}

/// In draft 4 `exclusiveMaximum` is a boolean that makes `maximum` exclusive.
fn number_bounds(object: &Map<String, Value>) -> Bounds {
    let mut found = bounds(object, NUMBER_BOUNDS);
    for (exclusive, inclusive) in [("exclusiveMaximum", "maximum"), ("exclusiveMinimum", "minimum")] {
        if object.get(exclusive) == Some(&Value::Bool(true))
            && let Some(bound) = found.remove(inclusive)
        {
            found.insert(exclusive, bound);
        }
    }
    found
}
