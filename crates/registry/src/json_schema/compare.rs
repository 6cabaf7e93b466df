//! Whether documents of one JSON schema are documents of another: the rules that Confluent documents.
//!
//! Most depends on whether an object takes members that it does not name (it is open), takes none (closed), or those of
//! a schema (partly open): a property may be added where the old schema was not open, and removed where the new one is.

use super::schema::{Array, Bounds, Criterion, Id, JsonSchema, Node, Object};
use crate::compatibility::Incompatibility;
use std::collections::{BTreeSet, HashSet};

/// Why documents of `writer` may be none of `reader`; empty if all are.
pub(crate) fn differences(reader: &JsonSchema, writer: &JsonSchema) -> Vec<Incompatibility> {
    let mut comparison = Comparison { old: writer, new: reader, begun: HashSet::new(), work: 0, depth: 0 };
    comparison.compare(writer.root, reader.root, "#")
}

/// More comparisons of parts than this are not done, nor deeper ones; such schemas count as incompatible.
const WORK_MAX: usize = 200_000;
const DEPTH_MAX: usize = 200;

struct Comparison<'a> {
    old: &'a JsonSchema,
    new: &'a JsonSchema,
    /// Pairs that are being compared: a schema within itself fits if the rest does.
    begun: HashSet<(Id, Id)>,
    work: usize,
    depth: usize,
}

type Found = Vec<Incompatibility>;

