//! Compares what the node holds with what the producers were told.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kafka_client::{Client, Isolation, OffsetSpec};

use crate::writers::{End, Ended, Written, group, value};
use crate::{IDEMPOTENT_TOPIC, TOPICS, Tally, connect};

const FETCH_BYTES_MAX: i32 = 4 * 1024 * 1024;

pub fn check(
    address: &str,
    transactions: &[Vec<Ended>],
    written: &[Written],
    tally: &mut Tally,
) -> Result<()> {
    let mut client = connect(address)?;
    let mut seen = Vec::new();
    for topic in TOPICS {
        seen.push(read(&mut client, topic)?);
    }
    let mut expected: Vec<BTreeMap<u64, Vec<String>>> = vec![BTreeMap::new(); TOPICS.len()];
    for (producer, transactions) in transactions.iter().enumerate() {
        let producer = producer as u64;
        let mut position = -1;
        for (number, transaction) in transactions.iter().enumerate() {
            let is_there = match transaction.end {
                End::Committed => true,
                End::Aborted | End::Left => false,
                // Its first record decides what all the others must be like.
                End::Unanswered => seen[0].get(&producer).is_some_and(|values| {
                    values.binary_search_by_key(&number, |found| number_of(found)).is_ok()
                }),
            };
            match (transaction.end, is_there) {
                (End::Committed, _) => tally.committed += 1,
                (End::Aborted, _) => tally.aborted += 1,
                (End::Left, _) => tally.left += 1,
                (End::Unanswered, true) => tally.unanswered_there += 1,
                (End::Unanswered, false) => tally.unanswered_gone += 1,
            }
            if is_there {
                position = number as i64;
                for (topic, count) in transaction.records.iter().enumerate() {
                    let values = (0..*count).map(|place| value(producer, number, place));
                    expected[topic].entry(producer).or_default().extend(values);
                }
            }
        }
        let committed = client.offset_fetch(&group(producer))?;
        let found = committed.first().map_or(-1, |committed| committed.offset);
        ensure!(found == position, "the group of producer={producer} is at {found}, not at {position}");
    }
    for (topic, (seen, expected)) in TOPICS.into_iter().zip(seen.iter().zip(&expected)) {
        compare(topic, seen, expected)?;
    }
    let mut all = BTreeMap::new();
    for (producer, written) in written.iter().enumerate() {
        tally.idempotent_batches += written.batches.len() as u64;
        tally.sent_again += written.sent_again;
        let batches = written.batches.iter().enumerate();
        let values = batches
            .flat_map(|(number, count)| (0..*count).map(move |place| value(producer as u64, number, place)));
        all.insert(producer as u64, values.collect());
    }
    compare(IDEMPOTENT_TOPIC, &read(&mut client, IDEMPOTENT_TOPIC)?, &all)
}

/// The committed values of each producer, in the order of the topic.
fn read(client: &mut Client, topic: &str) -> Result<BTreeMap<u64, Vec<String>>> {
    let end = client.list_offsets(topic, 0, OffsetSpec::Latest)?.offset;
    let mut values: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut offset = 0;
    while offset < end {
        let wait = Duration::ZERO;
        let mut fetched =
            client.fetch_isolated(topic, 0, offset, FETCH_BYTES_MAX, wait, Isolation::ReadCommitted)?;
        for record in &mut fetched {
            let text = String::from_utf8(record?.value.unwrap_or_default().to_vec())?;
            let producer = text.split(':').next().unwrap_or_default().parse().context("a foreign record")?;
            values.entry(producer).or_default().push(text);
        }
        let next = fetched.next_offset();
        ensure!(next > offset, "topic={topic}: something is open at offset={offset}, before the end={end}");
        offset = next;
    }
    Ok(values)
}

fn compare(
    topic: &str,
    seen: &BTreeMap<u64, Vec<String>>,
    expected: &BTreeMap<u64, Vec<String>>,
) -> Result<()> {
    let nothing = Vec::new();
    for producer in seen.keys().chain(expected.keys()) {
        let seen = seen.get(producer).unwrap_or(&nothing);
        let expected = expected.get(producer).unwrap_or(&nothing);
        let differs =
            (0..seen.len().max(expected.len())).find(|place| seen.get(*place) != expected.get(*place));
        if let Some(place) = differs {
            anyhow::bail!(
                "topic={topic} producer={producer}: record {place} is {:?}, expected {:?}",
                seen.get(place),
                expected.get(place)
            );
        }
    }
    Ok(())
}

/// The number of the transaction that a value belongs to.
fn number_of(value: &str) -> usize {
    value.split(':').nth(1).and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{compare, number_of};
    use std::collections::BTreeMap;

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_found() {
        let of = |values: &[&str]| {
            BTreeMap::from([(1, values.iter().map(|value| value.to_string()).collect::<Vec<_>>())])
        };
        let expected = of(&["1:0:0", "1:1:0"]);
        compare("t", &expected, &expected).unwrap();
        for seen in [&["1:0:0"][..], &["1:0:0", "1:0:0", "1:1:0"], &["1:1:0", "1:0:0"], &[]] {
            assert!(compare("t", &of(seen), &expected).is_err(), "{seen:?}");
        }
        assert!(compare("t", &BTreeMap::new(), &expected).is_err());
        assert_eq!(number_of("1:17:3"), 17);
    }
}
