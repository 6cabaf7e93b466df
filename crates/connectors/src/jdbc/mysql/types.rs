//! The columns of a table as the server describes them, which declared types fit them, and their values as texts.
//!
//! The types are mapped as Flink's connector does.

use super::literal;
use super::wire::{Connection, Wired, broken};
use arrow_schema::{DataType, Field, TimeUnit};
use std::fmt::Write;

/// A column of a table of the database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableColumn {
    pub name: String,
    /// Without what stands in brackets: `varchar`.
    pub kind: String,
    /// With all of it: `int(10) unsigned`, `enum('a','b')`.
    pub whole: String,
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub is_generated: bool,
    /// Where a row is written without it, it may be equal to another row's.
    pub may_repeat: bool,
}

impl TableColumn {
    pub(crate) fn is_unsigned(&self) -> bool {
        self.whole.contains(" unsigned")
    }

    pub(crate) fn is_binary(&self) -> bool {
        ["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"].contains(&self.kind.as_str())
    }

    /// What selects its values so that nothing of them is lost: a FLOAT is shown with six digits only.
    pub(crate) fn selected(&self) -> String {
        let name = super::identifier(&self.name);
        if self.kind == "float" { format!("{name} + 0e0") } else { name }
    }

    /// Its value, as the server sent it, in the form that columns of declared types are read from.
    pub(crate) fn text(&self, declared: &DataType, value: &[u8]) -> Result<String, String> {
        if self.is_binary() {
            return Ok(hex(value));
        }
        if self.kind == "bit" {
            let bits = value.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            return Ok(truth(declared, &bits.to_string()));
        }
        let text = std::str::from_utf8(value)
            .map_err(|_| format!("the column '{}' holds a text that is not UTF-8", self.name))?;
        Ok(match self.kind.as_str() {
            "float" => text.parse().map_or_else(|_| text.into(), |value: f64| single(value as f32)),
            "double" => text.parse().map_or_else(|_| text.into(), double),
            _ => truth(declared, text),
        })
    }
}

