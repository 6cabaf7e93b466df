//! Plans and rows for tests: expressions from closures, rows from text, outputs as text.

use crate::batch::Batch;
use crate::engine::{Dataflow, DataflowError, DataflowOptions, ScanInput, StepInput, StepOutput};
use crate::expression::{EvaluationContext, EvaluationError, Expression};
use crate::plan::{Aggregate, AggregateFunction, Node, NodeId, NodeKind, OverFrame, OverOrder, Plan};
use crate::table::TableDefinition;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use state::{Manifest, Snapshot, Store, StoreOptions};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

type Evaluate = dyn Fn(&RecordBatch) -> Result<ArrayRef, String> + Send + Sync;

/// An expression from a closure.
pub struct Closure {
    text: String,
    data_type: DataType,
    evaluate: Box<Evaluate>,
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expression for Closure {
    fn evaluate(&self, rows: &RecordBatch, _: &EvaluationContext<'_>) -> Result<ArrayRef, EvaluationError> {
        (self.evaluate)(rows).map_err(|message| EvaluationError { message, expression: self.text.clone() })
    }

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn describe(&self) -> String {
        self.text.clone()
    }
}

pub fn closure(
    text: &str,
    data_type: DataType,
    evaluate: impl Fn(&RecordBatch) -> Result<ArrayRef, String> + Send + Sync + 'static,
) -> Arc<dyn Expression> {
    Arc::new(Closure { text: text.into(), data_type, evaluate: Box::new(evaluate) })
}

pub fn column(index: usize, data_type: DataType) -> Arc<dyn Expression> {
    closure(&format!("${index}"), data_type, move |rows| Ok(rows.column(index).clone()))
}

/// A timestamp column less some milliseconds.
pub fn minus(index: usize, delay_ms: i64) -> Arc<dyn Expression> {
    closure(&format!("${index} - {delay_ms}ms"), TIMESTAMP, move |rows| {
        let times = rows.column(index).as_primitive::<arrow_array::types::TimestampMillisecondType>();
        Ok(Arc::new(times.unary::<_, arrow_array::types::TimestampMillisecondType>(|time| time - delay_ms)))
    })
}

/// `column > bound` over INT; NULL stays NULL.
pub fn greater(index: usize, bound: i32) -> Arc<dyn Expression> {
    closure(&format!("(${index} > {bound})"), DataType::Boolean, move |rows| {
        let values = rows.column(index).as_primitive::<Int32Type>();
        Ok(Arc::new(values.iter().map(|value| value.map(|value| value > bound)).collect::<BooleanArray>()))
    })
}

pub fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

/// Grows a plan node by node.
#[derive(Default)]
pub struct Planner {
    pub plan: Plan,
}

impl Planner {
    pub fn add(&mut self, kind: NodeKind, inputs: &[NodeId], schema: SchemaRef) -> NodeId {
        self.plan.nodes.push(Node::new(kind, inputs.to_vec(), schema));
        NodeId(self.plan.nodes.len() - 1)
    }

    pub fn schema(&self, id: NodeId) -> SchemaRef {
        self.plan.nodes[id.0].schema.clone()
    }

    pub fn scan(&mut self, name: &str, columns: &[(&str, DataType)], bounded: bool) -> NodeId {
        let schema = schema(columns);
        let projection = (0..columns.len()).collect();
        let table = table(name, schema.clone());
        self.add(NodeKind::Scan { table, projection, metadata: Vec::new(), bounded }, &[], schema)
    }

    /// `WATERMARK FOR column AS column - delay`.
    pub fn watermark(&mut self, input: NodeId, column: usize, delay_ms: i64) -> NodeId {
        let schema = self.schema(input);
        let watermark = minus(column, delay_ms);
        self.add(NodeKind::Watermark { column, watermark, idle_ms: None }, &[input], schema)
    }

    /// The same, and a split that gives nothing for a second is left out.
    pub fn watermark_with_idleness(&mut self, input: NodeId, column: usize, delay_ms: i64) -> NodeId {
        let schema = self.schema(input);
        let watermark = minus(column, delay_ms);
        self.add(NodeKind::Watermark { column, watermark, idle_ms: Some(1000) }, &[input], schema)
    }

    pub fn filter(&mut self, input: NodeId, predicate: Arc<dyn Expression>) -> NodeId {
        let schema = self.schema(input);
        self.add(NodeKind::Filter { predicate }, &[input], schema)
    }

    pub fn project(&mut self, input: NodeId, columns: &[(&str, Arc<dyn Expression>)]) -> NodeId {
        let fields: Vec<_> = columns.iter().map(|(name, e)| (*name, e.data_type().clone())).collect();
        let expressions = columns.iter().map(|(_, expression)| expression.clone()).collect();
        self.add(NodeKind::Project { expressions }, &[input], schema(&fields))
    }

