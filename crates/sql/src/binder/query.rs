//! Queries: SELECT with its clauses, WITH.

use super::aggregate::{Bounds, Collector, Grouped};
use super::hint::ReadFirst;
use super::order::Behind;
use super::over::{Overs, place_overs, reads_over};
use super::problems::consequence;
use super::rank::place_number;
use super::relation::{Column, RelationId, RelationKind, WindowColumn};
use super::scope::{NearestOrList, Scope};
use super::subquery::ValueQuery;
use super::ttl::TtlHints;
use super::window::window_bound;
use super::{Binder, Bound, boxed, operator};
use crate::ast::{
    self, ExpressionKind, FunctionCall, GroupingElement, Query, QueryBody, QueryBodyKind, Select, SelectItem,
    SelectItemKind,
};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{TimeAttribute, TypeKind};
use std::collections::BTreeMap;

impl Binder<'_> {
    /// A query within another one, whose rows have no order.
    pub(super) fn query(&mut self, query: &Query) -> Bound<RelationId> {
        self.query_in_sight(query, false)
    }

    /// `in_sight`: the order of its rows can be seen.
    pub(super) fn query_in_sight(&mut self, query: &Query, in_sight: bool) -> Bound<RelationId> {
        let reach = self.common_tables.len();
        let result = self.query_with(query, in_sight);
        self.common_tables.truncate(reach);
        result
    }

    fn query_with(&mut self, query: &Query, in_sight: bool) -> Bound<RelationId> {
        for table in &query.with {
            let bound = self.query(&table.query);
            let bound = bound.and_then(|relation| self.renamed(relation, &table.columns, table.name.span));
            let relation = self.noted(bound).unwrap_or_else(|| self.broken_relation());
            self.common_tables.push((table.name.value.clone(), relation));
        }
        let (relation, behind) = match &query.body.kind {
            QueryBodyKind::Select(select) if select.quantifier != Some(ast::SetQuantifier::Distinct) => {
                self.select(select, &query.order_by)?
            }
            QueryBodyKind::Query(inner) => {
                // Parentheses alone hide no order.
                let relation = self.query_in_sight(inner, in_sight && query.order_by.is_empty())?;
                self.order_of_columns(relation, &query.order_by)?
            }
            _ => {
                let relation = self.body(&query.body)?;
                self.order_of_columns(relation, &query.order_by)?
            }
        };
        self.ordered(relation, behind, query, in_sight)
    }

    fn body(&mut self, body: &QueryBody) -> Bound<RelationId> {
        match &body.kind {
            QueryBodyKind::Select(select) => {
                let (relation, _) = self.select(select, &[])?;
                let distinct = select.quantifier == Some(ast::SetQuantifier::Distinct);
                let ttl_ms = TtlHints::read(select)?.of_groups();
                Ok(if distinct { self.distinct(relation, ttl_ms) } else { relation })
            }
            QueryBodyKind::Query(query) => self.query(query),
            QueryBodyKind::Table(name) => self.named_relation(name, &[], false),
            QueryBodyKind::Values(rows) => self.values(rows, body.span),
            QueryBodyKind::SetOperation { left, operator, all, operator_span, right } => {
                let (left, right) = (self.body(left), self.body(right));
                let (left, right) = self.both(left, right)?;
                if self.broken.contains(&left) || self.broken.contains(&right) {
                    return Err(consequence());
                }
                self.set_operation(*operator, *all, [left, right], *operator_span)
            }
        }
    }

    /// Other names for a relation's columns; no names leave it as it is.
    pub(super) fn renamed(
        &mut self,
        relation: RelationId,
        names: &[ast::Identifier],
        span: Span,
    ) -> Bound<RelationId> {
        if names.is_empty() || self.broken.contains(&relation) {
            return Ok(relation);
        }
        let columns = self.graph.columns(relation).to_vec();
        if columns.len() != names.len() {
            return boxed(
                Diagnostic::invalid(span, format!("{} names for {} columns", names.len(), columns.len()))
                    .with_label("name every column, or none"),
            );
        }
        let items = columns
            .iter()
            .enumerate()
            .zip(names)
            .map(|((index, column), name)| (name.value.clone(), column.scalar(index)))
            .collect();
        Ok(self.graph.project(relation, items))
    }

    /// The rows that QUALIFY lets through, and what is behind the items for the clauses after them.
    fn select(&mut self, select: &Select, order: &[ast::OrderItem]) -> Bound<(RelationId, Behind)> {
        let ttls = TtlHints::read(select)?;
        let read_first = ReadFirst::read(select);
        let outer = std::mem::take(&mut self.behind);
        let outer_ttls = std::mem::replace(&mut self.ttls, ttls);
        let outer_read_first = std::mem::replace(&mut self.read_first, read_first);
        let bound = self.select_all(select, order);
        self.ttls = outer_ttls;
        self.read_first = outer_read_first;
        let behind = std::mem::replace(&mut self.behind, outer);
        let mut relation = bound?;
        if let Some(place) = behind.qualify {
            let condition = self.graph.columns(relation)[place].scalar(place);
            relation = self.graph.filter(relation, condition);
        }
        if behind.order.is_empty() && self.graph.columns(relation).len() > behind.shown {
            let columns = self.graph.columns(relation)[..behind.shown].to_vec();
            let shown =
                columns.iter().enumerate().map(|(at, own)| (own.name.clone(), own.scalar(at))).collect();
            relation = self.graph.project(relation, shown);
        }
        Ok((relation, behind))
    }

    /// Every row once; `ttl_ms` is that of a hint.
    pub(super) fn distinct(&mut self, input: RelationId, ttl_ms: Option<u64>) -> RelationId {
        let plain =
            |column: &Column| Column { attribute: TimeAttribute::None, window: None, ..column.clone() };
        let columns: Vec<Column> = self.graph.columns(input).iter().map(plain).collect();
        let keys = (0..columns.len()).collect();
        let kind = RelationKind::Aggregate { keys, aggregates: Vec::new(), ttl_ms };
        self.graph.add(kind, vec![input], columns)
    }

    fn select_all(&mut self, select: &Select, order: &[ast::OrderItem]) -> Bound<RelationId> {
        let outer_lookups = self.begin_hints(&select.hints)?;
        let (mut input, mut scope) = match &select.from {
            Some(from) => {
                let bound = self.from(from);
                let hints = self.end_hints(outer_lookups);
                let bound = bound?;
                hints?;
                bound
            }
            None => {
                self.end_hints(outer_lookups)?;
                let is_star = |item: &&SelectItem| matches!(item.kind, SelectItemKind::Star { .. });
                if let Some(star) = select.items.iter().find(is_star) {
                    return boxed(Diagnostic::invalid(star.span, "SELECT * requires a FROM clause"));
                }
                self.one_row()
            }
        };
        self.join_hints(&select.hints, &scope)?;
        if let Some(selection) = &select.selection {
            (input, scope) = self.selected(input, scope, selection)?;
        }
        let GroupingSets { expressions: elements, sets } = match &select.group_by {
            None => GroupingSets::default(),
            Some(group) => grouping_sets(group)?,
        };
        for expression in &elements {
            if let Some(call) = legacy_window_call(expression) {
                let others: Vec<&ast::Expression> =
                    elements.iter().copied().filter(|other| legacy_window_call(other).is_none()).collect();
                let bound = self.legacy_window(call, input, scope.clone(), &others);
                match self.noted(bound) {
                    Some(bound) => (input, scope) = bound,
                    None => scope.lacks_window = true,
                }
            }
        }
        // A SELECT inside an aggregate's argument cannot be; the outer collector rests meanwhile.
        let outer = self.collector.replace(Collector {
            is_global: elements.is_empty(),
            overs: Overs::new(&select.windows),
            ..Collector::default()
        });
        let outer_numbers = self.numbers.replace(Vec::new());
        let width = self.graph.columns(input).len();
        let (bound, values) =
            self.collect_values(Some(input), width, |binder| binder.select_list(select, order, &scope));
        let mut collector = std::mem::replace(&mut self.collector, outer).unwrap_or_default();
        let mut number = std::mem::replace(&mut self.numbers, outer_numbers).unwrap_or_default().pop();
        let SelectList { mut items, having, complete, .. } = bound?;
        let keys = elements.iter().filter(|expression| legacy_window_call(expression).is_none());
        let keys = keys.map(|expression| self.expression(expression, &scope)).collect();
        let keys_are_right = self.all(keys).is_ok();
        if scope.open || scope.lacks_window || !keys_are_right || !complete {
            return Err(consequence());
        }
        if let Some(written) = select.having.as_ref().filter(|_| having.as_ref().is_some_and(reads_over)) {
            return boxed(
                Diagnostic::invalid(written.span, "aggregates OVER windows cannot stand in HAVING")
                    .with_hint("compute them in a sub-query, and filter outside"),
            );
        }
        let is_grouped = !elements.is_empty() || !collector.calls.is_empty() || select.group_by.is_some();
        self.check_ttl_hints(select, is_grouped)?;
        if let Some(pending) = number.take_if(|_| is_grouped || collector.overs.span().is_some()) {
            let place = collector.overs.count_rows(pending)?;
            items.iter_mut().for_each(|item| place_number(&mut item.scalar, place));
        }
        if elements.is_empty() && collector.calls.is_empty() && select.group_by.is_none() {
            if let Some(having) = &select.having {
                return boxed(
                    Diagnostic::invalid(having.span, "HAVING without GROUP BY").with_hint("use WHERE"),
                );
            }
            (input, _) = self.attach(input, scope, values);
            if let Some(number) = number {
                input = self.numbered(input, number);
                let place = self.graph.columns(input).len() - 1;
                items.iter_mut().for_each(|item| place_number(&mut item.scalar, place));
            }
            self.groupings(std::mem::take(&mut collector.groupings), &[], &[], None)?;
            let overs = std::mem::take(&mut collector.overs);
            let (input, first) = self.with_overs(input, overs, false, &|scalar, _| Ok(scalar))?;
            items.iter_mut().for_each(|item| place_overs(&mut item.scalar, first));
            return Ok(self
                .graph
                .project(input, items.into_iter().map(|item| (item.name, item.scalar)).collect()));
        }
        let mut first = width;
        let mut numbered = Vec::new();
        for query in values {
            let columns = self.graph.columns(query.relation).len();
            numbered.push((first, query));
            first += columns;
        }
        let is_read = |scalar: &Scalar, (first, query): &(usize, ValueQuery)| {
            let last = first + self.graph.columns(query.relation).len();
            scalar.columns().range(*first..last).next().is_some()
        };
        // What aggregates read is joined to the rows, what stands beside them to the groups.
        let before: Vec<(usize, ValueQuery)> = numbered
            .iter()
            .filter(|query| collector.read().any(|read| is_read(read, query)))
            .cloned()
            .collect();
        let shown = || items.iter().map(|item| &item.scalar).chain(&having);
        let values: Vec<(usize, ValueQuery)> =
            numbered.into_iter().filter(|query| shown().any(|scalar| is_read(scalar, query))).collect();
        if !before.is_empty() {
            if scope.columns.iter().any(|column| column.column.window.is_some()) {
                return boxed(
                    Diagnostic::unsupported(
                        select.span,
                        "a sub-query inside an aggregate over windows is not supported yet",
                    )
                    .with_hint("take its value in a sub-query of FROM, below the window"),
                );
            }
            let mut places = BTreeMap::new();
            let mut place = width;
            for (first, query) in &before {
                let columns = self.graph.columns(query.relation).len();
                places.extend((0..columns).map(|at| (first + at, place + at)));
                place += columns;
            }
            let moved = |column: usize| places.get(&column).copied().unwrap_or(column);
            collector.read_mut().for_each(|read| read.remap(&moved));
            let queries = before.into_iter().map(|(_, query)| query).collect();
            (input, _) = self.attach(input, scope.clone(), queries);
        }
        let list = SelectList { items, having, values, complete };
        self.grouped(select, input, &scope, (&elements, &sets), collector, list)
    }

    /// The items and HAVING, bound over the input with placeholders for aggregates.
    fn select_list(&mut self, select: &Select, order: &[ast::OrderItem], scope: &Scope) -> Bound<SelectList> {
        let mut items = Vec::new();
        let mut complete = true;
        for item in &select.items {
            let bound = self.select_item(item, scope, &mut items);
            complete &= self.noted(bound).is_some();
        }
        let having = match &select.having {
            None => None,
            Some(having) => {
                let bound = self.expression(having, scope);
                let bound = bound.and_then(|bound| operator::boolean(bound, "HAVING", having.span));
                complete &= bound.is_ok();
                self.noted(bound)
            }
        };
        // An order may name what is broken.
        if complete {
            let behind = self.behind_items(select.qualify.as_ref(), order, scope, &mut items);
            match self.noted(behind) {
                Some(behind) => self.behind = behind,
                None => complete = false,
            }
        }
        Ok(SelectList { items, having, values: Vec::new(), complete })
    }

    pub(super) fn select_item(
        &mut self,
        item: &SelectItem,
        scope: &Scope,
        items: &mut Vec<Item>,
    ) -> Bound<()> {
        match &item.kind {
            SelectItemKind::Star { qualifier } => {
                let table = match qualifier.as_slice() {
                    [] => None,
                    [table] if scope.has_table(&table.value) => Some(table.value.as_str()),
                    parts => {
                        return self.row_star(parts, scope, item.span, items);
                    }
                };
                for column in scope.visible().filter(|column| column.is_meant(table)) {
                    let scalar = column.column.scalar(column.index);
                    self.note_columns(&scalar, item.span);
                    items.push(Item { name: column.column.name.clone(), scalar, span: item.span });
                }
            }
            SelectItemKind::Expression { expression, alias } => {
                let scalar = self.expression(expression, scope)?;
                let name = match (alias, &expression.kind) {
                    (Some(alias), _) => alias.value.clone(),
                    (None, ExpressionKind::Column(parts)) if !parts.is_empty() => {
                        parts[parts.len() - 1].value.clone()
                    }
                    (None, ExpressionKind::Field { field, .. }) => field.value.clone(),
                    _ => format!("EXPR${}", items.len()),
                };
                items.push(Item { name, scalar, span: item.span });
            }
        }
        Ok(())
    }

    /// `row_column.*`.
    fn row_star(
        &mut self,
        parts: &[ast::Identifier],
        scope: &Scope,
        span: Span,
        items: &mut Vec<Item>,
    ) -> Bound<()> {
        let base = match scope.resolve(parts, span) {
            Ok(base) => base,
            Err(_) => {
                let tables: Vec<&str> =
                    scope.visible().filter_map(|column| column.table.as_deref()).collect();
                let name = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
                return boxed(
                    Diagnostic::unknown(span, format!("table '{name}' not found in FROM"))
                        .with_nearest_or_list(&name, &tables),
                );
            }
        };
        let TypeKind::Row(fields) = base.data_type.kind.clone() else {
            return boxed(Diagnostic::mistyped(span, format!("{} is no ROW", base.describe())));
        };
        for (index, field) in fields.iter().enumerate() {
            let nullable = field.data_type.nullable || base.data_type.nullable;
            let kind = ScalarKind::Field { base: Box::new(base.clone()), index, name: field.name.clone() };
            let scalar = Scalar { kind, data_type: field.data_type.with_nullable(nullable) };
            items.push(Item { name: field.name.clone(), scalar, span });
        }
        Ok(())
    }

    fn grouped(
        &mut self,
        select: &Select,
        input: RelationId,
        scope: &Scope,
        (elements, sets): (&[&ast::Expression], &[Vec<usize>]),
        mut collector: Collector,
        list: SelectList,
    ) -> Bound<RelationId> {
        let groupings = std::mem::take(&mut collector.groupings);
        let group_span = select.group_by.as_ref().map_or(select.span, |group| group.span);
        if sets.len() > 1 {
            collector.groupings = groupings;
            return self.grouped_by_sets(select, input, scope, (elements, sets), collector, list);
        }
        let mut keys: Vec<Scalar> = Vec::new();
        let mut bounds: Vec<(Scalar, RelationId, WindowColumn)> = Vec::new();
        // Keys and bounds in the order in which they stand.
        let mut all: Vec<Scalar> = Vec::new();
        let mut constant = None;
        for expression in elements {
            if legacy_window_call(expression).is_some() {
                for column in scope.columns.iter().filter(|column| column.hidden) {
                    if let Some((window, bound)) = column.column.window {
                        bounds.push((column.column.scalar(column.index), window, bound));
                    }
                }
                continue;
            }
            let scalar = self.expression(expression, scope)?;
            if scalar.columns().is_empty() {
                constant = Some(scalar);
                continue;
            }
            if all.iter().any(|key| key.identity() == scalar.identity()) {
                continue;
            }
            all.push(scalar.clone());
            match window_bound(&scalar, scope) {
                Some((window, bound)) => bounds.push((scalar, window, bound)),
                None => keys.push(scalar),
            }
        }
        let all_keys = keys.iter().chain(bounds.iter().map(|(scalar, ..)| scalar));
        let all_keys: Vec<GroupingKey> =
            all_keys.map(|key| GroupingKey::everywhere(key.identity())).collect();
        let groupings = self.groupings(groupings, &all_keys, &[Vec::new()], None)?;
        let Some((window_id, start, end, time)) = whole_window(&bounds) else {
            // Without both bounds the windows are plain columns. A group by constants alone is none where there are no
            // rows.
            all.extend(constant.filter(|_| all.is_empty()));
            let mut grouped = self.plain_aggregate(input, all, collector)?;
            grouped.groupings = groupings;
            return self.over_groups(grouped, select, list);
        };
        // Bounds of another window are keys like others.
        keys.extend(bounds.iter().filter(|(_, own, _)| *own != window_id).map(|(scalar, ..)| scalar.clone()));
        let stripped = self.strip(input, window_id, group_span)?.filter(|window| {
            keys.iter().all(|key| window.can_move(key))
                && collector.all_read(|scalar| window.can_move(scalar))
        });
        let mut grouped = match stripped {
            Some(window) => self.windowed_aggregate(window, keys, time.is_some(), collector, group_span)?,
            None => {
                let Some(shape) = self.windows.get(&window_id).cloned() else {
                    return boxed(Diagnostic::invalid(
                        group_span,
                        "the window of GROUP BY is not known here",
                    ));
                };
                self.attached_aggregate(input, keys, Bounds { start, end, time, shape }, collector)?
            }
        };
        grouped.groupings = groupings;
        self.over_groups(grouped, select, list)
    }

    /// Each row is there once for each grouping set, with NULL for the keys that are not in it and the number of the set
    /// as one more key.
    fn grouped_by_sets(
        &mut self,
        select: &Select,
        input: RelationId,
        scope: &Scope,
        (elements, sets): (&[&ast::Expression], &[Vec<usize>]),
        mut collector: Collector,
        list: SelectList,
    ) -> Bound<RelationId> {
        let groupings = std::mem::take(&mut collector.groupings);
        let mut keys: Vec<(Scalar, Vec<usize>)> = Vec::new();
        let mut bounds: Vec<(Scalar, RelationId, WindowColumn)> = Vec::new();
        let mut windows: Vec<(Scalar, Vec<usize>)> = Vec::new();
        for (place, expression) in elements.iter().enumerate() {
            if legacy_window_call(expression).is_some() {
                for column in scope.columns.iter().filter(|column| column.hidden) {
                    if let Some((window, bound)) = column.column.window {
                        bounds.push((column.column.scalar(column.index), window, bound));
                    }
                }
                continue;
            }
            let scalar = self.expression(expression, scope)?;
            let list = if window_bound(&scalar, scope).is_some() { &mut windows } else { &mut keys };
            match list.iter_mut().find(|(key, _)| key.identity() == scalar.identity()) {
                Some((_, places)) => places.push(place),
                None => list.push((scalar, vec![place])),
            }
        }
        // A bound that is in every set is one of all groups.
        for (scalar, places) in windows {
            let in_all = sets.iter().all(|set| places.iter().any(|place| set.contains(place)));
            match window_bound(&scalar, scope).filter(|_| in_all) {
                Some((window, bound)) => bounds.push((scalar, window, bound)),
                None => keys.push((scalar, places)),
            }
        }
        let whole = whole_window(&bounds);
        if whole.is_none() {
            keys.extend(bounds.iter().map(|(scalar, ..)| (scalar.clone(), Vec::new())));
        }
        let plain: Vec<(String, Scalar)> = self
            .graph
            .columns(input)
            .iter()
            .enumerate()
            .map(|(index, column)| (column.name.clone(), column.scalar(index)))
            .collect();
        let first = plain.len();
        let mut copies = Vec::new();
        for (number, set) in sets.iter().enumerate() {
            let mut columns = plain.clone();
            for (at, (key, places)) in keys.iter().enumerate() {
                // A bound that is no window's here is in every set.
                let is_in = places.is_empty() || places.iter().any(|place| set.contains(place));
                let nullable = key.data_type.with_nullable(true);
                let value = match is_in {
                    true => Scalar { data_type: nullable, ..key.clone() },
                    false => Scalar::null(&nullable),
                };
                columns.push((format!("$g{at}"), value));
            }
            let number = number as i64;
            let value = std::sync::Arc::new(arrow_array::Int64Array::from(vec![number]));
            columns
                .push(("$e".into(), Scalar::literal(value, number.to_string(), TypeKind::BigInt.not_null())));
            copies.push(self.graph.project(input, columns));
        }
        let columns = self.graph.columns(copies[0]).to_vec();
        let expanded = self.graph.add(RelationKind::Union, copies, columns.clone());
        let new_keys: Vec<Scalar> =
            (first..columns.len()).map(|index| columns[index].scalar(index)).collect();
        let mut grouped = match whole {
            None => self.plain_aggregate(expanded, new_keys, collector)?,
            Some((window, start, end, time)) => {
                let Some(shape) = self.windows.get(&window).cloned() else {
                    return boxed(Diagnostic::invalid(
                        select.span,
                        "the window of GROUP BY is not known here",
                    ));
                };
                self.attached_aggregate(expanded, new_keys, Bounds { start, end, time, shape }, collector)?
            }
        };
        let named =
            keys.iter().map(|(key, places)| GroupingKey { identity: key.identity(), places: places.clone() });
        let bounds = bounds.iter().map(|(scalar, ..)| GroupingKey::everywhere(scalar.identity()));
        let all_keys: Vec<GroupingKey> = named.chain(bounds).collect();
        let number = grouped.key(keys.len());
        grouped.groupings = self.groupings(groupings, &all_keys, sets, Some(number))?;
        grouped.rename_keys(keys.iter().map(|(key, _)| key.identity()));
        self.over_groups(grouped, select, list)
    }

    /// HAVING and the items over the groups.
    fn over_groups(&mut self, mut grouped: Grouped, select: &Select, list: SelectList) -> Bound<RelationId> {
        let SelectList { items, having, values, .. } = list;
        self.attach_to_groups(&mut grouped, values)?;
        let overs = std::mem::take(&mut grouped.overs);
        let mut relation = grouped.relation;
        if let (Some(having), Some(written)) = (having, &select.having) {
            let predicate = grouped.rewrite(having, written.span);
            if let Some(predicate) = self.noted(predicate) {
                relation = self.graph.filter(relation, predicate);
            }
        }
        let rewrite = |scalar: Scalar, span: Span| grouped.rewrite(scalar, span);
        let (relation, first) = self.with_overs(relation, overs, true, &rewrite)?;
        let project = |item: Item| {
            let mut scalar = grouped.rewrite(item.scalar, item.span)?;
            place_overs(&mut scalar, first);
            Ok((item.name, scalar))
        };
        let projected = self.all(items.into_iter().map(project).collect())?;
        Ok(self.graph.project(relation, projected))
    }
}

