//! The examples of the repository plan without a complaint.

use crate::golden::check;
use std::fs;
use std::path::Path;

#[test]
fn the_flights_example_plans() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
    for name in ["delays.sql", "live.sql"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let (found, wrong) = check(name, &text);
        assert_eq!(wrong, 0, "{found}");
    }
}

/// A view that two INSERTs read is computed once, and so is the scan below it.
#[test]
fn shared_parts_of_a_statement_set_are_written_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
    let (found, _) = check("delays.sql", &fs::read_to_string(folder.join("delays.sql")).unwrap());
    let set = found.split("job ").nth(2).unwrap();
    assert_eq!(set.matches("Scan(`flight_events`").count(), 1, "{set}");
    assert_eq!(set.matches("WindowAggregate(TUMBLE(event_time, size=1 h)").count(), 1, "{set}");
}
