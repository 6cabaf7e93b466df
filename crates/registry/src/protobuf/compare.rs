//! Whether messages of one `.proto` file can be read by another: the rules that Confluent documents.
//!
//! Fields are matched by number. They may come and go and be renamed; what must stay is how their values lie in the
//! bytes. Messages are matched by name and must not go.

use super::ProtobufSchema;
use crate::compatibility::Incompatibility;
use protox::prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Why the reader cannot read; empty if it can.
pub(crate) fn differences(reader: &ProtobufSchema, writer: &ProtobufSchema) -> Vec<Incompatibility> {
    let (old, new) = (writer.file(), reader.file());
    let mut comparison = Comparison { begun: HashSet::new(), depth: 0 };
    let mut found = Vec::new();
    if old.package_name() != new.package_name() {
        let detail = format!("the package was '{}' and is '{}'", old.package_name(), new.package_name());
        found.extend(one("PACKAGE_CHANGED", "#/", detail));
    }
    found.extend(comparison.types(old.messages(), new.messages(), "#"));
    found
}

const DEPTH_MAX: usize = 100;

type Found = Vec<Incompatibility>;

fn one(kind: &'static str, path: &str, detail: impl Into<String>) -> Found {
    vec![Incompatibility::new(kind, path, detail)]
}

struct Comparison {
    /// Full names of messages that are compared already.
    begun: HashSet<(String, String)>,
    depth: usize,
}

/// Scalars of one group lie in the bytes in the same way.
#[derive(Debug, PartialEq, Eq)]
enum Group {
    Number,
    SignedNumber,
    TextOrBytes,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Message,
    Map,
}

impl Comparison {
    fn types(
        &mut self,
        olds: impl Iterator<Item = MessageDescriptor>,
        news: impl Iterator<Item = MessageDescriptor>,
        path: &str,
    ) -> Found {
        let by_name = |messages: Vec<MessageDescriptor>| -> BTreeMap<String, MessageDescriptor> {
            let messages = messages.into_iter().filter(|message| !message.is_map_entry());
            messages.map(|message| (message.name().to_string(), message)).collect()
        };
        let (olds, news) = (by_name(olds.collect()), by_name(news.collect()));
        let mut found = Vec::new();
        for (name, old) in &olds {
            let at = format!("{path}/{name}");
            match news.get(name) {
                Some(new) => found.extend(self.messages(old, new, &at)),
                None => found.extend(one("MESSAGE_REMOVED", &at, format!("the message '{name}' is gone"))),
            }
        }
        found
    }

    fn messages(&mut self, old: &MessageDescriptor, new: &MessageDescriptor, path: &str) -> Found {
        if !self.begun.insert((old.full_name().to_string(), new.full_name().to_string())) {
            return Vec::new();
        }
        if self.depth >= DEPTH_MAX {
            return one("TOO_COMPLEX", path, "the messages lie too deep to be compared");
        }
        self.depth += 1;
        let mut found = oneofs(old, new, path);
        let numbers: BTreeSet<u32> = old.fields().chain(new.fields()).map(|field| field.number()).collect();
        for number in numbers {
            let at = format!("{path}/{number}");
            match (old.get_field(number), new.get_field(number)) {
                (Some(old), Some(new)) => found.extend(self.fields(&old, &new, &at)),
                (Some(old), None) if old.cardinality() == Cardinality::Required => {
                    let detail = format!("the field '{}' was required and is gone", old.name());
                    found.extend(one("REQUIRED_FIELD_REMOVED", &at, detail));
                }
                (None, Some(new)) if new.cardinality() == Cardinality::Required => {
                    let detail = format!("the field '{}' is new and required", new.name());
                    found.extend(one("REQUIRED_FIELD_ADDED", &at, detail));
                }
                _ => {}
            }
        }
        found.extend(self.types(old.child_messages(), new.child_messages(), path));
        self.depth -= 1;
        found
    }

