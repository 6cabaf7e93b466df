//! The group aggregate against a model that keeps every row and works each result out anew.

use super::changelogs::*;
use super::fixtures::*;
use crate::batch::RowKind::{self, Delete, Insert, UpdateAfter, UpdateBefore};
use crate::engine::{Dataflow, DataflowOptions, StepInput};
use crate::plan::AggregateFunction::{
    ArrayAgg, Avg, Collect, Count, FirstValue, JsonArrayAgg, JsonObjectAgg, LastValue, ListAgg, Max, Min,
    Percentile, SquaredDeviations, Sum,
};
use crate::plan::Changelog::{self, Retract, Upsert};
use crate::plan::{Aggregate, AggregateFunction, AggregateOptions, NodeId, NodeKind, Plan};
use arrow_schema::{DataType, Field, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[
    ("k", DataType::Utf8),
    ("n", DataType::Int16),
    ("i", DataType::Int32),
    ("l", DataType::Int64),
    ("d", DataType::Decimal128(10, 2)),
    ("w", DataType::Decimal128(38, 0)),
    ("f", DataType::Float64),
    ("g", DataType::Float32),
    ("s", DataType::Utf8),
    ("x", DataType::Binary),
    ("b", DataType::Boolean),
    ("t", TIMESTAMP),
];
const BOOLEAN: usize = 10;

fn random_row(random: &mut Random) -> String {
    let pick = |random: &mut Random, choices: &[&str]| {
        choices[random.below(choices.len() as u64) as usize].to_string()
    };
    let cells = [
        pick(random, &["a", "b", "c", "d", "-"]),
        pick(random, &["1", "-7", "30000", "-"]),
        pick(random, &["5", "-5", "2000000000", "17", "-"]),
        pick(random, &["9000000000000000000", "-3", "4", "-"]),
        pick(random, &["150", "-25", "9999999999", "-"]),
        pick(random, &["90000000000000000000000000000000000000", "-1", "7", "-"]),
        pick(random, &["0.1", "-0.3", "1e17", "2.5", "-0.0", "0.0", "-"]),
        pick(random, &["0.1", "-0.7", "1e7", "-"]),
        pick(random, &["x", "xy", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", "z", "-"]),
        pick(random, &["p", "q", "-"]),
        pick(random, &["true", "false", "-"]),
        pick(random, &["-5", "100", "7", "-"]),
    ];
    cells.join(" ")
}

fn distinct(call: Aggregate) -> Aggregate {
    Aggregate { distinct: true, ..call }
}

fn filtered(call: Aggregate) -> Aggregate {
    Aggregate { filter: Some(BOOLEAN), ..call }
}

/// Every function over every type, plain, DISTINCT and with FILTER.
fn all_calls() -> Vec<Aggregate> {
    let mut calls = vec![call(Count, None, DataType::Int64), filtered(call(Count, None, DataType::Int64))];
    for (column, (_, data_type)) in COLUMNS.iter().enumerate() {
        let mut own = vec![
            call(Count, Some(column), DataType::Int64),
            call(Max, Some(column), data_type.clone()),
            call(Min, Some(column), data_type.clone()),
        ];
        own.push(call(FirstValue, Some(column), data_type.clone()));
        own.push(call(LastValue, Some(column), data_type.clone()));
        match data_type {
            DataType::Utf8 => {
                let separator = AggregateOptions { separator: "|".into(), ..AggregateOptions::default() };
                own.push(Aggregate { options: separator, ..call(ListAgg, Some(column), DataType::Utf8) });
                own.push(call(Collect, Some(column), multiset_of(DataType::Utf8)));
                own.push(call(JsonArrayAgg, Some(column), DataType::Utf8));
            }
            DataType::Int32 | DataType::Float64 => {
                own.push(call(ArrayAgg, Some(column), array_of(data_type.clone())));
                own.push(call(Collect, Some(column), multiset_of(data_type.clone())));
            }
            _ => {}
        }
        if *data_type == DataType::Float64 {
            let some = AggregateOptions { percentages: vec![0.3], ..AggregateOptions::default() };
            let several =
                AggregateOptions { percentages: vec![1.0, 0.0, 0.75], ..AggregateOptions::default() };
            own.push(Aggregate { options: some, ..call(Percentile, Some(column), DataType::Float64) });
            let result = array_of(DataType::Float64);
            own.push(Aggregate { options: several, ..call(Percentile, Some(column), result) });
        }
        let sums = match data_type {
            DataType::Decimal128(_, scale) => {
                let average = DataType::Decimal128(38, 6.max(*scale));
                vec![(Sum, DataType::Decimal128(38, *scale)), (Avg, average)]
            }
            other if other.is_numeric() => vec![(Sum, other.clone()), (Avg, other.clone())],
            _ => Vec::new(),
        };
        own.extend(sums.into_iter().map(|(function, result)| call(function, Some(column), result)));
        for call in own {
            calls.push(distinct(call.clone()));
            calls.push(filtered(distinct(call.clone())));
            calls.push(filtered(call.clone()));
            calls.push(call);
        }
    }
    calls
}

fn plan_of(keys: &[usize], calls: &[Aggregate], input: Changelog, output: Changelog) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, false);
    planner.plan.nodes[scan.0].changelog = input;
    let mut fields: Vec<_> = keys.iter().map(|key| planner.schema(scan).field(*key).clone()).collect();
    for (index, call) in calls.iter().enumerate() {
        fields.push(Field::new(format!("a{index}"), call.data_type.clone(), true));
    }
    let kind = NodeKind::GroupAggregate { keys: keys.to_vec(), aggregates: calls.to_vec() };
    let group = planner.add(kind, &[scan], Arc::new(Schema::new(fields)));
    planner.plan.nodes[group.0].changelog = output;
    planner.sink(group, "out");
    (planner.build(), scan)
}

/// A key's rows, in the order in which they came; and the sums of floats, which have a history.
#[derive(Default, Clone)]
struct Group {
    rows: Vec<Vec<String>>,
    floats: BTreeMap<usize, (f64, i64)>,
    /// By call: values in the order in which they came. Of equal ones the earliest goes.
    lists: BTreeMap<usize, Vec<String>>,
    first: bool,
}

/// What counts for a call: the values of the rows that pass.
fn values<'a>(call: &Aggregate, rows: &'a [Vec<String>]) -> Vec<&'a str> {
    let passing = rows.iter().filter(|row| call.filter.is_none_or(|filter| row[filter] == "true"));
    let values = passing.map(|row| call.argument.map_or("*", |column| row[column].as_str()));
    values.filter(|value| *value != "-" || call.function == ArrayAgg).collect()
}

