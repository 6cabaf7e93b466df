//! Whether an index can take what a table declares: what cannot be right is said before the first row.
//!
//! A cluster turns numbers into texts and texts into times as it can, so only what never fits is told: an object where there is
//! a single value, or the other way round, and a field that a strict index does not have.

use arrow_schema::{DataType, SchemaRef};
use dataflow::plan::type_name;
use serde_json::Value;

/// Kinds of fields whose values are objects, or may be.
const OBJECTS: &[&str] = &["object", "nested", "flat_object", "flattened"];
/// Kinds that take an object, or a single value.
const EITHER: &[&str] = &[
    "geo_point",
    "geo_shape",
    "point",
    "xy_point",
    "xy_shape",
    "shape",
    "join",
    "completion",
    "percolator",
    "alias",
    "rank_features",
    "range",
];

/// `answer` is what the cluster says of the mappings of one index, or of those behind an alias.
pub(super) fn check(answer: &Value, schema: &SchemaRef) -> Result<(), String> {
    for (index, said) in answer.as_object().into_iter().flatten() {
        let mappings = &said["mappings"];
        let is_strict = mappings["dynamic"].as_str() == Some("strict");
        for field in schema.fields() {
            let (name, here) = (field.name(), field.data_type());
            let there = &mappings["properties"][name.as_str()];
            if there.is_null() {
                if is_strict {
                    return Err(format!(
                        "the index {index} takes no fields but those that it has, and the column '{name}' is none of them"
                    ));
                }
                continue;
            }
            let kind = there["type"].as_str().unwrap_or("object");
            if EITHER.contains(&kind) || kind.ends_with("_range") {
                continue;
            }
            if OBJECTS.contains(&kind) != is_object(here) {
                let here = type_name(here);
                return Err(format!(
                    "the column '{name}' is {here}, and the field in the index {index} is of type {kind}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether the values are objects in JSON; an array is as its items are.
fn is_object(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) | DataType::Struct(_) => true,
        DataType::List(item) => is_object(item.data_type()),
        _ => false,
    }
}
