//! Hints behind SELECT.
//!
//! There is one way to do a join, so of the hints that choose it those have an effect that also say which side is read
//! first: the table of an inner join of two bounded inputs. The tables that hints name are looked for, as Flink does.

use super::lookup::LOOKUP;
use super::scope::{NearestOrList, Scope};
use super::ttl::STATE_TTL;
use super::ttl::name_of;
use super::{Binder, Bound, boxed};
use crate::ast::{Hint, HintArguments, Select, TableReference};
use crate::diagnostic::Diagnostic;

/// Hints that name the tables of a join.
const JOIN_HINTS: &[&str] = &["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "MULTI_JOIN"];

/// Those of them that name the side that is read first.
const READ_FIRST_HINTS: &[&str] = &["BROADCAST", "SHUFFLE_HASH", "NEST_LOOP"];

/// Other hints of Flink's that stand there.
const OTHER_HINTS: &[&str] = &[LOOKUP, STATE_TTL];

/// The tables of a SELECT that hints want to be read first, in the order of the hints.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadFirst(Vec<String>);

impl ReadFirst {
    pub(super) fn read(select: &Select) -> ReadFirst {
        let is_such =
            |hint: &&Hint| READ_FIRST_HINTS.iter().any(|name| hint.name.value.eq_ignore_ascii_case(name));
        let names = select.hints.iter().filter(is_such).flat_map(|hint| match &hint.arguments {
            HintArguments::Names(tables) => tables.as_slice(),
            _ => &[],
        });
        ReadFirst(names.map(|table| table.value.clone()).collect())
    }

    /// Whether the left side of a join is to be read first; of several tables the first one counts.
    pub(super) fn of_sides(&self, sides: [&TableReference; 2]) -> Option<bool> {
        let [left, right] = sides.map(name_of);
        self.0.iter().find_map(|name| match Some(name) {
            name if name == left.as_ref() => Some(true),
            name if name == right.as_ref() => Some(false),
            _ => None,
        })
    }
}

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
