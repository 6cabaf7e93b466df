//! What tells operators apart over the changes of a statement.
//!
//! 1. A node's identity is a hash of all that its state is made of: what it does, and the identities of what it reads.
//!    Names, sinks and what stands behind it are no part of it.
//! 2. A flow of rows and its columns have identities of their own. Projections, filters and watermarks hand the columns
//!    on that they do not touch, so an operator does not see a column more in a scan that somebody else wants.
//! 3. All other nodes see every column of their inputs: rows may be kept whole.
//! 4. Each call of a group or window aggregate keeps what it needs by itself, so it has an identity of its own, and so has
//!    its column. What an aggregate is without its calls and times to live is its family: in a family one state may be
//!    made of another.
//! 5. A table is what is read or written: its options, without those that say where to begin, how to log in, and how fast.
//!    Where records are read by the places of the columns, the columns are part of it. Its address is less: where it lies.
//!
//! Two nodes may have one identity. Whoever compares plans tells them apart by their inputs, by who uses their rows, and
//! by their order.

use super::describe::{describe_aggregate, describe_window};
use super::{Aggregate, Changelog, Node, NodeId, NodeKind, Plan, type_name};
use crate::expression::Expression;
use crate::table::TableDefinition;
use arrow_schema::Field;

/// Options that do not decide what a table holds; a dot at the end means all that begin so.
const INDIFFERENT: &[&str] = &[
    "properties.",
    "scan.startup.",
    "scan.rate-limit.",
    "scan.watermark.",
    "scan.flow-control.",
    "scan.topic-partition-discovery.",
    "scan.poll-interval",
    "scan.parallelism",
    "scan.fetch-size",
    "scan.snapshot.fetch.size",
    "sink.",
    "dead-letter.",
    "username",
    "lookup.",
];

/// Options of formats that decide what becomes of a record that cannot be read.
const OF_BAD_RECORDS: &[&str] = &[".ignore-parse-errors", ".fail-on-missing-field"];

/// Options whose names have one of these say how to log in.
const SECRETS: &[&str] = &["password", "secret", "token", "credential", "accesskeyid"];

/// Formats that match columns by their names. By all others a column has its place.
const BY_NAME: &[&str] = &[
    "json",
    "debezium-json",
    "canal-json",
    "maxwell-json",
    "ogg-json",
    "avro-confluent",
    "debezium-avro-confluent",
    "protobuf",
    "protobuf-confluent",
    "parquet",
];

/// Where reading begins.
const STARTUP: &str = "scan.startup";

/// What tables of one connector are told apart by; tables without any of these are what they are called.
const ADDRESSES: &[&str] = &[
    "topic",
    "topic-pattern",
    "path",
    "table-name",
    "collection",
    "collection-name",
    "index",
    "queue",
    "queue-name",
    "exchange",
    "subject",
    "stream",
    "subscription",
    "channel",
    "key",
    "command",
];

/// The identities of a plan's nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    /// By node.
    pub nodes: Vec<u64>,
    /// By node: what it is whatever its times to live are and, of an aggregate whose calls have identities, whatever
    /// these are.
    pub families: Vec<u64>,
    /// By node, of such an aggregate: the identities of its calls.
    pub calls: Vec<Vec<u64>>,
    /// By node: what is made of its rows, down to the sinks. Of a sink, what it is given.
    pub uses: Vec<u64>,
    /// By node: who reads its rows, up to the first that has several inputs, keeps something, or is a sink.
    pub readers: Vec<u64>,
    /// By node, of those that read or write a table; 0 of all others.
    pub tables: Vec<Table>,
}

/// What is known of a node's table beside its identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Table {
    /// Where it lies, however it is read or written.
    pub address: u64,
    /// Its columns and keys in their order, where bytes that wait are read by that; else 0.
    pub layout: u64,
    /// Where reading begins.
    pub startup: u64,
}

