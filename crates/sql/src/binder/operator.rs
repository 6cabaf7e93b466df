//! Operators: what their operands are cast to, and the type of the result.

use super::{Bound, boxed, shown};
use crate::ast::BinaryOperator;
use crate::diagnostic::Diagnostic;
use crate::expression::arithmetic::Operation;
use crate::expression::cast::CastMode;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::functions;
use crate::span::Span;
use crate::types::{
    LENGTH_MAX, LogicalType, TypeKind, castable, common_type, decimal, exact_digits, implicitly_castable,
    needs_cast,
};
use base::Zone;

/// Casts without a written CAST; types that agree in their values only change their names.
pub(super) fn coerce(scalar: Scalar, to: &LogicalType, zone: Zone) -> Scalar {
    let nullable = scalar.data_type.nullable;
    let target = to.with_nullable(nullable || scalar.data_type.kind == TypeKind::Null);
    if scalar.data_type.kind == target.kind {
        return scalar;
    }
    if scalar.data_type.kind == TypeKind::Null {
        return Scalar::null(&target);
    }
    // What stays a literal or a column is of more use than a cast that changes nothing. What a cast or a function gives
    // depends on its type.
    let gives_its_type = matches!(scalar.kind, ScalarKind::Cast { .. } | ScalarKind::Call { .. });
    if !gives_its_type
        && !needs_cast(&scalar.data_type, &target)
        && scalar.data_type.to_arrow() == target.to_arrow()
    {
        return Scalar { data_type: target, ..scalar };
    }
    let mode = CastMode { lenient: false, zone };
    let target = target.with_nullable(target.nullable || may_overflow(&scalar.data_type.kind, &target.kind));
    let is_literal = scalar.as_literal().is_some();
    let cast = Scalar { kind: ScalarKind::Cast { operand: Box::new(scalar), mode }, data_type: target };
    if is_literal { cast.folded().unwrap_or(cast) } else { cast }
}

/// Whether a cast to a decimal can be NULL because the digits do not fit.
fn may_overflow(from: &TypeKind, to: &TypeKind) -> bool {
    let TypeKind::Decimal { precision, scale } = to else { return false };
    match exact_digits(from) {
        Some((from_precision, from_scale)) => {
            from_precision - from_scale > precision - scale || from_scale > *scale
        }
        None => *from != TypeKind::Boolean,
    }
}

/// CAST and TRY_CAST as written.
pub(super) fn cast(scalar: Scalar, to: &LogicalType, mode: CastMode, span: Span) -> Bound<Scalar> {
    if let Err(hint) = castable(&scalar.data_type, to) {
        let diagnostic = Diagnostic::mistyped(
            span,
            format!("{} cannot be cast to {}", shown(&scalar.data_type), shown(to)),
        );
        return boxed(match hint {
            Some(hint) => diagnostic.with_hint(hint),
            None => diagnostic,
        });
    }
    let overflows = may_overflow(&scalar.data_type.kind, &to.kind);
    let nullable = scalar.data_type.nullable || mode.lenient || overflows;
    if scalar.data_type.kind == TypeKind::Null {
        return Ok(Scalar::null(to));
    }
    let data_type = to.with_nullable(nullable);
    Ok(Scalar { kind: ScalarKind::Cast { operand: Box::new(scalar), mode }, data_type })
}

pub(super) fn binary(
    operator: BinaryOperator,
    left: Scalar,
    right: Scalar,
    span: Span,
    zone: Zone,
) -> Bound<Scalar> {
    let operation = match operator {
        BinaryOperator::And | BinaryOperator::Or => {
            let nullable = left.data_type.nullable || right.data_type.nullable;
            let parts =
                vec![boolean(left, operator.symbol(), span)?, boolean(right, operator.symbol(), span)?];
            let kind = if operator == BinaryOperator::And { ScalarKind::And } else { ScalarKind::Or };
            return Ok(Scalar {
                kind: kind(flatten(parts, operator == BinaryOperator::And)),
                data_type: TypeKind::Boolean.with_nullable(nullable),
            });
        }
        BinaryOperator::Equal => return comparison(Comparison::Equal, left, right, span, zone),
        BinaryOperator::NotEqual => {
            return comparison(Comparison::NotEqual, left, right, span, zone);
        }
        BinaryOperator::Less => return comparison(Comparison::Less, left, right, span, zone),
        BinaryOperator::LessOrEqual => {
            return comparison(Comparison::LessOrEqual, left, right, span, zone);
        }
        BinaryOperator::Greater => return comparison(Comparison::Greater, left, right, span, zone),
        BinaryOperator::GreaterOrEqual => {
            return comparison(Comparison::GreaterOrEqual, left, right, span, zone);
        }
        BinaryOperator::Concatenate => return concatenate(left, right, span),
        BinaryOperator::Add => Operation::Add,
        BinaryOperator::Subtract => Operation::Subtract,
        BinaryOperator::Multiply => Operation::Multiply,
        BinaryOperator::Divide => Operation::Divide,
        BinaryOperator::Modulo => Operation::Modulo,
    };
    arithmetic(operation, left, right, span, zone)
}

