//! Rows per second through filter → project → TUMBLE with COUNT and SUM by a string key.
//!
//! `cargo run --release -p dataflow --example throughput [workers] [keys] [rows per step]`. It measures the
//! engine alone: rows are made beforehand, and outputs are thrown away.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use dataflow::expression::{EvaluationContext, EvaluationError, Expression};
use dataflow::plan::{Aggregate, AggregateFunction, Node, NodeId, NodeKind, Plan, WindowKind};
use dataflow::table::TableDefinition;
use std::sync::Arc;

const ROWS: usize = 8_000_000;
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

#[derive(Debug)]
enum Simple {
    Column(usize, DataType),
    Greater(usize, i64),
}

impl Expression for Simple {
    fn evaluate(&self, rows: &RecordBatch, _: &EvaluationContext<'_>) -> Result<ArrayRef, EvaluationError> {
        Ok(match self {
            Simple::Column(index, _) => rows.column(*index).clone(),
            Simple::Greater(index, bound) => {
                let values = rows.column(*index).as_primitive::<Int64Type>();
                Arc::new(BooleanArray::from_unary(values, |value| value > *bound))
            }
        })
    }

    fn data_type(&self) -> &DataType {
        match self {
            Simple::Column(_, data_type) => data_type,
            Simple::Greater(..) => &DataType::Boolean,
        }
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plan() -> Plan {
    let input =
        schema(&[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int64), ("w", DataType::Int64)]);
    let projected = schema(&[("k", DataType::Utf8), ("t", TIMESTAMP), ("v", DataType::Int64)]);
    let output = schema(&[
        ("k", DataType::Utf8),
        ("count", DataType::Int64),
        ("sum", DataType::Int64),
        ("window_start", TIMESTAMP),
        ("window_end", TIMESTAMP),
        ("window_time", TIMESTAMP),
    ]);
    let table = |schema: &SchemaRef| {
        Arc::new(TableDefinition {
            name: "t".into(),
            schema: schema.clone(),
            metadata: Vec::new(),
            primary_key: Vec::new(),
            partition_keys: Vec::new(),
            options: Default::default(),
        })
    };
    let call = |function, argument| Aggregate {
        function,
        argument,
        distinct: false,
        filter: None,
        options: Default::default(),
        data_type: DataType::Int64,
    };
    let column = |index, data_type| Arc::new(Simple::Column(index, data_type)) as Arc<dyn Expression>;
    let kinds = [
        (
            NodeKind::Scan {
                table: table(&input),
                projection: vec![0, 1, 2, 3],
                metadata: vec![],
                bounded: true,
            },
            &input,
        ),
        (NodeKind::Watermark { column: 0, watermark: column(0, TIMESTAMP), idle_ms: None }, &input),
        (NodeKind::Filter { predicate: Arc::new(Simple::Greater(3, 9)) }, &input),
        (
            NodeKind::Project {
                expressions: vec![
                    column(1, DataType::Utf8),
                    column(0, TIMESTAMP),
                    column(2, DataType::Int64),
                ],
            },
            &projected,
        ),
        (
            NodeKind::WindowAggregate {
                time_column: 1,
                zone: base::Zone::UTC,
                window: WindowKind::Tumble { size_ms: 10_000, offset_ms: 0 },
                keys: vec![0],
                aggregates: vec![call(AggregateFunction::Count, None), call(AggregateFunction::Sum, Some(2))],
            },
            &output,
        ),
        (NodeKind::Sink { table: table(&output) }, &output),
    ];
    let node = |(index, (kind, schema)): (usize, (NodeKind, &SchemaRef))| {
        Node::new(kind, index.checked_sub(1).map(NodeId).into_iter().collect(), schema.clone())
    };
    Plan::new(kinds.into_iter().enumerate().map(node).collect())
}

#[allow(clippy::disallowed_methods, reason = "it measures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut argument = |default: usize| arguments.next().unwrap_or(Ok(default));
    let (workers, keys, step_rows) = (argument(1)?, argument(10_000)?, argument(32_768)?);
    let plan = Arc::new(plan());
    let mut random = 1u64;
    let mut next = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    // A million rows per ten seconds of event time; a tenth of them is filtered away.
    let mut steps = Vec::new();
    for first in (0..ROWS).step_by(step_rows) {
        let rows = first..(first + step_rows).min(ROWS);
        let times = rows.clone().map(|row| row as i64 / 100);
        let names: Vec<String> = rows.clone().map(|_| format!("airport-{}", next(keys as u64))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
            Arc::new(StringArray::from(names)),
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|_| next(1000) as i64))),
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|_| next(100) as i64))),
        ];
        let rows = RecordBatch::try_new(plan.nodes[0].schema.clone(), columns)?;
        steps.push(rows);
    }
    let mut dataflow = Dataflow::new(
        plan,
        DataflowOptions { workers, ..DataflowOptions::default() },
        &state::Store::volatile(usize::MAX),
    )?;
    let count = steps.len();
    let begin = std::time::Instant::now();
    let (mut rows_out, mut hash) = (0, 0);
    for (index, rows) in steps.into_iter().enumerate() {
        let reads = vec![ScanInput {
            scan: NodeId(0),
            split: 0,
            rows,
            kinds: None,
            finished: index + 1 == count,
            idle: false,
        }];
        let output = dataflow.step(StepInput { clock_ms: 0, reads })?;
        rows_out += output.outputs.iter().map(|output| output.rows.len()).sum::<usize>();
        hash ^= output.hash;
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "workers={workers} keys={keys} step_rows={step_rows} rows_in={ROWS} rows_out={rows_out} hash={hash:016x} \
         seconds={seconds:.3} rows_per_second={:.0}",
        ROWS as f64 / seconds
    );
    Ok(())
}
