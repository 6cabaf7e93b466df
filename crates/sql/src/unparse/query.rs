//! Queries, a clause on each line.

use super::{commas, hints, separated, word_if};
use crate::ast::*;
use std::fmt::{self, Display, Formatter, Write};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.with.is_empty() {
            f.write_str("WITH ")?;
            separated(f, &self.with, ",\n")?;
            f.write_char('\n')?;
        }
        write!(f, "{}", self.body)?;
        if !self.order_by.is_empty() {
            write!(f, "\nORDER BY {}", commas(&self.order_by))?;
        }
        if let Some(limit) = &self.limit {
            write!(f, "\nLIMIT {limit}")?;
        }
        if let Some(offset) = &self.offset {
            write!(f, "\nOFFSET {offset}")?;
        }
        Ok(())
    }
}

impl Display for CommonTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        column_list(f, &self.columns)?;
        write!(f, " AS (\n{}\n)", self.query)
    }
}

/// ` (a, b)`, or nothing.
fn column_list(f: &mut Formatter<'_>, columns: &[Identifier]) -> fmt::Result {
    if columns.is_empty() { Ok(()) } else { write!(f, " ({})", commas(columns)) }
}

/// INTERSECT binds more tightly than UNION and EXCEPT.
fn body_binding(body: &QueryBody) -> u8 {
    match &body.kind {
        QueryBodyKind::SetOperation { operator: SetOperator::Intersect, .. } => 2,
        QueryBodyKind::SetOperation { .. } => 1,
        _ => 3,
    }
}

fn body_operand(f: &mut Formatter<'_>, body: &QueryBody, least: u8) -> fmt::Result {
    if body_binding(body) < least { write!(f, "({body})") } else { write!(f, "{body}") }
}

impl Display for QueryBody {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            QueryBodyKind::Select(select) => write!(f, "{select}"),
            QueryBodyKind::Values(rows) => write!(f, "VALUES {}", commas(rows)),
            QueryBodyKind::SetOperation { left, operator, all, right, .. } => {
                let own = body_binding(self);
                body_operand(f, left, own)?;
                f.write_str(match operator {
                    SetOperator::Union => "\nUNION",
                    SetOperator::Intersect => "\nINTERSECT",
                    SetOperator::Except => "\nEXCEPT",
                })?;
                word_if(f, *all, "ALL")?;
                f.write_char('\n')?;
                body_operand(f, right, own + 1)
            }
            QueryBodyKind::Query(query) => write!(f, "({query})"),
            QueryBodyKind::Table(name) => write!(f, "TABLE {name}"),
        }
    }
}

impl Display for ValuesRow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // `(ROW(1, 2))` would be a row of two.
        if let [Expression { kind: ExpressionKind::Row(_), .. }] = self.values.as_slice() {
            f.write_str("ROW")?;
        }
        write!(f, "({})", commas(&self.values))
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT")?;
        hints(f, &self.hints)?;
        quantifier(f, self.quantifier)?;
        write!(f, " {}", commas(&self.items))?;
        if let Some(from) = &self.from {
            write!(f, "\nFROM {from}")?;
        }
        if let Some(selection) = &self.selection {
            write!(f, "\nWHERE {selection}")?;
        }
        if let Some(group_by) = &self.group_by {
            f.write_str("\nGROUP BY")?;
            quantifier(f, group_by.quantifier)?;
            write!(f, " {}", commas(&group_by.elements))?;
        }
        if let Some(having) = &self.having {
            write!(f, "\nHAVING {having}")?;
        }
        if !self.windows.is_empty() {
            write!(f, "\nWINDOW {}", commas(&self.windows))?;
        }
        if let Some(qualify) = &self.qualify {
            write!(f, "\nQUALIFY {qualify}")?;
        }
        Ok(())
    }
}

fn quantifier(f: &mut Formatter<'_>, quantifier: Option<SetQuantifier>) -> fmt::Result {
    f.write_str(match quantifier {
        Some(SetQuantifier::Distinct) => " DISTINCT",
        Some(SetQuantifier::All) => " ALL",
        None => "",
    })
}