fn unique(values: Vec<&str>) -> Vec<&str> {
    let mut seen = std::collections::BTreeSet::new();
    values.into_iter().filter(|value| seen.insert(*value)).collect()
}

/// Floats are summed up change by change, in the width of the result.
fn change_float(call: &Aggregate, state: &mut (f64, i64), value: &str, adds: bool) {
    let narrow = call.function == Sum && call.data_type == DataType::Float32;
    let value = if COLUMNS[call.argument.unwrap()].1 == DataType::Float32 {
        f64::from(value.parse::<f32>().unwrap())
    } else {
        value.parse().unwrap()
    };
    let sum = match (adds, state.1) {
        (true, 0) => value,
        (true, _) if narrow => f64::from(state.0 as f32 + value as f32),
        (false, _) if narrow => f64::from(state.0 as f32 - value as f32),
        (true, _) => state.0 + value,
        (false, _) => state.0 - value,
    };
    state.1 += if adds { 1 } else { -1 };
    state.0 = if state.1 == 0 { 0.0 } else { sum };
}

fn is_float(call: &Aggregate) -> bool {
    matches!(call.function, Sum | Avg) && call.data_type.is_floating()
}

/// Its values stand in the order in which they came.
fn is_list(call: &Aggregate) -> bool {
    matches!(call.function, FirstValue | LastValue | ListAgg | ArrayAgg | JsonArrayAgg)
}

