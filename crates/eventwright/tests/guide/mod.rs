//! What the tests of guide pages share: the commands of a page, run by a shell that finds the binary.

#![allow(dead_code, reason = "each page takes what it needs")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Nothing takes so long unless it never ends.
const LIMIT_NS: u64 = 60_000_000_000;

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

pub struct Started(pub Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn shell(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("bash");
    let path =
        format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
    command.args(["-euo", "pipefail", "-c", script]).current_dir(folder).env("PATH", path);
    command
}

pub fn run(folder: &Path, script: &str) -> String {
    let output = shell(folder, script).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{out}{err}");
    out.into_owned()
}

/// A page's blocks of a kind, such as `sh`.
pub fn blocks(page: &str, kind: &str) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let begin = format!("```{kind}\n");
    let parts = text.split(&begin).skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_string()).collect()
}

/// A node that a page's command starts, and its addresses in the place of the usual ones.
pub struct Node {
    pub started: Started,
    pub kafka: String,
    pub http: String,
    pub pg: String,
}

impl Node {
    /// `command` is that of the page; what comes before it in the script is run first.
    pub fn start(folder: &Path, script: &str, command: &str) -> Node {
        assert!(script.contains(command), "{script}");
        let anywhere = "--kafka 127.0.0.1:0 --http 127.0.0.1:0 --pg 127.0.0.1:0";
        let script = script.trim_end().replace(command, &format!("exec {command} {anywhere} 2>&1"));
        let mut child = shell(folder, &script).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let started = Started(child);
        let (mut kafka, mut http, mut pg, mut told) = (None, None, None, String::new());
        while kafka.is_none() || http.is_none() || pg.is_none() {
            let line = lines.next().unwrap_or_else(|| panic!("the node says where it listens:\n{told}"));
            let address =
                |what: &str| line.strip_prefix(what)?.strip_prefix(" listening on ").map(str::to_string);
            kafka = kafka.or_else(|| address("kafka"));
            http = http.or_else(|| address("http"));
            pg = pg.or_else(|| address("postgresql"));
            told += &format!("{line}\n");
        }
        // What else it says must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Node { started, kafka: kafka.unwrap(), http: http.unwrap(), pg: pg.unwrap() }
    }

    /// A page's commands, which go to this node.
    pub fn script(&self, text: &str) -> String {
        let options = [
            ("-b", &self.kafka, &["topic produce", "topic consume", "dlq show", "dlq redrive"][..]),
            ("--server", &self.pg, &["sql"]),
            ("--http", &self.http, &["view list", "view show", "why", "trace", "debug step", "debug list"]),
        ];
        let mut script = text.to_string();
        for (option, address, verbs) in options {
            for verb in verbs {
                let command = format!("eventwright {verb}");
                script = script.replace(&command, &format!("{command} {option} {address}"));
            }
        }
        script
    }

    /// Runs commands until they give what is wanted: a job may take a moment.
    pub fn run_until(&self, folder: &Path, text: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let script = self.script(text);
        let clock = os::Os::real().clock;
        let begun_ns = clock.monotonic_ns();
        loop {
            let output = shell(folder, &script).stdin(Stdio::null()).output().unwrap();
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            if output.status.success() && is_wanted(&out) {
                return out.into_owned();
            }
            assert!(
                clock.monotonic_ns() - begun_ns < LIMIT_NS,
                "not what is wanted of {script}:\n{out}{err}"
            );
        }
    }
}
