//! Values as text that shows everything, in the form of `FlinkEval.java`.
//!
//! Texts stand in quotes, bytes in hex, maps in the order of their entries' texts, instants in UTC with a `Z`.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use base::Zone;
use sql::expression::cast::format_value;
use sql::types::{LogicalType, TypeKind};

/// The value in a row of a column.
pub fn show(array: &dyn Array, row: usize, data_type: &LogicalType) -> Result<String, String> {
    if array.is_null(row) || array.data_type() == &arrow_schema::DataType::Null {
        return Ok("NULL".into());
    }
    let wrong = || format!("a column of {data_type} holds {}", array.data_type());
    Ok(match &data_type.kind {
        TypeKind::Char(_) | TypeKind::VarChar(_) => {
            let text = array.as_string_opt::<i32>().ok_or_else(wrong)?.value(row);
            format!(
                "'{}'",
                text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\0', "\\0")
            )
        }
        TypeKind::Binary(_) | TypeKind::VarBinary(_) => {
            let bytes = array.as_binary_opt::<i32>().ok_or_else(wrong)?.value(row);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{hex}'")
        }
        TypeKind::TimestampLtz(_) => plain(array, row, data_type)? + "Z",
        TypeKind::Array(element) => {
            let items = array.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
            let items = (0..items.len()).map(|item| show(items.as_ref(), item, element));
            format!("[{}]", items.collect::<Result<Vec<_>, _>>()?.join(", "))
        }
        TypeKind::Map(key, value) => entries(array, row, key, value)?,
        TypeKind::Multiset(element) => entries(array, row, element, &TypeKind::Int.not_null())?,
        TypeKind::Row(fields) => {
            let columns = array.as_struct_opt().ok_or_else(wrong)?.columns();
            let fields = columns.iter().zip(fields);
            let shown = fields.map(|(column, field)| show(column.as_ref(), row, &field.data_type));
            format!("({})", shown.collect::<Result<Vec<_>, _>>()?.join(", "))
        }
        _ => plain(array, row, data_type)?,
    })
}

fn plain(array: &dyn Array, row: usize, data_type: &LogicalType) -> Result<String, String> {
    let mut text = String::new();
    format_value(array, row, data_type, Zone::default(), &mut text)?;
    Ok(text)
}

fn entries(array: &dyn Array, row: usize, key: &LogicalType, value: &LogicalType) -> Result<String, String> {
    let map = array.as_map_opt().ok_or_else(|| format!("a map holds {}", array.data_type()))?.value(row);
    let (keys, values) = (map.column(0), map.column(1));
    let shown =
        |entry| Ok(format!("{}={}", show(keys.as_ref(), entry, key)?, show(values.as_ref(), entry, value)?));
    let mut entries = (0..map.len()).map(shown).collect::<Result<Vec<_>, String>>()?;
    entries.sort();
    Ok(format!("{{{}}}", entries.join(", ")))
}
