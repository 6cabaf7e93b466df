//! Runs the commands of `docs/guide/http-events.md` in their order; they print what the page says.

mod guide;

use guide::{Started, blocks, run, shell};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/http-events.md");
/// The address that the page uses.
const ADDRESS: &str = "127.0.0.1:18081";

/// What the page shows behind a block of commands: the next indented lines.
fn shown(page: &str, block: &str) -> String {
    let (_, rest) = page.split_once(block).expect("it is a block of the page");
    let lines = rest.lines().skip_while(|line| !line.starts_with("    "));
    lines.take_while(|line| line.starts_with("    ")).map(str::trim).collect()
}

/// Times differ.
fn without_time(text: &str) -> String {
    let (before, rest) = text.split_once("\"timestamp\":").unwrap_or((text, ""));
    [before, rest.trim_start_matches(|c: char| c.is_ascii_digit())].concat()
}

#[test]
fn the_pages_commands_print_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(GUIDE).unwrap();
    let blocks = blocks(GUIDE, "sh");
    let (start, requests) = blocks.split_first().expect("the page has blocks");
    let start = start.trim().replace(ADDRESS, "127.0.0.1:0");
    let script = format!("exec {start} --kafka 127.0.0.1:0");
    let mut child = shell(folder.path(), &script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| Some(line.unwrap().strip_prefix("http listening on ")?.to_string()));
    let address = address.expect("the node says where it listens");
    let _node = Started(child);
    assert_eq!(requests.len(), 5, "{requests:?}");
    for request in requests {
        let printed = run(folder.path(), &request.replace(ADDRESS, &address));
        assert_eq!(without_time(printed.trim()), without_time(&shown(&page, request)), "{request}");
    }
}
