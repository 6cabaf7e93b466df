//! Rows that a statement holds itself: VALUES, and the one row of a SELECT without FROM.
//!
//! Both are projections over a scan that counts (`dataflow::values`). Values that do not depend on the clock are computed
//! here and kept as one list for each column; where some do, or where one fails, each row is a projection of its own.

use super::relation::{Column, RelationId, RelationKind};
use super::scope::Scope;
use super::table::BoundTable;
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::{Expression, ExpressionKind, ValuesRow};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{LogicalType, TypeKind, common_type};
use arrow_array::Array;
use std::sync::Arc;

impl Binder<'_> {
    pub(super) fn values(&mut self, written: &[ValuesRow], span: Span) -> Bound<RelationId> {
        // What is around it is not seen from inside.
        let around = (self.collector.take(), self.numbers.take(), self.values.take());
        let bound = self.value_rows(written, span);
        (self.collector, self.numbers, self.values) = around;
        let rows = bound?;
        let columns = common_columns(&rows, written, span)?;
        let zone = self.settings.zone;
        let rows: Vec<Vec<Scalar>> = rows
            .into_iter()
            .map(|row| row.into_iter().zip(&columns).map(|(value, to)| fitted(value, to, zone)).collect())
            .collect();
        let name = |column: usize| format!("EXPR${column}");
        if let [_, _, ..] = rows.as_slice()
            && let Some(lists) = lists(&rows, &columns)
        {
            let source = self.row_numbers(rows.len());
            let place = self.graph.columns(source)[0].scalar(0);
            let items = lists.into_iter().enumerate().map(|(column, (values, text))| {
                let kind = ScalarKind::Listed { place: Box::new(place.clone()), values, text };
                (name(column), Scalar { kind, data_type: columns[column].clone() })
            });
            let items = items.collect();
            return Ok(self.graph.project(source, items));
        }
        let source = self.row_numbers(1);
        let mut parts = Vec::new();
        for row in rows {
            let items = row.into_iter().zip(&columns).enumerate();
            let items = items.map(|(column, (value, data_type))| {
                (name(column), Scalar { data_type: data_type.clone(), ..value })
            });
            let items = items.collect();
            parts.push(self.graph.project(source, items));
        }
        if let [only] = parts.as_slice() {
            return Ok(*only);
        }
        let columns = columns.into_iter().enumerate().map(|(at, kind)| Column::new(name(at), kind)).collect();
        Ok(self.graph.add(RelationKind::Union, parts, columns))
    }

    fn value_rows(&mut self, written: &[ValuesRow], span: Span) -> Bound<Vec<Vec<Scalar>>> {
        let width = written.first().map_or(0, |row| values_of(row).len());
        if width == 0 {
            return boxed(Diagnostic::invalid(span, "VALUES without a value"));
        }
        let mut rows = Vec::with_capacity(written.len());
        for row in written {
            let values = values_of(row);
            if values.len() != width {
                return boxed(
                    Diagnostic::mistyped(
                        row.span,
                        format!("a row of VALUES has {} columns where the first has {width}", values.len()),
                    )
                    .with_label("all rows need the same number of columns"),
                );
            }
            rows.push(self.expressions(values, &Scope::default())?);
        }
        Ok(rows)
    }

    /// One row without columns that can be named.
    pub(super) fn one_row(&mut self) -> (RelationId, Scope) {
        let source = self.row_numbers(1);
        let mut scope = Scope::of(None, self.graph.columns(source));
        scope.columns.iter_mut().for_each(|column| column.hidden = true);
        (source, scope)
    }

    /// The numbers of so many rows.
    fn row_numbers(&mut self, rows: usize) -> RelationId {
        let definition = Arc::new(dataflow::values::table(rows));
        let table = BoundTable {
            name: definition.name.clone(),
            columns: Vec::new(),
            watermark: None,
            definition,
            connector: Arc::new(dataflow::values::Values),
            bounded: true,
            comment: None,
        };
        let columns = vec![Column::new("row", TypeKind::BigInt.not_null())];
        self.graph.add(RelationKind::Scan { table: Arc::new(table) }, Vec::new(), columns)
    }
}

/// `ROW(a, b)` alone is the row itself.
fn values_of(row: &ValuesRow) -> &[Expression] {
    match row.values.as_slice() {
        [Expression { kind: ExpressionKind::Row(parts), .. }] => parts,
        values => values,
    }
}

/// The types that hold the values of all rows.
fn common_columns(rows: &[Vec<Scalar>], written: &[ValuesRow], span: Span) -> Bound<Vec<LogicalType>> {
    let Some((first, others)) = rows.split_first() else {
        return boxed(Diagnostic::invalid(span, "VALUES without a row"));
    };
    let mut columns: Vec<LogicalType> = first.iter().map(|value| value.data_type.clone()).collect();
    for (number, row) in others.iter().enumerate() {
        for (place, value) in row.iter().enumerate() {
            let Some(common) = common_type(&columns[place], &value.data_type) else {
                let at = written.get(number + 1).and_then(|row| values_of(row).get(place));
                return boxed(
                    Diagnostic::mistyped(
                        at.map_or(span, |value| value.span),
                        format!(
                            "type mismatch in column {} of VALUES: {} and {}",
                            place + 1,
                            shown(&columns[place]),
                            shown(&value.data_type)
                        ),
                    )
                    .with_hint("cast one value to the type of the others"),
                );
            };
            columns[place] = common;
        }
    }
    Ok(columns)
}

fn fitted(value: Scalar, to: &LogicalType, zone: base::Zone) -> Scalar {
    let to_kind = LogicalType { nullable: value.data_type.nullable, ..to.clone() };
    operator::coerce(value, &to_kind, zone)
}

/// The values of each column as one list, with its text.
fn lists(rows: &[Vec<Scalar>], columns: &[LogicalType]) -> Option<Vec<(arrow_array::ArrayRef, String)>> {
    let mut lists = Vec::with_capacity(columns.len());
    for (place, data_type) in columns.iter().enumerate() {
        let values: Vec<Scalar> =
            rows.iter().map(|row| row[place].as_constant()).collect::<Option<Vec<Scalar>>>()?;
        let wanted = data_type.to_arrow();
        let arrays: Vec<&dyn Array> =
            values.iter().filter_map(Scalar::as_literal).map(AsRef::as_ref).collect();
        if arrays.len() != rows.len() || arrays.iter().any(|array| *array.data_type() != wanted) {
            return None;
        }
        let texts: Vec<String> = values.iter().map(Scalar::describe).collect();
        lists.push((arrow_select::concat::concat(&arrays).ok()?, format!("({})", texts.join(", "))));
    }
    Some(lists)
}
