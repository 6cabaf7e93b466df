//! The columns of the benchmark's table: `event_type` and one row for each kind of event, of which one is not NULL.

use super::generator::{Config, Event};
use super::text::{Channels, Text};
use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, StructArray, TimestampMillisecondArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use std::ops::Range;
use std::sync::Arc;

/// A field of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Number(fn(&Config, i64) -> i64),
    Time(fn(&Config, i64) -> i64),
    Text(Text),
}

impl Value {
    fn data_type(self) -> DataType {
        match self {
            Value::Number(_) => DataType::Int64,
            Value::Time(_) => DataType::Timestamp(TimeUnit::Millisecond, None),
            Value::Text(_) => DataType::Utf8,
        }
    }
}

const PERSON: &[(&str, Value)] = &[
    ("id", Value::Number(Config::person_id)),
    ("name", Value::Text(Text::Name)),
    ("emailAddress", Value::Text(Text::Email)),
    ("creditCard", Value::Text(Text::CreditCard)),
    ("city", Value::Text(Text::City)),
    ("state", Value::Text(Text::State)),
    ("dateTime", Value::Time(Config::time_ms)),
    ("extra", Value::Text(Text::PersonExtra)),
];

const AUCTION: &[(&str, Value)] = &[
    ("id", Value::Number(Config::auction_id)),
    ("itemName", Value::Text(Text::ItemName)),
    ("description", Value::Text(Text::Description)),
    ("initialBid", Value::Number(Config::initial_bid)),
    ("reserve", Value::Number(Config::reserve)),
    ("dateTime", Value::Time(Config::time_ms)),
    ("expires", Value::Time(Config::expires_ms)),
    ("seller", Value::Number(Config::seller)),
    ("category", Value::Number(Config::category)),
    ("extra", Value::Text(Text::AuctionExtra)),
];

const BID: &[(&str, Value)] = &[
    ("auction", Value::Number(Config::auction)),
    ("bidder", Value::Number(Config::bidder)),
    ("price", Value::Number(|config, number| config.price(number, 0))),
    ("channel", Value::Text(Text::Channel)),
    ("url", Value::Text(Text::Url)),
    ("dateTime", Value::Time(Config::time_ms)),
    ("extra", Value::Text(Text::BidExtra)),
];

/// A column of the table, matched to its declaration.
pub(crate) enum Column {
    EventType,
    Row { event: Event, fields: Fields, values: Vec<Value> },
}

impl Column {
    /// The error says what the benchmark's table has.
    pub(crate) fn of(field: &Field) -> Result<Column, String> {
        let (event, known) = match field.name().as_str() {
            "event_type" => {
                return match field.data_type() {
                    DataType::Int32 => Ok(Column::EventType),
                    _ => Err("column 'event_type' must be INT".into()),
                };
            }
            "person" => (Event::Person, PERSON),
            "auction" => (Event::Auction, AUCTION),
            "bid" => (Event::Bid, BID),
            other => {
                return Err(format!(
                    "there is no column '{other}'; there are event_type INT and the rows person, auction and bid"
                ));
            }
        };
        let DataType::Struct(fields) = field.data_type() else {
            return Err(format!("column '{}' must be a ROW<{}>", field.name(), names(known)));
        };
        let value = |part: &Arc<Field>| {
            let found = known.iter().find(|(name, _)| name == part.name());
            match found {
                Some((_, value)) if value.data_type() == *part.data_type() => Ok(*value),
                Some((_, value)) => Err(format!(
                    "field '{}' of '{}' must be {}",
                    part.name(),
                    field.name(),
                    match value {
                        Value::Number(_) => "BIGINT",
                        Value::Time(_) => "TIMESTAMP(3)",
                        Value::Text(_) => "STRING",
                    }
                )),
                None => Err(format!(
                    "'{}' has no field '{}'; its fields are {}",
                    field.name(),
                    part.name(),
                    names(known)
                )),
            }
        };
        let values = fields.iter().map(value).collect::<Result<_, _>>()?;
        Ok(Column::Row { event, fields: fields.clone(), values })
    }

    /// The column's values for a range of events.
    pub(crate) fn array(&self, config: &Config, channels: &Channels, numbers: Range<i64>) -> ArrayRef {
        match self {
            Column::EventType => {
                Arc::new(Int32Array::from_iter_values(numbers.map(|number| config.event(number).code())))
            }
            Column::Row { event, fields, values } => {
                let nulls: NullBuffer =
                    numbers.clone().map(|number| config.event(number) == *event).collect();
                let present: Vec<usize> = nulls.valid_indices().collect();
                let rows = Rows { config, channels, first: numbers.start, nulls: &nulls, present: &present };
                let columns: Vec<ArrayRef> = values.iter().map(|value| rows.column(*value)).collect();
                Arc::new(StructArray::new(fields.clone(), columns, Some(nulls)))
            }
        }
    }
}

fn names(values: &[(&str, Value)]) -> String {
    values.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The places of one kind of event within a range.
struct Rows<'a> {
    config: &'a Config,
    channels: &'a Channels,
    first: i64,
    nulls: &'a NullBuffer,
    present: &'a [usize],
}

impl Rows<'_> {
    fn column(&self, value: Value) -> ArrayRef {
        let nulls = Some(self.nulls.clone());
        match value {
            Value::Number(make) => Arc::new(Int64Array::new(self.numbers(make), nulls)),
            Value::Time(make) => Arc::new(TimestampMillisecondArray::new(self.numbers(make), nulls)),
            Value::Text(text) => {
                let mut bytes = Vec::new();
                let mut offsets = Vec::with_capacity(self.nulls.len() + 1);
                for place in self.present {
                    // Up to this event there is nothing more.
                    offsets.resize(place + 1, bytes.len() as i32);
                    text.write(self.config, self.channels, self.first + *place as i64, &mut bytes);
                }
                offsets.resize(self.nulls.len() + 1, bytes.len() as i32);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(StringArray::new(offsets, Buffer::from_vec(bytes), nulls))
            }
        }
    }

    fn numbers(&self, make: fn(&Config, i64) -> i64) -> ScalarBuffer<i64> {
        let mut numbers = vec![0; self.nulls.len()];
        for place in self.present {
            numbers[*place] = make(self.config, self.first + *place as i64);
        }
        numbers.into()
    }
}
