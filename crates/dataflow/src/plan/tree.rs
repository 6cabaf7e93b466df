//! The plan as EXPLAIN shows it: a tree from each sink down to its scans, one line per node.
//!
//! Types stand at scans and sinks, where they meet the outside; in between a line says what its node does, and a
//! column's name only where it is not what it is computed from. `Plan::describe` says everything on every line: it is
//! what fingerprints are taken from, and too long to read.

use super::describe::describe_idle;
use super::{
    Changelog, JoinKind, Keep, Node, NodeId, NodeKind, OverOrder, Plan, RowVariable, SortKey, WindowKind,
    type_name,
};
use crate::expression::Expression;
use arrow_schema::Schema;
use std::fmt::Write;
use std::sync::Arc;

/// The tree; a node with several readers is written once and referred to by its number afterwards. `with_modes`:
/// each line says what changes leave its node.
pub fn tree(plan: &Plan, with_modes: bool) -> String {
    let mut consumed = vec![false; plan.nodes.len()];
    for input in plan.nodes.iter().flat_map(|node| &node.inputs) {
        consumed[input.0] = true;
    }
    let modes = with_modes.then(|| modes(plan));
    let mut text = String::new();
    let mut written = vec![false; plan.nodes.len()];
    for root in (0..plan.nodes.len()).filter(|index| !consumed[*index]) {
        write_node(plan, NodeId(root), 0, modes.as_deref(), &mut written, &mut text);
    }
    text
}

fn write_node(
    plan: &Plan,
    id: NodeId,
    depth: usize,
    modes: Option<&[String]>,
    written: &mut [bool],
    text: &mut String,
) {
    let indent = "   ".repeat(depth.saturating_sub(1));
    let branch = if depth > 0 { "+- " } else { "" };
    if written[id.0] {
        let _ = writeln!(text, "{indent}{branch}#{} (see above)", id.0);
        return;
    }
    written[id.0] = true;
    let node = plan.node(id);
    let mode = modes.map_or_else(String::new, |modes| format!(", changelogMode=[{}]", modes[id.0]));
    let _ = writeln!(text, "{indent}{branch}#{} {}{mode}", id.0, line(plan, node));
    // Where the answers of a lookup join come from is not what a reader of the plan asks.
    let shown = |input: &&NodeId| !matches!(plan.node(**input).kind, NodeKind::LookupAnswers);
    for input in node.inputs.iter().filter(shown) {
        write_node(plan, *input, depth + 1, modes, written, text);
    }
}

/// What leaves each node, as far as it is more than inserts.
pub fn changelog(plan: &Plan) -> String {
    let mut text = String::new();
    let modes = modes(plan);
    for (index, node) in plan.nodes.iter().enumerate() {
        if node.changelog == Changelog::Insert {
            continue;
        }
        let line = line(plan, node);
        let name = line.split('(').next().unwrap_or_default();
        let _ = writeln!(text, "#{index} {name}: [{}]", modes[index]);
    }
    if text.is_empty() {
        return "every node is append-only: [I]\n".into();
    }
    text + "all others are append-only: [I]\n"
}

/// What leaves each node as Flink writes it: I for inserts, UB and UA for the row before and after an update, D for
/// deletions.
pub fn modes(plan: &Plan) -> Vec<String> {
    // Whether updates leave the node, and whether deletions do.
    let mut kinds: Vec<(bool, bool)> = Vec::new();
    for node in &plan.nodes {
        let inputs = node.inputs.iter().map(|input| kinds[input.0]);
        let arriving = inputs.fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1));
        let changes = arriving.0 || arriving.1;
        kinds.push(match &node.kind {
            _ if node.changelog == Changelog::Insert => (false, false),
            NodeKind::Scan { .. }
            | NodeKind::ChangelogNormalize { .. }
            | NodeKind::UpsertMaterialize { .. }
            | NodeKind::ConflictMaterialize { .. } => (true, true),
            NodeKind::GroupAggregate { keys, aggregates } => {
                (!aggregates.is_empty(), changes && !keys.is_empty())
            }
            NodeKind::Join { kind: JoinKind::Inner, .. } => {
                (arriving.0, arriving.1 || node.changelog == Changelog::Upsert)
            }
            NodeKind::Over { .. } => (true, changes),
            NodeKind::Join { .. } | NodeKind::Replicate | NodeKind::Rank { with_number: false, .. } => {
                (false, true)
            }
            NodeKind::Rank { .. } => (true, changes),
            _ => arriving,
        });
    }
    let text = |(node, (updates, deletes)): (&Node, (bool, bool))| {
        let before = updates && node.changelog == Changelog::Retract;
        let parts = [("I", true), ("UB", before), ("UA", updates), ("D", deletes)];
        parts
            .into_iter()
            .filter(|(_, is_there)| *is_there)
            .map(|(part, _)| part)
            .collect::<Vec<_>>()
            .join(",")
    };
    plan.nodes.iter().zip(kinds).map(text).collect()
}

