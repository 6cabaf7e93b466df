//! Everything wrong with a statement at once.
//!
//! A mistake ends the binding of the expression that it stands in, not that of its neighbours: it is noted, and what
//! would need its result fails with a *consequence*, which nobody sees. A FROM that cannot be bound leaves a scope that
//! is `open`: a name that is not found in it may have been meant for what is missing, so that it is a consequence too.
//! Nothing is made up: an expression over something broken is not checked any further.

use super::relation::{RelationId, RelationKind};
use super::{Binder, Bound};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::span::Span;

/// What follows from a mistake that is noted already.
pub(super) fn consequence() -> Box<Diagnostic> {
    Box::new(Diagnostic::new(DiagnosticKind::Consequence, Span::default(), "it follows from another mistake"))
}

impl Binder<'_> {
    /// Keeps what is wrong for the end, so that binding can go on behind it.
    pub(super) fn note(&mut self, problem: Box<Diagnostic>) {
        if problem.kind != DiagnosticKind::Consequence && !self.problems.contains(&problem) {
            self.problems.push(*problem);
        }
    }

    /// The value, or none and a note.
    pub(super) fn noted<T>(&mut self, bound: Bound<T>) -> Option<T> {
        bound.map_err(|problem| self.note(problem)).ok()
    }

    /// Both values, or what is wrong with either.
    pub(super) fn both<A, B>(&mut self, a: Bound<A>, b: Bound<B>) -> Bound<(A, B)> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(a), Err(b)) => {
                self.note(a);
                Err(b)
            }
            (Err(problem), _) | (_, Err(problem)) => Err(problem),
        }
    }

    /// All values, or what is wrong with any.
    pub(super) fn all<T>(&mut self, parts: Vec<Bound<T>>) -> Bound<Vec<T>> {
        let wanted = parts.len();
        let good: Vec<T> = parts.into_iter().filter_map(|part| self.noted(part)).collect();
        if good.len() == wanted { Ok(good) } else { Err(consequence()) }
    }

    /// Stands for a relation that could not be bound.
    pub(super) fn broken_relation(&mut self) -> RelationId {
        let relation = self.graph.add(RelationKind::Union, Vec::new(), Vec::new());
        self.broken.insert(relation);
        relation
    }

    /// The end of a statement: the value, or everything that is wrong.
    pub fn settled<T>(&mut self, bound: Bound<T>) -> Result<T, Vec<Diagnostic>> {
        let value = self.noted(bound);
        match (value, std::mem::take(&mut self.problems)) {
            (Some(value), problems) if problems.is_empty() => Ok(value),
            (None, problems) if problems.is_empty() => {
                let message =
                    "the statement cannot be bound, and nothing says why: this is a mistake of Eventwright";
                Err(vec![Diagnostic::invalid(Span::default(), message)])
            }
            (_, problems) => Err(problems),
        }
    }
}
