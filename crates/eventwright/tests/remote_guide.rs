//! Runs the commands of `docs/guide/remote.md`: a machine is lost, and another one goes on from its copy.

mod guide;

use guide::{Node, blocks, run, shell};
use std::process::Stdio;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/remote.md");

/// The page's commands, with the address of the node.
fn asked(node: &Node, script: &str) -> String {
    node.script(script).replace("topic create", &format!("topic create -b {}", node.kafka))
}

#[test]
fn a_node_comes_back_from_its_copy_and_the_first_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let scripts = blocks(GUIDE, "sh");
    let [first, produce, restore, second, consume, again] = &scripts[..] else { panic!("{scripts:?}") };
    let node = Node::start(path, first, first.trim());
    run(path, &asked(&node, produce));
    let overview = run(path, &format!("curl -sf {}/console/api/node", node.http));
    assert!(overview.contains("\"lag_bytes\":0"), "{overview}");
    drop(node);
    let said = run(path, restore);
    assert!(said.contains("restored second up to lsn="), "{said}");
    let node = Node::start(path, second, second.trim());
    assert_eq!(run(path, &asked(&node, consume)), "one\ntwo\nthree\n");
    // What it is shown is what the page says of it.
    let metrics = run(path, &format!("curl -sf {}/metrics", node.http));
    assert!(metrics.contains("eventwright_remote_lag_bytes 0"), "{metrics}");
    let doctor = run(path, "eventwright doctor --data second --kafka 127.0.0.1:0 --pg none");
    assert!(doctor.contains("remote copy"), "{doctor}");
    let anywhere = "--kafka 127.0.0.1:0 --http none --pg none";
    let refused = shell(path, &format!("{} {anywhere}", again.trim())).stdin(Stdio::null()).output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && words.contains("has taken over"), "{words}");
}

#[test]
fn a_standby_takes_over_when_it_is_asked_and_the_other_node_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let start = "eventwright start --data first --remote copies";
    let mut node = Node::start(path, start, start);
    run(path, &asked(&node, "eventwright topic create payments --config durability=remote"));
    run(path, &asked(&node, "echo one | eventwright topic produce payments"));
    let follow = "eventwright start --data second --remote copies --standby";
    let takes_over = format!("(until eventwright takeover --data second; do sleep 0.1; done) >&2 & {follow}");
    let taker = Node::start(path, &takes_over, follow);
    assert_eq!(run(path, &asked(&taker, "eventwright topic consume payments")), "one\n");
    // It finds out by itself, and its process ends.
    let status = node.started.0.wait().unwrap();
    assert!(!status.success(), "{status}");
}
