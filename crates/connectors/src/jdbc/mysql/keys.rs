//! Keys by which rows are read in an order, and behind which reading goes on: conditions in which a text of a key is compared
//! as the table compares its own.

use super::types::TableColumn;
use super::wire::{Connection, Wired};
use super::{identifier, literal};

/// The columns of a table's primary key, in its order. `database` is an expression.
pub(crate) fn primary(
    connection: &mut Connection,
    database: &str,
    table: &str,
    columns: &[TableColumn],
) -> Wired<Vec<TableColumn>> {
    let keys = connection.query(&format!(
        "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = {} \
         AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX",
        literal(table)
    ))?;
    let named = |name: &str| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned();
    Ok((0..keys.rows.len()).filter_map(|row| named(keys.text(row, 0)?)).collect())
}

/// Whether no two rows of a table have the same value in a column.
pub(crate) fn is_unique(connection: &mut Connection, table: &str, column: &str) -> Wired<bool> {
    let found = connection.query(&format!(
        "SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {} \
         AND NON_UNIQUE = 0 GROUP BY INDEX_NAME HAVING COUNT(*) = 1 AND MAX(COLUMN_NAME) = {} AND MAX(SUB_PART) IS NULL",
        literal(table),
        literal(column)
    ))?;
    Ok(!found.rows.is_empty())
}

/// Whether rows can be put in an order by a column that its text tells.
pub(crate) fn orders(column: &TableColumn) -> bool {
    const KINDS: &[&str] = &[
        "tinyint",
        "smallint",
        "mediumint",
        "int",
        "bigint",
        "decimal",
        "year",
        "date",
        "time",
        "datetime",
        "timestamp",
        "char",
        "varchar",
        "binary",
        "varbinary",
    ];
    KINDS.contains(&column.kind.as_str())
}

/// A condition for the rows whose key is greater than one: columns, or values, against values.
pub(crate) fn is_behind(one: &[String], other: &[String]) -> String {
    let mut cases = Vec::with_capacity(one.len());
    for place in 0..one.len().min(other.len()) {
        let mut parts: Vec<String> =
            (0..place).map(|before| format!("{} = {}", one[before], other[before])).collect();
        parts.push(format!("{} > {}", one[place], other[place]));
        cases.push(format!("({})", parts.join(" AND ")));
    }
    format!("({})", cases.join(" OR "))
}

pub(crate) fn names(key: &[TableColumn]) -> Vec<String> {
    key.iter().map(|column| identifier(&column.name)).collect()
}

/// The texts of a key as values.
pub(crate) fn values(key: &[TableColumn], texts: &[String]) -> Vec<String> {
    key.iter().zip(texts).map(|(column, text)| value(column, text)).collect()
}

/// `text` is as `TableColumn::text` has it: bytes in hexadecimal digits.
fn value(column: &TableColumn, text: &str) -> String {
    match column.kind.as_str() {
        "date" => format!("CAST({} AS DATE)", literal(text)),
        "time" => format!("CAST({} AS TIME(6))", literal(text)),
        "datetime" | "timestamp" => format!("CAST({} AS DATETIME(6))", literal(text)),
        "char" | "varchar" => {
            let (charset, collation) = (column.charset.as_deref(), column.collation.as_deref());
            match charset.zip(collation) {
                Some((charset, collation)) => {
                    format!("CONVERT({} USING {charset}) COLLATE {collation}", literal(text))
                }
                None => literal(text),
            }
        }
        "binary" | "varbinary" => format!("x'{}'", text.trim_start_matches("\\x")),
        // A number that somebody else wrote must not become anything else.
        _ => match text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'.') {
            true => text.to_string(),
            false => literal(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> TableColumn {
        TableColumn {
            name: name.into(),
            kind: kind.into(),
            whole: kind.into(),
            charset: Some("latin1".into()),
            collation: Some("latin1_german1_ci".into()),
            ..TableColumn::default()
        }
    }

    #[test]
    fn keys_are_compared_as_the_table_does() {
        let key = [column("a", "int"), column("b`", "varchar"), column("c", "binary")];
        let values = values(&key, &["-7".into(), "it's".into(), "\\x00ff".into()]);
        assert_eq!(values, ["-7", "CONVERT('it''s' USING latin1) COLLATE latin1_german1_ci", "x'00ff'"]);
        assert_eq!(
            is_behind(&names(&key)[..2], &values[..2]),
            "((`a` > -7) OR (`a` = -7 AND `b``` > CONVERT('it''s' USING latin1) COLLATE latin1_german1_ci))"
        );
        assert_eq!(value(&column("a", "int"), "1 OR 1"), "'1 OR 1'");
        assert_eq!(value(&column("a", "datetime"), "2024-01-01"), "CAST('2024-01-01' AS DATETIME(6))");
    }
}
