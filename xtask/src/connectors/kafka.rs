//! `kafka` on an outside cluster: a job copies a topic to another one, exactly once, while the node and the cluster die.
//!
//! A transactional producer writes numbered records all the while, and takes some of its transactions back. In the end
//! consumers of committed records find each number once in the copy, the numbers of a key in order, and with each the
//! partition and offset that it has in the first topic.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kafka_client::{Client, ClientError, Isolation, TransactionalProducer};
use kafka_wire::records::{BatchBuilder, Compression};
use serde_json::Value;
use verify::Random;

use super::Faults;
use crate::counts::Counts;
use crate::process::Group;
use crate::{kafka, node};

const FROM: &str = "numbers";
const TO: &str = "copies";
const FROM_PARTITIONS: i32 = 4;
const TO_PARTITIONS: i32 = 3;
const KEYS: u64 = 50;
const BATCH: u64 = 40;
const PAUSE: Duration = Duration::from_millis(20);
/// How long a life of the node is before it is killed: from its start into its steady work.
const LIFE_MS: (u64, u64) = (50, 1_200);
const LIMIT: Duration = Duration::from_secs(120);
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);
const FETCH_BYTES_MAX: i32 = 4 << 20;

/// Each number with its partition and offset.
type Numbers = BTreeMap<u64, (i32, i64)>;

pub fn run(faults: Faults) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut check = |name: &str, result| counts.check(&format!("connectors: kafka: {name}"), result);
    let mut cluster = kafka::start()?;
    let scratch = tempfile::tempdir()?;
    check("a topic that is not there", missing_topic(&cluster.bootstrap, scratch.path()));
    check("copied under faults", copied(&mut cluster, scratch.path(), faults));
    Ok(counts)
}

fn job(bootstrap: &str) -> String {
    let outside = format!("'connector' = 'kafka', 'properties.bootstrap.servers' = '{bootstrap}'");
    format!(
        "CREATE TABLE numbers (k BIGINT, n BIGINT, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL)
WITH ({outside}, 'topic' = '{FROM}', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
      'properties.isolation.level' = 'read_committed');
CREATE TABLE copies (k BIGINT, n BIGINT, p INT, o BIGINT)
WITH ({outside}, 'topic' = '{TO}', 'key.format' = 'json', 'key.fields' = 'k', 'value.format' = 'json',
      'properties.compression.type' = 'lz4');
INSERT INTO copies SELECT k, n, `partition`, `offset` FROM numbers;
"
    )
}

fn start(folder: &Path) -> Result<Command> {
    let mut command = node::command()?;
    // Edges are tried again soon, so that a run is short.
    command.current_dir(folder).args(["run", "job.sql", "--data", "data", "--kafka", "127.0.0.1:0"]);
    command.stdout(std::process::Stdio::null()).stderr(std::fs::File::create(folder.join("node.log"))?);
    Ok(command)
}

fn missing_topic(bootstrap: &str, scratch: &Path) -> Result<()> {
    let folder = scratch.join("missing");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("job.sql"), job(bootstrap))?;
    let mut command = node::command()?;
    command.current_dir(&folder).args(["run", "job.sql", "--data", "data", "--kafka", "127.0.0.1:0"]);
    let mut running = Group::spawn(command.stderr(std::fs::File::create(folder.join("node.log"))?))?;
    let status = running.wait(LIMIT)?;
    let said = std::fs::read_to_string(folder.join("node.log"))?;
    ensure!(!status.success() && said.contains("create it"), "it said\n{said}");
    Ok(())
}

