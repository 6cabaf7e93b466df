//! Avro schemas: read from their JSON, kept as a table of nodes that refer to each other by index.
//!
//! Named types may contain themselves, so a tree of boxes would not do. Names are resolved while the
//! text is read; what is not understood of the attributes (`doc`, `order`) has no meaning for the bytes.

use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A schema; `root` is one of `nodes`.
#[derive(Debug)]
pub(crate) struct AvroSchema {
    nodes: Vec<Node>,
    pub root: NodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Boolean,
    Int(Logical),
    Long(Logical),
    Float,
    Double,
    Bytes(Logical),
    Text,
    Fixed { name: String, size: usize, logical: Logical },
    Enum { name: String, symbols: Arc<[Box<str>]> },
    Record { name: String, fields: Vec<RecordField> },
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
}

/// What the number or the bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    None,
    Date,
    /// A time of day, in so many parts of a second.
    Time(i64),
    /// An instant or a local time stamp, in so many parts of a second.
    Timestamp(i64),
    Decimal {
        scale: u32,
    },
}

#[derive(Debug)]
pub(crate) struct RecordField {
    pub name: String,
    pub aliases: Vec<String>,
    pub node: NodeId,
    pub default: Option<Value>,
}

/// A schema of more types is refused.
const NODES_MAX: usize = 100_000;
const FIXED_BYTES_MAX: u64 = 1 << 30;

impl AvroSchema {
    pub(crate) fn parse(text: &str) -> Result<AvroSchema, String> {
        AvroSchema::parse_with(&[], text)
    }

    /// The same where types of other schemas are named, which stand before those that name them.
    pub(crate) fn parse_with(references: &[&str], text: &str) -> Result<AvroSchema, String> {
        let mut parser = Parser { nodes: Vec::new(), names: HashMap::new() };
        for reference in references {
            let value = parse_json(reference)?;
            parser.node(&value, "")?;
        }
        let root = parser.node(&parse_json(text)?, "")?;
        Ok(AvroSchema { nodes: parser.nodes, root })
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        // Ids are made by the parser of the same schema only.
        &self.nodes[id.0 as usize]
    }

    /// The type without the `null` beside it, and whether there is one; none for other unions.
    pub(crate) fn without_null(&self, id: NodeId) -> Option<(NodeId, bool)> {
        let Node::Union(branches) = self.node(id) else { return Some((id, false)) };
        let is_null = |id: &NodeId| matches!(self.node(*id), Node::Null);
        match branches.as_slice() {
            [one] if !is_null(one) => Some((*one, false)),
            [null, one] if is_null(null) && !is_null(one) => Some((*one, true)),
            [one, null] if is_null(null) && !is_null(one) => Some((*one, true)),
            _ => None,
        }
    }

    /// How Avro calls a type: the full name of a named one.
    pub(crate) fn type_name(&self, id: NodeId) -> &str {
        match self.node(id) {
            Node::Null => "null",
            Node::Boolean => "boolean",
            Node::Int(_) => "int",
            Node::Long(_) => "long",
            Node::Float => "float",
            Node::Double => "double",
            Node::Bytes(_) => "bytes",
            Node::Text => "string",
            Node::Fixed { name, .. } | Node::Enum { name, .. } | Node::Record { name, .. } => name,
            Node::Array(_) => "array",
            Node::Map(_) => "map",
            Node::Union(_) => "union",
        }
    }
}

