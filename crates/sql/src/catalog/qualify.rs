//! Full names in the query of a view, and which columns an expression reads.
//!
//! A name that is a WITH table of the query stays; so does a name that the catalog does not know, for the binder
//! to report.

use super::Catalog;
use crate::ast::*;

impl Catalog {
    /// Puts catalog and database in front of every table that the query reads.
    pub fn qualify(&self, query: &mut Query) {
        Qualifier { catalog: self, common_tables: Vec::new() }.query(query);
    }
}

/// Whether an expression names a column of its table.
pub(super) fn reads_column(expression: &Expression, name: &str) -> bool {
    let mut found = false;
    let mut copy = expression.clone();
    find_column(&mut copy, name, &mut found);
    found
}

fn find_column(expression: &mut Expression, name: &str, found: &mut bool) {
    if let ExpressionKind::Column(parts) = &expression.kind {
        *found |= parts.first().is_some_and(|part| part.value == name);
    }
    children(expression, &mut |child| {
        if let Child::Expression(child) = child {
            find_column(child, name, found);
        }
    });
}

/// What stands below an expression.
enum Child<'a> {
    Expression(&'a mut Expression),
    Query(&'a mut Query),
    Table(&'a mut ObjectName),
}

struct Qualifier<'a> {
    catalog: &'a Catalog,
    common_tables: Vec<String>,
}

impl Qualifier<'_> {
    fn query(&mut self, query: &mut Query) {
        let outer = self.common_tables.len();
        for common in &mut query.with {
            self.query(&mut common.query);
            self.common_tables.push(common.name.value.clone());
        }
        self.body(&mut query.body);
        self.order_items(&mut query.order_by);
        self.common_tables.truncate(outer);
    }

    fn body(&mut self, body: &mut QueryBody) {
        match &mut body.kind {
            QueryBodyKind::Select(select) => self.select(select),
            QueryBodyKind::Values(rows) => {
                rows.iter_mut().flat_map(|row| &mut row.values).for_each(|value| self.expression(value));
            }
            QueryBodyKind::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            QueryBodyKind::Query(query) => self.query(query),
            QueryBodyKind::Table(name) => self.table(name),
        }
    }

    fn select(&mut self, select: &mut Select) {
        for item in &mut select.items {
            if let SelectItemKind::Expression { expression, .. } = &mut item.kind {
                self.expression(expression);
            }
        }
        if let Some(from) = &mut select.from {
            self.reference(from);
        }
        let clauses = [&mut select.selection, &mut select.having, &mut select.qualify];
        clauses.into_iter().flatten().for_each(|clause| self.expression(clause));
        if let Some(group_by) = &mut select.group_by {
            group_by.elements.iter_mut().for_each(|element| self.grouping(element));
        }
        for window in &mut select.windows {
            window.window.partition_by.iter_mut().for_each(|key| self.expression(key));
            self.order_items(&mut window.window.order_by);
        }
    }

    fn grouping(&mut self, element: &mut GroupingElement) {
        match element {
            GroupingElement::Expression(expression) => self.expression(expression),
            GroupingElement::Set(items) => items.iter_mut().for_each(|item| self.expression(item)),
            GroupingElement::Rollup(steps) | GroupingElement::Cube(steps) => {
                steps.iter_mut().flatten().for_each(|item| self.expression(item));
            }
            GroupingElement::GroupingSets(sets) => sets.iter_mut().for_each(|set| self.grouping(set)),
        }
    }

    fn order_items(&mut self, items: &mut [OrderItem]) {
        items.iter_mut().for_each(|item| self.expression(&mut item.expression));
    }

    fn reference(&mut self, reference: &mut TableReference) {
        match &mut reference.kind {
            TableReferenceKind::Table { name, as_of, .. } => {
                self.table(name);
                as_of.iter_mut().for_each(|time| self.expression(time));
            }
            TableReferenceKind::Subquery { query, .. } => self.query(query),
            TableReferenceKind::Function { call, .. } => {
                call_children(call, &mut |child| self.child(child));
            }
            TableReferenceKind::Unnest { arguments, .. } => {
                arguments.iter_mut().for_each(|argument| self.expression(argument));
            }
            TableReferenceKind::MatchRecognize { input, clause } => {
                self.reference(input);
                let MatchRecognize { partition_by, order_by, measures, within, definitions, .. } =
                    clause.as_mut();
                partition_by.iter_mut().chain(within).for_each(|expression| self.expression(expression));
                self.order_items(order_by);
                measures.iter_mut().for_each(|measure| self.expression(&mut measure.expression));
                definitions.iter_mut().for_each(|definition| self.expression(&mut definition.condition));
            }
            TableReferenceKind::Join(join) => {
                self.reference(&mut join.left);
                self.reference(&mut join.right);
                if let JoinConstraint::On(condition) = &mut join.constraint {
                    self.expression(condition);
                }
            }
        }
    }

    fn expression(&mut self, expression: &mut Expression) {
        children(expression, &mut |child| self.child(child));
    }

    fn child(&mut self, child: Child<'_>) {
        match child {
            Child::Expression(expression) => self.expression(expression),
            Child::Query(query) => self.query(query),
            Child::Table(name) => self.table(name),
        }
    }

    fn table(&mut self, name: &mut ObjectName) {
        let is_common =
            name.parts.len() == 1 && self.common_tables.iter().any(|common| *common == name.parts[0].value);
        if is_common {
            return;
        }
        if let Some(found) = self.catalog.find(name) {
            let last = name.parts.pop();
            *name = found.name.to_object_name(name.span);
            // The last part keeps its own place.
            if let (Some(last), Some(part)) = (last, name.parts.last_mut()) {
                part.span = last.span;
            }
        }
    }
}

