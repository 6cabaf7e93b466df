//! Maps. Their entries keep the order in which they were put in.

use super::Parameter::{Array, CommonMap, Map, Text};
use super::array::{Lists, Picker};
use super::regular_expression::{Last, Pattern};
use super::*;
use crate::expression::equality::{equality, range};
use crate::types::RowField;
use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array as _, ListArray, MapArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "MAP_KEYS",
        signatures: &[signature(&[Map], returns_keys)],
        evaluate: keys,
        doc: "The keys of a map as an array.",
        examples: &[("MAP_KEYS(MAP['a', 1, 'b', 2])", "[a, b]")],
        ..PLAIN
    },
    Function {
        name: "MAP_VALUES",
        signatures: &[signature(&[Map], returns_values)],
        evaluate: values,
        doc: "The values of a map as an array.",
        examples: &[("MAP_VALUES(MAP['a', 1, 'b', 2])", "[1, 2]")],
        ..PLAIN
    },
    Function {
        name: "MAP_ENTRIES",
        signatures: &[signature(&[Map], returns_entries)],
        evaluate: entries,
        doc: "The entries of a map as an array of rows with the fields `key` and `value`.",
        examples: &[("MAP_ENTRIES(MAP['a', 1, 'b', 2])", "[(a, 1), (b, 2)]")],
        ..PLAIN
    },
    Function {
        name: "MAP_FROM_ARRAYS",
        signatures: &[signature(&[Array, Array], returns_map)],
        may_fail: true,
        evaluate: from_arrays,
        doc: "The map of two arrays: keys, and as many values. A NULL among the keys fails the job.",
        examples: &[("MAP_FROM_ARRAYS(ARRAY['a', 'b'], ARRAY[1, 2])", "{a=1, b=2}")],
        ..PLAIN
    },
    Function {
        name: "MAP_UNION",
        signatures: &[repeated(&[CommonMap], returns_first)],
        evaluate: union,
        doc: "One map of several, the last one first; of equal keys the last one's stands.",
        examples: &[
            ("MAP_UNION(MAP['a', 1], MAP['b', 2])", "{b=2, a=1}"),
            ("MAP_UNION(MAP['a', 1], MAP['a', 2])", "{a=2}"),
        ],
        ..PLAIN
    },
    Function {
        name: "STR_TO_MAP",
        signatures: &[signature(&[Text], returns_text_map), signature(&[Text, Text, Text], returns_text_map)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: from_text,
        doc: "A map of texts, from entries with `,` between them and `=` between key and value; the second and third \
argument are regular expressions for other separators.",
        examples: &[
            ("STR_TO_MAP('a=1,b=2')", "{a=1, b=2}"),
            ("STR_TO_MAP('a:1;b', ';', ':')", "{a=1, b=NULL}"),
        ],
        ..PLAIN
    },
];

fn parts(types: &[LogicalType]) -> Option<(&LogicalType, &LogicalType)> {
    match &types.first()?.kind {
        TypeKind::Map(key, value) => Some((key, value)),
        _ => None,
    }
}

fn returns_keys(types: &[LogicalType]) -> TypeKind {
    parts(types).map_or(TypeKind::Null, |(key, _)| TypeKind::Array(Box::new(key.clone())))
}

fn returns_values(types: &[LogicalType]) -> TypeKind {
    parts(types).map_or(TypeKind::Null, |(_, value)| TypeKind::Array(Box::new(value.clone())))
}

fn returns_entries(types: &[LogicalType]) -> TypeKind {
    let Some((key, value)) = parts(types) else { return TypeKind::Null };
    let field =
        |name: &str, data_type: &LogicalType| RowField { name: name.into(), data_type: data_type.clone() };
    let entry = TypeKind::Row(vec![field("key", key), field("value", value)]);
    TypeKind::Array(Box::new(entry.nullable()))
}

fn returns_map(types: &[LogicalType]) -> TypeKind {
    match types {
        [
            LogicalType { kind: TypeKind::Array(keys), .. },
            LogicalType { kind: TypeKind::Array(values), .. },
        ] => TypeKind::Map(keys.clone(), values.clone()),
        _ => TypeKind::Null,
    }
}

fn returns_text_map(_: &[LogicalType]) -> TypeKind {
    let text = || Box::new(TypeKind::string().nullable());
    TypeKind::Map(text(), text())
}

fn keys(call: &Call<'_>) -> Result<ArrayRef, String> {
    unpacked(call, |entries| entries.column(0).clone())
}

fn values(call: &Call<'_>) -> Result<ArrayRef, String> {
    unpacked(call, |entries| entries.column(1).clone())
}

fn entries(call: &Call<'_>) -> Result<ArrayRef, String> {
    let DataType::List(field) = call.result.to_arrow() else { return Err("expected an array type".into()) };
    let DataType::Struct(fields) = field.data_type().clone() else { return Err("expected rows".into()) };
    let columns = |entries: &StructArray| StructArray::new(fields.clone(), entries.columns().to_vec(), None);
    unpacked(call, |entries| Arc::new(columns(entries)))
}

/// Something of the entries as an array; the rows are those of the map.
fn unpacked(call: &Call<'_>, part: impl Fn(&StructArray) -> ArrayRef) -> Result<ArrayRef, String> {
    let DataType::List(field) = call.result.to_arrow() else { return Err("expected an array type".into()) };
    let map = call.argument(0)?.array().as_map_opt().ok_or("expected a map")?;
    let list = ListArray::try_new(field, map.offsets().clone(), part(map.entries()), map.nulls().cloned());
    Ok(Arc::new(list.map_err(|error| error.to_string())?))
}