fn is_distinct(call: &Aggregate) -> bool {
    call.distinct && !matches!(call.function, FirstValue | LastValue | Min | Max)
}

fn gathered(index: usize, call: &Aggregate, group: &Group, counted: &[&str]) -> Option<String> {
    let empty = Vec::new();
    let list = group.lists.get(&index).unwrap_or(&empty);
    let data_type = &COLUMNS[call.argument?].1;
    let cell = |value: &str| if value == "-" { "-".into() } else { shown(data_type, value) };
    Some(match call.function {
        FirstValue => list.first().map_or("-".into(), |value| cell(value)),
        LastValue => list.last().map_or("-".into(), |value| cell(value)),
        ListAgg if list.is_empty() => "-".into(),
        ListAgg => list.join("|"),
        JsonArrayAgg => format!("[{}]", list.join(",")),
        ArrayAgg if list.is_empty() => "-".into(),
        ArrayAgg => format!("[{}]", list.iter().map(|value| cell(value)).collect::<Vec<_>>().join(";")),
        Collect => {
            let mut counts: Vec<(&str, usize)> = Vec::new();
            for value in counted {
                match counts.iter_mut().find(|(known, _)| known == value) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((value, 1)),
                }
            }
            counts.sort_by(|(one, _), (other, _)| match data_type {
                DataType::Utf8 => one.cmp(other),
                _ => one.parse::<f64>().unwrap().total_cmp(&other.parse().unwrap()),
            });
            let entries: Vec<String> =
                counts.iter().map(|(value, count)| format!("{}={count}", cell(value))).collect();
            format!("{{{}}}", entries.join(";"))
        }
        Percentile if counted.is_empty() => "-".into(),
        Percentile => {
            let mut sorted: Vec<f64> = counted.iter().map(|value| value.parse().unwrap()).collect();
            sorted.sort_by(f64::total_cmp);
            let of = |part: &f64| {
                let position = part * (sorted.len() - 1) as f64 + 1.0;
                let (lower, higher) = (position.floor(), position.ceil());
                let (low, high) = (sorted[lower as usize - 1], sorted[higher as usize - 1]);
                let met = lower == higher || low.to_bits() == high.to_bits();
                if met { low } else { (higher - position) * low + (position - lower) * high }
            };
            let found: Vec<String> =
                call.options.percentages.iter().map(of).map(|value| format!("{value:?}")).collect();
            if call.data_type == DataType::Float64 {
                found[0].clone()
            } else {
                format!("[{}]", found.join(";"))
            }
        }
        _ => return None,
    })
}

fn result(index: usize, call: &Aggregate, group: &Group) -> String {
    let mut counted = values(call, &group.rows);
    if is_distinct(call) {
        counted = unique(counted);
    }
    if let Some(gathered) = gathered(index, call, group, &counted) {
        return gathered;
    }
    let argument = call.argument.map(|column| &COLUMNS[column].1);
    if call.function == Count {
        return counted.len().to_string();
    }
    if counted.is_empty() {
        return "-".into();
    }
    match (call.function, argument.unwrap()) {
        (Min | Max, data_type) => {
            let order = |one: &&str, other: &&str| match data_type {
                DataType::Utf8 | DataType::Binary => one.cmp(other),
                DataType::Boolean => one.len().cmp(&other.len()).reverse(),
                DataType::Float32 | DataType::Float64 => {
                    one.parse::<f64>().unwrap().total_cmp(&other.parse().unwrap())
                }
                _ => one.parse::<i128>().unwrap().cmp(&other.parse().unwrap()),
            };
            let best = if call.function == Min {
                counted.into_iter().min_by(order)
            } else {
                counted.into_iter().max_by(order)
            };
            shown(data_type, best.unwrap())
        }
        (Sum | Avg, DataType::Float32 | DataType::Float64) => {
            let (sum, count) = group.floats[&index];
            let value = if call.function == Avg { sum / count as f64 } else { sum };
            if call.data_type == DataType::Float32 {
                format!("{:?}", value as f32)
            } else {
                format!("{value:?}")
            }
        }
        (function, data_type) => exact(function, data_type, &call.data_type, &counted),
    }
}

