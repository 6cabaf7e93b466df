//! Runs the commands of `docs/guide/console.md`: a node with its page, and letters of a job that the console shows.

mod guide;

use guide::{Node, blocks, run};
use os::Os;
use os::http::{Request, exchange};
use serde_json::Value;
use std::time::Duration;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/console.md");

/// Status and body.
fn get(node: &Node, path: &str) -> (u16, String) {
    let headers = [("Accept", "text/html")];
    let request = Request { method: "GET", address: &node.http, path, headers: &headers, body: &[] };
    let answer = exchange(Os::real().network.as_ref(), &request, Duration::from_secs(60)).unwrap();
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

fn api(node: &Node, path: &str) -> Value {
    let (status, body) = get(node, &format!("/console/api/{path}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn the_pages_commands_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let scripts = blocks(GUIDE, "sh");
    let [start, job, produce, look] = &scripts[..] else { panic!("the page has four blocks: {scripts:?}") };
    let node = Node::start(folder, start, start.trim());
    assert_eq!(get(&node, "/").0, 302, "a browser is led to the page");
    assert!(get(&node, "/console/").1.starts_with("<!doctype html>"));
    drop(node);

    let node = Node::start(folder, job, "eventwright run readings.sql --data data");
    run(folder, &node.script(produce));
    let letters =
        node.run_until(folder, "eventwright dlq show unreadable", |shown| shown.contains("it is warm here"));
    assert!(letters.contains("readings-0@1"), "{letters}");
    let warmest = "eventwright sql -c 'SELECT * FROM warmest'";
    node.run_until(folder, warmest, |shown| shown.contains("31.5"));
    let looked = run(folder, &node.script(look));
    for wanted in ["readings-0@1", "view warmest: 1 rows", "key        sensor", "31.5"] {
        assert!(looked.contains(wanted), "{wanted}: {looked}");
    }
    // The console tells the same.
    let topics = api(&node, "letters");
    assert_eq!(
        (&topics["topics"][0]["topic"], &topics["topics"][0]["waiting"]),
        (&"unreadable".into(), &1.into())
    );
    let job = topics["topics"][0]["jobs"][0].as_str().unwrap_or_default().to_string();
    let letters = api(&node, "letters/unreadable");
    assert_eq!(
        (&letters["letters"][0]["origin"], &letters["letters"][0]["may_send"]),
        (&"readings-0@1".into(), &true.into())
    );
    let view = api(&node, "views/warmest");
    assert_eq!(
        (&view["rows"], &view["job"], &view["reads_topics"][0]),
        (&1.into(), &job.into(), &"readings".into())
    );
    assert!(view["reads"].as_u64().is_some_and(|reads| reads >= 2), "{view}");
    let way = api(&node, "topics/readings/records/0/1/way");
    assert_eq!(
        (&way["jobs"][0]["taken"], &way["jobs"][0]["letters"][0]["topic"]),
        (&true.into(), &"unreadable".into())
    );
    assert_eq!(way["jobs"][0]["writes"][0]["view"], "warmest");
}
