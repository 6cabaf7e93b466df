//! Rows per second through the operators that keep a changelog by key.
//!
//! `cargo run --release -p dataflow --example changelog_throughput -- [scenario] [workers] [keys] [rows per step]
//! [rows] [budget bytes]`, where the scenario is `sum`, `max` (over rows that go again), `distinct`, `normalize` or
//! `materialize`. Every second row of the input takes the place of one before it. It measures the engine alone:
//! rows are made beforehand, outputs are thrown away, spilled state lies in memory.

use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use dataflow::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use dataflow::plan::{Aggregate, AggregateFunction, Changelog, Node, NodeId, NodeKind, Plan};
use dataflow::table::TableDefinition;
use std::sync::Arc;

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn table(schema: &SchemaRef) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: "t".into(),
        schema: schema.clone(),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: Default::default(),
    })
}

fn plan(scenario: &str) -> Result<Plan, String> {
    let input = schema(&[("k", DataType::Utf8), ("v", DataType::Int64)]);
    let call = |function, distinct| Aggregate {
        function,
        argument: Some(1),
        distinct,
        filter: None,
        options: Default::default(),
        data_type: DataType::Int64,
    };
    let aggregate = |calls: Vec<Aggregate>| NodeKind::GroupAggregate { keys: vec![0], aggregates: calls };
    let (sum, max, count) = (AggregateFunction::Sum, AggregateFunction::Max, AggregateFunction::Count);
    let operator = match scenario {
        "sum" => aggregate(vec![call(count, false), call(sum, false)]),
        "max" => aggregate(vec![call(max, false)]),
        "distinct" => aggregate(vec![call(count, true)]),
        "normalize" => NodeKind::ChangelogNormalize { keys: vec![0] },
        "materialize" => NodeKind::UpsertMaterialize { keys: vec![0] },
        other => return Err(format!("there is no scenario `{other}`")),
    };
    let mut output = vec![("k", DataType::Utf8), ("a", DataType::Int64)];
    output.extend((scenario == "sum").then_some(("b", DataType::Int64)));
    let output = schema(&output);
    let scan =
        NodeKind::Scan { table: table(&input), projection: vec![0, 1], metadata: vec![], bounded: false };
    let node = |kind, inputs: &[usize], schema: &SchemaRef, changelog| Node {
        changelog,
        ..Node::new(kind, inputs.iter().copied().map(NodeId).collect(), schema.clone())
    };
    let read = if scenario == "normalize" { Changelog::Upsert } else { Changelog::Retract };
    Ok(Plan::new(vec![
        node(scan, &[], &input, read),
        node(operator, &[0], &output, Changelog::Upsert),
        node(NodeKind::Sink { table: table(&output) }, &[1], &output, Changelog::Upsert),
    ]))
}

#[allow(clippy::disallowed_methods, reason = "it measures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().unwrap_or("sum".into());
    let mut arguments = arguments.map(|argument| argument.parse::<usize>());
    let mut argument = |default: usize| arguments.next().unwrap_or(Ok(default));
    let (workers, keys, step_rows) = (argument(1)?, argument(10_000)?.max(1), argument(32_768)?.max(1));
    let (rows, budget_bytes) = (argument(4_000_000)?, argument(usize::MAX)?);
    let plan = Arc::new(plan(&scenario)?);
    let mut random = 1u64;
    let mut next = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    // Rows that are there, from which one is drawn to go.
    let mut live: Vec<(usize, i64)> = Vec::new();
    let mut change = || {
        if live.len() > keys * 4 {
            let (key, value) = live.swap_remove(next(live.len()));
            return (3, key, value);
        }
        let (key, value) = (next(keys), next(1_000_000) as i64);
        live.push((key, value));
        (0, key, value)
    };
    let mut steps = Vec::new();
    for first in (0..rows).step_by(step_rows) {
        let changes: Vec<(i8, usize, i64)> =
            (first..(first + step_rows).min(rows)).map(|_| change()).collect();
        let names: Vec<String> = changes.iter().map(|(_, key, _)| format!("airport-{key}")).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(names)),
            Arc::new(Int64Array::from_iter_values(changes.iter().map(|change| change.2))),
        ];
        let kinds = Int8Array::from_iter_values(changes.iter().map(|change| change.0));
        steps.push((RecordBatch::try_new(plan.nodes[0].schema.clone(), columns)?, kinds));
    }
    let options = DataflowOptions { workers, ..DataflowOptions::default() };
    let mut dataflow = Dataflow::new(plan, options, &state::Store::volatile(budget_bytes))?;
    let begin = std::time::Instant::now();
    let (mut rows_out, mut hash) = (0, 0);
    for (rows, kinds) in steps {
        let reads = vec![ScanInput {
            scan: NodeId(0),
            split: 0,
            rows,
            kinds: Some(kinds),
            finished: false,
            idle: false,
        }];
        let output = dataflow.step(StepInput { clock_ms: 0, reads })?;
        rows_out += output.outputs.iter().map(|output| output.rows.len()).sum::<usize>();
        hash ^= output.hash;
        dataflow.relieve()?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "scenario={scenario} workers={workers} keys={keys} step_rows={step_rows} rows_in={rows} \
         rows_out={rows_out} hash={hash:016x} memory_bytes={} seconds={seconds:.3} rows_per_second={:.0}",
        dataflow.memory_bytes(),
        rows as f64 / seconds
    );
    Ok(())
}
