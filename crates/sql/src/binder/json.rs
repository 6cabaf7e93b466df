//! The SQL/JSON forms: their clauses become arguments of the functions that evaluate them.

use super::scope::Scope;
use super::{Binder, Bound, boxed, literal, operator, shown};
use crate::ast::{
    self, Expression, ExpressionKind, IsTest, JsonBehavior, JsonCall, JsonOnNull, JsonWrapper, Literal,
};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{LogicalType, TypeKind};
use base::Zone;

/// The kind of JSON that IS JSON asks for.
pub(super) fn tested_kind(test: IsTest) -> Option<&'static str> {
    match test {
        IsTest::Json => Some("VALUE"),
        IsTest::JsonObject => Some("OBJECT"),
        IsTest::JsonArray => Some("ARRAY"),
        IsTest::JsonScalar => Some("SCALAR"),
        IsTest::Null | IsTest::True | IsTest::False | IsTest::Unknown => None,
    }
}

fn clause(text: &str, span: Span) -> Bound<Scalar> {
    literal::bind(&Literal::String(text.to_string()), false, Zone::UTC, span)
}

/// Whether the value of an expression is JSON that goes into an object or array as it is.
pub(super) fn is_json(expression: &Expression) -> bool {
    match &expression.kind {
        ExpressionKind::Json(call) => matches!(**call, JsonCall::Object { .. } | JsonCall::Array { .. }),
        _ => json_argument(expression).is_some(),
    }
}

/// The text of `JSON(text)`.
fn json_argument(expression: &Expression) -> Option<&Expression> {
    let ExpressionKind::Call(call) = &expression.kind else { return None };
    let is_json = call.name.parts.len() == 1 && call.name.last().value.eq_ignore_ascii_case("JSON");
    match call.arguments.as_slice() {
        [ast::Argument { value: ast::ArgumentValue::Expression(text), .. }] if is_json => Some(text),
        _ => None,
    }
}

