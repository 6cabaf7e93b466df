//! The automaton of a pattern, built as Flink's CEP library builds its own, from the last variable to the first.
//!
//! A state stands for what may come next. To take a row is to satisfy a variable and go on to the target; to proceed is
//! to look at the target's transitions with the same row. That a greedy variable takes what it can shows as an
//! additional condition on the transitions of the state behind it: that the row does not satisfy the greedy one. Which
//! of several matches is found, and in which order they are tried, follows from the order of the transitions, so it is
//! Flink's.

use crate::plan::{RowPattern, RowVariable};
use std::collections::BTreeSet;

/// Where a match is complete.
pub(crate) const FINAL: usize = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Take,
    Proceed,
}

#[derive(Debug, Clone)]
pub(crate) struct Transition {
    pub(crate) action: Action,
    pub(crate) target: usize,
    /// The variables that the row must satisfy, or must not.
    pub(crate) wants: Vec<(usize, bool)>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What a row that is taken here is mapped to.
    pub(crate) variable: usize,
    pub(crate) transitions: Vec<Transition>,
    /// The variables whose conditions decide what a row does here.
    pub(crate) needs: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Automaton {
    pub(crate) states: Vec<State>,
    pub(crate) start: usize,
}

impl Automaton {
    pub(crate) fn new(pattern: &RowPattern) -> Automaton {
        let mut automaton = Automaton { states: vec![State::default()], start: FINAL };
        for (number, variable) in pattern.variables.iter().enumerate().rev() {
            automaton.start = automaton.variable(number, variable, automaton.start);
        }
        for state in 0..automaton.states.len() {
            automaton.states[state].needs = automaton.needs(state);
        }
        automaton
    }

    /// The edges that a row takes from a state, as pairs of the variable and the state behind it.
    pub(crate) fn takes(
        &self,
        state: usize,
        satisfies: &dyn Fn(usize) -> bool,
        edges: &mut Vec<(usize, usize)>,
        open: &mut Vec<usize>,
    ) {
        edges.clear();
        open.clear();
        open.push(state);
        while let Some(state) = open.pop() {
            let from = &self.states[state];
            for transition in from.transitions.iter().filter(|transition| transition.holds(satisfies)) {
                match transition.action {
                    Action::Proceed => open.push(transition.target),
                    Action::Take => edges.push((from.variable, transition.target)),
                }
            }
        }
    }

    /// Whether nothing more is needed in a state that a row has just led to.
    pub(crate) fn is_complete(
        &self,
        state: usize,
        satisfies: &dyn Fn(usize) -> bool,
        open: &mut Vec<usize>,
    ) -> bool {
        open.clear();
        open.push(state);
        while let Some(state) = open.pop() {
            let transitions = self.states[state].transitions.iter();
            let proceeds = transitions.filter(|transition| transition.action == Action::Proceed);
            for transition in proceeds.filter(|transition| transition.holds(satisfies)) {
                if transition.target == FINAL {
                    return true;
                }
                open.push(transition.target);
            }
        }
        false
    }

    fn variable(&mut self, number: usize, variable: &RowVariable, sink: usize) -> usize {
        let is_optional = variable.least == 0;
        let least = variable.least.max(1);
        let varies = variable.most != Some(variable.least) && (variable.least, variable.most) != (0, Some(1));
        let is_greedy = variable.greedy && varies;
        let mut next = sink;
        match variable.most {
            None => {
                next = self.add(number);
                self.proceed(next, sink);
                if is_greedy {
                    self.leave_to(number, sink);
                }
                self.take(next, number, next);
            }
            Some(most) => {
                if is_greedy && most != least {
                    self.leave_to(number, sink);
                }
                for _ in least..most {
                    next = self.single(number, next, Some(sink));
                }
            }
        }
        for _ in 1..least {
            next = self.single(number, next, None);
        }
        self.single(number, next, is_optional.then_some(sink))
    }

    /// A state that takes one row, or none where it may proceed.
    fn single(&mut self, number: usize, next: usize, without: Option<usize>) -> usize {
        let state = self.add(number);
        self.take(state, number, next);
        if let Some(target) = without {
            self.proceed(state, target);
        }
        state
    }

    fn add(&mut self, variable: usize) -> usize {
        self.states.push(State { variable, ..State::default() });
        self.states.len() - 1
    }

    fn take(&mut self, state: usize, variable: usize, target: usize) {
        let wants = vec![(variable, true)];
        self.states[state].transitions.push(Transition { action: Action::Take, target, wants });
    }

    fn proceed(&mut self, state: usize, target: usize) {
        let transition = Transition { action: Action::Proceed, target, wants: Vec::new() };
        self.states[state].transitions.push(transition);
    }

    /// A state gets only rows that the greedy variable before it does not take.
    fn leave_to(&mut self, greedy: usize, state: usize) {
        for transition in &mut self.states[state].transitions {
            transition.wants.push((greedy, false));
        }
    }

    fn needs(&self, state: usize) -> Vec<usize> {
        let mut variables = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![(state, true)];
        while let Some((state, looks_at_takes)) = open.pop() {
            if !seen.insert((state, looks_at_takes)) {
                continue;
            }
            for transition in &self.states[state].transitions {
                match transition.action {
                    Action::Proceed => open.push((transition.target, looks_at_takes)),
                    // Behind the row only what may be left out counts.
                    Action::Take if looks_at_takes => open.push((transition.target, false)),
                    Action::Take => continue,
                }
                variables.extend(transition.wants.iter().map(|(variable, _)| *variable));
            }
        }
        variables.into_iter().collect()
    }
}

impl Transition {
    fn holds(&self, satisfies: &dyn Fn(usize) -> bool) -> bool {
        self.wants.iter().all(|(variable, wanted)| satisfies(*variable) == *wanted)
    }
}
