//! The whole state of a dataflow as bytes, and back at any number of workers.
//!
//! The engine's own section holds the row count, the splits and the watermarks; a join has one section
//! with the rows of its table, in order of input; a windowed aggregate has one per key group.

use super::error::DataflowError;
use super::operator::Operator;
use super::watermark::{SplitWatermark, WatermarkState};
use super::{Dataflow, DataflowOptions};
use crate::plan::{NodeId, Plan};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use base::codec::{FieldReader, FieldWriter};
use state::snapshot::{SnapshotReader, SnapshotWriter, UNKEYED};
use state::{StateError, columns};
use std::sync::Arc;

/// The owner of the engine's own section; nodes own the numbers below.
const ENGINE: u32 = u32::MAX;

/// More rows than any job ever reads.
const SEQUENCE_MAX: u64 = 1 << 62;

/// A split: its maximum and a flag.
const SPLIT_BYTES: usize = 9;

impl Dataflow {
    /// The state after the last step. Equal states give equal bytes, whatever the number of workers.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut snapshot = SnapshotWriter::new(self.plan.fingerprint());
        snapshot.section(ENGINE, UNKEYED, self.save_engine());
        for (index, operator) in self.operators.iter().enumerate() {
            let owner = index as u32;
            let saved = match operator {
                Operator::Aggregate(node) => node.save(owner, &mut snapshot),
                Operator::Join { table, .. } => table.all_rows().and_then(|rows| {
                    snapshot.section(owner, UNKEYED, save_rows(&rows)?);
                    Ok(())
                }),
                Operator::Stateless | Operator::Watermark { .. } => Ok(()),
            };
            // The plan was checked for types that can be kept, and columns come from this engine.
            if let Err(error) = saved {
                unreachable!("state of node {index} cannot be written: {error}");
            }
        }
        snapshot.finish()
    }

    fn save_engine(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u64(self.sequence).u32(self.splits.len() as u32);
        for (scan, splits) in &self.splits {
            out.u32(scan.0 as u32)
                .bytes(&splits.iter().map(|finished| u8::from(*finished)).collect::<Vec<_>>());
        }
        for operator in &self.operators {
            if let Operator::Watermark { state, .. } = operator {
                out.i64(state.combined).u32(state.splits.len() as u32);
                for split in &state.splits {
                    out.i64(split.maximum).u8(u8::from(split.finished));
                }
            }
        }
        out.finish()
    }

    /// Begins where a snapshot of the same plan left off. The bytes are checked: damage is an error.
    pub fn restore(
        plan: Arc<Plan>,
        options: DataflowOptions,
        bytes: &[u8],
    ) -> Result<Dataflow, DataflowError> {
        let snapshot = SnapshotReader::open(bytes)?;
        let mut dataflow = Dataflow::new(plan, options)?;
        let now = dataflow.plan.fingerprint();
        if snapshot.fingerprint != now {
            return Err(DataflowError::invalid(format!(
                "the snapshot belongs to another plan (plan {:016x}, now {now:016x}); restore the statement \
                 that it was taken from",
                snapshot.fingerprint
            )));
        }
        let engine = snapshot.section(ENGINE, UNKEYED);
        let engine = engine.ok_or_else(|| StateError::damaged("the engine's own section is missing"))?;
        dataflow.restore_engine(engine)?;
        for index in 0..dataflow.operators.len() {
            let plan = dataflow.plan.clone();
            dataflow.restore_node(index, &snapshot).map_err(|error| error.at(&plan, NodeId(index)))?;
        }
        Ok(dataflow)
    }

    fn restore_engine(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut reader = FieldReader::new(bytes);
        self.sequence = reader.u64()?;
        if self.sequence > SEQUENCE_MAX {
            return Err(StateError::damaged("the number of rows is out of range"));
        }
        let scans = reader.u32()? as usize;
        if scans != self.splits.len() {
            return Err(StateError::damaged("it has another number of scans"));
        }
        for (scan, splits) in &mut self.splits {
            if reader.u32()? as usize != scan.0 {
                return Err(StateError::damaged("a scan is missing"));
            }
            *splits = reader.bytes()?.iter().map(|finished| *finished != 0).collect();
        }
        for operator in &mut self.operators {
            let Operator::Watermark { scan, state } = operator else { continue };
            let combined = reader.i64()?;
            let count = reader.count(SPLIT_BYTES)?;
            if self.splits.get(scan).map(Vec::len) != Some(count) {
                return Err(StateError::damaged("a watermark has another number of splits"));
            }
            let mut split = || {
                Ok::<_, StateError>(SplitWatermark { maximum: reader.i64()?, finished: reader.u8()? != 0 })
            };
            let splits = (0..count).map(|_| split()).collect::<Result<_, _>>()?;
            *state = WatermarkState { splits, combined };
        }
        Ok(reader.finish()?)
    }

    fn restore_node(&mut self, index: usize, snapshot: &SnapshotReader<'_>) -> Result<(), DataflowError> {
        let owner = index as u32;
        match &mut self.operators[index] {
            Operator::Aggregate(node) => node.restore(owner, snapshot),
            Operator::Join { spec, table } => {
                let bytes = snapshot.section(owner, UNKEYED);
                let bytes = bytes.ok_or_else(|| StateError::damaged("the table of a join is missing"))?;
                let rows = restore_rows(table.rows.schema(), bytes)?;
                Arc::make_mut(table).insert(&spec.table_keys, &rows)
            }
            Operator::Stateless | Operator::Watermark { .. } => Ok(()),
        }
    }
}

fn save_rows(rows: &RecordBatch) -> Result<Vec<u8>, DataflowError> {
    let mut out = FieldWriter::new();
    for column in rows.columns() {
        columns::write_column(&mut out, column.as_ref())?;
    }
    Ok(out.finish())
}

fn restore_rows(schema: arrow_schema::SchemaRef, bytes: &[u8]) -> Result<RecordBatch, DataflowError> {
    let mut reader = FieldReader::new(bytes);
    let column = |field: &Arc<arrow_schema::Field>| columns::read_column(&mut reader, field.data_type());
    let columns: Vec<ArrayRef> = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
    reader.finish().map_err(StateError::from)?;
    let rows = columns.first().map_or(0, |column| column.len());
    let options = RecordBatchOptions::new().with_match_field_names(false).with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema, columns, &options);
    Ok(batch.map_err(|error| StateError::damaged(error.to_string()))?)
}
