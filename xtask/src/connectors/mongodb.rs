//! Servers of MongoDB's protocol, which jobs reach through the gate: a collection for each trial, for documents that are
//! written, with a key or without, and for documents and changes that are read.

use std::ops::Range;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, REFUSED, USER, text};
use crate::mongodb::{self, DATABASE};
use crate::process::Server;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each row is a document.
    Documents,
    /// Documents lie under the numbers.
    Keyed,
    Changes,
}

pub struct MongoDb {
    kind: Kind,
    server: mongodb::MongoDb,
    gate: Gate,
}

impl MongoDb {
    pub fn new(kind: Kind) -> Result<MongoDb> {
        let server = match kind {
            Kind::Documents => mongodb::Kind::FerretDb,
            Kind::Keyed | Kind::Changes => mongodb::Kind::JavaServer,
        };
        let server = mongodb::MongoDb::start(server, USER, FIRST_PASSWORD)?;
        let gate = Gate::to(server.port)?;
        Ok(MongoDb { kind, server, gate })
    }
}

impl Outside for MongoDb {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Documents => "mongodb",
            Kind::Keyed => "mongodb-keyed",
            Kind::Changes => "mongodb-changes",
        }
    }

    fn connector(&self) -> &'static str {
        if self.kind == Kind::Changes { "mongodb-cdc" } else { "mongodb" }
    }

    fn version(&self) -> Result<String> {
        Ok(self.server.version())
    }

    fn directions(&self) -> &'static [Direction] {
        if self.kind == Kind::Changes { &[Direction::Source] } else { &[Direction::Sink] }
    }

    fn exempt(&self, _direction: Direction, case: &str) -> Option<&'static str> {
        (case == "mismatch").then_some("a collection declares no columns")
    }

    fn has_changes(&self) -> bool {
        self.kind == Kind::Changes
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.server.kill();
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    /// The first document makes it.
    fn prepare(&mut self, _place: &Place, _direction: Direction) -> Result<()> {
        Ok(())
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        let (port, name, password) = (self.gate.port, &place.name, text(&place.password_file()));
        let login = format!("'username' = '{USER}', 'password' = '${{file:{password}}}'");
        match self.kind {
            Kind::Changes => format!(
                "'connector' = 'mongodb-cdc', 'hosts' = '127.0.0.1:{port}', 'database' = '{DATABASE}', 'collection' = '{name}', \
                 {login}, 'connection.options' = 'replicaSet=suite&socketTimeoutMS=4000'"
            ),
            Kind::Documents | Kind::Keyed => format!(
                "'connector' = 'mongodb', 'uri' = 'mongodb://127.0.0.1:{port}/?socketTimeoutMS=4000', 'database' = '{DATABASE}', \
                 'collection' = '{name}', {login}, 'sink.buffer-flush.interval' = '100 ms', 'sink.retry.interval' = '200 ms'"
            ),
        }
    }

    fn key(&self) -> &'static str {
        if self.kind == Kind::Keyed { ", PRIMARY KEY (n) NOT ENFORCED" } else { "" }
    }

    fn source_columns(&self) -> &'static str {
        ", _id STRING, PRIMARY KEY (_id) NOT ENFORCED"
    }

    /// A collection tells no order in which rows came.
    fn keeps_order(&self, direction: Direction) -> bool {
        direction == Direction::Source
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let (first, end) = (numbers.start.to_string(), numbers.end.to_string());
        self.server.ask(&["put", &place.name, &first, &end]).map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let numbers = self.server.ask(&["read", &place.name])?;
        let mut numbers = numbers.lines().map(str::parse).collect::<std::result::Result<Vec<u64>, _>>()?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_password(USER, password)
    }

    fn refusal(&self) -> &'static str {
        "Authentication failed"
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        self.server.ask(&["poison", &place.name])?;
        let letter = format!(
            "{{\"kind\":\"+I\",\"database\":\"{DATABASE}\",\"collection\":\"{}\",\"ts_ms\":0,\
             \"document\":{{\"_id\":\"poison\",\"k\":1,\"n\":\"seven\"}}}}",
            place.name
        );
        Ok(letter.into_bytes())
    }

    fn refuse(&mut self, place: &Place) -> Result<()> {
        self.server.ask(&["refuse", &place.name, &REFUSED.to_string()]).map(drop)
    }

    fn mismatch(&mut self, _place: &Place, _direction: Direction) -> Result<String> {
        anyhow::bail!("a collection declares no columns")
    }
}