/// `a AND (b AND c)` as one conjunction.
fn flatten(parts: Vec<Scalar>, conjunction: bool) -> Vec<Scalar> {
    parts
        .into_iter()
        .flat_map(|part| match part.kind {
            ScalarKind::And(inner) if conjunction => inner,
            ScalarKind::Or(inner) if !conjunction => inner,
            _ => vec![part],
        })
        .collect()
}

pub(super) fn boolean(scalar: Scalar, what: &str, span: Span) -> Bound<Scalar> {
    match scalar.data_type.kind {
        TypeKind::Boolean => Ok(scalar),
        TypeKind::Null => Ok(Scalar::null(&TypeKind::Boolean.nullable())),
        _ => boxed(
            Diagnostic::mistyped(
                span,
                format!("{what} takes a BOOLEAN but found {}", shown(&scalar.data_type)),
            )
            .with_label("expected BOOLEAN"),
        ),
    }
}

/// Brings two sides to one type, as comparisons need it.
pub(super) fn bring_together(
    left: Scalar,
    right: Scalar,
    what: &str,
    span: Span,
    zone: Zone,
) -> Bound<(Scalar, Scalar)> {
    let (a, b) = (&left.data_type, &right.data_type);
    let common = match (a.kind.is_character(), b.kind.is_character()) {
        // A text beside a date or timestamp is read as one.
        (true, false) if b.kind.is_temporal() => Some(b.clone()),
        (false, true) if a.kind.is_temporal() => Some(a.clone()),
        (true, false) if b.kind == TypeKind::Boolean => Some(b.clone()),
        (false, true) if a.kind == TypeKind::Boolean => Some(a.clone()),
        _ => common_type(a, b),
    };
    let Some(common) = common else {
        let diagnostic =
            Diagnostic::mistyped(span, format!("cannot apply {what} to {} and {}", shown(a), shown(b)));
        let hint = match (a.kind.is_character(), b.kind.is_character()) {
            (true, false) => format!("cast one side: CAST({} AS {})", left.describe(), shown(b)),
            (false, true) => format!("cast one side: CAST({} AS {})", right.describe(), shown(a)),
            _ => "cast one side to the type of the other".to_string(),
        };
        return boxed(diagnostic.with_label("the two sides have different types").with_hint(hint));
    };
    Ok((coerce(left, &common, zone), coerce(right, &common, zone)))
}

pub(super) fn comparison(
    comparison: Comparison,
    left: Scalar,
    right: Scalar,
    span: Span,
    zone: Zone,
) -> Bound<Scalar> {
    if let (ScalarKind::Row(_), ScalarKind::Row(_)) = (&left.kind, &right.kind)
        && matches!(comparison, Comparison::Equal | Comparison::NotEqual)
    {
        return rows_comparison(comparison, left, right, span, zone);
    }
    let nullable = left.data_type.nullable || right.data_type.nullable;
    let (left, right) = bring_together(left, right, &format!("'{}'", comparison.symbol()), span, zone)?;
    let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    if ordered && (left.data_type.kind.is_constructed() || left.data_type.kind == TypeKind::Variant) {
        return boxed(Diagnostic::mistyped(
            span,
            format!("values of {} have no order", shown(&left.data_type)),
        ));
    }
    Ok(Scalar {
        kind: ScalarKind::Compare { comparison, left: Box::new(left), right: Box::new(right) },
        data_type: TypeKind::Boolean.with_nullable(nullable),
    })
}