/// Integers wrap at their width, decimals that do not fit are NULL.
fn exact(function: AggregateFunction, from: &DataType, to: &DataType, values: &[&str]) -> String {
    let numbers = values.iter().map(|value| value.parse::<i128>().unwrap());
    let count = values.len() as i128;
    if let (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) = (from, to) {
        let bound = 10i128.pow(38);
        // Few values: a sum in thirds shows whether the whole would leave 128 bits.
        let thirds: i128 = values.iter().map(|value| value.parse::<i128>().unwrap() / 100).sum();
        if thirds.abs() > i128::MAX / 100 {
            return "-".into();
        }
        let sum: i128 = numbers.sum();
        let value = if function == Sum {
            Some(sum)
        } else {
            let scaled = sum.checked_mul(10i128.pow((to - from) as u32));
            match scaled {
                Some(scaled) => {
                    let rest = scaled % count;
                    let up = i128::from(rest.abs() * 2 >= count) * scaled.signum();
                    Some(scaled / count + up)
                }
                // Too large to be shown with more digits, unless the division takes them away.
                None => return average_by_digits(sum, count, (to - from) as u32),
            }
        };
        return value.filter(|value| value.abs() < bound).map_or("-".into(), |value| value.to_string());
    }
    let sum = numbers.fold(0i64, |sum, number| sum.wrapping_add(number as i64));
    let value = if function == Avg { sum / values.len() as i64 } else { sum };
    match to {
        DataType::Int16 => (value as i16).to_string(),
        DataType::Int32 => (value as i32).to_string(),
        _ => value.to_string(),
    }
}

/// `sum * 10^shift / count` by hand, as one writes a division.
fn average_by_digits(sum: i128, count: i128, shift: u32) -> String {
    let mut digits: Vec<u8> = sum.abs().to_string().bytes().map(|digit| digit - b'0').collect();
    digits.extend(std::iter::repeat_n(0, shift as usize));
    let (mut rest, mut quotient) = (0, String::new());
    for digit in digits {
        rest = rest * 10 + i128::from(digit);
        quotient.push(char::from(b'0' + (rest / count) as u8));
        rest %= count;
    }
    let quotient = quotient.trim_start_matches('0');
    if quotient.len() > 38 {
        return "-".into();
    }
    let rounded = quotient.parse::<i128>().unwrap() + i128::from(rest * 2 >= count);
    (rounded * sum.signum()).to_string()
}

/// A cell of the input as the output shows it.
fn shown(data_type: &DataType, cell: &str) -> String {
    match data_type {
        DataType::Float32 => format!("{:?}", cell.parse::<f32>().unwrap()),
        DataType::Float64 => format!("{:?}", cell.parse::<f64>().unwrap()),
        _ => cell.into(),
    }
}

