//! Consumers that read every topic all the while: each offset comes once, and its bytes never change.

use crate::rows::{Row, decode};
use base::Offset;
use eventlog::EventLog;
use std::collections::BTreeMap;

/// A batch as it was read: its last offset and its bytes.
type Seen = (i64, Vec<u8>);

#[derive(Default)]
pub struct Readers {
    /// By topic and partition: batches by their first offset.
    seen: BTreeMap<(String, usize), BTreeMap<i64, Seen>>,
}

fn end_of(batches: &BTreeMap<i64, Seen>) -> i64 {
    batches.last_key_value().map_or(0, |(_, (last, _))| last + 1)
}

impl Readers {
    /// Reads all topics up to their high watermarks.
    pub fn poll(&mut self, log: &EventLog) {
        for topic in log.topics() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                let batches = self.seen.entry((topic.name.clone(), index)).or_default();
                let end = log.bounds(*partition).expect("the partition is there").high_watermark.0;
                let mut next = end_of(batches);
                assert!(next <= end, "{}/{index}: {next} was visible, now only {end} is", topic.name);
                while next < end {
                    for slice in log.read(*partition, Offset(next), 2048).expect("a consumer reads") {
                        assert_eq!(
                            slice.base_offset.0, next,
                            "{}/{index}: each offset comes once",
                            topic.name
                        );
                        let mut bytes = Vec::new();
                        slice.read(&mut bytes).expect("a batch reads");
                        batches.insert(next, (slice.last_offset.0, bytes));
                        next = slice.last_offset.0 + 1;
                    }
                }
            }
        }
    }

    /// Reads everything again that is still kept, and compares.
    pub fn compare(&self, log: &EventLog) {
        for ((topic, index), batches) in &self.seen {
            if batches.is_empty() {
                continue;
            }
            let found = log.topic(topic).unwrap_or_else(|| panic!("{topic} is gone"));
            let partition = found.partitions[*index];
            let bounds = log.bounds(partition).expect("the partition is there");
            let end = end_of(batches);
            assert!(bounds.high_watermark.0 >= end, "{topic}/{index}: {end} was visible, now {bounds:?}");
            let mut next = bounds.log_start.0;
            while next < end {
                for slice in log.read(partition, Offset(next), 1 << 20).expect("a consumer reads") {
                    let mut bytes = Vec::new();
                    slice.read(&mut bytes).expect("a batch reads");
                    if let Some((last, known)) = batches.get(&slice.base_offset.0) {
                        assert_eq!((slice.last_offset.0, &bytes), (*last, known), "{topic}/{index} changed");
                    } else {
                        assert!(slice.base_offset.0 >= end, "{topic}/{index}: other batches than before");
                    }
                    next = slice.last_offset.0 + 1;
                }
            }
        }
    }

    /// All rows of a partition that were ever seen.
    pub fn rows(&self, topic: &str, index: usize, width: usize) -> Vec<Row> {
        let batches = self.seen.get(&(topic.to_string(), index));
        batches.into_iter().flat_map(BTreeMap::values).flat_map(|(_, bytes)| decode(bytes, width)).collect()
    }
}
