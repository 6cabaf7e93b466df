//! Functions that clients ask the catalog with.

use super::rows::{OWNER_NAME, key_name, of_key};
use crate::engine::{Texts, function, function_of_relations};
use crate::error::{Code, PgError};
use crate::settings::Settings;
use crate::tables::{Relation, Relations};
use crate::types;
use arrow_schema::DataType;
use datafusion::logical_expr::{ScalarUDF, Volatility};

/// Gives the same whatever it is asked.
fn constant(name: &'static str, returns: DataType, value: Option<&'static str>) -> ScalarUDF {
    function(name, returns, Volatility::Stable, move |_| Ok(value.map(str::to_string)))
}

const TRUE: [&str; 15] = [
    "pg_table_is_visible",
    "pg_type_is_visible",
    "pg_function_is_visible",
    "pg_opclass_is_visible",
    "pg_collation_is_visible",
    "has_schema_privilege",
    "has_table_privilege",
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_function_privilege",
    "has_sequence_privilege",
    "pg_has_role",
    "pg_ts_config_is_visible",
    "pg_statistics_obj_is_visible",
];
const FALSE: [&str; 4] =
    ["pg_is_in_recovery", "pg_is_wal_replay_paused", "pg_relation_is_publishable", "row_security_active"];
const NOTHING: [&str; 18] = [
    "pg_get_expr",
    "obj_description",
    "col_description",
    "shobj_description",
    "pg_get_partkeydef",
    "pg_get_ruledef",
    "pg_get_triggerdef",
    "pg_get_function_result",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_functiondef",
    "pg_get_statisticsobjdef_columns",
    "inet_server_addr",
    "inet_client_addr",
    "pg_tablespace_location",
    "pg_get_serial_sequence",
    "pg_get_viewdef",
    "array_dims",
];
const ZERO: [&str; 11] = [
    "pg_total_relation_size",
    "pg_relation_size",
    "pg_table_size",
    "pg_indexes_size",
    "pg_database_size",
    "pg_tablespace_size",
    "pg_my_temp_schema",
    "pg_stat_get_numscans",
    "txid_current",
    "inet_server_port",
    "pg_column_size",
];

