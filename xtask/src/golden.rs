//! Golden rows: what real Flink gave, kept in files, and the comparison with what our node gives.
//!
//! A row is one line of canonical JSON: an object's keys in alphabetical order and numbers in one notation, so that
//! `39.0` and `39` are equal. A result is the sorted lines of one topic or folder; files above a size are compressed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde_json::Value;

use crate::counts::Counts;

/// Golden files above this size are compressed.
const PLAIN_BYTES_MAX: usize = 64 * 1024;
/// So many rows of each kind of difference are shown.
const SHOWN_MAX: usize = 3;

/// The sorted rows of each result, by name.
pub type Results = BTreeMap<String, Vec<String>>;

/// Replaces the golden rows of a folder.
pub fn write(folder: &Path, results: &Results) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, rows) in results {
        write_rows(folder, name, rows)?;
        eprintln!("golden: {name}: {} rows", rows.len());
    }
    Ok(())
}

/// The golden rows; that there are none is an error, so that a comparison never passes for want of them.
pub fn read(folder: &Path) -> Result<Results> {
    let mut golden = Results::new();
    let entries = fs::read_dir(folder)
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

/// Says per result how it differs: one line with the name in front, and some rows to look at.
pub fn compare(expected: &Results, results: &Results) -> Vec<String> {
    expected.iter().flat_map(|(name, expected)| differences(name, expected, results)).collect()
}

/// Counts a check for each result; `whose` they are stands before what is said.
pub fn judge(expected: &Results, results: &Results, whose: &str, counts: &mut Counts) {
    for (name, expected) in expected {
        match differences(name, expected, results) {
            lines if lines.is_empty() => counts.pass(),
            lines => counts.fail(format!("{whose}: {}", lines.join("\n"))),
        }
    }
}

fn differences(name: &str, expected: &[String], results: &Results) -> Vec<String> {
    let Some(rows) = results.get(name) else { return vec![format!("{name}: no such result")] };
    let (missing, unexpected) = (subtract(expected, rows), subtract(rows, expected));
    if missing.is_empty() && unexpected.is_empty() {
        return Vec::new();
    }
    let (gone, all, more) = (missing.len(), expected.len(), unexpected.len());
    let mut lines = vec![format!("{name}: {gone} of {all} rows missing, {more} unexpected")];
    lines.extend(missing.iter().take(SHOWN_MAX).map(|row| format!("  missing    {row}")));
    lines.extend(unexpected.iter().take(SHOWN_MAX).map(|row| format!("  unexpected {row}")));
    lines
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

/// The lines of JSON in canonical form, sorted.
pub fn canonical_lines(lines: &[String]) -> Result<Vec<String>> {
    let mut rows = lines.iter().map(|line| canonical_line(line)).collect::<Result<Vec<_>>>()?;
    rows.sort();
    Ok(rows)
}

/// A line of JSON in canonical form.
pub fn canonical_line(line: &str) -> Result<String> {
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
