//! Files in a bucket of S3: moto, which has multipart uploads and puts on a condition.
//!
//! It keeps nothing over a restart, so a server that is away is one whose gate is shut.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, json, text};
use super::trial::number;
use crate::aws::{ACCOUNT, KEY_ID, Moto, REGION};
use crate::process::Server;

pub struct S3 {
    moto: Moto,
    gate: Gate,
    /// A queue says what is new in a bucket, which is not listed then.
    is_told: bool,
}

impl S3 {
    pub fn new(folder: &Path, is_told: bool) -> Result<S3> {
        let moto = Moto::start(folder, FIRST_PASSWORD)?;
        Ok(S3 { gate: Gate::to(moto.port)?, moto, is_told })
    }

    fn put_object(&self, place: &Place, name: &str, body: &[u8]) -> Result<()> {
        let key = format!("numbers/{name}.json");
        self.moto.ask("put_object", &[("name", &bucket(place)), ("key", &key)], body).map(drop)
    }
}

/// A bucket's name has no underscores.
fn bucket(place: &Place) -> String {
    place.name.replace('_', "-")
}

impl Outside for S3 {
    fn name(&self) -> &'static str {
        if self.is_told { "s3-notifications" } else { "s3" }
    }

    fn connector(&self) -> &'static str {
        "filesystem"
    }

    fn version(&self) -> Result<String> {
        let moto = Moto::version();
        let told = if self.is_told { ", which tells a queue of them" } else { "" };
        Ok(format!(
            "objects of JSON lines in {moto}{told}; away is a shut gate, for it keeps nothing over a restart"
        ))
    }

    fn directions(&self) -> &'static [Direction] {
        if self.is_told { &[Direction::Source] } else { &[Direction::Source, Direction::Sink] }
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => Some("a bucket refuses no row"),
            _ => None,
        }
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
        let command = if self.is_told { "told_bucket" } else { "bucket" };
        self.moto.ask(command, &[("name", &bucket(place))], b"").map(drop)
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let of_kind = match direction {
            Direction::Sink => "'sink.rolling-policy.rollover-interval' = '100 ms'".to_owned(),
            Direction::Source if self.is_told => format!(
                "'source.notifications.queue-url' = 'http://127.0.0.1:{}/{ACCOUNT}/{}'",
                self.gate.port,
                bucket(place)
            ),
            Direction::Source => "'source.monitor-interval' = '100 ms'".to_owned(),
        };
        format!(
            "'connector' = 'filesystem', 'path' = 's3://{}/numbers', 'format' = 'json', 'aws.region' = '{REGION}', \
             's3.endpoint' = 'http://127.0.0.1:{}', 'aws.credentials.provider' = 'BASIC', \
             'aws.credentials.basic.accesskeyid' = '{KEY_ID}', \
             'aws.credentials.basic.secretkey' = '${{file:{}}}', 'timeout' = '4 s', {of_kind}",
            bucket(place),
            self.gate.port,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let name = format!("{:08}", numbers.start);
        let lines: String = numbers.map(|n| json(n) + "\n").collect();
        self.put_object(place, &name, lines.as_bytes())
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let rows = self.moto.ask("read_bucket", &[("name", &bucket(place))], b"")?;
        rows.lines().map(|row| number(row.as_bytes())).collect()
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.moto.ask("secret", &[], password.as_bytes()).map(drop)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = "{\"k\":1,\"n\":no number";
        self.put_object(place, "99999998", format!("{poison}\n").as_bytes())?;
        Ok(poison.as_bytes().to_vec())
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A bucket has no columns; what does not fit is that it is not there.
            return Ok("create the bucket".to_owned());
        }
        self.prepare(place, direction)?;
        self.put_object(place, "0", b"{\"k\":1,\"n\":\"many\"}\n")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