/// The rows by key after each number of changes.
fn model(keys: &[usize], calls: &[Aggregate], feed: &[Change]) -> Vec<BTreeMap<String, String>> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    let mut history = vec![shown.clone()];
    for (kind, line) in feed {
        let row: Vec<String> = line.split(' ').map(str::to_string).collect();
        let key: Vec<&str> = keys.iter().map(|key| row[*key].as_str()).collect();
        let key = key.join(" ");
        let group = groups.entry(key.clone()).or_default();
        let adds = matches!(kind, RowKind::Insert | RowKind::UpdateAfter);
        for (index, call) in calls.iter().enumerate().filter(|(_, call)| is_float(call) || is_list(call)) {
            let before = values(call, &group.rows);
            let Some(value) = values(call, std::slice::from_ref(&row)).first().copied() else { continue };
            let others = before.iter().filter(|other| **other == value).count();
            if is_distinct(call) && others != usize::from(!adds) {
                continue;
            }
            if is_float(call) {
                change_float(call, group.floats.entry(index).or_default(), value, adds);
                continue;
            }
            let list = group.lists.entry(index).or_default();
            match adds {
                true => list.push(value.into()),
                false => drop(list.remove(list.iter().position(|other| other == value).unwrap())),
            }
        }
        if adds {
            group.rows.push(row.clone());
        } else {
            let place = group.rows.iter().position(|other| *other == row).expect("the feed is valid");
            group.rows.remove(place);
        }
        group.first = true;
        if group.rows.is_empty() {
            groups.remove(&key);
            shown.remove(&key);
        } else {
            let group = &groups[&key];
            let results = calls.iter().enumerate().map(|(index, call)| result(index, call, group));
            let cells = keys.iter().map(|key| row[*key].clone()).chain(results);
            shown.insert(key, cells.collect::<Vec<_>>().join(" "));
        }
        history.push(shown.clone());
    }
    history
}

fn check_against_model(
    keys: &[usize],
    calls: &[Aggregate],
    feed: &[Change],
    (input, output): (Changelog, Changelog),
) {
    let history = model(keys, calls, feed);
    let (plan, scan) = plan_of(keys, calls, input, output);
    check(&plan, scan, feed, (output, keys.len()), &|fed| history[fed].clone());
}

#[test]
fn retracted_rows_leave_no_trace_in_any_aggregate() {
    for (seed, output) in [(0, Retract), (1, Upsert)] {
        let feed = retracting_feed(&mut Random(seed), 100, &mut random_row);
        assert!(feed.iter().any(|(kind, _)| *kind == RowKind::Delete));
        check_against_model(&[0], &all_calls(), &feed, (Retract, output));
    }
}

/// MIN and MAX over rows that go again have sets of their own; without them DISTINCT shares one for all filters.
#[test]
fn retracted_rows_leave_no_trace_in_shared_values() {
    let is_extreme = |call: &Aggregate| matches!(call.function, Min | Max);
    let calls: Vec<Aggregate> = all_calls().into_iter().filter(|call| !is_extreme(call)).collect();
    for (seed, output) in [(4, Retract), (5, Upsert)] {
        let feed = retracting_feed(&mut Random(seed), 100, &mut random_row);
        check_against_model(&[0], &calls, &feed, (Retract, output));
        check_against_model(&[], &calls, &feed, (Retract, output));
    }
}

#[test]
fn inserted_rows_count_in_every_aggregate() {
    for (seed, output) in [(10, Retract), (11, Upsert)] {
        // Over inserts the first of two zeros stays the least or greatest value, as with Flink.
        let mut row = |random: &mut Random| random_row(random).replace("-0.0", "0.0");
        let feed = inserting_feed(&mut Random(seed), 70, &mut row);
        check_against_model(&[0], &all_calls(), &feed, (Changelog::Insert, output));
    }
}

#[test]
fn without_keys_there_is_one_row_and_with_several_they_are_told_apart() {
    let feed = retracting_feed(&mut Random(3), 90, &mut random_row);
    check_against_model(&[], &all_calls(), &feed, (Retract, Retract));
    check_against_model(&[8, 0], &all_calls()[..60], &feed, (Retract, Retract));
    // Without aggregates it is SELECT DISTINCT.
    check_against_model(&[8, 1], &[], &feed, (Retract, Retract));
}

