//! Files of JSON lines in the trial's folder.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::outside::{Direction, Outside, Place, json, text};
use super::trial::number;

pub struct Filesystem;

fn folder(place: &Place) -> PathBuf {
    place.folder.join("files")
}

impl Outside for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn connector(&self) -> &'static str {
        "filesystem"
    }

    fn version(&self) -> Result<String> {
        Ok("files of JSON lines".to_owned())
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (_, "away at start" | "away meanwhile" | "hang") => Some("a folder has no server"),
            (Direction::Source, "back pressure") => {
                Some("files are read where they lie, as far as the job is")
            }
            (Direction::Sink, "back pressure") => Some("a folder takes what the disk takes"),
            (_, "slow" | "flapping") => Some("there is no network in between"),
            (_, "credentials" | "rotated") => Some("there are no users"),
            (Direction::Source, "poison") => Some(
                "a line that cannot be read ends the job, or is skipped (`json.ignore-parse-errors`): it stays in its file",
            ),
            (Direction::Sink, "poison") => Some("a folder refuses no row"),
            (Direction::Sink, "mismatch") => Some("a file has the columns of the table that writes it"),
            _ => None,
        }
    }

    fn has_server(&self) -> bool {
        false
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        Ok(std::fs::create_dir(folder(place))?)
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'filesystem', 'path' = '{}', 'format' = 'json', \
             'sink.rolling-policy.rollover-interval' = '100 ms'",
            text(&folder(place))
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let path = folder(place).join(format!("{:08}.json", numbers.start));
        let lines: String = numbers.map(|n| json(n) + "\n").collect();
        Ok(std::fs::write(path, lines)?)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder(place))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with(['.', '_']) {
                files.push((entry.metadata()?.modified()?, name));
            }
        }
        files.sort();
        let mut numbers = Vec::new();
        for (_, name) in files {
            let text = std::fs::read_to_string(folder(place).join(name))?;
            for line in text.lines() {
                numbers.push(number(line.as_bytes())?);
            }
        }
        Ok(numbers)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            bail!("a file has the columns of the table that writes it");
        }
        self.prepare(place, direction)?;
        std::fs::write(folder(place).join("0.json"), "{\"k\":1,\"n\":\"many\"}\n")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
