//! MATCH_RECOGNIZE: variables, conditions and measures.
//!
//! In a condition or a measure a column is a value of some row of the match: `a.x` of the last row of `a`, `x` of the last
//! row of all, FIRST and LAST say of which one else. Each such value, and each aggregate, becomes an input of the
//! expression (`PatternScope` collects them while one is bound), so that the engine sees expressions over columns as
//! everywhere. What a condition says of its own row alone is taken apart from what it says of earlier ones.

use super::aggregate::PendingAggregate;
use super::aggregate_call::Site;
use super::call::argument_expression;
use super::expression::access_field;
use super::match_relation::{MatchMeasure, MatchPattern, MatchValue, MatchVariable};
use super::relation::{Column, RelationId, RelationKind};
use super::scope::{NearestOrList, Scope};
use super::{Binder, Bound, boxed, operator, shown};
use crate::ast::{self, ExpressionKind, FunctionCall, MatchRecognize, SetQuantifier};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::expression::Scalar;
use crate::functions::aggregate::{self, Aggregate};
use crate::span::Span;
use crate::types::{LogicalType, TimeAttribute, TypeKind};
use dataflow::plan::{AfterMatch, SortKey};

/// What names mean inside of MATCH_RECOGNIZE.
#[derive(Debug, Clone)]
pub(super) struct PatternScope {
    columns: Vec<Column>,
    variables: Vec<String>,
    /// Of a condition, whose it is.
    variable: Option<usize>,
    /// What the rows are ordered by.
    time: TimeAttribute,
    /// The values that the expression being bound takes.
    inputs: Vec<MatchValue>,
    /// Inside FIRST or LAST, or inside of an aggregate.
    inside: Option<Inside>,
    /// The variables that were named inside; None is the match as a whole.
    named: Vec<Option<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Navigation { from_first: bool, offset: u32 },
    Aggregate,
}

