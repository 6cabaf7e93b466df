//! The search of one partition: which matches are under way, which wait, and what a row does to them.
//!
//! 1. A row is offered to every match under way, and begins a new one where it may. A match that cannot take it is gone:
//!    no row may be left out.
//! 2. A complete match is found when no match under way began before it. Then what AFTER MATCH skips is forgotten, both
//!    of what is under way and of what waits.
//! 3. A match under way whose first row is `within` or more in the past is forgotten, which may let others out.

use super::super::error::DataflowError;
use super::automaton::{Automaton, FINAL};
use super::queue::{MatchQueue, PartialMatch, Start};
use crate::plan::{AfterMatch, RowPattern};
use base::codec::{CodecError, FieldReader, FieldWriter};
use state::StateError;

/// A partition that has more matches under way than this fails the job: each row is offered to all of them.
pub(crate) const PARTIAL_MATCHES_MAX: usize = 1 << 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) open: MatchQueue,
    pub(crate) complete: MatchQueue,
    /// The number of the next row.
    pub(crate) sequence: u64,
}

impl Search {
    pub(crate) fn new(pattern: &RowPattern, automaton: &Automaton) -> Search {
        let mut open = MatchQueue::default();
        open.push(PartialMatch {
            state: automaton.start,
            start: None,
            counts: vec![0; pattern.variables.len()].into(),
        });
        Search { open, complete: MatchQueue::default(), sequence: 0 }
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.len() == 1 && self.complete.len() == 0
    }

    /// The number of the first row that is needed on.
    pub(crate) fn first_needed(&self) -> u64 {
        let first = |queue: &MatchQueue| queue.first().and_then(|first| first.start);
        let starts = [first(&self.open), first(&self.complete)].into_iter().flatten();
        starts.map(|start| start.sequence).min().unwrap_or(self.sequence)
    }

    /// When the earliest match under way is too old.
    pub(crate) fn deadline(&self, pattern: &RowPattern) -> Option<i64> {
        let start = self.open.first()?.start?;
        Some(start.time_ms.saturating_add(pattern.within_ms?))
    }

    /// Takes a row in; `satisfies` says which variables' conditions hold for it behind a match under way. Answers the
    /// matches that are found.
    pub(crate) fn row(
        &mut self,
        pattern: &RowPattern,
        automaton: &Automaton,
        time_ms: i64,
        satisfies: &dyn Fn(usize, usize) -> bool,
    ) -> Result<Vec<PartialMatch>, DataflowError> {
        let sequence = self.sequence;
        self.sequence += 1;
        let before = std::mem::take(&mut self.open);
        let mut completed = MatchQueue::default();
        let (mut edges, mut stack) = (Vec::new(), Vec::new());
        for (place, partial) in before.into_items().into_iter().enumerate() {
            let satisfies = |variable: usize| satisfies(place, variable);
            automaton.takes(partial.state, &satisfies, &mut edges, &mut stack);
            let is_start = partial.start.is_none();
            let mut rest = Some(partial);
            for (number, (variable, state)) in edges.iter().enumerate() {
                let is_last = number + 1 == edges.len() && !is_start;
                let Some(mut next) = (if is_last { rest.take() } else { rest.clone() }) else { continue };
                next.state = *state;
                next.start = next.start.or(Some(Start { sequence, time_ms }));
                next.counts[*variable] += 1;
                if *state != FINAL && automaton.is_complete(*state, &satisfies, &mut stack) {
                    completed.push(PartialMatch { state: FINAL, ..next.clone() });
                }
                if *state == FINAL { completed.push(next) } else { self.open.push(next) }
            }
            // Every row may be the first one of a match.
            if let Some(start) = rest.filter(|_| is_start) {
                self.open.push(start);
            }
        }
        let found = self.settle(pattern, completed)?;
        let held = self.open.len() + self.complete.len();
        if held > PARTIAL_MATCHES_MAX {
            return Err(DataflowError::invalid(format!(
                "more than {PARTIAL_MATCHES_MAX} matches of `{}` are under way in one partition; give the pattern a \
                 WITHIN, or a variable a narrower condition",
                pattern.describe()
            )));
        }
        Ok(found)
    }

