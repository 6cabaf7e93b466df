//! What stands in the tables of the catalog that are not empty.

use super::cells::{Cell, Row};
use crate::settings::Settings;
use crate::tables::Relation;
use crate::types;
use arrow_schema::{DataType, Field};

pub(super) const PG_CATALOG: u32 = 11;
pub(super) const PUBLIC: u32 = 2_200;
const TOPICS: u32 = 2_201;
const INFORMATION_SCHEMA: u32 = 13_000;
pub(super) const OWNER: u32 = 10;
pub(super) const OWNER_NAME: &str = "eventwright";
const DATABASE: u32 = 5;
const BTREE: u32 = 403;
const HEAP: u32 = 2;
const DEFAULT_COLLATION: u32 = 100;
/// Numbers of primary keys and their indexes follow those of their relations.
const INDEXES: u32 = 0x4000_0000;
const CONSTRAINTS: u32 = 0x6000_0000;

/// What the rows are made from.
pub(super) struct Sight<'a> {
    pub relations: Vec<Relation>,
    pub database: &'a str,
}

pub(super) const SCHEMAS: [(u32, &str); 4] = [
    (PG_CATALOG, "pg_catalog"),
    (PUBLIC, "public"),
    (TOPICS, "topics"),
    (INFORMATION_SCHEMA, "information_schema"),
];

fn namespace(relation: &Relation) -> u32 {
    SCHEMAS.iter().find(|(_, name)| *name == relation.schema_name()).map_or(PUBLIC, |(oid, _)| *oid)
}

pub(super) fn key_name(relation: &Relation) -> String {
    format!("{}_pkey", relation.name)
}

fn index_oid(relation: &Relation) -> u32 {
    relation.oid.wrapping_add(INDEXES)
}

