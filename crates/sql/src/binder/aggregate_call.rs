//! Calls of aggregates, in groups and OVER windows: what they take, their types, and what they are computed from.
//!
//! Most are one call of the engine. Variances are computed from two, and so is an average OVER a window: there Flink
//! divides a sum, which wraps in the argument's type, by a count.

use super::aggregate::PendingAggregate;
use super::call::argument_expression;
use super::expression::make_case;
use super::json::is_json;
use super::scope::Scope;
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::{
    Argument, ArgumentValue, BinaryOperator, Expression, FunctionCall, Identifier, JsonCall, JsonOnNull,
    NullTreatment, ObjectName, SetQuantifier,
};
use crate::diagnostic::Diagnostic;
use crate::expression::cast::CastMode;
use crate::expression::{Scalar, ScalarKind};
use crate::functions::aggregate::{Aggregate, Deviation, Kind};
use crate::span::Span;
use crate::types::{LogicalType, RowField, TypeKind};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use dataflow::plan::{AggregateFunction, AggregateOptions};
use std::sync::Arc;

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    Group,
    /// OVER the window of this number.
    Over(usize),
    /// In a condition or a measure of MATCH_RECOGNIZE.
    Pattern,
}

/// A call whose parts are bound.
struct Parts<'c> {
    call: &'c FunctionCall,
    name: String,
    distinct: bool,
    filter: Option<Scalar>,
    site: Site,
    /// There may be no row, or none that counts.
    may_lack: bool,
}

