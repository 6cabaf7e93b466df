//! Outside tables that are asked for rows by key, and how questions and answers travel.
//!
//! An operator does no I/O: it hands out questions, and the runtime asks. The answers come back through an internal topic
//! and a step's input, so a replay reads them again and asks nobody.

use crate::engine::{DataflowError, KeyEncoder, RowEncoder, pack};
use crate::plan::{LookupJoin, answers_schema};
use crate::source::SourceError;
use crate::table::TableDefinition;
use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use base::ErrorKind;
use base::codec::{FieldReader, FieldWriter};
use std::sync::Arc;

/// What a lookup join wants of a table.
#[derive(Debug, Clone)]
pub struct LookupRequest {
    pub table: Arc<TableDefinition>,
    /// The columns of the found rows: indices into the table's schema.
    pub projection: Vec<usize>,
    /// The columns of the keys: indices into the table's schema.
    pub keys: Vec<usize>,
    /// How long an answer may take.
    pub timeout_ms: u64,
}

/// Asks an outside table. It may block, and it runs on a thread of its own.
pub trait Lookup: Send {
    /// The rows under each key, as they are now; no key has a NULL. An error of kind `Retry` or `Unavailable` may be
    /// tried again.
    fn find(&mut self, keys: &RecordBatch) -> Result<Found, SourceError>;

    /// How often a call that failed is tried again before the job fails.
    fn retries_max(&self) -> u32 {
        3
    }

    /// For how many ms more the outside wants to be left alone, as it has said; none where it has not, or that is over. A call
    /// that failed meanwhile is tried again behind it, and that counts as no try.
    fn pause_ms(&self) -> Option<u64> {
        None
    }
}

/// What was found: the rows of the first key, then those of the second, and so on.
#[derive(Debug, Clone)]
pub struct Found {
    pub rows: RecordBatch,
    /// By key, how many rows.
    pub counts: Vec<u32>,
}

/// Turns keys into columns, and found rows into answers.
#[derive(Debug)]
pub struct LookupCodec {
    keys: KeyEncoder,
    key_schema: SchemaRef,
    rows: RowEncoder,
    row_columns: usize,
    table: String,
}

impl LookupCodec {
    pub fn new(join: &LookupJoin) -> Result<LookupCodec, DataflowError> {
        let (key_schema, found_schema) = (Arc::new(join.key_schema()), join.found_schema());
        Ok(LookupCodec {
            keys: KeyEncoder::of(&key_schema)?,
            key_schema,
            rows: RowEncoder::of(&found_schema)?,
            row_columns: found_schema.fields().len(),
            table: join.table.name.clone(),
        })
    }

    /// The keys of questions, one row for each.
    pub fn keys<'a>(
        &self,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<RecordBatch, DataflowError> {
        let options =
            RecordBatchOptions::new().with_match_field_names(false).with_row_count(Some(keys.len()));
        let columns = self.keys.decode(keys)?;
        Ok(RecordBatch::try_new_with_options(self.key_schema.clone(), columns, &options)?)
    }

    /// The answers to `questions`, each as a record of the answer topic.
    pub fn answers(&self, questions: &[u64], found: &Found) -> Result<Vec<Vec<u8>>, SourceError> {
        let wrong = |message: String| SourceError {
            kind: ErrorKind::Internal,
            message: format!("table '{}': {message}", self.table),
        };
        let total: usize = found.counts.iter().map(|count| *count as usize).sum();
        if found.counts.len() != questions.len()
            || found.rows.num_rows() != total
            || found.rows.num_columns() != self.row_columns
        {
            return Err(wrong(format!(
                "a lookup of {} keys answered {} counts and {} rows of {} columns",
                questions.len(),
                found.counts.len(),
                found.rows.num_rows(),
                found.rows.num_columns()
            )));
        }
        let rows = self.rows.encode(&found.rows).map_err(|error| wrong(error.to_string()))?;
        let mut first = 0;
        let mut answers = Vec::with_capacity(questions.len());
        for (question, count) in questions.iter().zip(&found.counts) {
            let own = first..first + *count as usize;
            first = own.end;
            let packed = pack(own.map(|row| rows.bytes(row)));
            let mut record = FieldWriter::new();
            record.u64(state::hash(&packed)).u64(*question).bytes(&packed);
            answers.push(record.finish());
        }
        Ok(answers)
    }
}

/// Answers as the operator reads them, from the records of the answer topic.
#[derive(Debug, Default)]
pub struct AnswerRows {
    questions: Vec<i64>,
    rows: Vec<Vec<u8>>,
}

impl AnswerRows {
    /// Takes a record; what nobody of us wrote is an error.
    pub fn push(&mut self, record: &[u8]) -> Result<(), String> {
        let mut reader = FieldReader::new(record);
        let read = (|| {
            let (check, question, packed) = (reader.u64()?, reader.u64()?, reader.bytes()?);
            reader.finish().map(|()| (check, question, packed))
        })();
        let (check, question, packed) = read.map_err(|error| error.to_string())?;
        if check != state::hash(packed) {
            return Err("an answer does not have its check sum".into());
        }
        self.questions.push(question as i64);
        self.rows.push(packed.to_vec());
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.questions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    pub fn finish(self) -> Result<RecordBatch, DataflowError> {
        let rows = BinaryArray::from_iter_values(&self.rows);
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(self.questions)), Arc::new(rows)];
        Ok(RecordBatch::try_new(answers_schema(), columns)?)
    }

    /// Which question a record answers.
    pub fn question(record: &[u8]) -> Option<u64> {
        let mut reader = FieldReader::new(record);
        reader.u64().ok()?;
        reader.u64().ok()
    }
}