/// Of a table; none where it has no rows.
pub(super) fn of(schema: &str, table: &str, sight: &Sight<'_>) -> Vec<Row> {
    match (schema, table) {
        ("pg_catalog", "pg_namespace") => SCHEMAS
            .iter()
            .map(|(oid, name)| Row::new().oid("oid", *oid).text("nspname", name).oid("nspowner", OWNER))
            .collect(),
        ("pg_catalog", "pg_class") => {
            let mut rows: Vec<Row> = sight.relations.iter().map(class).collect();
            rows.extend(keyed(sight).map(index_class));
            rows
        }
        ("pg_catalog", "pg_attribute") => {
            let mut rows: Vec<Row> = Vec::new();
            for relation in &sight.relations {
                let fields = relation.columns.fields().iter().enumerate();
                rows.extend(fields.map(|(index, field)| {
                    attribute(relation.oid, index, field, relation.key.contains(&index))
                }));
            }
            for relation in keyed(sight) {
                let fields = relation.key.iter().enumerate();
                rows.extend(fields.map(|(index, column)| {
                    attribute(index_oid(relation), index, relation.columns.field(*column), true)
                }));
            }
            rows
        }
        ("pg_catalog", "pg_type") => type_rows(),
        ("pg_catalog", "pg_index") => keyed(sight).map(index).collect(),
        ("pg_catalog", "pg_constraint") => keyed(sight).map(constraint).collect(),
        ("pg_catalog", "pg_database") => vec![
            Row::new()
                .oid("oid", DATABASE)
                .text("datname", sight.database)
                .oid("datdba", OWNER)
                .int("encoding", 6)
                .text("datlocprovider", "c")
                .flags(&["datallowconn"])
                .int("datconnlimit", -1)
                .oid("dattablespace", 1663)
                .text("datcollate", "C")
                .text("datctype", "C"),
        ],
        ("pg_catalog", "pg_roles") => vec![
            Row::new()
                .text("rolname", OWNER_NAME)
                .flags(&["rolinherit", "rolcanlogin"])
                .int("rolconnlimit", -1)
                .oid("oid", OWNER),
        ],
        ("pg_catalog", "pg_user") => vec![Row::new().text("usename", OWNER_NAME).oid("usesysid", OWNER)],
        ("pg_catalog", "pg_settings") => settings(),
        ("pg_catalog", "pg_am") => [(HEAP, "heap", "t"), (BTREE, "btree", "i")]
            .map(|(oid, name, kind)| Row::new().oid("oid", oid).text("amname", name).text("amtype", kind))
            .into(),
        ("pg_catalog", "pg_collation") => [(DEFAULT_COLLATION, "default", "d"), (950, "C", "c")]
            .map(|(oid, name, provider)| {
                Row::new()
                    .oid("oid", oid)
                    .text("collname", name)
                    .oid("collnamespace", PG_CATALOG)
                    .text("collprovider", provider)
                    .flags(&["collisdeterministic"])
                    .int("collencoding", -1)
            })
            .into(),
        ("pg_catalog", "pg_tables") => sight
            .relations
            .iter()
            .map(|relation| {
                Row::new()
                    .text("schemaname", relation.schema_name())
                    .text("tablename", &relation.name)
                    .text("tableowner", OWNER_NAME)
                    .bool("hasindexes", !relation.key.is_empty())
            })
            .collect(),
        ("pg_catalog", "pg_indexes") => keyed(sight)
            .map(|relation| {
                Row::new()
                    .text("schemaname", relation.schema_name())
                    .text("tablename", &relation.name)
                    .text("indexname", &key_name(relation))
                    .text("indexdef", &super::functions::index_definition(relation))
            })
            .collect(),
        ("pg_catalog", "pg_stat_user_tables") => sight
            .relations
            .iter()
            .map(|relation| {
                Row::new()
                    .oid("relid", relation.oid)
                    .text("schemaname", relation.schema_name())
                    .text("relname", &relation.name)
            })
            .collect(),
        ("pg_catalog", "pg_tablespace") => {
            vec![Row::new().oid("oid", 1663).text("spcname", "pg_default").oid("spcowner", OWNER)]
        }
        ("information_schema", "schemata") => SCHEMAS
            .iter()
            .map(|(_, name)| {
                Row::new()
                    .text("catalog_name", sight.database)
                    .text("schema_name", name)
                    .text("schema_owner", OWNER_NAME)
            })
            .collect(),
        ("information_schema", "tables") => sight
            .relations
            .iter()
            .map(|relation| {
                named(Row::new(), "table", relation, sight)
                    .text("table_type", "BASE TABLE")
                    .text("is_insertable_into", "NO")
                    .text("is_typed", "NO")
            })
            .collect(),
        ("information_schema", "columns") => {
            let columns = sight.relations.iter().flat_map(|relation| {
                let fields = relation.columns.fields().iter().enumerate();
                fields.map(move |(index, field)| column(relation, index, field, sight))
            });
            columns.collect()
        }
        ("information_schema", "table_constraints") => keyed(sight)
            .map(|relation| {
                constrained(relation, sight)
                    .text("constraint_type", "PRIMARY KEY")
                    .text("is_deferrable", "NO")
                    .text("initially_deferred", "NO")
                    .text("enforced", "YES")
            })
            .collect(),
        ("information_schema", "key_column_usage" | "constraint_column_usage") => {
            let columns = keyed(sight).flat_map(|relation| {
                relation.key.iter().enumerate().map(move |(index, column)| {
                    constrained(relation, sight)
                        .text("column_name", relation.columns.field(*column).name())
                        .int("ordinal_position", index as i64 + 1)
                })
            });
            columns.collect()
        }
        _ => Vec::new(),
    }
}

fn keyed<'a>(sight: &'a Sight<'_>) -> impl Iterator<Item = &'a Relation> {
    sight.relations.iter().filter(|relation| !relation.key.is_empty())
}

