//! Calls: registered functions, the forms with their own evaluation, and aggregates.

use super::expression::{is_niladic, make_case};
use super::scope::Scope;
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::{self, ArgumentValue, FunctionCall};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::functions;
use crate::functions::aggregate::{self, Kind};
use crate::span::Span;
use crate::types::{TimeAttribute, TypeKind, decimal};

impl Binder<'_> {
    pub(super) fn call(&mut self, call: &FunctionCall, scope: &Scope) -> Bound<Scalar> {
        let written = call.name.last().value.clone();
        let name = written.to_ascii_uppercase();
        if call.name.parts.len() > 1 {
            return self.declared_function(call, &written, scope);
        }
        if let Some(scalar) = self.pattern_call(call, &name)? {
            return Ok(scalar);
        }
        if call.over.is_some() {
            if name == "ROW_NUMBER" && self.numbers_alone(call) {
                return self.row_number(call, scope);
            }
            if let Some(aggregate) = aggregate::find(&name) {
                return self.over_call(call, aggregate, &name, scope);
            }
            if !aggregate::BATCH_ONLY.contains(&name.as_str()) {
                return boxed(
                    Diagnostic::invalid(call.span, format!("{name} is no aggregate"))
                        .with_label("only aggregates stand OVER windows"),
                );
            }
        }
        if aggregate::BATCH_ONLY.contains(&name.as_str()) {
            return boxed(
                Diagnostic::unsupported(call.span, format!("{name} is not supported on a stream"))
                    .with_label("Flink has it in batch mode only")
                    .with_hint(match name.as_str() {
                        "LEAD" => "rows that follow have not come yet; LAG looks back",
                        "APPROX_COUNT_DISTINCT" => "COUNT(DISTINCT x) is exact",
                        _ => "it needs to know how many rows there will be",
                    }),
            );
        }
        if let Some(aggregate) = aggregate::find(&name) {
            if matches!(aggregate.kind, Kind::RowNumber | Kind::Rank | Kind::Lag) {
                return boxed(
                    Diagnostic::invalid(call.span, format!("{name} needs OVER"))
                        .with_hint(format!("write {name}(…) OVER (PARTITION BY key ORDER BY time)")),
                );
            }
            return self.aggregate_call(call, aggregate, &name, scope);
        }
        if super::grouping::is_grouping(&name) {
            return self.grouping_call(call, &name, scope);
        }
        if let Some(scalar) = self.window_property(call, &name, scope)? {
            return Ok(scalar);
        }
        if call.filter.is_some() || call.quantifier.is_some() || !call.order_by.is_empty() {
            return boxed(Diagnostic::invalid(
                call.span,
                format!("{name} is no aggregate; DISTINCT, FILTER and ORDER BY are for aggregates"),
            ));
        }
        let arguments = match self.arguments(call, &name, scope) {
            Ok(arguments) => arguments,
            Err(problem) => {
                // Whether there is such a function does not depend on what it is given.
                let is_form =
                    matches!(name.as_str(), "COALESCE" | "IFNULL" | "IF" | "NULLIF" | "CURRENT_WATERMARK");
                let is_known = is_form
                    || functions::find(&name).is_some()
                    || self.relations.function(&call.name).is_some();
                if !is_known {
                    self.note(problem);
                    return self.unknown_function(call, &written);
                }
                return Err(problem);
            }
        };
        match name.as_str() {
            "COALESCE" | "IFNULL" => self.coalesce(&name, arguments, call.span),
            "IF" => self.if_function(arguments, call.span),
            "JSON" => self.refuse_json(call),
            "NULLIF" => self.null_if(arguments, call.span),
            "UNIX_TIMESTAMP" if arguments.is_empty() => {
                self.function("$UNIX_TIMESTAMP", arguments, call.span)
            }
            "CURRENT_DATABASE" if arguments.is_empty() => {
                let database = self.relations.database();
                let text = arrow_array::StringArray::from(vec![database]);
                let written = super::literal::quoted(database);
                Ok(Scalar::literal(std::sync::Arc::new(text), written, TypeKind::string().not_null()))
            }
            "CURRENT_WATERMARK" => current_watermark(arguments, scope, call.span),
            _ if !call.parenthesized && !is_niladic(&name) => self.unknown_function(call, &written),
            _ => match functions::find(&name) {
                Some(_) if name.starts_with('$') => self.unknown_function(call, &written),
                Some(_) => self.function(&name, arguments, call.span),
                None => match self.relations.function(&call.name) {
                    Some(function) => self.apply(function, arguments, call.span),
                    None => self.unknown_function(call, &written),
                },
            },
        }
    }

    /// A function by its qualified name: only those that were declared have one.
    fn declared_function(&mut self, call: &FunctionCall, written: &str, scope: &Scope) -> Bound<Scalar> {
        let Some(function) = self.relations.function(&call.name) else {
            return self.unknown_function(call, written);
        };
        let arguments = self.arguments(call, written, scope)?;
        self.apply(function, arguments, call.span)
    }

    pub(super) fn arguments(&mut self, call: &FunctionCall, name: &str, scope: &Scope) -> Bound<Vec<Scalar>> {
        let mut scalars = Vec::new();
        for argument in &call.arguments {
            if argument.name.is_some() {
                return boxed(
                    Diagnostic::unsupported(argument.span, format!("{name} takes its arguments by position"))
                        .with_hint("leave out `name =>`"),
                );
            }
            scalars.push(match &argument.value {
                ArgumentValue::Expression(expression) => self.expression(expression, scope),
                _ => boxed(Diagnostic::invalid(
                    argument.span,
                    format!("{name} takes values, not tables, descriptors or *"),
                )),
            });
        }
        self.all(scalars)
    }

    fn unknown_function(&self, call: &FunctionCall, written: &str) -> Bound<Scalar> {
        if written.eq_ignore_ascii_case("SOURCE_WATERMARK") {
            return boxed(
                Diagnostic::unsupported(call.name.span, "no source has watermarks of its own")
                    .with_hint("write WATERMARK FOR ts AS ts - INTERVAL '5' SECOND"),
            );
        }
        if call.name.parts.len() == 1 && functions::is_known_elsewhere(written) {
            return boxed(
                Diagnostic::unsupported(
                    call.name.span,
                    format!("function {} is not supported yet", written.to_uppercase()),
                )
                .with_label("Flink has it, Eventwright does not yet"),
            );
        }
        if matches!(written.to_ascii_uppercase().as_str(), "TUMBLE" | "HOP" | "CUMULATE" | "SESSION") {
            let name = written.to_uppercase();
            return boxed(
                Diagnostic::invalid(call.name.span, format!("{name} is a window and gives no value"))
                    .with_hint(format!("it stands in FROM, as in TABLE({name}(TABLE t, DESCRIPTOR(ts), …))")),
            );
        }
        let diagnostic = Diagnostic::unknown(call.name.span, format!("function '{written}' not found"))
            .with_label("no such function");
        if let Some(instead) = functions::instead(written) {
            return boxed(diagnostic.with_hint(instead));
        }
        boxed(match base::nearest(written, functions::names()) {
            Some(near) => diagnostic.with_hint(format!("did you mean {near}?")),
            None => diagnostic,
        })
    }

    /// A function of the registry.
    pub(super) fn function(&mut self, name: &str, arguments: Vec<Scalar>, span: Span) -> Bound<Scalar> {
        let Some(function) = functions::find(name) else {
            return boxed(Diagnostic::unknown(span, format!("function '{name}' not found")));
        };
        self.apply(function, arguments, span)
    }

    fn apply(
        &mut self,
        function: &'static functions::Function,
        arguments: Vec<Scalar>,
        span: Span,
    ) -> Bound<Scalar> {
        let types: Vec<_> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
        let Some(resolved) = function.resolve(&types) else {
            let given: Vec<String> = types.iter().map(shown).collect();
            return boxed(
                Diagnostic::mistyped(
                    span,
                    format!(
                        "no form of {} takes ({})",
                        function.name.trim_start_matches('$'),
                        given.join(", ")
                    ),
                )
                .with_hint(format!("it is {}", function.usage().replace('$', ""))),
            );
        };
        let zone = self.settings.zone;
        let mut arguments: Vec<Scalar> = arguments
            .into_iter()
            .zip(&resolved.arguments)
            .map(|(argument, wanted)| {
                if argument.data_type.kind == wanted.kind {
                    return argument;
                }
                operator::coerce(argument, wanted, zone)
            })
            .collect();
        if function.is_random {
            // Two calls give other values, and an equal statement the same plan.
            self.random_calls += 1;
            let number = arrow_array::Int64Array::from(vec![self.random_calls]);
            let written = self.random_calls.to_string();
            arguments.push(Scalar::literal(
                std::sync::Arc::new(number),
                written,
                TypeKind::BigInt.not_null(),
            ));
        }
        let mut result = resolved.result;
        if let Some((kind, argument)) = rounded_decimal(function.name, &arguments) {
            result = kind.with_nullable(result.nullable);
            arguments[0] = argument;
        }
        if gives_no_null(function.name, &arguments) {
            result.nullable = arguments.iter().any(|argument| argument.data_type.nullable);
        }
        if function.name == "TO_TIMESTAMP_LTZ"
            && let Some(precision) = arguments.get(1).and_then(Scalar::integer)
        {
            if !(0..=9).contains(&precision) {
                return boxed(
                    Diagnostic::invalid(
                        span,
                        format!("the precision of TO_TIMESTAMP_LTZ is {precision}, and must be from 0 to 9"),
                    )
                    .with_hint("0 is for seconds, 3 for milliseconds, 6 for microseconds"),
                );
            }
            result.kind = TypeKind::TimestampLtz((precision as u8).max(3));
        }
        Ok(Scalar { kind: ScalarKind::Call { function, arguments, zone }, data_type: result })
    }

    fn coalesce(&mut self, name: &str, arguments: Vec<Scalar>, span: Span) -> Bound<Scalar> {
        if arguments.is_empty() || (name == "IFNULL" && arguments.len() != 2) {
            let wanted = if name == "IFNULL" { "two arguments" } else { "one argument or more" };
            return boxed(Diagnostic::invalid(span, format!("{name} takes {wanted}")));
        }
        if name == "IFNULL" && is_certain_text(&arguments[0]) && arguments[1].data_type.kind.is_character() {
            return Ok(arguments[0].clone());
        }
        let mut common = self.common(&format!("the arguments of {name}"), &arguments, span)?;
        if common.kind == TypeKind::Float
            && arguments.iter().any(|argument| argument.data_type.kind == TypeKind::Double)
        {
            common.kind = TypeKind::Double;
        }
        // The first argument that cannot be NULL ends the list.
        let nullable = arguments.iter().all(|argument| argument.data_type.nullable);
        let zone = self.settings.zone;
        let parts = arguments.into_iter().map(|argument| operator::coerce(argument, &common, zone)).collect();
        Ok(Scalar { kind: ScalarKind::Coalesce(parts), data_type: common.with_nullable(nullable) })
    }

    fn if_function(&mut self, arguments: Vec<Scalar>, span: Span) -> Bound<Scalar> {
        let Ok([condition, then, otherwise]) = <[Scalar; 3]>::try_from(arguments) else {
            return boxed(Diagnostic::invalid(span, "IF takes a condition and two values"));
        };
        let condition = operator::boolean(condition, "IF", span)?;
        let results = vec![then, otherwise];
        let common = self.common("the results of IF", &results, span)?;
        // Flink's type may be NULL where the condition may, though FALSE is taken then.
        let nullable = common.nullable || condition.data_type.nullable;
        let mut case = make_case(vec![condition], results, &common, self.settings.zone);
        case.data_type.nullable = nullable;
        Ok(case)
    }

    fn null_if(&mut self, arguments: Vec<Scalar>, span: Span) -> Bound<Scalar> {
        let Ok([value, other]) = <[Scalar; 2]>::try_from(arguments) else {
            return boxed(Diagnostic::invalid(span, "NULLIF takes two values"));
        };
        let zone = self.settings.zone;
        let equal = operator::comparison(Comparison::Equal, value.clone(), other, span, zone)?;
        let common = value.data_type.as_nullable();
        let nothing = Scalar::null(&common);
        Ok(make_case(vec![equal], vec![nothing, value], &common, zone))
    }
}

