//! Jobs of the simulation: plans put together at random from windows, joins, aggregates over changes, and Top-N.

use crate::rows::{TIMESTAMP, schema};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use dataflow::expression::{EvaluationContext, EvaluationError, Expression};
use dataflow::plan::{
    Aggregate, AggregateFunction, Changelog, JoinKind, Node, NodeId, NodeKind, Plan, SortKey, WindowKind,
};
use dataflow::table::TableDefinition;
use os::sim::SplitMix;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const ORDERS: &str = "orders";
pub const PEOPLE: &str = "people";
pub const ORDERS_WIDTH: usize = 4;
pub const PEOPLE_WIDTH: usize = 3;
/// Rows come so late at most, where nothing is to be dropped.
pub const DELAY_MS: i64 = 15;
pub const WINDOW_MS: i64 = 20;

/// How the rows of a sink are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Only inserts.
    Append,
    /// Rows that come and go.
    Bag,
    /// The last row of each key.
    ByKey(Vec<usize>),
}

#[derive(Debug, Clone)]
pub struct SinkPlan {
    pub node: NodeId,
    /// The table's name, which is that of the topic too.
    pub name: String,
    pub width: usize,
    pub shown: Shown,
    pub is_outbox: bool,
    pub partitions: u32,
    /// The result depends on the order in which rows of several partitions arrive.
    pub by_arrival: bool,
}

impl SinkPlan {
    pub fn key(&self) -> &[usize] {
        match &self.shown {
            Shown::ByKey(key) => key,
            _ => &[],
        }
    }
}

/// A job without what changes from life to life.
#[derive(Debug, Clone)]
pub struct JobPlan {
    pub name: String,
    pub plan: Arc<Plan>,
    pub sinks: Vec<SinkPlan>,
}

/// A column, less some milliseconds where it is a time.
#[derive(Debug)]
struct Column {
    index: usize,
    minus_ms: i64,
}

impl Expression for Column {
    fn evaluate(&self, rows: &RecordBatch, _: &EvaluationContext<'_>) -> Result<ArrayRef, EvaluationError> {
        let times = rows.column(self.index).as_primitive::<TimestampMillisecondType>();
        Ok(Arc::new(times.unary::<_, TimestampMillisecondType>(|time| time - self.minus_ms)))
    }

    fn data_type(&self) -> &DataType {
        &TIMESTAMP
    }

    fn describe(&self) -> String {
        format!("column {} - {} ms", self.index, self.minus_ms)
    }
}

fn table(name: &str, schema: SchemaRef) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: name.into(),
        schema,
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::from([("connector".to_string(), "simulated".to_string())]),
    })
}

fn call(function: AggregateFunction, argument: Option<usize>) -> Aggregate {
    Aggregate {
        function,
        argument,
        distinct: false,
        filter: None,
        options: Default::default(),
        data_type: DataType::Int64,
    }
}

/// Grows a plan at random.
struct Planner<'a> {
    random: &'a mut SplitMix,
    job: String,
    nodes: Vec<Node>,
    sinks: Vec<SinkPlan>,
}

impl Planner<'_> {
    fn add(&mut self, kind: NodeKind, inputs: &[NodeId], schema: SchemaRef, changelog: Changelog) -> NodeId {
        self.nodes.push(Node { changelog, ..Node::new(kind, inputs.to_vec(), schema) });
        NodeId(self.nodes.len() - 1)
    }

    fn schema(&self, id: NodeId) -> SchemaRef {
        self.nodes[id.0].schema.clone()
    }

    fn scan(&mut self, name: &str, columns: &[(&str, DataType)], changelog: Changelog) -> NodeId {
        let schema = schema(columns);
        let projection = (0..columns.len()).collect();
        let table = table(name, schema.clone());
        let kind = NodeKind::Scan { table, projection, metadata: Vec::new(), bounded: false };
        self.add(kind, &[], schema, changelog)
    }

    fn with_columns(&self, fields: Vec<Arc<Field>>, columns: &[(&str, DataType)]) -> SchemaRef {
        let more = columns.iter().map(|(name, kind)| Arc::new(Field::new(*name, kind.clone(), true)));
        Arc::new(Schema::new(fields.into_iter().chain(more).collect::<Vec<_>>()))
    }

    fn windows(&mut self, input: NodeId) -> NodeId {
        use AggregateFunction::{Count, Max, Sum};
        let watermark = Arc::new(Column { index: 3, minus_ms: DELAY_MS });
        let schema = self.schema(input);
        let timed = self.add(
            NodeKind::Watermark { column: 3, watermark, idle_ms: None },
            &[input],
            schema,
            Changelog::Insert,
        );
        let window = match self.random.below(3) {
            0 => WindowKind::Hop { size_ms: 2 * WINDOW_MS, slide_ms: WINDOW_MS, offset_ms: 3 },
            _ => WindowKind::Tumble { size_ms: WINDOW_MS, offset_ms: 0 },
        };
        let schema = schema_of_window();
        let aggregates = vec![call(Sum, Some(2)), call(Count, None), call(Max, Some(0))];
        let kind = NodeKind::WindowAggregate {
            time_column: 3,
            window,
            zone: base::Zone::UTC,
            keys: vec![1],
            aggregates,
        };
        self.add(kind, &[timed], schema, Changelog::Insert)
    }

    fn group(
        &mut self,
        input: NodeId,
        key: usize,
        aggregates: Vec<Aggregate>,
        changelog: Changelog,
    ) -> NodeId {
        let key_field = self.schema(input).fields()[key].clone();
        let names: Vec<_> = (0..aggregates.len()).map(|index| format!("a{index}")).collect();
        let columns: Vec<_> = names.iter().map(|name| (name.as_str(), DataType::Int64)).collect();
        let schema = self.with_columns(vec![key_field], &columns);
        self.add(NodeKind::GroupAggregate { keys: vec![key], aggregates }, &[input], schema, changelog)
    }

    fn sink(&mut self, input: NodeId, name: &str, shown: Shown) {
        let name = format!("{}.{name}", self.job);
        let schema = self.schema(input);
        let changelog = self.nodes[input.0].changelog;
        let width = schema.fields().len();
        let kind = NodeKind::Sink { table: table(&name, schema.clone()) };
        let node = self.add(kind, &[input], schema, changelog);
        let is_outbox = self.random.one_in(3);
        let partitions = if is_outbox { 1 } else { 1 + self.random.below(2) as u32 };
        self.sinks.push(SinkPlan { node, name, width, shown, is_outbox, partitions, by_arrival: false });
    }
}

