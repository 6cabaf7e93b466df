//! The producers of the simulation and what they remember: every record that they sent, and how many were
//! acknowledged.

use crate::connector::width_of;
use crate::jobs::{DELAY_MS, ORDERS, PEOPLE, WINDOW_MS};
use crate::rows::{DELETE, END, INSERT, NULL, Row, UPDATE, decode, encode};
use base::{Lsn, Offset};
use eventlog::{EventLog, LogError};
use os::sim::SplitMix;
use std::collections::BTreeMap;

/// One partition of an input.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// By offset, from 0.
    pub rows: Vec<Row>,
    /// So many of them are durable.
    pub acknowledged: usize,
    /// What is on its way: the place in the log and the offset behind it.
    open: Vec<(Lsn, usize)>,
    ended: bool,
}

/// All inputs of a world.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub partitions: BTreeMap<&'static str, Vec<Sent>>,
    ids: i64,
    at_ms: i64,
    /// Orders that may still be sent.
    pub orders_left: u64,
    /// Whether some orders come too late for their windows: only where the order of arrival is certain.
    lateness: bool,
    retention_bytes: Option<u64>,
}

impl Inputs {
    pub fn new(random: &mut SplitMix) -> Inputs {
        let orders = 1 + random.below(3) as usize;
        let people = 1 + random.below(2) as usize;
        let many = if random.one_in(8) { 500 } else { 130 };
        let partitions = [(ORDERS, orders), (PEOPLE, people)];
        Inputs {
            partitions: partitions.map(|(topic, count)| (topic, vec![Sent::default(); count])).into(),
            ids: 0,
            at_ms: 1_000,
            orders_left: 30 + random.below(many),
            lateness: orders == 1 && random.one_in(2),
            retention_bytes: random.one_in(3).then_some(1_000),
        }
    }

    /// Makes the topics where they are missing.
    pub fn create(&self, log: &EventLog) -> Result<(), LogError> {
        log.append(|frame| {
            for (topic, partitions) in &self.partitions {
                if frame.topic(topic).is_none() {
                    let bytes =
                        self.retention_bytes.map(|bytes| ("retention.bytes".to_string(), bytes.to_string()));
                    frame.create_topic(topic, partitions.len() as u32, bytes.into_iter().collect())?;
                }
            }
            Ok::<_, LogError>(())
        })?;
        Ok(())
    }

    fn order(&mut self, random: &mut SplitMix) -> Row {
        self.ids += 1;
        self.at_ms += random.below(9) as i64;
        // A row whose time is the watermark is late already.
        let late_ms = random.below(DELAY_MS as u64) as i64;
        let at_ms = if self.lateness && random.one_in(12) {
            self.at_ms - 4 * WINDOW_MS
        } else {
            self.at_ms - late_ms
        };
        let key = if random.one_in(15) { NULL } else { random.below(6) as i64 };
        let value = if random.one_in(20) { NULL } else { random.below(100) as i64 - 20 };
        vec![INSERT, self.ids, key, value, at_ms]
    }

    fn person(random: &mut SplitMix) -> Row {
        let (person, team) = (random.below(6) as i64, random.below(3) as i64);
        let kind = [INSERT, UPDATE, UPDATE, DELETE][random.below(4) as usize];
        vec![kind, person, if random.one_in(9) { NULL } else { team }, random.below(50) as i64]
    }