impl Table {
    fn of(node: &Node) -> Table {
        match &node.kind {
            NodeKind::Scan { table, .. } => {
                let layout = if is_by_name(table) { 0 } else { layout_of(table) };
                Table { address: address_of(table), layout, startup: startup_of(table) }
            }
            NodeKind::Sink { table } => {
                Table { address: address_of(table), layout: layout_of(table), startup: 0 }
            }
            NodeKind::LookupJoin(join) => Table { address: address_of(&join.table), layout: 0, startup: 0 },
            _ => Table::default(),
        }
    }
}

/// What leaves a node.
struct Flow {
    rows: u64,
    columns: Vec<u64>,
}

/// What a node is.
struct Identity {
    node: u64,
    family: u64,
    calls: Vec<u64>,
}

impl Identity {
    /// Of a node that keeps nothing for a time, and whose parts have no identities.
    fn of(node: u64) -> Identity {
        Identity { node, family: node, calls: Vec::new() }
    }
}

impl Identities {
    pub fn of(plan: &Plan) -> Identities {
        let mut nodes = Vec::with_capacity(plan.nodes.len());
        let (mut families, mut calls) = (Vec::new(), Vec::new());
        let mut flows: Vec<Flow> = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let inputs: Vec<&Flow> = node.inputs.iter().map(|input| &flows[input.0]).collect();
            let (identity, flow) = Seen { plan, node, id: NodeId(index), inputs }.identify();
            nodes.push(identity.node);
            families.push(identity.family);
            calls.push(identity.calls);
            flows.push(flow);
        }
        // Answers are those of whoever asks.
        for (join, answers, _) in plan.lookups() {
            nodes[answers.0] = hash("answers", &[nodes[join.0]]);
            families[answers.0] = nodes[answers.0];
        }
        let uses = Identities::uses(plan, &nodes, &flows);
        let readers = Identities::readers(plan, &nodes);
        let tables = plan.nodes.iter().map(Table::of).collect();
        Identities { nodes, families, calls, uses, readers, tables }
    }

    fn uses(plan: &Plan, nodes: &[u64], flows: &[Flow]) -> Vec<u64> {
        let mut by_reader: Vec<Vec<u64>> = vec![Vec::new(); plan.nodes.len()];
        let mut uses = vec![0; plan.nodes.len()];
        // Whoever reads a node stands behind it.
        for (index, node) in plan.nodes.iter().enumerate().rev() {
            let mut readers = std::mem::take(&mut by_reader[index]);
            readers.sort_unstable();
            uses[index] = match (&node.kind, node.inputs.first()) {
                (NodeKind::Sink { .. }, Some(input)) => {
                    let given = &flows[input.0];
                    let all = [nodes[index], given.rows].into_iter().chain(given.columns.iter().copied());
                    hash("given", &all.collect::<Vec<_>>())
                }
                _ => hash("read by", &readers),
            };
            for (side, input) in (0..).zip(&node.inputs) {
                by_reader[input.0].push(hash("reader", &[nodes[index], side, uses[index]]));
            }
        }
        uses
    }
}

impl Identities {
    fn readers(plan: &Plan, nodes: &[u64]) -> Vec<u64> {
        let mut ends: Vec<Vec<u64>> = vec![Vec::new(); plan.nodes.len()];
        for (index, node) in plan.nodes.iter().enumerate().rev() {
            let hands_on = node.inputs.len() == 1
                && plan.kept(NodeId(index)).is_none()
                && !matches!(node.kind, NodeKind::Sink { .. });
            for (side, input) in (0..).zip(&node.inputs) {
                let own = match hands_on {
                    true => ends[index].clone(),
                    false => vec![hash("reader", &[nodes[index], side])],
                };
                ends[input.0].extend(own);
            }
        }
        let of_node = |mut ends: Vec<u64>| {
            ends.sort_unstable();
            hash("readers", &ends)
        };
        ends.into_iter().map(of_node).collect()
    }
}

/// A node with what it reads.
struct Seen<'a> {
    plan: &'a Plan,
    node: &'a Node,
    id: NodeId,
    inputs: Vec<&'a Flow>,
}

