//! The canonical text of a plan: a tree from each sink down to its scans, one line per node.
//!
//! A node that several others read is written out once and referred to by its number afterwards.
//! The fingerprint of a job is taken from this text, so it holds everything that decides results and
//! nothing that does not (no options of connectors, which may hold addresses and secrets).

use super::{
    Aggregate, AggregateFunction, AggregateOptions, Changelog, Elements, Keep, Node, NodeId, NodeKind,
    OverFrame, OverOrder, Plan, SortKey, Unnest, WindowKind,
};
use crate::expression::Expression;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use std::fmt::Write;

impl Plan {
    /// The canonical text; EXPLAIN shows a shorter one.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        if let Some(ttl_ms) = self.state_ttl_ms {
            let _ = writeln!(text, "state ttl {ttl_ms} ms");
        }
        let mut written = vec![false; self.nodes.len()];
        let mut consumed = vec![false; self.nodes.len()];
        for node in &self.nodes {
            for input in &node.inputs {
                consumed[input.0] = true;
            }
        }
        for root in (0..self.nodes.len()).filter(|index| !consumed[*index]) {
            self.describe_tree(NodeId(root), 0, &mut written, &mut text);
        }
        text
    }

    fn describe_tree(&self, id: NodeId, depth: usize, written: &mut [bool], text: &mut String) {
        let indent = "   ".repeat(depth.saturating_sub(1));
        let branch = if depth > 0 { "+- " } else { "" };
        if written[id.0] {
            let _ = writeln!(text, "{indent}{branch}#{} (see above)", id.0);
            return;
        }
        written[id.0] = true;
        let node = self.node(id);
        let _ = writeln!(
            text,
            "{indent}{branch}#{} {} -> {}{}{}",
            id.0,
            self.describe_node(node),
            columns(&node.schema),
            match node.changelog {
                Changelog::Insert => "",
                Changelog::Upsert => " upsert",
                Changelog::Retract => " retract",
            },
            describe_ttls(node.hinted_ttls_ms)
        );
        for input in &node.inputs {
            self.describe_tree(*input, depth + 1, written, text);
        }
    }

    /// The name and the details of one node: `Filter((a > 1))`.
    pub fn describe_node(&self, node: &Node) -> String {
        let input = |side: usize| node.inputs.get(side).map(|input| self.node(*input).schema.clone());
        let name = |side: usize, index: usize| column_name(input(side).as_deref(), index);
        node.describe_with(&name, &|expression| expression.describe())
    }
}

