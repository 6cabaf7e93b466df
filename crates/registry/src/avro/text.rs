//! A schema as text: without blanks, attributes in the order in which Avro's Java library prints them.
//!
//! Two schemas that differ in layout only become the same text, so they share a number.

use super::schema::{AvroSchema, Id, Kind, Name};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

impl AvroSchema {
    /// `normalize` puts the properties that Avro does not define into the order of their names.
    pub(crate) fn text(&self, normalize: bool) -> String {
        let mut printer = Printer { schema: self, seen: HashSet::new(), normalize, depth: 0 };
        // What comes from references is named only.
        for node in self.nodes[..self.own].iter() {
            printer.seen.extend(node.name.as_ref().map(Name::full));
        }
        printer.node(self.root, "").to_string()
    }

    /// With the types of references written out where they are named first.
    pub(crate) fn whole_text(&self) -> String {
        let mut printer = Printer { schema: self, seen: HashSet::new(), normalize: false, depth: 0 };
        printer.node(self.root, "").to_string()
    }
}

struct Printer<'a> {
    schema: &'a AvroSchema,
    seen: HashSet<String>,
    normalize: bool,
    depth: usize,
}

/// Types of references that would lie deeper are only named.
const DEPTH_MAX: usize = 300;

impl Printer<'_> {
    fn properties(&self, from: &Map<String, Value>, into: &mut Map<String, Value>) {
        let mut pairs: Vec<(&String, &Value)> = from.iter().collect();
        if self.normalize {
            pairs.sort_by_key(|(key, _)| *key);
        }
        into.extend(pairs.into_iter().map(|(key, value)| (key.clone(), value.clone())));
    }

    fn node(&mut self, id: Id, namespace: &str) -> Value {
        self.depth += 1;
        let printed = self.node_within(id, namespace);
        self.depth -= 1;
        printed
    }

    fn node_within(&mut self, id: Id, namespace: &str) -> Value {
        let node = self.schema.node(id);
        let mut object = Map::new();
        object.insert("type".into(), self.schema.type_name(id).into());
        if let Some(name) = &node.name {
            if self.depth > DEPTH_MAX || !self.seen.insert(name.full()) {
                return if name.namespace == namespace { name.simple.clone() } else { name.full() }.into();
            }
            object.insert("name".into(), name.simple.clone().into());
            if name.namespace != namespace {
                object.insert("namespace".into(), name.namespace.clone().into());
            }
            if let Some(doc) = &node.doc {
                object.insert("doc".into(), doc.clone().into());
            }
        }
        match &node.kind {
            Kind::Primitive(primitive) if node.properties.is_empty() => return primitive.name().into(),
            Kind::Primitive(_) => {}
            Kind::Union(branches) => {
                return branches.iter().map(|branch| self.node(*branch, namespace)).collect();
            }
            Kind::Array(items) => {
                object.insert("items".into(), self.node(*items, namespace));
            }
            Kind::Map(values) => {
                object.insert("values".into(), self.node(*values, namespace));
            }
            Kind::Fixed(size) => {
                object.insert("size".into(), json!(size));
            }
            Kind::Enum { symbols, default } => {
                object.insert("symbols".into(), json!(symbols));
                if let Some(default) = default {
                    object.insert("default".into(), json!(default));
                }
            }
            Kind::Record { fields, .. } => {
                let within = node.name.as_ref().map_or("", |name| name.namespace.as_str());
                let mut printed = Vec::with_capacity(fields.len());
                for field in fields {
                    let mut object = Map::new();
                    object.insert("name".into(), field.name.clone().into());
                    object.insert("type".into(), self.node(field.kind, within));
                    if let Some(doc) = &field.doc {
                        object.insert("doc".into(), doc.clone().into());
                    }
                    if let Some(default) = &field.default {
                        object.insert("default".into(), default.clone());
                    }
                    if let Some(order) = &field.order {
                        object.insert("order".into(), order.clone().into());
                    }
                    if !field.aliases.is_empty() {
                        object.insert("aliases".into(), json!(field.aliases));
                    }
                    self.properties(&field.properties, &mut object);
                    printed.push(Value::Object(object));
                }
                object.insert("fields".into(), Value::Array(printed));
            }
        }
        self.properties(&node.properties, &mut object);
        if !node.aliases.is_empty() {
            let own = node.name.as_ref().map_or("", |name| name.namespace.as_str());
            let short = |alias: &String| match alias.rsplit_once('.') {
                Some((namespace, simple)) if namespace == own => simple.to_string(),
                _ => alias.clone(),
            };
            object.insert("aliases".into(), node.aliases.iter().map(short).collect());
        }
        Value::Object(object)
    }
}
