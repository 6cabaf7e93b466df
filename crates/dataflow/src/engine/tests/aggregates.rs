//! Aggregates by type: NULLs, overflow, rounding, DISTINCT, FILTER, order.

use super::fixtures::*;
use crate::plan::AggregateFunction::{self, Avg, Count, FirstValue, LastValue, Max, Min, Sum};
use crate::plan::{Aggregate, WindowKind};
use arrow_schema::DataType;

/// One tumbling or hopping window over a column; the result of the last window that ends by 100.
fn over(data_type: &DataType, cells: &[&str], window: WindowKind, call: Aggregate) -> Vec<String> {
    let mut planner = Planner::default();
    let columns = [("t", TIMESTAMP), ("v", data_type.clone()), ("f", DataType::Boolean)];
    let scan = planner.scan("events", &columns, true);
    let watermark = planner.watermark(scan, 0, 0);
    let windows = planner.aggregate(watermark, 0, window, &[], vec![call]);
    planner.sink(windows, "out");
    let plan = planner.build();
    let text: String = cells.iter().map(|cell| format!("{cell}\n")).collect();
    let rows = rows(&plan.node(scan).schema, &text);
    let output = step(&mut dataflow(&plan), vec![read(scan, 0, rows, true)]).unwrap();
    output_lines(&plan, &output).iter().map(|line| line.split(' ').nth(1).unwrap().to_string()).collect()
}

/// The aggregate of some values in one window, NULL as `-`.
fn of(data_type: &DataType, values: &[&str], function: AggregateFunction, result: DataType) -> String {
    let cells: Vec<String> = values.iter().map(|value| format!("1 {value} true")).collect();
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    over(data_type, &cells, WindowKind::Tumble { size_ms: 10, offset_ms: 0 }, call(function, Some(1), result))
        .concat()
}

fn same(data_type: DataType, values: &[&str], function: AggregateFunction) -> String {
    of(&data_type, values, function, data_type.clone())
}

#[test]
fn integers_wrap_and_averages_truncate() {
    use DataType::{Int16, Int32, Int64};
    assert_eq!(same(Int32, &["2147483647", "1"], Sum), "-2147483648");
    assert_eq!(same(Int16, &["32767", "-", "2"], Sum), "-32767");
    assert_eq!(same(Int64, &["9223372036854775807", "1"], Sum), "-9223372036854775808");
    assert_eq!(same(Int32, &["-7", "-", "2"], Avg), "-2");
    assert_eq!(same(Int32, &["2147483647", "2147483647"], Avg), "2147483647");
    assert_eq!(of(&Int32, &["1", "-", "3"], Count, Int64), "2");
    assert_eq!(of(&Int32, &["-", "-"], Count, Int64), "0");
    for function in [Sum, Avg, Min, Max, FirstValue, LastValue] {
        assert_eq!(same(Int32, &["-", "-"], function), "-", "{function:?}");
    }
}

#[test]
fn decimals_are_exact_and_overflow_to_null() {
    let decimal = |precision, scale| DataType::Decimal128(precision, scale);
    assert_eq!(of(&decimal(10, 2), &["1050", "-", "-25"], Sum, decimal(38, 2)), "1025");
    let largest = "99999999999999999999999999999999999999";
    assert_eq!(of(&decimal(38, 0), &[largest, "1"], Sum, decimal(38, 0)), "-");
    // Exact on the way: what overflows in between may come back.
    let negative = format!("-{largest}");
    assert_eq!(of(&decimal(38, 0), &[largest, largest, &negative, "-5"], Sum, decimal(38, 0)), {
        "99999999999999999999999999999999999994"
    });
    assert_eq!(of(&decimal(10, 2), &["100", "100", "101"], Avg, decimal(38, 6)), "1003333");
    assert_eq!(of(&decimal(10, 2), &["-100", "-101", "-101"], Avg, decimal(38, 6)), "-1006667");
    assert_eq!(of(&decimal(10, 7), &["1", "2"], Avg, decimal(38, 7)), "2");
    assert_eq!(of(&decimal(10, 7), &["-1", "-2"], Avg, decimal(38, 7)), "-2");
    assert_eq!(same(decimal(10, 2), &["-", "5", "-7"], Min), "-7");
    assert_eq!(same(decimal(10, 2), &["-", "5", "-7"], Max), "5");
}

