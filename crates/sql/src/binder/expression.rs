//! Expressions: every node of the syntax tree and the typed expression it becomes.

use super::problems::consequence;
use super::scope::{NearestOrList, Scope};
use super::subquery::Test;
use super::{Binder, Bound, boxed, literal, operator, shown};
use crate::ast::{self, BinaryOperator, ExpressionKind, IsTest, TimeUnit, UnaryOperator};
use crate::diagnostic::Diagnostic;
use crate::expression::cast::CastMode;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::functions;
use crate::span::Span;
use crate::types::{LogicalType, RowField, TypeKind, UnsupportedType, common_type};
use base::Zone;

impl From<UnsupportedType> for Box<Diagnostic> {
    fn from(problem: UnsupportedType) -> Box<Diagnostic> {
        Box::new(Diagnostic::unsupported(problem.span, problem.message).with_hint(problem.hint))
    }
}

impl Binder<'_> {
    pub(super) fn zone(&self) -> Zone {
        self.settings.zone
    }

    pub(super) fn expression(&mut self, written: &ast::Expression, scope: &Scope) -> Bound<Scalar> {
        let span = written.span;
        let zone = self.zone();
        match &written.kind {
            ExpressionKind::Literal(literal) => literal::bind(literal, false, zone, span),
            ExpressionKind::Column(parts) => {
                if let Some(scalar) = self.pattern_column(parts, span)? {
                    return Ok(scalar);
                }
                let scalar = match scope.resolve(parts, span) {
                    Ok(scalar) => scalar,
                    Err(problem) => return self.alias(parts).ok_or(problem),
                };
                self.note_columns(&scalar, span);
                Ok(scalar)
            }
            ExpressionKind::Field { base, field } => access_field(self.expression(base, scope)?, field),
            ExpressionKind::Index { base, index } => {
                let (base, index) = self.pair(base, index, scope)?;
                element(base, index, span, zone)
            }
            ExpressionKind::Unary { operator, operand } => self.unary(*operator, operand, scope, span),
            ExpressionKind::Binary { left, operator, operator_span, right } => {
                let (a, b) = self.pair(left, right, scope)?;
                let at = match operator {
                    BinaryOperator::And if a.data_type.kind != TypeKind::Boolean => left.span,
                    BinaryOperator::Or if a.data_type.kind != TypeKind::Boolean => left.span,
                    BinaryOperator::And | BinaryOperator::Or => right.span,
                    _ => *operator_span,
                };
                operator::binary(*operator, a, b, at, zone)
            }
            ExpressionKind::Between { operand, negated, symmetric, low, high } => {
                let operand = self.expression(operand, scope);
                let bounds = self.pair(low, high, scope);
                let (operand, (low, high)) = self.both(operand, bounds)?;
                self.between(operand, *negated, *symmetric, low, high, span)
            }
            ExpressionKind::InList { operand, negated, list } => self.in_list(operand, *negated, list, scope),
            ExpressionKind::Like { operand, negated, kind, pattern, escape } => {
                let (operand, pattern_value) = self.pair(operand, pattern, scope)?;
                for side in [&operand, &pattern_value] {
                    if !side.data_type.kind.is_character() && side.data_type.kind != TypeKind::Null {
                        return boxed(
                            Diagnostic::mistyped(
                                span,
                                format!("LIKE takes texts but found {}", shown(&side.data_type)),
                            )
                            .with_hint(format!("write CAST({} AS STRING)", side.describe())),
                        );
                    }
                }
                let escape = match escape {
                    None => None,
                    Some(escape) => Some(self.escape_character(escape, scope)?),
                };
                let similar = *kind == ast::LikeKind::SimilarTo;
                if let Some(text) = pattern_value.as_text() {
                    use crate::expression::like::Pattern;
                    let checked =
                        if similar { Pattern::similar(text, escape) } else { Pattern::like(text, escape) };
                    if let Err(message) = checked {
                        return boxed(Diagnostic::invalid(pattern.span, message));
                    }
                }
                let text = TypeKind::string().nullable();
                let nullable = operand.data_type.nullable || pattern_value.data_type.nullable;
                Ok(Scalar {
                    kind: ScalarKind::Like {
                        operand: Box::new(operator::coerce(operand, &text, zone)),
                        pattern: Box::new(operator::coerce(pattern_value, &text, zone)),
                        escape,
                        similar,
                        negated: *negated,
                    },
                    data_type: TypeKind::Boolean.with_nullable(nullable),
                })
            }
            ExpressionKind::Is { operand, negated, test } => {
                let operand_span = operand.span;
                let operand = self.expression(operand, scope)?;
                if let Some(kind) = super::json::tested_kind(*test) {
                    return self.is_json(operand, *negated, kind, span);
                }
                is_test(operand, *negated, *test, operand_span, span)
            }
            ExpressionKind::IsDistinctFrom { left, negated, right } => {
                let (left, right) = self.pair(left, right, scope)?;
                let (left, right) = operator::bring_together(left, right, "IS DISTINCT FROM", span, zone)?;
                Ok(Scalar {
                    kind: ScalarKind::Distinct {
                        left: Box::new(left),
                        right: Box::new(right),
                        negated: *negated,
                    },
                    data_type: TypeKind::Boolean.not_null(),
                })
            }
            ExpressionKind::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref(), scope, span)
            }
            ExpressionKind::Cast { operand, data_type, lenient } => {
                let target = LogicalType::from_ast(data_type).map_err(Box::from);
                let operand = self.expression(operand, scope);
                let (target, operand) = self.both(target, operand)?;
                let mode = CastMode { lenient: *lenient, zone };
                operator::cast(operand, &target, mode, span)
            }
            ExpressionKind::Call(call) => self.call(call, scope),
            ExpressionKind::Extract { unit, operand } => {
                let operand = self.expression(operand, scope)?;
                if operand.data_type.kind.is_interval() {
                    return self.field_of_interval(*unit, operand, span);
                }
                self.with_unit("$EXTRACT", "EXTRACT", *unit, vec![operand], span)
            }
            ExpressionKind::RoundTo { up, operand, unit } => {
                let operand = self.expression(operand, scope)?;
                let name = if *up { "CEIL" } else { "FLOOR" };
                let rounded = matches!(
                    unit,
                    TimeUnit::Microsecond
                        | TimeUnit::Nanosecond
                        | TimeUnit::DayOfWeek
                        | TimeUnit::DayOfYear
                        | TimeUnit::IsoDayOfWeek
                        | TimeUnit::IsoYear
                        | TimeUnit::Epoch
                );
                if rounded {
                    return boxed(Diagnostic::invalid(
                        span,
                        format!("{name} does not round to {}", unit.name()),
                    ));
                }
                self.with_unit(&format!("${name}_TO"), name, *unit, vec![operand], span)
            }
            ExpressionKind::TimestampAdd { unit, count, operand } => {
                self.timestamp_add(*unit, count, operand, scope, span)
            }
            ExpressionKind::IntervalBetween { left, right, from, .. } => {
                let (left, right) = self.pair(left, right, scope)?;
                self.interval_between(left, right, *from, span)
            }
            ExpressionKind::TimestampDiff { unit, from, to } => {
                let (from, to) = self.pair(from, to, scope)?;
                let counts = matches!(
                    unit,
                    TimeUnit::Year
                        | TimeUnit::Quarter
                        | TimeUnit::Month
                        | TimeUnit::Week
                        | TimeUnit::Day
                        | TimeUnit::Hour
                        | TimeUnit::Minute
                        | TimeUnit::Second
                        | TimeUnit::Millisecond
                );
                if !counts {
                    return boxed(Diagnostic::invalid(
                        span,
                        format!("TIMESTAMPDIFF does not count in {}", unit.name()),
                    ));
                }
                self.with_unit("$TIMESTAMPDIFF", "TIMESTAMPDIFF", *unit, vec![from, to], span)
            }
            ExpressionKind::Trim { side, characters, operand } => {
                let mut arguments = vec![self.expression(operand, scope)?];
                if let Some(characters) = characters {
                    arguments.push(self.expression(characters, scope)?);
                }
                let name = match side {
                    ast::TrimSide::Both => "$TRIM",
                    ast::TrimSide::Leading => "LTRIM",
                    ast::TrimSide::Trailing => "RTRIM",
                };
                self.function(name, arguments, span)
            }
            ExpressionKind::Row(parts) => {
                let parts = self.expressions(parts, scope)?;
                let fields = parts
                    .iter()
                    .enumerate()
                    .map(|(index, part)| RowField {
                        name: format!("EXPR${index}"),
                        data_type: part.data_type.clone(),
                    })
                    .collect();
                Ok(Scalar { kind: ScalarKind::Row(parts), data_type: TypeKind::Row(fields).not_null() })
            }
            ExpressionKind::Array(parts) => {
                let parts = self.expressions(parts, scope)?;
                let element = self.common("the elements of an ARRAY", &parts, span)?;
                let parts = parts.into_iter().map(|part| widen(part, &element, zone)).collect();
                Ok(Scalar {
                    kind: ScalarKind::Array(parts),
                    data_type: TypeKind::Array(Box::new(element)).not_null(),
                })
            }
            ExpressionKind::Map(entries) => {
                let mut keys = Vec::new();
                let mut values = Vec::new();
                for (key, value) in entries {
                    keys.push(self.expression(key, scope));
                    values.push(self.expression(value, scope));
                }
                let (keys, values) = (self.all(keys), self.all(values));
                let (keys, values) = self.both(keys, values)?;
                let key = self.common("the keys of a MAP", &keys, span)?;
                let value = self.common("the values of a MAP", &values, span)?;
                let entries = keys
                    .into_iter()
                    .zip(values)
                    .map(|(k, v)| (widen(k, &key, zone), widen(v, &value, zone)))
                    .collect();
                Ok(Scalar {
                    kind: ScalarKind::Map(entries),
                    data_type: TypeKind::Map(Box::new(key), Box::new(value)).not_null(),
                })
            }
            ExpressionKind::InSubquery { .. } | ExpressionKind::Exists(_) => match Test::of(written) {
                Some(test) => self.test_value(&test, scope),
                None => boxed(Diagnostic::invalid(span, "a sub-query cannot be tested here")),
            },
            ExpressionKind::Subquery(query) => self.value(query, span, scope),
            ExpressionKind::Quantified { left, operator, all, right } => {
                self.quantified(left, *operator, *all, right, scope, span)
            }
            ExpressionKind::Overlaps { left, right } => self.overlaps(left, right, scope, span),
            ExpressionKind::Json(call) => self.json(call, scope, span),
        }
    }

    pub(super) fn expressions(&mut self, written: &[ast::Expression], scope: &Scope) -> Bound<Vec<Scalar>> {
        let bound = written.iter().map(|expression| self.expression(expression, scope)).collect();
        self.all(bound)
    }

    pub(super) fn pair(
        &mut self,
        left: &ast::Expression,
        right: &ast::Expression,
        scope: &Scope,
    ) -> Bound<(Scalar, Scalar)> {
        let (left, right) = (self.expression(left, scope), self.expression(right, scope));
        self.both(left, right)
    }

    fn unary(
        &mut self,
        operator: UnaryOperator,
        operand: &ast::Expression,
        scope: &Scope,
        span: Span,
    ) -> Bound<Scalar> {
        if let (UnaryOperator::Minus, ExpressionKind::Literal(literal)) = (operator, &operand.kind) {
            use ast::Literal::*;
            if matches!(literal, Exact(_) | Approximate(_) | Interval(_)) {
                return literal::bind(literal, true, self.zone(), span);
            }
        }
        let scalar = self.expression(operand, scope)?;
        match operator {
            UnaryOperator::Not => {
                let scalar = operator::boolean(scalar, "NOT", operand.span)?;
                let data_type = scalar.data_type.clone();
                Ok(Scalar { kind: ScalarKind::Not(Box::new(scalar)), data_type })
            }
            _ if scalar.data_type.kind == TypeKind::Null => Ok(Scalar::null(&TypeKind::Int.nullable())),
            _ if !scalar.data_type.kind.is_numeric() && !scalar.data_type.kind.is_interval() => {
                boxed(Diagnostic::mistyped(
                    span,
                    format!("a sign stands before numbers, but found {}", shown(&scalar.data_type)),
                ))
            }
            UnaryOperator::Plus => Ok(scalar),
            UnaryOperator::Minus => {
                let data_type = scalar.data_type.clone();
                Ok(Scalar { kind: ScalarKind::Negate(Box::new(scalar)), data_type })
            }
        }
    }

    fn between(
        &mut self,
        operand: Scalar,
        negated: bool,
        symmetric: bool,
        low: Scalar,
        high: Scalar,
        span: Span,
    ) -> Bound<Scalar> {
        let zone = self.zone();
        let within = |low: Scalar, high: Scalar| -> Bound<Scalar> {
            let at_least =
                operator::comparison(Comparison::GreaterOrEqual, operand.clone(), low, span, zone)?;
            let at_most = operator::comparison(Comparison::LessOrEqual, operand.clone(), high, span, zone)?;
            operator::binary(BinaryOperator::And, at_least, at_most, span, zone)
        };
        let mut result = within(low.clone(), high.clone())?;
        if symmetric {
            let other = within(high, low)?;
            result = operator::binary(BinaryOperator::Or, result, other, span, zone)?;
        }
        if !negated {
            return Ok(result);
        }
        let data_type = result.data_type.clone();
        Ok(Scalar { kind: ScalarKind::Not(Box::new(result)), data_type })
    }

    /// `(start, end) OVERLAPS (start, end)`, where an end may be an interval behind the start: the ends touch or cross.
    fn overlaps(
        &mut self,
        left: &ast::Expression,
        right: &ast::Expression,
        scope: &Scope,
        span: Span,
    ) -> Bound<Scalar> {
        let (first, last) = self.period(left, scope)?;
        let (other_first, other_last) = self.period(right, scope)?;
        let zone = self.zone();
        let reaches = operator::comparison(Comparison::GreaterOrEqual, last, other_first, span, zone)?;
        let reached = operator::comparison(Comparison::GreaterOrEqual, other_last, first, span, zone)?;
        operator::binary(BinaryOperator::And, reaches, reached, span, zone)
    }

    /// The ends of a period, the earlier one first.
    fn period(&mut self, written: &ast::Expression, scope: &Scope) -> Bound<(Scalar, Scalar)> {
        let span = written.span;
        let wrong = || {
            Diagnostic::mistyped(span, "OVERLAPS takes two periods")
                .with_hint("write (start, end) or (start, INTERVAL '1' HOUR) on both sides")
        };
        let ExpressionKind::Row(parts) = &written.kind else { return boxed(wrong()) };
        let Ok([start, end]) = <[Scalar; 2]>::try_from(self.expressions(parts, scope)?) else {
            return boxed(wrong());
        };
        let zone = self.zone();
        if !start.data_type.kind.is_temporal() {
            return boxed(wrong());
        }
        let end = if end.data_type.kind.is_interval() {
            operator::binary(BinaryOperator::Add, start.clone(), end, span, zone)?
        } else {
            end
        };
        let (start, end) = operator::bring_together(start, end, "OVERLAPS", span, zone)?;
        let common = start.data_type.with_nullable(start.data_type.nullable || end.data_type.nullable);
        let ordered = operator::comparison(Comparison::LessOrEqual, start.clone(), end.clone(), span, zone)?;
        let pick = |then: &Scalar, otherwise: &Scalar| {
            make_case(vec![ordered.clone()], vec![then.clone(), otherwise.clone()], &common, zone)
        };
        Ok((pick(&start, &end), pick(&end, &start)))
    }

    fn in_list(
        &mut self,
        operand: &ast::Expression,
        negated: bool,
        list: &[ast::Expression],
        scope: &Scope,
    ) -> Bound<Scalar> {
        let zone = self.zone();
        let operand = self.expression(operand, scope);
        let items = self.expressions(list, scope);
        let (operand, items) = self.both(operand, items)?;
        let mut common = operand.data_type.clone();
        for (item, written) in items.iter().zip(list) {
            let text_as_time = common.kind.is_temporal() && item.data_type.kind.is_character();
            if text_as_time {
                continue;
            }
            match common_type(&common, &item.data_type) {
                Some(wider) => common = wider,
                None => {
                    return boxed(
                        Diagnostic::mistyped(
                            written.span,
                            format!("IN compares {} with {}", shown(&common), shown(&item.data_type)),
                        )
                        .with_label(format!("expected {}", shown(&operand.data_type))),
                    );
                }
            }
        }
        let nullable = operand.data_type.nullable || items.iter().any(|item| item.data_type.nullable);
        Ok(Scalar {
            kind: ScalarKind::InList {
                operand: Box::new(operator::coerce(operand, &common, zone)),
                list: items.into_iter().map(|item| fold(operator::coerce(item, &common, zone))).collect(),
                negated,
            },
            data_type: TypeKind::Boolean.with_nullable(nullable),
        })
    }

    fn escape_character(&mut self, written: &ast::Expression, scope: &Scope) -> Bound<char> {
        let scalar = self.expression(written, scope)?;
        let mut letters = scalar.as_text().unwrap_or("").chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(letter),
            _ => boxed(Diagnostic::invalid(written.span, "ESCAPE takes a text of one character")),
        }
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expression>,
        branches: &[ast::CaseBranch],
        otherwise: Option<&ast::Expression>,
        scope: &Scope,
        span: Span,
    ) -> Bound<Scalar> {
        let zone = self.zone();
        let operand = operand.map(|operand| self.expression(operand, scope)).transpose();
        let operand_is_broken = operand.is_err();
        let operand = self.noted(operand).flatten();
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for branch in branches {
            let at = branch.when.span;
            let when = self.expression(&branch.when, scope);
            conditions.push(when.and_then(|when| match &operand {
                Some(operand) => operator::comparison(Comparison::Equal, operand.clone(), when, at, zone),
                None if operand_is_broken => Err(consequence()),
                None => operator::boolean(when, "WHEN", at),
            }));
            results.push(self.expression(&branch.then, scope));
        }
        results.push(match otherwise {
            Some(otherwise) => self.expression(otherwise, scope),
            None => Ok(Scalar::null(&TypeKind::Null.nullable())),
        });
        let (conditions, results) = (self.all(conditions), self.all(results));
        let (conditions, results) = self.both(conditions, results)?;
        let mut spans: Vec<Span> = branches.iter().map(|branch| branch.then.span).collect();
        spans.push(otherwise.map_or(span, |otherwise| otherwise.span));
        let mut common = results[0].data_type.clone();
        for (result, span) in results.iter().zip(&spans) {
            match common_type(&common, &result.data_type) {
                Some(wider) => common = wider,
                None => {
                    return boxed(
                        Diagnostic::mistyped(
                            *span,
                            format!(
                                "the results of CASE have different types: {} and {}",
                                shown(&common),
                                shown(&result.data_type)
                            ),
                        )
                        .with_label(format!("expected {}", shown(&common))),
                    );
                }
            }
        }
        Ok(make_case(conditions, results, &common, zone))
    }

    /// The common type of several expressions.
    pub(super) fn common(&mut self, what: &str, parts: &[Scalar], span: Span) -> Bound<LogicalType> {
        let mut common: Option<LogicalType> = None;
        for part in parts {
            common = Some(match common {
                None => part.data_type.clone(),
                Some(common) => match common_type(&common, &part.data_type) {
                    Some(wider) => wider,
                    None => {
                        return boxed(Diagnostic::mistyped(
                            span,
                            format!(
                                "{what} have different types: {} and {}",
                                shown(&common),
                                shown(&part.data_type)
                            ),
                        ));
                    }
                },
            });
        }
        match common {
            Some(common) => Ok(common),
            None => boxed(Diagnostic::invalid(span, format!("{what} are missing: the type is not known"))),
        }
    }
}

