//! Writes the plan's nodes from a pruned graph.
//!
//! Columns get new numbers when unneeded ones are left out, so every emitted relation carries the way from its old
//! columns to the new (`Layout`). Equal nodes (by kind, expressions and inputs) are written once.

mod group;
mod join;
mod lookup;
mod over;
mod pattern;
mod session;
mod sink;
mod versions;
mod window;

use super::changelog::{self, Facts};
use super::prune::Required;
use crate::binder::{BindSettings, BoundTable, Column, Graph, Relation, RelationId, RelationKind};
use crate::diagnostic::Diagnostic;
use crate::expression::{Scalar, ScalarKind};
use crate::span::Span;
use crate::types::{TimeAttribute, TypeKind};
use arrow_schema::{Field, Schema, SchemaRef};
use dataflow::expression::Expression;
use dataflow::plan::{Changelog, Node, NodeId, NodeKind, Plan, SortKey, Unnest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The option of a table that goes before `table.exec.source.idle-timeout`.
const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";

pub(super) fn run(
    graph: &Graph,
    required: &Required,
    settings: BindSettings,
    span: Span,
) -> Result<(Plan, Vec<Facts>, Vec<Diagnostic>), Box<Diagnostic>> {
    let mut emitter = Emitter {
        graph,
        required,
        settings,
        span,
        facts: Vec::new(),
        sinks: Vec::new(),
        advice: Vec::new(),
        plan: Plan::default(),
        known: BTreeMap::new(),
        done: BTreeMap::new(),
        projections: BTreeMap::new(),
        depths: BTreeMap::new(),
    };
    for sink in &graph.sinks {
        emitter.relation(*sink, 0)?;
    }
    changelog::resolve(&mut emitter.plan, &emitter.facts, &emitter.sinks);
    let (plan, facts) = without_dead_nodes(emitter.plan, emitter.facts);
    Ok((plan, facts, emitter.advice))
}

struct Emitter<'a> {
    graph: &'a Graph,
    required: &'a Required,
    settings: BindSettings,
    /// The statement, for what has no place of its own.
    span: Span,
    /// By node.
    facts: Vec<Facts>,
    /// What each sink wants of changes.
    sinks: Vec<(NodeId, Changelog)>,
    advice: Vec<Diagnostic>,
    plan: Plan,
    /// Nodes by their canonical text.
    known: BTreeMap<String, NodeId>,
    done: BTreeMap<(RelationId, u32), Emitted>,
    /// What the projections written so far compute, and over what.
    projections: BTreeMap<NodeId, (Emitted, Vec<Scalar>)>,
    /// How many phases lie one over the other in a relation.
    depths: BTreeMap<RelationId, u32>,
}

/// A relation as it was written: the node, its columns, and where each old column went.
#[derive(Debug, Clone)]
struct Emitted {
    node: NodeId,
    columns: Vec<Column>,
    places: BTreeMap<usize, usize>,
}

impl Emitted {
    fn place(&self, column: usize) -> usize {
        self.places.get(&column).copied().unwrap_or(column)
    }

    fn moved(&self, scalar: &Scalar) -> Scalar {
        let mut scalar = scalar.clone();
        scalar.remap(&|column| self.place(column));
        scalar
    }
}

type Written = Result<Emitted, Box<Diagnostic>>;