fn copied(cluster: &mut kafka::Kafka, scratch: &Path, faults: Faults) -> Result<()> {
    let begun = Instant::now();
    let bootstrap = cluster.bootstrap.clone();
    let folder = scratch.join("copied");
    std::fs::create_dir(&folder)?;
    let text = format!(
        "SET 'restart-strategy.exponential-delay.initial-backoff' = '100ms';\n\
                        SET 'restart-strategy.exponential-delay.max-backoff' = '1s';\n{}",
        job(&bootstrap)
    );
    std::fs::write(folder.join("job.sql"), text)?;
    let mut client = Client::connect(&bootstrap, "connectors")?;
    for (topic, partitions) in [(FROM, FROM_PARTITIONS), (TO, TO_PARTITIONS)] {
        client.create_topic(topic, partitions, 1, &[])?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (bootstrap, stop) = (bootstrap.clone(), stop.clone());
        std::thread::spawn(move || write(&bootstrap, &stop, faults.seed))
    };
    let mut random = Random(faults.seed);
    let restart_every = faults.kills.checked_div(faults.restarts).unwrap_or(u64::MAX).max(1);
    let mut restarts = 0;
    for life in 0..faults.kills {
        let running = Group::spawn(&mut start(&folder)?)?;
        std::thread::sleep(Duration::from_millis(LIFE_MS.0 + random.below(LIFE_MS.1 - LIFE_MS.0)));
        if restarts < faults.restarts && life % restart_every == restart_every / 2 {
            restarts += 1;
            cluster.restart()?;
            std::thread::sleep(Duration::from_millis(random.below(1_000)));
        }
        // Dropped, it is killed.
        drop(running);
    }
    stop.store(true, Ordering::Release);
    let written = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let mut last = Group::spawn(&mut start(&folder)?)?;
    let expected = read(&bootstrap, FROM, FROM_PARTITIONS)?;
    let expected: Numbers = expected
        .into_iter()
        .map(|(value, place)| Ok((number(&value, "n")?, place)))
        .collect::<Result<_>>()?;
    ensure!(expected.len() as u64 == written, "wrote {written} numbers and read {} back", expected.len());
    let waited = Instant::now();
    let copies = loop {
        let copies = read(&bootstrap, TO, TO_PARTITIONS)?;
        if copies.len() >= expected.len() {
            break copies;
        }
        let log = || std::fs::read_to_string(folder.join("node.log")).unwrap_or_default();
        ensure!(
            waited.elapsed() < LIMIT,
            "{} of {} numbers came over\n{}",
            copies.len(),
            expected.len(),
            log()
        );
        std::thread::sleep(PAUSE * 10);
    };
    last.stop(LIMIT)?;
    let mut found = Numbers::new();
    let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
    for (value, _) in &copies {
        let (key, n) = (number(value, "k")?, number(value, "n")?);
        let place = (number(value, "p")? as i32, number(value, "o")? as i64);
        ensure!(found.insert(n, place).is_none(), "the number {n} came over twice");
        let newest = newest.entry(key).or_default();
        ensure!(*newest <= n, "key={key}: {n} came after {newest}");
        *newest = n;
    }
    ensure!(found == expected, "the copies differ from what was written");
    println!(
        "connectors: kafka: {} numbers came over once through {} kills of the node and {restarts} of the cluster, in \
         {:.0} s",
        found.len(),
        faults.kills,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn number(value: &Value, field: &str) -> Result<u64> {
    value[field].as_u64().with_context(|| format!("no number '{field}' in {value}"))
}

/// Writes numbers until it is told to stop; answers how many are committed. Its transactions are one after the other, so
/// that what became of the last one is known when the id is taken anew.
fn write(bootstrap: &str, stop: &AtomicBool, seed: u64) -> Result<u64> {
    let mut random = Random(seed ^ 0x5eed);
    let mut next = 0;
    let mut producer = None;
    while !stop.load(Ordering::Acquire) {
        std::thread::sleep(PAUSE);
        let result = match &mut producer {
            None => take(bootstrap).map(|(taken, committed)| {
                next = committed;
                producer = Some(taken);
            }),
            Some(producer) => transaction(producer, &mut next, &mut random),
        };
        if let Err(error) = result {
            let passes = error.downcast_ref::<ClientError>().is_some_and(|error| {
                matches!(
                    error.kind(),
                    base::ErrorKind::Unavailable | base::ErrorKind::Retry | base::ErrorKind::Fenced
                )
            });
            if !passes {
                return Err(error);
            }
            producer = None;
        }
    }
    // What the last transaction came to is known to the cluster alone.
    let begun = Instant::now();
    loop {
        match take(bootstrap) {
            Ok((_, committed)) => return Ok(committed),
            Err(error) if begun.elapsed() > LIMIT => return Err(error),
            Err(_) => std::thread::sleep(PAUSE * 10),
        }
    }
}

/// Takes the transactional id; answers the number behind the last that is committed.
fn take(bootstrap: &str) -> Result<(TransactionalProducer, u64)> {
    let client = Client::connect(bootstrap, "writer")?;
    let producer = TransactionalProducer::new(client, "writer", TRANSACTION_TIMEOUT)?;
    let committed = read(bootstrap, FROM, FROM_PARTITIONS)?;
    let mut next = 0;
    for (value, _) in &committed {
        next = next.max(number(value, "n")? + 1);
    }
    Ok((producer, next))
}

fn transaction(producer: &mut TransactionalProducer, next: &mut u64, random: &mut Random) -> Result<()> {
    let commits = random.below(5) > 0;
    let mut builders: BTreeMap<i32, BatchBuilder> = BTreeMap::new();
    for n in *next..*next + BATCH {
        let key = n % KEYS;
        let partition = (key % FROM_PARTITIONS as u64) as i32;
        let builder = builders.entry(partition).or_insert_with(|| BatchBuilder::new(Compression::Zstd));
        let value = format!("{{\"k\":{key},\"n\":{n}}}");
        builder.append(n as i64, None, Some(value.as_bytes()), &[])?;
    }
    producer.write_all(FROM, builders.into_iter().collect())?;
    if commits {
        producer.commit()?;
        *next += BATCH;
    } else {
        producer.abort()?;
    }
    Ok(())
}

/// What consumers of committed records find in a topic, partition by partition, with its place.
fn read(bootstrap: &str, topic: &str, partitions: i32) -> Result<Vec<(Value, (i32, i64))>> {
    let mut client = Client::connect(bootstrap, "reader")?;
    let mut found = Vec::new();
    for partition in 0..partitions {
        let mut next = 0;
        loop {
            let mut fetched = client.fetch_isolated(
                topic,
                partition,
                next,
                FETCH_BYTES_MAX,
                Duration::ZERO,
                Isolation::ReadCommitted,
            )?;
            for record in fetched.by_ref() {
                let record = record?;
                let value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
                found.push((value, (partition, record.offset)));
            }
            if fetched.next_offset() >= fetched.last_stable_offset {
                break;
            }
            next = fetched.next_offset();
        }
    }
    Ok(found)
}
