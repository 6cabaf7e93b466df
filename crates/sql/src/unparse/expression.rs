//! Expressions, with the parentheses that the precedences of the parser ask for.

use super::{commas, literal};
use crate::ast::*;
use std::fmt::{self, Display, Formatter, Write};

/// How tightly an expression holds together; see `parser::expression`.
mod binding {
    pub(super) const OR: u8 = 22;
    pub(super) const AND: u8 = 24;
    pub(super) const NOT: u8 = 26;
    pub(super) const IS: u8 = 28;
    pub(super) const COMPARISON: u8 = 30;
    pub(super) const BETWEEN: u8 = 32;
    pub(super) const SUM: u8 = 40;
    pub(super) const PRODUCT: u8 = 60;
    pub(super) const SIGN: u8 = 80;
    pub(super) const PRIMARY: u8 = 100;
}

fn binding_of(expression: &Expression) -> u8 {
    match &expression.kind {
        ExpressionKind::Binary { operator, .. } => operator_binding(*operator),
        ExpressionKind::Unary { operator: UnaryOperator::Not, .. } => binding::NOT,
        ExpressionKind::Unary { .. } => binding::SIGN,
        ExpressionKind::Is { .. } | ExpressionKind::IsDistinctFrom { .. } => binding::IS,
        ExpressionKind::Quantified { .. } | ExpressionKind::Overlaps { .. } => binding::COMPARISON,
        ExpressionKind::Between { .. }
        | ExpressionKind::InList { .. }
        | ExpressionKind::InSubquery { .. }
        | ExpressionKind::Like { .. } => binding::BETWEEN,
        _ => binding::PRIMARY,
    }
}

fn operator_binding(operator: BinaryOperator) -> u8 {
    match operator {
        BinaryOperator::Or => binding::OR,
        BinaryOperator::And => binding::AND,
        BinaryOperator::Add | BinaryOperator::Subtract => binding::SUM,
        BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Modulo
        | BinaryOperator::Concatenate => binding::PRODUCT,
        _ => binding::COMPARISON,
    }
}

/// Writes an operand, in parentheses unless it binds at least as tightly as `least`.
fn operand(f: &mut Formatter<'_>, expression: &Expression, least: u8) -> fmt::Result {
    if binding_of(expression) < least || begins_with_not(expression, least) {
        write!(f, "({expression})")
    } else {
        write!(f, "{expression}")
    }
}