/// `a AS condition`.
fn defined(variable: &RowVariable) -> Option<String> {
    let alone = variable.row_condition.as_ref().map(|condition| condition.describe());
    let rest = variable.condition.as_ref().map(|condition| condition.expression.describe());
    let conditions: Vec<String> = alone.into_iter().chain(rest).collect();
    (!conditions.is_empty()).then(|| format!("{} AS {}", variable.name, conditions.join(" AND ")))
}

/// The name and the details of one node, shorter than [`Plan::describe_node`].
pub fn line(plan: &Plan, node: &Node) -> String {
    let name = |side: usize, index: usize| {
        let schema = node.inputs.get(side).map(|input| &plan.node(*input).schema);
        schema.map_or_else(|| format!("?{index}"), |schema| name_of(schema, index))
    };
    let names = |side: usize, indices: &[usize]| {
        indices.iter().map(|index| name(side, *index)).collect::<Vec<_>>().join(", ")
    };
    match &node.kind {
        NodeKind::Scan { table, bounded, .. } => {
            let bounded = if *bounded { ", bounded" } else { "" };
            format!("Scan(`{}`{bounded}) -> {}", table.name, typed(&node.schema))
        }
        NodeKind::Watermark { column, watermark, idle_ms } => {
            format!("Watermark({} AS {}{})", name(0, *column), watermark.describe(), describe_idle(*idle_ms))
        }
        NodeKind::ProcessingTime => "ProcessingTime".into(),
        NodeKind::Project { expressions } => {
            let items: Vec<String> = expressions
                .iter()
                .enumerate()
                .map(|(index, expression)| named(expression.describe(), &name_of(&node.schema, index)))
                .collect();
            format!("Project({})", items.join(", "))
        }
        NodeKind::Filter { predicate } => format!("Filter({})", predicate.describe()),
        NodeKind::WindowAssign { time_column, window, .. } => {
            format!("WindowAssign({})", window_text(*window, &name(0, *time_column)))
        }
        NodeKind::SessionWindow { time_column, gap_ms, keys, .. } => {
            format!(
                "SessionWindow(SESSION({}, gap={}), keys=[{}])",
                name(0, *time_column),
                duration(*gap_ms),
                names(0, keys)
            )
        }
        NodeKind::WindowJoin { kind, left_keys, right_keys, residual, .. } => {
            let keys = format!("left=[{}], right=[{}]", names(0, left_keys), names(1, right_keys));
            join_text("WindowJoin", plan, node, kind.name(), &keys, residual.as_ref())
        }
        NodeKind::IntervalJoin { kind, times, lower_ms, upper_ms, left_keys, right_keys, residual } => {
            let bound = |ms: i64| {
                let sign = if ms < 0 { "-" } else { "" };
                format!("{sign}{}", duration(ms.abs()))
            };
            let keys = format!(
                "{} - {} from {} to {}, left=[{}], right=[{}]",
                name(0, times[0]),
                name(1, times[1]),
                bound(*lower_ms),
                bound(*upper_ms),
                names(0, left_keys),
                names(1, right_keys)
            );
            join_text("IntervalJoin", plan, node, kind.name(), &keys, residual.as_ref())
        }
        NodeKind::TemporalJoin { kind, times, left_keys, right_keys, residual } => {
            let keys = format!(
                "{} at {}, left=[{}], right=[{}]",
                name(1, times[1]),
                name(0, times[0]),
                names(0, left_keys),
                names(1, right_keys)
            );
            join_text("TemporalJoin", plan, node, kind.name(), &keys, residual.as_ref())
        }
        NodeKind::Deduplicate { keys, keep } => {
            let wanted = match keep {
                Keep::First => "first".into(),
                Keep::NotOlderThan(time) => format!("latest by {}", name(0, *time)),
                Keep::Earliest(time) => format!("earliest by {}", name(0, *time)),
            };
            format!("Deduplicate(key=[{}], {wanted})", names(0, keys))
        }
        NodeKind::TemporalSort { time_column, order } => {
            let rest = order_text(order, &|column| name(0, column));
            let rest = if rest.is_empty() { rest } else { format!(", {rest}") };
            format!("TemporalSort({} ASC{rest})", name(0, *time_column))
        }
        NodeKind::Replicate => "Replicate".into(),
        // Keys and calls are named after what the query says they are.
        NodeKind::WindowAggregate { time_column, window, keys, aggregates, .. } => {
            let outputs: Vec<String> =
                (0..keys.len() + aggregates.len()).map(|index| name_of(&node.schema, index)).collect();
            let (keys, calls) = outputs.split_at(keys.len());
            format!(
                "WindowAggregate({}, keys=[{}], aggregates=[{}])",
                window_text(*window, &name(0, *time_column)),
                keys.join(", "),
                calls.join(", ")
            )
        }
        NodeKind::SessionAggregate { time_column, gap_ms, keys, aggregates, .. } => {
            let outputs: Vec<String> =
                (0..keys.len() + aggregates.len()).map(|index| name_of(&node.schema, index)).collect();
            let (keys, calls) = outputs.split_at(keys.len());
            format!(
                "SessionAggregate(SESSION({}, gap={}), keys=[{}], aggregates=[{}])",
                name(0, *time_column),
                duration(*gap_ms),
                keys.join(", "),
                calls.join(", ")
            )
        }
        NodeKind::BoundedJoin { kind, stream_keys, table_keys, residual } => {
            let keys = format!("stream=[{}], table=[{}]", names(0, stream_keys), names(1, table_keys));
            join_text("BoundedJoin", plan, node, kind.name(), &keys, residual.as_ref())
        }
        NodeKind::LookupJoin(join) => {
            let found: Vec<String> =
                join.found_schema().fields().iter().map(|field| field.name().clone()).collect();
            format!(
                "LookupJoin({}, {}, found=[{}])",
                join.text(&names(0, &join.stream_keys)),
                join.asking.text(),
                found.join(", ")
            )
        }
        NodeKind::LookupAnswers => "LookupAnswers".into(),
        NodeKind::Unnest(unnest) => format!("Unnest({})", unnest.text()),
        NodeKind::MatchRecognize { pattern, partition, time_column, order, measures } => {
            let time = time_column.map_or("PROCTIME".into(), |column| name(0, column));
            let orders = order.iter().map(|key| {
                let direction = if key.descending { " DESC" } else { "" };
                format!("{}{direction}", name(0, key.column))
            });
            let order: Vec<String> = std::iter::once(time).chain(orders).collect();
            let defines: Vec<String> = pattern.variables.iter().filter_map(defined).collect();
            let within = pattern.within_ms.map(|ms| format!(", within={}", duration(ms))).unwrap_or_default();
            let measures: Vec<String> = measures
                .iter()
                .enumerate()
                .map(|(index, measure)| {
                    named(measure.expression.describe(), &name_of(&node.schema, partition.len() + index))
                })
                .collect();
            format!(
                "MatchRecognize(partition=[{}], order=[{}], pattern=({}), define=[{}], after={}{within}, measures=[{}])",
                names(0, partition),
                order.join(", "),
                pattern.describe(),
                defines.join(", "),
                pattern.describe_after_match(),
                measures.join(", ")
            )
        }
        NodeKind::Union => "Union".into(),
        NodeKind::GroupAggregate { keys, aggregates } => {
            let outputs: Vec<String> =
                (0..keys.len() + aggregates.len()).map(|index| name_of(&node.schema, index)).collect();
            let (keys, calls) = outputs.split_at(keys.len());
            format!("GroupAggregate(keys=[{}], aggregates=[{}])", keys.join(", "), calls.join(", "))
        }
        NodeKind::Join { kind, left_keys, right_keys, residual } => {
            let keys = format!("left=[{}], right=[{}]", names(0, left_keys), names(1, right_keys));
            join_text("Join", plan, node, kind.name(), &keys, residual.as_ref())
        }
        NodeKind::Rank { partition, order, first, last, with_number, latest_first }
        | NodeKind::WindowRank { partition, order, first, last, with_number, latest_first, .. } => {
            let rows = if first == last { format!("{first}") } else { format!("{first}..{last}") };
            let number = if *with_number { ", with number" } else { "" };
            let latest = if *latest_first { ", latest first" } else { "" };
            let node_name = if matches!(node.kind, NodeKind::Rank { .. }) { "Rank" } else { "WindowRank" };
            format!(
                "{node_name}(partition=[{}], order=[{}], rows={rows}{number}{latest})",
                names(0, partition),
                order_text(order, &|column| name(0, column))
            )
        }
        NodeKind::Over { partition, order, frame, aggregates } => {
            let width = node.schema.fields().len() - aggregates.len();
            let calls: Vec<String> =
                (width..width + aggregates.len()).map(|index| name_of(&node.schema, index)).collect();
            let order = match order {
                OverOrder::Time { column } => name(0, *column),
                OverOrder::Arrival => "arrival".into(),
                OverOrder::Columns { keys, .. } => {
                    names(0, &keys.iter().map(|key| key.column).collect::<Vec<usize>>())
                }
            };
            let begin = match frame.preceding {
                None => "UNBOUNDED".into(),
                Some(rows) if frame.rows => rows.to_string(),
                Some(ms) => duration(ms),
            };
            let frame = if frame.rows { "ROWS" } else { "RANGE" };
            format!(
                "Over(partition=[{}], order=[{order}], {frame} {begin} PRECEDING, aggregates=[{}])",
                names(0, partition),
                calls.join(", ")
            )
        }
        NodeKind::ChangelogNormalize { keys } => format!("ChangelogNormalize(key=[{}])", names(0, keys)),
        NodeKind::UpsertMaterialize { keys } => format!("UpsertMaterialize(key=[{}])", names(0, keys)),
        NodeKind::ConflictMaterialize { keys, on_conflict, .. } => {
            format!("ConflictMaterialize(key=[{}], on conflict do {})", names(0, keys), on_conflict.name())
        }
        NodeKind::Sink { table } => format!("Sink(`{}`) -> {}", table.name, typed(&node.schema)),
    }
}