impl Seen<'_> {
    fn identify(&self) -> (Identity, Flow) {
        let node = self.node;
        let text = node.describe_with(&|side, column| self.name(side, column), &|expression| {
            expression.describe_over(&|column| self.name_of_any(column))
        });
        match &node.kind {
            NodeKind::Scan { table, projection, metadata, bounded } => {
                let layout = if is_by_name(table) { 0 } else { layout_of(table) };
                let kind = format!("scan bounded={bounded} {:?}", node.changelog);
                let rows = hash(&kind, &[table_of(table), layout]);
                let physical = projection.iter().map(|column| {
                    let field = table.schema.fields().get(*column);
                    hash(&field.map_or(String::new(), |field| column_text(field)), &[rows])
                });
                let metadata = metadata.iter().map(|column| {
                    let column = table.metadata.get(*column);
                    let text = column
                        .map(|column| format!("metadata {} {}", column.key, type_name(&column.data_type)));
                    hash(&text.unwrap_or_default(), &[rows])
                });
                (Identity::of(rows), Flow { rows, columns: physical.chain(metadata).collect() })
            }
            NodeKind::Sink { table } => {
                let id = hash("sink", &[table_of(table)]);
                (Identity::of(id), Flow { rows: id, columns: Vec::new() })
            }
            NodeKind::Project { expressions } => {
                let columns = expressions.iter().map(|expression| self.column_of(expression.as_ref()));
                let columns: Vec<u64> = columns.collect();
                let rows = self.rows(0);
                let all: Vec<u64> = std::iter::once(rows).chain(columns.iter().copied()).collect();
                (Identity::of(hash("project", &all)), Flow { rows, columns })
            }
            NodeKind::Filter { .. } | NodeKind::Watermark { .. } => {
                let rows = hash(&text, &[self.rows(0)]);
                (Identity::of(rows), Flow { rows, columns: self.columns(0) })
            }
            NodeKind::ProcessingTime => {
                let rows = hash(&text, &[self.rows(0)]);
                (Identity::of(rows), Flow { rows, columns: self.columns(0) })
            }
            NodeKind::WindowAssign { .. } => {
                let rows = hash(&text, &[self.rows(0)]);
                let mut columns = self.columns(0);
                columns.extend((0..3).map(|place| hash("window", &[rows, place])));
                (Identity::of(rows), Flow { rows, columns })
            }
            NodeKind::Unnest(unnest) => {
                // Which columns are handed on decides no row.
                let own = text.split(", kept=").next().unwrap_or_default();
                let rows = hash(own, &[self.rows(0)]);
                let handed = self.columns(0);
                let mut columns: Vec<u64> =
                    unnest.kept.iter().map(|column| handed.get(*column).copied().unwrap_or(0)).collect();
                let more = node.schema.fields().len().saturating_sub(columns.len());
                columns.extend((0..more as u64).map(|place| hash("element", &[rows, place])));
                (Identity::of(rows), Flow { rows, columns })
            }
            NodeKind::Union => {
                let all: Vec<u64> = self.inputs.iter().map(|input| input.rows).collect();
                let rows = hash("union", &all);
                let column = |place: usize| {
                    let all: Vec<u64> = self
                        .inputs
                        .iter()
                        .map(|input| input.columns.get(place).copied().unwrap_or(0))
                        .collect();
                    hash("union", &all)
                };
                (
                    Identity::of(rows),
                    Flow { rows, columns: (0..node.schema.fields().len()).map(column).collect() },
                )
            }
            NodeKind::LookupAnswers => {
                let columns = (0..node.schema.fields().len() as u64).map(|place| hash("answer", &[place]));
                (Identity::of(0), Flow { rows: 0, columns: columns.collect() })
            }
            NodeKind::GroupAggregate { keys, aggregates } => {
                self.aggregate("GroupAggregate", 0, keys, aggregates)
            }
            NodeKind::WindowAggregate { time_column, window, zone, keys, aggregates } => {
                let windows = describe_window(*window, &self.name(0, *time_column), *zone);
                self.aggregate(&format!("WindowAggregate({windows})"), 3, keys, aggregates)
            }
            _ => {
                let family = self.opaque(&text);
                let columns =
                    (0..node.schema.fields().len() as u64).map(|place| hash("column", &[family, place]));
                let flow = Flow { rows: family, columns: columns.collect() };
                (Identity { node: self.with_ttls(family, &[]), family, calls: Vec::new() }, flow)
            }
        }
    }

    /// An aggregate whose calls are told apart; behind their columns stand those of the window.
    fn aggregate(
        &self,
        kind: &str,
        windows: u64,
        keys: &[usize],
        aggregates: &[Aggregate],
    ) -> (Identity, Flow) {
        let name = |column: usize| self.name(0, column);
        let changelog = self.node.inputs.first().map(|input| self.plan.node(*input).changelog);
        let keys_text: Vec<String> = keys.iter().map(|key| name(*key)).collect();
        let family = hash(&format!("{kind} {changelog:?} by {}", keys_text.join(", ")), &[self.rows(0)]);
        let call = |call: &Aggregate| {
            hash(&format!("{} {}", describe_aggregate(call, &name), type_name(&call.data_type)), &[family])
        };
        let calls: Vec<u64> = aggregates.iter().map(call).collect();
        let columns = (0..keys.len() as u64).map(|place| hash("key", &[family, place]));
        let columns = columns.chain(calls.iter().copied());
        let windows = (0..windows).map(|place| hash("window", &[family, place]));
        let flow = Flow { rows: family, columns: columns.chain(windows).collect() };
        (Identity { node: self.with_ttls(family, &calls), family, calls }, flow)
    }

    /// What a node is for whom its calls and times to live count.
    fn with_ttls(&self, family: u64, calls: &[u64]) -> u64 {
        let ttls_ms = self.plan.ttls_ms(self.id);
        let parts: Vec<u64> = std::iter::once(family).chain(calls.iter().copied()).collect();
        hash(&format!("{ttls_ms:?}"), &parts)
    }

    /// A node that may keep all that it is given.
    fn opaque(&self, text: &str) -> u64 {
        let node = self.node;
        let mut text = text.to_string();
        for input in &node.inputs {
            text.push_str(&format!("; {:?}", self.plan.node(*input).changelog));
        }
        // What these keep does not depend on which changes are shown of it.
        let is_same = matches!(node.kind, NodeKind::ChangelogNormalize { .. } | NodeKind::Join { .. });
        if !is_same && node.changelog != Changelog::Insert {
            text.push_str(&format!("; gives {:?}", node.changelog));
        }
        let results = node.schema.fields().iter().map(|field| type_name(field.data_type()));
        text.push_str(&format!("; {}", results.collect::<Vec<_>>().join(", ")));
        if let NodeKind::LookupJoin(join) = &node.kind {
            text.push_str(&format!("; {:016x}", table_of(&join.table)));
        }
        if let NodeKind::MatchRecognize { pattern, measures, .. } = &node.kind {
            for expression in pattern.expressions(measures) {
                text.push_str(&format!("; {}", expression.describe_over(&|column| format!("#{column}"))));
            }
            // Its conditions name the columns.
            let names = node.inputs.iter().flat_map(|input| self.plan.node(*input).schema.fields().iter());
            text.push_str(&format!(
                "; {}",
                names.map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
            ));
        }
        let inputs = self
            .inputs
            .iter()
            .flat_map(|input| std::iter::once(input.rows).chain(input.columns.iter().copied()));
        hash(&text, &inputs.collect::<Vec<_>>())
    }

    fn rows(&self, side: usize) -> u64 {
        self.inputs.get(side).map_or(0, |input| input.rows)
    }

    fn columns(&self, side: usize) -> Vec<u64> {
        self.inputs.get(side).map_or(Vec::new(), |input| input.columns.clone())
    }

    fn name(&self, side: usize, column: usize) -> String {
        let column = self.inputs.get(side).and_then(|input| input.columns.get(column));
        column.map_or_else(|| "?".into(), |column| format!("{column:016x}"))
    }

    /// Expressions of joins are over the columns of both inputs.
    fn name_of_any(&self, column: usize) -> String {
        let mut left = column;
        for (side, input) in self.inputs.iter().enumerate() {
            if left < input.columns.len() || side + 1 == self.inputs.len() {
                return self.name(side, left);
            }
            left -= input.columns.len();
        }
        "?".into()
    }

    /// What an expression gives; a column that is handed on stays what it is.
    fn column_of(&self, expression: &dyn Expression) -> u64 {
        match expression.column() {
            Some(column) => self.columns(0).get(column).copied().unwrap_or(0),
            None => {
                let text = expression.describe_over(&|column| self.name(0, column));
                let kind = type_name(expression.data_type());
                let random = if expression.is_deterministic() { 0 } else { self.rows(0) };
                hash(&format!("{text} {kind}"), &[random])
            }
        }
    }
}