#[test]
fn floats_keep_the_order_of_input() {
    use DataType::{Float32, Float64};
    assert_eq!(same(Float64, &["1e16", "1.0", "-1e16"], Sum), "0.0");
    assert_eq!(same(Float64, &["1e16", "-1e16", "1.0"], Sum), "1.0");
    assert_eq!(same(Float64, &["-0.0"], Sum), "-0.0");
    assert_eq!(same(Float32, &["16777216", "1", "1"], Sum), "16777216.0");
    assert_eq!(same(Float32, &["16777216", "1", "1", "2"], Avg), "4194305.0");
    assert_eq!(same(Float64, &["1.0", "-", "2.0"], Avg), "1.5");
    assert_eq!(same(Float64, &["2.0", "NaN", "3.0"], Max), "3.0");
    assert_eq!(same(Float64, &["2.0", "NaN", "-3.0"], Min), "-3.0");
    // Slices of a hopping window merge from the latest to the earliest: (1e16 + -1e16) + 1.
    let cells = ["1 1.0 true", "11 -1e16 true", "21 1e16 true"];
    let hop = WindowKind::Hop { size_ms: 30, slide_ms: 10, offset_ms: 0 };
    assert_eq!(over(&Float64, &cells, hop, call(Sum, Some(1), Float64))[2], "1.0");
}

#[test]
fn extremes_and_ends_of_other_types() {
    use DataType::{Binary, Boolean, Utf8};
    assert_eq!(same(Utf8, &["b", "-", "ab", "ä"], Min), "ab");
    assert_eq!(same(Utf8, &["b", "-", "ab", "ä"], Max), "ä");
    assert_eq!(same(Binary, &["b", "ab"], Max), "b");
    assert_eq!(same(Boolean, &["true", "false", "-"], Min), "false");
    assert_eq!(same(Boolean, &["true", "false", "-"], Max), "true");
    assert_eq!(same(TIMESTAMP, &["-5", "7"], Max), "7");
    assert_eq!(same(Utf8, &["-", "x", "y", "-"], FirstValue), "x");
    assert_eq!(same(Utf8, &["-", "x", "y", "-"], LastValue), "y");
    // The order of input holds across slices, not the order of time.
    let cells = ["21 x true", "11 y true", "1 z true"];
    let hop = WindowKind::Hop { size_ms: 30, slide_ms: 10, offset_ms: 0 };
    let delayed = |function| {
        let mut planner = Planner::default();
        let scan = planner.scan("events", &[("t", TIMESTAMP), ("v", Utf8), ("f", Boolean)], true);
        let watermark = planner.watermark(scan, 0, 100);
        let windows = planner.aggregate(watermark, 0, hop, &[], vec![call(function, Some(1), Utf8)]);
        planner.sink(windows, "out");
        let plan = planner.build();
        let rows = rows(&plan.node(scan).schema, &cells.join("\n"));
        let output = step(&mut dataflow(&plan), vec![read(scan, 0, rows, true)]).unwrap();
        output_lines(&plan, &output)[2].clone()
    };
    assert_eq!(delayed(FirstValue), "out: x 0 30 29");
    assert_eq!(delayed(LastValue), "out: z 0 30 29");
}

#[test]
fn distinct_and_filter_leave_rows_out() {
    let tumble = WindowKind::Tumble { size_ms: 10, offset_ms: 0 };
    let hop = WindowKind::Hop { size_ms: 20, slide_ms: 10, offset_ms: 0 };
    let distinct = |function, result| Aggregate { distinct: true, ..call(function, Some(1), result) };
    let cells = ["1 5 true", "2 5 false", "3 - true", "4 7 true", "11 7 true", "12 9 true"];
    let int = DataType::Int32;
    assert_eq!(over(&int, &cells, tumble, distinct(Count, DataType::Int64)), ["2", "2"]);
    assert_eq!(over(&int, &cells, hop, distinct(Count, DataType::Int64)), ["2", "3", "2"]);
    assert_eq!(over(&int, &cells, hop, distinct(Sum, int.clone())), ["12", "21", "16"]);
    assert_eq!(over(&int, &cells, hop, distinct(Avg, int.clone())), ["6", "7", "8"]);
    assert_eq!(over(&int, &cells, hop, distinct(Max, int.clone())), ["7", "9", "9"]);
    let filtered = |call: Aggregate| Aggregate { filter: Some(2), ..call };
    let cells = ["1 5 true", "2 6 false", "3 7 -", "4 - true"];
    assert_eq!(over(&int, &cells, tumble, filtered(call(Count, None, DataType::Int64))), ["2"]);
    assert_eq!(over(&int, &cells, tumble, filtered(call(Count, Some(1), DataType::Int64))), ["1"]);
    assert_eq!(over(&int, &cells, tumble, filtered(distinct(Sum, int.clone()))), ["5"]);
    assert_eq!(over(&int, &["1 5 false"], tumble, filtered(call(Sum, Some(1), int.clone()))), ["-"]);
}