fn order_text(order: &[SortKey], name: &dyn Fn(usize) -> String) -> String {
    let key = |key: &SortKey| {
        let direction = if key.descending { "DESC" } else { "ASC" };
        // Flink's NULLs are the least.
        let usual = key.nulls_first != key.descending;
        let nulls = match (usual, key.nulls_first) {
            (true, _) => "",
            (false, true) => " NULLS FIRST",
            (false, false) => " NULLS LAST",
        };
        format!("{} {direction}{nulls}", name(key.column))
    };
    order.iter().map(key).collect::<Vec<_>>().join(", ")
}

fn join_text(
    name: &str,
    plan: &Plan,
    node: &Node,
    kind: &str,
    keys: &str,
    residual: Option<&Arc<dyn Expression>>,
) -> String {
    let mut text = format!("{name}({kind}, {keys}");
    if let Some(residual) = residual {
        let _ = write!(text, ", {}", residual.describe());
    }
    let renamed = renamed_by_join(plan, node);
    if !renamed.is_empty() {
        let _ = write!(text, ", renamed=[{}]", renamed.join(", "));
    }
    text + ")"
}

/// Columns of the table whose names the stream has too.
fn renamed_by_join(plan: &Plan, node: &Node) -> Vec<String> {
    let inputs = node.inputs.iter().flat_map(|input| plan.node(*input).schema.fields());
    inputs
        .zip(node.schema.fields())
        .filter(|(before, after)| before.name() != after.name())
        .map(|(before, after)| format!("{} AS {}", before.name(), after.name()))
        .collect()
}