/// `CASE WHEN … THEN … ELSE … END`; the last of the results is that of ELSE.
pub(super) fn make_case(
    conditions: Vec<Scalar>,
    mut results: Vec<Scalar>,
    common: &LogicalType,
    zone: Zone,
) -> Scalar {
    let nullable = results.iter().any(|result| result.data_type.nullable);
    let otherwise = results.pop().unwrap_or_else(|| Scalar::null(common));
    let branches = conditions
        .into_iter()
        .zip(results)
        .map(|(when, then)| (when, operator::coerce(then, common, zone)))
        .collect();
    Scalar {
        kind: ScalarKind::Case { branches, otherwise: Box::new(operator::coerce(otherwise, common, zone)) },
        data_type: common.with_nullable(nullable),
    }
}

/// Casts and takes the nullability of the target, as elements of arrays do.
fn widen(scalar: Scalar, to: &LogicalType, zone: Zone) -> Scalar {
    let cast = operator::coerce(scalar, to, zone);
    Scalar { data_type: cast.data_type.with_nullable(to.nullable), ..cast }
}

/// Evaluates a cast of a literal, so that the literal can be looked up.
fn fold(scalar: Scalar) -> Scalar {
    match &scalar.kind {
        ScalarKind::Cast { operand, .. } if operand.as_literal().is_some() => {
            scalar.folded().unwrap_or(scalar)
        }
        _ => scalar,
    }
}

