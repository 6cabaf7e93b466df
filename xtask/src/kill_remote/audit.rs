//! Compares what the node that has taken over holds with what the producers were told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kafka_client::{Client, OffsetSpec};

use super::jobs;
use super::shown::Sample;
use super::writers::{Acknowledged, PLAIN, READ_TIMEOUT, REMOTE, Writers, Written, connect, value};

const FETCH_BYTES_MAX: i32 = 4 * 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(50);
/// What is shown is in milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

/// Acknowledged and lost.
#[derive(Debug, Default)]
pub struct Lost {
    pub records: u64,
    pub bytes: u64,
}

/// Reads the topic with `durability=remote`: all that was acknowledged is there once and in order, and so are the results of the
/// job that reads it. Answers how many records.
pub fn remote(address: &str, written: &Written) -> Result<u64> {
    let mut client = connect(address, READ_TIMEOUT)?;
    let all = read(&mut client, REMOTE)?;
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for value in &all {
        found.entry(producer_of(value)?).or_default().push(value.clone());
    }
    let mut records = 0;
    for (producer, count) in written.remote.iter().enumerate() {
        let found = found.get(&producer).map_or(&[][..], Vec::as_slice);
        let expected: Vec<String> = (0..*count).map(|number| value(producer, number)).collect();
        let differs =
            (0..found.len().max(expected.len())).find(|place| found.get(*place) != expected.get(*place));
        if let Some(place) = differs {
            anyhow::bail!(
                "topic={REMOTE} producer={producer}: record {place} is {:?}, expected {:?}",
                found.get(place),
                expected.get(place)
            );
        }
        records += count;
    }
    let begun = Instant::now();
    while jobs::copied(&mut client)? < records {
        ensure!(
            begun.elapsed() < READ_TIMEOUT,
            "the job does not go on: it has copied {} of {records}",
            jobs::copied(&mut client)?
        );
        std::thread::sleep(PAUSE);
    }
    jobs::audit(&mut client, &all, &written.remote)?;
    Ok(records)
}

/// Reads the other topic: what was acknowledged before the death and is missing was not shipped, and that was shown.
pub fn plain(address: &str, writers: &Writers, sample: &Sample, died: Instant) -> Result<Lost> {
    // Before it is read: what is acknowledged meanwhile is there or not.
    let acknowledged = writers.plain();
    let mut found: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for value in read(&mut connect(address, READ_TIMEOUT)?, PLAIN)? {
        let number = value.split(':').nth(1).and_then(|number| number.parse().ok());
        found.entry(producer_of(&value)?).or_default().insert(number.context("a foreign record")?);
    }
    let mut lost = Lost::default();
    let mut lost_before = 0;
    for (producer, acknowledged) in acknowledged.iter().enumerate() {
        let found = found.remove(&producer).unwrap_or_default();
        let missing = judge(acknowledged, &found, sample, died)
            .with_context(|| format!("topic={PLAIN} producer={producer}"))?;
        lost.records += missing.len() as u64;
        lost.bytes += missing.iter().map(|one| one.bytes).sum::<u64>();
        lost_before += missing.iter().filter(|one| one.at <= sample.asked).map(|one| one.bytes).sum::<u64>();
        writers.forget(producer, &missing.iter().map(|one| one.number).collect::<Vec<_>>());
    }
    ensure!(
        lost_before <= sample.lag_bytes,
        "topic={PLAIN}: {lost_before} bytes are missing that were acknowledged when the node was asked, which said lag_bytes={}",
        sample.lag_bytes
    );
    Ok(lost)
}

/// What is missing of a producer, if it may be.
fn judge(
    acknowledged: &[Acknowledged],
    found: &BTreeSet<u64>,
    sample: &Sample,
    died: Instant,
) -> Result<Vec<Acknowledged>> {
    // All that was acknowledged so long before the node was asked was shipped.
    let shipped = sample.asked.checked_sub(sample.lag + ROUNDING);
    let missing: Vec<Acknowledged> =
        acknowledged.iter().filter(|one| !found.contains(&one.number)).copied().collect();
    for one in &missing {
        ensure!(
            shipped.is_none_or(|shipped| one.at > shipped),
            "record {} is missing, which was acknowledged {} ms before the node was asked and said lag={} ms",
            one.number,
            sample.asked.saturating_duration_since(one.at).as_millis(),
            sample.lag.as_millis()
        );
    }
    // The log was cut off: of what it had before its machine was lost the newest go.
    if let Some(first) = missing.first() {
        let later = |one: &&Acknowledged| one.at <= died && one.number > first.number;
        let survivor = acknowledged.iter().filter(later).find(|one| found.contains(&one.number));
        ensure!(survivor.is_none(), "record {} is missing, a later one is there", first.number);
    }
    Ok(missing)
}

fn producer_of(value: &str) -> Result<usize> {
    value.split(':').next().unwrap_or_default().parse().with_context(|| format!("a foreign record: {value}"))
}

/// The values of a topic, in its order.
pub fn read(client: &mut Client, topic: &str) -> Result<Vec<String>> {
    let end = client.list_offsets(topic, 0, OffsetSpec::Latest)?.offset;
    let mut values = Vec::new();
    let mut offset = 0;
    while offset < end {
        let mut fetched = client.fetch(topic, 0, offset, FETCH_BYTES_MAX, Duration::ZERO)?;
        for record in &mut fetched {
            values.push(String::from_utf8(record?.value.unwrap_or_default().to_vec())?);
        }
        let next = fetched.next_offset();
        ensure!(next > offset, "topic={topic}: nothing at offset={offset}, before the end={end}");
        offset = next;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_missing_is_told_from_what_may_not() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let acknowledged: Vec<Acknowledged> =
            (0..10).map(|number| Acknowledged { number, at: at(number * 100), bytes: 1 }).collect();
        // Asked at 800 ms, it said that nothing older than 300 ms is on its way.
        let sample = Sample { asked: at(800), lag_bytes: 3, lag: Duration::from_millis(300) };
        let judged =
            |found: &[u64]| judge(&acknowledged, &found.iter().copied().collect(), &sample, at(1000));
        assert_eq!(judged(&[0, 1, 2, 3, 4, 5, 6]).unwrap().len(), 3);
        assert!(judged(&(0..10).collect::<Vec<_>>()).unwrap().is_empty());
        assert!(judged(&[0, 1, 2, 3]).is_err(), "the fifth was acknowledged 400 ms before");
        assert!(judged(&[0, 1, 2, 3, 4, 5, 6, 8]).is_err(), "a later one is there");
    }
}
