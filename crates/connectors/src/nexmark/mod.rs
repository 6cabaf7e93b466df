//! `nexmark`: the events of the Nexmark benchmark (an auction site), under the option names of its Flink connector.
//!
//! The position is the number of the event. The table has the columns of the benchmark: `event_type`, and the rows
//! `person`, `auction` and `bid`, of which one is not NULL. Unlike the original, the same options give the same
//! events: times begin at a fixed instant, and a seed decides the rest.

mod columns;
mod generator;
mod text;

use crate::{CONNECTOR, option_problem, plain_options};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Fields, Schema, SchemaRef};
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec, Options};
use columns::Column;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, Role, SourceRequest};
use dataflow::sink::Sink;
use dataflow::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use generator::{Config, RateShape, Rates};
use std::sync::Arc;
use text::Channels;

const COUNT: OptionKind = OptionKind::Integer { min: 0, max: 1_000_000 };
const RATIO: OptionKind = OptionKind::Integer { min: 1, max: 1_000_000 };
const RATE: OptionKind = OptionKind::Integer { min: 1, max: 1_000_000_000 };

const fn with_default(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: Some(default), doc, example: default }
}

const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    with_default(
        "events.num",
        OptionKind::Integer { min: 0, max: i64::MAX },
        "0",
        "The source ends after so many events; 0: it never ends.",
    ),
    with_default(
        "stop-at",
        OptionKind::Integer { min: -1, max: i64::MAX },
        "-1",
        "The source ends before the event of this number; -1: it does not.",
    ),
    with_default("keep-alive", OptionKind::Boolean, "false", "Whether the job goes on after the last event."),
    with_default("first-event.rate", RATE, "10000", "Events per second of event time at the beginning."),
    with_default("next-event.rate", RATE, "10000", "The other rate, which 'rate.shape' leads to and back."),
    OptionSpec {
        key: "rate.shape",
        kind: OptionKind::OneOf(&["SQUARE", "SINE"]),
        required: false,
        default: Some("SQUARE"),
        doc: "How the rate goes from one to the other.",
        example: "SINE",
    },
    with_default("rate.period", OptionKind::Duration, "600 s", "How long the shape takes, in event time."),
    with_default(
        "rate.limited",
        OptionKind::Boolean,
        "false",
        "Whether events come no faster than their times do; otherwise as fast as they are read.",
    ),
    with_default("person.proportion", COUNT, "1", "So many of the events in a turn are persons."),
    with_default("auction.proportion", COUNT, "3", "So many of the events in a turn are auctions."),
    with_default("bid.proportion", COUNT, "46", "So many of the events in a turn are bids."),
    with_default("person.avg-size", OptionKind::Size, "200 b", "The size of a person on average."),
    with_default("auction.avg-size", OptionKind::Size, "500 b", "The size of an auction on average."),
    with_default("bid.avg-size", OptionKind::Size, "100 b", "The size of a bid on average."),
    with_default("bid.hot-ratio.auctions", RATIO, "2", "All but one of so many bids are for a hot auction."),
    with_default("bid.hot-ratio.bidders", RATIO, "4", "All but one of so many bids are by a hot bidder."),
    with_default(
        "auction.hot-ratio.sellers",
        RATIO,
        "4",
        "All but one of so many auctions have a hot seller.",
    ),
    with_default(
        "base-time",
        OptionKind::Integer { min: 0, max: 253_402_300_799_999 },
        "1436918400000",
        "The time of the first event in ms since 1970; the original, without this option, takes the clock.",
    ),
    with_default(
        "seed",
        OptionKind::Integer { min: 0, max: i64::MAX },
        "1",
        "Another seed gives other events; the original has no such option.",
    ),
];

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "nexmark",
    doc: "The events of the Nexmark benchmark: persons, auctions and bids of an auction site.",
    options: OPTIONS,
    formats: &[],
    reads: true,
    writes: false,
    source_guarantee: "exactly once (event numbers in the job's journal)",
    sink_guarantee: "",
};

/// Filler beyond this would be a mistake.
const EVENT_BYTES_MAX: u64 = 1 << 20;

pub(crate) struct Nexmark;

impl Connector for Nexmark {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        let options = plain_options(table, OPTIONS)?;
        if role == Role::Sink {
            return Err(vec![not_written(table)]);
        }
        let mut errors: Vec<ConnectorError> = config(table, &options).err().into_iter().collect();
        errors.extend(columns(table).filter_map(Result::err));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn is_bounded(&self, table: &TableDefinition) -> bool {
        plain_options(table, OPTIONS)
            .is_ok_and(|options| events(&options).is_some() && !options.boolean("keep-alive"))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let table = &request.table;
        let options = plain_options(table, OPTIONS).map_err(|mut errors| errors.remove(0))?;
        let config = config(table, &options)?;
        let mut all = columns(table).map(|column| column.map(Some)).collect::<Result<Vec<_>, _>>()?;
        let fields: Fields =
            request.projection.iter().map(|index| table.schema.field(*index).clone()).collect();
        Ok(Box::new(NexmarkSource {
            schema: Arc::new(Schema::new(fields)),
            columns: request.projection.iter().filter_map(|index| all[*index].take()).collect(),
            channels: Channels::new(config.seed),
            events: events(&options),
            keeps_alive: options.boolean("keep-alive"),
            is_limited: options.boolean("rate.limited"),
            began: None,
            config,
        }))
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(not_written(table))
    }
}

