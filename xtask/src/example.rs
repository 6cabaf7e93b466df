//! The flights example as a test: what it writes where, on Flink or on our node, in one comparable form.
//!
//! A row becomes one line of canonical JSON: an object's keys in alphabetical order and numbers in one notation, so
//! that `39.0` and `39` are equal. A file's row becomes an array of its fields, a printed row stays the text that
//! was printed. The lines are sorted: only the multiset of rows is promised, not their order.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde_json::Value;
use tempfile::TempDir;

use crate::{flink, kafka, places, topics};

pub const FILE: &str = "examples/flights/delays.sql";
/// The topic that the events are played into.
pub const INPUT_TOPIC: &str = "flight-events";
const EVENTS: &str = "examples/flights/data/events.json.gz";
const RESULT_TOPICS: &[&str] = &["airport-delays", "carrier-punctuality", "flight-alerts"];
const RESULT_FOLDER: &str = "examples/flights/output/daily-routes";
const FILE_RESULT: &str = "daily-routes";
const PRINT_RESULT: &str = "worst-hours";
/// Golden files above this size are compressed.
const PLAIN_BYTES_MAX: usize = 64 * 1024;

/// The sorted rows of each result, by name.
pub type Results = BTreeMap<String, Vec<String>>;

/// Runs the example on Flink and Kafka and writes its results as the golden rows.
pub fn make_golden() -> Result<()> {
    let kafka = kafka::start()?;
    let folder = working_folder()?;
    eprintln!("flink: running {FILE}");
    let printed = flink::run_to_end(&folder.path().join(FILE), &kafka.bootstrap, folder.path())?;
    let results = collect(&kafka.bootstrap, folder.path(), &printed)?;
    let golden = golden_folder();
    if golden.exists() {
        fs::remove_dir_all(&golden)?;
    }
    fs::create_dir_all(&golden)?;
    for (name, rows) in &results {
        write_rows(&golden, name, rows)?;
        eprintln!("golden: {name}: {} rows", rows.len());
    }
    Ok(())
}

/// A new folder that looks like the checkout to the example, and takes the files that it writes.
pub fn working_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("flights-").tempdir()?;
    let example = folder.path().join("examples/flights");
    fs::create_dir_all(&example)?;
    let source = places::root().join("examples/flights");
    for name in ["data", "delays.sql", "live.sql"] {
        std::os::unix::fs::symlink(source.join(name), example.join(name))?;
    }
    Ok(folder)
}

/// Gathers the results of a finished run: topics from the cluster, files from its folder, and what it printed.
pub fn collect(bootstrap: &str, folder: &Path, printed: &str) -> Result<Results> {
    check_input(&topics::read(bootstrap, INPUT_TOPIC)?)?;
    let mut results = Results::new();
    for topic in RESULT_TOPICS {
        let mut rows = topics::read(bootstrap, topic)?
            .iter()
            .map(|line| canonical_line(line))
            .collect::<Result<Vec<_>>>()
            .with_context(|| format!("topic={topic}"))?;
        rows.sort();
        results.insert((*topic).to_owned(), rows);
    }
    results.insert(FILE_RESULT.to_owned(), csv_rows(&folder.join(RESULT_FOLDER))?);
    results.insert(PRINT_RESULT.to_owned(), printed_rows(printed));
    Ok(results)
}

/// Compares with the golden rows; returns one line of text per difference in kind.
pub fn compare(results: &Results) -> Result<Vec<String>> {
    let golden = read_golden()?;
    let mut differences = Vec::new();
    for (name, expected) in &golden {
        let Some(rows) = results.get(name) else {
            differences.push(format!("{name}: no such result"));
            continue;
        };
        let (missing, unexpected) = (subtract(expected, rows), subtract(rows, expected));
        if !missing.is_empty() || !unexpected.is_empty() {
            differences.push(format!(
                "{name}: {} of {} rows missing, {} unexpected",
                missing.len(),
                expected.len(),
                unexpected.len()
            ));
            differences.extend(missing.iter().take(3).map(|row| format!("  missing    {row}")));
            differences.extend(unexpected.iter().take(3).map(|row| format!("  unexpected {row}")));
        }
    }
    Ok(differences)
}