impl Binder<'_> {
    pub(super) fn match_recognize(
        &mut self,
        input: RelationId,
        scope: &Scope,
        clause: &MatchRecognize,
    ) -> Bound<RelationId> {
        let partition = self.partition_columns(clause, scope)?;
        let (time, order) = self.pattern_order(clause, scope)?;
        let attribute = self.graph.columns(input)[time].attribute;
        let variables = self.pattern_variables(clause)?;
        let names: Vec<String> = clause.pattern.iter().map(|variable| variable.name.value.clone()).collect();
        let input = self.on_its_time(input, time);
        let columns = self.graph.columns(input).to_vec();
        let within_ms = match &clause.within {
            None => None,
            Some(within) => self.within_ms(within)?,
        };
        let pattern_scope = PatternScope {
            columns: columns.clone(),
            variables: names,
            variable: None,
            time: attribute,
            inputs: Vec::new(),
            inside: None,
            named: Vec::new(),
        };
        let variables = self.define(clause, variables, &pattern_scope)?;
        let after_match = after_match(clause)?;
        let mut outputs: Vec<Column> = partition
            .iter()
            .map(|column| Column::new(columns[*column].name.clone(), columns[*column].data_type.clone()))
            .collect();
        let measures = self.measures(clause, &pattern_scope, &mut outputs)?;
        let kind = RelationKind::MatchRecognize {
            pattern: MatchPattern { variables, after_match, within_ms },
            partition,
            time_column: time,
            on_clock: attribute == TimeAttribute::ProcessingTime,
            order,
            measures,
        };
        Ok(self.graph.add(kind, vec![input], outputs))
    }

    fn partition_columns(&mut self, clause: &MatchRecognize, scope: &Scope) -> Bound<Vec<usize>> {
        let mut partition = Vec::new();
        for key in &clause.partition_by {
            let scalar = self.expression(key, scope)?;
            match scalar.as_column() {
                Some(column) if !partition.contains(&column) => partition.push(column),
                Some(_) => {}
                None => {
                    return boxed(
                        Diagnostic::invalid(key.span, "PARTITION BY of MATCH_RECOGNIZE takes columns")
                            .with_hint("compute it in a sub-query: FROM (SELECT *, UPPER(k) AS key FROM t) MATCH_RECOGNIZE (PARTITION BY key …)"),
                    );
                }
            }
        }
        Ok(partition)
    }

    /// The time column, and the order among rows of one time.
    fn pattern_order(&mut self, clause: &MatchRecognize, scope: &Scope) -> Bound<(usize, Vec<SortKey>)> {
        let Some((first, others)) = clause.order_by.split_first() else {
            return boxed(
                Diagnostic::invalid(
                    clause.span,
                    "MATCH_RECOGNIZE needs ORDER BY and a time attribute: an event time or a processing time",
                )
                .with_label("no ORDER BY")
                .with_hint("write ORDER BY and the column that WATERMARK FOR declares, behind PARTITION BY"),
            );
        };
        let mut keys = Vec::new();
        for item in &clause.order_by {
            let scalar = self.expression(&item.expression, scope)?;
            let Some(column) = scalar.as_column().and_then(|column| scope.by_index(column)) else {
                return boxed(
                    Diagnostic::invalid(item.span, "ORDER BY of MATCH_RECOGNIZE takes columns")
                        .with_hint("compute it in a sub-query"),
                );
            };
            keys.push((column.index, column.column.attribute, &column.column.data_type));
        }
        let (time, attribute, data_type) = keys[0];
        if attribute == TimeAttribute::None {
            return boxed(
                Diagnostic::mistyped(
                    first.span,
                    format!(
                        "ORDER BY of MATCH_RECOGNIZE begins with a time attribute, but this is {}",
                        shown(data_type)
                    ),
                )
                .with_label("not a time attribute")
                .with_hint(
                    "declare WATERMARK FOR it in CREATE TABLE, or order by a column `proc AS PROCTIME()`",
                ),
            );
        }
        if first.descending {
            return boxed(
                Diagnostic::invalid(first.span, "the time that MATCH_RECOGNIZE orders by must be ascending")
                    .with_hint("leave DESC out"),
            );
        }
        let order = others.iter().zip(&keys[1..]).map(|(item, (column, ..))| SortKey {
            column: *column,
            descending: item.descending,
            nulls_first: item.puts_nulls_first(),
        });
        Ok((time, order.collect()))
    }

    /// The sequence of variables, held to what Flink can look for.
    fn pattern_variables(&mut self, clause: &MatchRecognize) -> Bound<Vec<MatchVariable>> {
        let mut variables: Vec<MatchVariable> = Vec::new();
        for written in &clause.pattern {
            let name = &written.name.value;
            let quantifier = written.quantifier;
            if variables.iter().any(|variable| variable.name == *name) {
                return boxed(
                    Diagnostic::unsupported(
                        written.span,
                        format!("the pattern variable '{name}' stands twice; a variable stands once"),
                    )
                    .with_hint("give the second one another name and the same condition"),
                );
            }
            let is_optional = (quantifier.least, quantifier.most) == (0, Some(1));
            if is_optional && quantifier.reluctant {
                return boxed(
                    Diagnostic::unsupported(
                        written.span,
                        "reluctant optional variables (`??`) are not supported",
                    )
                    .with_hint("write `?`"),
                );
            }
            let varies = quantifier.most != Some(quantifier.least) && !is_optional;
            let may_be_left_out = is_optional || (quantifier.least == 0 && quantifier.most.is_none());
            if may_be_left_out && variables.last().is_some_and(|before| before.greedy) {
                return boxed(
                    Diagnostic::unsupported(
                        written.span,
                        "an optional variable cannot stand behind a greedy one",
                    )
                    .with_label("may be left out")
                    .with_hint("make the one before it reluctant, as in `+?`, or put a variable that must stand between them"),
                );
            }
            variables.push(MatchVariable {
                name: name.clone(),
                least: quantifier.least,
                most: quantifier.most,
                greedy: varies && !quantifier.reluctant,
                row_condition: None,
                condition: None,
            });
        }
        if variables.iter().all(|variable| variable.least == 0) {
            return boxed(
                Diagnostic::unsupported(
                    clause.pattern_span,
                    "patterns that can match no row at all are not supported",
                )
                .with_label("every variable may be left out")
                .with_hint("one variable at least must stand: write `+` for `*`, or leave `?` out"),
            );
        }
        if let Some(last) = clause.pattern.last()
            && variables.last().is_some_and(|last| last.greedy)
        {
            return boxed(
                Diagnostic::unsupported(
                    last.span,
                    "a greedy quantifier cannot stand behind the last variable",
                )
                .with_hint(
                    "make it reluctant, as in `+?`, or end the pattern with a variable that ends the run",
                ),
            );
        }
        Ok(variables)
    }

    fn within_ms(&mut self, within: &ast::Expression) -> Bound<Option<i64>> {
        let scalar = self.bind_constant(within)?;
        if scalar.data_type.kind != TypeKind::IntervalDayTime {
            return boxed(
                Diagnostic::unsupported(
                    within.span,
                    "WITHIN takes an interval of days, hours, minutes or seconds",
                )
                .with_label("a month has no fixed length")
                .with_hint("for example WITHIN INTERVAL '30' DAY"),
            );
        }
        match self.interval_ms(within)? {
            ms if ms < 0 => {
                boxed(Diagnostic::invalid(within.span, "WITHIN takes an interval that is not negative"))
            }
            // As in Flink, no time at all is no limit.
            0 => Ok(None),
            ms => Ok(Some(ms)),
        }
    }

    /// Binds the conditions.
    fn define(
        &mut self,
        clause: &MatchRecognize,
        mut variables: Vec<MatchVariable>,
        scope: &PatternScope,
    ) -> Bound<Vec<MatchVariable>> {
        let mut defined: Vec<&str> = Vec::new();
        for definition in &clause.definitions {
            let name = &definition.variable;
            if defined.contains(&name.value.as_str()) {
                return boxed(
                    Diagnostic::invalid(
                        name.span,
                        format!("the pattern variable '{}' is defined twice", name.value),
                    )
                    .with_hint("join the conditions with AND"),
                );
            }
            defined.push(&name.value);
            let Some(number) = scope.variables.iter().position(|variable| *variable == name.value) else {
                let names: Vec<&str> = scope.variables.iter().map(String::as_str).collect();
                self.warnings.push(
                    Diagnostic::warning(
                        DiagnosticKind::Unknown,
                        name.span,
                        format!(
                            "the variable '{}' is not in the PATTERN; its condition is ignored",
                            name.value
                        ),
                    )
                    .with_nearest_or_list(&name.value, &names),
                );
                continue;
            };
            let own = PatternScope { variable: Some(number), ..scope.clone() };
            let (condition, inputs) = self.in_pattern(own, |binder| {
                let bound = binder.expression(&definition.condition, &Scope::default())?;
                operator::boolean(bound, "DEFINE", definition.condition.span)
            })?;
            refuse_random(&condition, "DEFINE", definition.condition.span)?;
            let is_own = |input: usize| match inputs.get(input) {
                Some(MatchValue::Row { variable, from_first, offset, .. }) => {
                    !from_first && *offset == 0 && variable.is_none_or(|variable| variable == number)
                }
                _ => false,
            };
            let (alone, rest): (Vec<Scalar>, Vec<Scalar>) = condition
                .into_conjuncts()
                .into_iter()
                .partition(|part| part.columns().into_iter().all(is_own));
            variables[number].row_condition = Scalar::all_of(alone).map(|mut alone| {
                alone.remap(&|input| match &inputs[input] {
                    MatchValue::Row { column, .. } => *column,
                    _ => input,
                });
                alone
            });
            variables[number].condition =
                Scalar::all_of(rest).map(|scalar| MatchMeasure::new(scalar, &inputs));
        }
        Ok(variables)
    }

    fn measures(
        &mut self,
        clause: &MatchRecognize,
        scope: &PatternScope,
        outputs: &mut Vec<Column>,
    ) -> Bound<Vec<MatchMeasure>> {
        if clause.measures.is_empty() {
            return boxed(
                Diagnostic::invalid(
                    clause.span,
                    "MATCH_RECOGNIZE needs MEASURES: they are the columns of its rows",
                )
                .with_hint("for example MEASURES FIRST(a.x) AS first_x, behind ORDER BY"),
            );
        }
        let mut measures = Vec::new();
        for measure in &clause.measures {
            let name = &measure.name;
            if outputs.iter().any(|column| column.name == name.value) {
                return boxed(
                    Diagnostic::invalid(
                        name.span,
                        format!("two columns of MATCH_RECOGNIZE are called '{}'", name.value),
                    )
                    .with_hint(
                        "the columns are those of PARTITION BY and the MEASURES; give this one another name",
                    ),
                );
            }
            let (scalar, inputs) = self.in_pattern(scope.clone(), |binder| {
                binder.expression(&measure.expression, &Scope::default())
            })?;
            let is_row_time = scalar
                .as_column()
                .is_some_and(|input| matches!(inputs.get(input), Some(MatchValue::RowTime { .. })));
            let attribute = match () {
                () if is_row_time => TimeAttribute::RowTime,
                () if scalar.is_processing_time() => TimeAttribute::ProcessingTime,
                () => TimeAttribute::None,
            };
            outputs.push(Column { attribute, ..Column::new(name.value.clone(), scalar.data_type.clone()) });
            refuse_random(&scalar, "MEASURES", measure.expression.span)?;
            measures.push(MatchMeasure::new(scalar, &inputs));
        }
        Ok(measures)
    }

    /// Binds with the names of a pattern; answers the values that were taken too.
    fn in_pattern(
        &mut self,
        scope: PatternScope,
        bind: impl FnOnce(&mut Self) -> Bound<Scalar>,
    ) -> Bound<(Scalar, Vec<MatchValue>)> {
        let (collector, values) = (self.collector.take(), self.values.take());
        let outer = self.pattern.replace(scope);
        let bound = bind(self);
        let scope = std::mem::replace(&mut self.pattern, outer);
        (self.collector, self.values) = (collector, values);
        Ok((bound?, scope.map(|scope| scope.inputs).unwrap_or_default()))
    }

    /// A column inside of MATCH_RECOGNIZE; `None` outside.
    pub(super) fn pattern_column(&mut self, parts: &[ast::Identifier], span: Span) -> Bound<Option<Scalar>> {
        match &mut self.pattern {
            None => Ok(None),
            Some(pattern) => pattern.column(parts, span).map(Some),
        }
    }

    /// A call that means something else inside of MATCH_RECOGNIZE; `None` outside and of all others.
    pub(super) fn pattern_call(&mut self, call: &FunctionCall, name: &str) -> Bound<Option<Scalar>> {
        let Some(pattern) = &self.pattern else { return Ok(None) };
        let span = call.span;
        let in_measure = pattern.variable.is_none();
        match name {
            "FIRST" | "LAST" => self.navigation(call, name).map(Some),
            "PREV" | "NEXT" if in_measure => {
                boxed(Diagnostic::invalid(span, format!("{name} cannot stand in MEASURES")).with_hint(
                    "FIRST(variable.column, n) and LAST(variable.column, n) take the rows of a variable",
                ))
            }
            "PREV" | "NEXT" => self.neighbour(call, name).map(Some),
            "MATCH_ROWTIME" => self.match_row_time(call).map(Some),
            "MATCH_PROCTIME" => self.function(crate::functions::PROCTIME, Vec::new(), span).map(Some),
            "CLASSIFIER" | "MATCH_NUMBER" => boxed(
                Diagnostic::unsupported(span, format!("{name} is not supported"))
                    .with_hint("COUNT(variable.column) says how many rows a variable has"),
            ),
            _ => match aggregate::find(name) {
                Some(aggregate) => self.pattern_aggregate(call, aggregate, name).map(Some),
                None => Ok(None),
            },
        }
    }

    /// FIRST(a.x, 2): inside of it columns are those of that row.
    fn navigation(&mut self, call: &FunctionCall, name: &str) -> Bound<Scalar> {
        let (value, offset) = navigation_arguments(call, name, 0)?;
        let inside = Inside::Navigation { from_first: name == "FIRST", offset };
        self.inside(inside, name, call.span, |binder| binder.expression(value, &Scope::default()))
    }

    /// PREV(x, 0) is the row itself; Flink has no others.
    fn neighbour(&mut self, call: &FunctionCall, name: &str) -> Bound<Scalar> {
        let (value, offset) = navigation_arguments(call, name, 1)?;
        if offset != 0 {
            return boxed(
                Diagnostic::unsupported(
                    call.span,
                    format!("{name} is not supported: there are no offsets among the rows of a partition"),
                )
                .with_hint("LAST(x, 1) is the row before this one in the match"),
            );
        }
        self.expression(value, &Scope::default())
    }

    fn match_row_time(&mut self, call: &FunctionCall) -> Bound<Scalar> {
        let Some(pattern) = &mut self.pattern else {
            return boxed(Diagnostic::invalid(call.span, "MATCH_ROWTIME stands in MATCH_RECOGNIZE"));
        };
        if pattern.time != TimeAttribute::RowTime {
            return boxed(
                Diagnostic::invalid(call.span, "MATCH_ROWTIME needs rows in the order of an event time")
                    .with_hint("write MATCH_PROCTIME()"),
            );
        }
        let data_type = match call.arguments.as_slice() {
            [] => TypeKind::Timestamp(3).not_null(),
            [argument] => {
                let column = match argument_expression(argument).map(|argument| &argument.kind) {
                    Some(ExpressionKind::Column(parts)) => parts
                        .last()
                        .and_then(|name| pattern.columns.iter().find(|column| column.name == name.value)),
                    _ => None,
                };
                match column {
                    Some(column) if column.attribute == TimeAttribute::RowTime => match column.data_type.kind
                    {
                        TypeKind::TimestampLtz(_) => TypeKind::TimestampLtz(3).nullable(),
                        _ => TypeKind::Timestamp(3).nullable(),
                    },
                    _ => {
                        return boxed(
                            Diagnostic::mistyped(argument.span, "MATCH_ROWTIME takes the event time column")
                                .with_label("not an event time"),
                        );
                    }
                }
            }
            _ => return boxed(Diagnostic::invalid(call.span, "MATCH_ROWTIME takes one column at most")),
        };
        let value = MatchValue::RowTime { data_type: data_type.clone() };
        Ok(pattern.input(value, "MATCH_ROWTIME()".into(), data_type))
    }

    fn pattern_aggregate(
        &mut self,
        call: &FunctionCall,
        aggregate: &'static Aggregate,
        name: &str,
    ) -> Bound<Scalar> {
        let span = call.span;
        let plain = call.filter.is_none() && call.order_by.is_empty() && call.within_group.is_empty();
        if call.quantifier == Some(SetQuantifier::Distinct) || !plain || call.over.is_some() {
            return boxed(Diagnostic::unsupported(
                span,
                format!("{name} takes no DISTINCT, FILTER, ORDER BY or OVER inside of MATCH_RECOGNIZE"),
            ));
        }
        self.inside(Inside::Aggregate, name, span, |binder| {
            binder.aggregate_value(call, aggregate, Site::Pattern, &Scope::default())
        })
    }

    /// What an aggregate of the engine is in an expression: one of its inputs.
    pub(super) fn pattern_placeholder(&mut self, pending: PendingAggregate) -> Bound<Scalar> {
        let PendingAggregate { function, argument, filter, options, default, data_type, text, span, .. } =
            pending;
        let Some(pattern) = &mut self.pattern else {
            return boxed(Diagnostic::invalid(span, format!("{text} stands in MATCH_RECOGNIZE here")));
        };
        if filter.is_some() || default.is_some() {
            return boxed(Diagnostic::unsupported(
                span,
                format!("this form of {} is not supported inside of MATCH_RECOGNIZE", function.name()),
            ));
        }
        let variable = match (&argument, pattern.named.first()) {
            (None, _) => None,
            (Some(_), Some(variable)) => *variable,
            (Some(_), None) => {
                return boxed(
                    Diagnostic::invalid(span, format!("{text} names no column"))
                        .with_hint("it is computed over the rows of a match; COUNT(*) counts them"),
                );
            }
        };
        let text = match text.split_once('(') {
            Some((name, rest)) => format!("{name}({}{rest}", pattern.name_of(variable)),
            None => text,
        };
        let value =
            MatchValue::Aggregate { variable, function, argument, options, data_type: data_type.clone() };
        Ok(pattern.input(value, text, data_type))
    }

    /// Binds inside of FIRST, LAST or an aggregate, where all columns are those of one variable.
    fn inside(
        &mut self,
        inside: Inside,
        name: &str,
        span: Span,
        bind: impl FnOnce(&mut Self) -> Bound<Scalar>,
    ) -> Bound<Scalar> {
        let Some(pattern) = &mut self.pattern else {
            return boxed(Diagnostic::invalid(span, format!("{name} stands in MATCH_RECOGNIZE")));
        };
        if pattern.inside.is_some() {
            return boxed(
                Diagnostic::invalid(
                    span,
                    format!("{name} cannot stand inside of FIRST, LAST or an aggregate"),
                )
                .with_hint("FIRST(a.x, n) and LAST(a.x, n) count n rows on"),
            );
        }
        pattern.inside = Some(inside);
        pattern.named.clear();
        let bound = bind(self);
        let Some(pattern) = &mut self.pattern else { return bound };
        pattern.inside = None;
        let bound = bound?;
        if let [first, others @ ..] = pattern.named.as_slice()
            && others.iter().any(|other| other != first)
        {
            return boxed(
                Diagnostic::invalid(span, format!("{name} takes columns of one pattern variable"))
                    .with_label("there are several")
                    .with_hint("take each of them by itself: FIRST(a.x) + FIRST(b.x)"),
            );
        }
        Ok(bound)
    }
}

