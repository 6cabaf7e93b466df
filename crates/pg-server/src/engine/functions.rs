//! Functions that DataFusion does not have: of JSON, of positions in the log, and those that clients ask the catalog for.
//!
//! A function here takes its arguments as texts and gives a text, row by row; the engine casts both ways. That is slow for
//! a million rows of numbers and quick to add to; JSON alone is called so often, and its arguments are texts anyway.

use super::scope::readable;
use crate::catalog;
use crate::lsn;
use crate::tables::{Relation, Relations};
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;
use serde_json::Value;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub(crate) type Texts<'a> = [Option<&'a str>];
type Call = Arc<dyn Fn(&Texts<'_>) -> Result<Option<String>> + Send + Sync>;
/// What is called for the rows of a batch.
type Begin = Arc<dyn Fn(&ConfigOptions) -> Call + Send + Sync>;

/// A function of texts.
struct TextFunction {
    name: &'static str,
    returns: DataType,
    signature: Signature,
    begin: Begin,
}

impl std::fmt::Debug for TextFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for TextFunction {
    fn eq(&self, other: &TextFunction) -> bool {
        self.name == other.name
    }
}

impl Eq for TextFunction {}

impl Hash for TextFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let call = (self.begin)(&args.config_options);
        // A literal stays one text, however many rows there are.
        let is_one = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Scalar(_));
        let ones: Vec<bool> = args.args.iter().map(is_one).collect();
        let texts: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|argument| {
                let array = argument.to_array(if is_one(argument) { 1 } else { rows })?;
                match array.data_type() {
                    DataType::List(_) | DataType::LargeList(_) => joined(&array),
                    _ => Ok(arrow_cast::cast(&array, &DataType::Utf8)?),
                }
            })
            .collect::<Result<_>>()?;
        let texts: Vec<_> = texts.iter().map(|array| array.as_string::<i32>()).collect();
        let mut out = StringBuilder::with_capacity(rows, rows * 16);
        let mut row_texts = Vec::with_capacity(texts.len());
        for row in 0..rows {
            row_texts.clear();
            row_texts.extend(texts.iter().zip(&ones).map(|(array, is_one)| {
                let row = if *is_one { 0 } else { row };
                (!array.is_null(row)).then(|| array.value(row))
            }));
            out.append_option(call(&row_texts)?);
        }
        let array: ArrayRef = Arc::new(out.finish());
        let array = match &self.returns {
            DataType::Utf8 => array,
            DataType::List(field) => arrow_cast::cast(&lists(&array)?, &DataType::List(field.clone()))?,
            returns => arrow_cast::cast(&array, returns)?,
        };
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

