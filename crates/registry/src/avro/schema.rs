//! Avro schemas with all that is written in them: names, aliases, defaults, documentation, other properties.
//!
//! The format crate reads schemas for their bytes and leaves out what has no meaning for those; the registry must give
//! back what it was given, and compare by it. Named types may contain themselves, so types lie in a table and refer to
//! each other by place. The types that come from other schemas (references) lie in front.

use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

pub(crate) type Id = usize;

#[derive(Debug)]
pub(crate) struct AvroSchema {
    pub nodes: Vec<Node>,
    pub root: Id,
    /// Types before this place come from references.
    pub own: Id,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub kind: Kind,
    /// Of records, enums and fixed.
    pub name: Option<Name>,
    pub doc: Option<String>,
    /// Full names.
    pub aliases: Vec<String>,
    /// All other properties, logical types among them, in the order of the text.
    pub properties: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub simple: String,
    pub namespace: String,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Primitive(Primitive),
    Fixed(u64),
    Enum { symbols: Vec<String>, default: Option<String> },
    Record { fields: Vec<Field>, is_error: bool },
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub name: String,
    pub kind: Id,
    pub doc: Option<String>,
    pub default: Option<Value>,
    /// None where it is ascending.
    pub order: Option<String>,
    pub aliases: Vec<String>,
    pub properties: Map<String, Value>,
}

/// A schema of more types is refused.
const NODES_MAX: usize = 100_000;
const DEFAULT_DEPTH_MAX: usize = 200;