/// A text that cannot be NULL: IFNULL is that text, and of its type.
fn is_certain_text(argument: &Scalar) -> bool {
    argument.data_type.kind.is_character() && !argument.data_type.nullable
}

/// Whether these literals rule out what makes a function of texts NULL.
fn gives_no_null(name: &str, arguments: &[Scalar]) -> bool {
    match (name, arguments) {
        ("LPAD" | "RPAD", [_, length, fill]) => {
            length.integer().is_some_and(|length| (0..=functions::PADDED_MAX).contains(&length))
                && fill.as_text().is_some_and(|fill| !fill.is_empty())
        }
        ("REGEXP_REPLACE", [_, pattern, _]) => pattern.as_text().is_some_and(functions::is_pattern),
        _ => false,
    }
}

/// ROUND and TRUNCATE of a decimal to a literal number of places have fewer digits.
fn rounded_decimal(name: &str, arguments: &[Scalar]) -> Option<(TypeKind, Scalar)> {
    if !matches!(name, "ROUND" | "TRUNCATE") {
        return None;
    }
    let first = arguments.first()?;
    let TypeKind::Decimal { precision, scale } = first.data_type.kind else { return None };
    let places = match arguments.get(1) {
        None => 0,
        Some(places) => {
            use arrow_array::cast::AsArray;
            let folded = places.folded()?;
            let array = folded.as_literal()?.as_primitive_opt::<arrow_array::types::Int32Type>()?.clone();
            if arrow_array::Array::is_null(&array, 0) { return None } else { array.value(0) }
        }
    };
    let (precision, scale) = decimal::round((precision, scale), places);
    Some((TypeKind::Decimal { precision, scale }, first.clone()))
}