/// `(a, b) = (c, d)` is `a = c AND b = d`, also where something of it is NULL.
fn rows_comparison(wanted: Comparison, left: Scalar, right: Scalar, span: Span, zone: Zone) -> Bound<Scalar> {
    let width = |side: &Scalar| side.children().len();
    if width(&left) != width(&right) {
        return boxed(Diagnostic::mistyped(
            span,
            format!("cannot compare a row of {} fields with one of {}", width(&left), width(&right)),
        ));
    }
    let (ScalarKind::Row(left), ScalarKind::Row(right)) = (left.kind, right.kind) else {
        return boxed(Diagnostic::mistyped(span, "only rows are compared field by field"));
    };
    let fields = left.into_iter().zip(right);
    let parts = fields.map(|(a, b)| comparison(wanted, a, b, span, zone));
    let parts = parts.collect::<Bound<Vec<_>>>()?;
    let nullable = parts.iter().any(|part| part.data_type.nullable);
    let data_type = TypeKind::Boolean.with_nullable(nullable);
    Ok(match (wanted, <[Scalar; 1]>::try_from(parts)) {
        (_, Ok([only])) => only,
        (Comparison::Equal, Err(parts)) => Scalar { kind: ScalarKind::And(parts), data_type },
        (_, Err(parts)) => Scalar { kind: ScalarKind::Or(parts), data_type },
    })
}

fn concatenate(left: Scalar, right: Scalar, span: Span) -> Bound<Scalar> {
    let Some(function) = functions::find("||") else {
        return boxed(Diagnostic::invalid(span, "|| is not registered"));
    };
    for side in [&left, &right] {
        if !side.data_type.kind.is_character() && side.data_type.kind != TypeKind::Null {
            return boxed(
                Diagnostic::mistyped(span, format!("|| takes texts but found {}", shown(&side.data_type)))
                    .with_hint(format!("write CAST({} AS STRING)", side.describe())),
            );
        }
    }
    let nullable = left.data_type.nullable || right.data_type.nullable;
    let length = |scalar: &Scalar| match scalar.data_type.kind {
        TypeKind::Char(length) | TypeKind::VarChar(length) => length,
        _ => LENGTH_MAX,
    };
    let joined = length(&left).saturating_add(length(&right)).min(LENGTH_MAX);
    let text = match (&left.data_type.kind, &right.data_type.kind) {
        (TypeKind::Char(_), TypeKind::Char(_)) => TypeKind::Char(joined),
        _ => TypeKind::VarChar(joined),
    };
    let arguments = vec![coerce_text(left), coerce_text(right)];
    Ok(Scalar {
        kind: ScalarKind::Call { function, arguments, zone: Zone::UTC },
        data_type: text.with_nullable(nullable),
    })
}

fn coerce_text(scalar: Scalar) -> Scalar {
    if scalar.data_type.kind == TypeKind::Null {
        Scalar::null(&TypeKind::string().nullable())
    } else {
        scalar
    }
}