    pub fn aggregate(
        &mut self,
        input: NodeId,
        time_column: usize,
        window: crate::plan::WindowKind,
        keys: &[usize],
        aggregates: Vec<Aggregate>,
    ) -> NodeId {
        let from = self.schema(input);
        let mut fields: Vec<Field> = keys.iter().map(|key| from.field(*key).clone()).collect();
        for (index, call) in aggregates.iter().enumerate() {
            fields.push(Field::new(format!("a{index}"), call.data_type.clone(), true));
        }
        for name in ["window_start", "window_end", "window_time"] {
            fields.push(Field::new(name, TIMESTAMP, true));
        }
        let kind = NodeKind::WindowAggregate {
            time_column,
            window,
            zone: base::Zone::UTC,
            keys: keys.to_vec(),
            aggregates,
        };
        self.add(kind, &[input], Arc::new(Schema::new(fields)))
    }

    pub fn over(
        &mut self,
        input: NodeId,
        partition: &[usize],
        order: OverOrder,
        frame: OverFrame,
        aggregates: Vec<Aggregate>,
    ) -> NodeId {
        let mut fields = self.schema(input).fields().to_vec();
        let results = aggregates.iter().enumerate();
        fields
            .extend(results.map(|(index, call)| {
                Arc::new(Field::new(format!("o{index}"), call.data_type.clone(), true))
            }));
        let kind = NodeKind::Over { partition: partition.to_vec(), order, frame, aggregates };
        self.add(kind, &[input], Arc::new(Schema::new(fields)))
    }

    pub fn union(&mut self, inputs: &[NodeId]) -> NodeId {
        let schema = self.schema(inputs[0]);
        self.add(NodeKind::Union, inputs, schema)
    }

    pub fn join(
        &mut self,
        inputs: [NodeId; 2],
        kind: crate::plan::JoinKind,
        keys: (usize, usize),
        residual: Option<Arc<dyn Expression>>,
    ) -> NodeId {
        let fields: Vec<_> = inputs.iter().flat_map(|id| self.schema(*id).fields().to_vec()).collect();
        let kind =
            NodeKind::BoundedJoin { kind, stream_keys: vec![keys.0], table_keys: vec![keys.1], residual };
        self.add(kind, &inputs, Arc::new(Schema::new(fields)))
    }

    pub fn sink(&mut self, input: NodeId, name: &str) -> NodeId {
        let schema = self.schema(input);
        self.add(NodeKind::Sink { table: table(name, schema.clone()) }, &[input], schema)
    }

    pub fn build(self) -> Arc<Plan> {
        Arc::new(self.plan)
    }
}

pub fn table(name: &str, schema: SchemaRef) -> Arc<TableDefinition> {
    Arc::new(TableDefinition {
        name: name.into(),
        schema,
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::new(),
    })
}

pub fn call(function: AggregateFunction, argument: Option<usize>, data_type: DataType) -> Aggregate {
    Aggregate { function, argument, distinct: false, filter: None, options: Default::default(), data_type }
}

/// ARRAY of a type.
pub fn array_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// MULTISET of a type.
pub fn multiset_of(element: DataType) -> DataType {
    let fields = vec![Field::new("key", element, false), Field::new("value", DataType::Int32, false)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields.into()), false)), false)
}

/// Rows from text: one per line, fields separated by blanks, `-` for NULL. Decimals are unscaled.
pub fn rows(schema: &SchemaRef, text: &str) -> RecordBatch {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line: &Vec<&str>| !line.is_empty()).collect();
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let cells = lines.iter().map(|line| Some(line[index]).filter(|cell| *cell != "-"));
            fn parsed<T: std::str::FromStr>(cell: Option<&str>) -> Option<T> {
                cell.map(|cell| cell.parse().unwrap_or_else(|_| panic!("not a number: {cell}")))
            }
            match field.data_type() {
                DataType::Int16 => Arc::new(cells.map(parsed).collect::<Int16Array>()) as ArrayRef,
                DataType::Int32 => Arc::new(cells.map(parsed).collect::<Int32Array>()),
                DataType::Int64 => Arc::new(cells.map(parsed).collect::<Int64Array>()),
                DataType::Float32 => Arc::new(cells.map(parsed).collect::<Float32Array>()),
                DataType::Float64 => Arc::new(cells.map(parsed).collect::<Float64Array>()),
                DataType::Boolean => Arc::new(cells.map(parsed).collect::<BooleanArray>()),
                DataType::Utf8 => Arc::new(cells.collect::<StringArray>()),
                DataType::Binary => {
                    Arc::new(cells.map(|cell| cell.map(str::as_bytes)).collect::<BinaryArray>())
                }
                DataType::Timestamp(TimeUnit::Millisecond, zone) => {
                    let times = cells.map(parsed).collect::<TimestampMillisecondArray>();
                    Arc::new(times.with_timezone_opt(zone.clone()))
                }
                decimal @ DataType::Decimal128(..) => {
                    Arc::new(cells.map(parsed).collect::<Decimal128Array>().with_data_type(decimal.clone()))
                }
                other => panic!("no text for {other}"),
            }
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap()
}

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "-".into();
    }
    match column.data_type() {
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => format!("{:?}", column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Binary => String::from_utf8_lossy(column.as_binary::<i32>().value(row)).into_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<arrow_array::types::TimestampMillisecondType>().value(row).to_string()
        }
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::List(_) => {
            let values = column.as_list::<i32>().value(row);
            let cells: Vec<String> = (0..values.len()).map(|place| cell(values.as_ref(), place)).collect();
            format!("[{}]", cells.join(";"))
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let side = |side: usize, place: usize| cell(entries.column(side).as_ref(), place);
            let cells: Vec<String> =
                (0..entries.len()).map(|place| format!("{}={}", side(0, place), side(1, place))).collect();
            format!("{{{}}}", cells.join(";"))
        }
        other => panic!("no text for {other}"),
    }
}

