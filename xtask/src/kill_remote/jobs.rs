//! What the nodes run meanwhile: a job whose results say of every record of the topic with `durability=remote` that it was taken
//! once, and in its order, whichever machines are lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kafka_client::Client;
use serde_json::Value;

use super::audit::read;
use super::writers::REMOTE;

const COPIED: &str = "copied";
const TOTALS: &str = "totals";

/// Writes the file of SQL, and answers where.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("jobs.sql");
    let topic = |name: &str| format!("'connector' = 'kafka', 'topic' = '{name}', 'format' = 'raw'");
    let text = format!(
        "CREATE TABLE remote (line STRING) WITH ({}, 'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE copied (line STRING) WITH ({});
         CREATE TABLE totals (producer STRING, records BIGINT, PRIMARY KEY (producer) NOT ENFORCED)
         WITH ('connector' = 'upsert-kafka', 'topic' = '{TOTALS}', 'key.format' = 'raw', 'value.format' = 'json');
         EXECUTE STATEMENT SET BEGIN
           INSERT INTO copied SELECT line FROM remote;
           INSERT INTO totals SELECT SPLIT_INDEX(line, ':', 0), COUNT(*) FROM remote GROUP BY SPLIT_INDEX(line, ':', 0);
         END;",
        topic(REMOTE),
        topic(COPIED),
    );
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Their topics.
pub fn create_topics(client: &mut Client) -> Result<()> {
    client.create_topic(COPIED, 1, 1, &[])?;
    client.create_topic(TOTALS, 1, 1, &[("cleanup.policy", "compact")])?;
    Ok(())
}

/// How many records were copied so far.
pub fn copied(client: &mut Client) -> Result<u64> {
    Ok(read(client, COPIED)?.len() as u64)
}

/// Compares the results with the records of the topic with `durability=remote`, once all of them have been taken.
pub fn audit(client: &mut Client, records: &[String], by_producer: &[u64]) -> Result<()> {
    let copied = read(client, COPIED)?;
    let differs =
        (0..copied.len().max(records.len())).find(|place| copied.get(*place) != records.get(*place));
    if let Some(place) = differs {
        anyhow::bail!(
            "topic={COPIED}: record {place} is {:?}, expected {:?}",
            copied.get(place),
            records.get(place)
        );
    }
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    for row in read(client, TOTALS)? {
        let row: Value = serde_json::from_str(&row).with_context(|| format!("topic={TOTALS}: {row}"))?;
        let producer = row["producer"].as_str().context("a total of nobody")?.to_owned();
        let records = row["records"].as_u64().context("a total that is none")?;
        let before = totals.insert(producer, records).unwrap_or(0);
        ensure!(before < records, "topic={TOTALS}: {records} came after {before}");
    }
    let expected: BTreeMap<String, u64> =
        by_producer.iter().enumerate().map(|(producer, count)| (producer.to_string(), *count)).collect();
    ensure!(totals == expected, "topic={TOTALS}: {totals:?}, expected {expected:?}");
    Ok(())
}