/// A column of maps of keys and values.
fn finish(
    data_type: &LogicalType,
    keys: ArrayRef,
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let DataType::Map(field, sorted) = data_type.to_arrow() else { return Err("expected a map type".into()) };
    let DataType::Struct(fields) = field.data_type().clone() else { return Err("expected entries".into()) };
    if keys.null_count() > 0 {
        return Err("the key of a map is NULL".into());
    }
    let entries =
        StructArray::try_new(fields, vec![keys, values], None).map_err(|error| error.to_string())?;
    let map = MapArray::try_new(field, offsets, entries, nulls, sorted).map_err(|error| error.to_string())?;
    Ok(Arc::new(map))
}

fn from_arrays(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (keys, values) = (Lists::of(call, 0)?, Lists::of(call, 1)?);
    let mut keys_picked = Picker::new(vec![keys.items().clone()]);
    let mut values_picked = Picker::new(vec![values.items().clone()]);
    for row in 0..call.rows {
        let (Some(own_keys), Some(own_values)) = (keys.get(row), values.get(row)) else {
            keys_picked.push_null()?;
            values_picked.push_null()?;
            continue;
        };
        if own_keys.len() != own_values.len() {
            return Err(format!(
                "MAP_FROM_ARRAYS takes as many keys as values, but found {} keys and {} values",
                own_keys.len(),
                own_values.len()
            ));
        }
        own_keys.for_each(|slot| keys_picked.pick(0, slot));
        own_values.for_each(|slot| values_picked.pick(0, slot));
        keys_picked.end_list()?;
        values_picked.end_list()?;
    }
    let (keys, offsets, nulls) = keys_picked.parts()?;
    let (values, ..) = values_picked.parts()?;
    finish(call.result, keys, values, offsets, nulls)
}

fn union(call: &Call<'_>) -> Result<ArrayRef, String> {
    let maps = call.arguments.iter().map(|value| value.array().as_map_opt().ok_or("expected maps"));
    let maps = maps.collect::<Result<Vec<_>, _>>()?;
    let mut same = Vec::new();
    for a in &maps {
        let row = maps.iter().map(|b| equality(a.keys(), b.keys())).collect::<Result<Vec<_>, _>>()?;
        same.push(row);
    }
    let mut keys = Picker::new(maps.iter().map(|map| map.keys().clone()).collect());
    let mut values = Picker::new(maps.iter().map(|map| map.values().clone()).collect());
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for row in 0..call.rows {
        if call.arguments.iter().any(|value| value.is_null(row)) {
            keys.push_null()?;
            values.push_null()?;
            continue;
        }
        taken.clear();
        for (number, map) in maps.iter().enumerate().rev() {
            let before = taken.len();
            for slot in range(map.value_offsets(), call.arguments[number].slot(row)) {
                if !taken[..before].iter().any(|(other, own)| same[number][*other](slot, *own)) {
                    taken.push((number, slot));
                    keys.pick(number, slot);
                    values.pick(number, slot);
                }
            }
        }
        keys.end_list()?;
        values.end_list()?;
    }
    let (keys, offsets, nulls) = keys.parts()?;
    let (values, ..) = values.parts()?;
    finish(call.result, keys, values, offsets, nulls)
}

fn from_text(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let separators = [1, 2].map(|index| call.arguments.get(index).map(|value| value.texts()));
    let [between_entries, between_parts] = separators;
    let (between_entries, between_parts) = (between_entries.transpose()?, between_parts.transpose()?);
    let (mut entry_pattern, mut part_pattern) = (Last::default(), Last::default());
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    let mut entries: Vec<(&str, Option<&str>)> = Vec::new();
    for row in 0..call.rows {
        let between_entries = between_entries.as_ref().map_or(Some(","), |texts| texts.get(row));
        let between_parts = between_parts.as_ref().map_or(Some("="), |texts| texts.get(row));
        let (Some(text), Some(between_entries), Some(between_parts)) =
            (texts.get(row), between_entries, between_parts)
        else {
            builder.append(false).map_err(|error| error.to_string())?;
            continue;
        };
        let (entry_pattern, part_pattern) =
            (entry_pattern.needed(between_entries)?, part_pattern.needed(between_parts)?);
        entries.clear();
        for entry in java_split(text, entry_pattern)? {
            let mut parts = part_pattern.split(entry, 2)?.into_iter();
            let key = parts.next().unwrap_or_default();
            let value = parts.next();
            // The last of equal keys stands.
            match entries.iter_mut().find(|(own, _)| *own == key) {
                Some(known) => known.1 = value,
                None => entries.push((key, value)),
            }
        }
        for (key, value) in &entries {
            builder.keys().append_value(key);
            builder.values().append_option(*value);
        }
        builder.append(true).map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(builder.finish()))
}

/// As Java's `split`: nothing of an empty text, and no empty parts at the end.
fn java_split<'t>(text: &'t str, pattern: &Pattern) -> Result<Vec<&'t str>, String> {
    let mut parts = if text.is_empty() { Vec::new() } else { pattern.split(text, usize::MAX)? };
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    Ok(parts)
}