fn current_watermark(arguments: Vec<Scalar>, scope: &Scope, span: Span) -> Bound<Scalar> {
    let Ok([column]) = <[Scalar; 1]>::try_from(arguments) else {
        return boxed(Diagnostic::invalid(span, "CURRENT_WATERMARK takes one row-time column"));
    };
    let is_row_time = column
        .as_column()
        .and_then(|index| scope.by_index(index))
        .is_some_and(|column| column.column.attribute == TimeAttribute::RowTime);
    if !is_row_time {
        return boxed(
            Diagnostic::mistyped(
                span,
                format!("CURRENT_WATERMARK() must be called with a single rowtime attribute argument, but '{}' cannot be a time attribute", column.data_type),
            )
            .with_hint("declare WATERMARK FOR the column in CREATE TABLE"),
        );
    }
    let kind = match column.data_type.kind {
        TypeKind::TimestampLtz(_) => TypeKind::TimestampLtz(3),
        _ => TypeKind::Timestamp(3),
    };
    Ok(Scalar { kind: ScalarKind::CurrentWatermark(Box::new(column)), data_type: kind.nullable() })
}

/// An argument that is an expression.
pub(super) fn argument_expression(argument: &ast::Argument) -> Option<&ast::Expression> {
    match &argument.value {
        ArgumentValue::Expression(expression) => Some(expression),
        _ => None,
    }
}