/// NOT takes everything behind it down to comparisons: an operator whose left side begins with NOT needs
/// parentheses there.
fn begins_with_not(expression: &Expression, least: u8) -> bool {
    least > binding::NOT
        && match &expression.kind {
            ExpressionKind::Unary { operator: UnaryOperator::Not, .. } => true,
            ExpressionKind::Binary { left, operator, .. } => {
                operator_binding(*operator) > binding::NOT && begins_with_not(left, least)
            }
            _ => false,
        }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExpressionKind::Literal(value) => write!(f, "{value}"),
            ExpressionKind::Column(parts) => super::separated(f, parts, "."),
            ExpressionKind::Field { base, field } => {
                // `(a).b` keeps its parentheses: `a.b` would be a qualified name.
                match base.kind {
                    ExpressionKind::Column(_) => write!(f, "({base}).{field}"),
                    _ => {
                        operand(f, base, binding::PRIMARY)?;
                        write!(f, ".{field}")
                    }
                }
            }
            ExpressionKind::Index { base, index } => {
                operand(f, base, binding::PRIMARY)?;
                write!(f, "[{index}]")
            }
            ExpressionKind::Unary { operator, operand: inner } => {
                f.write_str(match operator {
                    UnaryOperator::Not => "NOT ",
                    UnaryOperator::Plus => "+",
                    UnaryOperator::Minus => "-",
                })?;
                match operator {
                    UnaryOperator::Not => operand(f, inner, binding::NOT),
                    // `--` would begin a comment.
                    _ if matches!(inner.kind, ExpressionKind::Unary { .. }) => write!(f, "({inner})"),
                    _ => operand(f, inner, binding::SIGN),
                }
            }
            ExpressionKind::Binary { left, operator, right, .. } => {
                let own = operator_binding(*operator);
                let associative = matches!(operator, BinaryOperator::And | BinaryOperator::Or);
                operand(f, left, own)?;
                write!(f, " {} ", operator.symbol())?;
                operand(f, right, if associative { own } else { own + 1 })
            }
            ExpressionKind::Between { operand: inner, negated, symmetric, low, high } => {
                operand(f, inner, binding::BETWEEN)?;
                super::word_if(f, *negated, "NOT")?;
                f.write_str(" BETWEEN")?;
                super::word_if(f, *symmetric, "SYMMETRIC")?;
                f.write_char(' ')?;
                operand(f, low, binding::BETWEEN + 1)?;
                f.write_str(" AND ")?;
                operand(f, high, binding::BETWEEN + 1)
            }
            ExpressionKind::InList { operand: inner, negated, list } => {
                operand(f, inner, binding::BETWEEN)?;
                super::word_if(f, *negated, "NOT")?;
                write!(f, " IN ({})", commas(list))
            }
            ExpressionKind::InSubquery { operand: inner, negated, query } => {
                operand(f, inner, binding::BETWEEN)?;
                super::word_if(f, *negated, "NOT")?;
                write!(f, " IN ({query})")
            }
            ExpressionKind::Quantified { left, operator, all, right } => {
                operand(f, left, binding::COMPARISON)?;
                write!(f, " {} {} ", operator.symbol(), if *all { "ALL" } else { "ANY" })?;
                match right {
                    QuantifiedOperand::List(list) => write!(f, "({})", commas(list)),
                    QuantifiedOperand::Query(query) => write!(f, "({query})"),
                }
            }
            ExpressionKind::Exists(query) => write!(f, "EXISTS ({query})"),
            ExpressionKind::Subquery(query) => write!(f, "({query})"),
            ExpressionKind::Like { operand: inner, negated, kind, pattern, escape } => {
                operand(f, inner, binding::BETWEEN)?;
                super::word_if(f, *negated, "NOT")?;
                f.write_str(if *kind == LikeKind::Like { " LIKE " } else { " SIMILAR TO " })?;
                operand(f, pattern, binding::BETWEEN + 1)?;
                if let Some(escape) = escape {
                    f.write_str(" ESCAPE ")?;
                    operand(f, escape, binding::BETWEEN + 1)?;
                }
                Ok(())
            }
            ExpressionKind::Is { operand: inner, negated, test } => {
                operand(f, inner, binding::IS)?;
                f.write_str(" IS")?;
                super::word_if(f, *negated, "NOT")?;
                f.write_str(match test {
                    IsTest::Null => " NULL",
                    IsTest::True => " TRUE",
                    IsTest::False => " FALSE",
                    IsTest::Unknown => " UNKNOWN",
                    IsTest::Json => " JSON VALUE",
                    IsTest::JsonObject => " JSON OBJECT",
                    IsTest::JsonArray => " JSON ARRAY",
                    IsTest::JsonScalar => " JSON SCALAR",
                })
            }
            ExpressionKind::IsDistinctFrom { left, negated, right } => {
                operand(f, left, binding::IS)?;
                f.write_str(" IS")?;
                super::word_if(f, *negated, "NOT")?;
                f.write_str(" DISTINCT FROM ")?;
                operand(f, right, binding::COMPARISON + 1)
            }
            ExpressionKind::Case { operand: inner, branches, otherwise } => {
                f.write_str("CASE")?;
                if let Some(inner) = inner {
                    write!(f, " {inner}")?;
                }
                for branch in branches {
                    write!(f, " WHEN {} THEN {}", branch.when, branch.then)?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                f.write_str(" END")
            }
            ExpressionKind::Cast { operand: inner, data_type, lenient } => {
                write!(f, "{}({inner} AS {data_type})", if *lenient { "TRY_CAST" } else { "CAST" })
            }
            ExpressionKind::Call(call) => write!(f, "{call}"),
            ExpressionKind::Extract { unit, operand: inner } => {
                write!(f, "EXTRACT({} FROM {inner})", unit.name())
            }
            ExpressionKind::RoundTo { up, operand: inner, unit } => {
                write!(f, "{}({inner} TO {})", if *up { "CEIL" } else { "FLOOR" }, unit.name())
            }
            ExpressionKind::TimestampAdd { unit, count, operand: inner } => {
                write!(f, "TIMESTAMPADD({}, {count}, {inner})", unit.name())
            }
            ExpressionKind::IntervalBetween { left, right, from, to } => {
                f.write_char('(')?;
                operand(f, left, binding::SUM)?;
                f.write_str(" - ")?;
                operand(f, right, binding::PRODUCT)?;
                write!(f, ") {}", from.name())?;
                match to {
                    Some(to) => write!(f, " TO {}", to.name()),
                    None => Ok(()),
                }
            }
            ExpressionKind::TimestampDiff { unit, from, to } => {
                write!(f, "TIMESTAMPDIFF({}, {from}, {to})", unit.name())
            }
            ExpressionKind::Trim { side, characters, operand: inner } => {
                let side = match side {
                    TrimSide::Both => "BOTH",
                    TrimSide::Leading => "LEADING",
                    TrimSide::Trailing => "TRAILING",
                };
                match characters {
                    Some(characters) => write!(f, "TRIM({side} {characters} FROM {inner})"),
                    None => write!(f, "TRIM({side} FROM {inner})"),
                }
            }
            ExpressionKind::Row(items) => write!(f, "ROW({})", commas(items)),
            ExpressionKind::Array(items) => write!(f, "ARRAY[{}]", commas(items)),
            ExpressionKind::Map(entries) => {
                f.write_str("MAP[")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}, {value}", if index > 0 { ", " } else { "" })?;
                }
                f.write_char(']')
            }
            ExpressionKind::Overlaps { left, right } => {
                operand(f, left, binding::COMPARISON)?;
                f.write_str(" OVERLAPS ")?;
                operand(f, right, binding::COMPARISON + 1)
            }
            ExpressionKind::Json(call) => write!(f, "{call}"),
        }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str("NULL"),
            Literal::Boolean(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
            Literal::Unknown => f.write_str("UNKNOWN"),
            Literal::Exact(text) | Literal::Approximate(text) => f.write_str(&text.to_ascii_uppercase()),
            Literal::String(text) => f.write_str(&literal(text)),
            Literal::Binary(bytes) => {
                f.write_str("X'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
                f.write_char('\'')
            }
            Literal::Date(date) => write!(f, "DATE '{}'", date.format("%Y-%m-%d")),
            Literal::Time { value, precision } => {
                write!(f, "TIME '{}{}'", value.format("%H:%M:%S"), fraction(&value.format("%9f"), *precision))
            }
            Literal::Timestamp { value, precision } => {
                write!(f, "TIMESTAMP '{}", value.format("%Y-%m-%d %H:%M:%S"))?;
                write!(f, "{}'", fraction(&value.format("%9f"), *precision))
            }
            Literal::TimestampLtz { value, precision } => {
                write!(f, "TIMESTAMP WITH LOCAL TIME ZONE '{}", value.format("%Y-%m-%d %H:%M:%S"))?;
                write!(f, "{}'", fraction(&value.format("%9f"), *precision))
            }
            Literal::Interval(interval) => write!(f, "{interval}"),
        }
    }
}

