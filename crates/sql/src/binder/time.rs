//! Expressions over times and intervals whose first operand is a unit.

use super::scope::Scope;
use super::{Binder, Bound, boxed, literal, operator, shown};
use crate::ast::{self, BinaryOperator, TimeUnit};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::expression::cast::CastMode;
use crate::span::Span;
use crate::types::TypeKind;
use base::Zone;

impl Binder<'_> {
    /// A registered function whose first argument is a unit.
    pub(super) fn with_unit(
        &mut self,
        registered: &str,
        name: &str,
        unit: TimeUnit,
        operands: Vec<Scalar>,
        span: Span,
    ) -> Bound<Scalar> {
        for operand in &operands {
            if !operand.data_type.kind.is_temporal() && operand.data_type.kind != TypeKind::Null {
                let diagnostic = Diagnostic::mistyped(
                    span,
                    format!("{name} takes a date, time or timestamp but found {}", shown(&operand.data_type)),
                );
                return boxed(if operand.data_type.kind.is_character() {
                    diagnostic.with_hint(format!("write CAST({} AS TIMESTAMP(3))", operand.describe()))
                } else {
                    diagnostic
                });
            }
        }
        let unit = ast::Literal::String(unit.name().to_string());
        let mut arguments = vec![literal::bind(&unit, false, Zone::UTC, span)?];
        arguments.extend(operands);
        self.function(registered, arguments, span)
    }

    /// EXTRACT from an interval.
    pub(super) fn field_of_interval(&mut self, unit: TimeUnit, operand: Scalar, span: Span) -> Bound<Scalar> {
        use TimeUnit::*;
        let has_it = match operand.data_type.kind {
            TypeKind::IntervalYearMonth => matches!(unit, Year | Quarter | Month | Century),
            _ => matches!(unit, Day | Hour | Minute | Second | Millisecond),
        };
        if !has_it {
            return boxed(
                Diagnostic::mistyped(
                    span,
                    format!("{} has no field {}", shown(&operand.data_type), unit.name()),
                )
                .with_hint(
                    "intervals have YEAR, QUARTER and MONTH, or DAY, HOUR, MINUTE, SECOND and MILLISECOND",
                ),
            );
        }
        let unit = ast::Literal::String(unit.name().to_string());
        let unit = literal::bind(&unit, false, Zone::UTC, span)?;
        self.function("$EXTRACT_INTERVAL", vec![unit, operand], span)
    }

    /// `(left - right) unit` of two points in time.
    pub(super) fn interval_between(
        &mut self,
        left: Scalar,
        right: Scalar,
        unit: TimeUnit,
        span: Span,
    ) -> Bound<Scalar> {
        use std::mem::discriminant;
        let (a, b) = (&left.data_type.kind, &right.data_type.kind);
        if !a.is_temporal() || discriminant(a) != discriminant(b) {
            return boxed(
                Diagnostic::mistyped(
                    span,
                    format!(
                        "an interval lies between two times of one type, but found {} and {}",
                        shown(&left.data_type),
                        shown(&right.data_type)
                    ),
                )
                .with_hint("cast one side to the type of the other"),
            );
        }
        let months = matches!(unit, TimeUnit::Year | TimeUnit::Quarter | TimeUnit::Month);
        let name = if months { "$MONTHS_BETWEEN" } else { "$TIME_BETWEEN" };
        self.function(name, vec![left, right], span)
    }

    pub(super) fn timestamp_add(
        &mut self,
        unit: TimeUnit,
        count: &ast::Expression,
        operand: &ast::Expression,
        scope: &Scope,
        span: Span,
    ) -> Bound<Scalar> {
        use arrow_array::{ArrayRef, Int32Array, Int64Array};
        use std::sync::Arc;
        let operand_span = operand.span;
        let (amount, operand) = self.pair(count, operand, scope)?;
        if !amount.data_type.kind.is_integer() {
            return boxed(
                Diagnostic::mistyped(
                    count.span,
                    format!("TIMESTAMPADD counts in integers, but found {}", shown(&amount.data_type)),
                )
                .with_label("expected INT"),
            );
        }
        if !operand.data_type.kind.is_temporal() {
            return boxed(Diagnostic::mistyped(
                operand_span,
                format!("TIMESTAMPADD takes a date or timestamp but found {}", shown(&operand.data_type)),
            ));
        }
        let (kind, size) = match unit {
            TimeUnit::Year => (TypeKind::IntervalYearMonth, 12),
            TimeUnit::Quarter => (TypeKind::IntervalYearMonth, 3),
            TimeUnit::Month => (TypeKind::IntervalYearMonth, 1),
            TimeUnit::Week => (TypeKind::IntervalDayTime, 604_800_000),
            TimeUnit::Day => (TypeKind::IntervalDayTime, 86_400_000),
            TimeUnit::Hour => (TypeKind::IntervalDayTime, 3_600_000),
            TimeUnit::Minute => (TypeKind::IntervalDayTime, 60_000),
            TimeUnit::Second => (TypeKind::IntervalDayTime, 1_000),
            TimeUnit::Millisecond => (TypeKind::IntervalDayTime, 1),
            _ => {
                return boxed(Diagnostic::invalid(
                    span,
                    format!("TIMESTAMPADD does not count in {}", unit.name()),
                ));
            }
        };
        let one: ArrayRef = if kind == TypeKind::IntervalYearMonth {
            Arc::new(Int32Array::from(vec![size as i32]))
        } else {
            Arc::new(Int64Array::from(vec![size]))
        };
        let text = format!("INTERVAL '1' {}", unit.name());
        let one = Scalar::literal(one, text, kind.not_null());
        let interval = operator::binary(BinaryOperator::Multiply, amount, one, span, self.zone())?;
        // A date moved by less than a day becomes a timestamp.
        let shorter =
            matches!(unit, TimeUnit::Hour | TimeUnit::Minute | TimeUnit::Second | TimeUnit::Millisecond);
        let operand = if operand.data_type.kind == TypeKind::Date && shorter {
            operator::cast(operand, &TypeKind::Timestamp(6).nullable(), CastMode::default(), span)?
        } else {
            operand
        };
        operator::add_interval(operand, interval, false, span)
    }
}