/// What a SELECT gives; not `complete` where something in it is wrong, and noted.
struct SelectList {
    items: Vec<Item>,
    having: Option<Scalar>,
    /// The sub-queries that stand for values in them, each with the number of its first column.
    values: Vec<(usize, ValueQuery)>,
    complete: bool,
}

pub(super) struct Item {
    pub(super) name: String,
    pub(super) scalar: Scalar,
    pub(super) span: Span,
}

/// The window of which both bounds are there: its bounds, and the column of its time if that is there too.
fn whole_window(
    bounds: &[(Scalar, RelationId, WindowColumn)],
) -> Option<(RelationId, Scalar, Scalar, Option<usize>)> {
    let of = |window: RelationId, wanted: WindowColumn| {
        bounds.iter().find(|(_, own, bound)| *own == window && *bound == wanted).map(|(scalar, ..)| scalar)
    };
    bounds.iter().find_map(|(_, window, _)| {
        let (start, end) = (of(*window, WindowColumn::Start)?, of(*window, WindowColumn::End)?);
        let time = of(*window, WindowColumn::Time).and_then(Scalar::as_column);
        Some((*window, start.clone(), end.clone(), time))
    })
}

/// An expression of GROUP BY, and where it stands there.
pub(super) struct GroupingKey {
    pub(super) identity: String,
    /// None where it is in every set.
    pub(super) places: Vec<usize>,
}

