//! Runs the commands of `docs/guide/views.md`: materialized tables that are declared, asked, looked at and followed.

mod guide;

use guide::{Node, blocks, run};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/views.md");

#[test]
fn the_pages_commands_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("totals.sql"), &blocks(GUIDE, "sql")[0]).unwrap();
    let scripts = blocks(GUIDE, "sh");
    let [start, produce, ask, consume, follow, stopped] = &scripts[..] else {
        panic!("six blocks: {scripts:?}")
    };
    let node = Node::start(folder, start, start.trim());
    run(folder, &node.script(produce));
    node.run_until(folder, "eventwright sql -o csv -c 'SELECT * FROM overall'", |shown| {
        shown.contains("7,2")
    });
    let asked = run(folder, &node.script(ask));
    for wanted in
        ["Oslo", "totals   city", "overall  one row", "up to date", "view overall: 1 rows", "cities  BIGINT"]
    {
        assert!(asked.contains(wanted), "{wanted}: {asked}");
    }
    let json = run(folder, &node.script("eventwright view show totals -o json"));
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&view["rows"], &view["comment"], &view["key"]),
        (&2.into(), &"what was sold where".into(), &serde_json::json!(["city"]))
    );
    assert_eq!(
        view["health"],
        serde_json::json!({"lag_records": 0, "behind_ms": 0, "finished": false, "stands": null})
    );
    let followed = run(folder, &node.script(consume).replace("__view.totals", "__view.totals --max 2"));
    assert!(followed.contains("Rome") && followed.contains("Oslo"), "{followed}");
    let follow = follow.replace("127.0.0.1:8081", &node.http);
    let followed: serde_json::Value = serde_json::from_str(&run(folder, &follow)).unwrap();
    let page = std::fs::read_to_string(GUIDE).unwrap();
    let shown = page.lines().find(|line| line.starts_with("    {\"rows\"")).unwrap();
    let shown: serde_json::Value = serde_json::from_str(shown.trim()).unwrap();
    assert_eq!((&followed["rows"], &followed["changes"]), (&shown["rows"], &shown["changes"]));
    // Behind it there is nothing yet.
    let next = followed["next"].as_str().unwrap();
    let behind = run(folder, &format!("{}'?from={next}'", follow.trim()));
    assert!(behind.contains("\"rows\":null,\"changes\":[]"), "{behind}");
    let wrong = guide::shell(folder, &node.script("eventwright view show total")).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean 'totals'?"), "{wrong:?}");
    // While the node runs, it is asked.
    assert!(run(folder, stopped).contains("up to date"));
    drop(node);
    let listed = run(folder, stopped);
    assert!(listed.contains("totals   city") && listed.contains("no node runs"), "{listed}");
}