impl Display for SelectItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            SelectItemKind::Star { qualifier } if qualifier.is_empty() => f.write_char('*'),
            SelectItemKind::Star { qualifier } => {
                separated(f, qualifier, ".")?;
                f.write_str(".*")
            }
            SelectItemKind::Expression { expression, alias: Some(alias) } => {
                write!(f, "{expression} AS {alias}")
            }
            SelectItemKind::Expression { expression, alias: None } => write!(f, "{expression}"),
        }
    }
}

impl Display for GroupingElement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            GroupingElement::Expression(expression) => write!(f, "{expression}"),
            GroupingElement::Set(items) => write!(f, "({})", commas(items)),
            GroupingElement::Rollup(steps) => {
                f.write_str("ROLLUP ")?;
                grouping_steps(f, steps)
            }
            GroupingElement::Cube(steps) => {
                f.write_str("CUBE ")?;
                grouping_steps(f, steps)
            }
            GroupingElement::GroupingSets(sets) => write!(f, "GROUPING SETS ({})", commas(sets)),
        }
    }
}

fn grouping_steps(f: &mut Formatter<'_>, steps: &[Vec<Expression>]) -> fmt::Result {
    f.write_char('(')?;
    for (index, step) in steps.iter().enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        match step.as_slice() {
            [only] => write!(f, "{only}")?,
            several => write!(f, "({})", commas(several))?,
        }
    }
    f.write_char(')')
}

impl Display for NamedWindow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.name, self.window)
    }
}

impl Display for OrderItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expression)?;
        word_if(f, self.descending, "DESC")?;
        match self.nulls_first {
            Some(true) => f.write_str(" NULLS FIRST"),
            Some(false) => f.write_str(" NULLS LAST"),
            None => Ok(()),
        }
    }
}

impl Display for TableReference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TableReferenceKind::Table { name, hints: table_hints, as_of } => {
                write!(f, "{name}")?;
                hints(f, table_hints)?;
                if let Some(time) = as_of {
                    write!(f, " FOR SYSTEM_TIME AS OF {time}")?;
                }
            }
            TableReferenceKind::Subquery { query, lateral } => {
                write!(f, "{}({query})", if *lateral { "LATERAL " } else { "" })?;
            }
            TableReferenceKind::Function { call, lateral } => {
                write!(f, "{}TABLE({call})", if *lateral { "LATERAL " } else { "" })?;
            }
            TableReferenceKind::Unnest { arguments, with_ordinality, lateral } => {
                write!(f, "{}UNNEST({})", if *lateral { "LATERAL " } else { "" }, commas(arguments))?;
                word_if(f, *with_ordinality, "WITH ORDINALITY")?;
            }
            TableReferenceKind::Join(join) => write!(f, "{join}")?,
            TableReferenceKind::MatchRecognize { input, clause } => write!(f, "{input}\n{clause}")?,
        }
        match &self.alias {
            Some(alias) => {
                write!(f, " AS {}", alias.name)?;
                column_list(f, &alias.columns)
            }
            None => Ok(()),
        }
    }
}

impl Display for Join {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let comma = self.kind == JoinKind::Comma;
        let needs_parentheses = |side: &TableReference, right: bool| match &side.kind {
            TableReferenceKind::Join(inner) if comma => right && inner.kind == JoinKind::Comma,
            TableReferenceKind::Join(inner) => right || inner.kind == JoinKind::Comma,
            _ => false,
        };
        let side = |f: &mut Formatter<'_>, side: &TableReference, right: bool| {
            if needs_parentheses(side, right) { write!(f, "({side})") } else { write!(f, "{side}") }
        };
        side(f, &self.left, false)?;
        if comma {
            f.write_str(", ")?;
            return side(f, &self.right, true);
        }
        f.write_char('\n')?;
        f.write_str(if self.natural { "NATURAL " } else { "" })?;
        f.write_str(match self.kind {
            JoinKind::Inner => "INNER JOIN ",
            JoinKind::Left => "LEFT JOIN ",
            JoinKind::Right => "RIGHT JOIN ",
            JoinKind::Full => "FULL JOIN ",
            JoinKind::Cross | JoinKind::Comma => "CROSS JOIN ",
        })?;
        side(f, &self.right, true)?;
        match &self.constraint {
            JoinConstraint::None => Ok(()),
            JoinConstraint::On(condition) => write!(f, " ON {condition}"),
            JoinConstraint::Using(columns) => write!(f, " USING ({})", commas(columns)),
        }
    }
}
