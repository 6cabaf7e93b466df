//! ORDER BY, LIMIT and OFFSET: the first rows of an order, or rows in the order of their time.
//!
//! With LIMIT a query is a Top-N over all rows, which changes as rows come; without ORDER BY the order is that of arrival.
//! Without LIMIT a stream can be brought into the order of a time attribute only, and only where the order can be seen:
//! that of a sub-query means nothing, as in Flink.

use super::query::Item;
use super::relation::{Column, RelationId, RelationKind};
use super::scope::Scope;
use super::{Binder, Bound, boxed};
use crate::ast::{self, ExpressionKind, Literal, OrderItem, Query};
use crate::diagnostic::Diagnostic;
use crate::expression::Scalar;
use crate::span::Span;
use crate::types::{TimeAttribute, TypeKind};
use dataflow::plan::SortKey;

/// What a SELECT computes behind its items, for the clauses that come after it.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The items that are shown stand first.
    pub(super) shown: usize,
    /// The column of the condition of QUALIFY.
    pub(super) qualify: Option<usize>,
    pub(super) order: Vec<SortKey>,
}

/// Placeholders of row numbers and of aggregates over windows have numbers from here on.
const WINDOWED: usize = 1 << 41;

impl Binder<'_> {
    /// Binds QUALIFY and ORDER BY beside the items of their SELECT, as columns behind them.
    pub(super) fn behind_items(
        &mut self,
        qualify: Option<&ast::Expression>,
        order: &[OrderItem],
        scope: &Scope,
        items: &mut Vec<Item>,
    ) -> Bound<Behind> {
        let shown = items.len();
        let aliases = items.iter().map(|item| (item.name.clone(), item.scalar.clone())).collect();
        let outer = std::mem::replace(&mut self.aliases, aliases);
        let bound = self.bound_behind(qualify, order, scope, items);
        self.aliases = outer;
        Ok(Behind { shown, ..bound? })
    }

    fn bound_behind(
        &mut self,
        qualify: Option<&ast::Expression>,
        order: &[OrderItem],
        scope: &Scope,
        items: &mut Vec<Item>,
    ) -> Bound<Behind> {
        let mut behind = Behind { shown: items.len(), ..Behind::default() };
        let mut keys = Vec::new();
        for item in order {
            let named = match &item.expression.kind {
                ExpressionKind::Column(parts) => match parts.as_slice() {
                    [name] => items[..behind.shown].iter().position(|item| item.name == name.value),
                    _ => None,
                },
                _ => position(item, behind.shown)?,
            };
            let column = match named {
                Some(place) => place,
                None => {
                    let scalar = self.expression(&item.expression, scope)?;
                    place_of(items, "$order", scalar, item.span)
                }
            };
            keys.push(sort_key(column, item));
        }
        if let Some(written) = qualify {
            let scalar = self.expression(written, scope)?;
            if !scalar.columns().iter().any(|column| *column >= WINDOWED) {
                return boxed(
                    Diagnostic::invalid(
                        written.span,
                        "the condition of QUALIFY must contain a window function",
                    )
                    .with_hint("write QUALIFY ROW_NUMBER() OVER (…) <= n; plain conditions stand in WHERE"),
                );
            }
            let scalar = super::operator::boolean(scalar, "QUALIFY", written.span)?;
            behind.qualify = Some(place_of(items, "$qualify", scalar, written.span));
        }
        Ok(Behind { order: keys, ..behind })
    }

    /// The order of a query that is no plain SELECT: over the columns that it gives.
    pub(super) fn order_of_columns(
        &mut self,
        relation: RelationId,
        order: &[OrderItem],
    ) -> Bound<(RelationId, Behind)> {
        let columns = self.graph.columns(relation).to_vec();
        let scope = Scope::of(None, &columns);
        let item = |(index, column): (usize, &Column)| Item {
            name: column.name.clone(),
            scalar: column.scalar(index),
            span: Span::default(),
        };
        let mut items: Vec<Item> = columns.iter().enumerate().map(item).collect();
        let behind = self.behind_items(None, order, &scope, &mut items)?;
        if items.len() == columns.len() {
            return Ok((relation, behind));
        }
        let items = items.into_iter().map(|item| (item.name, item.scalar)).collect();
        Ok((self.graph.project(relation, items), behind))
    }

    /// What ORDER BY, LIMIT and OFFSET leave of the rows; `in_sight` where their order can be seen.
    pub(super) fn ordered(
        &mut self,
        relation: RelationId,
        behind: Behind,
        query: &Query,
        in_sight: bool,
    ) -> Bound<RelationId> {
        let limit = self.row_count(query.limit.as_ref())?;
        let offset = self.row_count(query.offset.as_ref())?;
        let relation = match (limit, offset) {
            (Some(limit), offset) => self.first_rows(relation, &behind, (limit, offset.unwrap_or(0)), query),
            (None, Some(offset)) if offset > 0 => {
                return boxed(
                    Diagnostic::unsupported(
                        query.offset.as_ref().map_or(query.span, |offset| offset.span),
                        "FETCH is missed, which on streaming table is not supported",
                    )
                    .with_label("a stream has no end to show the rest of")
                    .with_hint("add LIMIT, or FETCH NEXT n ROWS ONLY"),
                );
            }
            _ if behind.order.is_empty() || !in_sight => relation,
            _ => self.in_order_of_time(relation, &behind, query)?,
        };
        if self.graph.columns(relation).len() == behind.shown {
            return Ok(relation);
        }
        let columns = self.graph.columns(relation)[..behind.shown].to_vec();
        let shown = columns.iter().enumerate().map(|(at, column)| (column.name.clone(), column.scalar(at)));
        let shown = shown.collect();
        Ok(self.graph.project(relation, shown))
    }

    fn row_count(&mut self, written: Option<&ast::Expression>) -> Bound<Option<u64>> {
        let Some(written) = written else { return Ok(None) };
        let count = match &written.kind {
            ExpressionKind::Literal(Literal::Exact(digits)) => digits.parse::<u32>().ok(),
            _ => None,
        };
        match count {
            Some(count) => Ok(Some(count.into())),
            None => boxed(Diagnostic::invalid(
                written.span,
                "a number of rows is a whole number up to 4294967295",
            )),
        }
    }

    fn first_rows(
        &mut self,
        relation: RelationId,
        behind: &Behind,
        (limit, offset): (u64, u64),
        query: &Query,
    ) -> RelationId {
        if limit == 0 {
            return self.graph.filter(relation, Scalar::boolean(false));
        }
        let plain =
            |column: &Column| Column { attribute: TimeAttribute::None, window: None, ..column.clone() };
        let mut columns: Vec<Column> = self.graph.columns(relation).iter().map(plain).collect();
        columns.push(Column::new("ROW_NUMBER()", TypeKind::BigInt.not_null()));
        let kind = RelationKind::RowNumber {
            partition: Vec::new(),
            order: behind.order.clone(),
            first: offset + 1,
            last: Some(offset + limit),
            window: None,
            span: query.span,
        };
        self.graph.add(kind, vec![relation], columns)
    }

    fn in_order_of_time(
        &mut self,
        relation: RelationId,
        behind: &Behind,
        query: &Query,
    ) -> Bound<RelationId> {
        let columns = self.graph.columns(relation).to_vec();
        let Some((first, rest)) = behind.order.split_first() else { return Ok(relation) };
        let attribute = columns[first.column].attribute;
        if first.descending || attribute == TimeAttribute::None {
            let span = query.order_by.first().map_or(query.span, |item| item.span);
            return boxed(
                Diagnostic::unsupported(span, "sort on a non-time-attribute field is not supported")
                    .with_label("a stream has no end to sort at")
                    .with_hint(
                        "add LIMIT for the first rows of this order, sort by an event time first (ascending), or sort where the result is read",
                    ),
            );
        }
        let mut input = relation;
        if attribute == TimeAttribute::ProcessingTime {
            if rest.is_empty() {
                // Rows come in this order.
                return Ok(relation);
            }
            input = self.graph.add(RelationKind::ProcessingTime, vec![relation], columns.clone());
        }
        let kind = RelationKind::TemporalSort { time_column: first.column, order: rest.to_vec() };
        Ok(self.graph.add(kind, vec![input], columns))
    }

    /// An item by the name that it was given, while ORDER BY or QUALIFY is bound.
    pub(super) fn alias(&self, parts: &[ast::Identifier]) -> Option<Scalar> {
        let [name] = parts else { return None };
        self.aliases.iter().find(|(alias, _)| *alias == name.value).map(|(_, scalar)| scalar.clone())
    }
}

/// `ORDER BY 2` is the second item.
fn position(item: &OrderItem, shown: usize) -> Bound<Option<usize>> {
    let ExpressionKind::Literal(Literal::Exact(digits)) = &item.expression.kind else { return Ok(None) };
    let place = digits.parse::<usize>().ok().filter(|number| (1..=shown).contains(number));
    match place {
        Some(number) => Ok(Some(number - 1)),
        None => boxed(
            Diagnostic::invalid(item.span, format!("ORDER BY {digits}: there is no such item"))
                .with_hint(format!("the items have the numbers 1 to {shown}")),
        ),
    }
}

fn sort_key(column: usize, item: &OrderItem) -> SortKey {
    SortKey { column, descending: item.descending, nulls_first: item.puts_nulls_first() }
}

/// Where a value stands among the items; it is put behind them if it does not yet.
fn place_of(items: &mut Vec<Item>, name: &str, scalar: Scalar, span: Span) -> usize {
    let identity = scalar.identity();
    let known = items.iter().position(|item| item.scalar.identity() == identity);
    known.unwrap_or_else(|| {
        items.push(Item { name: format!("{name}{}", items.len()), scalar, span });
        items.len() - 1
    })
}
