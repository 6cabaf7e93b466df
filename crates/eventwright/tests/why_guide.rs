//! The page about missing output: its job, its records, and what is found.

mod guide;

use guide::{Node, blocks, run};
use std::path::Path;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/why.md");

/// Asks until the answer is the wanted one.
fn until(folder: &Path, node: &Node, is_wanted: impl Fn(&str) -> bool) {
    node.run_until(folder, "eventwright why shop", is_wanted);
}

#[test]
fn the_page_shows_what_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("shop.sql"), &blocks(GUIDE, "sql")[0]).unwrap();
    let command = "eventwright run shop.sql --data data --keep-running";
    let node = Node::start(folder, command, command);
    until(folder, &node, |shown| shown.contains("no-input: table web_orders has given no rows\n"));
    run(folder, &node.script(&blocks(GUIDE, "sh")[0]));
    let wanted = &blocks(GUIDE, "text")[0];
    until(folder, &node, |shown| shown == wanted);
    let json = run(folder, &node.script("eventwright why shop -o json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let findings = json[0]["findings"].as_array().unwrap();
    let causes: Vec<&str> = findings.iter().filter_map(|finding| finding["cause"].as_str()).collect();
    assert_eq!(causes, ["filtered", "split-holds-watermark", "no-partner", "no-input", "sink-fails"]);
    assert!(findings[0]["operator"].as_str().unwrap().starts_with("Filter("), "{json}");

    // A row that fulfils the condition and has a later time, and a city that nobody has ordered from.
    for (topic, row) in [
        ("counter-orders", r#"{"city": "Bari", "amount": 2000, "bought": "2026-11-29 10:05:00"}"#),
        ("cities", r#"{"name": "Paris", "country": "France"}"#),
    ] {
        run(folder, &node.script(&format!("echo '{row}' | eventwright topic produce {topic}")));
    }
    until(folder, &node, |shown| {
        let (large, rest) = shown.split_once("  table minutes\n").unwrap();
        let (minutes, countries) = rest.split_once("  table countries\n").unwrap();
        large.contains("flows: rows written since the job was taken up: 1\n")
            && minutes.contains("web-orders/0 stands at 2026-11-29 10:01:55 and holds the watermark back")
            && countries.contains("no-partner: 0 of 4 rows have a partner")
    });
    let missing = guide::shell(folder, &node.script("eventwright why shops")).output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("did you mean 'shop'?"), "{missing:?}");
}
