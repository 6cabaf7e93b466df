//! Moves predicates as near to the scans as they may go, and merges projections.
//!
//! A relation with several readers is never filtered for one of them: the predicate stays above it, so that it is
//! still computed once. Predicates do not pass a watermark, which must see every row.

use crate::binder::{Graph, JoinManner, Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::expression::compare::Comparison;
use crate::expression::{Scalar, ScalarKind};
use crate::types::TypeKind;
use dataflow::plan::JoinKind;
use std::collections::BTreeMap;

pub(super) fn run(graph: Graph) -> Result<Graph, Box<Diagnostic>> {
    let readers = count_readers(&graph);
    let mut pass = Pass { old: &graph, readers, new: Graph::default(), done: BTreeMap::new() };
    let mut sinks = Vec::new();
    for sink in &graph.sinks {
        sinks.push(pass.shared(*sink)?);
    }
    let mut new = pass.new;
    new.sinks = sinks;
    Ok(new)
}

/// How many relations that lead to a sink read each relation.
fn count_readers(graph: &Graph) -> Vec<usize> {
    let mut readers = vec![0; graph.relations.len()];
    let mut open: Vec<RelationId> = graph.sinks.clone();
    let mut seen = vec![false; graph.relations.len()];
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut seen[id], true) {
            continue;
        }
        for input in &graph.relations[id].inputs {
            readers[*input] += 1;
            open.push(*input);
        }
    }
    readers
}

struct Pass<'a> {
    old: &'a Graph,
    readers: Vec<usize>,
    new: Graph,
    /// Relations written without predicates of their readers.
    done: BTreeMap<RelationId, RelationId>,
}

/// A window join: its inputs, with what can be decided on one side alone; what pairs decide; what is decided behind it.
struct Sides {
    inputs: Vec<RelationId>,
    on: Vec<Scalar>,
    above: Vec<Scalar>,
}

type Pushed = Result<RelationId, Box<Diagnostic>>;