impl PatternScope {
    fn name_of(&self, variable: Option<usize>) -> String {
        variable.map_or_else(String::new, |variable| format!("{}.", self.variables[variable]))
    }

    /// The number of a value among the inputs; equal ones are one.
    fn input(&mut self, value: MatchValue, text: String, data_type: LogicalType) -> Scalar {
        let identity = value.identity();
        let known = self.inputs.iter().position(|input| input.identity() == identity);
        let number = known.unwrap_or_else(|| {
            self.inputs.push(value);
            self.inputs.len() - 1
        });
        Scalar::column(number, text, data_type)
    }

    fn column(&mut self, parts: &[ast::Identifier], span: Span) -> Bound<Scalar> {
        let Some((first, rest)) = parts.split_first() else {
            return boxed(Diagnostic::invalid(span, "an empty name"));
        };
        let variable = self.variables.iter().position(|variable| *variable == first.value);
        let (variable, name, fields) = match (variable, rest.split_first()) {
            (Some(variable), Some((name, fields))) => (Some(variable), name, fields),
            _ => (None, first, rest),
        };
        let Some(column) = self.columns.iter().position(|column| column.name == name.value) else {
            return self.unknown(variable, name, !rest.is_empty());
        };
        let found = &self.columns[column];
        let mut scalar = match self.inside {
            Some(Inside::Aggregate) => found.scalar(column),
            other => {
                let (from_first, offset) = match other {
                    Some(Inside::Navigation { from_first, offset }) => (from_first, offset),
                    _ => (false, 0),
                };
                let own = format!("{}{}", self.name_of(variable), found.name);
                let text = match other {
                    None => own,
                    Some(_) => {
                        let name = if from_first { "FIRST" } else { "LAST" };
                        if offset == 0 {
                            format!("{name}({own})")
                        } else {
                            format!("{name}({own}, {offset})")
                        }
                    }
                };
                // There may be no such row.
                let data_type = found.data_type.as_nullable();
                let value = MatchValue::Row { variable, from_first, offset, column };
                self.input(value, text, data_type)
            }
        };
        if self.inside.is_some() {
            self.named.push(variable);
        }
        for field in fields {
            scalar = access_field(scalar, field)?;
        }
        Ok(scalar)
    }