/// A list as a JSON array, which is how these functions see one.
fn joined(array: &ArrayRef) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    for row in 0..array.len() {
        match array.is_null(row) {
            true => out.append_null(),
            false => out.append_value(crate::types::json_of(array, row)?.to_string()),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Lists from JSON arrays.
fn lists(array: &ArrayRef) -> Result<ArrayRef> {
    let texts = array.as_string::<i32>();
    let mut out = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, true));
    for row in 0..texts.len() {
        if texts.is_null(row) {
            out.append_null();
            continue;
        }
        if let Ok(Value::Array(items)) = serde_json::from_str(texts.value(row)) {
            for item in items {
                out.values().append_option(text_of(item));
            }
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

pub(crate) fn function(
    name: &'static str,
    returns: DataType,
    volatility: Volatility,
    call: impl Fn(&Texts<'_>) -> Result<Option<String>> + Send + Sync + 'static,
) -> ScalarUDF {
    let call: Call = Arc::new(call);
    begun(name, returns, volatility, Arc::new(move |_| call.clone()))
}

/// One that is also given the relations that who asks may read; they are listed once for a batch.
pub(crate) fn function_of_relations(
    name: &'static str,
    returns: DataType,
    relations: &Relations,
    call: impl Fn(&[Relation], &Texts<'_>) -> Result<Option<String>> + Send + Sync + 'static,
) -> ScalarUDF {
    let (call, relations) = (Arc::new(call), relations.clone());
    let begin: Begin = Arc::new(move |options| {
        let (call, seen) = (call.clone(), readable(options, &relations));
        Arc::new(move |texts| call(&seen, texts))
    });
    begun(name, returns, Volatility::Stable, begin)
}

fn begun(name: &'static str, returns: DataType, volatility: Volatility, begin: Begin) -> ScalarUDF {
    let signature = Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], volatility);
    ScalarUDF::from(TextFunction { name, returns, signature, begin })
}

/// All of them.
pub(super) fn all(relations: &Relations) -> Vec<ScalarUDF> {
    let mut functions = vec![
        function("json_get", DataType::Utf8, Volatility::Immutable, |texts| {
            Ok(step(parsed(texts), texts).map(|value| value.to_string()))
        }),
        function("json_get_text", DataType::Utf8, Volatility::Immutable, |texts| {
            Ok(step(parsed(texts), texts).and_then(text_of))
        }),
        function("json_path", DataType::Utf8, Volatility::Immutable, |texts| {
            Ok(walk(parsed(texts), texts).map(|value| value.to_string()))
        }),
        function("json_path_text", DataType::Utf8, Volatility::Immutable, |texts| {
            Ok(walk(parsed(texts), texts).and_then(text_of))
        }),
        function("like_escape", DataType::Utf8, Volatility::Immutable, |texts| {
            let text = |index: usize| texts.get(index).copied().flatten();
            Ok(text(0).zip(text(1)).map(|(pattern, escape)| like_pattern(pattern, escape.chars().next())))
        }),
        function("text_array", list_of(DataType::Utf8), Volatility::Immutable, array_text),
        function("int8_array", list_of(DataType::Int64), Volatility::Immutable, array_text),
        function("float8_array", list_of(DataType::Float64), Volatility::Immutable, array_text),
    ];
    for name in ["json_extract_path_text", "jsonb_extract_path_text"] {
        functions.push(function(name, DataType::Utf8, Volatility::Immutable, |texts| {
            Ok(extract(texts).and_then(text_of))
        }));
    }
    for name in ["json_typeof", "jsonb_typeof"] {
        functions.push(function(name, DataType::Utf8, Volatility::Immutable, |texts| {
            Ok(parsed(texts).map(|value| kind(&value).to_string()))
        }));
    }
    let log = relations.log.clone();
    functions.push(function("pg_current_wal_lsn", DataType::Utf8, Volatility::Volatile, move |_| {
        Ok(Some(lsn::shown(log.durable())))
    }));
    for name in ["pg_last_wal_replay_lsn", "pg_current_wal_insert_lsn", "pg_current_wal_flush_lsn"] {
        let log = relations.log.clone();
        functions.push(function(name, DataType::Utf8, Volatility::Volatile, move |_| {
            Ok(Some(lsn::shown(log.durable())))
        }));
    }
    functions.push(function("pg_wal_lsn_diff", DataType::Int64, Volatility::Immutable, |texts| {
        let place = |index: usize| texts.get(index).copied().flatten().and_then(lsn::parse);
        Ok(place(0).zip(place(1)).map(|(a, b)| (i128::from(a.0) - i128::from(b.0)).to_string()))
    }));
    functions.extend(catalog::functions(relations));
    functions
}

/// The first argument as JSON; what is no JSON has no fields.
fn parsed(texts: &Texts<'_>) -> Option<Value> {
    serde_json::from_str(texts.first().copied().flatten()?).ok()
}

/// A field by name, an element by number from 0; negative ones count from the end.
fn member(value: Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(mut fields) => fields.remove(name),
        Value::Array(mut items) => {
            let index: i64 = name.trim().parse().ok()?;
            let index = if index < 0 { index + i64::try_from(items.len()).ok()? } else { index };
            let index = usize::try_from(index).ok()?;
            (index < items.len()).then(|| items.swap_remove(index))
        }
        _ => None,
    }
}

/// Along the names that follow the first argument.
fn extract(texts: &Texts<'_>) -> Option<Value> {
    let names = texts.get(1..)?;
    names.iter().try_fold(parsed(texts)?, |value, name| member(value, (*name)?))
}

fn step(value: Option<Value>, texts: &Texts<'_>) -> Option<Value> {
    member(value?, texts.get(1).copied().flatten()?)
}

/// Along a path such as `{a,0,b}`.
fn walk(value: Option<Value>, texts: &Texts<'_>) -> Option<Value> {
    let path = texts.get(1).copied().flatten()?;
    let names: Vec<String> = match serde_json::from_str(path) {
        Ok(Value::Array(names)) => names.into_iter().filter_map(text_of).collect(),
        _ => braced(path)?,
    };
    names.iter().try_fold(value?, |value, name| member(value, name))
}

/// The elements of `{a,"b"}`.
fn braced(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let names = inner.split(',').map(|name| name.trim().trim_matches('"').to_string());
    Some(names.filter(|name| !name.is_empty()).collect())
}

/// A text without quotes; null is none.
fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The pattern with a backslash in the place of another escape character.
fn like_pattern(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            character if Some(character) == escape => {
                out.push('\\');
                out.extend(characters.next());
            }
            '\\' => out.push_str("\\\\"),
            other => out.push(other),
        }
    }
    out
}

/// `{1,2}`, or a list as it came in, as the JSON array that `lists` takes.
fn array_text(texts: &Texts<'_>) -> Result<Option<String>> {
    let Some(text) = texts.first().copied().flatten() else { return Ok(None) };
    if text.starts_with('[') {
        return Ok(Some(text.to_string()));
    }
    let items = braced(text).ok_or_else(|| DataFusionError::Execution(format!("'{text}' is no array")))?;
    let items = items.into_iter().map(|item| match item.eq_ignore_ascii_case("null") {
        true => Value::Null,
        false => Value::String(item),
    });
    Ok(Some(Value::Array(items.collect()).to_string()))
}
