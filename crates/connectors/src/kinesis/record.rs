//! Records as the service's JSON has them, and the partition of the log that each lands in.

use super::aggregated::unpacked;
use super::options::PARTITION_KEY;
use super::shards::Shard;
use crate::landed::Landing;
use crate::messages::is_time;
use crate::service::{Done, ServiceError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use md5::{Digest, Md5};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamRecord {
    pub sequence: String,
    pub partition_key: String,
    pub data: Vec<u8>,
    pub arrival_ms: Option<i64>,
}

/// What one call brought of a shard.
pub(super) struct Fetched {
    pub records: Vec<StreamRecord>,
    /// None at the end of a shard.
    pub iterator: Option<String>,
}

impl Fetched {
    pub(super) fn of(answer: &[u8]) -> Done<Fetched> {
        let malformed = || ServiceError::malformed("records");
        let answer: Value = serde_json::from_slice(answer).map_err(|_| malformed())?;
        let records = answer["Records"].as_array().ok_or_else(malformed)?;
        let records = records.iter().map(|record| one(record).ok_or_else(malformed)).collect::<Done<_>>()?;
        let iterator = answer["NextShardIterator"].as_str().filter(|iterator| !iterator.is_empty());
        Ok(Fetched { records, iterator: iterator.map(str::to_string) })
    }
}

fn one(record: &Value) -> Option<StreamRecord> {
    let text = |name: &str| record.get(name)?.as_str();
    let arrival = record.get("ApproximateArrivalTimestamp").and_then(Value::as_f64);
    Some(StreamRecord {
        sequence: text("SequenceNumber")?.to_string(),
        partition_key: text("PartitionKey")?.to_string(),
        data: STANDARD.decode(text("Data")?).ok()?,
        arrival_ms: arrival.map(|seconds| (seconds * 1000.0).round() as i64).filter(is_time),
    })
}

impl StreamRecord {
    /// In memory, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<StreamRecord>() + self.sequence.len() + self.partition_key.len() + self.data.len()
    }

    /// On its way into the log: itself, or those that its producer has packed into it.
    pub(super) fn landed(
        self,
        table: &TableDefinition,
        (shard_id, shard): (&str, &Shard),
        partitions: u32,
        now_ms: i64,
    ) -> Vec<FeedRecord> {
        let arrival_ms = self.arrival_ms.unwrap_or(now_ms);
        let land = |key: &str, data: Vec<u8>| {
            let mut landing = Landing::new(table);
            landing.number("timestamp", Some(arrival_ms));
            landing.text("shard-id", Some(shard_id));
            landing.text("sequence-number", Some(&self.sequence));
            landing.text(PARTITION_KEY, Some(key));
            FeedRecord {
                partition: partition(shard, key, partitions),
                timestamp_ms: arrival_ms,
                key: None,
                value: Some(data),
                headers: landing.finish(),
                id: None,
            }
        };
        match unpacked(&self.data) {
            // One that belongs to another shard was packed before a split; its producer sends it there again.
            Some(packed) => (packed.into_iter())
                .filter(|one| (shard.hashes.0..=shard.hashes.1).contains(&one.hash))
                .map(|one| land(&one.partition_key, one.data))
                .collect(),
            None => vec![land(&self.partition_key, self.data)],
        }
    }
}

/// By which a partition key belongs to a shard.
pub(super) fn hash_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// The partition of `count` that has a key's part of the hashes. It is the same before and after shards are split or merged,
/// so that a key keeps its order; and where shards were never changed it is that of its shard.
fn partition(shard: &Shard, partition_key: &str, count: u32) -> u32 {
    let hash = hash_of(partition_key);
    let (first, last) = shard.hashes;
    // A producer may have chosen another hash than the key's.
    let hash = if (first..=last).contains(&hash) { hash } else { first };
    (((hash >> 64) * u128::from(count.max(1))) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::super::shards::{Listed, Next, Shards};
    use super::*;

    fn shard(hashes: (u128, u128)) -> Shard {
        let mut shards = Shards::default();
        let listed = Listed { id: "a".into(), parents: Vec::new(), hashes, is_open: true };
        shards.update(vec![listed], &Next::Oldest, false).unwrap();
        shards.all.remove("a").unwrap()
    }

    #[test]
    fn records_are_taken_out_of_an_answer() {
        let body = br#"{"Records":[{"SequenceNumber":"49","PartitionKey":"k","Data":"/wA=","ApproximateArrivalTimestamp":1.5}],
                        "NextShardIterator":"next","MillisBehindLatest":0}"#;
        let fetched = Fetched::of(body).unwrap();
        let record = &fetched.records[0];
        assert_eq!((record.sequence.as_str(), record.data.as_slice()), ("49", &[0xff, 0][..]));
        assert_eq!((record.arrival_ms, fetched.iterator.as_deref()), (Some(1500), Some("next")));
        assert_eq!(
            Fetched::of(br#"{"Records":[],"NextShardIterator":null}"#).map(|fetched| fetched.iterator),
            Ok(None)
        );
        for wrong in [
            "",
            "{}",
            r#"{"Records":[{}]}"#,
            r#"{"Records":[{"SequenceNumber":"1","PartitionKey":"k","Data":"?"}]}"#,
        ] {
            assert!(Fetched::of(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_has_one_partition_whatever_its_shard_and_even_shards_have_one_each() {
        let quarter = 1 << 126;
        let shards: Vec<Shard> = (0..4).map(|n| shard((n * quarter, n * quarter + (quarter - 1)))).collect();
        let whole = shard((0, u128::MAX));
        for key in 0..200 {
            let key = key.to_string();
            let hash = hash_of(&key);
            let own =
                shards.iter().position(|shard| (shard.hashes.0..=shard.hashes.1).contains(&hash)).unwrap();
            assert_eq!(partition(&shards[own], &key, 4), own as u32);
            assert_eq!(partition(&whole, &key, 4), own as u32);
            assert_eq!(partition(&whole, &key, 1), 0);
            // One that a producer has put elsewhere by a hash of its own.
            let other = (own + 1) % 4;
            assert_eq!(partition(&shards[other], &key, 4), other as u32);
        }
    }
}
