//! Files in a bucket of Google Cloud Storage and in a container of Azure Blob Storage, as stand-ins have them.
//!
//! Neither keeps anything over a restart, so a server that is away is one whose gate is shut.

use std::ops::Range;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, Outside, Place, json, text};
use super::trial::number;
use crate::clouds::Cloud;
use crate::process::Server;

pub struct Clouds {
    cloud: Cloud,
    gate: Gate,
}

/// A bucket's name has no underscores.
fn bucket(place: &Place) -> String {
    place.name.replace('_', "-")
}

impl Clouds {
    pub fn new(cloud: Cloud) -> Result<Clouds> {
        Ok(Clouds { gate: Gate::to(cloud.port())?, cloud })
    }

    fn put_object(&self, place: &Place, name: &str, body: &[u8]) -> Result<()> {
        self.cloud.put_object(&bucket(place), &format!("numbers/{name}.json"), body)
    }
}

impl Outside for Clouds {
    fn name(&self) -> &'static str {
        match self.cloud {
            Cloud::Gcs(_) => "gcs",
            Cloud::Azure(_) => "azure",
        }
    }

    fn connector(&self) -> &'static str {
        "filesystem"
    }

    fn version(&self) -> Result<String> {
        let beside = match self.cloud {
            Cloud::Gcs(_) => ", with uploads in parts beside it",
            Cloud::Azure(_) => "",
        };
        Ok(format!(
            "objects of JSON lines in {}{beside}; away is a shut gate, for it keeps nothing over a restart",
            self.cloud.name()
        ))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "poison") => Some("a bucket refuses no row"),
            _ => None,
        }
    }

    fn refusal(&self) -> &'static str {
        self.cloud.refusal()
    }

    fn server(&self) -> Result<&Server> {
        Ok(self.cloud.server())
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn password(&self, word: &str) -> String {
        self.cloud.written(word)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.cloud.make_bucket(&bucket(place))
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let of_direction = match direction {
            Direction::Sink => "'sink.rolling-policy.rollover-interval' = '100 ms'",
            Direction::Source => "'source.monitor-interval' = '100 ms'",
        };
        format!(
            "'connector' = 'filesystem', 'path' = '{}', 'format' = 'json', 'timeout' = '4 s', {}, {of_direction}",
            self.cloud.address(&bucket(place), "numbers"),
            self.cloud.options(self.gate.port, &text(&place.password_file())),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let name = format!("{:08}", numbers.start);
        let lines: String = numbers.map(|n| json(n) + "\n").collect();
        self.put_object(place, &name, lines.as_bytes())
    }

    /// Of the objects that readers see.
    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let is_seen = |key: &str| !key.rsplit('/').next().unwrap_or(key).starts_with(['.', '_']);
        let objects = self.cloud.objects(&bucket(place), is_seen)?;
        let rows = objects.iter().flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n'));
        rows.filter(|row| !row.is_empty()).map(number).collect()
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.cloud.set_word(password)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = "{\"k\":1,\"n\":no number";
        self.put_object(place, "99999998", format!("{poison}\n").as_bytes())?;
        Ok(poison.as_bytes().to_vec())
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            // A bucket has no columns; what does not fit is that it is not there.
            return Ok("create the ".to_owned());
        }
        self.prepare(place, direction)?;
        self.put_object(place, "0", b"{\"k\":1,\"n\":\"many\"}\n")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
