//! Hints behind SELECT.
//!
//! Those that choose how a join is done have no effect, because there is one way; the tables that they name are looked for,
//! as Flink does.

use super::lookup::LOOKUP;
use super::scope::{NearestOrList, Scope};
use super::ttl::STATE_TTL;
use super::{Binder, Bound, boxed};
use crate::ast::{Hint, HintArguments};
use crate::diagnostic::Diagnostic;

/// Hints that name the tables of a join.
const JOIN_HINTS: &[&str] = &["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "MULTI_JOIN"];

/// Other hints of Flink's that stand there.
const OTHER_HINTS: &[&str] = &[LOOKUP, STATE_TTL];

impl Binder<'_> {
    pub(super) fn join_hints(&self, hints: &[Hint], scope: &Scope) -> Bound<()> {
        for hint in hints {
            let name = hint.name.value.to_ascii_uppercase();
            if JOIN_HINTS.contains(&name.as_str()) {
                join_hint(hint, &name, scope)?;
            } else if !OTHER_HINTS.contains(&name.as_str()) {
                // FROM has looked at the others.
                let known: Vec<&str> = JOIN_HINTS.iter().chain(OTHER_HINTS).copied().collect();
                return boxed(
                    Diagnostic::unknown(hint.name.span, format!("there is no hint {name} for SELECT"))
                        .with_nearest_or_list(&name, &known),
                );
            }
        }
        Ok(())
    }
}

fn join_hint(hint: &Hint, name: &str, scope: &Scope) -> Bound<()> {
    let tables = match &hint.arguments {
        HintArguments::Names(tables) if !tables.is_empty() => tables,
        _ => {
            return boxed(
                Diagnostic::invalid(hint.span, format!("the hint {name} names no table"))
                    .with_hint(format!("write {name}(t) with a table or alias of FROM")),
            );
        }
    };
    for table in tables {
        if !scope.open && !scope.has_table(&table.value) {
            let known: Vec<&str> = scope.visible().filter_map(|column| column.table.as_deref()).collect();
            return boxed(
                Diagnostic::unknown(
                    table.span,
                    format!("the table '{}' of the hint {name} is not in FROM", table.value),
                )
                .with_label("no such table or alias")
                .with_nearest_or_list(&table.value, &known),
            );
        }
    }
    Ok(())
}