impl Emitter<'_> {
    /// `phase` counts the table sides of joins that the relation lies in.
    fn relation(&mut self, id: RelationId, phase: u32) -> Written {
        if let Some(done) = self.done.get(&(id, phase)) {
            return Ok(done.clone());
        }
        let emitted = self.write(id, phase)?;
        self.done.insert((id, phase), emitted.clone());
        Ok(emitted)
    }

    fn write(&mut self, id: RelationId, phase: u32) -> Written {
        let relation = &self.graph.relations[id];
        match &relation.kind {
            RelationKind::Scan { table } => self.scan(id, relation, table, phase),
            RelationKind::Watermark { column, watermark } => {
                let input = self.relation(relation.inputs[0], phase)?;
                if self.facts[input.node.0].changes != Changelog::Insert {
                    // Nothing that needs a watermark takes rows that change.
                    return Ok(input);
                }
                self.watermark(input, *column, watermark)
            }
            RelationKind::ProcessingTime => {
                let input = self.relation(relation.inputs[0], phase)?;
                let kind = NodeKind::ProcessingTime;
                let node = self.node(kind, vec![input.node], &input.columns, "ProcessingTime".into())?;
                Ok(Emitted { node, ..input })
            }
            RelationKind::Filter { predicate } => {
                let input = self.relation(relation.inputs[0], phase)?;
                let predicate = input.moved(predicate);
                let text = format!("Filter {}", predicate.identity());
                let kind = NodeKind::Filter { predicate: self.compiled(predicate, input.node) };
                let node = self.node(kind, vec![input.node], &input.columns, text)?;
                Ok(Emitted { node, ..input })
            }
            RelationKind::Project { expressions } => {
                let input = self.relation(relation.inputs[0], phase)?;
                self.projected(id, &input, expressions)
            }
            RelationKind::Unnest { .. } => self.unnest(id, relation, phase),
            RelationKind::WindowAssign { time_column, window, zone } => {
                self.window_assign(relation, *time_column, *window, *zone, phase)
            }
            RelationKind::SessionWindow { .. } => self.session_window(id, relation, phase),
            RelationKind::MatchRecognize { .. } => self.match_recognize(id, relation, phase),
            RelationKind::WindowAggregate { .. } => self.window_aggregate(id, relation, phase),
            RelationKind::WindowJoin { .. } => self.window_join(relation, phase),
            RelationKind::Aggregate { keys, aggregates, ttl_ms } => {
                self.aggregate(id, relation, (keys, aggregates, *ttl_ms), phase)
            }
            RelationKind::RowNumber { .. } => self.rank(id, relation, phase),
            RelationKind::Over { .. } => self.over(id, relation, phase),
            RelationKind::Join { kind, manner, condition, hinted, span } => {
                self.join(relation, (*kind, *manner, *hinted), condition.as_ref(), *span, phase)
            }
            RelationKind::TemporalSort { time_column, order } => {
                let input = self.relation(relation.inputs[0], phase)?;
                let input = self.narrowed(input, relation.inputs[0])?;
                let time_column = input.place(*time_column);
                let order: Vec<SortKey> =
                    order.iter().map(|key| SortKey { column: input.place(key.column), ..*key }).collect();
                let text = format!("TemporalSort {time_column} {order:?}");
                let kind = NodeKind::TemporalSort { time_column, order };
                let node = self.node(kind, vec![input.node], &input.columns, text)?;
                Ok(Emitted { node, ..input })
            }
            RelationKind::Replicate => {
                let input = self.relation(relation.inputs[0], phase)?;
                let mut wanted: Vec<usize> = self.required[id].iter().copied().collect();
                let columns: Vec<Column> =
                    wanted.iter().map(|column| relation.columns[*column].clone()).collect();
                wanted.push(relation.columns.len());
                let copied: Vec<Column> =
                    wanted.iter().map(|old| input.columns[input.place(*old)].clone()).collect();
                let node = self.exactly(&input, &wanted, &copied)?;
                let node = self.node(NodeKind::Replicate, vec![node], &columns, "Replicate".into())?;
                let places = (0..columns.len()).map(|new| (wanted[new], new)).collect();
                Ok(Emitted { node, columns, places })
            }
            RelationKind::Union => {
                let wanted: Vec<usize> = self.required[id].iter().copied().collect();
                let columns: Vec<Column> =
                    wanted.iter().map(|column| relation.columns[*column].clone()).collect();
                let mut nodes = Vec::new();
                for input in &relation.inputs {
                    let input = self.relation(*input, phase)?;
                    nodes.push(self.exactly(&input, &wanted, &columns)?);
                }
                let node = self.node(NodeKind::Union, nodes, &columns, "Union".into())?;
                let places = wanted.iter().enumerate().map(|(new, old)| (*old, new)).collect();
                Ok(Emitted { node, columns, places })
            }
            RelationKind::Sink { table, on_conflict, span, .. } => {
                let input = self.relation(relation.inputs[0], phase)?;
                let wanted: Vec<usize> = (0..relation.columns.len()).collect();
                let columns = relation.columns.clone();
                let node = self.exactly(&input, &wanted, &columns)?;
                match on_conflict {
                    Some(conflict) => self.check_conflict(table, node, conflict)?,
                    None => self.advise_conflict(table, node, *span),
                }
                let action = on_conflict.as_ref().map(|conflict| conflict.action);
                let (node, wants) = self.changes_for(table, node, (&columns, action), *span)?;
                let number = self.plan.nodes.len();
                let kind = NodeKind::Sink { table: table.definition.clone() };
                // Two INSERTs of the same rows into one table write them twice.
                let node = self.node(kind, vec![node], &columns, format!("Sink {number}"))?;
                self.sinks.push((node, wants));
                Ok(Emitted { node, columns, places: BTreeMap::new() })
            }
        }
    }

    fn unnest(&mut self, id: RelationId, relation: &Relation, phase: u32) -> Written {
        let RelationKind::Unnest { collection, elements, keeps_empty, with_ordinality } = &relation.kind
        else {
            return Err(Box::new(Diagnostic::invalid(self.span, "this is no UNNEST")));
        };
        let width = self.graph.columns(relation.inputs[0]).len();
        let input = self.relation(relation.inputs[0], phase)?;
        let collection = input.moved(collection);
        join::refuse_random(std::slice::from_ref(&collection), "UNNEST", self.span)?;
        // What nobody reads behind it, often the collection itself, is not copied.
        let wanted: Vec<usize> = self.required[id].iter().copied().filter(|column| *column < width).collect();
        let kept: Vec<usize> = wanted.iter().map(|column| input.place(*column)).collect();
        let text =
            format!("Unnest {elements:?} {keeps_empty} {with_ordinality} {kept:?} {}", collection.identity());
        let unnest = Unnest {
            collection: self.compiled(collection, input.node),
            elements: *elements,
            keeps_empty: *keeps_empty,
            with_ordinality: *with_ordinality,
            kept,
        };
        let old: Vec<usize> = wanted.into_iter().chain(width..relation.columns.len()).collect();
        let columns: Vec<Column> = old.iter().map(|column| relation.columns[*column].clone()).collect();
        let node = self.node(NodeKind::Unnest(unnest), vec![input.node], &columns, text)?;
        let places = old.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        Ok(Emitted { node, columns, places })
    }

    fn watermark(&mut self, input: Emitted, column: usize, watermark: &Scalar) -> Written {
        let mut columns = input.columns.clone();
        let column = input.place(column);
        columns[column].attribute = TimeAttribute::RowTime;
        let watermark = input.moved(watermark);
        let idle_ms = self.idle_ms(input.node);
        let text = format!("Watermark {column} {}", watermark.identity());
        let kind = NodeKind::Watermark { column, watermark: self.compiled(watermark, input.node), idle_ms };
        let node = self.node(kind, vec![input.node], &columns, text)?;
        Ok(Emitted { node, columns, places: input.places })
    }

    /// After how long a split is idle: the table says so, or else the session. Zero is never, also where the session says otherwise.
    fn idle_ms(&self, id: NodeId) -> Option<u64> {
        let scans = self.plan.scans_of(id).into_iter();
        let given = scans.filter_map(|scan| match &self.plan.node(scan).kind {
            NodeKind::Scan { table, .. } => table.options.get(IDLE_TIMEOUT).cloned(),
            _ => None,
        });
        let of_table = given.filter_map(|text| base::units::parse_duration_ms(&text)).next();
        of_table.map_or(self.settings.idle_ms, |idle_ms| (idle_ms > 0).then_some(idle_ms))
    }

    /// What its readers need of a projection.
    fn projected(&mut self, id: RelationId, input: &Emitted, expressions: &[Scalar]) -> Written {
        let relation = &self.graph.relations[id];
        let wanted: Vec<usize> = self.required[id].iter().copied().collect();
        let items = wanted
            .iter()
            .map(|column| (relation.columns[*column].clone(), input.moved(&expressions[*column])))
            .collect();
        let (node, columns) = self.project(input, items)?;
        let places = wanted.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        Ok(Emitted { node, columns, places })
    }

    /// A scan as it comes, and the columns of its primary key.
    fn plain_scan(
        &mut self,
        id: RelationId,
        relation: &Relation,
        table: &Arc<BoundTable>,
        phase: u32,
    ) -> Result<(Emitted, Option<Vec<usize>>), Box<Diagnostic>> {
        let mut wanted: Vec<usize> = self.required[id].iter().copied().collect();
        let changes = table.connector.source_changelog(&table.definition);
        let schema = &table.definition.schema;
        let key: Vec<usize> =
            table.definition.primary_key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let repeats = changes == Changelog::Retract && self.settings.changes_repeat;
        if repeats && key.is_empty() {
            return Err(Box::new(
                Diagnostic::invalid(
                    self.span,
                    format!(
                        "'table.exec.source.cdc-events-duplicate' is set, and '{}' has no PRIMARY KEY",
                        table.name
                    ),
                )
                .with_hint("declare PRIMARY KEY (…) NOT ENFORCED: by it a repeated change is known"),
            ));
        }
        let changes = if repeats { Changelog::Upsert } else { changes };
        if changes == Changelog::Upsert {
            // What tells rows apart is needed to know which one an update replaces.
            wanted.extend(&key);
            wanted.sort_unstable();
            wanted.dedup();
        }
        if wanted.is_empty() && !relation.columns.is_empty() {
            // Rows must be counted by something.
            wanted.push(0);
        }
        let physical = table.definition.schema.fields().len();
        let projection: Vec<usize> = wanted.iter().copied().filter(|column| *column < physical).collect();
        let metadata: Vec<usize> =
            wanted.iter().filter(|column| **column >= physical).map(|column| column - physical).collect();
        let columns: Vec<Column> = wanted.iter().map(|column| relation.columns[*column].clone()).collect();
        let text =
            format!("Scan {} {:?} {projection:?} {metadata:?} {phase}", table.name, table.definition.options);
        let kind =
            NodeKind::Scan { table: table.definition.clone(), projection, metadata, bounded: table.bounded };
        let node = self.node(kind, Vec::new(), &columns, text)?;
        let places: BTreeMap<usize, usize> =
            wanted.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let key: Option<Vec<usize>> = key.iter().map(|column| places.get(column).copied()).collect();
        let key = key.filter(|key| !key.is_empty());
        self.facts[node.0] =
            Facts { changes, keys: key.iter().map(|key| key.iter().copied().collect()).collect() };
        Ok((Emitted { node, columns, places }, key))
    }

    fn scan(&mut self, id: RelationId, relation: &Relation, table: &Arc<BoundTable>, phase: u32) -> Written {
        let (mut emitted, key) = self.plain_scan(id, relation, table, phase)?;
        if let (Changelog::Upsert, Some(keys)) = (self.facts[emitted.node.0].changes, key) {
            let text = format!("ChangelogNormalize {keys:?}");
            let kind = NodeKind::ChangelogNormalize { keys };
            emitted.node = self.node(kind, vec![emitted.node], &emitted.columns, text)?;
        }
        Ok(emitted)
    }

    /// Writes a projection, unless it would change nothing.
    fn project(
        &mut self,
        input: &Emitted,
        items: Vec<(Column, Scalar)>,
    ) -> Result<(NodeId, Vec<Column>), Box<Diagnostic>> {
        let columns: Vec<Column> = items.iter().map(|(column, _)| column.clone()).collect();
        let identity = items.len() == input.columns.len()
            && items.iter().enumerate().all(|(index, (column, scalar))| {
                scalar.as_column() == Some(index)
                    && column.name == input.columns[index].name
                    && column.data_type == input.columns[index].data_type
            });
        if identity {
            return Ok((input.node, columns));
        }
        // A projection that only picks columns of another one is that one with fewer columns.
        if let Some((below, expressions)) = self.projections.get(&input.node) {
            let picks: Option<Vec<usize>> = items.iter().map(|(_, scalar)| scalar.as_column()).collect();
            if let Some(picks) = picks {
                let below = below.clone();
                let items = items
                    .into_iter()
                    .zip(picks)
                    .map(|((column, scalar), pick)| {
                        (column, Scalar { data_type: scalar.data_type, ..expressions[pick].clone() })
                    })
                    .collect();
                return self.project(&below, items);
            }
        }
        let scalars: Vec<Scalar> = items.iter().map(|(_, scalar)| scalar.clone()).collect();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let texts: Vec<String> = items.iter().map(|(_, scalar)| scalar.identity()).collect();
        let text = format!("Project {names:?} {texts:?}");
        let expressions = items.into_iter().map(|(_, scalar)| self.compiled(scalar, input.node)).collect();
        let picks: Vec<Option<usize>> = scalars.iter().map(same_value).collect();
        let kind = NodeKind::Project { expressions };
        let node = self.node_over(kind, vec![input.node], &columns, text, &picks)?;
        self.projections.insert(node, (input.clone(), scalars));
        Ok((node, columns))
    }

    /// The input's old columns `wanted`, in this order and with these names and types.
    fn exactly(
        &mut self,
        input: &Emitted,
        wanted: &[usize],
        columns: &[Column],
    ) -> Result<NodeId, Box<Diagnostic>> {
        let items = wanted
            .iter()
            .zip(columns)
            .map(|(old, column)| {
                let place = input.place(*old);
                (column.clone(), input.columns[place].scalar(place))
            })
            .collect();
        Ok(self.project(input, items)?.0)
    }

    /// Only the columns that the readers of the relation need.
    fn narrowed(&mut self, input: Emitted, id: RelationId) -> Written {
        let wanted: Vec<usize> = self.required[id].iter().copied().collect();
        if wanted.is_empty() || wanted.len() == input.columns.len() {
            return Ok(input);
        }
        let columns: Vec<Column> =
            wanted.iter().map(|old| input.columns[input.place(*old)].clone()).collect();
        let node = self.exactly(&input, &wanted, &columns)?;
        let places = wanted.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        Ok(Emitted { node, columns, places })
    }

    fn compiled(&self, scalar: Scalar, input: NodeId) -> Arc<dyn Expression> {
        compiled_over(scalar, &self.plan.node(input).schema)
    }

    fn node(
        &mut self,
        kind: NodeKind,
        inputs: Vec<NodeId>,
        columns: &[Column],
        text: String,
    ) -> Result<NodeId, Box<Diagnostic>> {
        self.node_over(kind, inputs, columns, text, &[])
    }

    /// `picks`: of a projection, which column of the input each column is.
    fn node_over(
        &mut self,
        kind: NodeKind,
        inputs: Vec<NodeId>,
        columns: &[Column],
        text: String,
        picks: &[Option<usize>],
    ) -> Result<NodeId, Box<Diagnostic>> {
        let types: Vec<String> =
            columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
        let key = format!("{text} <- {inputs:?} -> {types:?}");
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let updating = inputs.iter().find(|input| self.facts[input.0].changes != Changelog::Insert);
        if let Some(updating) = updating.filter(|_| changelog::takes_only_inserts(&kind)) {
            let producer = self.updating_node(*updating);
            if let NodeKind::MatchRecognize { .. } = kind {
                let message = format!(
                    "MATCH_RECOGNIZE does not support consuming update changes, which are produced by {producer}"
                );
                let hint =
                    "look for patterns in rows that only come, such as those of a table or of a window";
                return Err(Box::new(Diagnostic::invalid(self.span, message).with_hint(hint)));
            }
            return Err(Box::new(
                Diagnostic::invalid(
                    self.span,
                    format!(
                        "windows do not support consuming update changes, which are produced by {producer}"
                    ),
                )
                .with_hint("put the window first, and aggregate or rank its results"),
            ));
        }
        let below: Vec<&Facts> = inputs.iter().map(|input| &self.facts[input.0]).collect();
        let widths: Vec<usize> =
            inputs.iter().map(|input| self.plan.node(*input).schema.fields().len()).collect();
        let facts = Facts::of(&kind, &below, &widths, picks);
        let id = NodeId(self.plan.nodes.len());
        self.plan.nodes.push(Node::new(kind, inputs, schema(columns)));
        self.facts.push(facts);
        self.known.insert(key, id);
        Ok(id)
    }
}

