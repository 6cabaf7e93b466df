//! The STATE_TTL hint: how long a regular join keeps the rows of each side, and an aggregate its groups.
//!
//! It names the inputs of the joins of its SELECT, or the one table that it aggregates, by alias if there is one; what
//! is nested deeper has hints of its own, as in Flink. It goes before `table.exec.state.ttl`, and 0 is for ever.

use super::scope::NearestOrList;
use super::{Binder, Bound, boxed};
use crate::ast::{Hint, HintArguments, Select, SetQuantifier, TableReference, TableReferenceKind};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::Span;

pub(super) const STATE_TTL: &str = "STATE_TTL";

/// The STATE_TTL hints of a SELECT.
#[derive(Debug, Clone, Default)]
pub(super) struct TtlHints {
    inputs: Vec<TtlHint>,
    /// What FROM names, if it is one table.
    only: Option<String>,
}

#[derive(Debug, Clone)]
struct TtlHint {
    table: String,
    ttl_ms: u64,
    span: Span,
}

impl TtlHints {
    pub(super) fn read(select: &Select) -> Bound<TtlHints> {
        let mut inputs: Vec<TtlHint> = Vec::new();
        for hint in select.hints.iter().filter(|hint| hint.name.value.eq_ignore_ascii_case(STATE_TTL)) {
            // Within one hint the last entry of a name counts, and of several hints the first.
            let known = inputs.len();
            for given in ttl_hint(hint)? {
                match inputs.iter().position(|other| other.table == given.table) {
                    None => inputs.push(given),
                    Some(place) if place >= known => inputs[place] = given,
                    Some(_) => {}
                }
            }
        }
        Ok(TtlHints { inputs, only: select.from.as_ref().and_then(name_of) })
    }

    fn of(&self, name: Option<String>) -> Option<u64> {
        let name = name?;
        self.inputs.iter().find(|hint| hint.table == name).map(|hint| hint.ttl_ms)
    }

    /// For what SELECT aggregates.
    pub(super) fn of_groups(&self) -> Option<u64> {
        self.of(self.only.clone())
    }

    /// For the sides of a join.
    pub(super) fn of_sides(&self, sides: [&TableReference; 2]) -> [Option<u64>; 2] {
        sides.map(|side| self.of(name_of(side)))
    }
}

impl Binder<'_> {
    /// Every hint must name an input of what keeps rows; where nothing does, Flink does not look at them either.
    pub(super) fn check_ttl_hints(&mut self, select: &Select, is_grouped: bool) -> Bound<()> {
        let Some(first) = self.ttls.inputs.first() else { return Ok(()) };
        let joins = select.from.as_ref().is_some_and(|from| matches!(from.kind, TableReferenceKind::Join(_)));
        if !joins && !is_grouped && select.quantifier != Some(SetQuantifier::Distinct) {
            self.warnings.push(Diagnostic::warning(
                DiagnosticKind::Invalid,
                first.span,
                format!("the hint {STATE_TTL} has no effect: nothing is joined or aggregated here"),
            ));
            return Ok(());
        }
        let mut names = Vec::new();
        select.from.iter().for_each(|from| collect_names(from, &mut names));
        let Some(hint) = self.ttls.inputs.iter().find(|hint| !names.contains(&hint.table)) else {
            return Ok(());
        };
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        boxed(
            Diagnostic::unknown(
                hint.span,
                format!("the table '{}' of the hint {STATE_TTL} is not in FROM", hint.table),
            )
            .with_label("no such table or alias")
            .with_nearest_or_list(&hint.table, &known),
        )
    }
}

fn ttl_hint(hint: &Hint) -> Bound<Vec<TtlHint>> {
    let pairs = match &hint.arguments {
        HintArguments::Options(pairs) if !pairs.is_empty() => pairs,
        _ => {
            return boxed(
                Diagnostic::invalid(hint.span, "the hint STATE_TTL takes a table and a duration at least")
                    .with_hint("write STATE_TTL('t' = '1 d') with a table or alias of FROM"),
            );
        }
    };
    let entries = pairs.iter().map(|pair| match base::units::parse_duration_ms(&pair.value.value) {
        Some(ttl_ms) => Ok(TtlHint { table: pair.key.value.clone(), ttl_ms, span: pair.key.span }),
        None => boxed(
            Diagnostic::invalid(
                pair.value.span,
                format!("the hint STATE_TTL takes a duration, not '{}'", pair.value.value),
            )
            .with_hint("write it as '12 h' or '1 d'; '0' is for ever"),
        ),
    });
    entries.collect()
}

/// What a hint calls an input; a join without an alias has no name.
pub(super) fn name_of(reference: &TableReference) -> Option<String> {
    match (&reference.alias, &reference.kind) {
        (Some(alias), _) => Some(alias.name.value.clone()),
        (None, TableReferenceKind::Table { name, .. }) => Some(name.last().value.clone()),
        _ => None,
    }
}

fn collect_names(reference: &TableReference, names: &mut Vec<String>) {
    match &reference.kind {
        TableReferenceKind::Join(join) => {
            collect_names(&join.left, names);
            collect_names(&join.right, names);
        }
        _ => names.extend(name_of(reference)),
    }
}