/// Each step: the clock, what comes in and what goes out.
type GoldenStep<'a> = (i64, &'a [(RowKind, &'a str)], &'a [&'a str]);

/// Over the columns k, i and f.
fn golden(keys: &[usize], calls: &[Aggregate], ttl_ms: Option<u64>, output: Changelog, steps: &[GoldenStep]) {
    let (plan, scan) = plan_of(keys, calls, Retract, output);
    let plan = Arc::new(Plan { state_ttl_ms: ttl_ms, ..Plan::clone(&plan) });
    let mut dataflow = dataflow(&plan);
    for (clock_ms, changes, expected) in steps {
        let row = |cells: &str| {
            let cells: Vec<_> = cells.split(' ').collect();
            format!("{} - {} - - - {} - - - - -", cells[0], cells[1], cells[2])
        };
        let changes: Vec<Change> = changes.iter().map(|(kind, cells)| (*kind, row(cells))).collect();
        let reads = vec![changes_read(&plan, scan, &changes)];
        let output = dataflow.step(StepInput { clock_ms: *clock_ms, reads }).unwrap();
        let shown = output.outputs.iter().flat_map(|sink| changes_of(&sink.rows));
        let shown: Vec<_> = shown.map(|(kind, line)| format!("{} {line}", kind.short())).collect();
        assert_eq!(shown, *expected, "at {clock_ms} ms");
    }
}

fn count_and_sum() -> Vec<Aggregate> {
    vec![call(Count, None, DataType::Int64), call(Sum, Some(2), DataType::Int32)]
}

#[test]
fn distinct_rows_that_only_grow_come_once_until_they_are_forgotten() {
    let steps: &[GoldenStep] = &[
        (0, &[(Insert, "a 1 -"), (Insert, "a 2 -")], &["+I a"]),
        (6, &[(Insert, "a 1 -"), (Insert, "b 1 -")], &["+I b"]),
        // It was seen again at 6.
        (12, &[(Insert, "a 1 -")], &[]),
        (30, &[(Insert, "a 1 -")], &["+I a"]),
    ];
    golden(&[0], &[], Some(10), Changelog::Insert, steps);
}

#[test]
fn a_step_gives_one_change_per_key_in_the_order_of_their_last_rows() {
    golden(
        &[0],
        &count_and_sum(),
        None,
        Retract,
        &[
            (0, &[(Insert, "a 1 -"), (Insert, "b 2 -"), (Insert, "a 3 -")], &["+I b 1 2", "+I a 2 4"]),
            (0, &[(Insert, "c 2 -"), (Delete, "a 1 -"), (Insert, "a 1 -"), (Delete, "c 2 -")], &[]),
            (
                0,
                &[(Delete, "b 2 -"), (UpdateBefore, "a 1 -"), (UpdateAfter, "a - -")],
                &["-D b 1 2", "-U a 2 4", "+U a 2 3"],
            ),
            // Nothing is known of `z`; `a` keeps its row as long as it has one.
            (0, &[(Delete, "z 1 -"), (Delete, "a 3 -")], &["-U a 2 3", "+U a 1 -"]),
            (0, &[(Delete, "a - -"), (Delete, "a - -")], &["-D a 1 -"]),
            (0, &[(Insert, "a 9 -")], &["+I a 1 9"]),
        ],
    );
    golden(
        &[0],
        &count_and_sum(),
        None,
        Upsert,
        &[
            (0, &[(Insert, "a 1 -")], &["+I a 1 1"]),
            (0, &[(Insert, "a 1 -")], &["+U a 2 2"]),
            (0, &[(Delete, "a 1 -"), (Delete, "a 1 -")], &["-D a 2 2"]),
        ],
    );
}

#[test]
fn without_keys_the_row_goes_with_the_last_row_as_in_flink() {
    golden(
        &[],
        &count_and_sum(),
        None,
        Retract,
        &[
            (0, &[(Delete, "a 1 -")], &[]),
            (0, &[(Insert, "a 1 -"), (Delete, "a 1 -")], &[]),
            (0, &[(Insert, "a 5 -")], &["+I 1 5"]),
            (0, &[(Delete, "a 5 -")], &["-D 1 5"]),
        ],
    );
}

#[test]
fn a_sum_of_floats_begins_anew_when_its_last_value_went_and_nan_is_the_greatest() {
    let calls = [
        call(Sum, Some(6), DataType::Float64),
        call(Max, Some(6), DataType::Float64),
        call(Min, Some(6), DataType::Float64),
        distinct(call(Count, Some(6), DataType::Int64)),
    ];
    golden(
        &[0],
        &calls,
        None,
        Upsert,
        &[
            (0, &[(Insert, "a 1 1e17"), (Insert, "a 1 0.1")], &["+I a 1e17 1e17 0.1 2"]),
            (0, &[(Delete, "a 1 1e17")], &["+U a 0.0 0.1 0.1 1"]),
            (0, &[(Delete, "a 1 0.1"), (Insert, "a 1 -")], &["+U a - - - 0"]),
            (0, &[(Insert, "a 1 0.3")], &["+U a 0.3 0.3 0.3 1"]),
            (0, &[(Insert, "a 1 NaN"), (Insert, "a 1 -NaN")], &["+U a NaN NaN 0.3 2"]),
            (0, &[(Delete, "a 1 NaN")], &[]),
            // A NaN in a sum goes with the last value only.
            (0, &[(Delete, "a 1 0.3")], &["+U a NaN NaN NaN 1"]),
            (0, &[(Delete, "a 1 -NaN"), (Insert, "a 1 2")], &["+U a 2.0 2.0 2.0 1"]),
        ],
    );
}

#[test]
fn squared_deviations_come_and_go() {
    let calls = [call(SquaredDeviations, Some(6), DataType::Float64), call(Count, Some(6), DataType::Int64)];
    golden(
        &[0],
        &calls,
        None,
        Upsert,
        &[
            (0, &[(Insert, "a 1 2"), (Insert, "a 1 4")], &["+I a 2.0 2"]),
            (0, &[(Insert, "a 1 9"), (Insert, "a 1 -")], &["+U a 26.0 3"]),
            (0, &[(Delete, "a 1 4")], &["+U a 24.5 2"]),
            (0, &[(Delete, "a 1 9"), (Delete, "a 1 2")], &["+U a - 0"]),
            (0, &[(Insert, "a 1 7")], &["+U a 0.0 1"]),
        ],
    );
}

#[test]
fn an_object_is_in_the_order_of_its_keys_which_must_be_unique() {
    let pair = DataType::Struct(
        vec![("k", DataType::Utf8), ("v", DataType::Utf8)]
            .into_iter()
            .map(|(name, kind)| Field::new(name, kind, true))
            .collect(),
    );
    let mut planner = Planner::default();
    let scan =
        planner.scan("rows", &[("g", DataType::Utf8), ("k", DataType::Utf8), ("v", DataType::Utf8)], true);
    let row = closure("ROW($1, $2)", pair.clone(), |rows| {
        let DataType::Struct(fields) = DataType::Struct(
            vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Utf8, true)].into(),
        ) else {
            unreachable!()
        };
        Ok(Arc::new(arrow_array::StructArray::new(
            fields,
            vec![rows.column(1).clone(), rows.column(2).clone()],
            None,
        )))
    });
    let pairs = planner.project(scan, &[("g", column(0, DataType::Utf8)), ("p", row)]);
    let columns = [("g", DataType::Utf8), ("o", DataType::Utf8)];
    let aggregates = vec![call(JsonObjectAgg, Some(1), DataType::Utf8)];
    let group =
        planner.add(NodeKind::GroupAggregate { keys: vec![0], aggregates }, &[pairs], schema(&columns));
    planner.plan.nodes[group.0].changelog = Upsert;
    planner.sink(group, "out");
    let plan = planner.build();
    let mut dataflow = dataflow(&plan);
    let mut feed =
        |text: &str| step(&mut dataflow, vec![read(scan, 0, rows(&plan.node(scan).schema, text), false)]);
    let output = feed("g b 1\ng a \"x\"").unwrap();
    assert_eq!(output_lines(&plan, &output), ["out: g {\"a\":\"x\",\"b\":1}"]);
    let output = feed("g c\"d null").unwrap();
    assert_eq!(output_lines(&plan, &output), ["out: g {\"a\":\"x\",\"b\":1,\"c\\\"d\":null}"]);
    assert!(feed("g a 2").unwrap_err().to_string().contains("key 'a' is already present"));
}

#[test]
fn forgotten_keys_begin_anew_and_rows_that_stay_the_same_are_emitted_to_live_on() {
    let mut calls = count_and_sum();
    calls.push(call(Max, Some(2), DataType::Int32));
    golden(
        &[0],
        &calls,
        Some(100),
        Retract,
        &[
            (0, &[(Insert, "a 1 -"), (Insert, "b 1 -")], &["+I a 1 1 1", "+I b 1 1 1"]),
            (60, &[(Insert, "a 0 -"), (Delete, "a 0 -")], &["-U a 1 1 1", "+U a 1 1 1"]),
            // `b` is forgotten: what goes from it was never there.
            (120, &[(Delete, "b 1 -"), (Insert, "a 2 -")], &["-U a 1 1 1", "+U a 2 3 2"]),
            (130, &[(Insert, "b 7 -")], &["+I b 1 7 7"]),
            (300, &[(Insert, "a 4 -")], &["+I a 1 4 4"]),
        ],
    );
}

#[test]
fn what_cannot_be_aggregated_over_changes_is_refused() {
    let first = [call(FirstValue, Some(2), DataType::Int32)];
    let refused = |input: Changelog| {
        let (plan, _) = plan_of(&[0], &first, input, Retract);
        let store = state::Store::volatile(usize::MAX);
        Dataflow::new(plan, DataflowOptions::default(), &store).err().unwrap()
    };
    assert!(refused(Upsert).to_string().contains("must be normalized"));
    let (plan, scan) = plan_of(&[0], &first, Changelog::Insert, Retract);
    let change = [(Delete, random_row(&mut Random(1)))];
    let error = step(&mut dataflow(&plan), vec![changes_read(&plan, scan, &change)]).unwrap_err();
    assert!(error.to_string().contains("a row of kind -D came in"), "{error}");
}

#[test]
fn a_key_with_more_values_than_are_loaded_at_once() {
    let calls = [
        call(Max, Some(2), DataType::Int32),
        call(Min, Some(2), DataType::Int32),
        distinct(call(Count, Some(2), DataType::Int64)),
    ];
    let (plan, scan) = plan_of(&[0], &calls, Retract, Upsert);
    let row = |value: u32| format!("a - {value} - - - - - - - - -");
    let count = 4500;
    // They come in no order, and the greatest go first.
    let mut feed: Vec<Change> = (0..count).map(|n| (Insert, row(n * 4003 % count))).collect();
    feed.extend((0..count).rev().map(|value| (Delete, row(value))));
    for budget_bytes in [usize::MAX, 1 << 16] {
        let manner = Manner { workers: 1, cuts: (1, 900), restores: true, budget_bytes };
        let mut fold = Fold::new(Upsert, 1);
        for step in run(&plan, scan, &feed, manner) {
            fold.apply(&step.changes);
            let deleted = (step.fed as u32).saturating_sub(count);
            let left = count - deleted;
            if deleted > 0 && left > 0 {
                let expected = format!("a {} 0 {left}", left - 1);
                assert_eq!(fold.rows.get("a"), Some(&expected), "after {} changes", step.fed);
            }
        }
        assert!(fold.rows.is_empty());
    }
}
