//! Which of ClickHouse's types take what a column of ours writes.

use arrow_schema::DataType;
use dataflow::plan::type_name;
use dataflow::table::TableDefinition;

/// Whether the table there has the columns that are declared here, by name and type; answers of each whether it takes no NULL.
pub(super) fn check(declared: &TableDefinition, columns: &[(&str, &str)]) -> Result<Vec<bool>, String> {
    let mut required = Vec::new();
    for field in declared.schema.fields() {
        let name = field.name();
        let Some((_, there)) = columns.iter().find(|(column, _)| column == name) else {
            let known: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
            return Err(format!(
                "the table in ClickHouse has no column '{name}'; it has {}",
                known.join(", ")
            ));
        };
        if !fits(field.data_type(), there) {
            let here = type_name(field.data_type());
            return Err(format!(
                "the column '{name}' is {here} here and {there} in ClickHouse, which do not fit"
            ));
        }
        required.push(is_required(there));
    }
    Ok(required)
}

/// Whether a NULL has no place there.
fn is_required(there: &str) -> bool {
    let takes_null = ["Nullable(", "LowCardinality(Nullable(", "Dynamic", "Variant", "JSON"];
    !takes_null.iter().any(|begin| there.starts_with(begin))
}

/// Without `Nullable` and `LowCardinality` around it.
fn bare(there: &str) -> &str {
    let mut bare = there;
    while let Some(inner) =
        ["Nullable(", "LowCardinality("].iter().find_map(|around| bare.strip_prefix(around))
    {
        bare = inner.strip_suffix(')').unwrap_or(inner);
    }
    bare
}

fn fits(here: &DataType, there: &str) -> bool {
    let there = bare(there);
    let is = |names: &[&str]| names.iter().any(|name| there.starts_with(name));
    // What is a value of any kind.
    if is(&["Dynamic", "Variant"]) {
        return true;
    }
    match here {
        DataType::Boolean => is(&["Bool", "UInt8", "Int8"]),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            is(&["Int", "UInt", "Float", "Decimal"]) && !is(&["Interval"])
        }
        DataType::Float32 | DataType::Float64 => is(&["Float", "BFloat16", "Decimal"]),
        DataType::Decimal128(..) => is(&["Decimal", "Float"]),
        // A text may be read as nearly everything.
        DataType::Utf8 => !is(&["Array", "Map", "Tuple", "Nested"]),
        DataType::Binary => is(&["String", "FixedString"]),
        DataType::Date32 => is(&["Date", "String"]),
        DataType::Time32(_) => is(&["Time", "String"]),
        DataType::Timestamp(..) => is(&["DateTime", "String"]),
        DataType::List(_) => is(&["Array"]),
        DataType::Map(..) => is(&["Map", "JSON", "Object"]),
        DataType::Struct(_) => is(&["Tuple", "JSON", "Object"]),
        _ => false,
    }
}