    fn fields(&mut self, old: &FieldDescriptor, new: &FieldDescriptor, path: &str) -> Found {
        let groups = (group(old), group(new));
        let is_shape_kept = matches!(groups, (Group::Message, Group::Message) | (Group::Map, Group::Map));
        if groups.0 != groups.1 {
            let is_scalar = |group: &Group| !matches!(group, Group::Message | Group::Map);
            let kind = if is_scalar(&groups.0) && is_scalar(&groups.1) {
                "FIELD_SCALAR_KIND_CHANGED"
            } else {
                "FIELD_KIND_CHANGED"
            };
            let detail = format!("the field '{}' has a type that lies otherwise in the bytes", new.name());
            return one(kind, path, detail);
        }
        if !is_shape_kept && old.is_list() != new.is_list() && groups.0 != Group::TextOrBytes {
            let detail =
                format!("the field '{}' holds numbers, which are packed where it is repeated", new.name());
            return one("FIELD_NUMERIC_LABEL_CHANGED", path, detail);
        }
        let (Kind::Message(old_message), Kind::Message(new_message)) = (old.kind(), new.kind()) else {
            return Vec::new();
        };
        if groups.0 == Group::Map {
            let mut found = Vec::new();
            for number in [1, 2] {
                if let (Some(old), Some(new)) = (old_message.get_field(number), new_message.get_field(number))
                {
                    found.extend(self.fields(&old, &new, path));
                }
            }
            return found;
        }
        if local_name(&old_message) != local_name(&new_message) {
            let (before, after) = (local_name(&old_message), local_name(&new_message));
            let detail = format!("the field '{}' was of type '{before}' and is of '{after}'", new.name());
            return one("FIELD_NAMED_TYPE_CHANGED", path, detail);
        }
        self.messages(&old_message, &new_message, path)
    }
}

/// A field may become the only one of a new `oneof`; several that could be set at once may not.
fn oneofs(old: &MessageDescriptor, new: &MessageDescriptor, path: &str) -> Found {
    let real = |message: &MessageDescriptor| -> Vec<_> {
        message.oneofs().filter(|oneof| !oneof.is_synthetic()).collect()
    };
    let oneof_of = |message: &MessageDescriptor, number: u32| {
        let field = message.get_field(number)?;
        field.containing_oneof().filter(|oneof| !oneof.is_synthetic()).map(|oneof| oneof.name().to_string())
    };
    let mut found = Vec::new();
    for oneof in real(new) {
        let at = format!("{path}/{}", oneof.name());
        let known = |number: &u32| old.get_field(*number).is_some();
        let numbers: Vec<u32> = oneof.fields().map(|field| field.number()).filter(known).collect();
        let moved = numbers.iter().filter(|number| oneof_of(old, **number).is_none()).count();
        if moved > 1 {
            found.extend(one(
                "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
                &at,
                "several fields that could be set at once",
            ));
        } else if moved == 1 && numbers.len() > 1 {
            found.extend(one(
                "FIELD_MOVED_TO_EXISTING_ONEOF",
                &at,
                "a field that could be set beside the others",
            ));
        }
    }
    for oneof in real(old) {
        // What became of its fields is seen one by one where it is gone.
        if !real(new).iter().any(|other| other.name() == oneof.name()) {
            continue;
        }
        for field in oneof.fields().filter(|field| new.get_field(field.number()).is_none()) {
            let at = format!("{path}/{}/{}", oneof.name(), field.number());
            found.extend(one("ONEOF_FIELD_REMOVED", &at, format!("the field '{}' is gone", field.name())));
        }
    }
    found
}

fn group(field: &FieldDescriptor) -> Group {
    if field.is_map() {
        return Group::Map;
    }
    match field.kind() {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => Group::Number,
        Kind::Sint32 | Kind::Sint64 => Group::SignedNumber,
        Kind::String | Kind::Bytes => Group::TextOrBytes,
        Kind::Fixed32 | Kind::Sfixed32 => Group::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Group::Fixed64,
        Kind::Float => Group::Float,
        Kind::Double => Group::Double,
        Kind::Message(_) => Group::Message,
    }
}

/// A message's name within its package.
fn local_name(message: &MessageDescriptor) -> String {
    let (full, package) = (message.full_name(), message.package_name());
    full.strip_prefix(package).map_or(full, |rest| rest.trim_start_matches('.')).to_string()
}