impl Node {
    /// The same with the input's columns, by side and number, and expressions over them as somebody else writes them.
    pub(super) fn describe_with(
        &self,
        name: &dyn Fn(usize, usize) -> String,
        text: &dyn Fn(&dyn Expression) -> String,
    ) -> String {
        let node = self;
        let names = |side: usize, indices: &[usize]| {
            indices.iter().map(|index| name(side, *index)).collect::<Vec<_>>().join(", ")
        };
        match &node.kind {
            NodeKind::Scan { table, bounded, .. } => {
                format!("Scan(`{}`{})", table.name, if *bounded { ", bounded" } else { "" })
            }
            NodeKind::Watermark { column, watermark, idle_ms } => {
                let idle = describe_idle(*idle_ms);
                format!("Watermark({} AS {}{idle})", name(0, *column), text(watermark.as_ref()))
            }
            NodeKind::ProcessingTime => "ProcessingTime".into(),
            NodeKind::Project { expressions } => {
                let expressions: Vec<_> =
                    expressions.iter().map(|expression| text(expression.as_ref())).collect();
                format!("Project({})", expressions.join(", "))
            }
            NodeKind::Filter { predicate } => format!("Filter({})", text(predicate.as_ref())),
            NodeKind::WindowAssign { time_column, window, zone } => {
                format!("WindowAssign({})", describe_window(*window, &name(0, *time_column), *zone))
            }
            NodeKind::WindowAggregate { time_column, window, zone, keys, aggregates } => {
                let calls: Vec<_> = aggregates
                    .iter()
                    .map(|call| describe_aggregate(call, &|column| name(0, column)))
                    .collect();
                format!(
                    "WindowAggregate({}, keys=[{}], aggregates=[{}])",
                    describe_window(*window, &name(0, *time_column), *zone),
                    names(0, keys),
                    calls.join(", ")
                )
            }
            NodeKind::Unnest(unnest) => {
                format!("Unnest({}, kept=[{}])", unnest.text_with(text), names(0, &unnest.kept))
            }
            NodeKind::BoundedJoin { kind, stream_keys, table_keys, residual } => {
                let kind = kind.name();
                let residual = residual.as_ref().map(|residual| format!(", {}", text(residual.as_ref())));
                format!(
                    "BoundedJoin({kind}, stream=[{}], table=[{}]{})",
                    names(0, stream_keys),
                    names(1, table_keys),
                    residual.unwrap_or_default()
                )
            }
            NodeKind::LookupJoin(join) => {
                let found: Vec<String> =
                    join.found_schema().fields().iter().map(|field| format!("`{}`", field.name())).collect();
                format!(
                    "LookupJoin({}, found=[{}])",
                    join.text_with(&names(0, &join.stream_keys), text),
                    found.join(", ")
                )
            }
            NodeKind::LookupAnswers => "LookupAnswers".into(),
            NodeKind::SessionWindow { time_column, gap_ms, zone, keys } => {
                format!(
                    "SessionWindow({}{}, gap={gap_ms}ms, keys=[{}])",
                    name(0, *time_column),
                    on_clock(*zone),
                    names(0, keys)
                )
            }
            NodeKind::SessionAggregate { time_column, gap_ms, zone, keys, aggregates } => {
                let calls: Vec<_> = aggregates
                    .iter()
                    .map(|call| describe_aggregate(call, &|column| name(0, column)))
                    .collect();
                format!(
                    "SessionAggregate({}{}, gap={gap_ms}ms, keys=[{}], aggregates=[{}])",
                    name(0, *time_column),
                    on_clock(*zone),
                    names(0, keys),
                    calls.join(", ")
                )
            }
            NodeKind::WindowRank {
                end_column,
                zone,
                partition,
                order,
                first,
                last,
                with_number,
                latest_first,
            } => {
                format!(
                    "WindowRank({}{}, partition=[{}], order=[{}], rows={first}..{last}{}{})",
                    name(0, *end_column),
                    on_clock(*zone),
                    names(0, partition),
                    describe_order(order, &|column| name(0, column)),
                    if *with_number { ", with number" } else { "" },
                    if *latest_first { ", latest first" } else { "" }
                )
            }
            NodeKind::WindowJoin { kind, ends, zone, left_keys, right_keys, residual } => {
                let residual = residual.as_ref().map(|residual| format!(", {}", text(residual.as_ref())));
                format!(
                    "WindowJoin({}, {} = {}{}, left=[{}], right=[{}]{})",
                    kind.name(),
                    name(0, ends[0]),
                    name(1, ends[1]),
                    on_clock(*zone),
                    names(0, left_keys),
                    names(1, right_keys),
                    residual.unwrap_or_default()
                )
            }
            NodeKind::IntervalJoin { kind, times, lower_ms, upper_ms, left_keys, right_keys, residual } => {
                let residual = residual.as_ref().map(|residual| format!(", {}", text(residual.as_ref())));
                format!(
                    "IntervalJoin({}, {} - {} in {lower_ms}..={upper_ms}ms, left=[{}], right=[{}]{})",
                    kind.name(),
                    name(0, times[0]),
                    name(1, times[1]),
                    names(0, left_keys),
                    names(1, right_keys),
                    residual.unwrap_or_default()
                )
            }
            NodeKind::TemporalJoin { kind, times, left_keys, right_keys, residual } => {
                let residual = residual.as_ref().map(|residual| format!(", {}", text(residual.as_ref())));
                format!(
                    "TemporalJoin({}, {} at {}, left=[{}], right=[{}]{})",
                    kind.name(),
                    name(1, times[1]),
                    name(0, times[0]),
                    names(0, left_keys),
                    names(1, right_keys),
                    residual.unwrap_or_default()
                )
            }
            NodeKind::Deduplicate { keys, keep } => {
                let keep = match keep {
                    Keep::First => "first".into(),
                    Keep::NotOlderThan(time) => format!("latest by {}", name(0, *time)),
                    Keep::Earliest(time) => format!("earliest by {}", name(0, *time)),
                };
                format!("Deduplicate({keep}, keys=[{}])", names(0, keys))
            }
            NodeKind::TemporalSort { time_column, order } => format!(
                "TemporalSort({}, order=[{}])",
                name(0, *time_column),
                describe_order(order, &|column| name(0, column))
            ),
            NodeKind::Replicate => "Replicate".into(),
            NodeKind::MatchRecognize { pattern, partition, time_column, order, measures } => {
                let name = |column: usize| name(0, column);
                let time = time_column.map_or("the clock".into(), name);
                let within = pattern.within_ms.map(|ms| format!(", within={ms}ms")).unwrap_or_default();
                let measures: Vec<_> =
                    measures.iter().map(|measure| pattern.describe_expression(measure, &name)).collect();
                format!(
                    "MatchRecognize(partition=[{}], time={time}, order=[{}], pattern=({}), define=[{}], after={}{within}, measures=[{}])",
                    names(0, partition),
                    describe_order(order, &name),
                    pattern.describe(),
                    pattern.describe_conditions(&name).join(", "),
                    pattern.describe_after_match(),
                    measures.join(", ")
                )
            }
            NodeKind::Union => "Union".into(),
            NodeKind::GroupAggregate { keys, aggregates } => {
                let calls: Vec<_> = aggregates
                    .iter()
                    .map(|call| describe_aggregate(call, &|column| name(0, column)))
                    .collect();
                format!("GroupAggregate(keys=[{}], aggregates=[{}])", names(0, keys), calls.join(", "))
            }
            NodeKind::Over { partition, order, frame, aggregates } => {
                let calls: Vec<_> = aggregates
                    .iter()
                    .map(|call| describe_aggregate(call, &|column| name(0, column)))
                    .collect();
                format!(
                    "Over(partition=[{}], {}, aggregates=[{}])",
                    names(0, partition),
                    describe_over(order, *frame, &|column| name(0, column)),
                    calls.join(", ")
                )
            }
            NodeKind::Join { kind, left_keys, right_keys, residual } => {
                let residual = residual.as_ref().map(|residual| format!(", {}", text(residual.as_ref())));
                format!(
                    "Join({}, left=[{}], right=[{}]{})",
                    kind.name(),
                    names(0, left_keys),
                    names(1, right_keys),
                    residual.unwrap_or_default()
                )
            }
            NodeKind::Rank { partition, order, first, last, with_number, latest_first } => {
                format!(
                    "Rank(partition=[{}], order=[{}], rows={first}..{last}{}{})",
                    names(0, partition),
                    describe_order(order, &|column| name(0, column)),
                    if *with_number { ", with number" } else { "" },
                    if *latest_first { ", latest first" } else { "" }
                )
            }
            NodeKind::ChangelogNormalize { keys } => format!("ChangelogNormalize(keys=[{}])", names(0, keys)),
            NodeKind::UpsertMaterialize { keys } => format!("UpsertMaterialize(keys=[{}])", names(0, keys)),
            NodeKind::ConflictMaterialize { keys, own_key, on_conflict } => format!(
                "ConflictMaterialize(keys=[{}], query's key=[{}], on conflict do {})",
                names(0, keys),
                names(0, own_key),
                on_conflict.name()
            ),
            NodeKind::Sink { table } => format!("Sink(`{}`)", table.name),
        }
    }
}

