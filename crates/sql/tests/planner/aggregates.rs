//! The examples of the aggregates run, over the rows that the reference shows.

use crate::connectors::connectors;
use arrow_array::{
    Array, ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use dataflow::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use dataflow::plan::{NodeKind, Plan};
use sql::expression::cast::format_value;
use sql::functions::aggregate::{AGGREGATES, EXAMPLE_ROWS};
use sql::session::Session;
use sql::source::SourceText;
use sql::types::LogicalType;
use std::sync::Arc;

const TABLE: &str = "CREATE TABLE t (k STRING, v INT, d DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) \
WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', 'scan.bounded.mode' = 'latest-offset');";

/// The last row that a SELECT over the example rows leaves.
fn last_row(select: &str) -> Vec<String> {
    let source = SourceText::new("example", format!("{TABLE}\n{select};"));
    let check = Session::new(connectors()).check_script(&source);
    let shown: Vec<String> = check.diagnostics.iter().map(|problem| problem.render(&source)).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    let plan = check.jobs[0].plan.clone();
    let mut dataflow =
        Dataflow::new(plan.clone(), DataflowOptions::default(), &state::Store::volatile(usize::MAX)).unwrap();
    let reads = plan.scans().into_iter().map(|scan| ScanInput {
        scan,
        split: 0,
        rows: example_rows(&plan, scan.0),
        kinds: None,
        finished: true,
        idle: false,
    });
    let output = dataflow.step(StepInput { clock_ms: 0, reads: reads.collect() }).unwrap();
    let rows = &output.outputs.last().unwrap().rows.rows;
    let row = rows.num_rows() - 1;
    let print = |column: &ArrayRef| {
        if column.is_null(row) {
            return "NULL".to_string();
        }
        let data_type = LogicalType::from_arrow(column.data_type(), true).unwrap();
        let mut text = String::new();
        format_value(column.as_ref(), row, &data_type, base::Zone::UTC, &mut text).unwrap();
        text
    };
    rows.columns().iter().map(print).collect()
}

fn example_rows(plan: &Plan, scan: usize) -> RecordBatch {
    let NodeKind::Scan { projection, .. } = &plan.nodes[scan].kind else { panic!("no scan") };
    let times = EXAMPLE_ROWS.iter().map(|row| {
        let time = chrono::NaiveDateTime::parse_from_str(row.3, "%Y-%m-%d %H:%M:%S").unwrap();
        time.and_utc().timestamp_millis()
    });
    let columns: [ArrayRef; 4] = [
        Arc::new(StringArray::from_iter_values(EXAMPLE_ROWS.iter().map(|row| row.0))),
        Arc::new(EXAMPLE_ROWS.iter().map(|row| row.1).collect::<Int32Array>()),
        Arc::new(Float64Array::from_iter_values(EXAMPLE_ROWS.iter().map(|row| row.2))),
        Arc::new(TimestampMillisecondArray::from_iter_values(times)),
    ];
    let columns = projection.iter().map(|column| columns[*column].clone()).collect();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(EXAMPLE_ROWS.len()));
    RecordBatch::try_new_with_options(plan.nodes[scan].schema.clone(), columns, &options).unwrap()
}

#[test]
fn the_examples_of_the_aggregates_give_what_they_say() {
    let mut wrong = Vec::new();
    for aggregate in AGGREGATES {
        assert!(!aggregate.examples.is_empty(), "{} has no example", aggregate.name);
        for (call, expected) in aggregate.examples {
            let found = last_row(&format!("SELECT {call} FROM t"));
            if found != [*expected] {
                wrong.push(format!("{call} is {found:?}, and not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Results that Flink 2.3 gave for the same rows; OVER a window variances are computed another way than over groups.
#[test]
fn averages_and_variances_over_windows_are_those_of_flink() {
    let over = |calls: &str| last_row(&format!("SELECT {calls} FROM t WINDOW w AS (ORDER BY ts)"));
    // (4 + 1 + 4) / 3; the sum of the squares less the square of the sum, all in whole numbers.
    assert_eq!(
        over("AVG(v) OVER w, VAR_POP(v) OVER w, VAR_SAMP(v) OVER w, STDDEV_POP(v) OVER w"),
        ["3", "2", "3", "1"]
    );
    assert_eq!(over("AVG(d) OVER w, VAR_POP(d) OVER w"), ["2.0", "1.25"]);
    let wraps =
        "AVG(v * 1000000000) OVER w, SUM(v * 1000000000) OVER w, AVG(CAST(v AS BIGINT) * 1000000000) OVER w";
    assert_eq!(over(wraps), ["136688469", "410065408", "3000000000"]);
    let nothing = "AVG(CASE WHEN v > 9 THEN v END) OVER w, VAR_POP(CASE WHEN v > 9 THEN v END) OVER w";
    assert_eq!(over(nothing), ["NULL", "NULL"]);
    assert_eq!(last_row("SELECT AVG(v * 500000000), AVG(d) FROM t"), ["1500000000", "2.0"]);
}