fn schema_of_window() -> SchemaRef {
    let number = DataType::Int64;
    schema(&[
        ("key", number.clone()),
        ("sum", number.clone()),
        ("count", number.clone()),
        ("last", number),
        ("window_start", TIMESTAMP),
        ("window_end", TIMESTAMP),
        ("window_time", TIMESTAMP),
    ])
}

/// A job of a few branches.
pub fn job(random: &mut SplitMix, name: &str) -> JobPlan {
    let mut wanted = [false; 8];
    for _ in 0..1 + random.below(3) {
        wanted[random.below(8) as usize] = true;
    }
    job_of(random, name, wanted)
}

/// A job of all branches: windows, a join, aggregates over changes, Top-N.
pub fn whole_job(random: &mut SplitMix, name: &str) -> JobPlan {
    job_of(random, name, [true; 8])
}

fn job_of(random: &mut SplitMix, name: &str, wanted: [bool; 8]) -> JobPlan {
    use AggregateFunction::{Avg, Count, Max, Min, Sum};
    let number = DataType::Int64;
    let [windows, per_window, joined, totals, histogram, top, best, latest] = wanted;
    let mut planner = Planner { random, job: name.into(), nodes: Vec::new(), sinks: Vec::new() };
    let order =
        [("id", number.clone()), ("key", number.clone()), ("value", number.clone()), ("at", TIMESTAMP)];
    let orders = planner.scan(ORDERS, &order, Changelog::Insert);
    if windows || per_window {
        let counted = planner.windows(orders);
        if windows {
            planner.sink(counted, "windows", Shown::Append);
        }
        if per_window {
            let aggregates = vec![call(Count, None), call(Sum, Some(1)), call(Min, Some(0))];
            let changelog = either(planner.random, Changelog::Retract, Changelog::Upsert);
            let grouped = planner.group(counted, 4, aggregates, changelog);
            planner.sink(grouped, "per-window", Shown::ByKey(vec![0]));
        }
    }
    if joined || totals || histogram || top || latest {
        let person = [("person", number.clone()), ("team", number.clone()), ("weight", number.clone())];
        let people = planner.scan(PEOPLE, &person, Changelog::Upsert);
        let schema = planner.schema(people);
        let kind = NodeKind::ChangelogNormalize { keys: vec![0] };
        let people = planner.add(kind, &[people], schema, Changelog::Retract);
        let kind = if planner.random.one_in(2) { JoinKind::Inner } else { JoinKind::Left };
        let schema = planner.with_columns(planner.schema(orders).fields().to_vec(), &person);
        let join = NodeKind::Join { kind, left_keys: vec![1], right_keys: vec![0], residual: None };
        let join = planner.add(join, &[orders, people], schema, Changelog::Retract);
        if joined {
            planner.sink(join, "joined", Shown::Bag);
        }
        if latest {
            let schema = planner.schema(join);
            let kind = NodeKind::UpsertMaterialize { keys: vec![5] };
            let latest = planner.add(kind, &[join], schema, Changelog::Upsert);
            planner.sink(latest, "latest", Shown::ByKey(vec![5]));
            planner.sinks.last_mut().expect("it was added").by_arrival = true;
        }
        if totals || histogram || top {
            let distinct = Aggregate { distinct: true, ..call(Count, Some(1)) };
            let aggregates = vec![
                call(Count, None),
                call(Sum, Some(2)),
                call(Min, Some(2)),
                call(Max, Some(0)),
                distinct,
                call(Avg, Some(6)),
            ];
            let is_alone = !histogram && !top;
            let changelog = if is_alone {
                either(planner.random, Changelog::Upsert, Changelog::Retract)
            } else {
                Changelog::Retract
            };
            let grouped = planner.group(join, 5, aggregates, changelog);
            if totals {
                planner.sink(grouped, "totals", Shown::ByKey(vec![0]));
            }
            if histogram {
                let counted = vec![call(Count, None), call(Sum, Some(2)), call(Max, Some(0))];
                let counts = planner.group(grouped, 1, counted, Changelog::Retract);
                planner.sink(counts, "histogram", Shown::ByKey(vec![0]));
            }
            if top {
                let by = |column, descending| SortKey { column, descending, nulls_first: !descending };
                let kind = NodeKind::Rank {
                    partition: Vec::new(),
                    order: vec![by(2, true), by(0, false)],
                    first: 1,
                    last: 3,
                    with_number: true,
                    latest_first: false,
                };
                let fields = planner.schema(grouped).fields().to_vec();
                let schema = planner.with_columns(fields, &[("number", number.clone())]);
                let changelog = either(planner.random, Changelog::Upsert, Changelog::Retract);
                let ranked = planner.add(kind, &[grouped], schema, changelog);
                planner.sink(ranked, "top", Shown::ByKey(vec![7]));
            }
        }
    }
    if best {
        let by = |column, descending| SortKey { column, descending, nulls_first: false };
        let order = vec![by(2, true), by(0, false)];
        let kind = NodeKind::Rank {
            partition: vec![1],
            order,
            first: 1,
            last: 2,
            with_number: false,
            latest_first: false,
        };
        let schema = planner.schema(orders);
        let best = planner.add(kind, &[orders], schema, Changelog::Retract);
        planner.sink(best, "best", Shown::Bag);
    }
    let Planner { random, nodes, sinks, .. } = planner;
    let mut plan = Plan::new(nodes);
    if random.one_in(10) {
        plan.state_ttl_ms = Some(50 + random.below(400));
    }
    plan.validate().expect("the plan is one");
    JobPlan { name: name.into(), plan: Arc::new(plan), sinks }
}

