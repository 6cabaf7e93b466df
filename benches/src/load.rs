//! Bulk load: batches of equal size in, and the same bytes out again, over one connection.
//!
//! One batch is built once and sent again and again, so that the client costs little beside the node. Produce keeps a window of
//! batches on the way, as Kafka's clients do; fetch asks for one batch at a time.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kafka_client::Client;
use kafka_wire::messages::FetchRequest;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::records::{BatchBuilder, BatchHeader, Compression};

use crate::cost::process_cpu_seconds;

/// The last version of Produce and Fetch in which a topic goes by its name.
pub const NAMED_TOPIC_VERSION_MAX: i16 = 12;

/// What moving some bytes has cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub cpu_seconds: f64,
    pub seconds: f64,
    pub bytes: u64,
}

impl Cost {
    pub fn cpu_seconds_per_gb(&self) -> f64 {
        self.cpu_seconds / (self.bytes as f64 / crate::GIGABYTE)
    }

    pub fn mb_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }
}

/// An uncompressed batch of records of now, each with a value of this size and no key, filled up to `bytes_max`.
pub fn batch(value_bytes: usize, bytes_max: usize) -> Result<(Bytes, i64)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
    let mut builder = BatchBuilder::new(Compression::None);
    // A generator without luck (xorshift): every run sends the same bytes, and no disk can compress them.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    // A record's own fields take up to 20 bytes.
    while builder.count() == 0 || builder.size_bytes() + value_bytes + 20 <= bytes_max {
        let value: Vec<u8> = (0..value_bytes).map(|_| random()).collect();
        builder.append(now, None, Some(&value), &[])?;
    }
    let count = builder.count() as i64;
    Ok((builder.build()?, count))
}

/// Appends the batch `count` times over the partitions in turn, with `window` of them on the way.
pub fn produce(
    client: &mut Client,
    process: u32,
    topic: &str,
    partitions: i32,
    batch: &Bytes,
    count: u64,
    window: usize,
) -> Result<Cost> {
    let cpu = process_cpu_seconds(process)?;
    let start = Instant::now();
    let mut tickets = VecDeque::new();
    for index in 0..count {
        if tickets.len() >= window
            && let Some(oldest) = tickets.pop_front()
        {
            client.receive_produce(oldest)?;
        }
        let partition = (index % partitions as u64) as i32;
        tickets.push_back(client.send_produce(topic, partition, batch.clone(), -1)?);
    }
    for ticket in tickets {
        client.receive_produce(ticket)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes = count * batch.len() as u64;
    Ok(Cost { cpu_seconds: process_cpu_seconds(process)? - cpu, seconds, bytes })
}

/// Reads all of a topic that [`produce`] has filled, and checks that every batch is there in its place.
pub fn fetch(client: &mut Client, process: u32, topic: &str, partitions: i32, batch: &Bytes) -> Result<Cost> {
    let cpu = process_cpu_seconds(process)?;
    let start = Instant::now();
    let mut bytes = 0;
    for partition in 0..partitions {
        let mut offset = 0;
        loop {
            let records = fetch_once(client, topic, partition, offset, batch.len())?;
            if records.is_empty() {
                break;
            }
            let mut rest = &records[..];
            while !rest.is_empty() {
                let header = BatchHeader::parse(rest)?;
                if header.base_offset != offset || header.size_bytes() != batch.len() {
                    bail!(
                        "partition={partition} has base_offset={} bytes={} where offset={offset} bytes={} was written",
                        header.base_offset,
                        header.size_bytes(),
                        batch.len()
                    );
                }
                offset = header.next_offset();
                bytes += header.size_bytes() as u64;
                rest = rest.get(header.size_bytes()..).context("a batch is cut off")?;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Cost { cpu_seconds: process_cpu_seconds(process)? - cpu, seconds, bytes })
}

fn fetch_once(
    client: &mut Client,
    topic: &str,
    partition: i32,
    offset: i64,
    bytes_max: usize,
) -> Result<Bytes> {
    let bytes_max = i32::try_from(bytes_max)?;
    let asked = FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: bytes_max,
        ..Default::default()
    };
    let request = FetchRequest {
        max_bytes: bytes_max,
        topics: vec![FetchTopic { topic: topic.to_owned(), partitions: vec![asked], ..Default::default() }],
        ..Default::default()
    };
    let connection = client.connection();
    let version = connection.version_up_to::<FetchRequest>(NAMED_TOPIC_VERSION_MAX)?;
    let response = connection.call_version(&request, version)?;
    let parts = response.responses.into_iter().flat_map(|topic| topic.partitions);
    let part = parts.into_iter().next().context("the partition is not in the answer")?;
    if response.error_code != 0 || part.error_code != 0 {
        bail!("fetch of partition={partition} offset={offset} gave error_code={}", part.error_code);
    }
    Ok(part.records.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_wire::records::Batch;

    #[test]
    fn a_batch_is_as_large_as_it_may_be() {
        let (batch, count) = batch(1024, 100_000).unwrap();
        assert!(batch.len() > 98_000 && batch.len() <= 100_000, "bytes={}", batch.len());
        let parsed = Batch::parse(&batch).unwrap();
        parsed.check_produced().unwrap();
        assert_eq!(i64::from(parsed.header.records_count), count);
        assert_eq!(self::batch(1024, 10).unwrap().1, 1);
    }
}