    fn unknown<T>(&self, variable: Option<usize>, name: &ast::Identifier, qualified: bool) -> Bound<T> {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        if variable.is_none() && qualified {
            let names: Vec<&str> = self.variables.iter().map(String::as_str).collect();
            return boxed(
                Diagnostic::unknown(
                    name.span,
                    format!("'{}' is neither a variable of the PATTERN nor a column", name.value),
                )
                .with_label("no such variable")
                .with_nearest_or_list(&name.value, &names),
            );
        }
        boxed(
            Diagnostic::new(DiagnosticKind::Unknown, name.span, format!("column '{}' not found", name.value))
                .with_label("no such column")
                .with_nearest_or_list(&name.value, &columns),
        )
    }
}

/// The value and the offset of FIRST, LAST, PREV and NEXT.
fn navigation_arguments<'c>(
    call: &'c FunctionCall,
    name: &str,
    default: u32,
) -> Bound<(&'c ast::Expression, u32)> {
    let arguments: Option<Vec<&ast::Expression>> = call.arguments.iter().map(argument_expression).collect();
    let (value, offset) = match arguments.as_deref() {
        Some([value]) => return Ok((value, default)),
        Some([value, offset]) => (*value, *offset),
        _ => {
            return boxed(
                Diagnostic::invalid(
                    call.span,
                    format!("{name} takes a value and, if need be, a number of rows"),
                )
                .with_hint(format!("write {name}(variable.column) or {name}(variable.column, 1)")),
            );
        }
    };
    let number = match &offset.kind {
        ExpressionKind::Literal(ast::Literal::Exact(text)) => text.parse::<u32>().ok(),
        _ => None,
    };
    match number {
        Some(number) => Ok((value, number)),
        None => boxed(
            Diagnostic::invalid(
                offset.span,
                format!("the offset of {name} is a whole number that is written out"),
            )
            .with_label("expected 0, 1, 2, …"),
        ),
    }
}