pub(super) fn all(relations: &Relations) -> Vec<ScalarUDF> {
    let mut functions = Vec::new();
    functions.extend(TRUE.map(|name| constant(name, DataType::Boolean, Some("true"))));
    functions.extend(FALSE.map(|name| constant(name, DataType::Boolean, Some("false"))));
    functions.extend(NOTHING.map(|name| constant(name, DataType::Utf8, None)));
    functions.extend(ZERO.map(|name| constant(name, DataType::Int64, Some("0"))));
    functions.push(constant("pg_get_userbyid", DataType::Utf8, Some(OWNER_NAME)));
    functions.push(constant("pg_encoding_to_char", DataType::Utf8, Some("UTF8")));
    functions.push(constant("pg_char_to_encoding", DataType::Int32, Some("6")));
    functions.push(constant("pg_size_pretty", DataType::Utf8, Some("0 bytes")));
    functions.push(function("format_type", DataType::Utf8, Volatility::Immutable, |texts| {
        let modifier = number(texts, 1).and_then(|modifier| i32::try_from(modifier).ok()).unwrap_or(-1);
        Ok(oid(texts, 0).map(|oid| types::sql_name(oid, modifier)))
    }));
    functions.push(function("regtype_name", DataType::Utf8, Volatility::Immutable, |texts| {
        Ok(oid(texts, 0).map(|oid| if oid == 0 { "-".to_string() } else { types::sql_name(oid, -1) }))
    }));
    functions.push(function("to_regtype", DataType::Int32, Volatility::Immutable, |texts| {
        Ok(text(texts, 0)
            .and_then(|name| name.parse::<u32>().ok().or_else(|| types::by_name(name)))
            .map(|oid| oid.to_string()))
    }));
    functions.push(function("to_regproc", DataType::Int32, Volatility::Immutable, |texts| {
        let schema =
            text(texts, 0).and_then(|name| super::rows::SCHEMAS.iter().find(|(_, known)| *known == name));
        Ok(text(texts, 0).map(|_| schema.map_or(0, |(oid, _)| *oid).to_string()))
    }));
    functions.push(function("reg_name", DataType::Utf8, Volatility::Immutable, |texts| {
        let name = oid(texts, 0).and_then(|oid| super::rows::SCHEMAS.iter().find(|(known, _)| *known == oid));
        Ok(text(texts, 0).map(|text| name.map_or(text, |(_, name)| name).to_string()))
    }));
    for name in ["quote_ident", "quote_literal"] {
        functions.push(function(name, DataType::Utf8, Volatility::Immutable, move |texts| {
            let quote = if name == "quote_ident" { '"' } else { '\'' };
            Ok(text(texts, 0).map(|text| match quote == '"' && is_plain(text) {
                true => text.to_string(),
                false => format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}"))),
            }))
        }));
    }
    // Of a name that is no literal; the session's own values stand in the statement by then.
    functions.push(function("current_setting", DataType::Utf8, Volatility::Stable, |texts| {
        Ok(text(texts, 0).and_then(|name| Settings::new("").get(name).ok()))
    }));
    functions.push(function("set_config", DataType::Utf8, Volatility::Stable, |texts| {
        Ok(text(texts, 1).map(str::to_string))
    }));
    functions.push(function_of_relations("to_regclass", DataType::Int32, relations, |seen, texts| {
        let Some(name) = text(texts, 0) else { return Ok(None) };
        if let Ok(oid) = name.parse::<u32>() {
            return Ok(Some(oid.to_string()));
        }
        match named(seen, name) {
            Some(oid) => Ok(Some((oid as i32).to_string())),
            None => {
                Err(PgError::new(Code::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")).into())
            }
        }
    }));
    functions.push(function_of_relations("regclass_name", DataType::Utf8, relations, |seen, texts| {
        let Some(oid) = oid(texts, 0) else { return Ok(None) };
        let found = seen.iter().find(|relation| relation.oid == oid).map(|relation| relation.name.clone());
        let found = found.or_else(|| of_key(seen, oid).map(key_name));
        Ok(Some(found.unwrap_or_else(|| oid.to_string())))
    }));
    functions.push(function_of_relations(
        "pg_get_constraintdef",
        DataType::Utf8,
        relations,
        |seen, texts| {
            let relation = oid(texts, 0).and_then(|oid| of_key(seen, oid));
            Ok(relation.map(|relation| format!("PRIMARY KEY ({})", key(relation))))
        },
    ));
    functions.push(function_of_relations("pg_get_indexdef", DataType::Utf8, relations, |seen, texts| {
        let Some(relation) = oid(texts, 0).and_then(|oid| of_key(seen, oid)) else { return Ok(None) };
        // With a number, that column alone.
        let column = number(texts, 1).and_then(|number| usize::try_from(number - 1).ok());
        Ok(Some(match column.and_then(|column| relation.key.get(column)) {
            Some(column) => relation.columns.field(*column).name().clone(),
            None => index_definition(relation),
        }))
    }));
    functions
}

/// The number of what a text such as `topics."a.b"` names.
fn named(seen: &[Relation], text: &str) -> Option<u32> {
    let mut parts = Vec::new();
    let (mut part, mut in_quotes) = (String::new(), false);
    for character in text.chars() {
        match character {
            '"' => in_quotes = !in_quotes,
            '.' if !in_quotes => parts.push(std::mem::take(&mut part)),
            other if in_quotes => part.push(other),
            other => part.extend(other.to_lowercase()),
        }
    }
    parts.push(part);
    match parts.as_slice() {
        [name] => super::oid_of("pg_catalog", name)
            .or_else(|| seen.iter().find(|relation| relation.name == *name).map(|relation| relation.oid)),
        [schema, name] => super::oid_of(schema, name).or_else(|| {
            let is_it = |relation: &&Relation| relation.schema_name() == schema && relation.name == *name;
            seen.iter().find(is_it).map(|relation| relation.oid)
        }),
        _ => None,
    }
}

fn key(relation: &Relation) -> String {
    let names = relation.key.iter().map(|column| {
        let name = relation.columns.field(*column).name();
        if is_plain(name) { name.clone() } else { format!("\"{name}\"") }
    });
    names.collect::<Vec<_>>().join(", ")
}

pub(super) fn index_definition(relation: &Relation) -> String {
    let (name, schema, table) = (key_name(relation), relation.schema_name(), &relation.name);
    format!("CREATE UNIQUE INDEX \"{name}\" ON {schema}.\"{table}\" USING btree ({})", key(relation))
}

/// The words that PostgreSQL keeps for itself (its documentation, SQL Key Words), as far as names are likely to be one.
const RESERVED: [&str; 36] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "case",
    "cast",
    "check",
    "column",
    "constraint",
    "create",
    "default",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "for",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "limit",
    "not",
    "null",
    "offset",
    "order",
    "select",
    "table",
    "to",
    "user",
    "where",
];

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    starts
        && !RESERVED.contains(&name)
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn text<'a>(texts: &Texts<'a>, index: usize) -> Option<&'a str> {
    texts.get(index).copied().flatten()
}

fn number(texts: &Texts<'_>, index: usize) -> Option<i64> {
    text(texts, index)?.trim().parse().ok()
}

/// Numbers above the middle come as negative ones.
fn oid(texts: &Texts<'_>, index: usize) -> Option<u32> {
    number(texts, index).map(|number| number as u32)
}