    /// Forgets matches under way that are too old at this time.
    pub(crate) fn time(
        &mut self,
        pattern: &RowPattern,
        time_ms: i64,
    ) -> Result<Vec<PartialMatch>, DataflowError> {
        let Some(within_ms) = pattern.within_ms else { return Ok(Vec::new()) };
        let before = std::mem::take(&mut self.open);
        for partial in before.into_items() {
            let is_old =
                partial.start.is_some_and(|start| time_ms.saturating_sub(start.time_ms) >= within_ms);
            if !is_old {
                self.open.push(partial);
            }
        }
        self.settle(pattern, MatchQueue::default())
    }

    /// Lets the matches out that nothing under way may still precede.
    fn settle(
        &mut self,
        pattern: &RowPattern,
        completed: MatchQueue,
    ) -> Result<Vec<PartialMatch>, DataflowError> {
        for complete in completed.into_items() {
            self.complete.push(complete);
        }
        let mut found = Vec::new();
        let begin = |queue: &MatchQueue| {
            queue.first().map(|first| first.start.map_or(u64::MAX, |start| start.sequence))
        };
        while let Some(first) = begin(&self.complete) {
            if begin(&self.open).is_some_and(|open| open < first) {
                break;
            }
            let Some(complete) = self.complete.pop() else { break };
            let kept_from = kept_from(pattern, &complete, first)?;
            let goes = |other: &PartialMatch| other.start.is_some_and(|start| start.sequence < kept_from);
            self.open.remove_if(goes);
            self.complete.remove_if(goes);
            found.push(complete);
        }
        Ok(found)
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u64(self.sequence);
        for queue in [&self.open, &self.complete] {
            out.u32(queue.len() as u32);
            for partial in queue.items() {
                out.u32(partial.state as u32);
                out.u64(partial.start.map_or(u64::MAX, |start| start.sequence));
                out.i64(partial.start.map_or(0, |start| start.time_ms));
                partial.counts.iter().for_each(|count| {
                    out.u32(*count);
                });
            }
        }
        out.finish()
    }

    pub(crate) fn restore(
        bytes: &[u8],
        pattern: &RowPattern,
        automaton: &Automaton,
    ) -> Result<Search, DataflowError> {
        Search::read(bytes, pattern, automaton)
            .map_err(|error| StateError::damaged(format!("a search: {error}")).into())
    }

    fn read(bytes: &[u8], pattern: &RowPattern, automaton: &Automaton) -> Result<Search, CodecError> {
        let variables = pattern.variables.len();
        let mut reader = FieldReader::new(bytes);
        let sequence = reader.u64()?;
        let mut queue = || {
            let count = reader.count(20 + 4 * variables)?;
            let mut items = Vec::with_capacity(count);
            for _ in 0..count {
                let state = reader.u32()? as usize;
                let (first, time_ms) = (reader.u64()?, reader.i64()?);
                let counts = (0..variables).map(|_| reader.u32()).collect::<Result<_, _>>()?;
                let start = (first != u64::MAX).then_some(Start { sequence: first, time_ms });
                items.push(PartialMatch { state: state.min(automaton.states.len() - 1), start, counts });
            }
            Ok::<MatchQueue, CodecError>(MatchQueue::restored(items))
        };
        let (open, complete) = (queue()?, queue()?);
        reader.finish()?;
        Ok(Search { open, complete, sequence })
    }
}

/// Matches that begin before this row are skipped.
fn kept_from(pattern: &RowPattern, found: &PartialMatch, first: u64) -> Result<u64, DataflowError> {
    let (variable, to_last) = match pattern.after_match {
        AfterMatch::PastLastRow => return Ok(found.end()),
        AfterMatch::ToNextRow => return Ok(first + 1),
        AfterMatch::ToFirst(variable) => (variable, false),
        AfterMatch::ToLast(variable) => (variable, true),
    };
    let name = &pattern.variables[variable].name;
    let count = found.counts[variable];
    if count == 0 {
        return Err(DataflowError::invalid(format!(
            "AFTER MATCH cannot skip to `{name}`: a match of `{}` was found that has no row of it",
            pattern.describe()
        )));
    }
    let before: u64 = found.counts[..variable].iter().map(|count| u64::from(*count)).sum();
    let row = first + before + if to_last { u64::from(count) - 1 } else { 0 };
    if row == first {
        return Err(DataflowError::invalid(format!(
            "AFTER MATCH cannot skip to `{name}`: it is the first row of a match of `{}`, which would be found for ever",
            pattern.describe()
        )));
    }
    Ok(row)
}
