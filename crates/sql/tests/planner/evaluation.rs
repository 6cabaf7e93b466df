//! Evaluates an expression over one row and prints its value as CAST(… AS STRING) would.

use arrow_array::{Array, RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use base::Zone;
use dataflow::expression::EvaluationContext;
use sql::ast::ObjectName;
use sql::binder::{BindSettings, Binder, Named, Relations};
use sql::expression::cast::format_value;
use sql::parser::parse_expression;
use sql::source::SourceText;
use std::sync::Arc;

struct Nothing;

impl Relations for Nothing {
    fn find(&self, _: &ObjectName) -> Option<Named> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The clock of the tests: 2026-03-05 12:44:31.123 UTC.
pub const CLOCK_MS: i64 = 1_772_714_671_123;

/// The type and the text of a value; `Err` for a message of the binder or of the evaluation.
pub fn evaluate_in(text: &str, zone: Zone) -> Result<(String, String), String> {
    let source = SourceText::new("expression", text);
    let written = parse_expression(&source).map_err(|d| format!("parse: {}", d[0]))?;
    let settings = BindSettings { zone, ..BindSettings::default() };
    let mut binder = Binder::new(&Nothing, settings);
    let scalar = binder.bind_constant(&written).map_err(|d| format!("bind: {d}"))?;
    let data_type = scalar.data_type.clone();
    // Two rows, so that constants are spread too.
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
    let context = EvaluationContext { clock_ms: CLOCK_MS, watermarks: None, randomness: Default::default() };
    let array = scalar.compile().evaluate(&rows, &context).map_err(|e| format!("run: {}", e.message))?;
    assert_eq!(array.len(), 2, "{text}");
    let print = |row: usize| {
        if array.is_null(row) || array.data_type() == &arrow_schema::DataType::Null {
            return "NULL".to_string();
        }
        let mut out = String::new();
        format_value(array.as_ref(), row, &data_type, zone, &mut out).unwrap();
        out
    };
    assert_eq!(print(0), print(1), "{text}");
    assert!(data_type.nullable || array.null_count() == 0, "{text} is NULL but its type is {data_type}");
    Ok((data_type.to_string(), print(0)))
}

pub fn evaluate(text: &str) -> Result<(String, String), String> {
    evaluate_in(text, Zone::UTC)
}

/// The values of an expression over the column `x` INT and, per row, the watermark.
pub fn over_column(text: &str, x: &[Option<i32>]) -> Result<Vec<String>, String> {
    use arrow_array::{ArrayRef, Int32Array};
    let source = SourceText::new("expression", text);
    let written = parse_expression(&source).map_err(|d| format!("parse: {}", d[0]))?;
    let column = sql::binder::Column::new("x", sql::types::TypeKind::Int.nullable());
    let mut binder = Binder::new(&Nothing, BindSettings::default());
    let scalar = binder.bind_over(&written, &[column]).map_err(|d| format!("bind: {d}"))?;
    let data_type = scalar.data_type.clone();
    let values: ArrayRef = Arc::new(Int32Array::from(x.to_vec()));
    let rows = RecordBatch::try_from_iter_with_nullable([("x", values, true)]).unwrap();
    let context = EvaluationContext { clock_ms: CLOCK_MS, watermarks: None, randomness: Default::default() };
    let array = scalar.compile().evaluate(&rows, &context).map_err(|e| format!("run: {}", e.message))?;
    Ok((0..array.len())
        .map(|row| {
            let mut out = String::new();
            if array.is_null(row) {
                return "NULL".to_string();
            }
            format_value(array.as_ref(), row, &data_type, Zone::UTC, &mut out).unwrap();
            out
        })
        .collect())
}