/// `base.field` of a row.
pub(super) fn access_field(base: Scalar, field: &ast::Identifier) -> Bound<Scalar> {
    let TypeKind::Row(fields) = &base.data_type.kind else {
        return boxed(
            Diagnostic::mistyped(
                field.span,
                format!(
                    "{} is {} and has no field '{}'",
                    base.describe(),
                    shown(&base.data_type),
                    field.value
                ),
            )
            .with_label("not a ROW"),
        );
    };
    let Some(index) = fields.iter().position(|candidate| candidate.name == field.value) else {
        let names: Vec<&str> = fields.iter().map(|candidate| candidate.name.as_str()).collect();
        return boxed(
            Diagnostic::unknown(field.span, format!("{} has no field '{}'", base.describe(), field.value))
                .with_label("no such field")
                .with_nearest_or_list(&field.value, &names),
        );
    };
    let data_type =
        fields[index].data_type.with_nullable(fields[index].data_type.nullable || base.data_type.nullable);
    let kind = ScalarKind::Field { base: Box::new(base), index, name: field.value.clone() };
    Ok(Scalar { kind, data_type })
}

fn element(base: Scalar, index: Scalar, span: Span, zone: Zone) -> Bound<Scalar> {
    let (wanted, result) = match &base.data_type.kind {
        TypeKind::Variant => return variant_part(base, index, span, zone),
        TypeKind::Array(element) => {
            // A place that is written must be one; one that is computed finds nothing.
            if let Some(place) = index.integer().filter(|place| *place < 1) {
                return boxed(
                    Diagnostic::invalid(
                        span,
                        format!("the elements of an array are counted from 1, but the index is {place}"),
                    )
                    .with_label("no such element"),
                );
            }
            (TypeKind::Int.nullable(), element.as_nullable())
        }
        TypeKind::Map(key, value) => (key.as_nullable(), value.as_nullable()),
        _ => {
            return boxed(Diagnostic::mistyped(
                span,
                format!("[] takes an ARRAY or a MAP but found {}", shown(&base.data_type)),
            ));
        }
    };
    if !crate::types::implicitly_castable(&index.data_type, &wanted) && !index.data_type.kind.is_integer() {
        return boxed(
            Diagnostic::mistyped(span, format!("the index is {} here", shown(&index.data_type)))
                .with_label(format!("expected {}", shown(&wanted))),
        );
    }
    let index = operator::coerce(index, &wanted, zone);
    Ok(Scalar {
        kind: ScalarKind::Element { base: Box::new(base), index: Box::new(index) },
        data_type: result,
    })
}