impl Binder<'_> {
    /// What a call becomes: its placeholder, or an expression over placeholders.
    pub(super) fn aggregate_value(
        &mut self,
        call: &FunctionCall,
        aggregate: &'static Aggregate,
        site: Site,
        scope: &Scope,
    ) -> Bound<Scalar> {
        let name = call.name.last().value.to_ascii_uppercase();
        let span = call.span;
        if let Some(item) = call.within_group.first().or(call.order_by.first()) {
            let hint = match call.within_group.is_empty() {
                true => "Flink reads it, and then takes the values as they come; leave it out",
                false => "Flink refuses it too; the values stand in the order in which they come",
            };
            return boxed(
                Diagnostic::unsupported(
                    item.span,
                    format!("ORDER BY for the values of {name} is not supported"),
                )
                .with_hint(hint),
            );
        }
        let ignores_nulls = call.nulls == Some(NullTreatment::Ignore);
        if call.nulls == Some(NullTreatment::Respect) && aggregate.kind != Kind::ArrayAgg {
            return boxed(
                Diagnostic::unsupported(span, format!("{name} … RESPECT NULLS is not supported"))
                    .with_hint("without it NULLs are skipped"),
            );
        }
        let mut filter = match &call.filter {
            None => None,
            Some(filter) => {
                let bound = self.expression(filter, scope)?;
                Some(operator::boolean(bound, "FILTER", filter.span)?)
            }
        };
        let argument = self.first_argument(call, aggregate, &name, scope)?;
        let may_lack = filter.is_some()
            || site == Site::Pattern
            || (site == Site::Group && self.collector.as_ref().is_some_and(|collector| collector.is_global));
        if let Some(argument) =
            argument.as_ref().filter(|_| ignores_nulls && aggregate.kind == Kind::ArrayAgg)
        {
            filter = both(filter, not_null(argument));
        }
        let distinct = call.quantifier == Some(SetQuantifier::Distinct);
        let mut parts = Parts { call, name, distinct, filter, site, may_lack };
        let Some(argument) = argument else {
            return self.push(&parts, AggregateFunction::Count, None, TypeKind::BigInt.not_null());
        };
        let kind = argument.data_type.kind.clone();
        let nullable = parts.may_lack || argument.data_type.nullable;
        let same = kind.clone().with_nullable(nullable);
        let numeric = |parts: &Parts<'_>| match kind.is_numeric() {
            true => Ok(()),
            false => parts.wrong("a number", &argument),
        };
        match aggregate.kind {
            Kind::Count => {
                self.push(&parts, AggregateFunction::Count, Some(argument), TypeKind::BigInt.not_null())
            }
            Kind::Sum => {
                numeric(&parts)?;
                self.sum(&parts, argument, nullable)
            }
            Kind::Avg => {
                numeric(&parts)?;
                let result = match &kind {
                    TypeKind::Decimal { .. } => wide_decimal(&kind).nullable(),
                    _ => same,
                };
                match site {
                    Site::Group | Site::Pattern => {
                        self.push(&parts, AggregateFunction::Avg, Some(argument), result)
                    }
                    Site::Over(_) => self.average(&parts, argument, result),
                }
            }
            Kind::SingleValue => {
                if !kind.has_order() || kind.is_binary() {
                    return parts.wrong("a value with an order", &argument);
                }
                let value = self.push(&parts, AggregateFunction::Max, Some(argument), same.as_nullable())?;
                let count = TypeKind::BigInt.not_null();
                let count = self.push(&parts, AggregateFunction::Count, None, count)?;
                self.function("$SINGLE", vec![value, count], span)
            }
            Kind::Min | Kind::Max => {
                if kind.is_constructed() || kind.is_binary() || kind == TypeKind::Null {
                    return parts.wrong("a value with an order", &argument);
                }
                let function =
                    if aggregate.kind == Kind::Min { AggregateFunction::Min } else { AggregateFunction::Max };
                self.push(&parts, function, Some(argument), same)
            }
            Kind::FirstValue => self.push(&parts, AggregateFunction::FirstValue, Some(argument), same),
            Kind::LastValue => self.push(&parts, AggregateFunction::LastValue, Some(argument), same),
            Kind::Variance(deviation) => {
                numeric(&parts)?;
                self.variance(&parts, argument, deviation)
            }
            Kind::ListAgg => {
                if !kind.is_character() {
                    return parts.wrong("a text", &argument);
                }
                let separator = match call.arguments.get(1) {
                    None => ",".to_string(),
                    Some(written) => {
                        let scalar = self.argument_value(written, &parts.name, scope)?;
                        match scalar.folded().as_ref().unwrap_or(&scalar).as_text() {
                            Some(text) => text.to_string(),
                            None => {
                                return boxed(
                                    Diagnostic::invalid(
                                        written.span,
                                        "the separator of LISTAGG is a text literal",
                                    )
                                    .with_label("expected a text such as '; '"),
                                );
                            }
                        }
                    }
                };
                let options = AggregateOptions { separator, ..AggregateOptions::default() };
                let result = TypeKind::string().with_nullable(nullable);
                self.push_with(&parts, AggregateFunction::ListAgg, Some(argument), options, None, result)
            }
            Kind::ArrayAgg => {
                let result = TypeKind::Array(Box::new(argument.data_type.clone())).nullable();
                self.push(&parts, AggregateFunction::ArrayAgg, Some(argument), result)
            }
            Kind::Collect => {
                let result = TypeKind::Multiset(Box::new(argument.data_type.clone())).not_null();
                self.push(&parts, AggregateFunction::Collect, Some(argument), result)
            }
            Kind::Percentile => {
                numeric(&parts)?;
                self.percentile(&mut parts, argument, scope)
            }
            Kind::Lag => self.lag(&parts, argument, scope),
            Kind::JsonArrayAgg | Kind::JsonObjectAgg | Kind::RowNumber | Kind::Rank => {
                boxed(Diagnostic::invalid(span, format!("{} cannot stand here", parts.name)))
            }
        }
    }

    /// JSON_ARRAYAGG and JSON_OBJECTAGG, whose clauses have a syntax of their own.
    pub(super) fn json_aggregate(&mut self, written: &JsonCall, scope: &Scope, span: Span) -> Bound<Scalar> {
        let (name, filter) = match written {
            JsonCall::ObjectAggregate { filter, .. } => ("JSON_OBJECTAGG", filter),
            JsonCall::ArrayAggregate { filter, .. } => ("JSON_ARRAYAGG", filter),
            _ => return boxed(Diagnostic::invalid(span, "no aggregate of JSON")),
        };
        self.begin_aggregate(name, span)?;
        let bound = self.bind_json_aggregate(written, (name, filter.as_ref()), scope, span);
        self.end_aggregate();
        bound
    }

    fn bind_json_aggregate(
        &mut self,
        written: &JsonCall,
        (name, filter): (&str, Option<&Expression>),
        scope: &Scope,
        span: Span,
    ) -> Bound<Scalar> {
        let mut filter = match filter {
            None => None,
            Some(filter) => {
                let bound = self.expression(filter, scope)?;
                Some(operator::boolean(bound, "FILTER", filter.span)?)
            }
        };
        let result = TypeKind::VarChar(JSON_LENGTH_MAX).not_null();
        let (function, argument) = match written {
            JsonCall::ArrayAggregate { element, on_null, .. } => {
                let text = self.json_text(element, scope)?;
                let keeps = *on_null == Some(JsonOnNull::Null);
                (AggregateFunction::JsonArrayAgg, if keeps { or_null(text) } else { text })
            }
            JsonCall::ObjectAggregate { key, value, on_null, .. } => {
                let key_span = key.span;
                let key = self.expression(key, scope)?;
                if !key.data_type.kind.is_character() {
                    return boxed(
                        Diagnostic::mistyped(
                            key_span,
                            format!(
                                "the key of JSON_OBJECTAGG is a text but found {}",
                                shown(&key.data_type)
                            ),
                        )
                        .with_hint(format!("write CAST({} AS STRING)", key.describe())),
                    );
                }
                let text = self.json_text(value, scope)?;
                if *on_null == Some(JsonOnNull::Absent) {
                    filter = both(filter, not_null(&text));
                }
                let fields = [("key", key), ("value", or_null(text))];
                let types = fields
                    .iter()
                    .map(|(name, part)| RowField { name: (*name).into(), data_type: part.data_type.clone() });
                let data_type = TypeKind::Row(types.collect()).not_null();
                let parts = fields.into_iter().map(|(_, part)| part).collect();
                (AggregateFunction::JsonObjectAgg, Scalar { kind: ScalarKind::Row(parts), data_type })
            }
            _ => return boxed(Diagnostic::invalid(span, "no aggregate of JSON")),
        };
        let call = FunctionCall::plain(
            ObjectName { span, parts: vec![Identifier { value: name.into(), quoted: false, span }] },
            Vec::new(),
            span,
        );
        let parts = Parts {
            call: &call,
            name: name.into(),
            distinct: false,
            filter,
            site: Site::Group,
            may_lack: true,
        };
        self.push(&parts, function, Some(argument), result)
    }

    /// The JSON of a value, NULL for NULL.
    fn json_text(&mut self, written: &Expression, scope: &Scope) -> Bound<Scalar> {
        let scalar = self.json_member(written, scope)?;
        if is_json(written) {
            return Ok(scalar);
        }
        self.function("JSON_STRING", vec![scalar], written.span)
    }

    /// The first argument; none of COUNT(*), ROW_NUMBER() and RANK().
    fn first_argument(
        &mut self,
        call: &FunctionCall,
        aggregate: &'static Aggregate,
        name: &str,
        scope: &Scope,
    ) -> Bound<Option<Scalar>> {
        let allowed = match aggregate.kind {
            Kind::RowNumber | Kind::Rank => 0..=0,
            Kind::ListAgg => 1..=2,
            Kind::Percentile => 2..=3,
            Kind::Lag => 1..=3,
            _ => 1..=1,
        };
        if aggregate.kind == Kind::Count && call.arguments.len() > 1 {
            return boxed(
                Diagnostic::unsupported(call.span, "COUNT takes one argument").with_hint(
                    "count rows of several columns by COUNT(DISTINCT ROW(a, b)), or in a sub-query",
                ),
            );
        }
        if !allowed.contains(&call.arguments.len()) {
            let wanted = match aggregate.kind {
                Kind::RowNumber | Kind::Rank => "no arguments",
                Kind::ListAgg => "a text and a separator",
                Kind::Percentile => "a number and a part, such as PERCENTILE(x, 0.5)",
                Kind::Lag => "a value, a number of rows and a default",
                _ => "one argument",
            };
            return boxed(
                Diagnostic::invalid(call.span, format!("{name} takes {wanted}"))
                    .with_label(format!("found {}", call.arguments.len())),
            );
        }
        match call.arguments.first() {
            None => Ok(None),
            Some(only) if matches!(only.value, ArgumentValue::Star) && aggregate.kind == Kind::Count => {
                Ok(None)
            }
            Some(first) => self.argument_value(first, name, scope).map(Some),
        }
    }

    fn argument_value(&mut self, argument: &Argument, name: &str, scope: &Scope) -> Bound<Scalar> {
        match argument_expression(argument) {
            Some(expression) => self.expression(expression, scope),
            None => boxed(Diagnostic::invalid(argument.span, format!("{name} takes a value"))),
        }
    }

    fn push(
        &mut self,
        parts: &Parts<'_>,
        function: AggregateFunction,
        argument: Option<Scalar>,
        data_type: LogicalType,
    ) -> Bound<Scalar> {
        self.push_with(parts, function, argument, AggregateOptions::default(), None, data_type)
    }

    /// Notes a call of the engine and answers its placeholder.
    fn push_with(
        &mut self,
        parts: &Parts<'_>,
        function: AggregateFunction,
        argument: Option<Scalar>,
        options: AggregateOptions,
        default: Option<Scalar>,
        data_type: LogicalType,
    ) -> Bound<Scalar> {
        let name = function.name();
        let distinct = parts.distinct;
        let identity = format!(
            "{name} {distinct} {} {options:?} {} FILTER {}",
            argument.as_ref().map_or("*".to_string(), Scalar::identity),
            default.as_ref().map(Scalar::identity).unwrap_or_default(),
            parts.filter.as_ref().map(Scalar::identity).unwrap_or_default()
        );
        let mut text = format!(
            "{name}({}{}",
            if distinct { "DISTINCT " } else { "" },
            argument.as_ref().map_or("*".to_string(), Scalar::describe)
        );
        match function {
            AggregateFunction::ListAgg if options.separator != "," => {
                text += &format!(", '{}'", options.separator.replace('\'', "''"));
            }
            AggregateFunction::Percentile => text += &format!(", {:?}", options.percentages),
            AggregateFunction::Lag => text += &format!(", {}", options.offset),
            _ => {}
        }
        text.push(')');
        if let Some(filter) = &parts.filter {
            text += &format!(" FILTER (WHERE {})", filter.describe());
        }
        let filter = parts.filter.clone();
        let span = parts.call.span;
        let pending = PendingAggregate {
            function,
            argument,
            distinct,
            filter,
            options,
            default,
            data_type,
            text,
            identity,
            span,
        };
        match parts.site {
            Site::Group => self.group_placeholder(pending),
            Site::Pattern => self.pattern_placeholder(pending),
            Site::Over(window) => self.over_placeholder(window, pending),
        }
    }

    fn sum(&mut self, parts: &Parts<'_>, argument: Scalar, nullable: bool) -> Bound<Scalar> {
        let result = match &argument.data_type.kind {
            TypeKind::Decimal { scale, .. } => TypeKind::Decimal { precision: 38, scale: *scale }.nullable(),
            kind => kind.clone().with_nullable(nullable),
        };
        self.push(parts, AggregateFunction::Sum, Some(argument), result)
    }

    fn count(&mut self, parts: &Parts<'_>, argument: Scalar) -> Bound<Scalar> {
        self.push(parts, AggregateFunction::Count, Some(argument), TypeKind::BigInt.not_null())
    }

    /// A sum by a count.
    fn average(&mut self, parts: &Parts<'_>, argument: Scalar, result: LogicalType) -> Bound<Scalar> {
        let sum = self.sum(parts, argument.clone(), true)?;
        let count = self.count(parts, argument.clone())?;
        let span = parts.call.span;
        let sum = match &argument.data_type.kind {
            TypeKind::Decimal { .. } => self.cast_to(sum, &result, span)?,
            _ => sum,
        };
        let quotient = self.binary(BinaryOperator::Divide, sum, count, span)?;
        self.cast_to(quotient, &result, span)
    }

    fn variance(&mut self, parts: &Parts<'_>, argument: Scalar, deviation: Deviation) -> Bound<Scalar> {
        let span = parts.call.span;
        let kind = argument.data_type.kind.clone();
        let result = match &kind {
            TypeKind::Decimal { .. } => wide_decimal(&kind).nullable(),
            _ => kind.clone().nullable(),
        };
        let count = self.count(parts, argument.clone())?;
        let total = match parts.site {
            Site::Group | Site::Pattern => {
                let double = self.cast_to(argument, &TypeKind::Double.nullable(), span)?;
                let function = AggregateFunction::SquaredDeviations;
                self.push(parts, function, Some(double), TypeKind::Double.nullable())?
            }
            // The sum of the squares less the square of the sum by the count, all in the argument's type.
            Site::Over(_) => {
                let argument = match &kind {
                    TypeKind::Decimal { .. } => self.cast_to(argument, &result, span)?,
                    _ => argument,
                };
                let square =
                    self.binary(BinaryOperator::Multiply, argument.clone(), argument.clone(), span)?;
                let squares = self.sum(parts, square, true)?;
                let sum = self.sum(parts, argument, true)?;
                let product = self.binary(BinaryOperator::Multiply, sum.clone(), sum, span)?;
                let number = self.cast_to(count.clone(), &result, span)?;
                let part = self.binary(BinaryOperator::Divide, product, number, span)?;
                self.binary(BinaryOperator::Subtract, squares, part, span)?
            }
        };
        let divisor = match (deviation.sample, parts.site) {
            (true, _) => {
                let one = integer(1);
                let zone = self.settings.zone;
                let less = self.binary(BinaryOperator::Subtract, count.clone(), one.clone(), span)?;
                let is_one = self.binary(BinaryOperator::Equal, count, one, span)?;
                let number = TypeKind::BigInt.nullable();
                make_case(vec![is_one], vec![Scalar::null(&number), less], &number, zone)
            }
            (false, Site::Group | Site::Pattern) => count,
            (false, Site::Over(_)) => self.cast_to(count, &result, span)?,
        };
        let variance = self.binary(BinaryOperator::Divide, total, divisor, span)?;
        let value = match deviation.root {
            true => {
                let variance = self.cast_to(variance, &TypeKind::Double.nullable(), span)?;
                self.function("POWER", vec![variance, double(0.5)], span)?
            }
            false => variance,
        };
        let value = self.cast_to(value, &result, span)?;
        Ok(Scalar { data_type: result, ..value })
    }

    fn percentile(&mut self, parts: &mut Parts<'_>, argument: Scalar, scope: &Scope) -> Bound<Scalar> {
        let call = parts.call;
        let written = &call.arguments[1];
        let part = self.argument_value(written, &parts.name, scope)?;
        let (percentages, is_list) = match parts_of(&part) {
            Some(found) => found,
            None => {
                return boxed(
                    Diagnostic::invalid(
                        written.span,
                        "the part of PERCENTILE is a number from 0 to 1 that is written out, or an ARRAY of them",
                    )
                    .with_hint("for example PERCENTILE(x, 0.5) or PERCENTILE(x, ARRAY[0.25, 0.75])"),
                );
            }
        };
        let value = TypeKind::Double.with_nullable(argument.data_type.nullable);
        let mut argument = self.cast_to(argument, &value, call.span)?;
        if let Some(written) = call.arguments.get(2) {
            let frequency = self.argument_value(written, &parts.name, scope)?;
            if !frequency.data_type.kind.is_integer() {
                return boxed(
                    Diagnostic::mistyped(
                        written.span,
                        format!(
                            "the frequency of PERCENTILE is an integer but found {}",
                            shown(&frequency.data_type)
                        ),
                    )
                    .with_label("expected an integer"),
                );
            }
            let frequency = self.cast_to(frequency, &TypeKind::BigInt.nullable(), written.span)?;
            let counts = self.binary(BinaryOperator::Greater, frequency.clone(), integer(0), written.span)?;
            parts.filter = both(both(parts.filter.take(), not_null(&argument)), counts);
            let fields = [("value", &argument), ("frequency", &frequency)]
                .map(|(name, part)| RowField { name: name.into(), data_type: part.data_type.clone() });
            let data_type = TypeKind::Row(fields.to_vec()).not_null();
            argument = Scalar { kind: ScalarKind::Row(vec![argument, frequency]), data_type };
        }
        let options = AggregateOptions { percentages, ..AggregateOptions::default() };
        let result = match is_list {
            true => TypeKind::Array(Box::new(TypeKind::Double.nullable())).nullable(),
            false => TypeKind::Double.nullable(),
        };
        self.push_with(parts, AggregateFunction::Percentile, Some(argument), options, None, result)
    }

    fn lag(&mut self, parts: &Parts<'_>, argument: Scalar, scope: &Scope) -> Bound<Scalar> {
        let call = parts.call;
        if !matches!(parts.site, Site::Over(_)) {
            return boxed(
                Diagnostic::invalid(call.span, "LAG needs OVER")
                    .with_hint("write LAG(x) OVER (ORDER BY time)"),
            );
        }
        let offset = match call.arguments.get(1) {
            None => 1,
            Some(written) => {
                let scalar = self.argument_value(written, "LAG", scope)?;
                let number = scalar.folded().as_ref().unwrap_or(&scalar).integer();
                match number.and_then(|number| usize::try_from(number).ok()) {
                    Some(offset) => offset,
                    None => {
                        return boxed(
                            Diagnostic::invalid(
                                written.span,
                                "how many rows LAG goes back is an integer that is written out",
                            )
                            .with_label("expected 0 or more"),
                        );
                    }
                }
            }
        };
        let zone = self.settings.zone;
        let (argument, default) = match call.arguments.get(2) {
            None => (argument, None),
            Some(written) => {
                let default = self.argument_value(written, "LAG", scope)?;
                let both = [argument, default];
                let common = self.common("the value and the default of LAG", &both, written.span)?;
                let [argument, default] = both.map(|scalar| operator::coerce(scalar, &common, zone));
                (argument, Some(default))
            }
        };
        let nullable =
            argument.data_type.nullable || default.as_ref().is_none_or(|default| default.data_type.nullable);
        let result = argument.data_type.with_nullable(nullable);
        let options = AggregateOptions { offset, ..AggregateOptions::default() };
        self.push_with(parts, AggregateFunction::Lag, Some(argument), options, default, result)
    }

    fn binary(&mut self, operator: BinaryOperator, left: Scalar, right: Scalar, span: Span) -> Bound<Scalar> {
        operator::binary(operator, left, right, span, self.settings.zone)
    }

    fn cast_to(&mut self, scalar: Scalar, to: &LogicalType, span: Span) -> Bound<Scalar> {
        if scalar.data_type.kind == to.kind {
            return Ok(scalar);
        }
        let mode = CastMode { lenient: false, zone: self.settings.zone };
        operator::cast(scalar, to, mode, span)
    }
}

