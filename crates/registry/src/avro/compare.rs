//! Whether what was written with one schema can be read with another: the rules of Avro's specification, resolved as its
//! Java library does.

use super::schema::{AvroSchema, Field, Id, Kind, Primitive};
use crate::compatibility::Incompatibility;
use std::collections::HashSet;

/// Why the reader cannot read; empty if it can.
pub(crate) fn differences(reader: &AvroSchema, writer: &AvroSchema) -> Vec<Incompatibility> {
    let mut comparison = Comparison { reader, writer, begun: HashSet::new(), work: 0, depth: 0 };
    comparison.compare(reader.root, writer.root, "")
}

/// More comparisons of types than this are not done, nor deeper ones; such schemas count as incompatible.
const WORK_MAX: usize = 200_000;
const DEPTH_MAX: usize = 200;

struct Comparison<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// Pairs of named types that are compared already: a type within itself fits if the rest does.
    begun: HashSet<(Id, Id)>,
    work: usize,
    depth: usize,
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, reader: Id, writer: Id, path: &str) -> Vec<Incompatibility> {
        self.work += 1;
        if self.work > WORK_MAX || self.depth >= DEPTH_MAX {
            return vec![Incompatibility::new(
                "TOO_COMPLEX",
                path,
                "the schemas are too large to be compared",
            )];
        }
        self.depth += 1;
        let found = self.compare_nodes(reader, writer, path);
        self.depth -= 1;
        found
    }

    fn compare_nodes(&mut self, reader: Id, writer: Id, path: &str) -> Vec<Incompatibility> {
        let (reader_node, writer_node) = (self.reader.node(reader), self.writer.node(writer));
        if reader_node.name.is_some() && writer_node.name.is_some() && !self.begun.insert((reader, writer)) {
            return Vec::new();
        }
        match (&reader_node.kind, &writer_node.kind) {
            (_, Kind::Union(branches)) => {
                let mut found = Vec::new();
                for (place, branch) in branches.iter().enumerate() {
                    if matches!(reader_node.kind, Kind::Union(_)) {
                        let within = self.compare(reader, *branch, &format!("{path}/{place}"));
                        if !within.is_empty() {
                            found.push(self.missing_branch(*branch, &format!("{path}/{place}")));
                        }
                    } else {
                        found.extend(self.compare(reader, *branch, path));
                    }
                }
                found
            }
            (Kind::Union(branches), _) => {
                // What is begun within a branch that does not fit says nothing about the others.
                let begun = self.begun.clone();
                for (place, branch) in branches.iter().enumerate() {
                    if self.compare(*branch, writer, &format!("{path}/{place}")).is_empty() {
                        return Vec::new();
                    }
                    self.begun.clone_from(&begun);
                }
                vec![self.missing_branch(writer, path)]
            }
            (Kind::Primitive(wanted), Kind::Primitive(found)) => {
                if wanted == found || promotes(*found, *wanted) {
                    Vec::new()
                } else {
                    self.mismatch(reader, writer, path)
                }
            }
            (Kind::Array(wanted), Kind::Array(found)) => {
                self.compare(*wanted, *found, &format!("{path}/items"))
            }
            (Kind::Map(wanted), Kind::Map(found)) => self.compare(*wanted, *found, &format!("{path}/values")),
            (Kind::Fixed(wanted), Kind::Fixed(found)) => {
                let mut differences = self.names(reader, writer, path);
                if wanted != found {
                    differences.push(Incompatibility::new(
                        "FIXED_SIZE_MISMATCH",
                        &format!("{path}/size"),
                        format!("the reader wants {wanted} bytes, the writer wrote {found}"),
                    ));
                }
                differences
            }
            (Kind::Enum { symbols: wanted, default }, Kind::Enum { symbols: found, .. }) => {
                let mut differences = self.names(reader, writer, path);
                let missing: Vec<&str> =
                    found.iter().filter(|symbol| !wanted.contains(symbol)).map(String::as_str).collect();
                if !missing.is_empty() && default.is_none() {
                    differences.push(Incompatibility::new(
                        "MISSING_ENUM_SYMBOLS",
                        &format!("{path}/symbols"),
                        format!(
                            "the reader's enum has neither a default nor the symbols {}",
                            missing.join(", ")
                        ),
                    ));
                }
                differences
            }
            (Kind::Record { fields, .. }, Kind::Record { fields: written, .. }) => {
                let mut differences = self.names(reader, writer, path);
                differences.extend(self.fields(fields, written, path));
                differences
            }
            _ => self.mismatch(reader, writer, path),
        }
    }

    fn fields(&mut self, fields: &'a [Field], written: &'a [Field], path: &str) -> Vec<Incompatibility> {
        let mut differences = Vec::new();
        for (place, field) in fields.iter().enumerate() {
            let at = format!("{path}/fields/{place}");
            let by_name = written.iter().find(|writer| writer.name == field.name);
            let found =
                by_name.or_else(|| written.iter().find(|writer| field.aliases.contains(&writer.name)));
            match found {
                Some(writer) => {
                    differences.extend(self.compare(field.kind, writer.kind, &format!("{at}/type")))
                }
                None if field.default.is_some() => {}
                // An enum's own default stands in for that of the field.
                None if matches!(self.reader.node(field.kind).kind, Kind::Enum { default: Some(_), .. }) => {}
                None => differences.push(Incompatibility::new(
                    "READER_FIELD_MISSING_DEFAULT_VALUE",
                    &at,
                    format!(
                        "the reader's field '{}' has no default, and the writer does not have it",
                        field.name
                    ),
                )),
            }
        }
        differences
    }

    /// Named types fit by the name without the namespace, or by an alias of the reader's.
    fn names(&self, reader: Id, writer: Id, path: &str) -> Vec<Incompatibility> {
        let (node, other) = (self.reader.node(reader), self.writer.node(writer));
        let (Some(wanted), Some(found)) = (&node.name, &other.name) else { return Vec::new() };
        if wanted.simple == found.simple || node.aliases.contains(&found.full()) {
            return Vec::new();
        }
        vec![Incompatibility::new(
            "NAME_MISMATCH",
            &format!("{path}/name"),
            format!("the reader's name is '{}', the writer's '{}'", wanted.full(), found.full()),
        )]
    }

    fn mismatch(&self, reader: Id, writer: Id, path: &str) -> Vec<Incompatibility> {
        let (wanted, found) = (self.reader.type_name(reader), self.writer.type_name(writer));
        let detail = format!("the reader's type '{wanted}' cannot hold the writer's '{found}'");
        vec![Incompatibility::new("TYPE_MISMATCH", path, detail)]
    }

    fn missing_branch(&self, writer: Id, path: &str) -> Incompatibility {
        let found = self.writer.type_name(writer);
        let detail = format!("no type of the reader's union can hold the writer's '{found}'");
        Incompatibility::new("MISSING_UNION_BRANCH", path, detail)
    }
}

fn promotes(from: Primitive, to: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    matches!(
        (from, to),
        (Int, Long | Float | Double)
            | (Long, Float | Double)
            | (Float, Double)
            | (String, Bytes)
            | (Bytes, String)
    )
}