impl Pass<'_> {
    fn shared(&mut self, id: RelationId) -> Pushed {
        if let Some(done) = self.done.get(&id) {
            return Ok(*done);
        }
        let new = self.rewrite(id, Vec::new())?;
        self.done.insert(id, new);
        Ok(new)
    }

    /// Writes a relation with the predicates of its reader over it.
    fn push(&mut self, id: RelationId, predicates: Vec<Scalar>) -> Pushed {
        if predicates.is_empty() {
            return self.shared(id);
        }
        if self.readers[id] > 1 && !self.numbers_rows(id) {
            let new = self.shared(id)?;
            return Ok(self.filtered(new, predicates));
        }
        self.rewrite(id, predicates)
    }

    /// Whether a relation shows row numbers: which of them are wanted, each of its readers says for itself.
    fn numbers_rows(&self, id: RelationId) -> bool {
        let relation = &self.old.relations[id];
        match relation.kind {
            RelationKind::RowNumber { .. } => true,
            RelationKind::Project { .. } | RelationKind::Filter { .. } => {
                self.numbers_rows(relation.inputs[0])
            }
            _ => false,
        }
    }

    fn filtered(&mut self, input: RelationId, predicates: Vec<Scalar>) -> RelationId {
        match Scalar::all_of(predicates) {
            None => input,
            Some(predicate) => self.new.filter(input, predicate),
        }
    }

    fn rewrite(&mut self, id: RelationId, predicates: Vec<Scalar>) -> Pushed {
        let relation = &self.old.relations[id];
        match &relation.kind {
            RelationKind::Filter { predicate } => {
                // The filter's own conditions come first: they guard what stands above.
                let mut all = predicate.clone().into_conjuncts();
                all.extend(predicates);
                self.push(relation.inputs[0], all)
            }
            RelationKind::Project { expressions } => self.project(relation, expressions, predicates),
            RelationKind::WindowAssign { .. } => {
                let bounds = relation.columns.len() - 3;
                let (below, above) = split(predicates, |column| column < bounds);
                self.through(relation, vec![below], above)
            }
            RelationKind::Unnest { .. } => {
                let width = self.old.columns(relation.inputs[0]).len();
                let (below, above) = split(predicates, |column| column < width);
                self.through(relation, vec![below], above)
            }
            RelationKind::WindowAggregate { keys, .. } => {
                let keys = keys.clone();
                // What cannot pass a session, as its bounds and what is computed of its keys, would part the aggregate
                // from it. Other conditions that lie in between now may yet go on.
                let session = self.old.session_below(relation.inputs[0], true);
                let passes = |key: usize| {
                    session.as_ref().is_none_or(|(session, scalars)| {
                        let width = self.old.columns(*session).len() - 3;
                        scalars[keys[key]].as_column().is_some_and(|column| column < width)
                    })
                };
                let (below, above) = split(predicates, |column| column < keys.len() && passes(column));
                let below =
                    below.into_iter().map(|predicate| remapped(predicate, &|column| keys[column])).collect();
                self.through(relation, vec![below], above)
            }
            RelationKind::Aggregate { keys, .. } => {
                let keys = keys.clone();
                // Without keys there is a row also when nothing comes in from below.
                let (below, above) = split(predicates, |column| column < keys.len());
                let (below, above) =
                    if keys.is_empty() { (Vec::new(), [below, above].concat()) } else { (below, above) };
                let below =
                    below.into_iter().map(|predicate| remapped(predicate, &|column| keys[column])).collect();
                self.through(relation, vec![below], above)
            }
            RelationKind::MatchRecognize { partition, .. } => {
                // It takes whole partitions away.
                let partition = partition.clone();
                let (below, above) = split(predicates, |column| column < partition.len());
                let moved = |predicate| remapped(predicate, &|column| partition[column]);
                let below = below.into_iter().map(moved).collect();
                self.through(relation, vec![below], above)
            }
            RelationKind::SessionWindow { keys, .. } => {
                // Without some of its rows a session would be another one.
                let keys = keys.clone();
                let (below, above) = split(predicates, |column| keys.contains(&column));
                self.through(relation, vec![below], above)
            }
            RelationKind::WindowJoin { kind, condition, ends, zone } => {
                let (kind, ends, zone) = (*kind, *ends, *zone);
                let Sides { inputs, on, above } =
                    self.sides(relation, kind, condition.clone(), predicates)?;
                let kind = RelationKind::WindowJoin { kind, condition: Scalar::all_of(on), ends, zone };
                let new = self.new.add(kind, inputs, relation.columns.clone());
                Ok(self.filtered(new, above))
            }
            RelationKind::RowNumber { partition, order, first, last, window, span } => {
                let number = relation.columns.len() - 1;
                let (mut first, mut last) = (*first, *last);
                let (mut below, mut above) = (Vec::new(), Vec::new());
                for predicate in predicates {
                    let columns = predicate.columns();
                    if let Some(range) = number_range(&predicate, number) {
                        first = first.max(range.0);
                        last = [last, range.1].into_iter().flatten().min();
                    } else if !columns.is_empty()
                        && predicate.is_deterministic()
                        && columns.iter().all(|column| partition.contains(column))
                    {
                        // It takes whole partitions away.
                        below.push(predicate);
                    } else {
                        above.push(predicate);
                    }
                }
                if last.is_some_and(|last| last < first) {
                    // No row has such a number.
                    below.push(Scalar::boolean(false));
                    (first, last) = (1, Some(1));
                }
                let kind = RelationKind::RowNumber {
                    partition: partition.clone(),
                    order: order.clone(),
                    first,
                    last,
                    window: *window,
                    span: *span,
                };
                let input = self.push(relation.inputs[0], below)?;
                let new = self.new.add(kind, vec![input], relation.columns.clone());
                Ok(self.filtered(new, above))
            }
            RelationKind::Join { kind, manner, condition, hinted, span } => {
                let split_at = self.old.columns(relation.inputs[0]).len();
                // Where padded rows are not let through, there is no need to make them.
                let drops_padded = *kind == JoinKind::Left
                    && predicates.iter().any(|predicate| rejects_null(predicate, &|c| c >= split_at));
                let kind = if drops_padded { JoinKind::Inner } else { *kind };
                let Sides { inputs, on, above } =
                    self.sides(relation, kind, condition.clone(), predicates)?;
                let condition = Scalar::all_of(on);
                let (manner, hinted, span) = (*manner, *hinted, *span);
                let kind = RelationKind::Join { kind, manner, condition, hinted, span };
                let new = self.new.add(kind, inputs, relation.columns.clone());
                Ok(self.filtered(new, above))
            }
            RelationKind::Over { partition, .. } => {
                // It takes whole partitions away.
                let partition = partition.clone();
                let (below, above) = split(predicates, |column| partition.contains(&column));
                self.through(relation, vec![below], above)
            }
            RelationKind::TemporalSort { .. } | RelationKind::Replicate => {
                self.through(relation, vec![predicates], Vec::new())
            }
            RelationKind::Union | RelationKind::ProcessingTime => {
                let copies = relation.inputs.iter().map(|_| predicates.clone()).collect();
                self.through(relation, copies, Vec::new())
            }
            RelationKind::Scan { .. } | RelationKind::Watermark { .. } | RelationKind::Sink { .. } => {
                let nothing = relation.inputs.iter().map(|_| Vec::new()).collect();
                self.through(relation, nothing, predicates)
            }
        }
    }

    /// Writes the same relation over its rewritten inputs, and the rest of the predicates above it.
    fn through(&mut self, relation: &Relation, below: Vec<Vec<Scalar>>, above: Vec<Scalar>) -> Pushed {
        let mut inputs = Vec::new();
        for (input, predicates) in relation.inputs.iter().zip(below) {
            inputs.push(self.push(*input, predicates)?);
        }
        let new = self.new.add(relation.kind.clone(), inputs, relation.columns.clone());
        Ok(self.filtered(new, above))
    }

    fn project(&mut self, relation: &Relation, expressions: &[Scalar], predicates: Vec<Scalar>) -> Pushed {
        let substitute = |mut scalar: Scalar| {
            scalar.replace_columns(&|column| expressions[column].clone());
            scalar
        };
        let movable = |column: usize| expressions[column].is_deterministic();
        let (below, above) = split(predicates, movable);
        let below = below.into_iter().map(substitute).flat_map(Scalar::into_conjuncts).collect();
        let input = self.push(relation.inputs[0], below)?;
        let mut expressions = expressions.to_vec();
        let mut input = input;
        // A projection of a projection is one, where nothing would be computed twice.
        while let RelationKind::Project { expressions: inner } = &self.new.relations[input].kind {
            if !merges(&expressions, inner) {
                break;
            }
            let inner = inner.clone();
            for expression in &mut expressions {
                expression.replace_columns(&|column| inner[column].clone());
            }
            input = self.new.relations[input].inputs[0];
        }
        let new = self.new.add(RelationKind::Project { expressions }, vec![input], relation.columns.clone());
        Ok(self.filtered(new, above))
    }

    /// Takes the conditions of a join, and over it, to where they are decided.
    fn sides(
        &mut self,
        relation: &Relation,
        kind: JoinKind,
        condition: Option<Scalar>,
        predicates: Vec<Scalar>,
    ) -> Result<Sides, Box<Diagnostic>> {
        use JoinKind::{Anti, Inner, Left, Right, Semi};
        let split_at = self.old.columns(relation.inputs[0]).len();
        let (mut left, mut right, mut on, mut above) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let side = |predicate: &Scalar| {
            let columns = predicate.columns();
            let on_left = columns.iter().filter(|column| **column < split_at).count();
            let one_sided = predicate.is_deterministic() && !columns.is_empty();
            (one_sided && on_left == columns.len(), one_sided && on_left == 0)
        };
        // Without some of its rows a version would be valid for longer.
        let keeps_right =
            matches!(relation.kind, RelationKind::Join { manner: JoinManner::Versions { .. }, .. });
        let to_right = |predicate: Scalar| remapped(predicate, &|column| column - split_at);
        // A side that is shown whole loses no row to the condition.
        for predicate in condition.map(Scalar::into_conjuncts).unwrap_or_default() {
            match side(&predicate) {
                (true, _) if matches!(kind, Inner | Right | Semi) => left.push(predicate),
                (_, true) if !keeps_right && matches!(kind, Inner | Left | Semi | Anti) => {
                    right.push(to_right(predicate));
                }
                // A filter draws for each pair of rows.
                _ if kind == Inner && predicate.is_random() => above.push(predicate),
                _ => on.push(predicate),
            }
        }
        // A side that is padded is looked at behind the join.
        for predicate in predicates {
            match side(&predicate) {
                (true, _) if matches!(kind, Inner | Left | Semi | Anti) => left.push(predicate),
                (_, true) if !keeps_right && matches!(kind, Inner | Right) => {
                    right.push(to_right(predicate));
                }
                _ if kind == Inner && !predicate.is_random() => on.push(predicate),
                _ => above.push(predicate),
            }
        }
        let inputs = vec![self.push(relation.inputs[0], left)?, self.push(relation.inputs[1], right)?];
        Ok(Sides { inputs, on, above })
    }
}