impl Primitive {
    const ALL: [(&'static str, Primitive); 8] = [
        ("null", Primitive::Null),
        ("boolean", Primitive::Boolean),
        ("int", Primitive::Int),
        ("long", Primitive::Long),
        ("float", Primitive::Float),
        ("double", Primitive::Double),
        ("bytes", Primitive::Bytes),
        ("string", Primitive::String),
    ];

    fn lookup(name: &str) -> Option<Primitive> {
        Primitive::ALL.iter().find(|(known, _)| *known == name).map(|(_, primitive)| *primitive)
    }

    pub(crate) fn name(self) -> &'static str {
        Primitive::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

impl Name {
    /// A name within a namespace; one with dots brings its own.
    fn new(name: &str, namespace: &str) -> Name {
        match name.rsplit_once('.') {
            Some((namespace, simple)) => Name { simple: simple.into(), namespace: namespace.into() },
            None => Name { simple: name.into(), namespace: namespace.into() },
        }
    }

    pub(crate) fn full(&self) -> String {
        if self.namespace.is_empty() {
            self.simple.clone()
        } else {
            format!("{}.{}", self.namespace, self.simple)
        }
    }
}

impl AvroSchema {
    /// Reads a schema; the types of `references` may be named in it. Defaults are checked where a schema is new: what was
    /// taken once stays readable.
    pub(crate) fn parse(text: &str, references: &[&str], is_new: bool) -> Result<AvroSchema, String> {
        let mut parser = Parser { nodes: Vec::new(), names: HashMap::new() };
        for reference in references {
            let value = parse_json(reference)?;
            parser.node(&value, "")?;
        }
        let own = parser.nodes.len();
        let root = parser.node(&parse_json(text)?, "")?;
        let schema = AvroSchema { nodes: parser.nodes, root, own };
        if is_new {
            schema.check_defaults()?;
        }
        Ok(schema)
    }

    pub(crate) fn node(&self, id: Id) -> &Node {
        // Ids are made by the parser of the same schema only.
        &self.nodes[id]
    }

    /// How Avro calls the type: `record`, `union`, `int`.
    pub(crate) fn type_name(&self, id: Id) -> &'static str {
        match &self.node(id).kind {
            Kind::Primitive(primitive) => primitive.name(),
            Kind::Fixed(_) => "fixed",
            Kind::Enum { .. } => "enum",
            Kind::Record { is_error: false, .. } => "record",
            Kind::Record { is_error: true, .. } => "error",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
        }
    }

    fn check_defaults(&self) -> Result<(), String> {
        for node in &self.nodes[self.own..] {
            let Kind::Record { fields, .. } = &node.kind else { continue };
            for field in fields {
                if let Some(default) = &field.default
                    && !self.fits(field.kind, default, 0)
                {
                    return Err(format!(
                        "the default of the field '{}' is of another type: {default}",
                        field.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether a default is a value of the type; in a union, of any of its types.
    fn fits(&self, id: Id, value: &Value, depth: usize) -> bool {
        // The default of a record may need that of a field which is such a record itself.
        if depth > DEFAULT_DEPTH_MAX {
            return false;
        }
        let fits = |id: Id, value: &Value| self.fits(id, value, depth + 1);
        match (&self.node(id).kind, value) {
            (Kind::Primitive(primitive), value) => match (primitive, value) {
                (Primitive::Null, Value::Null)
                | (Primitive::Boolean, Value::Bool(_))
                | (Primitive::Bytes | Primitive::String, Value::String(_))
                | (Primitive::Float | Primitive::Double, Value::Number(_)) => true,
                (Primitive::Int, Value::Number(number)) => {
                    number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
                }
                (Primitive::Long, Value::Number(number)) => number.as_i64().is_some(),
                _ => false,
            },
            (Kind::Fixed(_), Value::String(_)) => true,
            (Kind::Enum { symbols, .. }, Value::String(text)) => symbols.contains(text),
            (Kind::Array(items), Value::Array(values)) => values.iter().all(|value| fits(*items, value)),
            (Kind::Map(items), Value::Object(values)) => values.values().all(|value| fits(*items, value)),
            (Kind::Union(branches), value) => branches.iter().any(|branch| fits(*branch, value)),
            (Kind::Record { fields, .. }, Value::Object(values)) => fields.iter().all(|field| {
                values
                    .get(&field.name)
                    .or(field.default.as_ref())
                    .is_some_and(|value| fits(field.kind, value))
            }),
            _ => false,
        }
    }
}

/// A primitive type may stand without quotes, as registries accept it.
fn parse_json(text: &str) -> Result<Value, String> {
    if Primitive::lookup(text.trim()).is_some() {
        return Ok(Value::String(text.trim().to_string()));
    }
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

struct Parser {
    nodes: Vec<Node>,
    names: HashMap<String, Id>,
}

const SCHEMA_KEYS: &[&str] =
    &["doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type", "aliases"];
const FIELD_KEYS: &[&str] = &["default", "doc", "name", "order", "type", "aliases"];

fn others(object: &Map<String, Value>, known: &[&str]) -> Map<String, Value> {
    let is_other = |(key, _): &(&String, &Value)| !known.contains(&key.as_str());
    object.iter().filter(is_other).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn text_of(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_string)
}

fn texts_of(object: &Map<String, Value>, key: &str) -> Result<Vec<String>, String> {
    let Some(value) = object.get(key) else { return Ok(Vec::new()) };
    let refuse = || format!("'{key}' is no array of texts");
    let values = value.as_array().ok_or_else(refuse)?;
    values.iter().map(|value| value.as_str().map(str::to_string).ok_or_else(refuse)).collect()
}

fn check_name(name: &str) -> Result<(), String> {
    let is_name = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name {
        Ok(())
    } else {
        Err(format!("'{name}' is no name: letters, digits and underscores, no digit first"))
    }
}

impl Parser {
    fn add(&mut self, kind: Kind, properties: Map<String, Value>) -> Result<Id, String> {
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} types"));
        }
        self.nodes.push(Node { kind, name: None, doc: None, aliases: Vec::new(), properties });
        Ok(self.nodes.len() - 1)
    }

    fn node(&mut self, value: &Value, namespace: &str) -> Result<Id, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.complex(kind, object, namespace),
                Some(nested) => self.node(nested, namespace),
                None => Err("a type has no attribute 'type'".into()),
            },
            _ => Err(format!("{value} is no type")),
        }
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Id, String> {
        let mut ids = Vec::with_capacity(branches.len());
        let mut seen = HashSet::new();
        for branch in branches {
            let id = self.node(branch, namespace)?;
            let node = &self.nodes[id];
            let name = match (&node.kind, &node.name) {
                (Kind::Union(_), _) => return Err("a union stands directly in a union".into()),
                (_, Some(name)) => name.full(),
                (Kind::Primitive(primitive), _) => primitive.name().into(),
                (Kind::Array(_), _) => "array".into(),
                _ => "map".into(),
            };
            if !seen.insert(name.clone()) {
                return Err(format!("the type '{name}' is twice in a union"));
            }
            ids.push(id);
        }
        self.add(Kind::Union(ids), Map::new())
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<Id, String> {
        if let Some(primitive) = Primitive::lookup(name) {
            return self.add(Kind::Primitive(primitive), Map::new());
        }
        let found = self.names.get(&Name::new(name, namespace).full()).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| format!("there is no type '{name}'"))
    }

    fn complex(&mut self, kind: &str, object: &Map<String, Value>, namespace: &str) -> Result<Id, String> {
        let part = |key: &str| object.get(key).ok_or_else(|| format!("a type '{kind}' has no '{key}'"));
        match kind {
            "array" => {
                let items = self.node(part("items")?, namespace)?;
                self.add(Kind::Array(items), others(object, SCHEMA_KEYS))
            }
            "map" => {
                let values = self.node(part("values")?, namespace)?;
                self.add(Kind::Map(values), others(object, SCHEMA_KEYS))
            }
            "record" | "error" | "enum" | "fixed" => self.defined(kind, object, namespace),
            other => match Primitive::lookup(other) {
                Some(primitive) => self.add(Kind::Primitive(primitive), others(object, SCHEMA_KEYS)),
                None => self.named(other, namespace),
            },
        }
    }

    /// A type that has a name.
    fn defined(&mut self, kind: &str, object: &Map<String, Value>, namespace: &str) -> Result<Id, String> {
        let name = text_of(object, "name").ok_or_else(|| format!("a type '{kind}' has no 'name'"))?;
        let own_namespace = text_of(object, "namespace");
        let name = Name::new(&name, own_namespace.as_deref().unwrap_or(namespace));
        check_name(&name.simple)?;
        for part in name.namespace.split('.').filter(|_| !name.namespace.is_empty()) {
            check_name(part)?;
        }
        let full = name.full();
        if Primitive::lookup(&full).is_some() {
            return Err(format!("'{full}' is the name of a primitive type"));
        }
        // The name counts within the type already.
        let id = self.add(Kind::Fixed(0), Map::new())?;
        if self.names.insert(full.clone(), id).is_some() {
            return Err(format!("the type '{full}' is there twice"));
        }
        let mut known = SCHEMA_KEYS.to_vec();
        let kind = match kind {
            "enum" => {
                known.push("default");
                let symbols = texts_of(object, "symbols")?;
                if !object.contains_key("symbols") {
                    return Err(format!("the enum '{full}' has no 'symbols'"));
                }
                let mut seen = HashSet::new();
                for symbol in &symbols {
                    check_name(symbol)?;
                    if !seen.insert(symbol) {
                        return Err(format!("the symbol '{symbol}' is there twice"));
                    }
                }
                let default = text_of(object, "default");
                if let Some(default) = &default
                    && !symbols.contains(default)
                {
                    return Err(format!(
                        "the default '{default}' of the enum '{full}' is none of its symbols"
                    ));
                }
                Kind::Enum { symbols, default }
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).filter(|size| *size <= i32::MAX as u64);
                Kind::Fixed(size.ok_or_else(|| format!("the 'size' of '{full}' is no valid number"))?)
            }
            kind => Kind::Record { fields: self.fields(object, &name)?, is_error: kind == "error" },
        };
        let aliases = texts_of(object, "aliases")?;
        let aliases = aliases.iter().map(|alias| Name::new(alias, &name.namespace).full()).collect();
        self.nodes[id] = Node {
            kind,
            name: Some(name),
            doc: text_of(object, "doc"),
            aliases,
            properties: others(object, &known),
        };
        Ok(id)
    }

    fn fields(&mut self, object: &Map<String, Value>, record: &Name) -> Result<Vec<Field>, String> {
        let full = record.full();
        let Some(Value::Array(values)) = object.get("fields") else {
            return Err(format!("the 'fields' of '{full}' are no array"));
        };
        let mut fields: Vec<Field> = Vec::with_capacity(values.len());
        let mut names = HashSet::new();
        for value in values {
            let Value::Object(object) = value else {
                return Err(format!("a field of '{full}' is no object"));
            };
            let name = text_of(object, "name").ok_or_else(|| format!("a field of '{full}' has no 'name'"))?;
            check_name(&name)?;
            if !names.insert(name.clone()) {
                return Err(format!("the field '{name}' of '{full}' is there twice"));
            }
            let kind =
                object.get("type").ok_or_else(|| format!("the field '{name}' of '{full}' has no 'type'"))?;
            let kind = self.node(kind, &record.namespace)?;
            let order = text_of(object, "order").map(|order| order.to_ascii_lowercase());
            match order.as_deref() {
                None | Some("ascending" | "descending" | "ignore") => {}
                Some(other) => return Err(format!("'{other}' is no order of a field")),
            }
            fields.push(Field {
                name,
                kind,
                doc: text_of(object, "doc"),
                default: object.get("default").cloned(),
                order: order.filter(|order| order != "ascending"),
                aliases: texts_of(object, "aliases")?,
                properties: others(object, FIELD_KEYS),
            });
        }
        Ok(fields)
    }
}