impl GroupingKey {
    fn everywhere(identity: String) -> GroupingKey {
        GroupingKey { identity, places: Vec::new() }
    }
}

/// The expressions of GROUP BY, and the sets of them by which it groups.
#[derive(Default)]
struct GroupingSets<'g> {
    expressions: Vec<&'g ast::Expression>,
    sets: Vec<Vec<usize>>,
}

/// Each row is copied so many times at most.
const GROUPING_SETS_MAX: usize = 64;

fn grouping_sets(group: &ast::GroupBy) -> Bound<GroupingSets<'_>> {
    let mut expressions = Vec::new();
    let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
    for element in &group.elements {
        let more = element_sets(element, &mut expressions);
        if sets.len().saturating_mul(more.len()) > GROUPING_SETS_MAX {
            return boxed(
                Diagnostic::unsupported(
                    group.span,
                    format!("more than {GROUPING_SETS_MAX} grouping sets are not supported"),
                )
                .with_hint("write the sets that are wanted with GROUPING SETS"),
            );
        }
        let both =
            |set: &Vec<usize>| more.iter().map(|own| [set.as_slice(), own].concat()).collect::<Vec<_>>();
        sets = sets.iter().flat_map(both).collect();
    }
    Ok(GroupingSets { expressions, sets })
}