fn column_text(field: &Field) -> String {
    let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{not_null}", field.name(), type_name(field.data_type()))
}

/// What is read or written, whatever it is called.
fn table_of(table: &TableDefinition) -> u64 {
    let mut text = String::new();
    for (key, value) in table.options.iter().filter(|(key, _)| !is_indifferent(key)) {
        text.push_str(&format!("{key}={value}\n"));
    }
    text.push_str(unaddressed_name(table));
    hash(&text, &[])
}

fn is_indifferent(key: &str) -> bool {
    let is_known = |known: &&str| key == *known || (known.ends_with('.') && key.starts_with(*known));
    INDIFFERENT.iter().any(is_known)
        || OF_BAD_RECORDS.iter().any(|end| key.ends_with(end))
        || SECRETS.iter().any(|part| key.contains(part))
}

/// The name of a table that has nothing else to be told apart by.
fn unaddressed_name(table: &TableDefinition) -> &str {
    match ADDRESSES.iter().any(|key| table.options.contains_key(*key)) {
        true => "",
        false => &table.name,
    }
}

/// Where a table lies, whatever else its options say.
fn address_of(table: &TableDefinition) -> u64 {
    let keys = std::iter::once(&"connector").chain(ADDRESSES);
    let mut text = String::new();
    for (key, value) in keys.filter_map(|key| Some((key, table.options.get(*key)?))) {
        text.push_str(&format!("{key}={value}\n"));
    }
    text.push_str(unaddressed_name(table));
    hash(&text, &[])
}

