//! A row as a sample of a series, and samples that go together as a message of remote-write.

use crate::option_problem;
use crate::store::{Change, Encoded};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use base::options::Options;
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use formats::print::value_text;
use formats::telemetry::remote_write::{Version, Written, read, write};
use formats::{FormatKind, RowEncoder, Surroundings};
use std::collections::BTreeMap;

const NAME: &str = "__name__";

/// Which columns are what.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// The metric's name where it is none of a column.
    pub fixed: Option<String>,
    pub name: Option<usize>,
    pub labels: Vec<usize>,
    pub value: usize,
    pub timestamp: usize,
}

pub(super) struct Samples {
    columns: Columns,
    /// The names of the labels, in the order of their columns.
    names: Vec<String>,
    /// What a dead letter holds: the row.
    row: Box<dyn RowEncoder>,
}

impl Samples {
    pub(super) fn new(table: &TableDefinition, columns: &Columns) -> Result<Samples, ConnectorError> {
        let problem = |message: String| option_problem(table, "connector", message);
        let options = Options::check(&BTreeMap::new(), FormatKind::Json.specs());
        let options = options.map_err(|errors| problem(format!("{errors:?}")))?;
        let row = FormatKind::Json.encoder(&options, &table.schema, &Surroundings::default());
        let row = row.map_err(|error| problem(error.to_string()))?;
        let names = columns.labels.iter().map(|column| table.schema.field(*column).name().clone());
        Ok(Samples { names: names.collect(), columns: columns.clone(), row })
    }

    /// A record of the outbox: the row as its value, and as its key the sample, a message by itself; or why it is none.
    pub(super) fn encode(&mut self, rows: &RecordBatch, row: usize) -> Result<Encoded, String> {
        let mut value = Vec::new();
        self.row.encode(rows, row, &mut value).map_err(|error| error.to_string())?;
        let encoded = Encoded { key: None, value: Some(value), note: None };
        Ok(match self.sample(rows, row) {
            Ok(series) => Encoded { key: Some(write(&[series])), ..encoded },
            Err(reason) => Encoded { note: Some(reason), ..encoded },
        })
    }

    fn sample(&self, rows: &RecordBatch, row: usize) -> Result<Written, String> {
        let Columns { fixed, name, labels, value, timestamp } = &self.columns;
        let text = |column: &usize| value_text(rows.column(*column), row);
        let name = fixed.clone().or_else(|| name.as_ref().and_then(text)).filter(|name| !name.is_empty());
        let mut all = vec![(NAME.to_string(), name.ok_or("the metric has no name")?)];
        for (name, column) in self.names.iter().zip(labels) {
            // An empty label is none, in Prometheus' data model.
            all.extend(text(column).filter(|value| !value.is_empty()).map(|value| (name.clone(), value)));
        }
        all.sort();
        let value = text(value).ok_or("the sample has no value")?;
        let value: f64 = value.parse().map_err(|_| format!("the value {value} is no number"))?;
        let timestamp_ms = milliseconds(rows.column(*timestamp), row).ok_or("the sample has no time")?;
        Ok(Written { labels: all, samples: vec![(value, timestamp_ms)] })
    }
}

fn milliseconds(column: &ArrayRef, row: usize) -> Option<i64> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
        DataType::Timestamp(TimeUnit::Second, _) => {
            column.as_primitive::<TimestampSecondType>().value(row).checked_mul(1000)?
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().value(row)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1000)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            column.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000_000)
        }
        _ => return None,
    })
}

/// The samples of several changes as one message: each series once, its samples ordered by time, and of several of one time the
/// last. Or why a record of the outbox is none.
pub(super) fn message(changes: &[Change]) -> Result<Vec<u8>, String> {
    let mut all: BTreeMap<Vec<(String, String)>, BTreeMap<i64, f64>> = BTreeMap::new();
    for change in changes {
        let sample = change.encoded.key.as_deref().unwrap_or_default();
        let read = read(Version::V1, sample, &mut |sample| {
            let owned = sample.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            all.entry(owned.collect()).or_default().insert(sample.timestamp_ms, sample.value);
            Ok(())
        });
        read.map_err(|error| error.to_string())?;
    }
    let series = all.into_iter().map(|(labels, samples)| Written {
        labels,
        samples: samples.into_iter().map(|(timestamp_ms, value)| (value, timestamp_ms)).collect(),
    });
    Ok(write(&series.collect::<Vec<_>>()))
}
