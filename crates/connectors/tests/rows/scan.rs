//! Tables of `jdbc` that are read.

use super::connector;
use base::codec::FieldReader;
use dataflow::feed::{Feed, FeedRequest, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const POLLS_MAX: usize = 10_000;

pub struct Scan {
    feed: Box<dyn Feed>,
    /// The last one that landed.
    position: Option<Vec<u8>>,
    pub rows: Vec<String>,
}

pub fn scan(table: Arc<TableDefinition>) -> Scan {
    let feed = connector().feed(FeedRequest { table, identity: "scan".into() }).unwrap();
    Scan { feed, position: None, rows: Vec::new() }
}

impl Scan {
    /// Connects (again) at the last position.
    pub fn open(&mut self) -> Result<(), SourceError> {
        self.feed.open(self.position.as_deref())
    }

    pub fn poll(&mut self) -> Result<Haul, SourceError> {
        let haul = self.feed.poll(20)?;
        assert!(haul.records.is_empty() || haul.position.is_some());
        self.position = haul.position.clone().or(self.position.take());
        self.rows.extend(haul.records.iter().filter_map(|record| record.value.as_deref()).map(shown));
        Ok(haul)
    }

    /// Reads on to the end; with `dies` over another connection for each haul.
    pub fn all(&mut self, dies: bool) -> Result<&[String], SourceError> {
        self.open()?;
        for _ in 0..POLLS_MAX {
            if self.poll()?.ended {
                return Ok(&self.rows);
            }
            if dies {
                self.open()?;
            }
        }
        panic!("it has no end: {} rows", self.rows.len());
    }

    pub fn until(&mut self, rows: usize) -> &[String] {
        for _ in 0..POLLS_MAX {
            if self.rows.len() >= rows {
                return &self.rows;
            }
            self.poll().unwrap();
        }
        panic!("{} rows came, and not {rows}", self.rows.len());
    }
}

/// `1|a|NULL`
fn shown(value: &[u8]) -> String {
    let mut reader = FieldReader::new(value);
    assert_eq!((reader.u8().unwrap(), reader.u8().unwrap()), (1, 0), "an insertion");
    reader.i64().unwrap();
    let (_, _) = (reader.text().unwrap(), reader.text().unwrap());
    let count = reader.u32().unwrap();
    let values = (0..count).map(|_| match reader.u8().unwrap() {
        0 => "NULL".to_string(),
        _ => reader.text().unwrap(),
    });
    values.collect::<Vec<_>>().join("|")
}
