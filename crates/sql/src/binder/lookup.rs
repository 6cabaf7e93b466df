//! The LOOKUP hint: how an outside table is asked.
//!
//! A SELECT's hints are read before its FROM, where lookup joins look for the one that names their table. What is wrong
//! with one is an error, as in Flink, and so is one that names no table of a lookup join.

use super::relation::Asks;
use super::{Binder, Bound, boxed};
use crate::ast::{Hint, HintArguments, OptionPair};
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use dataflow::plan::{LookupAsking, LookupRetry};
use std::fmt::Display;

pub(super) const LOOKUP: &str = "LOOKUP";

/// What SET says of lookups that are asked asynchronously.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupSettings {
    /// `table.exec.async-lookup.output-mode` is `ALLOW_UNORDERED`.
    pub allows_unordered: bool,
    /// `table.exec.async-lookup.buffer-capacity`.
    pub capacity: u32,
    /// `table.exec.async-lookup.timeout`.
    pub timeout_ms: u64,
}

impl Default for LookupSettings {
    fn default() -> LookupSettings {
        let LookupAsking { capacity, timeout_ms, .. } = LookupAsking::DEFAULT;
        LookupSettings { allows_unordered: false, capacity, timeout_ms }
    }
}

/// One LOOKUP hint.
#[derive(Debug, Clone)]
pub(super) struct LookupHint {
    table: String,
    asks: Asks,
    is_used: bool,
    span: Span,
}

/// An option of the hint, what it takes, and what it does; the reference shows them.
pub struct LookupOption {
    pub key: &'static str,
    pub takes: &'static str,
    pub doc: &'static str,
}

const fn option(key: &'static str, takes: &'static str, doc: &'static str) -> LookupOption {
    LookupOption { key, takes, doc }
}

/// What the hint takes.
pub const LOOKUP_OPTIONS: &[LookupOption] = &[
    option("table", "a name", "The table that is looked up; by its alias, if it has one. Required."),
    option("async", "true, false", "Ask several questions at a time."),
    option(
        "output-mode",
        "ORDERED, ALLOW_UNORDERED",
        "With async: rows leave in the order in which they came, or as soon as their answer is there.",
    ),
    option("capacity", "a number", "With async: questions that are under way at most."),
    option("timeout", "a duration", "A question that takes longer fails the job."),
    option("retry-predicate", "lookup_miss", "Ask again when nothing was found."),
    option("retry-strategy", "fixed_delay", "Wait between two attempts."),
    option("fixed-delay", "a duration", "How long."),
    option("max-attempts", "a number", "How often to ask again at most."),
    option("shuffle", "true, false", "Without effect: the answers of a job are in one place."),
];