fn arithmetic(operation: Operation, left: Scalar, right: Scalar, span: Span, zone: Zone) -> Bound<Scalar> {
    let (a, b) = (left.data_type.clone(), right.data_type.clone());
    let nullable = a.nullable || b.nullable;
    let wrong = || {
        let diagnostic = Diagnostic::mistyped(
            span,
            format!("cannot apply '{}' to {} and {}", operation.symbol(), shown(&a), shown(&b)),
        );
        if operation == Operation::Add && (a.kind.is_character() || b.kind.is_character()) {
            return diagnostic.with_hint("texts are joined with ||");
        }
        if a.kind.is_character() || b.kind.is_character() {
            return diagnostic.with_hint("cast the text to a number first");
        }
        if a.kind.is_timestamp() && b.kind.is_timestamp() {
            return diagnostic.with_hint("use TIMESTAMPDIFF(SECOND, from, to)");
        }
        if a.kind.is_temporal() && b.kind.is_numeric() {
            return diagnostic.with_hint("add an interval, such as INTERVAL '1' DAY");
        }
        diagnostic
    };
    // Time and intervals.
    if a.kind.is_temporal() && b.kind.is_interval() {
        if !matches!(operation, Operation::Add | Operation::Subtract) {
            return boxed(wrong());
        }
        return add_interval(left, right, operation == Operation::Subtract, span);
    }
    if a.kind.is_interval() && b.kind.is_temporal() && operation == Operation::Add {
        return add_interval(right, left, false, span);
    }
    if a.kind.is_interval() && a.kind == b.kind && matches!(operation, Operation::Add | Operation::Subtract) {
        return Ok(make(operation, left, right, a.kind.with_nullable(nullable)));
    }
    if a.kind.is_interval() && b.kind.is_integer() && operation == Operation::Multiply {
        let right = widen_to_interval(right, &a.kind);
        return Ok(make(operation, left, right, a.kind.with_nullable(nullable)));
    }
    if b.kind.is_interval() && a.kind.is_integer() && operation == Operation::Multiply {
        let left = widen_to_interval(left, &b.kind);
        return Ok(make(operation, left, right, b.kind.with_nullable(nullable)));
    }
    // Numbers; an untyped NULL takes the other's type.
    let (left, right) = match (a.kind == TypeKind::Null, b.kind == TypeKind::Null) {
        (true, true) => (Scalar::null(&TypeKind::Int.nullable()), Scalar::null(&TypeKind::Int.nullable())),
        (true, false) => (Scalar::null(&b), right),
        (false, true) => (left, Scalar::null(&a)),
        _ => (left, right),
    };
    let (x, y) = (left.data_type.kind.clone(), right.data_type.kind.clone());
    if !x.is_numeric() || !y.is_numeric() {
        return boxed(wrong());
    }
    if x.is_exact() && y.is_exact() && (x.is_decimal() || y.is_decimal()) {
        let (Some(p), Some(q)) = (exact_digits(&x), exact_digits(&y)) else { return boxed(wrong()) };
        let (precision, scale) = match operation {
            Operation::Add | Operation::Subtract => decimal::addition(p, q),
            Operation::Multiply => decimal::multiplication(p, q),
            Operation::Divide => decimal::division(p, q),
            Operation::Modulo => decimal::modulo(p, q),
        };
        let as_decimal = |scalar: Scalar, (precision, scale): decimal::Digits| {
            let target = TypeKind::Decimal { precision, scale }.nullable();
            coerce(scalar, &target, zone)
        };
        // With the most digits the result may still overflow, which is NULL whatever the operands are.
        let nullable = nullable || precision == decimal::PRECISION_MAX;
        let result = TypeKind::Decimal { precision, scale }.nullable();
        return Ok(make(
            operation,
            as_decimal(left, p),
            as_decimal(right, q),
            result.with_nullable(nullable),
        ));
    }
    let Some(common) = common_type(&left.data_type, &right.data_type) else { return boxed(wrong()) };
    let result = common.with_nullable(nullable);
    let (left, right) = (coerce(left, &common, zone), coerce(right, &common, zone));
    if operation == Operation::Modulo && common.kind.is_integer() && y != common.kind {
        // MOD has the divisor's type; the rest is never wider than it.
        let whole = make(operation, left, right, result);
        return Ok(coerce(whole, &y.with_nullable(nullable), zone));
    }
    Ok(make(operation, left, right, result))
}

fn make(operation: Operation, left: Scalar, right: Scalar, data_type: LogicalType) -> Scalar {
    let kind = ScalarKind::Arithmetic { operation, left: Box::new(left), right: Box::new(right) };
    Scalar { kind, data_type }
}

/// An integer in the width of an interval's column.
fn widen_to_interval(scalar: Scalar, interval: &TypeKind) -> Scalar {
    let kind = if *interval == TypeKind::IntervalYearMonth { TypeKind::Int } else { TypeKind::BigInt };
    let target = kind.with_nullable(scalar.data_type.nullable);
    if implicitly_castable(&scalar.data_type, &target) {
        return coerce(scalar, &target, Zone::UTC);
    }
    Scalar {
        kind: ScalarKind::Cast { operand: Box::new(scalar), mode: CastMode::default() },
        data_type: target,
    }
}

pub(super) fn add_interval(operand: Scalar, interval: Scalar, subtract: bool, span: Span) -> Bound<Scalar> {
    if matches!(operand.data_type.kind, TypeKind::Time(_))
        && interval.data_type.kind == TypeKind::IntervalYearMonth
    {
        return boxed(Diagnostic::mistyped(span, "a TIME has no months"));
    }
    let nullable = operand.data_type.nullable || interval.data_type.nullable;
    // The precision stays, as in Flink: a fraction that it cannot show is not shown.
    let kind = operand.data_type.kind.clone();
    Ok(Scalar {
        kind: ScalarKind::AddInterval { operand: Box::new(operand), interval: Box::new(interval), subtract },
        data_type: kind.with_nullable(nullable),
    })
}