fn not_written(table: &TableDefinition) -> ConnectorError {
    option_problem(table, "connector", "the connector 'nexmark' can be read, not written")
}

fn columns(table: &TableDefinition) -> impl Iterator<Item = Result<Column, ConnectorError>> {
    let problem = |message| ConnectorError { option: None, ..option_problem(table, "connector", message) };
    table.schema.fields().iter().map(move |field| Column::of(field).map_err(problem))
}

/// How many events there are; none where there is no end.
fn events(options: &Options) -> Option<i64> {
    let number = options.integer("events.num").filter(|number| *number > 0);
    let stop_at = options.integer("stop-at").filter(|number| *number >= 0);
    [number, stop_at].into_iter().flatten().min()
}

fn config(table: &TableDefinition, options: &Options) -> Result<Config, ConnectorError> {
    let integer = |key: &str| options.integer(key).unwrap_or_default();
    let size = |key: &str| {
        let bytes = options.bytes(key).unwrap_or_default();
        if bytes > EVENT_BYTES_MAX {
            return Err(option_problem(table, key, format!("'{key}' is more than {EVENT_BYTES_MAX} bytes")));
        }
        Ok(bytes as usize)
    };
    let shape = if options.text("rate.shape") == Some("SINE") { RateShape::Sine } else { RateShape::Square };
    let period_seconds = (options.duration_ms("rate.period").unwrap_or_default() / 1000).clamp(1, 1 << 32);
    let rates = Rates::new(
        shape,
        integer("first-event.rate"),
        integer("next-event.rate"),
        i64::try_from(period_seconds).unwrap_or(i64::MAX),
    );
    let config = Config {
        seed: integer("seed") as u64,
        base_time_ms: integer("base-time"),
        persons: integer("person.proportion"),
        auctions: integer("auction.proportion"),
        bids: integer("bid.proportion"),
        hot_auctions: integer("bid.hot-ratio.auctions") as u64,
        hot_bidders: integer("bid.hot-ratio.bidders") as u64,
        hot_sellers: integer("auction.hot-ratio.sellers") as u64,
        person_bytes: size("person.avg-size")?,
        auction_bytes: size("auction.avg-size")?,
        bid_bytes: size("bid.avg-size")?,
        rates,
    };
    if config.persons + config.auctions + config.bids == 0 {
        return Err(option_problem(
            table,
            "bid.proportion",
            "all three proportions are 0: there are no events",
        ));
    }
    Ok(config)
}

struct NexmarkSource {
    schema: SchemaRef,
    columns: Vec<Column>,
    config: Config,
    channels: Channels,
    events: Option<i64>,
    keeps_alive: bool,
    is_limited: bool,
    /// The clock and the event at which this process began.
    began: Option<(i64, i64)>,
}

impl NexmarkSource {
    /// The number of the first event in `[from, to)` that is not due yet.
    fn due(&mut self, from: i64, to: i64, clock_ms: i64) -> i64 {
        if !self.is_limited {
            return to;
        }
        let (began_ms, first) = *self.began.get_or_insert((clock_ms, from));
        let elapsed_ms =
            self.config.rates.elapsed_ms(first).saturating_add(clock_ms.saturating_sub(began_ms));
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.config.rates.elapsed_ms(middle) <= elapsed_ms { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl Source for NexmarkSource {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let end = self.events.filter(|_| !self.keeps_alive).map(Position);
        Ok(vec![Split { id: "nexmark".into(), start: Position(0), end, fingerprint: String::new() }])
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        let next = match until {
            Some(until) => until.0,
            None => {
                let rows_max = i64::try_from(limits.rows_max).unwrap_or(i64::MAX);
                let end = from.0.saturating_add(rows_max).min(self.events.unwrap_or(i64::MAX)).max(from.0);
                self.due(from.0, end, limits.clock_ms)
            }
        };
        let columns =
            self.columns.iter().map(|column| column.array(&self.config, &self.channels, from.0..next));
        let options = RecordBatchOptions::new().with_row_count(Some((next - from.0) as usize));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options);
        Ok(Read {
            rows: rows
                .map_err(|error| SourceError { kind: ErrorKind::Internal, message: error.to_string() })?,
            kinds: None,
            next: Position(next),
            finished: split.end.is_some_and(|end| next >= end.0),
            skipped: 0,
            rejected: Vec::new(),
            idle: if next > from.0 {
                Idle::Ready
            } else if self.events.is_some_and(|events| next >= events) {
                Idle::UntilLogGrows
            } else {
                Idle::Until(limits.clock_ms + 1)
            },
        })
    }

    fn lag(&self, _split: &Split, _from: Position) -> Option<u64> {
        Some(0)
    }
}
