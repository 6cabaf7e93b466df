//! JSON: tests, paths, construction. The forms with clauses of their own (JSON_VALUE … ON EMPTY) are bound by
//! `binder::json` to the functions whose names begin with `$`, which take the clauses as texts.

use super::Parameter::{Any, Boolean, Json as JsonParameter, Text};
use super::*;
use crate::expression::value::{Texts, Value, texts_column};
use crate::json::lookup::{is_simple, lookup};
use crate::json::path::ModalPath;
use crate::json::read::{at_simple_path, search};
use crate::json::write::{plain, to_text, write};
use crate::json::{Json, write as writing};
use crate::types::LogicalType;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{BooleanArray, Float64Array, Int32Array};
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "$IS_JSON",
        signatures: &[signature(&[Text, Text], returns_boolean)],
        nullability: Nullability::Never,
        evaluate: is_json,
        doc: "Whether a text begins with a JSON value, of a kind.",
        examples: &[
            ("'[1, 2]' IS JSON", "TRUE"),
            ("'[1, 2]' IS JSON OBJECT", "FALSE"),
            ("'abc' IS NOT JSON", "TRUE"),
            ("CAST(NULL AS STRING) IS JSON", "FALSE"),
        ],
        ..PLAIN
    },
    Function {
        name: "$JSON_EXISTS",
        signatures: &[signature(&[Text, Text, Text], returns_boolean)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: exists,
        doc: "Whether a path leads to something in a JSON text.",
        examples: &[
            ("JSON_EXISTS('{\"a\": true}', '$.a')", "TRUE"),
            ("JSON_EXISTS('{\"a\": true}', 'strict $.b' UNKNOWN ON ERROR)", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "$JSON_VALUE",
        signatures: &[signature(&[Text, Text, Text, Text, Any, Text, Any], returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: value,
        doc: "The scalar to which a path leads in a JSON text.",
        examples: &[
            ("JSON_VALUE('{\"a\": {\"b\": 1.50}}', '$.a.b')", "1.50"),
            ("JSON_VALUE('{\"a\": 5}', '$.a' RETURNING INT)", "5"),
            ("JSON_VALUE('{}', 'lax $.a' DEFAULT 'none' ON EMPTY)", "none"),
            ("JSON_VALUE('{}', 'strict $.a' DEFAULT 'wrong' ON ERROR)", "wrong"),
        ],
        ..PLAIN
    },
    Function {
        name: "$JSON_QUERY",
        signatures: &[signature(&[Text, Text, Text, Text, Text], returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: query,
        doc: "The object or array to which a path leads in a JSON text.",
        examples: &[
            ("JSON_QUERY('{\"a\": [{\"b\": 1}, {\"b\": 2}]}', '$.a[*].b')", "[1,2]"),
            ("JSON_QUERY('{\"a\": 1}', '$.a' WITH WRAPPER)", "[1]"),
            ("JSON_QUERY('{\"a\": [\"x\", 2]}', '$.a' RETURNING ARRAY<STRING>)", "[x, 2]"),
        ],
        ..PLAIN
    },
    Function {
        name: "$JSON_OBJECT",
        signatures: &[Signature {
            parameters: &[Text, Text, JsonParameter],
            optional: 1,
            repeats: true,
            returns: returns_text,
        }],
        nullability: Nullability::Never,
        may_fail: true,
        evaluate: object,
        doc: "A JSON object of names and values.",
        examples: &[
            ("JSON_OBJECT('b' VALUE 1, 'a' VALUE ARRAY['x'])", "{\"a\":[\"x\"],\"b\":1}"),
            ("JSON_OBJECT('a' VALUE CAST(NULL AS INT) ABSENT ON NULL)", "{}"),
        ],
        ..PLAIN
    },
    Function {
        name: "$JSON_ARRAY",
        signatures: &[Signature {
            parameters: &[Text, Text, JsonParameter],
            optional: 1,
            repeats: true,
            returns: returns_text,
        }],
        nullability: Nullability::Never,
        may_fail: true,
        evaluate: array,
        doc: "A JSON array of values.",
        examples: &[
            ("JSON_ARRAY(1, 'x', JSON_OBJECT('a' VALUE 2))", "[1,\"x\",{\"a\":2}]"),
            ("JSON_ARRAY(CAST(NULL AS INT) NULL ON NULL)", "[null]"),
            ("JSON_ARRAY(JSON('{\"b\": 1}'))", "[{\"b\":1}]"),
        ],
        ..PLAIN
    },
    Function {
        name: "JSON_STRING",
        signatures: &[signature(&[JsonParameter], returns_text)],
        evaluate: string,
        doc: "A value as JSON: rows and maps become objects, bytes base64, and NULL stays NULL.",
        examples: &[
            ("JSON_STRING('a \"b\"')", "\"a \\\"b\\\"\""),
            ("JSON_STRING(MAP['b', ARRAY[1, 2], 'a', ARRAY[3]])", "{\"a\":[3],\"b\":[1,2]}"),
        ],
        ..PLAIN
    },
    Function {
        name: "JSON_QUOTE",
        signatures: &[signature(&[Text], returns_text)],
        evaluate: quote,
        doc: "A text as a JSON text in double quotes, with escapes for all that is not ASCII.",
        examples: &[("JSON_QUOTE('a \"b\"')", "\"a \\\"b\\\"\"")],
        ..PLAIN
    },
    Function {
        name: "JSON_UNQUOTE",
        signatures: &[signature(&[Text], returns_text)],
        evaluate: unquote,
        doc: "The text that a JSON text in double quotes stands for; everything else as it is.",
        examples: &[("JSON_UNQUOTE('\"a \\\"b\\\"\"')", "a \"b\""), ("JSON_UNQUOTE('abc')", "abc")],
        ..PLAIN
    },
    Function {
        name: "PARSE_JSON",
        signatures: &[optional(&[Text, Boolean], 1, returns_variant)],
        may_fail: true,
        evaluate: parse,
        doc: "The VARIANT that a JSON text stands for. Bad JSON fails the job, and so do two fields of one name in an object \
unless TRUE is given, where the last one stands.",
        examples: &[("PARSE_JSON('{\"b\": [1, 2.50], \"a\": null}')", "{\"a\":null,\"b\":[1,2.5]}")],
        ..PLAIN
    },
    Function {
        name: "TRY_PARSE_JSON",
        signatures: &[optional(&[Text, Boolean], 1, returns_variant)],
        nullability: Nullability::Always,
        evaluate: try_parse,
        doc: "As PARSE_JSON, but NULL where that fails.",
        examples: &[("TRY_PARSE_JSON('{bad')", "NULL"), ("TRY_PARSE_JSON('[1]')", "[1]")],
        ..PLAIN
    },
    Function {
        name: "$VARIANT_GET",
        signatures: &[signature(&[Any, Any], returns_variant)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: variant_get,
        doc: "A field of an object, or an element of an array counted from 1.",
        examples: &[
            ("PARSE_JSON('{\"a\": [5, 6]}')['a'][2]", "6"),
            ("PARSE_JSON('{\"a\": 1}')['b']", "NULL"),
        ],
        ..PLAIN
    },
];

fn returns_variant(_: &[LogicalType]) -> TypeKind {
    TypeKind::Variant
}

/// A text argument that has the same value in all rows.
fn clause<'a>(call: &'a Call<'_>, index: usize) -> Result<&'a str, String> {
    let texts: Texts<'a> = call.argument(index)?.texts()?;
    texts.get(0).ok_or_else(|| "a clause is missing".to_string())
}

/// The path compiled last: nearly always all rows have the same.
#[derive(Default)]
struct LastPath(Option<(String, Result<ModalPath, String>)>);

impl LastPath {
    fn compile(&mut self, text: &str) -> &Result<ModalPath, String> {
        if self.0.as_ref().is_none_or(|(own, _)| own != text) {
            self.0 = None;
        }
        &self.0.get_or_insert_with(|| (text.to_string(), ModalPath::compile(text))).1
    }
}

/// What a path leads to: nothing, or an error, which the clauses deal with.
struct Found {
    lax: bool,
    value: Result<Option<Json>, String>,
}

/// Looks a path up in each row's text; `None` where the text or the path is NULL.
fn each(call: &Call<'_>, mut take: impl FnMut(Option<Found>) -> Result<(), String>) -> Result<(), String> {
    let (texts, paths) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut last = LastPath::default();
    for row in 0..call.rows {
        let (Some(text), Some(path)) = (texts.get(row), paths.get(row)) else {
            take(None)?;
            continue;
        };
        let found = match last.compile(path) {
            Err(reason) => Found { lax: false, value: Err(reason.clone()) },
            Ok(path) => Found {
                lax: path.lax,
                value: match looked_up(path, text) {
                    Err(_) if path.lax => Ok(None),
                    found => found,
                },
            },
        };
        take(Some(found))?;
    }
    Ok(())
}

/// What is at a path; of a text that is no JSON, or of nothing at a strict path, why not.
fn looked_up(path: &ModalPath, text: &str) -> Result<Option<Json>, String> {
    if is_simple(&path.path) {
        return at_simple_path(path, lookup(&path.path, text)?);
    }
    search(path, &Json::parse(text)?)
}

fn is_json(call: &Call<'_>) -> Result<ArrayRef, String> {
    let kind = clause(call, 1)?;
    let texts = call.argument(0)?.texts()?;
    let test = |text: &str| match (Json::parse(text), kind) {
        (Err(_), _) => false,
        (Ok(Json::Object(_)), "OBJECT") | (Ok(Json::Array(_)), "ARRAY") => true,
        (Ok(value), "SCALAR") => value.is_scalar(),
        (Ok(_), kind) => kind == "VALUE",
    };
    let truths = (0..call.rows).map(|row| Some(texts.get(row).is_some_and(test)));
    Ok(Arc::new(truths.collect::<BooleanArray>()))
}

fn exists(call: &Call<'_>) -> Result<ArrayRef, String> {
    let on_error = clause(call, 2)?;
    let mut out = Vec::with_capacity(call.rows);
    each(call, |found| {
        out.push(match found.map(|found| found.value) {
            None => None,
            Some(Ok(value)) => Some(value.is_some()),
            Some(Err(reason)) => match on_error {
                "TRUE" => Some(true),
                "FALSE" => Some(false),
                "UNKNOWN" => None,
                _ => return Err(reason),
            },
        });
        Ok(())
    })?;
    Ok(Arc::new(BooleanArray::from(out)))
}

/// A value of JSON_VALUE, or the row's default.
enum Scalar {
    Null,
    Found(Json),
    OnEmpty,
    OnError,
}

fn value(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (on_empty, on_error) = (clause(call, 3)?, clause(call, 5)?);
    let mut out = Vec::with_capacity(call.rows);
    each(call, |found| {
        let Some(Found { lax, value }) = found else {
            out.push(Scalar::Null);
            return Ok(());
        };
        let empty = match &value {
            Ok(None) => true,
            Ok(Some(value)) => lax && !value.is_scalar(),
            Err(_) => false,
        };
        let value = match value {
            Ok(Some(value)) if !empty && !value.is_scalar() => {
                Err(format!("JSON_VALUE takes a scalar, but the path leads to {}", to_text(&value)))
            }
            other => other,
        };
        out.push(match (value, empty) {
            (_, true) => match on_empty {
                "NULL" => Scalar::Null,
                "DEFAULT" => Scalar::OnEmpty,
                _ => {
                    return Err(
                        "JSON_VALUE found nothing where its path leads, and ERROR ON EMPTY was written"
                            .into(),
                    );
                }
            },
            (Ok(Some(value)), false) => Scalar::Found(value),
            (Ok(None), false) => Scalar::Null,
            (Err(reason), false) => match on_error {
                "NULL" => Scalar::Null,
                "DEFAULT" => Scalar::OnError,
                _ => return Err(reason),
            },
        });
        Ok(())
    })?;
    let defaults = (call.argument(4)?, call.argument(6)?);
    scalars(out, defaults, call.result)
}

fn scalars(found: Vec<Scalar>, defaults: (&Value, &Value), to: &LogicalType) -> Result<ArrayRef, String> {
    let wrong = |value: &Json| format!("the JSON value {} is no {}", to_text(value), to.summary());
    /// The rows' values; `$read` of what was found, `$default` of the defaults.
    macro_rules! collect {
        ($view:ident, $read:expr) => {{
            let (on_empty, on_error) = (defaults.0.$view()?, defaults.1.$view()?);
            found
                .into_iter()
                .enumerate()
                .map(|(row, scalar)| match scalar {
                    Scalar::Null => Ok(None),
                    Scalar::OnEmpty => Ok(on_empty.get(row).map(|value| value.to_owned())),
                    Scalar::OnError => Ok(on_error.get(row).map(|value| value.to_owned())),
                    Scalar::Found(value) => $read(&value).map(Some).ok_or_else(|| wrong(&value)),
                })
                .collect::<Result<Vec<_>, String>>()?
        }};
    }
    Ok(match to.kind {
        TypeKind::Boolean => {
            let read = |value: &Json| match value {
                Json::Boolean(truth) => Some(*truth),
                _ => None,
            };
            Arc::new(BooleanArray::from(collect!(truths, read)))
        }
        TypeKind::Int => {
            let read = |value: &Json| match value {
                Json::Number(number) if number.is_integer => number.text.parse::<i32>().ok(),
                _ => None,
            };
            Arc::new(Int32Array::from(collect!(numbers_of_int, read)))
        }
        TypeKind::Double => {
            let read = |value: &Json| match value {
                Json::Number(number) => Some(number.to_f64()),
                _ => None,
            };
            Arc::new(Float64Array::from(collect!(numbers_of_double, read)))
        }
        _ => {
            let texts = collect!(texts, |value: &Json| Some(plain(value)));
            Arc::new(arrow_array::StringArray::from(texts))
        }
    })
}

fn query(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (wrapper, on_empty, on_error) = (clause(call, 2)?, clause(call, 3)?, clause(call, 4)?);
    let as_array = matches!(call.result.kind, TypeKind::Array(_));
    let behave = |behavior: &str, reason: String| match behavior {
        "NULL" => Ok(None),
        "EMPTY ARRAY" => Ok(Some(Json::Array(Vec::new()))),
        "EMPTY OBJECT" => Ok(Some(Json::Object(Vec::new()))),
        _ => Err(reason),
    };
    let mut out = Vec::with_capacity(call.rows);
    each(call, |found| {
        let Some(Found { lax, value }) = found else {
            out.push(None);
            return Ok(());
        };
        let value = value.map(|value| {
            value.map(|value| match (wrapper, value) {
                ("WITHOUT", value) => value,
                ("CONDITIONAL", value @ Json::Array(_)) => value,
                (_, value) => Json::Array(vec![value]),
            })
        });
        let nothing =
            || "JSON_QUERY found nothing where its path leads, and ERROR ON EMPTY was written".to_string();
        out.push(match value {
            Ok(None) => behave(on_empty, nothing())?,
            Ok(Some(value)) if value.is_scalar() && lax => behave(on_empty, nothing())?,
            Ok(Some(value)) if value.is_scalar() => behave(
                on_error,
                format!("JSON_QUERY takes an object or an array, but found {}", to_text(&value)),
            )?,
            Ok(Some(value @ Json::Object(_))) if as_array => {
                behave(on_error, format!("JSON_QUERY takes an array here, but found {}", to_text(&value)))?
            }
            Ok(Some(value)) => Some(value),
            Err(reason) => behave(on_error, reason)?,
        });
        Ok(())
    })?;
    if !as_array {
        return texts_column(call.rows, |row, text| {
            out[row].as_ref().map(|value| write(value, text)).is_some()
        });
    }
    let mut lists = ListBuilder::new(StringBuilder::new());
    for value in &out {
        let Some(Json::Array(items)) = value else {
            lists.append(false);
            continue;
        };
        for item in items {
            lists.values().append_option((*item != Json::Null).then(|| plain(item)));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// One argument of a JSON constructor in a row; `None` for NULL. Raw ones are JSON already.
fn argument(call: &Call<'_>, index: usize, raw: bool, row: usize) -> Result<Option<Json>, String> {
    let value = call.argument(index)?;
    if value.is_null(row) {
        return Ok(None);
    }
    if !raw {
        return writing::of_value(value.array().as_ref(), value.slot(row), &call.types[index]).map(Some);
    }
    let text = value.texts()?.get(row).unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(None);
    }
    Json::parse(text).map(Some).map_err(|reason| format!("JSON(…) takes JSON, but {reason}: {text}"))
}

fn object(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (keeps_nulls, raw) = (clause(call, 0)? == "NULL", clause(call, 1)?.as_bytes());
    constructed(call, |row| {
        let mut fields: Vec<(String, Json)> = Vec::new();
        for (number, index) in (2..call.arguments.len()).step_by(2).enumerate() {
            let name = call.argument(index)?.texts()?.get(row).ok_or("the name of a JSON field is NULL")?;
            let value = match argument(call, index + 1, raw.get(number) == Some(&b'1'), row)? {
                Some(value) => value,
                None if keeps_nulls => Json::Null,
                None => continue,
            };
            match fields.iter_mut().find(|(own, _)| own == name) {
                Some(known) => known.1 = value,
                None => fields.push((name.to_string(), value)),
            }
        }
        Ok(Json::Object(fields))
    })
}

fn array(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (keeps_nulls, raw) = (clause(call, 0)? == "NULL", clause(call, 1)?.as_bytes());
    constructed(call, |row| {
        let mut items = Vec::new();
        for index in 2..call.arguments.len() {
            match argument(call, index, raw.get(index - 2) == Some(&b'1'), row)? {
                Some(value) => items.push(value),
                None if keeps_nulls => items.push(Json::Null),
                None => {}
            }
        }
        Ok(Json::Array(items))
    })
}

fn constructed(call: &Call<'_>, make: impl Fn(usize) -> Result<Json, String>) -> Result<ArrayRef, String> {
    let mut failure = None;
    let column = texts_column(call.rows, |row, text| match make(row) {
        Ok(value) => {
            write(&value, text);
            true
        }
        Err(reason) => {
            failure.get_or_insert(reason);
            false
        }
    })?;
    failure.map_or(Ok(column), Err)
}

fn string(call: &Call<'_>) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    let mut failure = None;
    let column = texts_column(call.rows, |row, text| {
        if value.is_null(row) {
            return false;
        }
        match writing::of_value(value.array().as_ref(), value.slot(row), &call.types[0]) {
            Ok(json) => write(&json, text),
            Err(reason) => {
                failure.get_or_insert(reason);
            }
        }
        true
    })?;
    failure.map_or(Ok(column), Err)
}

fn quote(call: &Call<'_>) -> Result<ArrayRef, String> {
    use std::fmt::Write;
    let texts = call.argument(0)?.texts()?;
    texts_column(call.rows, |row, out| {
        let Some(text) = texts.get(row) else { return false };
        out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '/' => out.push_str("\\/"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                ' '..='~' => out.push(letter),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        out.push('"');
        true
    })
}

fn unquote(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    texts_column(call.rows, |row, out| {
        let Some(text) = texts.get(row) else { return false };
        match Json::parse_whole(text) {
            Ok(Json::String(plain)) if text.starts_with('"') && text.ends_with('"') => out.push_str(&plain),
            _ => out.push_str(text),
        }
        true
    })
}

fn parse(call: &Call<'_>) -> Result<ArrayRef, String> {
    parsed(call, false)
}

fn try_parse(call: &Call<'_>) -> Result<ArrayRef, String> {
    parsed(call, true)
}

fn parsed(call: &Call<'_>, lenient: bool) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let duplicates = call.arguments.get(1).map(Value::truths).transpose()?;
    let mut failure = None;
    let column = texts_column(call.rows, |row, out| {
        let Some(text) = texts.get(row) else { return false };
        let Some(allowed) = duplicates.as_ref().map_or(Some(false), |truths| truths.get(row)) else {
            return false;
        };
        let variant = match Json::parse_noting_duplicates(text) {
            Ok((_, true)) if !allowed => Err("an object has two fields of one name".to_string()),
            Ok((value, _)) => Ok(writing::variant(value)),
            Err(reason) => Err(reason),
        };
        match variant {
            Ok(value) => write(&value, out),
            Err(_) if lenient => return false,
            Err(reason) => {
                failure.get_or_insert(format!("PARSE_JSON takes JSON, but {reason}: {text}"));
            }
        }
        true
    })?;
    failure.map_or(Ok(column), Err)
}

fn variant_get(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (variants, index) = (call.argument(0)?.texts()?, call.argument(1)?);
    let names = index.texts().ok();
    let places = index.integers().ok();
    let mut failure = None;
    let mut wrong = |wanted: &str, found: &Json| {
        failure.get_or_insert_with(|| {
            format!("the index wants an {wanted}, but the VARIANT is {}", to_text(found))
        });
    };
    let column = texts_column(call.rows, |row, out| {
        let Some(Ok(variant)) = variants.get(row).map(Json::parse) else { return false };
        let name = names.as_ref().and_then(|names| names.get(row));
        let place = places.as_ref().and_then(|places| places.get(row));
        let part = match (name, place, &variant) {
            (Some(name), _, Json::Object(_)) => variant.field(name),
            (_, Some(place), Json::Array(items)) => {
                usize::try_from(place - 1).ok().and_then(|place| items.get(place))
            }
            (Some(_), _, found) => {
                wrong("object", found);
                None
            }
            (_, Some(_), found) => {
                wrong("array", found);
                None
            }
            _ => None,
        };
        part.map(|part| write(part, out)).is_some()
    })?;
    failure.map_or(Ok(column), Err)
}