fn one(kind: &'static str, path: &str, detail: impl Into<String>) -> Found {
    vec![Incompatibility::new(kind, path, detail)]
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, old: Id, new: Id, path: &str) -> Found {
        self.work += 1;
        if self.work > WORK_MAX || self.depth >= DEPTH_MAX {
            return one("TOO_COMPLEX", path, "the schemas are too large to be compared");
        }
        let ((old, old_node), (new, new_node)) = (self.old.node(old), self.new.node(new));
        if !self.begun.insert((old, new)) {
            return Vec::new();
        }
        self.depth += 1;
        let found = self.compare_nodes((old, old_node), (new, new_node), path);
        self.depth -= 1;
        self.begun.remove(&(old, new));
        found
    }

    fn compare_nodes(
        &mut self,
        (old, old_node): (Id, &'a Node),
        (new, new_node): (Id, &'a Node),
        path: &str,
    ) -> Found {
        match (old_node, new_node) {
            (Node::Combined(old_criterion, olds), Node::Combined(new_criterion, news)) => {
                return self.combined((*old_criterion, olds), (*new_criterion, news), path);
            }
            (_, Node::Combined(criterion, news)) => {
                let mut fits = news.iter().map(|branch| self.compare(old, *branch, path).is_empty());
                let is_kept = match criterion {
                    Criterion::All => fits.all(|fits| fits),
                    Criterion::Any | Criterion::One => fits.any(|fits| fits),
                };
                if is_kept {
                    return Vec::new();
                }
            }
            (Node::Combined(criterion, olds), _) => {
                let mut fits = olds.iter().map(|branch| self.compare(*branch, new, path).is_empty());
                let is_kept = match criterion {
                    // What fits all of them fits the one.
                    Criterion::All => fits.any(|fits| fits),
                    Criterion::Any | Criterion::One => fits.all(|fits| fits),
                };
                if is_kept {
                    return Vec::new();
                }
            }
            _ => {}
        }
        match (old_node, new_node) {
            (Node::Never, _) | (_, Node::Any) => Vec::new(),
            (Node::Null, Node::Null) | (Node::Boolean, Node::Boolean) => Vec::new(),
            (Node::Text(old, old_pattern), Node::Text(new, new_pattern)) => {
                let mut found = bounds(old, new, path);
                match (old_pattern, new_pattern) {
                    (None, Some(pattern)) => {
                        found.extend(one("PATTERN_ADDED", path, format!("the pattern '{pattern}' is new")));
                    }
                    (Some(old), Some(new)) if old != new => {
                        found.extend(one(
                            "PATTERN_CHANGED",
                            path,
                            format!("the pattern '{old}' became '{new}'"),
                        ));
                    }
                    _ => {}
                }
                found
            }
            (
                Node::Number { is_integer: old_integer, bounds: old },
                Node::Number { is_integer: new_integer, bounds: new },
            ) => {
                let mut found = bounds(old, new, path);
                if *new_integer && !old_integer {
                    found.extend(one("TYPE_NARROWED", path, "'number' became 'integer'"));
                }
                found
            }
            (Node::Enum(old), Node::Enum(new)) if old.is_subset(new) => Vec::new(),
            (Node::Enum(old), Node::Enum(new)) => {
                let kind = if new.is_subset(old) { "ENUM_ARRAY_NARROWED" } else { "ENUM_ARRAY_CHANGED" };
                let gone: Vec<&str> = old.difference(new).map(String::as_str).collect();
                one(kind, path, format!("the values {} are gone", gone.join(", ")))
            }
            (Node::Not(old), Node::Not(new)) => {
                // What must not be may become less.
                let mut turned = Comparison {
                    old: self.new,
                    new: self.old,
                    begun: HashSet::new(),
                    work: self.work,
                    depth: self.depth,
                };
                let is_narrower = turned.compare(*new, *old, path).is_empty();
                self.work = turned.work;
                if is_narrower {
                    Vec::new()
                } else {
                    one("NOT_TYPE_EXTENDED", path, "what is excluded became more")
                }
            }
            (Node::Object(old), Node::Object(new)) => self.objects(old, new, path),
            (Node::Array(old), Node::Array(new)) => self.arrays(old, new, path),
            _ => one("TYPE_CHANGED", path, "the type is another one"),
        }
    }

    fn combined(
        &mut self,
        (old_criterion, olds): (Criterion, &'a [Id]),
        (new_criterion, news): (Criterion, &'a [Id]),
        path: &str,
    ) -> Found {
        let is_kept = match new_criterion {
            _ if old_criterion == new_criterion => true,
            Criterion::Any => true,
            Criterion::One => olds.len() == 1,
            Criterion::All => olds.len() == 1 && news.len() == 1,
        };
        if !is_kept {
            return one("COMBINED_TYPE_CHANGED", path, "'allOf', 'anyOf' or 'oneOf' became another of them");
        }
        let (olds, news) = (distinct(self.old, olds), distinct(self.new, news));
        let mut found = Vec::new();
        if new_criterion == Criterion::All && olds.len() < news.len() {
            found.extend(one("PRODUCT_TYPE_EXTENDED", path, "there are more schemas that must all fit"));
        }
        if new_criterion != Criterion::All && olds.len() > news.len() {
            found.extend(one("SUM_TYPE_NARROWED", path, "there are fewer schemas of which one must fit"));
        }
        let fits: Vec<Vec<usize>> = olds
            .iter()
            .map(|old| {
                let fits =
                    |(place, new): (usize, &Id)| self.compare(*old, *new, path).is_empty().then_some(place);
                news.iter().enumerate().filter_map(fits).collect()
            })
            .collect();
        if pairs(&fits, news.len()) < olds.len().min(news.len()) {
            let detail = "the schemas within do not fit each other one by one";
            found.extend(one("COMBINED_TYPE_SUBSCHEMAS_CHANGED", path, detail));
        }
        found
    }

    fn objects(&mut self, old: &'a Object, new: &'a Object, path: &str) -> Found {
        let mut found = bounds(&old.bounds, &new.bounds, path);
        for name in old.properties.keys().filter(|name| new.properties.contains_key(*name)) {
            let is_new = new.required.contains(name) && !old.required.contains(name);
            if is_new && !new.defaulted.contains(name) {
                let detail = format!("'{name}' is required now and has no default");
                found.extend(one("REQUIRED_ATTRIBUTE_ADDED", &format!("{path}/required/{name}"), detail));
            }
        }
        let names: BTreeSet<&String> = old.properties.keys().chain(new.properties.keys()).collect();
        for name in names {
            let at = format!("{path}/properties/{name}");
            match (old.properties.get(name), new.properties.get(name)) {
                (Some(before), Some(after)) => found.extend(self.compare(*before, *after, &at)),
                (Some(before), None) => found.extend(self.removed(new, name, *before, &at)),
                (None, Some(after)) => found.extend(self.added(old, new, name, *after, &at)),
                (None, None) => {}
            }
        }
        found.extend(dependencies(old, new, path));
        for (name, after) in &new.dependent_schemas {
            let at = format!("{path}/dependencies/{name}");
            match old.dependent_schemas.get(name) {
                Some(before) => found.extend(self.compare(*before, *after, &at)),
                None => found.extend(one(
                    "DEPENDENCY_SCHEMA_ADDED",
                    &at,
                    format!("'{name}' has a new dependency"),
                )),
            }
        }
        let kinds = ("ADDITIONAL_PROPERTIES_REMOVED", "ADDITIONAL_PROPERTIES_NARROWED");
        found.extend(self.additional(
            old.additional,
            new.additional,
            kinds,
            &format!("{path}/additionalProperties"),
        ));
        found
    }

    fn removed(&mut self, new: &'a Object, name: &str, before: Id, path: &str) -> Found {
        if is_open(new) {
            return Vec::new();
        }
        match covering(new, self.new, name) {
            Some(covering) if !self.compare(before, covering, path).is_empty() => one(
                "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                path,
                format!("'{name}' is gone, and the new schema takes only others"),
            ),
            Some(_) => Vec::new(),
            None if matches!(self.old.node(before).1, Node::Never) => Vec::new(),
            None => one(
                "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL",
                path,
                format!("'{name}' is gone, and the new schema takes no others"),
            ),
        }
    }

    fn added(&mut self, old: &'a Object, new: &'a Object, name: &str, after: Id, path: &str) -> Found {
        if is_open(old) {
            if matches!(self.new.node(after).1, Node::Any) {
                return Vec::new();
            }
            let detail = format!("'{name}' is new, and the old schema took anything there");
            return one("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", path, detail);
        }
        let mut found = Vec::new();
        if let Some(covering) = covering(old, self.old, name)
            && !self.compare(covering, after, path).is_empty()
        {
            let detail = format!("'{name}' is new, and the old schema took others there");
            found.extend(one("PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL", path, detail));
        }
        if new.required.contains(name) && !new.defaulted.contains(name) {
            let detail = format!("'{name}' is new and required, and has no default");
            found.extend(one("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", path, detail));
        }
        found
    }

    /// `kinds` are the names for nothing more, and for less.
    fn additional(
        &mut self,
        old: Option<Id>,
        new: Option<Id>,
        kinds: (&'static str, &'static str),
        path: &str,
    ) -> Found {
        let is_never =
            |schema: &JsonSchema, id: Option<Id>| id.is_some_and(|id| *schema.node(id).1 == Node::Never);
        match (is_never(self.old, old), is_never(self.new, new), old, new) {
            (true, ..) | (_, _, _, None) => Vec::new(),
            (false, true, ..) => one(kinds.0, path, "others are not taken any more"),
            (false, false, None, Some(new)) => match self.new.node(new).1 {
                Node::Any => Vec::new(),
                _ => one(kinds.1, path, "not all others are taken any more"),
            },
            (false, false, Some(old), Some(new)) => self.compare(old, new, path),
        }
    }

    fn arrays(&mut self, old: &'a Array, new: &'a Array, path: &str) -> Found {
        let mut found = bounds(&old.bounds, &new.bounds, path);
        if new.is_unique && !old.is_unique {
            found.extend(one("UNIQUE_ITEMS_ADDED", path, "items must be unique now"));
        }
        match (old.all, new.all) {
            (Some(before), Some(after)) => {
                found.extend(self.compare(before, after, &format!("{path}/items")))
            }
            (None, Some(_)) => {
                found.extend(one("SCHEMA_ADDED", &format!("{path}/items"), "items have a schema now"))
            }
            _ => {}
        }
        for place in 0..old.first.len().max(new.first.len()) {
            let at = format!("{path}/items/{place}");
            match (old.first.get(place), new.first.get(place)) {
                (Some(before), Some(after)) => found.extend(self.compare(*before, *after, &at)),
                (Some(before), None) => match new.additional {
                    None => {}
                    Some(_) if *self.old.node(*before).1 == Node::Never => {}
                    Some(covering) if *self.new.node(covering).1 == Node::Never => {
                        let detail = "the item is gone, and no others are taken";
                        found.extend(one("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", &at, detail));
                    }
                    Some(covering) if !self.compare(*before, covering, &at).is_empty() => {
                        let kind = "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                        found.extend(one(kind, &at, "the item is gone, and only others are taken"));
                    }
                    Some(_) => {}
                },
                (None, Some(after)) => match old.additional {
                    None if *self.new.node(*after).1 == Node::Any => {}
                    None => {
                        let detail = "the item is new, and anything was taken there";
                        found.extend(one("ITEM_ADDED_TO_OPEN_CONTENT_MODEL", &at, detail));
                    }
                    Some(covering) if *self.old.node(covering).1 == Node::Never => {}
                    Some(covering) if !self.compare(covering, *after, &at).is_empty() => {
                        let kind = "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                        found.extend(one(kind, &at, "the item is new, and others were taken there"));
                    }
                    Some(_) => {}
                },
                (None, None) => {}
            }
        }
        let kinds = ("ADDITIONAL_ITEMS_REMOVED", "ADDITIONAL_ITEMS_NARROWED");
        found.extend(self.additional(
            old.additional,
            new.additional,
            kinds,
            &format!("{path}/additionalItems"),
        ));
        found
    }
}

/// Bounds that are new or take less than before.
fn bounds(old: &Bounds, new: &Bounds, path: &str) -> Found {
    let mut found = Vec::new();
    for (key, after) in new {
        let at = format!("{path}/{key}");
        let is_upper = key.starts_with("max") || *key == "exclusiveMaximum";
        let kinds = kinds_of(key);
        match old.get(key) {
            None => found.extend(one(kinds.0, &at, format!("'{key}' = {after} is new"))),
            Some(before) if before == after => {}
            // A divisor of what was wanted before is wanted of the same numbers.
            Some(before) if *key == "multipleOf" && before % after == 0.0 => {}
            Some(before) if *key != "multipleOf" && (before < after) == is_upper => {}
            Some(before) => found.extend(one(kinds.1, &at, format!("'{key}' was {before} and is {after}"))),
        }
    }
    found
}

/// The names of a bound that is new, and of one that takes less.
fn kinds_of(key: &str) -> (&'static str, &'static str) {
    match key {
        "maxLength" => ("MAX_LENGTH_ADDED", "MAX_LENGTH_DECREASED"),
        "minLength" => ("MIN_LENGTH_ADDED", "MIN_LENGTH_INCREASED"),
        "maximum" => ("MAXIMUM_ADDED", "MAXIMUM_DECREASED"),
        "minimum" => ("MINIMUM_ADDED", "MINIMUM_INCREASED"),
        "exclusiveMaximum" => ("EXCLUSIVE_MAXIMUM_ADDED", "EXCLUSIVE_MAXIMUM_DECREASED"),
        "exclusiveMinimum" => ("EXCLUSIVE_MINIMUM_ADDED", "EXCLUSIVE_MINIMUM_INCREASED"),
        "multipleOf" => ("MULTIPLE_OF_ADDED", "MULTIPLE_OF_CHANGED"),
        "maxProperties" => ("MAX_PROPERTIES_ADDED", "MAX_PROPERTIES_DECREASED"),
        "minProperties" => ("MIN_PROPERTIES_ADDED", "MIN_PROPERTIES_INCREASED"),
        "maxItems" => ("MAX_ITEMS_ADDED", "MAX_ITEMS_DECREASED"),
        _ => ("MIN_ITEMS_ADDED", "MIN_ITEMS_INCREASED"),
    }
}

fn dependencies(old: &Object, new: &Object, path: &str) -> Found {
    let mut found = Vec::new();
    for (name, after) in &new.dependent_names {
        let kind = match old.dependent_names.get(name) {
            None => "DEPENDENCY_ARRAY_ADDED",
            Some(before) if after.is_subset(before) => continue,
            Some(before) if before.is_subset(after) => "DEPENDENCY_ARRAY_EXTENDED",
            Some(_) => "DEPENDENCY_ARRAY_CHANGED",
        };
        let at = format!("{path}/dependencies/{name}");
        found.extend(one(kind, &at, format!("'{name}' depends on more than before")));
    }
    found
}

fn is_open(object: &Object) -> bool {
    object.patterns.is_empty() && object.additional.is_none()
}

/// The schema of a member that an object takes without naming it.
fn covering(object: &Object, schema: &JsonSchema, name: &str) -> Option<Id> {
    let matches = |pattern: &str| {
        fancy_regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name).unwrap_or(false))
    };
    let by_pattern = object.patterns.iter().find(|(pattern, _)| matches(pattern)).map(|(_, id)| *id);
    by_pattern.or(object.additional.filter(|id| *schema.node(*id).1 != Node::Never))
}

/// Without those that are the same schema again.
fn distinct(schema: &JsonSchema, ids: &[Id]) -> Vec<Id> {
    let mut kept: Vec<Id> = Vec::new();
    for id in ids {
        let (_, node) = schema.node(*id);
        let is_simple = !matches!(node, Node::Object(_) | Node::Array(_) | Node::Combined(..) | Node::Not(_));
        let is_known = |known: &Id| {
            let (place, other) = schema.node(*known);
            place == schema.node(*id).0 || is_simple && other == node
        };
        if !kept.iter().any(is_known) {
            kept.push(*id);
        }
    }
    kept
}

/// How many of the left can be paired with one of the right each: augmenting paths.
fn pairs(fits: &[Vec<usize>], rights: usize) -> usize {
    fn pair(left: usize, fits: &[Vec<usize>], seen: &mut [bool], taken: &mut [Option<usize>]) -> bool {
        for right in &fits[left] {
            if std::mem::replace(&mut seen[*right], true) {
                continue;
            }
            if taken[*right].is_none_or(|other| pair(other, fits, seen, taken)) {
                taken[*right] = Some(left);
                return true;
            }
        }
        false
    }
    let mut taken = vec![None; rights];
    (0..fits.len()).filter(|left| pair(*left, fits, &mut vec![false; rights], &mut taken)).count()
}