fn element_sets<'g>(
    element: &'g GroupingElement,
    expressions: &mut Vec<&'g ast::Expression>,
) -> Vec<Vec<usize>> {
    let mut add = |some: &'g [ast::Expression]| {
        expressions.extend(some);
        (expressions.len() - some.len()..expressions.len()).collect::<Vec<usize>>()
    };
    match element {
        GroupingElement::Expression(expression) => vec![add(std::slice::from_ref(expression))],
        GroupingElement::Set(set) => vec![add(set)],
        GroupingElement::Rollup(steps) => {
            let steps: Vec<Vec<usize>> = steps.iter().map(|step| add(step)).collect();
            (0..=steps.len()).rev().map(|count| steps[..count].concat()).collect()
        }
        GroupingElement::Cube(steps) => {
            let steps: Vec<Vec<usize>> = steps.iter().map(|step| add(step)).collect();
            // One more than can be supported is enough to say so.
            let count = 1_usize << steps.len().min(GROUPING_SETS_MAX.ilog2() as usize + 1);
            let set = |number: usize| {
                let own = steps.iter().enumerate().filter(|(at, _)| number >> at & 1 == 0);
                own.flat_map(|(_, step)| step.iter().copied()).collect()
            };
            (0..count).map(set).collect()
        }
        GroupingElement::GroupingSets(elements) => {
            elements.iter().flat_map(|element| element_sets(element, expressions)).collect()
        }
    }
}

/// `TUMBLE(…)`, `HOP(…)` or `SESSION(…)` as a grouping expression.
fn legacy_window_call(expression: &ast::Expression) -> Option<&FunctionCall> {
    match &expression.kind {
        ExpressionKind::Call(call) if call.name.parts.len() == 1 => {
            let name = call.name.last().value.to_ascii_uppercase();
            matches!(name.as_str(), "TUMBLE" | "HOP" | "SESSION").then_some(call)
        }
        _ => None,
    }
}