pub fn lines(batch: &Batch) -> Vec<String> {
    (0..batch.len())
        .map(|row| {
            let cells: Vec<_> =
                batch.rows.columns().iter().map(|column| cell(column.as_ref(), row)).collect();
            cells.join(" ")
        })
        .collect()
}

/// All rows of all sinks as `table: cells`, in order.
pub fn output_lines(plan: &Plan, output: &StepOutput) -> Vec<String> {
    let mut all = Vec::new();
    for sink in &output.outputs {
        let NodeKind::Sink { table } = &plan.nodes[sink.sink.0].kind else { panic!("not a sink") };
        all.extend(lines(&sink.rows).into_iter().map(|line| format!("{}: {line}", table.name)));
    }
    all
}

pub fn dataflow(plan: &Arc<Plan>) -> Dataflow {
    Dataflow::new(plan.clone(), DataflowOptions::default(), &Store::volatile(usize::MAX)).unwrap()
}

/// A disk in memory on which a dataflow keeps its state from one restore to the next.
pub struct Home {
    disk: Arc<dyn os::Disk>,
    budget_bytes: usize,
    snapshots: u64,
    /// What the last snapshot consists of; its files stay as long as it is here.
    saved: Option<Snapshot>,
    /// Whether rows carry trace contexts.
    pub traced: bool,
}

impl Home {
    pub fn new(budget_bytes: usize) -> Home {
        Home {
            disk: Arc::new(os::disk::sim::SimDisk::new()),
            budget_bytes,
            snapshots: 0,
            saved: None,
            traced: false,
        }
    }

    fn store(&self, manifest: Option<&Manifest>) -> Store {
        let options =
            StoreOptions { budget_bytes: self.budget_bytes, background: false, ..StoreOptions::default() };
        Store::open(&self.disk, Path::new("state"), options, manifest).unwrap()
    }

    /// A dataflow with empty state.
    pub fn begin(&self, plan: &Arc<Plan>, options: DataflowOptions) -> (Dataflow, Store) {
        let store = self.store(None);
        (self.with_traces(Dataflow::new(plan.clone(), options, &store).unwrap()), store)
    }

    fn with_traces(&self, mut dataflow: Dataflow) -> Dataflow {
        if self.traced {
            dataflow.trace().unwrap();
        }
        dataflow
    }

    /// Ends a dataflow behind its last step and takes it up again from what lies on the disk.
    pub fn restore(
        &mut self,
        plan: &Arc<Plan>,
        options: DataflowOptions,
        (mut dataflow, store): (Dataflow, Store),
    ) -> (Dataflow, Store) {
        self.snapshots += 1;
        let path = PathBuf::from(format!("state/{}.snapshot", self.snapshots));
        let snapshot = dataflow.snapshot().unwrap().write(&store, path).take().unwrap().unwrap();
        snapshot.keep();
        if let Some(old) = self.saved.take() {
            old.release(Some(&snapshot));
        }
        let manifest = Manifest::decode(&snapshot.manifest.encode()).unwrap();
        drop((dataflow, store, snapshot));
        let store = self.store(Some(&manifest));
        let dataflow = Dataflow::restore(plan.clone(), options, &store, &manifest).unwrap();
        let dataflow = self.with_traces(dataflow);
        self.saved = Some(Snapshot::opened(&store, manifest));
        store.restore_done();
        (dataflow, store)
    }
}

/// What the state holds, independent of where it lies.
pub fn digest(dataflow: &mut Dataflow) -> u64 {
    dataflow.snapshot().unwrap().digest().unwrap()
}

pub fn read(scan: NodeId, split: u32, rows: RecordBatch, finished: bool) -> ScanInput {
    ScanInput { scan, split, rows, kinds: None, finished, idle: false }
}

pub fn step(dataflow: &mut Dataflow, reads: Vec<ScanInput>) -> Result<StepOutput, DataflowError> {
    dataflow.step(StepInput { clock_ms: 0, reads })
}
