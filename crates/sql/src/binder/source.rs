//! FROM: tables, views, sub-queries, window functions and joins.

use super::interval::{Interval, interval_of};
use super::on::OnCondition;
use super::relation::{Column, JoinManner, RelationId, RelationKind, SideHints, WindowColumn};
use super::scope::{NearestOrList, Scope, ScopeColumn};
use super::table::{BoundTable, ColumnSource};
use super::unnest::Unnested;
use super::{Binder, Bound, BoundView, Named, boxed, operator, shown};
use crate::ast::{self, Hint, HintArguments, JoinConstraint, ObjectName, TableReference, TableReferenceKind};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::TimeAttribute;
use base::Zone;
use dataflow::connector::Role;
use dataflow::plan::JoinKind;
use std::sync::Arc;

impl Binder<'_> {
    pub(super) fn from(&mut self, reference: &TableReference) -> Bound<(RelationId, Scope)> {
        if let TableReferenceKind::Table { as_of: Some(as_of), .. } = &reference.kind {
            return boxed(
                Diagnostic::invalid(as_of.span, "FOR SYSTEM_TIME AS OF stands on the right side of a join")
                    .with_hint("write FROM orders AS o JOIN t FOR SYSTEM_TIME AS OF o.proc ON o.x = t.key"),
            );
        }
        self.source_or_open(reference)
    }

    /// What FROM names; what cannot be bound is noted, and leaves a scope that is open.
    fn source_or_open(&mut self, reference: &TableReference) -> Bound<(RelationId, Scope)> {
        let bound = self.source(reference);
        if let Some(found) = self.noted(bound) {
            return Ok(found);
        }
        let relation = self.broken_relation();
        Ok((relation, Scope::default().opened()))
    }

    fn source(&mut self, reference: &TableReference) -> Bound<(RelationId, Scope)> {
        let alias = reference.alias.as_ref();
        let (relation, name) = match &reference.kind {
            TableReferenceKind::Table { name, hints, as_of, .. } => {
                (self.named_relation(name, hints, as_of.is_some())?, Some(name.last().value.clone()))
            }
            TableReferenceKind::Subquery { query, lateral } => {
                if *lateral {
                    return boxed(
                        Diagnostic::invalid(reference.span, "LATERAL stands on the right side of a join")
                            .with_hint("leave it out: nothing stands before it"),
                    );
                }
                (self.query(query)?, None)
            }
            TableReferenceKind::Function { call, lateral } => {
                if *lateral {
                    return boxed(
                        Diagnostic::unsupported(reference.span, "LATERAL table functions are not supported")
                            .with_hint(
                                "Flink has none built in; collections are joined by CROSS JOIN UNNEST(…)",
                            ),
                    );
                }
                (self.window_function(call)?, None)
            }
            TableReferenceKind::Unnest { .. } => {
                let (row, scope) = self.one_row();
                return match Unnested::of(reference) {
                    Some(unnested) => self.unnest(row, scope, &unnested, false),
                    None => Ok((row, scope)),
                };
            }
            TableReferenceKind::Join(join) => return self.join(join),
            TableReferenceKind::MatchRecognize { input, clause } => {
                let (input, scope) = self.from(input)?;
                (self.match_recognize(input, &scope, clause)?, None)
            }
        };
        let names = alias.map_or(&[][..], |alias| &alias.columns);
        let relation = self.renamed(relation, names, reference.span)?;
        let name = alias.map(|alias| alias.name.value.clone()).or(name);
        let mut scope = Scope::of(name.as_deref(), self.graph.columns(relation));
        scope.open = self.broken.contains(&relation);
        Ok((relation, scope))
    }

    fn join(&mut self, join: &ast::Join) -> Bound<(RelationId, Scope)> {
        let span = join.keyword_span;
        let (left, left_scope) = self.from(&join.left)?;
        let right_reads_left = Unnested::of(&join.right).is_some()
            || matches!(join.right.kind, TableReferenceKind::Subquery { lateral: true, .. });
        if left_scope.open && right_reads_left {
            return Ok((self.broken_relation(), left_scope));
        }
        if let Some(unnested) = Unnested::of(&join.right) {
            return self.join_unnest(join, left, left_scope, &unnested);
        }
        if let TableReferenceKind::Subquery { query, lateral: true } = &join.right.kind {
            return self.join_lateral(join, left, left_scope, query);
        }
        let (right, right_scope) = self.source_or_open(&join.right)?;
        let zone = self.settings.zone;
        let mut conditions = Vec::new();
        let names = match &join.constraint {
            JoinConstraint::Using(names) => names.clone(),
            _ if join.natural => common_names(&left_scope, &right_scope, span),
            _ => Vec::new(),
        };
        for name in &names {
            let a = left_scope.resolve(std::slice::from_ref(name), name.span)?;
            let mut b = right_scope.resolve(std::slice::from_ref(name), name.span)?;
            let offset = left_scope.columns.len();
            b.remap(&|column| column + offset);
            conditions.push(operator::comparison(Comparison::Equal, a, b, name.span, zone)?);
        }
        let scope = left_scope.clone().join(right_scope);
        let kind = match join.kind {
            ast::JoinKind::Inner | ast::JoinKind::Cross | ast::JoinKind::Comma => JoinKind::Inner,
            ast::JoinKind::Left => JoinKind::Left,
            ast::JoinKind::Right => JoinKind::Right,
            ast::JoinKind::Full => JoinKind::Full,
        };
        let as_of = match &join.right.kind {
            TableReferenceKind::Table { as_of, name, .. } => as_of.as_ref().map(|as_of| {
                let alias = join.right.alias.as_ref();
                (as_of, alias.map_or(&name.last().value, |alias| &alias.name.value))
            }),
            _ => None,
        };
        let mut on = OnCondition { right, scope, conditions, tests: Vec::new() };
        if let JoinConstraint::On(written) = &join.constraint {
            let outer = self.collector.take();
            let joins_plainly = kind != JoinKind::Inner && as_of.is_none();
            let split = left_scope.columns.len();
            for part in super::subquery::conjuncts(written) {
                let bound = self.on_part(part, &mut on, joins_plainly.then_some(split), kind);
                // What the condition lacks does not concern what reads the join.
                self.noted(bound);
            }
            self.collector = outer;
        }
        let OnCondition { right, scope, conditions, tests } = on;
        if scope.open {
            // Its hint has found it, broken as it is.
            as_of.map(|(_, known_as)| self.lookup_asks(known_as));
            return Ok((self.broken_relation(), scope));
        }
        if let Some((as_of, known_as)) = as_of {
            let inputs = [left, right];
            let sides = (&left_scope, scope, known_as.as_str());
            let mut joined = self.join_as_of(kind, inputs, sides, conditions, (as_of, span))?;
            for test in tests {
                joined = self.selected(joined.0, joined.1, test)?;
            }
            return Ok(joined);
        }
        let (mut relation, mut scope) = self.joined(kind, [left, right], scope, conditions, span);
        let sides = [&join.left, &join.right];
        let hinted =
            SideHints { ttls_ms: self.ttls.of_sides(sides), table_is_left: self.read_first.of_sides(sides) };
        self.graph.set_hints(relation, hinted);
        for test in tests {
            (relation, scope) = self.selected(relation, scope, test)?;
        }
        match names.is_empty() {
            true => Ok((relation, scope)),
            false => self.merged(kind, relation, scope, &names, left_scope.columns.len()),
        }
    }

    /// The columns that USING or NATURAL names stand first, once for both sides.
    fn merged(
        &mut self,
        kind: JoinKind,
        relation: RelationId,
        scope: Scope,
        names: &[ast::Identifier],
        split: usize,
    ) -> Bound<(RelationId, Scope)> {
        let mut shown: Vec<(Scalar, ScopeColumn)> = Vec::new();
        let mut rest: Vec<ScopeColumn> = scope.columns.clone();
        for name in names {
            let of_side = |on_left: bool| {
                let is_it = |column: &&ScopeColumn| {
                    let is_named = column.column.name == name.value && !column.hidden && !column.merged;
                    is_named && (column.index < split) == on_left
                };
                scope.columns.iter().find(is_it).cloned()
            };
            let (Some(left), Some(right)) = (of_side(true), of_side(false)) else { continue };
            let [a, b] = [&left, &right].map(|side| side.column.scalar(side.index));
            let scalar = match kind {
                JoinKind::Right => b,
                JoinKind::Full => self.function_of_both(a, b, name.span)?,
                _ => a,
            };
            let is_plain = scalar.as_column().is_some();
            let stands_for = if kind == JoinKind::Right { &right } else { &left };
            let column = match is_plain {
                true => stands_for.column.clone(),
                false => Column::new(&name.value, scalar.data_type.clone()),
            };
            // By the name of its table the column of either side can still be named.
            let table = if is_plain { stands_for.table.clone() } else { None };
            shown.push((scalar, ScopeColumn { table, column, index: 0, hidden: false, merged: false }));
            rest.retain(|column| !is_plain || column.index != stands_for.index);
            for column in &mut rest {
                column.merged |= column.index == left.index || column.index == right.index;
            }
        }
        shown.extend(rest.into_iter().map(|column| (column.column.scalar(column.index), column)));
        let items =
            shown.iter().map(|(scalar, column)| (column.column.name.clone(), scalar.clone())).collect();
        let relation = self.graph.project(relation, items);
        let columns =
            shown.into_iter().enumerate().map(|(index, (_, column))| ScopeColumn { index, ..column });
        let mut merged = scope;
        merged.columns = columns.collect();
        Ok((relation, merged))
    }

    fn function_of_both(&mut self, a: Scalar, b: Scalar, span: Span) -> Bound<Scalar> {
        let zone = self.settings.zone;
        let (a, b) = operator::bring_together(a, b, "USING", span, zone)?;
        let data_type = a.data_type.with_nullable(a.data_type.nullable && b.data_type.nullable);
        Ok(Scalar { kind: ScalarKind::Coalesce(vec![a, b]), data_type })
    }

    /// Two relations as one. Rows of the same window meet in it; all others whenever they come.
    pub(super) fn joined(
        &mut self,
        kind: JoinKind,
        [left, right]: [RelationId; 2],
        mut scope: Scope,
        conditions: Vec<Scalar>,
        span: Span,
    ) -> (RelationId, Scope) {
        let split = self.graph.columns(left).len();
        if let Some((ends, zone)) = self.joined_window(&conditions, &scope, split) {
            return self.window_join(kind, [left, right], scope, conditions, (ends, zone));
        }
        if let Some(interval) = interval_of(&conditions, &scope, split).filter(|_| !kind.tests_left()) {
            return self.interval_join(kind, [left, right], scope, interval, span);
        }
        for column in &mut scope.columns {
            let side = usize::from(column.index >= split);
            column.column.data_type.nullable |= kind.pads(1 - side);
            // Event time does not survive a regular join.
            column.column.attribute = TimeAttribute::None;
            column.column.window = None;
        }
        scope.columns.retain(|column| !kind.tests_left() || column.index < split);
        let condition = Scalar::all_of(conditions);
        let columns: Vec<Column> = scope.columns.iter().map(|column| column.column.clone()).collect();
        let manner = JoinManner::Regular;
        if kind != JoinKind::Right {
            let kind = RelationKind::Join { kind, manner, condition, hinted: SideHints::default(), span };
            return (self.graph.add(kind, vec![left, right], columns), scope);
        }
        // As a LEFT join with the sides exchanged, and the columns put back in order, a table may be read first.
        let right_count = columns.len() - split;
        let exchanged = |column: usize| if column < split { column + right_count } else { column - split };
        let condition = condition.map(|mut condition| {
            condition.remap(&exchanged);
            condition
        });
        let moved: Vec<Column> = columns[split..].iter().chain(&columns[..split]).cloned().collect();
        let kind = RelationKind::Join {
            kind: JoinKind::Left,
            manner,
            condition,
            hinted: SideHints::default(),
            span,
        };
        let joined = self.graph.add(kind, vec![right, left], moved);
        let items = columns
            .iter()
            .enumerate()
            .map(|(index, column)| (column.name.clone(), column.scalar(exchanged(index))))
            .collect();
        (self.graph.project(joined, items), scope)
    }

    fn interval_join(
        &mut self,
        kind: JoinKind,
        inputs: [RelationId; 2],
        mut scope: Scope,
        interval: Interval,
        span: Span,
    ) -> (RelationId, Scope) {
        let split = self.graph.columns(inputs[0]).len();
        for column in &mut scope.columns {
            if kind.pads(usize::from(column.index < split)) {
                // A time that may be NULL is no time to go on with.
                column.column.data_type.nullable = true;
                column.column.attribute = TimeAttribute::None;
            }
            column.column.window = None;
        }
        let columns = scope.columns.iter().map(|column| column.column.clone()).collect();
        let condition = Scalar::all_of(interval.rest);
        let kind = RelationKind::Join {
            kind,
            manner: interval.manner,
            condition,
            hinted: SideHints::default(),
            span,
        };
        (self.graph.add(kind, inputs.to_vec(), columns), scope)
    }

    /// `JOIN t FOR SYSTEM_TIME AS OF o.time`.
    fn join_as_of(
        &mut self,
        kind: JoinKind,
        [left, right]: [RelationId; 2],
        (left_scope, mut scope, known_as): (&Scope, Scope, &str),
        conditions: Vec<Scalar>,
        (as_of, span): (&ast::Expression, Span),
    ) -> Bound<(RelationId, Scope)> {
        if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
            return boxed(
                Diagnostic::invalid(
                    span,
                    format!("a {} JOIN cannot look at a table as of a time", kind.name()),
                )
                .with_hint("INNER and LEFT joins can"),
            );
        }
        let time = self.expression(as_of, left_scope)?;
        let attribute =
            time.as_column().and_then(|column| left_scope.by_index(column)).map(|c| c.column.attribute);
        match attribute {
            Some(TimeAttribute::ProcessingTime) => {}
            Some(TimeAttribute::RowTime) => {
                let left_time = time.as_column().unwrap_or_default();
                return self.join_versions(kind, [left, right], scope, conditions, (left_time, span));
            }
            _ => {
                return boxed(
                    Diagnostic::mistyped(
                        as_of.span,
                        format!("FOR SYSTEM_TIME AS OF takes a time attribute of the left side, but is {}", shown(&time.data_type)),
                    )
                    .with_label("not a time attribute")
                    .with_hint("add a column `proc AS PROCTIME()` to the table on the left, and write AS OF its alias.proc"),
                );
            }
        }
        let asks = self.lookup_asks(known_as);
        let asks = self.graph.looked_up(right).is_some().then_some(asks);
        if asks.is_none() && (!self.graph.is_bounded(right) || self.graph.updates(right)) {
            return boxed(
                Diagnostic::unsupported(span, "a lookup join needs a table that can be asked, or one that ends and only grows")
                    .with_hint("look up in a database ('connector' = 'jdbc') or in a table of files ('connector' = 'filesystem'), which is read first; join with a topic without FOR SYSTEM_TIME"),
            );
        }
        let split = left_scope.columns.len();
        for column in scope.columns.iter_mut().filter(|column| column.index >= split) {
            column.column.data_type.nullable |= kind == JoinKind::Left;
            column.column.attribute = TimeAttribute::None;
            column.column.window = None;
        }
        let columns: Vec<Column> = scope.columns.iter().map(|column| column.column.clone()).collect();
        let condition = Scalar::all_of(conditions);
        let manner = JoinManner::Lookup { asks };
        let kind = RelationKind::Join { kind, manner, condition, hinted: SideHints::default(), span };
        Ok((self.graph.add(kind, vec![left, right], columns), scope))
    }

    /// `JOIN t FOR SYSTEM_TIME AS OF o.row_time`.
    fn join_versions(
        &mut self,
        kind: JoinKind,
        [left, right]: [RelationId; 2],
        mut scope: Scope,
        conditions: Vec<Scalar>,
        (left_time, span): (usize, Span),
    ) -> Bound<(RelationId, Scope)> {
        let split = self.graph.columns(left).len();
        if let Some(table) = self.graph.looked_up(right) {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    format!(
                        "table '{}' has no versions: it can only be asked for what it holds now",
                        table.name
                    ),
                )
                .with_hint(
                    "write FOR SYSTEM_TIME AS OF a processing time of the left side (proc AS PROCTIME())",
                ),
            );
        }
        if self.graph.updates(left) {
            return boxed(
                Diagnostic::unsupported(
                    span,
                    "rows that change cannot be joined with the versions of a table yet",
                )
                .with_hint("join first, and aggregate or rank the result"),
            );
        }
        let (right_time, key) = self.graph.version_columns(right);
        let Some(right_time) = right_time else {
            return boxed(
                Diagnostic::invalid(
                    span,
                    "event-time temporal table join requires both primary key and row time attribute in versioned \
                     table, but no row time attribute can be found",
                )
                .with_hint("declare a WATERMARK FOR the time of the table on the right, and select that column"),
            );
        };
        let equals: Vec<usize> = conditions
            .iter()
            .flat_map(|condition| condition.clone().into_conjuncts())
            .filter_map(|part| match part.kind {
                ScalarKind::Compare { comparison: Comparison::Equal, left, right } => Some([left, right]),
                _ => None,
            })
            .flat_map(|sides| sides.map(|side| side.as_column()))
            .flatten()
            .collect();
        if key.is_empty() || !key.iter().all(|column| equals.contains(&(column + split))) {
            let names: Vec<&str> =
                key.iter().map(|column| self.graph.columns(right)[*column].name.as_str()).collect();
            return boxed(
                Diagnostic::invalid(
                    span,
                    "temporal table join requires primary key in versioned table, but no primary key can be found \
                     among the equalities of its condition",
                )
                .with_hint(match names.is_empty() {
                    true => "declare PRIMARY KEY (k) NOT ENFORCED in the table on the right, or join with a view that keeps the latest row of each key by ROW_NUMBER, and write ON o.k = r.k".to_string(),
                    false => format!("compare the whole key by =: {}", names.join(", ")),
                }),
            );
        }
        for column in scope.columns.iter_mut().filter(|column| column.index >= split) {
            column.column.data_type.nullable |= kind == JoinKind::Left;
            column.column.attribute = TimeAttribute::None;
            column.column.window = None;
        }
        let columns: Vec<Column> = scope.columns.iter().map(|column| column.column.clone()).collect();
        let manner = JoinManner::Versions { times: [left_time, right_time] };
        let kind = RelationKind::Join {
            kind,
            manner,
            condition: Scalar::all_of(conditions),
            hinted: SideHints::default(),
            span,
        };
        Ok((self.graph.add(kind, vec![left, right], columns), scope))
    }

    /// Where a condition says that both sides are in the same window: the columns of its end by side, and how far
    /// they are east of UTC.
    fn joined_window(
        &self,
        conditions: &[Scalar],
        scope: &Scope,
        split: usize,
    ) -> Option<([usize; 2], Zone)> {
        let mut starts = Vec::new();
        let mut ends = Vec::new();
        for part in conditions.iter().flat_map(|condition| condition.clone().into_conjuncts()) {
            let ScalarKind::Compare { comparison: Comparison::Equal, left, right } = &part.kind else {
                continue;
            };
            let (Some(a), Some(b)) = (left.as_column(), right.as_column()) else { continue };
            let (a, b) = (a.min(b), a.max(b));
            let bound = |column: usize| scope.by_index(column)?.column.window;
            match (a < split && b >= split).then(|| (bound(a), bound(b))) {
                Some((Some((left, WindowColumn::Start)), Some((right, WindowColumn::Start)))) => {
                    starts.push((left, right));
                }
                Some((Some((left, WindowColumn::End)), Some((right, WindowColumn::End)))) => {
                    ends.push(((left, right), [a, b - split]));
                }
                _ => {}
            }
        }
        ends.into_iter().find_map(|((left, right), columns)| {
            let (one, other) = (self.windows.get(&left)?, self.windows.get(&right)?);
            (starts.contains(&(left, right)) && one == other).then_some((columns, one.zone))
        })
    }

    fn window_join(
        &mut self,
        kind: JoinKind,
        [left, right]: [RelationId; 2],
        mut scope: Scope,
        conditions: Vec<Scalar>,
        (ends, zone): ([usize; 2], Zone),
    ) -> (RelationId, Scope) {
        let split = self.graph.columns(left).len();
        for column in &mut scope.columns {
            if kind.pads(usize::from(column.index < split)) {
                // A bound that may be NULL is no window to go on with.
                column.column.data_type.nullable = true;
                column.column.attribute = TimeAttribute::None;
                column.column.window = None;
            }
        }
        scope.columns.retain(|column| !kind.tests_left() || column.index < split);
        let columns = scope.columns.iter().map(|column| column.column.clone()).collect();
        let condition = Scalar::all_of(conditions);
        let kind = RelationKind::WindowJoin { kind, condition, ends, zone };
        (self.graph.add(kind, vec![left, right], columns), scope)
    }

    /// A table, a view or a WITH table, bound once.
    /// `as_of`: it stands behind FOR SYSTEM_TIME AS OF, and need not be read if it can be asked.
    pub(super) fn named_relation(
        &mut self,
        name: &ObjectName,
        hints: &[Hint],
        as_of: bool,
    ) -> Bound<RelationId> {
        if let [only] = name.parts.as_slice() {
            let common = self.common_tables.iter().rev().find(|(known, _)| *known == only.value);
            if let Some((_, relation)) = common {
                return Ok(*relation);
            }
        }
        match self.relations.find(name) {
            Some(Named::Table(table)) => {
                let table = self.with_hints(table, hints)?;
                self.table(&table, name, as_of)
            }
            Some(Named::View(view)) => {
                if let Some(hint) = hints.iter().find(|hint| hint.name.value.eq_ignore_ascii_case("OPTIONS"))
                {
                    return boxed(Diagnostic::invalid(hint.span, "OPTIONS is for tables, not for views"));
                }
                self.view(&view, name.span)
            }
            None => self.unknown_relation(name),
        }
    }

    pub(super) fn unknown_relation<T>(&self, name: &ObjectName) -> Bound<T> {
        let written = name.values().collect::<Vec<_>>().join(".");
        let mut names = self.relations.names();
        names.extend(self.common_tables.iter().map(|(name, _)| name.clone()));
        let candidates: Vec<&str> = names.iter().map(String::as_str).collect();
        let diagnostic = Diagnostic::unknown(name.span, format!("table or view '{written}' not found"));
        boxed(if candidates.is_empty() {
            diagnostic.with_hint("declare it first with CREATE TABLE")
        } else {
            diagnostic.with_label("no such table or view").with_nearest_or_list(&written, &candidates)
        })
    }

    /// The table with the options of an OPTIONS hint.
    pub(super) fn with_hints(&mut self, table: Arc<BoundTable>, hints: &[Hint]) -> Bound<Arc<BoundTable>> {
        let mut table = table;
        for hint in hints {
            match &hint.arguments {
                HintArguments::Options(pairs) if hint.name.value.eq_ignore_ascii_case("OPTIONS") => {
                    table = Arc::new(table.with_options(pairs));
                }
                _ => self.warnings.push(Diagnostic::warning(
                    DiagnosticKind::Unsupported,
                    hint.span,
                    format!("the hint {} is ignored", hint.name.value),
                )),
            }
        }
        Ok(table)
    }

    /// Tells once of each option that changes nothing.
    pub(super) fn warn(&mut self, table: &BoundTable, span: Span) {
        for warning in table.warnings(span) {
            if !self.warnings.iter().any(|known| known.message == warning.message) {
                self.warnings.push(warning);
            }
        }
    }

    fn table(&mut self, table: &Arc<BoundTable>, name: &ObjectName, as_of: bool) -> Bound<RelationId> {
        let role = match as_of && table.connector.looks_up(&table.definition) {
            true => Role::Lookup,
            false => Role::Source,
        };
        let key = format!("{} {:?} {role:?}", table.name, table.definition.options);
        if let Some(relation) = self.tables.get(&key) {
            return Ok(*relation);
        }
        table.check(role, name.span)?;
        self.warn(table, name.span);
        let definition = &table.definition;
        let physical = definition.schema.fields().len();
        let mut columns = vec![None; physical + definition.metadata.len()];
        for column in &table.columns {
            let place = match &column.source {
                ColumnSource::Physical(index) => *index,
                ColumnSource::Metadata(index) => physical + index,
                ColumnSource::Computed(_) => continue,
            };
            columns[place] = Some(Column::new(&column.name, column.data_type.clone()));
        }
        let columns: Vec<Column> = columns.into_iter().flatten().collect();
        let kind = RelationKind::Scan { table: table.clone() };
        let mut relation = self.graph.add(kind, Vec::new(), columns);
        // Columns in the declared order, computed ones among them.
        let scan_columns = self.graph.columns(relation).to_vec();
        let place_of = |column: usize| match &table.columns[column].source {
            ColumnSource::Physical(index) => Some(*index),
            ColumnSource::Metadata(index) => Some(physical + index),
            ColumnSource::Computed(_) => None,
        };
        let items: Vec<(String, Scalar)> = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let scalar = match (&column.source, place_of(index)) {
                    (ColumnSource::Computed(expression), _) => {
                        let mut expression = expression.clone();
                        expression.remap(&|column| place_of(column).unwrap_or(column));
                        expression
                    }
                    (_, Some(place)) => scan_columns[place].scalar(place),
                    (_, None) => Scalar::null(&column.data_type),
                };
                (column.name.clone(), scalar)
            })
            .collect();
        let in_order = items.iter().enumerate().all(|(index, (_, scalar))| scalar.as_column() == Some(index));
        if !in_order {
            relation = self.graph.project(relation, items);
        }
        if let Some((column, watermark)) = &table.watermark {
            let mut columns = self.graph.columns(relation).to_vec();
            columns[*column].attribute = TimeAttribute::RowTime;
            let kind = RelationKind::Watermark { column: *column, watermark: watermark.clone() };
            relation = self.graph.add(kind, vec![relation], columns);
        }
        self.tables.insert(key, relation);
        Ok(relation)
    }

    /// The relation of a declared view, outside of any query.
    pub(super) fn named_view(&mut self, view: &Arc<BoundView>) -> Bound<RelationId> {
        self.view(view, view.span)
    }

    fn view(&mut self, view: &Arc<BoundView>, span: Span) -> Bound<RelationId> {
        if let Some(relation) = self.views.get(&view.name) {
            return Ok(*relation);
        }
        if self.open_views.contains(&view.name) {
            return boxed(Diagnostic::invalid(
                span,
                format!("the view '{}' is defined by itself", view.name),
            ));
        }
        self.open_views.push(view.name.clone());
        let outer = std::mem::take(&mut self.common_tables);
        let collector = self.collector.take();
        let bound = self.query(&view.query);
        self.collector = collector;
        self.common_tables = outer;
        self.open_views.pop();
        let relation = match bound {
            Ok(relation) => self.renamed(relation, &view.columns, span)?,
            Err(error) => return Err(error),
        };
        self.views.insert(view.name.clone(), relation);
        Ok(relation)
    }
}

/// The names that columns of both sides have, in the order of the left one.
fn common_names(left: &Scope, right: &Scope, span: Span) -> Vec<ast::Identifier> {
    let of = |scope: &Scope| -> Vec<String> {
        scope.visible().filter(|column| !column.merged).map(|column| column.column.name.clone()).collect()
    };
    let others = of(right);
    let mut names: Vec<ast::Identifier> = Vec::new();
    for name in of(left) {
        if others.contains(&name) && !names.iter().any(|known| known.value == name) {
            names.push(ast::Identifier { value: name, quoted: true, span });
        }
    }
    names
}
