//! The stage of PostgreSQL's real clients: psql, psycopg with SQLAlchemy, pg of Node, pgJDBC.

use anyhow::Result;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::clients;
use crate::counts::Counts;
use crate::{node, peers, process};

/// Keys and values of the topic that the suites ask.
const FLIGHTS: &str =
    "a|{\"origin\": \"EWR\", \"delay\": 4}\nb|{\"origin\": \"EWR\", \"delay\": 9}\nc|{\"origin\": \"JFK\"}\n";

pub fn run() -> Result<Counts> {
    peers::install(&["debian", "python", "node", "pgjdbc"].map(str::to_owned))?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("node.log");
    let node = node::start_with(&folder.path().join("data"), &log, &["--pg".into(), "127.0.0.1:0".into()])?;
    let flights = folder.path().join("flights.txt");
    std::fs::File::create(&flights)?.write_all(FLIGHTS.as_bytes())?;
    let topic = |arguments: &[&str]| -> Result<Command> {
        let mut command = node::command()?;
        command.arg("topic").args(arguments).args(["-b", &node.bootstrap]).stdout(Stdio::null());
        Ok(command)
    };
    process::run(&mut topic(&["create", "flights"])?, LIMIT)?;
    let file = flights.display().to_string();
    process::run(&mut topic(&["produce", "flights", "--key-separator", "|", "--file", &file])?, LIMIT)?;
    let counts = clients::run_postgresql(&node.pg)?;
    if counts.failed() > 0 {
        clients::show_log(&log);
    }
    node.stop()?;
    Ok(counts)
}

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