/// The sink of [`changed`] that the job did not have.
pub const EXTRA: &str = "extra";

/// The same job with other numbers for all of its nodes; `with_extra`: and sums by key that nobody asked for before.
pub fn changed(job: &JobPlan, with_extra: bool) -> JobPlan {
    let old = &job.plan.nodes;
    // The nodes of the last sink come first.
    let mut order: Vec<usize> = Vec::new();
    for sink in job.sinks.iter().rev() {
        let below = job.plan.with_inputs(&[sink.node]);
        let missing: Vec<usize> =
            (0..old.len()).filter(|node| below[*node] && !order.contains(node)).collect();
        order.extend(missing);
    }
    let number = |node: NodeId| NodeId(order.iter().position(|old| *old == node.0).expect("a sink reads it"));
    let moved = order.iter().map(|index| {
        let inputs = old[*index].inputs.iter().map(|input| number(*input)).collect();
        Node { inputs, ..old[*index].clone() }
    });
    let mut nodes: Vec<Node> = moved.collect();
    let mut sinks: Vec<SinkPlan> =
        job.sinks.iter().map(|sink| SinkPlan { node: number(sink.node), ..sink.clone() }).collect();
    let orders = nodes
        .iter()
        .position(|node| matches!(&node.kind, NodeKind::Scan { table, .. } if table.name == ORDERS));
    if let Some(orders) = orders.filter(|_| with_extra) {
        let name = format!("{}.{EXTRA}", job.name);
        let schema =
            schema(&[("key", DataType::Int64), ("count", DataType::Int64), ("sum", DataType::Int64)]);
        let aggregates = vec![call(AggregateFunction::Count, None), call(AggregateFunction::Sum, Some(2))];
        let kind = NodeKind::GroupAggregate { keys: vec![1], aggregates };
        let upsert = |kind, input| Node {
            changelog: Changelog::Upsert,
            ..Node::new(kind, vec![NodeId(input)], schema.clone())
        };
        nodes.push(upsert(kind, orders));
        nodes.push(upsert(NodeKind::Sink { table: table(&name, schema.clone()) }, nodes.len() - 1));
        sinks.push(SinkPlan {
            node: NodeId(nodes.len() - 1),
            name,
            width: 3,
            shown: Shown::ByKey(vec![0]),
            is_outbox: false,
            partitions: 1,
            by_arrival: true,
        });
    }
    let plan = Plan { state_ttl_ms: job.plan.state_ttl_ms, ..Plan::new(nodes) };
    plan.validate().expect("the plan is one");
    JobPlan { name: job.name.clone(), plan: Arc::new(plan), sinks }
}

fn either<T>(random: &mut SplitMix, one: T, other: T) -> T {
    if random.one_in(2) { one } else { other }
}