/// `expression AS name`, without what says nothing: the expression's own text, or the `$f0` of a column made for an
/// aggregate, which shows it by what it is.
fn named(expression: String, name: &str) -> String {
    let unnamed = name
        .strip_prefix("$f")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if unnamed || expression == name { expression } else { format!("{expression} AS {name}") }
}

fn name_of(schema: &Schema, index: usize) -> String {
    schema.fields().get(index).map_or_else(|| format!("?{index}"), |field| field.name().clone())
}

fn typed(schema: &Schema) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("`{}` {}{not_null}", field.name(), type_name(field.data_type()))
        })
        .collect();
    format!("[{}]", columns.join(", "))
}

fn window_text(window: WindowKind, time: &str) -> String {
    let offset = |offset_ms: i64| match offset_ms {
        0 => String::new(),
        offset_ms => format!(", offset={}", duration(offset_ms)),
    };
    match window {
        WindowKind::Tumble { size_ms, offset_ms } => {
            format!("TUMBLE({time}, size={}{})", duration(size_ms), offset(offset_ms))
        }
        WindowKind::Hop { size_ms, slide_ms, offset_ms } => format!(
            "HOP({time}, slide={}, size={}{})",
            duration(slide_ms),
            duration(size_ms),
            offset(offset_ms)
        ),
        WindowKind::Cumulate { size_ms, step_ms, offset_ms } => format!(
            "CUMULATE({time}, step={}, size={}{})",
            duration(step_ms),
            duration(size_ms),
            offset(offset_ms)
        ),
        WindowKind::Attached => "windows of its rows".into(),
    }
}

/// In the largest unit that leaves no rest.
pub(super) fn duration(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let unit = UNITS.iter().find(|(size, _)| ms != 0 && ms % size == 0);
    unit.map_or_else(|| format!("{ms} ms"), |(size, unit)| format!("{} {unit}", ms / size))
}