/// The golden rows; that there are none is an error, so that a comparison never passes for want of them.
pub fn read_golden() -> Result<Results> {
    let folder = golden_folder();
    let mut golden = Results::new();
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("no folder={}; run: cargo xtask flink golden", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(result) = name.strip_suffix(".gz").unwrap_or(&name).strip_suffix(".jsonl") else { continue };
        let mut text = String::new();
        if name.ends_with(".gz") {
            GzDecoder::new(fs::File::open(&path)?).read_to_string(&mut text)?;
        } else {
            text = fs::read_to_string(&path)?;
        }
        golden.insert(result.to_owned(), text.lines().map(str::to_owned).collect());
    }
    if golden.is_empty() {
        bail!("no golden rows in folder={}; run: cargo xtask flink golden", folder.display());
    }
    Ok(golden)
}

fn golden_folder() -> PathBuf {
    places::root().join("tests/flink/golden/flights")
}

fn write_rows(folder: &Path, name: &str, rows: &[String]) -> Result<()> {
    let mut text = rows.join("\n");
    text.push('\n');
    if text.len() <= PLAIN_BYTES_MAX {
        fs::write(folder.join(format!("{name}.jsonl")), text)?;
        return Ok(());
    }
    let file = fs::File::create(folder.join(format!("{name}.jsonl.gz")))?;
    // Without a time in the header: equal rows give equal bytes.
    let mut encoder = GzBuilder::new().mtime(0).write(file, Compression::best());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()?;
    Ok(())
}

/// The played topic must be the file, in the file's order: alerts name offsets in it.
fn check_input(records: &[String]) -> Result<()> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(places::root().join(EVENTS))?).read_to_string(&mut text)?;
    let lines: Vec<&str> = text.lines().collect();
    if records.len() != lines.len() {
        bail!("topic={INPUT_TOPIC} has records={}, but the file has events={}", records.len(), lines.len());
    }
    for (offset, (record, line)) in records.iter().zip(&lines).enumerate() {
        if record != line && canonical_line(record)? != canonical_line(line)? {
            bail!("topic={INPUT_TOPIC} offset={offset} has {record}, but the file has {line}");
        }
    }
    Ok(())
}

fn canonical_line(line: &str) -> Result<String> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
    Ok(canonical(&value).to_string())
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, Value> =
                fields.iter().map(|(name, field)| (name, canonical(field))).collect();
            Value::Object(sorted.into_iter().map(|(name, field)| (name.clone(), field)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Number(number) => match number.as_f64() {
            // Whole numbers up to 2^53 are exact in both notations.
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                Value::from(float as i64)
            }
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

fn csv_rows(folder: &Path) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    let entries = fs::read_dir(folder)
        .with_context(|| format!("the file sink wrote no folder={}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        // Like every reader of such folders: what begins with a dot or an underscore is not data.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && !name.starts_with(['.', '_']) {
            for line in fs::read_to_string(&path)?.lines() {
                rows.push(Value::from(csv_fields(line)).to_string());
            }
        }
    }
    rows.sort();
    Ok(rows)
}

/// Splits a CSV line; whether a field was quoted without need makes no difference.
fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                push(&mut fields, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => push(&mut fields, other),
        }
    }
    fields
}

fn push(fields: &mut [String], character: char) {
    if let Some(field) = fields.last_mut() {
        field.push(character);
    }
}

/// Of what a run wrote to its standard output, the rows: other lines may stand between them.
fn printed_rows(printed: &str) -> Vec<String> {
    let kinds = ["+I[", "-U[", "+U[", "-D["];
    let mut rows: Vec<String> = printed
        .lines()
        .filter(|line| kinds.iter().any(|kind| line.starts_with(kind)))
        .map(|line| Value::from(line).to_string())
        .collect();
    rows.sort();
    rows
}

/// What is in one sorted list and not in the other, counting repetitions.
fn subtract<'a>(left: &'a [String], right: &[String]) -> Vec<&'a String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for row in right {
        *counts.entry(row).or_default() += 1;
    }
    left.iter()
        .filter(|row| match counts.get_mut(row) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .collect()
}

#[cfg(test)]
mod tests;