/// Predicates that read only columns which pass the test, and the others.
fn split(predicates: Vec<Scalar>, passes: impl Fn(usize) -> bool) -> (Vec<Scalar>, Vec<Scalar>) {
    predicates.into_iter().partition(|predicate| {
        predicate.is_deterministic() && predicate.columns().iter().all(|column| passes(*column))
    })
}

fn remapped(mut predicate: Scalar, number: &dyn Fn(usize) -> usize) -> Scalar {
    predicate.remap(number);
    predicate
}

/// The numbers that a condition on the column of a row number lets through, where it says nothing else.
fn number_range(predicate: &Scalar, number: usize) -> Option<(u64, Option<u64>)> {
    let ScalarKind::Compare { comparison, left, right } = &predicate.kind else { return None };
    let (comparison, bound) = match (is_number(left, number), is_number(right, number)) {
        (true, false) => (*comparison, right.integer()?),
        (false, true) => (comparison.mirrored(), left.integer()?),
        _ => return None,
    };
    let at_least = |bound: i64| u64::try_from(bound).unwrap_or(0).max(1);
    Some(match comparison {
        Comparison::Equal => (at_least(bound), Some(u64::try_from(bound).unwrap_or(0))),
        Comparison::Less => (1, Some(u64::try_from(bound.saturating_sub(1)).unwrap_or(0))),
        Comparison::LessOrEqual => (1, Some(u64::try_from(bound).unwrap_or(0))),
        Comparison::Greater => (at_least(bound.saturating_add(1)), None),
        Comparison::GreaterOrEqual => (at_least(bound), None),
        Comparison::NotEqual => return None,
    })
}