    /// Sends a few records, all in one frame.
    pub fn send(&mut self, log: &EventLog, random: &mut SplitMix) -> Result<(), LogError> {
        let mut frame: BTreeMap<(&'static str, usize), Vec<Row>> = BTreeMap::new();
        let count = (1 + random.below(12)).min(self.orders_left);
        self.orders_left -= count;
        let orders = self.partitions[ORDERS].len() as u64;
        for _ in 0..count {
            let row = self.order(random);
            frame.entry((ORDERS, random.below(orders) as usize)).or_default().push(row);
        }
        let people = self.partitions[PEOPLE].len();
        for _ in 0..random.below(4) {
            let row = Inputs::person(random);
            frame.entry((PEOPLE, row[1] as usize % people)).or_default().push(row);
        }
        self.append(log, frame)
    }

    /// Sends the last record of every partition that has none.
    pub fn end(&mut self, log: &EventLog) -> Result<(), LogError> {
        let mut frame = BTreeMap::new();
        for (topic, partitions) in &self.partitions {
            for (index, _) in partitions.iter().enumerate().filter(|(_, sent)| !sent.ended) {
                let mut row = vec![0; 1 + width_of(topic)];
                row[0] = END;
                frame.insert((*topic, index), vec![row]);
            }
        }
        self.append(log, frame)
    }

    fn append(
        &mut self,
        log: &EventLog,
        frame: BTreeMap<(&'static str, usize), Vec<Row>>,
    ) -> Result<(), LogError> {
        let (offsets, lsn) = log.append(|into| {
            let mut offsets = Vec::new();
            for ((topic, index), rows) in &frame {
                let partition = into.topic(topic).expect("the inputs are there").partitions[*index];
                offsets.push(into.batch(partition, rows.len() as u32, 0, &encode(rows))?);
            }
            Ok::<_, LogError>(offsets)
        })?;
        for (((topic, index), rows), offset) in frame.into_iter().zip(offsets) {
            let sent = &mut self.partitions.get_mut(topic).expect("the topic is known")[index];
            assert_eq!(offset.0 as usize, sent.rows.len(), "{topic}/{index}: offsets have no gaps");
            sent.ended |= rows.last().is_some_and(|row| row[0] == END);
            sent.rows.extend(rows);
            sent.open.push((lsn, sent.rows.len()));
        }
        Ok(())
    }

    pub fn all_ended(&self) -> bool {
        self.orders_left == 0 && self.partitions.values().flatten().all(|sent| sent.ended)
    }

    /// Notes what the log says is durable.
    pub fn acknowledge(&mut self, log: &EventLog) {
        let durable = log.durable();
        for sent in self.partitions.values_mut().flatten() {
            let known = sent.open.iter().take_while(|(lsn, _)| *lsn <= durable).count();
            sent.acknowledged =
                sent.open.drain(..known).next_back().map_or(sent.acknowledged, |(_, end)| end);
        }
    }

    /// Compares with a log that was opened again: what was acknowledged is there, and whatever is there was sent.
    pub fn recover(&mut self, log: &EventLog) {
        for (topic, partitions) in &mut self.partitions {
            let found = log.topic(topic);
            for (index, sent) in partitions.iter_mut().enumerate() {
                let Some(found) = &found else {
                    assert_eq!(sent.acknowledged, 0, "{topic} is lost");
                    *sent = Sent::default();
                    continue;
                };
                let bounds = log.bounds(found.partitions[index]).expect("the partition is there");
                let end = bounds.high_watermark.0 as usize;
                assert!(
                    (sent.acknowledged..=sent.rows.len()).contains(&end),
                    "{topic}/{index}: {} acknowledged, {} sent, {end} found",
                    sent.acknowledged,
                    sent.rows.len(),
                );
                sent.rows.truncate(end);
                sent.acknowledged = end;
                sent.open.clear();
                sent.ended = sent.rows.last().is_some_and(|row| row[0] == END);
                let mut next = bounds.log_start;
                while next < bounds.high_watermark {
                    for slice in log.read(found.partitions[index], next, 4096).expect("an input reads") {
                        let mut bytes = Vec::new();
                        slice.read(&mut bytes).expect("a batch reads");
                        let first = slice.base_offset.0 as usize;
                        let rows = decode(&bytes, width_of(topic));
                        assert_eq!(
                            rows,
                            sent.rows[first..first + rows.len()],
                            "{topic}/{index} from {first}"
                        );
                        next = Offset(slice.last_offset.0 + 1);
                    }
                }
            }
        }
    }

    /// Writes all records into a new log under the same offsets.
    pub fn copy(&mut self, log: &EventLog) -> Result<(), LogError> {
        self.create(log)?;
        log.append(|into| {
            for (topic, partitions) in &self.partitions {
                let ids = into.topic(topic).expect("it was created").partitions.clone();
                for (id, sent) in ids.into_iter().zip(partitions) {
                    for rows in sent.rows.chunks(5) {
                        into.batch(id, rows.len() as u32, 0, &encode(rows))?;
                    }
                }
            }
            Ok::<_, LogError>(())
        })?;
        log.commit_pending()?;
        for sent in self.partitions.values_mut().flatten() {
            sent.acknowledged = sent.rows.len();
            sent.open.clear();
        }
        Ok(())
    }
}
