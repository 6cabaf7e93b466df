//! Events in, results out: what is sent when, and when the result of each event was seen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use benches::cost::process_cpu_seconds;
use benches::latency::Samples;
use benches::open_loop::{Pace, produce_each};
use bytes::Bytes;
use kafka_client::{Client, Isolation};
use kafka_wire::records::{BatchBuilder, Compression};
use serde_json::Value;

use crate::targets::Target;

pub const EVENTS: &str = "events";
pub const RESULTS: &str = "results";

const CLIENT: &str = "benches";
/// Different keys of the aggregate.
const KINDS: u64 = 100;
/// Batches per second.
const BATCHES_PER_SECOND: f64 = 1000.0;
const READY_LIMIT: Duration = Duration::from_secs(180);
/// How long results are waited for when all events are sent.
const LATE_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
const FETCH_BYTES_MAX: i32 = 4 << 20;

/// What the job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Projection,
    Aggregate,
}

impl Flow {
    pub fn name(self) -> &'static str {
        match self {
            Flow::Projection => "filter and projection",
            Flow::Aggregate => "aggregate by key",
        }
    }

    pub fn sql(self) -> &'static str {
        match self {
            Flow::Projection => include_str!("projection.sql"),
            Flow::Aggregate => include_str!("aggregate.sql"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub events_per_batch: u32,
    pub warm: Duration,
    pub measured: Duration,
}

/// What was seen of the events that count.
#[derive(Debug, Clone)]
pub struct Seen {
    pub latency_ms: Samples,
    /// Events whose result never came, and results that came more than once.
    pub missing: u64,
    pub twice: u64,
    /// Of the processes that did it, while it was measured.
    pub cores: f64,
}

/// When the result of each event came, by its number.
struct Arrivals {
    flow: Flow,
    at: Vec<Option<Instant>>,
    left: usize,
    twice: u64,
    /// Of the aggregate, by kind: how many events its last row had taken in.
    counts: Vec<u64>,
}

impl Arrivals {
    fn new(flow: Flow, events: usize) -> Arrivals {
        Arrivals { flow, at: vec![None; events], left: events, twice: 0, counts: vec![0; KINDS as usize] }
    }

    fn take(&mut self, value: &[u8], now: Instant) -> Result<()> {
        let row: Value = serde_json::from_slice(value).context("a result is not JSON")?;
        let kind = row["kind"].as_str().context("a result without its kind")?;
        // Rows that only ask whether the job is there.
        let Some(kind) = kind.strip_prefix('k').and_then(|kind| kind.parse::<u64>().ok()) else {
            return Ok(());
        };
        match self.flow {
            Flow::Projection => {
                let id = row["id"].as_u64().context("a result without its id")?;
                self.came(id, now);
            }
            Flow::Aggregate => {
                let count = row["n"].as_u64().context("a result without its count")?;
                let known = std::mem::replace(&mut self.counts[kind as usize], count);
                if count < known {
                    bail!("the count of kind={kind} went back from {known} to {count}");
                }
                self.twice += u64::from(count == known);
                (known..count).for_each(|nth| self.came(nth * KINDS + kind, now));
            }
        }
        Ok(())
    }

    fn came(&mut self, id: u64, now: Instant) {
        match self.at.get_mut(id as usize) {
            Some(at @ None) => {
                *at = Some(now);
                self.left -= 1;
            }
            _ => self.twice += 1,
        }
    }
}

/// Sends the load to a target and sees what comes of it.
pub fn run(target: &impl Target, flow: Flow, load: Load) -> Result<Seen> {
    let (address, processes) = (target.address(), target.processes());
    let events = ((load.warm + load.measured).as_secs() * 1000 * u64::from(load.events_per_batch)) as usize;
    let offset = wait_until_ready(address)?;
    let done = AtomicBool::new(false);
    let mut producer = Client::connect(address, CLIENT)?;
    let pace = Pace::new(BATCHES_PER_SECOND, load.warm + load.measured);
    let first_due = pace.due(0);
    let (arrivals, cores) = std::thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(address, offset, Arrivals::new(flow, events), &done));
        let cores = scope.spawn(|| {
            std::thread::sleep((first_due + load.warm).saturating_duration_since(Instant::now()));
            let (before, begun) = (cpu_seconds(&processes)?, Instant::now());
            std::thread::sleep(load.measured.saturating_sub(Duration::from_millis(500)));
            Ok::<_, anyhow::Error>((cpu_seconds(&processes)? - before) / begun.elapsed().as_secs_f64())
        });
        let sent = produce_each(&mut producer, EVENTS, pace, |number| batch(number, load.events_per_batch));
        done.store(true, Ordering::Release);
        let panicked = |_| anyhow::anyhow!("a thread of the bench panicked");
        let arrivals = consumer.join().map_err(panicked)??;
        sent?;
        Ok::<_, anyhow::Error>((arrivals, cores.join().map_err(panicked)??))
    })?;
    let counting = (load.warm.as_secs() * 1000 * u64::from(load.events_per_batch)) as usize;
    let mut seen = Seen { latency_ms: Samples::default(), missing: 0, twice: arrivals.twice, cores };
    for (id, at) in arrivals.at.iter().enumerate().skip(counting) {
        let due = first_due + Duration::from_millis((id / load.events_per_batch as usize) as u64);
        match at {
            Some(at) => seen.latency_ms.push_ms(at.saturating_duration_since(due)),
            None => seen.missing += 1,
        }
    }
    Ok(seen)
}