/// Nodes that no sink reads are left out.
fn without_dead_nodes(plan: Plan, facts: Vec<Facts>) -> (Plan, Vec<Facts>) {
    let mut live = vec![false; plan.nodes.len()];
    for (index, node) in plan.nodes.iter().enumerate().rev() {
        live[index] |= matches!(node.kind, NodeKind::Sink { .. });
        if live[index] {
            for input in &node.inputs {
                live[input.0] = true;
            }
        }
    }
    let mut numbers = Vec::with_capacity(live.len());
    let (mut nodes, mut kept) = (Vec::new(), Vec::new());
    for ((node, facts), live) in plan.nodes.into_iter().zip(facts).zip(live) {
        numbers.push(NodeId(nodes.len()));
        if live {
            let inputs = node.inputs.iter().map(|input| numbers[input.0]).collect();
            nodes.push(Node { inputs, ..node });
            kept.push(facts);
        }
    }
    (Plan::new(nodes), kept)
}

/// Columns are called as in the schema, where no two have one name: the text of a plan, and with it the fingerprint of
/// its job, says which one is meant.
fn compiled_over(mut scalar: Scalar, schema: &Schema) -> Arc<dyn Expression> {
    scalar.rename_columns(&|index| {
        schema.fields().get(index).map_or_else(|| format!("?{index}"), |field| field.name().clone())
    });
    scalar.compile()
}

