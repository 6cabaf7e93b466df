//! The page about a record's way: its jobs, its records, and what is found, forwards and backwards.

mod guide;

use guide::{Node, blocks, run};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/trace.md");

/// Times differ, and so do the numbers of steps: there are some without rows.
fn without_steps(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(", step ") {
        Some((before, rest)) => {
            let time = rest.find(" at ").map_or(0, |at| at + " at 2026-11-29 23:20:11".len());
            format!("{before}, step{}\n", &rest[time..])
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn the_page_shows_where_a_record_went_and_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("paid.sql"), &blocks(GUIDE, "sql")[0]).unwrap();
    let command = "eventwright run paid.sql --data data --keep-running";
    let node = Node::start(folder, command, command);
    let produce = blocks(GUIDE, "sh");
    let wanted = blocks(GUIDE, "text");
    run(folder, &produce[0].replace("127.0.0.1:8081", &node.http));
    // The payment comes when the order has been taken, so that it waits in the state.
    node.run_until(folder, "eventwright trace orders/0/0", |shown| {
        without_steps(shown).contains("taken by job join, step, which wrote nothing\n")
    });
    run(folder, &node.script(&produce[1]));
    for (record, wanted) in ["orders/0/0", "paid/0/0"].iter().zip(&wanted) {
        let command = format!("eventwright trace {record}");
        node.run_until(folder, &command, |shown| without_steps(shown) == without_steps(wanted));
    }

    let json = run(folder, &node.script("eventwright trace orders/0/0 --depth 0 -o json"));
    let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(answer["is_whole"], true, "{json}");
    let (taken, later) = (&answer["taken_by"][0], &answer["later"][0]);
    assert!(taken["lsn"].as_u64() < later["lsn"].as_u64() && answer["lsn"].as_u64() < taken["lsn"].as_u64());
    let paid = &later["outputs"][0]["records"][0];
    assert_eq!((&paid["mark"], &paid["onward"]), (&"key".into(), &serde_json::Value::Null));
    for (record, problem) in [
        ("orders/0/9", "there is no record at orders-0@9"),
        ("orders/7/0", "there is no record at orders-7@0"),
        ("none/0/0", "there is no topic 'none'"),
        ("orders", "write TOPIC/PARTITION/OFFSET"),
    ] {
        let failed = guide::shell(folder, &node.script(&format!("eventwright trace {record}"))).output();
        let failed = failed.unwrap();
        let error = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success() && error.contains(problem), "{error}");
    }
}