/// A point and the first digits of nine.
fn fraction(nanoseconds: &dyn Display, precision: u8) -> String {
    match precision {
        0 => String::new(),
        digits => format!(".{:.*}", usize::from(digits), nanoseconds.to_string()),
    }
}

impl Display for IntervalLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "INTERVAL {sign}{} {}", literal(&self.text), self.from.name())?;
        match (self.from, self.precision, self.fraction) {
            (TimeUnit::Second, Some(precision), Some(fraction)) => write!(f, "({precision}, {fraction})")?,
            (_, Some(precision), _) => write!(f, "({precision})")?,
            _ => {}
        }
        if let Some(to) = self.to {
            write!(f, " TO {}", to.name())?;
            if let Some(fraction) = self.fraction {
                write!(f, "({fraction})")?;
            }
        }
        Ok(())
    }
}

impl Display for FunctionCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Functions are found whatever their case; only a quoted or qualified name is printed as it stands.
        let special = match self.name.parts.as_slice() {
            [name] if !name.quoted => {
                let upper = name.value.to_ascii_uppercase();
                f.write_str(&upper)?;
                upper
            }
            _ => {
                write!(f, "{}", self.name)?;
                String::new()
            }
        };
        if !self.parenthesized {
            return Ok(());
        }
        f.write_char('(')?;
        match self.quantifier {
            Some(SetQuantifier::Distinct) => f.write_str("DISTINCT ")?,
            Some(SetQuantifier::All) => f.write_str("ALL ")?,
            None => {}
        }
        let plain = self.arguments.iter().all(|argument| argument.name.is_none());
        match (special.as_str(), self.arguments.as_slice()) {
            ("POSITION", [needle, rest @ ..]) if plain && !rest.is_empty() => {
                match &needle.value {
                    ArgumentValue::Expression(needle) => operand(f, needle, binding::PRIMARY)?,
                    _ => write!(f, "{needle}")?,
                }
                words_between(f, rest, &[" IN ", " FROM "])?;
            }
            ("OVERLAY", [text, rest @ ..]) if plain => {
                write!(f, "{text}")?;
                words_between(f, rest, &[" PLACING ", " FROM ", " FOR "])?;
            }
            _ => write!(f, "{}", commas(&self.arguments))?,
        }
        if !self.order_by.is_empty() {
            write!(f, " ORDER BY {}", commas(&self.order_by))?;
        }
        f.write_char(')')?;
        match self.nulls {
            Some(NullTreatment::Ignore) => f.write_str(" IGNORE NULLS")?,
            Some(NullTreatment::Respect) => f.write_str(" RESPECT NULLS")?,
            None => {}
        }
        if !self.within_group.is_empty() {
            write!(f, " WITHIN GROUP (ORDER BY {})", commas(&self.within_group))?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " FILTER (WHERE {filter})")?;
        }
        match &self.over {
            Some(Over::Named(name)) => write!(f, " OVER {name}"),
            Some(Over::Window(window)) => write!(f, " OVER {window}"),
            None => Ok(()),
        }
    }
}

