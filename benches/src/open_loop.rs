//! Load that does not wait for answers: a request at every due time, its latency counted from that time.
//!
//! A client that waits for an answer before it asks again hides every stall behind its own waiting; so here one thread
//! writes on schedule and another reads. For this the connection is split into its two directions, which the blocking
//! client of the house cannot do; it still makes the topic and negotiates the version.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kafka_client::Client;
use kafka_wire::header::{decode_response_header, encode_request, frame_size};
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::{ProduceRequest, ProduceResponse};
use kafka_wire::{ApiKey, Message, Reader};

use crate::latency::Samples;
use crate::load::NAMED_TOPIC_VERSION_MAX;

const RESPONSE_BYTES_MAX: usize = 1 << 20;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A sleep ends late by up to this; the rest of the time until a due time is spent looking at the clock.
const SLEEP_LATENESS: Duration = Duration::from_micros(150);

/// Due times at a fixed rate; each comes when it is due, or at once when it is overdue.
pub struct Pace {
    start: Instant,
    interval: Duration,
    index: u32,
    count: u32,
}

impl Pace {
    pub fn new(rate: f64, time: Duration) -> Pace {
        let interval = Duration::from_secs_f64(1.0 / rate);
        let count = (time.as_secs_f64() * rate).round() as u32;
        Pace { start: Instant::now() + interval, interval, index: 0, count }
    }

    /// When the one of this number is due, from 0.
    pub fn due(&self, index: u32) -> Instant {
        self.start + self.interval * index
    }
}

impl Iterator for Pace {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        if self.index == self.count {
            return None;
        }
        let due = self.due(self.index);
        self.index += 1;
        if let Some(sleep) = due.checked_duration_since(Instant::now() + SLEEP_LATENESS) {
            std::thread::sleep(sleep);
        }
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        Some(due)
    }
}

/// Produces the batch at this pace, acknowledged by all, and returns the times from due to acknowledged.
pub fn produce(
    client: &mut Client,
    topic: &str,
    batch: &Bytes,
    rate: f64,
    time: Duration,
) -> Result<Samples> {
    produce_each(client, topic, Pace::new(rate, time), |_| Ok(batch.clone()))
}

/// The same with a batch of its own, which `make` makes of its number, for each due time.
pub fn produce_each(
    client: &mut Client,
    topic: &str,
    pace: Pace,
    mut make: impl FnMut(u32) -> Result<Bytes>,
) -> Result<Samples> {
    let version = client.connection().version_up_to::<ProduceRequest>(NAMED_TOPIC_VERSION_MAX)?;
    let request = |batch: Bytes| {
        let data = PartitionProduceData { index: 0, records: Some(batch) };
        let topic_data = vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![data],
            ..Default::default()
        }];
        ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data, ..Default::default() }
    };

    let mut writer = TcpStream::connect(client.connection().address())?;
    writer.set_nodelay(true)?;
    let mut reader = writer.try_clone()?;
    reader.set_read_timeout(Some(ANSWER_LIMIT))?;
    let (first_due, interval, count) = (pace.start, pace.interval, pace.count);

    std::thread::scope(|scope| {
        let answers = scope.spawn(move || -> Result<Samples> {
            let mut samples = Samples::default();
            for index in 0..count {
                read_answer(&mut reader, index as i32, version)?;
                samples.push_ms((first_due + interval * index).elapsed());
            }
            Ok(samples)
        });
        for (index, _) in pace.enumerate() {
            let request = request(make(index as u32)?);
            let frame = encode_request(&request, version, index as i32, Some("benches"))?.concat();
            writer.write_all(&frame)?;
        }
        answers.join().map_err(|_| anyhow::anyhow!("the reader of answers panicked"))?
    })
}

fn read_answer(stream: &mut TcpStream, correlation_id: i32, version: i16) -> Result<()> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).context("no answer")?;
    let mut frame = vec![0; frame_size(prefix, RESPONSE_BYTES_MAX)?];
    stream.read_exact(&mut frame)?;
    let mut reader = Reader::new(Bytes::from(frame));
    let answered = decode_response_header(&mut reader, ApiKey::Produce, version)?;
    let response = ProduceResponse::decode(&mut reader, version)?;
    let parts = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    let codes: Vec<i16> = parts.map(|part| part.error_code).collect();
    if answered != correlation_id || codes != [0] {
        bail!("correlation_id={answered} expected={correlation_id} error_codes={codes:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_before_its_time() {
        let start = Instant::now();
        let dues: Vec<(Instant, Instant)> =
            Pace::new(500.0, Duration::from_millis(20)).map(|due| (due, Instant::now())).collect();
        assert_eq!(dues.len(), 10);
        assert!(dues.iter().all(|(due, came)| came >= due));
        assert!(dues[9].0 - start >= Duration::from_millis(20));
    }
}
