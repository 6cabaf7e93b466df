//! The source behind VALUES and SELECT without FROM: the numbers of rows that the plan itself holds.
//!
//! A scan of it gives `row`, from 0 to one less than the table's `rows`; what the rows hold is computed from the number
//! by the projection above. So the values stand in the plan's expressions, where its fingerprint sees them, and a scan
//! has positions like any other: the journal keeps how far it was read, and a replay gives the same numbers.

use crate::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use crate::sink::Sink;
use crate::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use crate::table::TableDefinition;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use base::ErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// No table can be declared with a connector of this name.
pub const NAME: &str = "$values";

const ROWS: &str = "rows";

const SPEC: ConnectorSpec = ConnectorSpec {
    name: NAME,
    doc: "The rows of VALUES.",
    options: &[],
    formats: &[],
    reads: true,
    writes: false,
    source_guarantee: "exactly once (row numbers in the job's journal)",
    sink_guarantee: "",
};

/// The table of so many row numbers.
pub fn table(rows: usize) -> TableDefinition {
    TableDefinition {
        name: "VALUES".into(),
        schema: Arc::new(Schema::new(vec![Field::new("row", DataType::Int64, false)])),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::from([("connector".into(), NAME.into()), (ROWS.into(), rows.to_string())]),
    }
}

#[derive(Debug)]
pub struct Values;

impl Connector for Values {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Source => row_count(table).map(|_| ()).map_err(|error| vec![error]),
            Role::Sink | Role::Lookup => Err(vec![not_written()]),
        }
    }

    fn is_bounded(&self, _: &TableDefinition) -> bool {
        true
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let fields: Vec<_> =
            request.projection.iter().map(|column| request.table.schema.field(*column).clone()).collect();
        Ok(Box::new(Numbers { rows: row_count(&request.table)?, schema: Arc::new(Schema::new(fields)) }))
    }

    fn sink(&self, _: &Arc<TableDefinition>, _: &str) -> Result<Sink, ConnectorError> {
        Err(not_written())
    }
}

fn row_count(table: &TableDefinition) -> Result<i64, ConnectorError> {
    let rows = table.options.get(ROWS).and_then(|rows| rows.parse().ok());
    rows.ok_or_else(|| ConnectorError {
        kind: ErrorKind::Internal,
        message: "VALUES without a number of rows".into(),
        option: None,
    })
}

fn not_written() -> ConnectorError {
    ConnectorError { kind: ErrorKind::Invalid, message: "VALUES cannot be written".into(), option: None }
}

struct Numbers {
    rows: i64,
    schema: SchemaRef,
}

impl Source for Numbers {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        Ok(vec![Split {
            id: "values".into(),
            start: Position(0),
            end: Some(Position(self.rows)),
            fingerprint: self.rows.to_string(),
        }])
    }

    fn read(
        &mut self,
        _split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        let from = from.0.clamp(0, self.rows);
        let end = match until {
            Some(until) => until.0.clamp(from, self.rows),
            None => self.rows.min(from.saturating_add(limits.rows_max as i64)),
        };
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..end));
        let columns = vec![numbers; self.schema.fields().len()];
        let options = RecordBatchOptions::new().with_row_count(Some((end - from) as usize));
        let rows =
            RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|error| {
                SourceError { kind: ErrorKind::Internal, message: format!("cannot make rows: {error}") }
            })?;
        Ok(Read {
            rows,
            kinds: None,
            next: Position(end),
            finished: end >= self.rows,
            skipped: 0,
            rejected: Vec::new(),
            idle: Idle::Ready,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    fn source(rows: usize) -> Box<dyn Source> {
        let table = Arc::new(table(rows));
        Values.check(&table, Role::Source).unwrap();
        Values.source(SourceRequest { table, projection: vec![0], metadata: Vec::new() }).unwrap()
    }

    #[test]
    fn a_range_is_read_again_as_it_was() {
        let mut source = source(5);
        let splits = source.splits().unwrap();
        assert_eq!((splits[0].start, splits[0].end), (Position(0), Some(Position(5))));
        let mut seen = Vec::new();
        let (mut from, mut ranges) = (Position(0), Vec::new());
        loop {
            let read = source.read(&splits[0], from, None, ReadLimits { rows_max: 2, clock_ms: 0 }).unwrap();
            seen.extend(read.rows.column(0).as_primitive::<Int64Type>().values().iter().copied());
            ranges.push((from, read.next, read.rows));
            from = read.next;
            if read.finished {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        for (from, until, rows) in ranges {
            let limits = ReadLimits { rows_max: 1, clock_ms: 9 };
            let again = source.read(&splits[0], from, Some(until), limits).unwrap();
            assert_eq!((again.rows, again.next), (rows, until));
        }
    }

    #[test]
    fn it_is_not_written() {
        let table = table(1);
        assert!(Values.check(&table, Role::Sink).is_err());
        assert!(Values.sink(&Arc::new(table), "job").is_err());
    }
}
