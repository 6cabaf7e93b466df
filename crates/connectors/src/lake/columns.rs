//! The columns of a table here beside those of a lake's: which of them fit, so that no value can be lost.

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use std::sync::Arc;

/// The columns that are written, as the lake has them: for each declared one that of the lake's table with its name.
///
/// `there` are those of the lake whose type we know; `unknown` the names and types of the others.
pub(crate) fn written(
    declared: &Fields,
    there: &Fields,
    unknown: &[(String, String)],
) -> Result<Fields, String> {
    for column in declared {
        if there.iter().any(|field| field.name() == column.name()) {
            continue;
        }
        if let Some((_, other)) = unknown.iter().find(|(name, _)| name == column.name()) {
            return Err(format!(
                "column '{}': the table has the type {other}, which cannot be written",
                column.name()
            ));
        }
        let alike = there.iter().find(|field| field.name().eq_ignore_ascii_case(column.name()));
        let hint = match alike {
            Some(field) => format!("it has '{}': write it so", field.name()),
            None => "add it to the table there, or leave it out here".to_string(),
        };
        return Err(format!("column '{}': the table has no such column; {hint}", column.name()));
    }
    let mut fields = Vec::new();
    for field in there {
        match declared.iter().find(|column| column.name() == field.name()) {
            Some(column) => {
                fits(column, field).map_err(|reason| format!("column '{}': {reason}", field.name()))?;
                fields.push(field.clone());
            }
            None if field.is_nullable() => {}
            None => {
                return Err(format!(
                    "column '{}': the table wants a value in each row, and the column is not declared here",
                    field.name()
                ));
            }
        }
    }
    Ok(fields.into())
}

/// Whether each value of one column is one of the other.
fn fits(from: &Field, to: &Field) -> Result<(), String> {
    if from.is_nullable() && !to.is_nullable() {
        return Err("the table wants a value in each row; declare it NOT NULL".into());
    }
    let refuse = || {
        Err(format!(
            "it is declared as {}, and the table has {}",
            told(from.data_type()),
            told(to.data_type())
        ))
    };
    match (from.data_type(), to.data_type()) {
        (DataType::Struct(from), DataType::Struct(to)) => {
            written(from, to, &[])?;
            Ok(())
        }
        (DataType::List(from), DataType::List(to)) => fits(from, to),
        (DataType::Map(from, _), DataType::Map(to, _)) => match (from.data_type(), to.data_type()) {
            (DataType::Struct(from), DataType::Struct(to)) if from.len() == 2 && to.len() == 2 => {
                // A key is never NULL, whatever is declared.
                fits(&from[0].as_ref().clone().with_nullable(false), &to[0])?;
                fits(&from[1], &to[1])
            }
            _ => refuse(),
        },
        (DataType::Timestamp(_, from), DataType::Timestamp(_, to)) if from.is_some() != to.is_some() => {
            Err(match to {
                Some(_) => "the table has instants: declare it TIMESTAMP_LTZ, or CAST it".into(),
                None => {
                    "the table has time stamps without a zone: declare it TIMESTAMP, or CAST it".to_string()
                }
            })
        }
        (DataType::Timestamp(..), DataType::Timestamp(..))
        | (DataType::Time32(_) | DataType::Time64(_), DataType::Time64(_))
        | (DataType::Int8, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
        | (DataType::Int16, DataType::Int16 | DataType::Int32 | DataType::Int64)
        | (DataType::Int32, DataType::Int32 | DataType::Int64)
        | (DataType::Float32, DataType::Float32 | DataType::Float64) => Ok(()),
        (DataType::Decimal128(digits, scale), DataType::Decimal128(more, same)) => {
            if scale == same && digits <= more { Ok(()) } else { refuse() }
        }
        (from, to) if from == to => Ok(()),
        _ => refuse(),
    }
}

/// A type as it is called in SQL.
fn told(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(digits, scale) => format!("DECIMAL({digits}, {scale})"),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP_LTZ".into(),
        DataType::List(_) => "ARRAY".into(),
        DataType::Map(..) => "MAP".into(),
        DataType::Struct(_) => "ROW".into(),
        other => other.to_string(),
    }
}

/// The type of an instant, or of a time stamp without a zone.
pub(crate) fn timestamp(has_zone: bool) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, has_zone.then(|| "UTC".into()))
}

pub(crate) fn list_of(item: Field) -> DataType {
    DataType::List(Arc::new(item.with_name("element")))
}

pub(crate) fn map_of(key: Field, value: Field) -> DataType {
    let pair = vec![key.with_name("key").with_nullable(false), value.with_name("value")];
    let entries = Field::new("key_value", DataType::Struct(pair.into()), false);
    DataType::Map(Arc::new(entries), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(data_type: DataType) -> Fields {
        vec![Field::new("c", data_type, true)].into()
    }

    #[test]
    fn what_fits_and_what_does_not() {
        let row = |data_type: DataType| DataType::Struct(one(data_type));
        for (from, to) in [
            (DataType::Int8, DataType::Int64),
            (DataType::Decimal128(5, 2), DataType::Decimal128(9, 2)),
            (row(DataType::Int32), row(DataType::Int64)),
            (DataType::Timestamp(TimeUnit::Millisecond, None), timestamp(false)),
        ] {
            assert!(written(&one(from.clone()), &one(to.clone()), &[]).is_ok(), "{from} {to}");
        }
        for (from, to, words) in [
            (DataType::Int64, DataType::Int32, "it is declared as BIGINT, and the table has INT"),
            (DataType::Decimal128(9, 2), DataType::Decimal128(9, 3), "DECIMAL(9, 3)"),
            (timestamp(false), timestamp(true), "declare it TIMESTAMP_LTZ"),
            (row(DataType::Int64), row(DataType::Utf8), "column 'c': it is declared as BIGINT"),
        ] {
            let told = written(&one(from), &one(to), &[]).unwrap_err();
            assert!(told.starts_with("column 'c': ") && told.contains(words), "{told}");
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let there: Fields =
            vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)].into();
        let declared: Fields = vec![Field::new("b", DataType::Utf8, true)].into();
        assert_eq!(written(&declared, &there, &[]).unwrap().len(), 1);
        let other: Fields = vec![Field::new("B", DataType::Utf8, true)].into();
        assert!(written(&other, &there, &[]).unwrap_err().contains("it has 'b'"));
        let required: Fields = vec![Field::new("b", DataType::Utf8, false)].into();
        assert!(written(&declared, &required, &[]).unwrap_err().contains("NOT NULL"));
        let unknown = [("b".to_string(), "uuid".to_string())];
        let told = written(&declared, &Fields::empty(), &unknown).unwrap_err();
        assert!(told.contains("the type uuid"), "{told}");
    }
}