fn startup_of(table: &TableDefinition) -> u64 {
    let options = table.options.iter().filter(|(key, _)| key.starts_with(STARTUP));
    hash(&options.map(|(key, value)| format!("{key}={value}\n")).collect::<String>(), &[])
}

/// Whether the table has formats, and all of them match columns by name.
fn is_by_name(table: &TableDefinition) -> bool {
    let is_format = |key: &str| key == "format" || key == "key.format" || key == "value.format";
    let mut formats = table.options.iter().filter(|(key, _)| is_format(key)).peekable();
    formats.peek().is_some() && formats.all(|(_, format)| BY_NAME.contains(&format.as_str()))
}

fn layout_of(table: &TableDefinition) -> u64 {
    let columns: Vec<String> = table.schema.fields().iter().map(|field| column_text(field)).collect();
    let metadata: Vec<String> = table
        .metadata
        .iter()
        .map(|column| format!("{} {} {}", column.name, column.key, type_name(&column.data_type)))
        .collect();
    let parts = [&columns, &metadata, &table.primary_key, &table.partition_keys];
    hash(&parts.map(|part| part.join(", ")).join("; "), &[])
}

fn hash(text: &str, parts: &[u64]) -> u64 {
    let mut bytes = text.as_bytes().to_vec();
    parts.iter().for_each(|part| bytes.extend_from_slice(&part.to_le_bytes()));
    state::hash(&bytes)
}
