//! Targets for fuzzing: functions that take any bytes, give them to a decoder, and check what must always hold.
//!
//! `cargo xtask fuzz` runs them under libFuzzer; a plain test runs each over its seeds, its corpus and some hundred
//! mutations of both, so that they stay alive. A panic, a hang or memory without bounds is a finding; its input goes to
//! the corpus when it is repaired.

mod database;
mod documents;
mod entries;
mod files;
mod front;
mod kafka;
mod lakes;
mod log;
mod logins;
mod mongodb;
mod mysql;
mod queues;
mod records;
mod schemas;
mod script;
mod servers;
mod state;
mod statements;
mod stores;
mod streams;
mod syslog;
mod tables;
mod telemetry;
mod web;

/// One decoder, or a family of them.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs that are right, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations that the plain test runs; fewer where one costs more.
    pub mutations: u32,
}

pub const TARGETS: &[Target] = &[
    Target { name: "messages", run: kafka::message, seeds: kafka::messages, mutations: 2000 },
    Target { name: "batches", run: kafka::batches, seeds: kafka::batch_seeds, mutations: 1000 },
    Target { name: "log", run: log::recover, seeds: log::seeds, mutations: 200 },
    Target { name: "entries", run: entries::fold, seeds: entries::seeds, mutations: 1000 },
    Target { name: "state", run: state::read, seeds: state::seeds, mutations: 500 },
    Target { name: "records", run: records::decode, seeds: records::seeds, mutations: 2000 },
    Target { name: "files", run: files::read, seeds: files::seeds, mutations: 300 },
    Target { name: "sql", run: statements::check, seeds: statements::seeds, mutations: 200 },
    Target { name: "logins", run: logins::check, seeds: logins::seeds, mutations: 500 },
    Target { name: "schemas", run: schemas::ask, seeds: schemas::seeds, mutations: 200 },
    Target { name: "servers", run: servers::hear, seeds: servers::seeds, mutations: 1000 },
    Target { name: "front", run: front::read, seeds: front::seeds, mutations: 200 },
];

pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Takes the first byte away: it chooses.
fn choice(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}