impl Unnest {
    /// What it takes apart, and how.
    pub fn text(&self) -> String {
        self.text_with(&|expression| expression.describe())
    }

    fn text_with(&self, text: &dyn Fn(&dyn Expression) -> String) -> String {
        let elements = match self.elements {
            Elements::OfArray => "elements",
            Elements::OfMap => "entries",
            Elements::OfMultiset => "occurrences",
        };
        let left = if self.keeps_empty { "LEFT, " } else { "" };
        let number = if self.with_ordinality { ", with ordinality" } else { "" };
        format!("{left}{elements} of {}{number}", text(self.collection.as_ref()))
    }
}

fn on_clock(zone: base::Zone) -> String {
    if zone.is_utc() { String::new() } else { format!(" in {zone}") }
}

fn describe_order(order: &[SortKey], name: &dyn Fn(usize) -> String) -> String {
    let key = |key: &SortKey| {
        format!(
            "{} {} NULLS {}",
            name(key.column),
            if key.descending { "DESC" } else { "ASC" },
            if key.nulls_first { "FIRST" } else { "LAST" }
        )
    };
    order.iter().map(key).collect::<Vec<_>>().join(", ")
}

fn column_name(schema: Option<&Schema>, index: usize) -> String {
    let field = schema.and_then(|schema| schema.fields().get(index));
    field.map_or_else(|| format!("?{index}"), |field| format!("`{}`", field.name()))
}