/// `variant['field']`, `variant[1]`.
fn variant_part(base: Scalar, index: Scalar, span: Span, zone: Zone) -> Bound<Scalar> {
    let kind = &index.data_type.kind;
    let Some(function) = functions::find("$VARIANT_GET").filter(|_| kind.is_character() || kind.is_integer())
    else {
        return boxed(
            Diagnostic::mistyped(span, format!("the index is {} here", shown(&index.data_type)))
                .with_label("expected the name of a field or the number of an element"),
        );
    };
    let arguments = vec![base, index];
    Ok(Scalar {
        kind: ScalarKind::Call { function, arguments, zone },
        data_type: TypeKind::Variant.nullable(),
    })
}

fn is_test(operand: Scalar, negated: bool, test: IsTest, operand_span: Span, span: Span) -> Bound<Scalar> {
    let data_type = TypeKind::Boolean.not_null();
    let kind = match test {
        IsTest::Null => ScalarKind::IsNull { operand: Box::new(operand), negated },
        IsTest::Unknown => {
            let operand = operator::boolean(operand, "IS UNKNOWN", operand_span)?;
            ScalarKind::IsNull { operand: Box::new(operand), negated }
        }
        IsTest::True | IsTest::False => {
            let truth = test == IsTest::True;
            let name = if truth { "IS TRUE" } else { "IS FALSE" };
            let operand = operator::boolean(operand, name, operand_span)?;
            ScalarKind::IsTruth { operand: Box::new(operand), truth, negated }
        }
        IsTest::Json | IsTest::JsonObject | IsTest::JsonArray | IsTest::JsonScalar => {
            return boxed(Diagnostic::invalid(span, "IS JSON is a test of a text"));
        }
    };
    Ok(Scalar { kind, data_type })
}

/// Whether a name could be meant for a function that stands without parentheses.
pub(super) fn is_niladic(name: &str) -> bool {
    functions::find(name).is_some_and(|function| function.signatures.iter().any(|s| s.parameters.is_empty()))
}