fn class(relation: &Relation) -> Row {
    Row::new()
        .oid("oid", relation.oid)
        .text("relname", &relation.name)
        .oid("relnamespace", namespace(relation))
        .oid("relowner", OWNER)
        .oid("relam", HEAP)
        .real("reltuples", -1.0)
        .bool("relhasindex", !relation.key.is_empty())
        .text("relpersistence", "p")
        .text("relkind", "r")
        .int("relnatts", relation.columns.fields().len() as i64)
        .flags(&["relispopulated"])
        .text("relreplident", "d")
}

fn index_class(relation: &Relation) -> Row {
    Row::new()
        .oid("oid", index_oid(relation))
        .text("relname", &key_name(relation))
        .oid("relnamespace", namespace(relation))
        .oid("relowner", OWNER)
        .oid("relam", BTREE)
        .text("relpersistence", "p")
        .text("relkind", "i")
        .int("relnatts", relation.key.len() as i64)
        .flags(&["relispopulated"])
        .text("relreplident", "n")
}

fn attribute(relation: u32, index: usize, field: &Field, in_key: bool) -> Row {
    let oid = types::oid_of(field);
    let known = types::by_oid(oid);
    let length = known.map_or(-1, |known| known.length);
    Row::new()
        .oid("attrelid", relation)
        .text("attname", field.name())
        .oid("atttypid", oid)
        .int("attlen", length.into())
        .int("attnum", index as i64 + 1)
        .int("attcacheoff", -1)
        .int("atttypmod", types::modifier_of(field.data_type()).into())
        .int("attndims", types::element_of(oid).is_some().into())
        .bool("attbyval", (1..=8).contains(&length))
        .text("attalign", "i")
        .text("attstorage", if length < 0 { "x" } else { "p" })
        .text("attcompression", "")
        .bool("attnotnull", !field.is_nullable() || in_key)
        .text("attidentity", "")
        .text("attgenerated", "")
        .flags(&["attislocal"])
        .oid(
            "attcollation",
            if known.is_some_and(|known| known.category == 'S') { DEFAULT_COLLATION } else { 0 },
        )
}

fn type_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for known in types::TYPES {
        let is_text = known.category == 'S';
        let row =
            |oid: u32, name: &str, length: i16, category: &str, element: u32, array: u32, function: &str| {
                Row::new()
                    .oid("oid", oid)
                    .text("typname", name)
                    .oid("typnamespace", PG_CATALOG)
                    .oid("typowner", OWNER)
                    .int("typlen", length.into())
                    .bool("typbyval", (1..=8).contains(&length))
                    .text("typtype", if oid == types::UNKNOWN { "p" } else { "b" })
                    .text("typcategory", category)
                    .flags(&["typisdefined"])
                    .text("typdelim", ",")
                    .oid("typelem", element)
                    .oid("typarray", array)
                    .text("typinput", &format!("{function}in"))
                    .text("typoutput", &format!("{function}out"))
                    .text("typreceive", &format!("{function}recv"))
                    .text("typsend", &format!("{function}send"))
                    .text("typalign", "i")
                    .text("typstorage", if length < 0 { "x" } else { "p" })
                    .int("typtypmod", -1)
                    .oid("typcollation", if is_text { DEFAULT_COLLATION } else { 0 })
            };
        let category = known.category.to_string();
        rows.push(row(known.oid, known.name, known.length, &category, 0, known.array, known.name));
        if known.array != 0 {
            rows.push(row(known.array, &format!("_{}", known.name), -1, "A", known.oid, 0, "array_"));
        }
    }
    rows
}

fn attribute_numbers(relation: &Relation) -> Vec<i64> {
    relation.key.iter().map(|column| *column as i64 + 1).collect()
}

fn index(relation: &Relation) -> Row {
    let count = relation.key.len();
    Row::new()
        .oid("indexrelid", index_oid(relation))
        .oid("indrelid", relation.oid)
        .int("indnatts", count as i64)
        .int("indnkeyatts", count as i64)
        .flags(&["indisunique", "indisprimary", "indimmediate", "indisvalid", "indisready", "indislive"])
        .put("indkey", Cell::Ints(attribute_numbers(relation)))
        .put("indcollation", Cell::Ints(vec![0; count]))
        .put("indclass", Cell::Ints(vec![0; count]))
        .put("indoption", Cell::Ints(vec![0; count]))
}