fn cpu_seconds(processes: &[u32]) -> Result<f64> {
    processes.iter().map(|process| process_cpu_seconds(*process)).sum()
}

/// Sends events that count nowhere until the first result is there; where the results go on then.
fn wait_until_ready(address: &str) -> Result<i64> {
    let mut client = Client::connect(address, CLIENT)?;
    let begun = Instant::now();
    loop {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(now_ms()?, None, Some(br#"{"id":-1,"kind":"hello","amount":1}"#), &[])?;
        client.produce(EVENTS, 0, builder.build()?, -1)?;
        let wait = Duration::from_millis(500);
        let mut fetched =
            client.fetch_isolated(RESULTS, 0, 0, FETCH_BYTES_MAX, wait, Isolation::ReadCommitted)?;
        let mut seen = false;
        for record in &mut fetched {
            seen |= record?.value.is_some();
        }
        if seen {
            return Ok(fetched.next_offset());
        }
        ensure!(begun.elapsed() < READY_LIMIT, "the job gives no results");
    }
}

fn consume(address: &str, offset: i64, mut arrivals: Arrivals, done: &AtomicBool) -> Result<Arrivals> {
    let mut client = Client::connect(address, CLIENT)?;
    let mut next = offset;
    let mut late_since = None;
    while arrivals.left > 0 {
        let mut fetched =
            client.fetch_isolated(RESULTS, 0, next, FETCH_BYTES_MAX, POLL, Isolation::ReadCommitted)?;
        let now = Instant::now();
        for record in &mut fetched {
            if let Some(value) = record?.value {
                arrivals.take(&value, now)?;
            }
        }
        next = fetched.next_offset();
        if done.load(Ordering::Acquire) && late_since.get_or_insert(now).elapsed() > LATE_LIMIT {
            break;
        }
    }
    Ok(arrivals)
}

/// The events of one millisecond.
fn batch(number: u32, events: u32) -> Result<Bytes> {
    let now = now_ms()?;
    let mut builder = BatchBuilder::new(Compression::None);
    for place in 0..events {
        let id = u64::from(number) * u64::from(events) + u64::from(place);
        let value = format!(r#"{{"id":{id},"kind":"k{}","amount":{}}}"#, id % KINDS, id % 1000);
        builder.append(now, None, Some(value.as_bytes()), &[])?;
    }
    Ok(builder.build()?)
}

fn now_ms() -> Result<i64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_comes_once_by_its_id_or_by_the_count_that_takes_it_in() {
        let now = Instant::now();
        let mut rows = Arrivals::new(Flow::Projection, 300);
        rows.take(br#"{"id":7,"kind":"k7"}"#, now).unwrap();
        rows.take(br#"{"id":-1,"kind":"hello"}"#, now).unwrap();
        assert_eq!((rows.left, rows.twice), (299, 0));
        rows.take(br#"{"id":7,"kind":"k7"}"#, now).unwrap();
        assert_eq!((rows.left, rows.twice), (299, 1));

        let mut counts = Arrivals::new(Flow::Aggregate, 300);
        counts.take(br#"{"kind":"k7","n":2}"#, now).unwrap();
        assert!(counts.at[7].is_some() && counts.at[107].is_some() && counts.at[207].is_none());
        counts.take(br#"{"kind":"k7","n":3}"#, now).unwrap();
        assert_eq!((counts.left, counts.twice), (297, 0));
        assert!(counts.take(br#"{"kind":"k7","n":1}"#, now).is_err());
    }
}
