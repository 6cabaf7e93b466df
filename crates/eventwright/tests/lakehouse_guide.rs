//! Runs the commands of `docs/guide/lakehouse.md`; there is what the page says.

mod guide;

use guide::{blocks, run};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/lakehouse.md");

#[test]
fn the_pages_job_makes_both_tables() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lake.sql"), &blocks(GUIDE, "sql")[0]).unwrap();
    let shown = run(folder.path(), &blocks(GUIDE, "sh")[0]);
    let wanted = &blocks(GUIDE, "text")[0];
    // What the job itself says comes before.
    assert!(shown.ends_with(wanted.as_str()), "{shown}");
    let log = folder.path().join("lake/visits/_delta_log/00000000000000000001.json");
    let version = std::fs::read_to_string(log).unwrap();
    let rows = |line: &str| {
        let action: serde_json::Value = serde_json::from_str(line).unwrap();
        let stats: serde_json::Value = serde_json::from_str(action["add"]["stats"].as_str()?).unwrap();
        stats["numRecords"].as_i64()
    };
    let counts: Vec<i64> = version.lines().filter_map(rows).collect();
    assert_eq!(counts, [1, 2], "{version}");
}