/// Names are made unique as Flink does it: `name`, `name0`, `name1`.
fn schema(columns: &[Column]) -> SchemaRef {
    let mut names: Vec<String> = Vec::new();
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| {
            let mut name = column.name.clone();
            let mut number = 0;
            while names.contains(&name) {
                name = format!("{}{number}", column.name);
                number += 1;
            }
            names.push(name.clone());
            Field::new(name, column.data_type.to_arrow(), column.data_type.nullable)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The column whose values an expression keeps apart: the column itself, held to NOT NULL or in a wider type.
fn same_value(scalar: &Scalar) -> Option<usize> {
    match &scalar.kind {
        ScalarKind::Call { function, arguments, .. } if function.name == "$NOT_NULL" => {
            arguments.first().and_then(same_value)
        }
        ScalarKind::Cast { operand, .. } if widens(&operand.data_type.kind, &scalar.data_type.kind) => {
            same_value(operand)
        }
        _ => scalar.as_column(),
    }
}

/// Whether different values stay different.
fn widens(from: &TypeKind, to: &TypeKind) -> bool {
    let bits = |kind: &TypeKind| match kind {
        TypeKind::TinyInt => Some(8),
        TypeKind::SmallInt => Some(16),
        TypeKind::Int => Some(32),
        TypeKind::BigInt => Some(64),
        _ => None,
    };
    match (bits(from), bits(to)) {
        (Some(from), Some(to)) => from <= to,
        _ => match (from, to) {
            (TypeKind::VarChar(from) | TypeKind::Char(from), TypeKind::VarChar(to)) => from <= to,
            _ => from == to,
        },
    }
}
