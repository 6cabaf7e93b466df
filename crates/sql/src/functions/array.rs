//! Arrays. An element that is NULL is an element like others: it is found by NULL, and equal to another NULL.

use super::Parameter::{
    Array, Boolean, CommonArray, Element, Int, Map, Multiset, OrderedArray, Text, TextArray,
};
use super::*;
use crate::expression::equality::{equality, range};
use crate::expression::value::{Truths, Value, integers_column};
use arrow_array::cast::AsArray;
use arrow_array::{Array as _, BooleanArray, ListArray, UInt32Array};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ord::ord::make_comparator;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, SortOptions};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "CARDINALITY",
        signatures: &[
            signature(&[Array], returns_int),
            signature(&[Map], returns_int),
            signature(&[Multiset], returns_int),
        ],
        evaluate: cardinality,
        doc: "How many elements an array, or different ones a multiset, or entries a map has.",
        examples: &[("CARDINALITY(ARRAY[1, 2, 3])", "3"), ("CARDINALITY(MAP['a', 1])", "1")],
        ..PLAIN
    },
    Function {
        name: "ELEMENT",
        signatures: &[signature(&[Array], returns_element)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: element,
        doc: "The only element of an array, NULL for an empty one; more elements fail the job.",
        examples: &[("ELEMENT(ARRAY['a'])", "a"), ("ELEMENT(ARRAY_REMOVE(ARRAY[1], 1))", "NULL")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_APPEND",
        signatures: &[signature(&[Array, Element], returns_with_element)],
        evaluate: append,
        doc: "The array and one more element at its end.",
        examples: &[
            ("ARRAY_APPEND(ARRAY[1, 2], 3)", "[1, 2, 3]"),
            ("ARRAY_APPEND(ARRAY[1, 2], NULL)", "[1, 2, NULL]"),
        ],
        ..PLAIN
    },
    Function {
        name: "ARRAY_PREPEND",
        signatures: &[signature(&[Array, Element], returns_with_element)],
        evaluate: prepend,
        doc: "The array and one more element in front.",
        examples: &[("ARRAY_PREPEND(ARRAY[1, 2], 3)", "[3, 1, 2]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_CONCAT",
        signatures: &[repeated(&[CommonArray], returns_first)],
        evaluate: concatenate,
        doc: "All elements of the arrays, one array after the other.",
        examples: &[("ARRAY_CONCAT(ARRAY[1, 2], ARRAY[3], ARRAY[1])", "[1, 2, 3, 1]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_CONTAINS",
        signatures: &[signature(&[Array, Element], returns_boolean)],
        nullability: Nullability::OfFirst,
        evaluate: contains,
        doc: "Whether an element is in the array; NULL is looked for like any other.",
        examples: &[
            ("ARRAY_CONTAINS(ARRAY[1, 2], 2)", "TRUE"),
            ("ARRAY_CONTAINS(ARRAY[1, NULL], NULL)", "TRUE"),
            ("ARRAY_CONTAINS(ARRAY[1, NULL], 2)", "FALSE"),
        ],
        ..PLAIN
    },
    Function {
        name: "ARRAY_DISTINCT",
        signatures: &[signature(&[Array], returns_first)],
        evaluate: distinct,
        doc: "Each element once, where it stood first.",
        examples: &[("ARRAY_DISTINCT(ARRAY[1, 2, 1, NULL, NULL])", "[1, 2, NULL]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_EXCEPT",
        signatures: &[signature(&[CommonArray, CommonArray], returns_first)],
        evaluate: except,
        doc: "The different elements of the first array that are not in the second.",
        examples: &[("ARRAY_EXCEPT(ARRAY[1, 1, 2, 3], ARRAY[3])", "[1, 2]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_INTERSECT",
        signatures: &[signature(&[CommonArray, CommonArray], returns_first)],
        evaluate: intersect,
        doc: "The different elements of the first array that are in the second too.",
        examples: &[("ARRAY_INTERSECT(ARRAY[1, 1, 2], ARRAY[3, 2, 1])", "[1, 2]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_UNION",
        signatures: &[signature(&[CommonArray, CommonArray], returns_first)],
        evaluate: union,
        doc: "The different elements of both arrays.",
        examples: &[("ARRAY_UNION(ARRAY[1, 1, 2], ARRAY[3, 1])", "[1, 2, 3]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_JOIN",
        signatures: &[optional(&[TextArray, Text, Text], 1, returns_text)],
        may_fail: true,
        evaluate: join,
        doc: "The texts of an array with a text between them. NULLs are left out, or stand for the third argument.",
        examples: &[
            ("ARRAY_JOIN(ARRAY['a', NULL, 'c'], ', ')", "a, c"),
            ("ARRAY_JOIN(ARRAY['a', NULL, 'c'], ', ', '?')", "a, ?, c"),
        ],
        ..PLAIN
    },
    Function {
        name: "ARRAY_MAX",
        signatures: &[signature(&[OrderedArray], returns_element)],
        nullability: Nullability::Always,
        evaluate: greatest,
        doc: "The greatest element that is not NULL.",
        examples: &[("ARRAY_MAX(ARRAY[1, 3, NULL])", "3")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_MIN",
        signatures: &[signature(&[OrderedArray], returns_element)],
        nullability: Nullability::Always,
        evaluate: least,
        doc: "The least element that is not NULL.",
        examples: &[("ARRAY_MIN(ARRAY[2, 3, NULL])", "2")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_POSITION",
        signatures: &[signature(&[Array, Element], returns_int)],
        evaluate: position,
        doc: "Where an element stands first, counted from 1; 0 where it does not.",
        examples: &[("ARRAY_POSITION(ARRAY['a', 'b'], 'b')", "2"), ("ARRAY_POSITION(ARRAY[1], 5)", "0")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_REMOVE",
        signatures: &[signature(&[Array, Element], returns_first)],
        nullability: Nullability::OfFirst,
        evaluate: remove,
        doc: "The array without all elements that are equal to one, which may be NULL.",
        examples: &[("ARRAY_REMOVE(ARRAY[1, 2, 2, 3], 2)", "[1, 3]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_REVERSE",
        signatures: &[signature(&[Array], returns_first)],
        evaluate: reverse,
        doc: "The elements from the last to the first.",
        examples: &[("ARRAY_REVERSE(ARRAY[1, 2, 3])", "[3, 2, 1]")],
        ..PLAIN
    },
    Function {
        name: "ARRAY_SLICE",
        signatures: &[optional(&[Array, Int, Int], 1, returns_first)],
        evaluate: slice,
        doc: "The elements from one place to another, both included; from 1, or from the end by negative numbers.",
        examples: &[
            ("ARRAY_SLICE(ARRAY[1, 2, 3, 4], 2, 3)", "[2, 3]"),
            ("ARRAY_SLICE(ARRAY[1, 2, 3, 4], -2)", "[3, 4]"),
        ],
        ..PLAIN
    },
    Function {
        name: "ARRAY_SORT",
        signatures: &[optional(&[OrderedArray, Boolean, Boolean], 2, returns_first)],
        evaluate: sort,
        doc: "The elements in order: ascending unless FALSE is given; NULLs first in an ascending order, or as the third \
argument says.",
        examples: &[
            ("ARRAY_SORT(ARRAY[3, 1, NULL, 2])", "[NULL, 1, 2, 3]"),
            ("ARRAY_SORT(ARRAY[3, 1, 2], FALSE)", "[3, 2, 1]"),
        ],
        ..PLAIN
    },
    Function {
        name: "SPLIT",
        signatures: &[signature(&[Text, Text], returns_texts)],
        evaluate: split,
        doc: "The parts of a text between the separators; the characters where the separator is empty.",
        examples: &[("SPLIT('a,b,,c', ',')", "[a, b, , c]"), ("SPLIT('abc', '')", "[a, b, c]")],
        ..PLAIN
    },
];

fn returns_element(types: &[LogicalType]) -> TypeKind {
    match types.first().map(|first| &first.kind) {
        Some(TypeKind::Array(element)) => element.kind.clone(),
        _ => TypeKind::Null,
    }
}

/// The array's type; its elements can be NULL where the added one can.
fn returns_with_element(types: &[LogicalType]) -> TypeKind {
    match types {
        [LogicalType { kind: TypeKind::Array(element), .. }, added] => {
            TypeKind::Array(Box::new(element.with_nullable(element.nullable || added.nullable)))
        }
        _ => TypeKind::Null,
    }
}

fn returns_texts(_: &[LogicalType]) -> TypeKind {
    TypeKind::Array(Box::new(TypeKind::string().nullable()))
}

/// An argument that is an array, and which part of its elements belongs to a row.
#[derive(Clone, Copy)]
pub(super) struct Lists<'a> {
    value: &'a Value,
    list: &'a ListArray,
}

impl<'a> Lists<'a> {
    pub(super) fn of(call: &'a Call<'_>, index: usize) -> Result<Lists<'a>, String> {
        let value = call.argument(index)?;
        let list = value.array().as_list_opt::<i32>().ok_or("expected an array")?;
        Ok(Lists { value, list })
    }

    pub(super) fn items(&self) -> &'a ArrayRef {
        self.list.values()
    }

    /// The slots of a row's elements; none where the array is NULL.
    pub(super) fn get(&self, row: usize) -> Option<Range<usize>> {
        let slot = self.value.slot(row);
        (!self.list.is_null(slot)).then(|| range(self.list.value_offsets(), slot))
    }
}

/// Builds a column of arrays whose elements are taken from other columns.
pub(super) struct Picker {
    sources: Vec<ArrayRef>,
    /// Which source, and which of its slots.
    picks: Vec<(usize, usize)>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Picker {
    pub(super) fn new(sources: Vec<ArrayRef>) -> Picker {
        Picker { sources, picks: Vec::new(), offsets: vec![0], valid: Vec::new() }
    }

    pub(super) fn pick(&mut self, source: usize, slot: usize) {
        self.picks.push((source, slot));
    }

    fn end(&mut self, valid: bool) -> Result<(), String> {
        let end = i32::try_from(self.picks.len()).map_err(|_| "the arrays have too many elements")?;
        self.offsets.push(end);
        self.valid.push(valid);
        Ok(())
    }

    /// What was picked since the last one is an array.
    pub(super) fn end_list(&mut self) -> Result<(), String> {
        self.end(true)
    }

    pub(super) fn push_null(&mut self) -> Result<(), String> {
        self.end(false)
    }

    /// The elements, where each array of them ends, and which arrays are there.
    pub(super) fn parts(self) -> Result<(ArrayRef, OffsetBuffer<i32>, Option<NullBuffer>), String> {
        let items = match self.sources.as_slice() {
            [only] => {
                let slots = UInt32Array::from_iter_values(self.picks.iter().map(|(_, slot)| *slot as u32));
                take(only, &slots, None)
            }
            sources => {
                let sources: Vec<&dyn arrow_array::Array> =
                    sources.iter().map(|source| source.as_ref()).collect();
                interleave(&sources, &self.picks)
            }
        };
        let nulls = self.valid.contains(&false).then(|| NullBuffer::from(self.valid));
        Ok((
            items.map_err(|error| error.to_string())?,
            OffsetBuffer::new(ScalarBuffer::from(self.offsets)),
            nulls,
        ))
    }

    fn finish(self, data_type: &LogicalType) -> Result<ArrayRef, String> {
        let DataType::List(field) = data_type.to_arrow() else { return Err("expected an array type".into()) };
        let (items, offsets, nulls) = self.parts()?;
        let list = ListArray::try_new(field, offsets, items, nulls).map_err(|error| error.to_string())?;
        Ok(Arc::new(list))
    }
}

/// An array made of the elements of each row's array.
fn rearranged(
    call: &Call<'_>,
    mut write: impl FnMut(usize, Range<usize>, &mut Picker) -> bool,
) -> Result<ArrayRef, String> {
    let lists = Lists::of(call, 0)?;
    let mut picker = Picker::new(vec![lists.items().clone()]);
    for row in 0..call.rows {
        match lists.get(row) {
            Some(slots) => match write(row, slots, &mut picker) {
                true => picker.end_list()?,
                false => picker.push_null()?,
            },
            None => picker.push_null()?,
        }
    }
    picker.finish(call.result)
}

/// One element of each row's array.
fn picked(call: &Call<'_>, choose: impl Fn(Range<usize>) -> Option<usize>) -> Result<ArrayRef, String> {
    let lists = Lists::of(call, 0)?;
    let slots: UInt32Array =
        (0..call.rows).map(|row| lists.get(row).and_then(&choose).map(|slot| slot as u32)).collect();
    take(lists.items(), &slots, None).map_err(|error| error.to_string())
}

/// Where an array has its second argument.
fn places<'a>(call: &'a Call<'_>) -> Result<impl Fn(usize, usize) -> bool + 'a, String> {
    let lists = Lists::of(call, 0)?;
    let wanted = call.argument(1)?;
    let same = equality(lists.items(), wanted.array())?;
    Ok(move |slot: usize, row: usize| same(slot, wanted.slot(row)))
}

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

fn element(call: &Call<'_>) -> Result<ArrayRef, String> {
    let lists = Lists::of(call, 0)?;
    let longer = (0..call.rows).filter_map(|row| lists.get(row)).find(|slots| slots.len() > 1);
    if let Some(slots) = longer {
        return Err(format!("ELEMENT takes an array of one element, but found {}", slots.len()));
    }
    picked(call, |mut slots| slots.next())
}

fn append(call: &Call<'_>) -> Result<ArrayRef, String> {
    with_one_more(call, false)
}

fn prepend(call: &Call<'_>) -> Result<ArrayRef, String> {
    with_one_more(call, true)
}

fn with_one_more(call: &Call<'_>, in_front: bool) -> Result<ArrayRef, String> {
    let (lists, added) = (Lists::of(call, 0)?, call.argument(1)?);
    let mut picker = Picker::new(vec![lists.items().clone(), added.array().clone()]);
    for row in 0..call.rows {
        let Some(slots) = lists.get(row) else {
            picker.push_null()?;
            continue;
        };
        if in_front {
            picker.pick(1, added.slot(row));
        }
        slots.for_each(|slot| picker.pick(0, slot));
        if !in_front {
            picker.pick(1, added.slot(row));
        }
        picker.end_list()?;
    }
    picker.finish(call.result)
}

fn concatenate(call: &Call<'_>) -> Result<ArrayRef, String> {
    let lists =
        (0..call.arguments.len()).map(|index| Lists::of(call, index)).collect::<Result<Vec<_>, _>>()?;
    let mut picker = Picker::new(lists.iter().map(|lists| lists.items().clone()).collect());
    for row in 0..call.rows {
        let parts: Option<Vec<Range<usize>>> = lists.iter().map(|lists| lists.get(row)).collect();
        let Some(parts) = parts else {
            picker.push_null()?;
            continue;
        };
        for (source, slots) in parts.into_iter().enumerate() {
            slots.for_each(|slot| picker.pick(source, slot));
        }
        picker.end_list()?;
    }
    picker.finish(call.result)
}

fn contains(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (lists, is_it) = (Lists::of(call, 0)?, places(call)?);
    let found: BooleanArray =
        (0..call.rows).map(|row| Some(lists.get(row)?.any(|slot| is_it(slot, row)))).collect();
    Ok(Arc::new(found))
}

fn position(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (lists, is_it, wanted) = (Lists::of(call, 0)?, places(call)?, call.argument(1)?);
    let place = |row: usize| {
        let mut slots = lists.get(row).filter(|_| !wanted.is_null(row))?;
        Some(slots.position(|slot| is_it(slot, row)).map_or(0, |place| place as i64 + 1))
    };
    integers_column((0..call.rows).map(place), call.result)
}

fn remove(call: &Call<'_>) -> Result<ArrayRef, String> {
    let is_it = places(call)?;
    rearranged(call, |row, slots, picker| {
        slots.filter(|slot| !is_it(*slot, row)).for_each(|slot| picker.pick(0, slot));
        true
    })
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef, String> {
    rearranged(call, |_, slots, picker| {
        slots.rev().for_each(|slot| picker.pick(0, slot));
        true
    })
}

/// Which elements of two arrays are in the result: told whether an element is in the second array.
#[derive(Clone, Copy, PartialEq)]
enum SetOperation {
    Except,
    Intersect,
    Union,
}

fn except(call: &Call<'_>) -> Result<ArrayRef, String> {
    set_operation(call, SetOperation::Except)
}

fn intersect(call: &Call<'_>) -> Result<ArrayRef, String> {
    set_operation(call, SetOperation::Intersect)
}

fn union(call: &Call<'_>) -> Result<ArrayRef, String> {
    set_operation(call, SetOperation::Union)
}

/// Elements as bytes: the same bytes for the same values.
fn encoded(items: &[&ArrayRef]) -> Result<Vec<arrow_row::Rows>, String> {
    let data_type = items.first().map_or(DataType::Null, |items| items.data_type().clone());
    let converter = RowConverter::new(vec![SortField::new(data_type)]).map_err(|error| error.to_string())?;
    let rows = items.iter().map(|items| converter.convert_columns(std::slice::from_ref(*items)));
    rows.map(|rows| rows.map_err(|error| error.to_string())).collect()
}

fn distinct(call: &Call<'_>) -> Result<ArrayRef, String> {
    let lists = Lists::of(call, 0)?;
    let encoded = encoded(&[lists.items()])?;
    let mut seen = BTreeSet::new();
    rearranged(call, |_, slots, picker| {
        seen.clear();
        slots.filter(|slot| seen.insert(encoded[0].row(*slot))).for_each(|slot| picker.pick(0, slot));
        true
    })
}

fn set_operation(call: &Call<'_>, operation: SetOperation) -> Result<ArrayRef, String> {
    let (left, right) = (Lists::of(call, 0)?, Lists::of(call, 1)?);
    let encoded = encoded(&[left.items(), right.items()])?;
    let mut picker = Picker::new(vec![left.items().clone(), right.items().clone()]);
    let (mut seen, mut others) = (BTreeSet::new(), BTreeSet::new());
    for row in 0..call.rows {
        let (Some(own), Some(other)) = (left.get(row), right.get(row)) else {
            picker.push_null()?;
            continue;
        };
        seen.clear();
        others.clear();
        if operation != SetOperation::Union {
            others.extend(other.clone().map(|slot| encoded[1].row(slot)));
        }
        for slot in own {
            let element = encoded[0].row(slot);
            let wanted = operation == SetOperation::Union
                || others.contains(&element) == (operation == SetOperation::Intersect);
            if wanted && seen.insert(element) {
                picker.pick(0, slot);
            }
        }
        if operation == SetOperation::Union {
            other.filter(|slot| seen.insert(encoded[1].row(*slot))).for_each(|slot| picker.pick(1, slot));
        }
        picker.end_list()?;
    }
    picker.finish(call.result)
}

fn join(call: &Call<'_>) -> Result<ArrayRef, String> {
    let lists = Lists::of(call, 0)?;
    let items = lists.items().as_string_opt::<i32>().ok_or("expected an array of texts")?;
    let separators = call.argument(1)?.texts()?;
    let replacements = call.arguments.get(2).map(Value::texts).transpose()?;
    fallible_texts(call.rows, |row, text| {
        let (Some(slots), Some(separator)) = (lists.get(row), separators.get(row)) else { return Ok(false) };
        let replacement = replacements.as_ref().map(|texts| texts.get(row));
        if replacement == Some(None) {
            return Ok(false);
        }
        let mut is_first = true;
        for slot in slots {
            let item = items.is_valid(slot).then(|| items.value(slot));
            let Some(item) = item.or(replacement.flatten()) else { continue };
            if !std::mem::take(&mut is_first) {
                push_bounded(text, separator)?;
            }
            push_bounded(text, item)?;
        }
        Ok(true)
    })
}

fn greatest(call: &Call<'_>) -> Result<ArrayRef, String> {
    extreme(call, true)
}

fn least(call: &Call<'_>) -> Result<ArrayRef, String> {
    extreme(call, false)
}

fn extreme(call: &Call<'_>, is_greatest: bool) -> Result<ArrayRef, String> {
    let items = Lists::of(call, 0)?.items().clone();
    let order = make_comparator(items.as_ref(), items.as_ref(), SortOptions::default())
        .map_err(|error| error.to_string())?;
    picked(call, |slots| {
        let slots = slots.filter(|slot| items.is_valid(*slot));
        if is_greatest { slots.max_by(|a, b| order(*a, *b)) } else { slots.min_by(|a, b| order(*a, *b)) }
    })
}

fn slice(call: &Call<'_>) -> Result<ArrayRef, String> {
    let starts = call.argument(1)?.integers()?;
    let ends = call.arguments.get(2).map(Value::integers).transpose()?;
    rearranged(call, |row, slots, picker| {
        let count = slots.len() as i64;
        let (Some(start), Some(end)) =
            (starts.get(row), ends.as_ref().map_or(Some(count), |ends| ends.get(row)))
        else {
            return false;
        };
        // Zero is taken for the first place.
        let place = |written: i64| match written {
            0 => 1,
            from_end if from_end < 0 => count + from_end + 1,
            place => place,
        };
        let (first, last) = (place(start).max(1), place(end).min(count));
        for at in first..=last {
            picker.pick(0, slots.start + at as usize - 1);
        }
        true
    })
}

fn sort(call: &Call<'_>) -> Result<ArrayRef, String> {
    let items = Lists::of(call, 0)?.items().clone();
    let order = |descending: bool, nulls_first: bool| {
        let options = SortOptions { descending, nulls_first };
        make_comparator(items.as_ref(), items.as_ref(), options).map_err(|error| error.to_string())
    };
    let orders = [[order(false, false)?, order(false, true)?], [order(true, false)?, order(true, true)?]];
    let choice = |index: usize| -> Result<Option<Truths<'_>>, String> {
        call.arguments.get(index).map(Value::truths).transpose()
    };
    let (ascending, nulls_first) = (choice(1)?, choice(2)?);
    rearranged(call, |row, slots, picker| {
        let Some(ascending) = ascending.as_ref().map_or(Some(true), |truths| truths.get(row)) else {
            return false;
        };
        let Some(nulls_first) = nulls_first.as_ref().map_or(Some(ascending), |truths| truths.get(row)) else {
            return false;
        };
        let order = &orders[usize::from(!ascending)][usize::from(nulls_first)];
        let mut slots: Vec<usize> = slots.collect();
        slots.sort_by(|a, b| order(*a, *b));
        slots.into_iter().for_each(|slot| picker.pick(0, slot));
        true
    })
}

fn split(call: &Call<'_>) -> Result<ArrayRef, String> {
    use arrow_array::builder::{ListBuilder, StringBuilder};
    let (texts, separators) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        match (texts.get(row), separators.get(row)) {
            (Some(text), Some("")) => {
                let mut buffer = [0; 4];
                text.chars()
                    .for_each(|letter| builder.values().append_value(letter.encode_utf8(&mut buffer)));
                builder.append(true);
            }
            (Some(""), Some(_)) => builder.append(true),
            (Some(text), Some(separator)) => {
                text.split(separator).for_each(|part| builder.values().append_value(part));
                builder.append(true);
            }
            _ => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()))
}
