//! Arrays and maps.

use super::Parameter::{Array, Map};
use super::*;
use crate::expression::value::integers_column;
use arrow_array::Array as _;
use arrow_array::cast::AsArray;

pub(super) static FUNCTIONS: &[Function] = &[Function {
    name: "CARDINALITY",
    signatures: &[signature(&[Array], returns_int), signature(&[Map], returns_int)],
    evaluate: cardinality,
    doc: "How many elements an array, or entries a map, has.",
    examples: &[("CARDINALITY(ARRAY[1, 2, 3])", "3"), ("CARDINALITY(MAP['a', 1])", "1")],
    ..PLAIN
}];

fn cardinality(call: &Call<'_>) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    let array = value.array();
    let length = |row: usize| {
        let slot = value.slot(row);
        if array.is_null(slot) {
            return None;
        }
        if let Some(list) = array.as_list_opt::<i32>() {
            return Some(i64::from(list.value_length(slot)));
        }
        array.as_map_opt().map(|map| i64::from(map.value_length(slot)))
    };
    integers_column((0..call.rows).map(length), call.result)
}
