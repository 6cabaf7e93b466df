//! Runs the commands of `docs/guide/asyncapi.md` in their order, and looks into what they write.

mod guide;

use guide::{Started, blocks, run, shell};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/asyncapi.md");
/// The addresses that the page uses.
const KAFKA: &str = "127.0.0.1:19092";
const HTTP: &str = "127.0.0.1:18081";

#[test]
fn the_pages_commands_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.sql"), &blocks(GUIDE, "sql")[0]).unwrap();
    let commands = blocks(GUIDE, "sh");
    let [start, export, dry_run, import] = commands.as_slice() else { panic!("{commands:?}") };
    let start = start.trim().replace(KAFKA, "127.0.0.1:0").replace(HTTP, "127.0.0.1:0");
    let mut child =
        shell(folder.path(), &format!("exec {start} --pg none")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = |what: &str| {
        lines.find_map(|line| Some(line.unwrap().strip_prefix(what)?.to_string())).expect("an address")
    };
    let (kafka, http) = (address("kafka listening on "), address("http listening on "));
    let _node = Started(child);
    let run = |commands: &str| run(folder.path(), &commands.replace(KAFKA, &kafka).replace(HTTP, &http));
    let written = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();

    run(export);
    let document = written("shop.yaml");
    let mut rest = document.lines();
    for line in blocks(GUIDE, "yaml")[0].lines() {
        assert!(rest.any(|other| other == line), "{line}\n{document}");
    }
    let tables = run(dry_run);
    assert_eq!(tables.matches("CREATE TABLE").count(), 2, "{tables}");
    run(import);
    assert_eq!(written("tables.sql"), tables);
    // It is as it was.
    let again = run(&export.lines().last().unwrap().replace("shop.yaml", "again.yaml"));
    assert_eq!((again.as_str(), written("again.yaml")), ("", document));
}