fn after_match(clause: &MatchRecognize) -> Bound<AfterMatch> {
    let variable = |name: &ast::Identifier| {
        let found = clause.pattern.iter().position(|variable| variable.name.value == name.value);
        match found {
            Some(number) => Ok(number),
            None => {
                let names: Vec<&str> =
                    clause.pattern.iter().map(|variable| variable.name.value.as_str()).collect();
                boxed(
                    Diagnostic::unknown(
                        name.span,
                        format!("the variable '{}' is not in the PATTERN", name.value),
                    )
                    .with_label("no such variable")
                    .with_nearest_or_list(&name.value, &names),
                )
            }
        }
    };
    Ok(match &clause.after {
        // Flink's, not the standard's.
        None | Some(ast::AfterMatch::ToNextRow) => AfterMatch::ToNextRow,
        Some(ast::AfterMatch::PastLastRow) => AfterMatch::PastLastRow,
        Some(ast::AfterMatch::ToFirst(name)) => AfterMatch::ToFirst(variable(name)?),
        Some(ast::AfterMatch::ToLast(name)) => AfterMatch::ToLast(variable(name)?),
    })
}

/// A partial match may be tried in any step, so that there is no place to draw a value by.
fn refuse_random(scalar: &Scalar, clause: &str, span: Span) -> Bound<()> {
    if !scalar.is_random() {
        return Ok(());
    }
    boxed(
        Diagnostic::unsupported(span, format!("RAND, RAND_INTEGER and UUID cannot stand in {clause}"))
            .with_hint("take the value in a sub-query of FROM, as a column"),
    )
}