/// The arguments, each behind its word.
fn words_between(f: &mut Formatter<'_>, arguments: &[Argument], words: &[&str]) -> fmt::Result {
    for (index, argument) in arguments.iter().enumerate() {
        write!(f, "{}{argument}", words.get(index).unwrap_or(&", "))?;
    }
    Ok(())
}

impl Display for Argument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} => ")?;
        }
        match &self.value {
            ArgumentValue::Expression(expression) => write!(f, "{expression}"),
            ArgumentValue::Star => f.write_char('*'),
            ArgumentValue::Default => f.write_str("DEFAULT"),
            ArgumentValue::Table(table) => write!(f, "{table}"),
            ArgumentValue::Model(name) => write!(f, "MODEL {name}"),
            ArgumentValue::Descriptor(columns) => write!(f, "DESCRIPTOR({})", commas(columns)),
        }
    }
}

impl Display for TableArgument {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.input {
            TableArgumentInput::Name(name) => write!(f, "TABLE {name}")?,
            TableArgumentInput::Query(query) => write!(f, "TABLE ({query})")?,
        }
        match self.partition_by.as_slice() {
            [] => {}
            [key] => write!(f, " PARTITION BY {key}")?,
            keys => write!(f, " PARTITION BY ({})", commas(keys))?,
        }
        match self.order_by.as_slice() {
            [] => Ok(()),
            [item] => write!(f, " ORDER BY {item}"),
            items => write!(f, " ORDER BY ({})", commas(items)),
        }
    }
}

impl Display for WindowSpecification {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(base) = &self.base {
            parts.push(base.to_string());
        }
        if !self.partition_by.is_empty() {
            parts.push(format!("PARTITION BY {}", commas(&self.partition_by)));
        }
        if !self.order_by.is_empty() {
            parts.push(format!("ORDER BY {}", commas(&self.order_by)));
        }
        if let Some(frame) = &self.frame {
            parts.push(frame.to_string());
        }
        write!(f, "({})", parts.join(" "))
    }
}

impl Display for Frame {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.unit == FrameUnit::Rows { "ROWS " } else { "RANGE " })?;
        match &self.end {
            Some(end) => write!(f, "BETWEEN {} AND {end}", self.start),
            None => write!(f, "{}", self.start),
        }
    }
}

impl Display for FrameBound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            FrameBound::UnboundedPreceding => f.write_str("UNBOUNDED PRECEDING"),
            FrameBound::CurrentRow => f.write_str("CURRENT ROW"),
            FrameBound::UnboundedFollowing => f.write_str("UNBOUNDED FOLLOWING"),
            // BETWEEN … AND: a distance with an AND of its own would end early.
            FrameBound::Preceding(distance) => {
                operand(f, distance, binding::NOT)?;
                f.write_str(" PRECEDING")
            }
            FrameBound::Following(distance) => {
                operand(f, distance, binding::NOT)?;
                f.write_str(" FOLLOWING")
            }
        }
    }
}