/// Whether a condition is not TRUE for a row where all columns that pass the test are NULL.
fn rejects_null(predicate: &Scalar, test: &dyn Fn(usize) -> bool) -> bool {
    match &predicate.kind {
        ScalarKind::And(parts) => parts.iter().any(|part| rejects_null(part, test)),
        ScalarKind::Or(parts) => parts.iter().all(|part| rejects_null(part, test)),
        ScalarKind::IsNull { operand, negated: true } => is_null_of(operand, test),
        ScalarKind::IsTruth { operand, negated: false, .. } => is_null_of(operand, test),
        _ => is_null_of(predicate, test),
    }
}

/// Whether the value is NULL for a row where all columns that pass the test are NULL.
fn is_null_of(scalar: &Scalar, test: &dyn Fn(usize) -> bool) -> bool {
    match &scalar.kind {
        ScalarKind::Column { index, .. } => test(*index),
        ScalarKind::Cast { operand, .. }
        | ScalarKind::Negate(operand)
        | ScalarKind::Not(operand)
        | ScalarKind::AddInterval { operand, .. }
        | ScalarKind::InList { operand, .. }
        | ScalarKind::Like { operand, .. }
        | ScalarKind::Field { base: operand, .. } => is_null_of(operand, test),
        ScalarKind::Arithmetic { left, right, .. } | ScalarKind::Compare { left, right, .. } => {
            is_null_of(left, test) || is_null_of(right, test)
        }
        _ => false,
    }
}

/// The column, as it is or in a wider type.
fn is_number(scalar: &Scalar, number: usize) -> bool {
    let keeps = matches!(scalar.data_type.kind, TypeKind::BigInt | TypeKind::Decimal { .. });
    match &scalar.kind {
        ScalarKind::Cast { operand, .. } if keeps => is_number(operand, number),
        _ => scalar.as_column() == Some(number),
    }
}

/// Whether the inner expressions may be put in place of the columns: what is computed is used at most once.
fn merges(outer: &[Scalar], inner: &[Scalar]) -> bool {
    let mut uses = vec![0_usize; inner.len()];
    for expression in outer {
        count_uses(expression, &mut uses);
    }
    inner.iter().zip(uses).all(|(expression, uses)| {
        let cheap = matches!(expression.kind, ScalarKind::Column { .. } | ScalarKind::Literal { .. });
        cheap || uses <= 1
    })
}

fn count_uses(expression: &Scalar, uses: &mut [usize]) {
    if let ScalarKind::Column { index, .. } = expression.kind {
        uses[index] += 1;
    }
    for child in expression.children() {
        count_uses(child, uses);
    }
}