/// A primitive type may stand without quotes, as registries accept it.
fn parse_json(text: &str) -> Result<Value, String> {
    if primitive(text.trim(), Logical::None).is_some() {
        return Ok(Value::String(text.trim().to_string()));
    }
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

struct Parser {
    nodes: Vec<Node>,
    names: HashMap<String, NodeId>,
}

impl Parser {
    fn add(&mut self, node: Node) -> Result<NodeId, String> {
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} types"));
        }
        self.nodes.push(node);
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    fn node(&mut self, value: &Value, namespace: &str) -> Result<NodeId, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let mut nodes = Vec::with_capacity(branches.len());
                for branch in branches {
                    let id = self.node(branch, namespace)?;
                    if matches!(self.nodes[id.0 as usize], Node::Union(_)) {
                        return Err("a union stands directly in a union".into());
                    }
                    nodes.push(id);
                }
                self.add(Node::Union(nodes))
            }
            Value::Object(object) => {
                let Some(kind) = object.get("type") else {
                    return Err("a type has no attribute 'type'".into());
                };
                match kind {
                    Value::String(kind) => self.complex(kind, object, namespace),
                    nested => self.node(nested, namespace),
                }
            }
            _ => Err("a type is neither a name nor an object nor a union".into()),
        }
    }

    /// A primitive type without attributes, or a type that was named before.
    fn named(&mut self, name: &str, namespace: &str) -> Result<NodeId, String> {
        if let Some(node) = primitive(name, Logical::None) {
            return self.add(node);
        }
        let found = self.names.get(&full_name(name, namespace)).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| format!("there is no type '{name}'"))
    }

    fn complex(
        &mut self,
        kind: &str,
        object: &serde_json::Map<String, Value>,
        namespace: &str,
    ) -> Result<NodeId, String> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let part = |key: &str| object.get(key).ok_or_else(|| format!("a type '{kind}' has no '{key}'"));
        match kind {
            "array" => {
                let items = self.node(part("items")?, namespace)?;
                self.add(Node::Array(items))
            }
            "map" => {
                let values = self.node(part("values")?, namespace)?;
                self.add(Node::Map(values))
            }
            "record" | "error" | "enum" | "fixed" => {
                let name = text("name").ok_or_else(|| format!("a type '{kind}' has no 'name'"))?;
                let name = full_name(name, text("namespace").unwrap_or(namespace));
                if !name.split('.').all(is_name) {
                    return Err(format!("'{name}' is no name that Avro takes: {NAME_RULE}"));
                }
                if self.names.contains_key(&name) || primitive(&name, Logical::None).is_some() {
                    return Err(format!("the type '{name}' is there twice"));
                }
                // The name counts within the type already.
                let id = self.add(Node::Null)?;
                self.names.insert(name.clone(), id);
                let node = match kind {
                    "enum" => Node::Enum { name, symbols: symbols_of(part("symbols")?)? },
                    "fixed" => {
                        let size = part("size")?.as_u64().filter(|size| *size <= FIXED_BYTES_MAX);
                        let size = size.ok_or("the 'size' of a 'fixed' is no valid number")? as usize;
                        Node::Fixed { name, size, logical: decimal_of(object) }
                    }
                    _ => {
                        let fields = self.fields(part("fields")?, &name)?;
                        Node::Record { name, fields }
                    }
                };
                self.nodes[id.0 as usize] = node;
                Ok(id)
            }
            primitive_or_name => {
                let logical = match (primitive_or_name, text("logicalType").unwrap_or_default()) {
                    ("int", "date") => Logical::Date,
                    ("int", "time-millis") => Logical::Time(1000),
                    ("long", "time-micros") => Logical::Time(1_000_000),
                    ("long", "timestamp-millis" | "local-timestamp-millis") => Logical::Timestamp(1000),
                    ("long", "timestamp-micros" | "local-timestamp-micros") => Logical::Timestamp(1_000_000),
                    ("long", "timestamp-nanos" | "local-timestamp-nanos") => {
                        Logical::Timestamp(1_000_000_000)
                    }
                    ("bytes", _) => decimal_of(object),
                    _ => Logical::None,
                };
                match primitive(primitive_or_name, logical) {
                    Some(node) => self.add(node),
                    None => self.named(primitive_or_name, namespace),
                }
            }
        }
    }

    fn fields(&mut self, fields: &Value, record: &str) -> Result<Vec<RecordField>, String> {
        let Value::Array(fields) = fields else {
            return Err(format!("the 'fields' of '{record}' are no array"));
        };
        let namespace = record.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let mut known: Vec<RecordField> = Vec::with_capacity(fields.len());
        let mut names = std::collections::HashSet::new();
        for field in fields {
            let Some(name) = field.get("name").and_then(Value::as_str) else {
                return Err(format!("a field of '{record}' has no 'name'"));
            };
            if !is_name(name) {
                return Err(format!("'{name}' is no name that Avro takes: {NAME_RULE}"));
            }
            if !names.insert(name) {
                return Err(format!("the field '{name}' of '{record}' is there twice"));
            }
            let Some(kind) = field.get("type") else {
                return Err(format!("the field '{name}' of '{record}' has no 'type'"));
            };
            let node = self.node(kind, namespace)?;
            let aliases = match field.get("aliases") {
                Some(Value::Array(aliases)) => {
                    aliases.iter().filter_map(Value::as_str).map(str::to_string).collect()
                }
                _ => Vec::new(),
            };
            known.push(RecordField {
                name: name.to_string(),
                aliases,
                node,
                default: field.get("default").cloned(),
            });
        }
        Ok(known)
    }
}

fn primitive(name: &str, logical: Logical) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int(logical),
        "long" => Node::Long(logical),
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes(logical),
        "string" => Node::Text,
        _ => return None,
    })
}

fn decimal_of(object: &serde_json::Map<String, Value>) -> Logical {
    let is_decimal = object.get("logicalType").and_then(Value::as_str) == Some("decimal");
    // A logical type that is not valid counts as none, as the specification wants it.
    let scale =
        object.get("scale").map_or(Some(0), Value::as_u64).and_then(|scale| u32::try_from(scale).ok());
    match scale {
        Some(scale) if is_decimal => Logical::Decimal { scale },
        _ => Logical::None,
    }
}

fn symbols_of(symbols: &Value) -> Result<Arc<[Box<str>]>, String> {
    let Value::Array(symbols) = symbols else { return Err("the 'symbols' of an 'enum' are no array".into()) };
    let symbol = |symbol: &Value| symbol.as_str().map(Box::from).ok_or("a symbol is no text".to_string());
    symbols.iter().map(symbol).collect()
}

/// What a name consists of, for messages.
pub(crate) const NAME_RULE: &str = "letters of ASCII, digits and underscores, no digit first";

pub(crate) fn is_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_string() } else { format!("{namespace}.{name}") }
}
