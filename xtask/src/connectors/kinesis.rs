//! Streams of Amazon Kinesis: moto, whose shards are split and merged while numbers are put.
//!
//! It keeps nothing over a restart, so a server that is away is one whose gate is shut.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, text};
use super::trial::number;
use crate::aws::{ACCOUNT, KEY_ID, Moto, REGION};
use crate::process::Server;

pub struct Kinesis {
    moto: Moto,
    gate: Gate,
}

impl Kinesis {
    pub fn new(folder: &Path) -> Result<Kinesis> {
        let moto = Moto::start(folder, FIRST_PASSWORD)?;
        Ok(Kinesis { gate: Gate::to(moto.port)?, moto })
    }
}

impl Outside for Kinesis {
    fn name(&self) -> &'static str {
        "kinesis"
    }

    fn connector(&self) -> &'static str {
        "kinesis"
    }

    fn version(&self) -> Result<String> {
        let moto = Moto::version();
        Ok(format!(
            "{moto}, shards split and merged meanwhile; away is a shut gate, for it keeps nothing over a restart"
        ))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => {
                Some("a stream refuses a record for its size alone, and numbers are small")
            }
            _ => None,
        }
    }

    fn may_repeat(&self, direction: Direction) -> bool {
        direction == Direction::Sink
    }

    fn refusal(&self) -> &'static str {
        "SignatureDoesNotMatch"
    }

    fn server(&self) -> Result<&Server> {
        Ok(&self.moto.server)
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.moto.ask("stream", &[("name", &place.name)], b"").map(drop)
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let of_kind = match direction {
            Direction::Sink => "",
            Direction::Source => {
                ", 'source.init.position' = 'TRIM_HORIZON', 'source.reader.empty-records-fetch-interval' = '20 ms'"
            }
        };
        format!(
            "'connector' = 'kinesis', 'stream.arn' = 'arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{}', \
             'aws.endpoint' = 'http://127.0.0.1:{}', 'format' = 'json', 'aws.credentials.provider' = 'BASIC', \
             'aws.credentials.basic.accesskeyid' = '{KEY_ID}', \
             'aws.credentials.basic.secretkey' = '${{file:{}}}', 'timeout' = '4 s'{of_kind}",
            place.name,
            self.gate.port,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let (from, to) = (numbers.start.to_string(), numbers.end.to_string());
        let arguments = [("name", place.name.as_str()), ("from", &from), ("to", &to)];
        self.moto.ask("put_numbers", &arguments, b"")?;
        self.moto.ask("reshard", &[("name", &place.name)], b"").map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let rows = self.moto.ask("read_stream", &[("name", &place.name)], b"")?;
        rows.lines().map(|row| number(row.as_bytes())).collect()
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.moto.ask("secret", &[], password.as_bytes()).map(drop)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = "{\"k\":1,\"n\":no number";
        self.moto.ask("put_numbers", &[("name", &place.name)], poison.as_bytes())?;
        Ok(poison.as_bytes().to_vec())
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A stream has no columns; what does not fit is that it is not there.
            return Ok("create the stream".to_owned());
        }
        self.prepare(place, direction)?;
        self.moto.ask("put_numbers", &[("name", &place.name)], b"{\"k\":1,\"n\":\"many\"}")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