pub(super) fn describe_window(window: WindowKind, time: &str, zone: base::Zone) -> String {
    let time = format!("{time}{}", on_clock(zone));
    let offset =
        |offset_ms: i64| if offset_ms == 0 { String::new() } else { format!(", offset={offset_ms}ms") };
    match window {
        WindowKind::Tumble { size_ms, offset_ms } => {
            format!("TUMBLE({time}, size={size_ms}ms{})", offset(offset_ms))
        }
        WindowKind::Hop { size_ms, slide_ms, offset_ms } => {
            format!("HOP({time}, slide={slide_ms}ms, size={size_ms}ms{})", offset(offset_ms))
        }
        WindowKind::Cumulate { size_ms, step_ms, offset_ms } => {
            format!("CUMULATE({time}, step={step_ms}ms, size={size_ms}ms{})", offset(offset_ms))
        }
        WindowKind::Attached => format!("WINDOW({time})"),
    }
}

pub(super) fn describe_aggregate(call: &Aggregate, name: &dyn Fn(usize) -> String) -> String {
    let function = call.function.name();
    let argument = call.argument.map_or_else(|| "*".into(), name);
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let filter = call.filter.map(|column| format!(" FILTER (WHERE {})", name(column))).unwrap_or_default();
    let AggregateOptions { separator, percentages, offset, default } = &call.options;
    let mut options = String::new();
    if call.function == AggregateFunction::ListAgg {
        let _ = write!(options, ", {separator:?}");
    }
    if call.function == AggregateFunction::Percentile {
        let _ = write!(options, ", {percentages:?}");
    }
    if call.function == AggregateFunction::Lag {
        let _ = write!(options, ", {offset}");
        options.extend(default.map(|column| format!(", {}", name(column))));
    }
    format!("{function}({distinct}{argument}{options}){filter}")
}

fn describe_over(order: &OverOrder, frame: OverFrame, name: &dyn Fn(usize) -> String) -> String {
    let order = match order {
        OverOrder::Time { column } => name(*column),
        OverOrder::Arrival => "arrival".into(),
        OverOrder::Columns { keys, ties } => {
            let ties: String = ties.iter().map(|tie| format!(", {}", name(*tie))).collect();
            describe_order(keys, name) + &ties
        }
    };
    let unit = if frame.rows { "ROWS" } else { "RANGE" };
    let preceding = frame.preceding.map_or("UNBOUNDED".into(), |preceding| preceding.to_string());
    format!("order=[{order}], {unit} {preceding} PRECEDING")
}

fn columns(schema: &Schema) -> String {
    let columns: Vec<_> = schema.fields().iter().map(|field| column(field)).collect();
    format!("[{}]", columns.join(", "))
}

fn column(field: &Field) -> String {
    let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("`{}` {}{not_null}", field.name(), type_name(field.data_type()))
}

/// The name of a type as Flink writes it.
pub fn type_name(data_type: &DataType) -> String {
    let nested = |field: &Field| {
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{}{not_null}", type_name(field.data_type()))
    };
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(_) => "TIME(0)".into(),
        DataType::Timestamp(unit, zone) => {
            let precision = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            format!("TIMESTAMP{}({precision})", if zone.is_some() { "_LTZ" } else { "" })
        }
        DataType::List(item) => format!("ARRAY<{}>", nested(item)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", nested(&fields[0]), nested(&fields[1]))
            }
            other => format!("MAP<{other}>"),
        },
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("`{}` {}", field.name(), nested(field))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// What hints say of how long state is kept.
fn describe_ttls(hinted_ms: [Option<u64>; 2]) -> String {
    let one = |hinted: Option<u64>| hinted.map_or_else(|| "-".to_string(), |ttl_ms| format!("{ttl_ms} ms"));
    match hinted_ms {
        [None, None] => String::new(),
        [first, second] => format!(" ttl [{}, {}]", one(first), one(second)),
    }
}

/// After how long a split is left out of a watermark, if it ever is.
pub(super) fn describe_idle(idle_ms: Option<u64>) -> String {
    idle_ms.map_or_else(String::new, |idle_ms| format!(", idle after {idle_ms} ms"))
}
