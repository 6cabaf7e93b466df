//! Sinks of stores, fed with batches of an outbox as the log would hold them.

use super::*;
use arrow_array::{Int8Array, Int64Array, StringArray};
use dataflow::batch::RowKind;
use dataflow::sink::{OutboxSink, Sink, SinkError};

/// Rows of `id` and `name`.
pub(super) struct Stored {
    pub(super) sink: Box<dyn OutboxSink>,
    next: i64,
}

pub(super) fn people() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("name", DataType::Utf8)])
}

/// A table of people; with a key it is `id`.
pub(super) fn people_table(options: &[(&str, &str)], has_key: bool) -> Arc<TableDefinition> {
    let key = if has_key { vec!["id".to_string()] } else { Vec::new() };
    Arc::new(TableDefinition { primary_key: key, ..(*table(people(), options)).clone() })
}

impl Stored {
    pub(super) fn new(node: &Node, options: &[(&str, &str)], has_key: bool) -> Stored {
        let connector = node.connector(options[0].1);
        match connector.sink(&people_table(options, has_key), "job").unwrap() {
            Sink::Outbox(sink) => Stored { sink, next: 0 },
            _ => panic!("an outbox sink"),
        }
    }

    pub(super) fn open(&mut self) -> Result<i64, SinkError> {
        self.next = self.sink.open()?;
        Ok(self.next)
    }

    /// Applies one batch of the outbox.
    pub(super) fn apply(&mut self, rows: &[(RowKind, i64, &str)]) {
        let ids = Int64Array::from_iter_values(rows.iter().map(|(_, id, _)| *id));
        let names = StringArray::from_iter_values(rows.iter().map(|(_, _, name)| *name));
        let kinds = Int8Array::from_iter_values(rows.iter().map(|(kind, ..)| *kind as i8));
        let rows = RecordBatch::try_new(people(), vec![Arc::new(ids), Arc::new(names)]).unwrap();
        self.apply_batch(&Batch { kinds: Some(kinds), ..batch(rows) });
    }

    pub(super) fn apply_batch(&mut self, rows: &Batch) {
        let mut batches = self.sink.encode(rows, 1_000).unwrap();
        kafka_wire::records::set_base_offset(&mut batches[0].bytes, self.next).unwrap();
        self.next += rows.len() as i64;
        self.sink.apply(&batches[0].bytes).unwrap();
    }

    /// Applies rows that are added.
    pub(super) fn add(&mut self, ids: &[i64]) {
        let rows: Vec<(RowKind, i64, &str)> = ids.iter().map(|id| (RowKind::Insert, *id, "x")).collect();
        self.apply(&rows);
    }

    pub(super) fn commit(&mut self) -> Result<i64, SinkError> {
        self.sink.commit(true, 1_000)
    }
}

/// What is wrong with a table, in one line.
pub(super) fn told(node: &Node, table: &TableDefinition, role: dataflow::connector::Role) -> String {
    let connector = node.connector(&table.options["connector"]);
    let errors = connector.check(table, role).err().unwrap_or_default();
    errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ")
}
