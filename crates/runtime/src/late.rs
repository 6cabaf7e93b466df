//! The topic for rows that came too late: each as JSON, committed with the step that dropped it.
//!
//! An operator drops late rows as Flink does. Where a job names a topic for them, the step's frame holds them too: the
//! job, the operator with its number in the plan, the time by which the row was judged, the watermark before it, and
//! the row as the operator got it. A topic sink of the embedded log encodes them, one for each shape of rows, so they
//! look as any JSON topic does. What cannot be written is left out: late rows never stop a job.

use crate::error::RuntimeError;
use crate::outputs::connector_of;
use arrow_array::{
    ArrayRef, Int32Array, RecordBatch, StringArray, StructArray, TimestampMillisecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use dataflow::batch::Batch;
use dataflow::connector::ConnectorTable;
use dataflow::engine::LateRows;
use dataflow::plan::{NodeId, Plan};
use dataflow::sink::{Sink, TopicBatch, TopicSink};
use dataflow::table::TableDefinition;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct LateTopic {
    pub(crate) topic: String,
    job: String,
    writers: Vec<Writer>,
}

/// Writes the late rows of one input of an operator.
struct Writer {
    node: NodeId,
    input: usize,
    operator: String,
    /// The columns of the row that JSON can hold.
    columns: Vec<usize>,
    table: Arc<TableDefinition>,
    sink: Box<dyn TopicSink>,
}

/// Moments beyond it have no date (the year 9999).
const DATE_MS_MAX: i64 = 253_402_300_799_999;

impl LateTopic {
    pub(crate) fn open(
        plan: &Plan,
        connectors: &ConnectorTable,
        topic: &str,
        job: &str,
    ) -> Result<LateTopic, RuntimeError> {
        let mut writers = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate().filter(|(_, node)| node.kind.drops_late_rows()) {
            for (input, from) in node.inputs.iter().enumerate() {
                let fields = plan.node(*from).schema.fields();
                let columns: Vec<usize> =
                    (0..fields.len()).filter(|column| has_json(fields[*column].data_type())).collect();
                let table = table(topic, fields, &columns);
                if let Sink::Topic(sink) = connector_of(connectors, &table)?.sink(&table, job)? {
                    let operator = plan.describe_node(node);
                    let operator = operator.split('(').next().unwrap_or_default().to_string();
                    writers.push(Writer { node: NodeId(index), input, operator, columns, table, sink });
                }
            }
        }
        Ok(LateTopic { topic: topic.to_string(), job: job.to_string(), writers })
    }

    /// All for partition 0.
    pub(crate) fn encode(&mut self, late: &[LateRows], clock_ms: i64) -> Vec<TopicBatch> {
        let mut batches = Vec::new();
        for rows in late {
            let own = |writer: &&mut Writer| writer.node == rows.node && writer.input == rows.input;
            let Some(writer) = self.writers.iter_mut().find(own) else { continue };
            let encoded = writer.batch(&self.job, rows).map(|batch| writer.sink.encode(&batch, 1, clock_ms));
            // They are counted as late whether they can be written or not.
            batches.extend(encoded.and_then(Result::ok).unwrap_or_default());
        }
        batches
    }
}

fn has_json(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Null | DataType::Interval(_) | DataType::Duration(_))
}

fn table(topic: &str, fields: &Fields, columns: &[usize]) -> Arc<TableDefinition> {
    let row: Fields =
        columns.iter().map(|column| fields[*column].as_ref().clone().with_nullable(true)).collect();
    let moment = DataType::Timestamp(TimeUnit::Millisecond, None);
    let schema = Schema::new(vec![
        Field::new("job", DataType::Utf8, false),
        Field::new("operator", DataType::Utf8, false),
        Field::new("node", DataType::Int32, false),
        Field::new("time", moment.clone(), true),
        Field::new("watermark", moment, true),
        Field::new("row", DataType::Struct(row), false),
    ]);
    let options = [("connector", "kafka"), ("topic", topic), ("format", "json")];
    Arc::new(TableDefinition {
        name: format!("late rows in {topic}"),
        schema: Arc::new(schema),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: options
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    })
}

impl Writer {
    fn batch(&self, job: &str, late: &LateRows) -> Option<Batch> {
        let count = late.rows.num_rows();
        let moments = |times: &[i64]| {
            let shown = times.iter().map(|time| (-DATE_MS_MAX..=DATE_MS_MAX).contains(time).then_some(*time));
            Arc::new(TimestampMillisecondArray::from_iter(shown)) as ArrayRef
        };
        let DataType::Struct(fields) = self.table.schema.field(5).data_type() else { return None };
        // The engine leaves NOT NULL aside; the values hold it.
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|column| late.rows.column(*column).clone()).collect();
        let row = match fields.is_empty() {
            true => StructArray::new_empty_fields(count, None),
            false => StructArray::try_new(fields.clone(), columns, None).ok()?,
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![job; count])),
            Arc::new(StringArray::from(vec![self.operator.as_str(); count])),
            Arc::new(Int32Array::from(vec![i32::try_from(self.node.0).unwrap_or(i32::MAX); count])),
            moments(&late.times),
            moments(&late.watermarks),
            Arc::new(row),
        ];
        let rows = RecordBatch::try_new(self.table.schema.clone(), columns).ok()?;
        let ordinals = UInt64Array::from_iter_values(1..=count as u64);
        Some(Batch { rows, kinds: None, ordinals, ties: None, watermarks: None, traces: None })
    }
}