impl Display for JsonCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            JsonCall::Value { input, path, returning, on_empty, on_error } => {
                write!(f, "JSON_VALUE({input}, {path}")?;
                json_returning(f, returning)?;
                json_behaviors(f, on_empty, on_error)?;
                f.write_char(')')
            }
            JsonCall::Query { input, path, returning, wrapper, on_empty, on_error } => {
                write!(f, "JSON_QUERY({input}, {path}")?;
                json_returning(f, returning)?;
                f.write_str(match wrapper {
                    Some(JsonWrapper::Without) => " WITHOUT ARRAY WRAPPER",
                    Some(JsonWrapper::Conditional) => " WITH CONDITIONAL ARRAY WRAPPER",
                    Some(JsonWrapper::Unconditional) => " WITH UNCONDITIONAL ARRAY WRAPPER",
                    None => "",
                })?;
                json_behaviors(f, on_empty, on_error)?;
                f.write_char(')')
            }
            JsonCall::Exists { input, path, on_error } => {
                write!(f, "JSON_EXISTS({input}, {path}")?;
                json_behaviors(f, &None, on_error)?;
                f.write_char(')')
            }
            JsonCall::Object { entries, on_null } => {
                f.write_str("JSON_OBJECT(")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}KEY {key} VALUE {value}", if index > 0 { ", " } else { "" })?;
                }
                json_on_null(f, *on_null)?;
                f.write_char(')')
            }
            JsonCall::Array { elements, on_null } => {
                write!(f, "JSON_ARRAY({}", commas(elements))?;
                json_on_null(f, *on_null)?;
                f.write_char(')')
            }
            JsonCall::ObjectAggregate { key, value, on_null, filter } => {
                write!(f, "JSON_OBJECTAGG(KEY {key} VALUE {value}")?;
                json_on_null(f, *on_null)?;
                f.write_char(')')?;
                json_filter(f, filter)
            }
            JsonCall::ArrayAggregate { element, on_null, filter } => {
                write!(f, "JSON_ARRAYAGG({element}")?;
                json_on_null(f, *on_null)?;
                f.write_char(')')?;
                json_filter(f, filter)
            }
        }
    }
}

fn json_returning(f: &mut Formatter<'_>, returning: &Option<DataType>) -> fmt::Result {
    match returning {
        Some(data_type) => write!(f, " RETURNING {data_type}"),
        None => Ok(()),
    }
}

fn json_behaviors(
    f: &mut Formatter<'_>,
    on_empty: &Option<JsonBehavior>,
    on_error: &Option<JsonBehavior>,
) -> fmt::Result {
    for (behavior, place) in [(on_empty, "EMPTY"), (on_error, "ERROR")] {
        match behavior {
            None => {}
            Some(JsonBehavior::Null) => write!(f, " NULL ON {place}")?,
            Some(JsonBehavior::Error) => write!(f, " ERROR ON {place}")?,
            Some(JsonBehavior::True) => write!(f, " TRUE ON {place}")?,
            Some(JsonBehavior::False) => write!(f, " FALSE ON {place}")?,
            Some(JsonBehavior::Unknown) => write!(f, " UNKNOWN ON {place}")?,
            Some(JsonBehavior::EmptyArray) => write!(f, " EMPTY ARRAY ON {place}")?,
            Some(JsonBehavior::EmptyObject) => write!(f, " EMPTY OBJECT ON {place}")?,
            Some(JsonBehavior::Default(value)) => write!(f, " DEFAULT {value} ON {place}")?,
        }
    }
    Ok(())
}

fn json_on_null(f: &mut Formatter<'_>, on_null: Option<JsonOnNull>) -> fmt::Result {
    f.write_str(match on_null {
        Some(JsonOnNull::Null) => " NULL ON NULL",
        Some(JsonOnNull::Absent) => " ABSENT ON NULL",
        None => "",
    })
}

fn json_filter(f: &mut Formatter<'_>, filter: &Option<Expression>) -> fmt::Result {
    match filter {
        Some(filter) => write!(f, " FILTER (WHERE {filter})"),
        None => Ok(()),
    }
}