fn constraint(relation: &Relation) -> Row {
    Row::new()
        .oid("oid", relation.oid.wrapping_add(CONSTRAINTS))
        .text("conname", &key_name(relation))
        .oid("connamespace", namespace(relation))
        .text("contype", "p")
        .flags(&["convalidated", "conislocal", "connoinherit"])
        .oid("conrelid", relation.oid)
        .oid("conindid", index_oid(relation))
        .text("confupdtype", " ")
        .text("confdeltype", " ")
        .text("confmatchtype", " ")
        .put("conkey", Cell::Ints(attribute_numbers(relation)))
}

/// The relation whose primary key, or its index, has this number.
pub(super) fn of_key(relations: &[Relation], oid: u32) -> Option<&Relation> {
    relations.iter().find(|relation| {
        !relation.key.is_empty()
            && (index_oid(relation) == oid || relation.oid.wrapping_add(CONSTRAINTS) == oid)
    })
}

fn settings() -> Vec<Row> {
    Settings::new("")
        .all()
        .into_iter()
        .map(|(name, value)| {
            Row::new()
                .text("name", &name)
                .text("setting", &value)
                .text("context", "user")
                .text("vartype", "string")
                .text("source", "default")
        })
        .collect()
}

/// `table_catalog`, `table_schema` and `table_name`.
fn named(row: Row, prefix: &str, relation: &Relation, sight: &Sight<'_>) -> Row {
    row.text(&format!("{prefix}_catalog"), sight.database)
        .text(&format!("{prefix}_schema"), relation.schema_name())
        .text(&format!("{prefix}_name"), &relation.name)
}

fn constrained(relation: &Relation, sight: &Sight<'_>) -> Row {
    named(Row::new(), "table", relation, sight)
        .text("constraint_catalog", sight.database)
        .text("constraint_schema", relation.schema_name())
        .text("constraint_name", &key_name(relation))
}

fn column(relation: &Relation, index: usize, field: &Field, sight: &Sight<'_>) -> Row {
    let oid = types::oid_of(field);
    let udt = match (types::by_oid(oid), types::element_of(oid)) {
        (Some(known), _) => known.name.to_string(),
        (None, Some(element)) => format!("_{}", element.name),
        (None, None) => "text".into(),
    };
    let data_type = if types::element_of(oid).is_some() { "ARRAY".into() } else { types::sql_name(oid, -1) };
    let mut row = named(Row::new(), "table", relation, sight)
        .text("column_name", field.name())
        .int("ordinal_position", index as i64 + 1)
        .text("is_nullable", if field.is_nullable() && !relation.key.contains(&index) { "YES" } else { "NO" })
        .text("data_type", &data_type)
        .text("udt_catalog", sight.database)
        .text("udt_schema", "pg_catalog")
        .text("udt_name", &udt)
        .text("dtd_identifier", &(index + 1).to_string())
        .text("is_identity", "NO")
        .text("is_generated", "NEVER")
        .text("is_updatable", "NO");
    let binary = match oid {
        types::INT2 => Some(16),
        types::INT4 => Some(32),
        types::INT8 => Some(64),
        types::FLOAT4 => Some(24),
        types::FLOAT8 => Some(53),
        _ => None,
    };
    if let Some(bits) = binary {
        row = row.int("numeric_precision", bits).int("numeric_precision_radix", 2);
        if bits != 24 && bits != 53 {
            row = row.int("numeric_scale", 0);
        }
    }
    if let DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) = field.data_type()
    {
        row = row
            .int("numeric_precision", (*precision).into())
            .int("numeric_precision_radix", 10)
            .int("numeric_scale", (*scale).into());
    }
    match oid {
        types::TIMESTAMP | types::TIMESTAMPTZ | types::TIME => row.int("datetime_precision", 6),
        types::DATE => row.int("datetime_precision", 0),
        _ => row,
    }
}
