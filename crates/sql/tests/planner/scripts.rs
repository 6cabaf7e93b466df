//! The examples of the repository plan without a complaint.

use crate::golden::{check, package};
use std::fs;

#[test]
fn the_flights_example_plans() {
    let folder = package().join("../../examples/flights");
    for name in ["delays.sql", "live.sql"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let (found, wrong) = check(name, &text);
        assert_eq!(wrong, 0, "{found}");
    }
}

/// What is compared with Flink plans too, and no window of it ever takes a row back.
#[test]
fn the_windows_of_the_comparison_plan() {
    let file = package().join("../../tests/flink/windows.sql");
    let (found, wrong) = check("windows.sql", &fs::read_to_string(file).unwrap());
    assert_eq!(wrong, 0, "{found}");
    assert!(found.contains("every node is append-only: [I]"), "{found}");
    for (node, times) in [("CUMULATE(", 1), ("SessionAggregate(", 2), ("WindowRank(", 3), ("WindowJoin(", 4)]
    {
        assert_eq!(found.matches(node).count(), times, "{node} in {found}");
    }
}

/// A view that two INSERTs read is computed once, and so is the scan below it.
#[test]
fn shared_parts_of_a_statement_set_are_written_once() {
    let folder = package().join("../../examples/flights");
    let (found, _) = check("delays.sql", &fs::read_to_string(folder.join("delays.sql")).unwrap());
    let set = found.split("job ").nth(2).unwrap();
    assert_eq!(set.matches("Scan(`flight_events`").count(), 1, "{set}");
    assert_eq!(set.matches("WindowAggregate(TUMBLE(event_time, size=1 h)").count(), 1, "{set}");
}