impl Binder<'_> {
    pub(super) fn is_json(
        &mut self,
        operand: Scalar,
        negated: bool,
        kind: &str,
        span: Span,
    ) -> Bound<Scalar> {
        if !operand.data_type.kind.is_character() && operand.data_type.kind != TypeKind::Null {
            return boxed(Diagnostic::mistyped(
                span,
                format!("IS JSON takes a text but found {}", shown(&operand.data_type)),
            ));
        }
        let test = self.function("$IS_JSON", vec![operand, clause(kind, span)?], span)?;
        let data_type = test.data_type.clone();
        Ok(if negated { Scalar { kind: ScalarKind::Not(Box::new(test)), data_type } } else { test })
    }

    pub(super) fn json(&mut self, call: &JsonCall, scope: &Scope, span: Span) -> Bound<Scalar> {
        match call {
            JsonCall::Exists { input, path, on_error } => {
                let behavior = match on_error {
                    None | Some(JsonBehavior::False) => "FALSE",
                    Some(JsonBehavior::True) => "TRUE",
                    Some(JsonBehavior::Unknown) => "UNKNOWN",
                    Some(JsonBehavior::Error) => "ERROR",
                    Some(_) => {
                        return boxed(Diagnostic::invalid(
                            span,
                            "JSON_EXISTS is TRUE, FALSE, UNKNOWN or ERROR ON ERROR",
                        ));
                    }
                };
                let mut arguments = self.json_input(input, path, scope)?;
                arguments.push(clause(behavior, span)?);
                self.function("$JSON_EXISTS", arguments, span)
            }
            JsonCall::Value { input, path, returning, on_empty, on_error } => {
                let result = self.json_value_type(returning.as_ref())?;
                let mut arguments = self.json_input(input, path, scope)?;
                arguments.push(clause(&result.summary(), span)?);
                for behavior in [on_empty, on_error] {
                    let (word, default) = self.json_default(behavior.as_ref(), &result, scope, span)?;
                    arguments.extend([clause(word, span)?, default]);
                }
                let scalar = self.function("$JSON_VALUE", arguments, span)?;
                Ok(Scalar { data_type: result, ..scalar })
            }
            JsonCall::Query { input, path, returning, wrapper, on_empty, on_error } => {
                let result = self.json_query_type(returning.as_ref())?;
                let as_array = matches!(result.kind, TypeKind::Array(_));
                let wrapper = match wrapper {
                    None | Some(JsonWrapper::Without) => "WITHOUT",
                    Some(JsonWrapper::Conditional) => "CONDITIONAL",
                    Some(JsonWrapper::Unconditional) => "UNCONDITIONAL",
                };
                let mut arguments = self.json_input(input, path, scope)?;
                arguments.push(clause(wrapper, span)?);
                for behavior in [on_empty, on_error] {
                    let word = match behavior {
                        None | Some(JsonBehavior::Null) => "NULL",
                        Some(JsonBehavior::Error) => "ERROR",
                        Some(JsonBehavior::EmptyArray) => "EMPTY ARRAY",
                        Some(JsonBehavior::EmptyObject) if !as_array => "EMPTY OBJECT",
                        Some(JsonBehavior::EmptyObject) => {
                            return boxed(Diagnostic::invalid(
                                span,
                                "an empty object is no ARRAY; write EMPTY ARRAY",
                            ));
                        }
                        Some(_) => {
                            return boxed(Diagnostic::invalid(
                                span,
                                "JSON_QUERY gives NULL, EMPTY ARRAY, EMPTY OBJECT or ERROR where it finds nothing",
                            ));
                        }
                    };
                    arguments.push(clause(word, span)?);
                }
                let scalar = self.function("$JSON_QUERY", arguments, span)?;
                Ok(Scalar { data_type: result, ..scalar })
            }
            JsonCall::Object { entries, on_null } => {
                let raw: String =
                    entries.iter().map(|(_, value)| if is_json(value) { '1' } else { '0' }).collect();
                let nulls = if *on_null == Some(JsonOnNull::Absent) { "ABSENT" } else { "NULL" };
                let mut arguments = vec![clause(nulls, span)?, clause(&raw, span)?];
                for (key, value) in entries {
                    let name = self.expression(key, scope)?;
                    if name.as_text().is_none() {
                        return boxed(
                            Diagnostic::invalid(
                                key.span,
                                "the name of a JSON field is a text that is written out",
                            )
                            .with_hint("MAP[name, value] takes computed names; JSON_STRING makes JSON of it"),
                        );
                    }
                    arguments.extend([name, self.json_member(value, scope)?]);
                }
                self.function("$JSON_OBJECT", arguments, span)
            }
            JsonCall::Array { elements, on_null } => {
                let raw: String =
                    elements.iter().map(|value| if is_json(value) { '1' } else { '0' }).collect();
                let nulls = if *on_null == Some(JsonOnNull::Null) { "NULL" } else { "ABSENT" };
                let mut arguments = vec![clause(nulls, span)?, clause(&raw, span)?];
                for element in elements {
                    arguments.push(self.json_member(element, scope)?);
                }
                self.function("$JSON_ARRAY", arguments, span)
            }
            JsonCall::ObjectAggregate { .. } | JsonCall::ArrayAggregate { .. } => {
                self.json_aggregate(call, scope, span)
            }
        }
    }

    fn json_input(&mut self, input: &Expression, path: &Expression, scope: &Scope) -> Bound<Vec<Scalar>> {
        let (text, way) = (self.expression(input, scope)?, self.expression(path, scope)?);
        for (scalar, written, what) in [(&text, input, "JSON"), (&way, path, "the JSON path")] {
            if !scalar.data_type.kind.is_character() && scalar.data_type.kind != TypeKind::Null {
                return boxed(
                    Diagnostic::mistyped(
                        written.span,
                        format!("{what} is a text, but this is {}", shown(&scalar.data_type)),
                    )
                    .with_label("expected STRING"),
                );
            }
        }
        Ok(vec![text, way])
    }

    /// A member of a JSON object or array: what `JSON(text)` says, or any value.
    pub(super) fn json_member(&mut self, written: &Expression, scope: &Scope) -> Bound<Scalar> {
        let (scalar, is_raw) = match json_argument(written) {
            Some(text) => (self.expression(text, scope)?, true),
            None => (self.expression(written, scope)?, false),
        };
        let kind = &scalar.data_type.kind;
        let fits = if is_raw {
            kind.is_character() || *kind == TypeKind::Null
        } else {
            crate::json::write::holds(kind)
        };
        if !fits {
            return boxed(
                Diagnostic::mistyped(written.span, format!("JSON cannot hold {}", shown(&scalar.data_type)))
                    .with_hint(format!("write CAST({} AS STRING)", scalar.describe())),
            );
        }
        if *kind == TypeKind::Null {
            return Ok(Scalar::null(&TypeKind::string().nullable()));
        }
        Ok(scalar)
    }

    fn json_value_type(&mut self, returning: Option<&ast::DataType>) -> Bound<LogicalType> {
        let Some(written) = returning else { return Ok(TypeKind::string().nullable()) };
        let result = LogicalType::from_ast(written)?.as_nullable();
        match result.kind {
            TypeKind::Boolean | TypeKind::Int | TypeKind::Double | TypeKind::Char(_) | TypeKind::VarChar(_) => Ok(result),
            _ => boxed(
                Diagnostic::unsupported(written.span, format!("JSON_VALUE cannot return {}", shown(&result)))
                    .with_hint(format!(
                        "it returns STRING, BOOLEAN, INT or DOUBLE, as in Flink; write CAST(JSON_VALUE(…) AS {})",
                        shown(&result)
                    )),
            ),
        }
    }

    fn json_query_type(&mut self, returning: Option<&ast::DataType>) -> Bound<LogicalType> {
        let Some(written) = returning else { return Ok(TypeKind::string().nullable()) };
        let result = LogicalType::from_ast(written)?.as_nullable();
        let fits = match &result.kind {
            TypeKind::VarChar(_) => true,
            TypeKind::Array(element) => matches!(element.kind, TypeKind::VarChar(_)) && element.nullable,
            _ => false,
        };
        if fits {
            return Ok(result);
        }
        boxed(
            Diagnostic::unsupported(written.span, format!("JSON_QUERY cannot return {}", shown(&result)))
                .with_hint("it returns STRING or ARRAY<STRING>, as in Flink"),
        )
    }

    /// The word of a behavior, and its default in the type of the result.
    fn json_default(
        &mut self,
        behavior: Option<&JsonBehavior>,
        result: &LogicalType,
        scope: &Scope,
        span: Span,
    ) -> Bound<(&'static str, Scalar)> {
        let written = match behavior {
            None | Some(JsonBehavior::Null) => return Ok(("NULL", Scalar::null(result))),
            Some(JsonBehavior::Error) => return Ok(("ERROR", Scalar::null(result))),
            Some(JsonBehavior::Default(written)) => written,
            Some(_) => {
                return boxed(Diagnostic::invalid(
                    span,
                    "JSON_VALUE gives NULL, a DEFAULT or ERROR where it finds no value",
                ));
            }
        };
        let default = self.expression(written, scope)?;
        let kind = &default.data_type.kind;
        let default = match (&result.kind, kind) {
            // As Java writes them.
            (TypeKind::Char(_) | TypeKind::VarChar(_), TypeKind::Boolean) => {
                let text = operator::coerce(default, &TypeKind::string().nullable(), Zone::UTC);
                self.function("LOWER", vec![text], written.span)?
            }
            (TypeKind::Char(_) | TypeKind::VarChar(_), kind) if !kind.is_character() => {
                operator::coerce(default, &TypeKind::string().nullable(), self.settings.zone)
            }
            (wanted, given)
                if wanted == given
                    || *given == TypeKind::Null
                    || (wanted.is_character() && given.is_character()) =>
            {
                operator::coerce(default, result, Zone::UTC)
            }
            (TypeKind::Double, given) if given.is_numeric() => operator::coerce(default, result, Zone::UTC),
            _ => {
                return boxed(
                    Diagnostic::mistyped(
                        written.span,
                        format!("the default is {} here", shown(&default.data_type)),
                    )
                    .with_label(format!("expected {}", shown(result))),
                );
            }
        };
        Ok(("DEFAULT", default))
    }

    /// `JSON(text)` outside of JSON_OBJECT and JSON_ARRAY.
    pub(super) fn refuse_json(&self, call: &ast::FunctionCall) -> Bound<Scalar> {
        boxed(
            Diagnostic::invalid(
                call.span,
                "JSON(text) stands only in JSON_ARRAY and as a value of JSON_OBJECT",
            )
            .with_hint("write JSON_OBJECT('name' VALUE JSON(text))"),
        )
    }
}