impl Parts<'_> {
    fn wrong<T>(&self, expected: &str, argument: &Scalar) -> Bound<T> {
        boxed(
            Diagnostic::mistyped(
                self.call.span,
                format!("{} takes {expected} but found {}", self.name, shown(&argument.data_type)),
            )
            .with_label(format!("expected {expected}")),
        )
    }
}

/// The length that Flink gives to aggregates of JSON.
const JSON_LENGTH_MAX: u32 = 2000;

/// JSON's null for NULL.
fn or_null(text: Scalar) -> Scalar {
    let array: ArrayRef = Arc::new(StringArray::from(vec!["null"]));
    let null = Scalar::literal(array, "'null'", TypeKind::string().not_null());
    Scalar { kind: ScalarKind::Coalesce(vec![text, null]), data_type: TypeKind::string().not_null() }
}

/// As averages and variances of decimals have it.
fn wide_decimal(kind: &TypeKind) -> TypeKind {
    let scale = if let TypeKind::Decimal { scale, .. } = kind { *scale } else { 0 };
    TypeKind::Decimal { precision: 38, scale: scale.max(6) }
}

fn not_null(scalar: &Scalar) -> Scalar {
    Scalar {
        kind: ScalarKind::IsNull { operand: Box::new(scalar.clone()), negated: true },
        data_type: TypeKind::Boolean.not_null(),
    }
}