/// Calls `visit` for everything right below an expression.
fn children(expression: &mut Expression, visit: &mut dyn FnMut(Child<'_>)) {
    match &mut expression.kind {
        ExpressionKind::Literal(_) | ExpressionKind::Column(_) => {}
        ExpressionKind::Field { base, .. } => visit(Child::Expression(base)),
        ExpressionKind::Index { base: left, index: right }
        | ExpressionKind::Binary { left, right, .. }
        | ExpressionKind::IsDistinctFrom { left, right, .. }
        | ExpressionKind::Overlaps { left, right }
        | ExpressionKind::IntervalBetween { left, right, .. }
        | ExpressionKind::TimestampAdd { count: left, operand: right, .. }
        | ExpressionKind::TimestampDiff { from: left, to: right, .. } => {
            visit(Child::Expression(left));
            visit(Child::Expression(right));
        }
        ExpressionKind::Unary { operand, .. }
        | ExpressionKind::Is { operand, .. }
        | ExpressionKind::Cast { operand, .. }
        | ExpressionKind::Extract { operand, .. }
        | ExpressionKind::RoundTo { operand, .. } => visit(Child::Expression(operand)),
        ExpressionKind::Between { operand, low, high, .. } => {
            [operand, low, high].into_iter().for_each(|child| visit(Child::Expression(child)));
        }
        ExpressionKind::InList { operand, list, .. } => {
            visit(Child::Expression(operand));
            list.iter_mut().for_each(|child| visit(Child::Expression(child)));
        }
        ExpressionKind::InSubquery { operand, query, .. } => {
            visit(Child::Expression(operand));
            visit(Child::Query(query));
        }
        ExpressionKind::Quantified { left, right, .. } => {
            visit(Child::Expression(left));
            match right {
                QuantifiedOperand::List(list) => {
                    list.iter_mut().for_each(|child| visit(Child::Expression(child)));
                }
                QuantifiedOperand::Query(query) => visit(Child::Query(query)),
            }
        }
        ExpressionKind::Exists(query) | ExpressionKind::Subquery(query) => visit(Child::Query(query)),
        ExpressionKind::Like { operand, pattern, escape, .. } => {
            visit(Child::Expression(operand));
            visit(Child::Expression(pattern));
            escape.iter_mut().for_each(|child| visit(Child::Expression(child)));
        }
        ExpressionKind::Case { operand, branches, otherwise } => {
            operand.iter_mut().for_each(|child| visit(Child::Expression(child)));
            for branch in branches {
                visit(Child::Expression(&mut branch.when));
                visit(Child::Expression(&mut branch.then));
            }
            otherwise.iter_mut().for_each(|child| visit(Child::Expression(child)));
        }
        ExpressionKind::Call(call) => call_children(call, visit),
        ExpressionKind::Trim { characters, operand, .. } => {
            characters.iter_mut().for_each(|child| visit(Child::Expression(child)));
            visit(Child::Expression(operand));
        }
        ExpressionKind::Row(items) | ExpressionKind::Array(items) => {
            items.iter_mut().for_each(|child| visit(Child::Expression(child)));
        }
        ExpressionKind::Map(entries) => {
            for (key, value) in entries {
                visit(Child::Expression(key));
                visit(Child::Expression(value));
            }
        }
        ExpressionKind::Json(call) => json_children(call, visit),
    }
}

fn call_children(call: &mut FunctionCall, visit: &mut dyn FnMut(Child<'_>)) {
    for argument in &mut call.arguments {
        match &mut argument.value {
            ArgumentValue::Expression(expression) => visit(Child::Expression(expression)),
            ArgumentValue::Table(table) => {
                match &mut table.input {
                    TableArgumentInput::Name(name) => visit(Child::Table(name)),
                    TableArgumentInput::Query(query) => visit(Child::Query(query)),
                }
                table.partition_by.iter_mut().for_each(|key| visit(Child::Expression(key)));
                table.order_by.iter_mut().for_each(|item| visit(Child::Expression(&mut item.expression)));
            }
            ArgumentValue::Star
            | ArgumentValue::Default
            | ArgumentValue::Model(_)
            | ArgumentValue::Descriptor(_) => {}
        }
    }
    let ordered = call.order_by.iter_mut().chain(&mut call.within_group);
    ordered.for_each(|item| visit(Child::Expression(&mut item.expression)));
    call.filter.iter_mut().for_each(|filter| visit(Child::Expression(filter)));
    if let Some(Over::Window(window)) = &mut call.over {
        window.partition_by.iter_mut().for_each(|key| visit(Child::Expression(key)));
        window.order_by.iter_mut().for_each(|item| visit(Child::Expression(&mut item.expression)));
    }
}

fn json_children(call: &mut JsonCall, visit: &mut dyn FnMut(Child<'_>)) {
    match call {
        JsonCall::Value { input, path, .. }
        | JsonCall::Query { input, path, .. }
        | JsonCall::Exists { input, path, .. } => {
            visit(Child::Expression(input));
            visit(Child::Expression(path));
        }
        JsonCall::Object { entries, .. } => {
            for (key, value) in entries {
                visit(Child::Expression(key));
                visit(Child::Expression(value));
            }
        }
        JsonCall::Array { elements, .. } => {
            elements.iter_mut().for_each(|child| visit(Child::Expression(child)));
        }
        JsonCall::ObjectAggregate { key, value, filter, .. } => {
            visit(Child::Expression(key));
            visit(Child::Expression(value));
            filter.iter_mut().for_each(|child| visit(Child::Expression(child)));
        }
        JsonCall::ArrayAggregate { element, filter, .. } => {
            visit(Child::Expression(element));
            filter.iter_mut().for_each(|child| visit(Child::Expression(child)));
        }
    }
    // The defaults of JSON_VALUE are constants: nothing of interest stands in them.
}

/// Calls `visit` for the expressions right below one, but not for those of sub-queries.
pub(crate) fn expressions_below(expression: &Expression, visit: &mut dyn FnMut(&Expression)) {
    children(&mut expression.clone(), &mut |child| {
        if let Child::Expression(below) = child {
            visit(below);
        }
    });
}