/// A number that is declared BOOLEAN.
pub(crate) fn truth(declared: &DataType, number: &str) -> String {
    match (declared, number) {
        (DataType::Boolean, "0") => "f".into(),
        (DataType::Boolean, _) => "t".into(),
        _ => number.into(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_string(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The shortest digits that give the same number again.
pub(crate) fn single(value: f32) -> String {
    let is_long = value != 0.0 && !(1e-5..1e15).contains(&value.abs());
    if is_long { format!("{value:e}") } else { value.to_string() }
}

pub(crate) fn double(value: f64) -> String {
    let is_long = value != 0.0 && !(1e-5..1e15).contains(&value.abs());
    if is_long { format!("{value:e}") } else { value.to_string() }
}

/// The columns of a table in their order; none where there is no such table, or the user may not see it. `database` is an
/// expression.
pub(crate) fn columns(connection: &mut Connection, database: &str, table: &str) -> Wired<Vec<TableColumn>> {
    let is_mariadb = connection.is_mariadb();
    let found = connection.query(&format!(
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, EXTRA, COLUMN_DEFAULT, IS_NULLABLE \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        literal(table)
    ))?;
    let column = |row: usize| {
        let text = |column: usize| found.text(row, column).map(str::to_string);
        let extra = text(5)?.to_ascii_uppercase();
        let kind = text(1)?.to_ascii_lowercase();
        // MySQL says DEFAULT_GENERATED where only the default is an expression.
        let is_generated =
            ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"].iter().any(|kind| extra.contains(kind));
        let may_be_null = text(7).as_deref() == Some("YES");
        // MariaDB writes a text in quotes, and NULL as it is.
        let default = text(6).filter(|default| !(is_mariadb && may_be_null && default == "NULL"));
        let may_repeat = match default {
            Some(default) => !default.to_ascii_lowercase().contains("uuid"),
            // NULLs are not equal; what must be given is given by a trigger. But an ENUM has its first value.
            None => !may_be_null && kind == "enum",
        };
        Some(TableColumn {
            name: text(0)?,
            kind,
            whole: text(2)?,
            charset: text(3),
            collation: text(4),
            is_generated,
            may_repeat: is_generated || may_repeat && !extra.contains("AUTO_INCREMENT"),
        })
    };
    (0..found.rows.len())
        .map(column)
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| broken("the server does not say what columns a table has"))
}

/// The column that a declared one names, if its values can be read as the declared type.
pub(crate) fn declared_column(all: &[TableColumn], field: &Field) -> Result<TableColumn, String> {
    let named = |column: &&TableColumn| column.name.eq_ignore_ascii_case(field.name());
    let Some(column) = all.iter().find(named) else {
        let names: Vec<&str> = all.iter().map(|column| column.name.as_str()).collect();
        return Err(format!("there is no column '{}'; there are {}", field.name(), names.join(", ")));
    };
    match fits(field.data_type(), column) {
        true => Ok(column.clone()),
        false => Err(format!(
            "the column '{}' is declared {} and is {}; declare it as it is there",
            column.name,
            dataflow::plan::type_name(field.data_type()),
            column.whole
        )),
    }
}

/// Whether a column holds whole numbers.
pub(crate) fn counts(column: &TableColumn) -> bool {
    const WHOLE: &[&str] = &["tinyint", "smallint", "mediumint", "int", "bigint"];
    WHOLE.contains(&column.kind.as_str()) || column.kind == "decimal" && column.whole.contains(",0)")
}

/// Whether all values of a column can be read as the declared type, or those that cannot are refused one by one.
pub(crate) fn fits(data_type: &DataType, column: &TableColumn) -> bool {
    let kind = column.kind.as_str();
    let (tiny, small, medium) = (kind == "tinyint", kind == "smallint", kind == "mediumint");
    let is_signed = !column.is_unsigned();
    match data_type {
        DataType::Boolean => tiny || column.whole == "bit(1)",
        DataType::Int8 => tiny && is_signed,
        DataType::Int16 => tiny || small && is_signed || kind == "year",
        DataType::Int32 => tiny || small || medium || kind == "int" && is_signed || kind == "year",
        DataType::Int64 => {
            tiny || small || medium || ["int", "year", "bit"].contains(&kind) || kind == "bigint" && is_signed
        }
        DataType::Float32 => kind == "float",
        DataType::Float64 => ["float", "double"].contains(&kind),
        DataType::Decimal128(..) => {
            ["decimal", "tinyint", "smallint", "mediumint", "int", "bigint"].contains(&kind)
        }
        DataType::Utf8 => [
            "char",
            "varchar",
            "tinytext",
            "text",
            "mediumtext",
            "longtext",
            "enum",
            "set",
            "json",
            "uuid",
            "inet4",
            "inet6",
        ]
        .contains(&kind),
        DataType::Binary => column.is_binary(),
        DataType::Date32 => kind == "date",
        DataType::Time32(_) => kind == "time",
        DataType::Timestamp(_, None) => ["datetime", "timestamp"].contains(&kind),
        DataType::Timestamp(_, Some(_)) => kind == "timestamp",
        _ => false,
    }
}

/// Whether a column takes values of the declared type: what fits, and other numbers, which the server refuses one by one
/// where they do not fit.
pub(crate) fn takes(data_type: &DataType, column: &TableColumn) -> bool {
    const WHOLE: &[&str] = &["tinyint", "smallint", "mediumint", "int", "bigint", "decimal"];
    let kind = column.kind.as_str();
    fits(data_type, column)
        || match data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => WHOLE.contains(&kind),
            DataType::Float32 => kind == "double",
            _ => false,
        }
}

/// The type of a column for values of the declared type; none where there is none. What is in a key must have a length.
pub(crate) fn declared(data_type: &DataType, is_key: bool) -> Option<String> {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
    };
    Some(match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 if is_key => "VARCHAR(255)".into(),
        DataType::Utf8 => "LONGTEXT".into(),
        DataType::Binary if is_key => "VARBINARY(255)".into(),
        DataType::Binary => "LONGBLOB".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(TimeUnit::Millisecond) => "TIME(3)".into(),
        DataType::Timestamp(unit, None) => format!("DATETIME({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP({})", digits(unit)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: &str, whole: &str) -> TableColumn {
        TableColumn { name: "c".into(), kind: kind.into(), whole: whole.into(), ..TableColumn::default() }
    }

    #[test]
    fn unsigned_numbers_need_the_next_wider_type() {
        let int = column("int", "int(10) unsigned");
        assert!(
            !fits(&DataType::Int32, &int) && fits(&DataType::Int64, &int) && takes(&DataType::Int32, &int)
        );
        let big = column("bigint", "bigint(20) unsigned");
        assert!(!fits(&DataType::Int64, &big) && fits(&DataType::Decimal128(20, 0), &big));
        assert!(fits(&DataType::Boolean, &column("tinyint", "tinyint(1)")));
        assert!(!fits(&DataType::Utf8, &column("int", "int(11)")));
        assert!(!takes(&DataType::Date32, &column("bigint", "bigint(20)")));
        assert!(counts(&int) && counts(&column("decimal", "decimal(20,0)")));
        assert!(!counts(&column("decimal", "decimal(20,2)")) && !counts(&column("date", "date")));
    }

    #[test]
    fn values_have_one_text_each() {
        let text = |kind: &str, declared: &DataType, value: &[u8]| column(kind, kind).text(declared, value);
        assert_eq!(text("float", &DataType::Float32, b"0.10000000149011612"), Ok("0.1".into()));
        assert_eq!(text("float", &DataType::Utf8, b"3.4028234663852886e38"), Ok("3.4028235e38".into()));
        assert_eq!(text("double", &DataType::Float64, b"-0.1"), Ok("-0.1".into()));
        assert_eq!(text("bit", &DataType::Boolean, b"\x01"), Ok("t".into()));
        assert_eq!(text("bit", &DataType::Int64, b"\x01\x02"), Ok("258".into()));
        assert_eq!(text("tinyint", &DataType::Boolean, b"0"), Ok("f".into()));
        assert_eq!(text("blob", &DataType::Binary, b"\x00\xff"), Ok("\\x00ff".into()));
        assert!(text("varchar", &DataType::Utf8, b"\xff").is_err());
    }
}