fn both(filter: Option<Scalar>, condition: Scalar) -> Option<Scalar> {
    Scalar::all_of(filter.into_iter().chain([condition]).collect())
}

fn integer(value: i64) -> Scalar {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    Scalar::literal(array, value.to_string(), TypeKind::BigInt.not_null())
}

fn double(value: f64) -> Scalar {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
    Scalar::literal(array, value.to_string(), TypeKind::Double.not_null())
}

/// The parts that PERCENTILE is asked for, and whether they are written as a list.
fn parts_of(scalar: &Scalar) -> Option<(Vec<f64>, bool)> {
    let number = |scalar: &Scalar| {
        let mode = CastMode::default();
        let kind = ScalarKind::Cast { operand: Box::new(scalar.clone()), mode };
        let cast = Scalar { kind, data_type: TypeKind::Double.nullable() };
        if !scalar.data_type.kind.is_numeric() || !scalar.columns().is_empty() {
            return None;
        }
        let folded = cast.folded()?;
        let array = folded.as_literal()?.as_primitive_opt::<Float64Type>()?.clone();
        let part = array.is_valid(0).then(|| array.value(0))?;
        (0.0..=1.0).contains(&part).then_some(part)
    };
    match &scalar.kind {
        ScalarKind::Array(elements) => {
            Some((elements.iter().map(number).collect::<Option<Vec<f64>>>()?, true))
        }
        _ => Some((vec![number(scalar)?], false)),
    }
}