impl Binder<'_> {
    /// Reads the hints of a SELECT; answers those of the one around it.
    pub(super) fn begin_hints(&mut self, hints: &[Hint]) -> Bound<Vec<LookupHint>> {
        let mut lookups: Vec<LookupHint> = Vec::new();
        for hint in hints.iter().filter(|hint| hint.name.value.eq_ignore_ascii_case(LOOKUP)) {
            let lookup = self.lookup_hint(hint)?;
            // The first one counts.
            if !lookups.iter().any(|known| known.table == lookup.table) {
                lookups.push(lookup);
            }
        }
        Ok(std::mem::replace(&mut self.lookups, lookups))
    }

    /// Every hint must have found its table.
    pub(super) fn end_hints(&mut self, outer: Vec<LookupHint>) -> Bound<()> {
        let lookups = std::mem::replace(&mut self.lookups, outer);
        match lookups.into_iter().find(|hint| !hint.is_used) {
            None => Ok(()),
            Some(hint) => boxed(
                Diagnostic::invalid(
                    hint.span,
                    format!(
                        "the LOOKUP hint names '{}', which no lookup join of this SELECT looks up",
                        hint.table
                    ),
                )
                .with_hint("name the table behind FOR SYSTEM_TIME AS OF, by its alias if it has one"),
            ),
        }
    }

    /// How to ask the table that is known by this name.
    pub(super) fn lookup_asks(&mut self, known_as: &str) -> Asks {
        match self.lookups.iter_mut().find(|hint| hint.table == known_as) {
            Some(hint) => {
                hint.is_used = true;
                hint.asks
            }
            None => {
                let timeout_ms = self.settings.lookups.timeout_ms;
                Asks { asking: LookupAsking { timeout_ms, ..LookupAsking::DEFAULT }, ordered: true }
            }
        }
    }

    fn lookup_hint(&self, hint: &Hint) -> Bound<LookupHint> {
        let HintArguments::Options(pairs) = &hint.arguments else {
            return boxed(
                Diagnostic::invalid(hint.span, "the LOOKUP hint takes options")
                    .with_hint("write LOOKUP('table' = 't', 'async' = 'true')"),
            );
        };
        for pair in pairs {
            if !LOOKUP_OPTIONS.iter().any(|option| option.key == pair.key.value) {
                let message = format!("the LOOKUP hint has no option '{}'", pair.key.value);
                let keys = LOOKUP_OPTIONS.iter().map(|option| option.key);
                return boxed(
                    Diagnostic::unknown(pair.key.span, message).with_nearest(&pair.key.value, keys),
                );
            }
        }
        let given = |key: &str| pairs.iter().find(|pair| pair.key.value == key);
        let Some(table) = given("table") else {
            return boxed(
                Diagnostic::invalid(hint.span, "the LOOKUP hint does not say which table it is for")
                    .with_hint("add 'table' = 'name', by its alias if it has one"),
            );
        };
        let is_async = given("async").map(truth).transpose()?.unwrap_or(false);
        given("shuffle").map(truth).transpose()?;
        let settings = self.settings.lookups;
        let allows_unordered = match given("output-mode") {
            None => settings.allows_unordered,
            Some(pair) => one_of(pair, &["ORDERED", "ALLOW_UNORDERED"])? == 1,
        };
        let capacity = given("capacity").map(number).transpose()?.unwrap_or(settings.capacity);
        let timeout_ms = given("timeout").map(duration_ms).transpose()?.unwrap_or(settings.timeout_ms);
        Ok(LookupHint {
            table: table.value.value.clone(),
            asks: Asks {
                asking: LookupAsking { is_async, capacity, timeout_ms, retry: retry(hint, &given)? },
                ordered: !(is_async && allows_unordered),
            },
            is_used: false,
            span: hint.span,
        })
    }
}

/// The four options of asking again stand together.
fn retry<'a>(hint: &Hint, given: &dyn Fn(&str) -> Option<&'a OptionPair>) -> Bound<Option<LookupRetry>> {
    const KEYS: [&str; 4] = ["retry-predicate", "retry-strategy", "fixed-delay", "max-attempts"];
    let found = KEYS.map(given);
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    let [Some(predicate), Some(strategy), Some(delay), Some(attempts)] = found else {
        let missing: Vec<&str> =
            KEYS.into_iter().zip(found).filter(|(_, pair)| pair.is_none()).map(|(key, _)| key).collect();
        return boxed(
            Diagnostic::invalid(
                hint.span,
                format!("the LOOKUP hint asks again only with all of {}", KEYS.join(", ")),
            )
            .with_hint(format!("add {}", missing.join(", "))),
        );
    };
    one_of(predicate, &["lookup_miss"])?;
    one_of(strategy, &["fixed_delay"])?;
    // Flink counts the attempts behind the first one.
    Ok(Some(LookupRetry { delay_ms: duration_ms(delay)?, attempts_max: number(attempts)?.saturating_add(1) }))
}

fn wrong<T>(pair: &OptionPair, takes: impl Display) -> Bound<T> {
    boxed(Diagnostic::invalid(
        pair.value.span,
        format!("'{}' of the LOOKUP hint takes {takes}, not '{}'", pair.key.value, pair.value.value),
    ))
}

fn truth(pair: &OptionPair) -> Bound<bool> {
    match pair.value.value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => wrong(pair, "true or false"),
    }
}

/// The place of the value among those that there are, in whatever case.
fn one_of(pair: &OptionPair, values: &[&str]) -> Bound<usize> {
    match values.iter().position(|value| value.eq_ignore_ascii_case(&pair.value.value)) {
        Some(place) => Ok(place),
        None => wrong(pair, values.join(" or ")),
    }
}

fn number(pair: &OptionPair) -> Bound<u32> {
    match pair.value.value.trim().parse::<i32>() {
        Ok(number @ 1..) => Ok(number as u32),
        _ => wrong(pair, "a number from 1"),
    }
}

fn duration_ms(pair: &OptionPair) -> Bound<u64> {
    match base::units::parse_duration_ms(&pair.value.value) {
        Some(ms) if ms > 0 => Ok(ms),
        _ => wrong(pair, "a duration such as '10 s'"),
    }
}
