//! Results of windows on processing time: what they come to over all windows, which no clock changes.
//!
//! Each row has a key, one count, and the bounds of its window (`starttime`, `endtime`). No window may show a key twice,
//! and the windows must be the ten seconds of the query, on the clock's tens; the sum of a key's counts is what Flink
//! counts without windows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::golden::canonical_line;

/// By key the sum of the counts, as a topic that holds the last row of each key has it: `[key,row]`.
pub fn sums(rows: &[String]) -> Result<Vec<String>> {
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in rows {
        let row: Map<String, Value> = serde_json::from_str(line).with_context(|| format!("row={line}"))?;
        let number = |name: &str| {
            row.get(name).and_then(Value::as_i64).with_context(|| format!("row={line} has no number {name}"))
        };
        let text = |name: &str| {
            row.get(name).and_then(Value::as_str).with_context(|| format!("row={line} has no {name}"))
        };
        let (start, end) = (tens(text("starttime")?), tens(text("endtime")?));
        let (start, end) = (start.context("no whole ten seconds")?, end.context("no whole ten seconds")?);
        ensure!((start + 1) % 6 == end % 6, "row={line}: the window is not ten seconds long");
        ensure!(seen.insert((number("bidder")?, text("starttime")?.to_owned())), "row={line} is there twice");
        *sums.entry(number("bidder")?).or_default() += number("bid_count")?;
    }
    let row = |(bidder, bid_count): (&i64, &i64)| {
        let key = canonical_line(&json!({ "bidder": bidder }).to_string())?;
        let value = canonical_line(&json!({ "bidder": bidder, "bid_count": bid_count }).to_string())?;
        Ok(format!("[{key},{value}]"))
    };
    let mut rows = sums.iter().map(row).collect::<Result<Vec<_>>>()?;
    rows.sort();
    Ok(rows)
}

/// The tens of seconds within the minute of a timestamp, if it has nothing smaller.
fn tens(timestamp: &str) -> Option<u32> {
    let (_, seconds) = timestamp.rsplit_once(':')?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let seconds: u32 = whole.parse().ok()?;
    (seconds.is_multiple_of(10) && fraction.bytes().all(|digit| digit == b'0')).then_some(seconds / 10)
}

#[cfg(test)]
mod tests {
    use super::sums;

    fn row(bidder: i64, count: i64, start: &str, end: &str) -> String {
        format!(
            r#"{{"bidder":{bidder},"bid_count":{count},"starttime":"2026-01-01 00:{start}","endtime":"2026-01-01 00:{end}"}}"#
        )
    }

    #[test]
    fn counts_are_added_over_the_windows() {
        let rows = [row(1, 2, "00:00", "00:10"), row(1, 3, "00:50", "01:00"), row(2, 1, "00:00", "00:10")];
        let expected =
            [r#"[{"bidder":1},{"bid_count":5,"bidder":1}]"#, r#"[{"bidder":2},{"bid_count":1,"bidder":2}]"#];
        assert_eq!(sums(&rows).unwrap(), expected);
    }

    #[test]
    fn a_window_twice_or_of_another_length_is_refused() {
        assert!(sums(&[row(1, 2, "00:00", "00:10"), row(1, 2, "00:00", "00:10")]).is_err());
        assert!(sums(&[row(1, 2, "00:00", "00:20")]).is_err());
        assert!(sums(&[row(1, 2, "00:05", "00:15")]).is_err());
    }
}
