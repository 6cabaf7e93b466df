//! What compaction touches, and what it leaves.

use super::*;
use base::Offset;
use kafka_wire::records::{BatchBuilder, Compression, ControlKind, control_batch};
use std::collections::BTreeMap;

fn config(given: &[(&str, &str)]) -> TopicConfig {
    let given: BTreeMap<String, String> =
        given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    TopicConfig::check(&given).unwrap()
}

fn entry(base_offset: i64, max_timestamp_ms: i64, length: u32) -> IndexEntry {
    IndexEntry { base_offset, records: 10, length, position: 0, max_timestamp_ms, crc: 0 }
}

/// Batches of ten offsets and 100 bytes, with their times and whether their file ends behind them.
fn survey(config: &TopicConfig, now_ms: i64, limit: i64, batches: &[(i64, bool)]) -> (i64, u64) {
    let mut survey = Survey::new(config, now_ms, 0, limit);
    for (index, (at_ms, sealed)) in batches.iter().enumerate() {
        survey.push(&entry(10 * index as i64, *at_ms, 100), *sealed);
    }
    let resting = survey.finish();
    (resting.end, resting.bytes)
}

#[test]
fn what_is_being_filled_is_left_alone() {
    let young = [(0, false), (1, false), (2, false)];
    let by_default = config(&[]);
    assert_eq!(survey(&by_default, 10, i64::MAX, &young), (0, 0));
    // A log file that ends ends it.
    assert_eq!(survey(&by_default, 10, i64::MAX, &[(0, false), (1, true), (2, false)]), (20, 200));
    // So does the size: the third batch would go beyond it.
    assert_eq!(survey(&config(&[("segment.bytes", "200")]), 10, i64::MAX, &young), (20, 200));
    // And the time, by the records' own or by the clock.
    let by_time = config(&[("segment.ms", "5")]);
    assert_eq!(survey(&by_time, 10, i64::MAX, &[(0, false), (4, false), (6, false)]), (20, 200));
    assert_eq!(survey(&by_time, 7, i64::MAX, &young), (30, 300));
    assert_eq!(survey(&config(&[("max.compaction.lag.ms", "5")]), 7, i64::MAX, &young), (30, 300));
}

#[test]
fn what_is_young_or_may_still_change_is_left_alone() {
    let batches = [(0, true), (100, true), (50, true)];
    let lagging = config(&[("min.compaction.lag.ms", "60")]);
    assert_eq!(survey(&lagging, 130, i64::MAX, &batches), (10, 100), "nothing behind a young batch");
    assert_eq!(survey(&lagging, 160, i64::MAX, &batches), (30, 300));
    assert_eq!(survey(&config(&[]), 160, 29, &batches), (20, 200), "a batch that reaches beyond the limit");
}

#[test]
fn a_pass_is_worth_it_by_ratio_or_by_age() {
    let resting = Resting { end: 10, bytes: 100, since_ms: Some(1_000) };
    let half = config(&[]);
    assert!(is_worth_it(&resting, 99, &half, 1_000));
    assert!(!is_worth_it(&resting, 100, &half, 1_000), "more than the ratio, not as much");
    let aged = config(&[("max.compaction.lag.ms", "500")]);
    assert!(!is_worth_it(&resting, 10_000, &aged, 1_500));
    assert!(is_worth_it(&resting, 10_000, &aged, 1_501));
    assert!(is_worth_it(&resting, 0, &config(&[("min.cleanable.dirty.ratio", "0")]), 0));
    assert!(!is_worth_it(&Resting { bytes: 0, ..resting }, 0, &aged, i64::MAX), "nothing to do");
}

fn batch(base_offset: i64, records: &[(&str, Option<&str>)]) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None).base_offset(base_offset);
    for (key, value) in records {
        let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
        builder.append(5, key, value.map(str::as_bytes), &[]).unwrap();
    }
    Batch::parse(&builder.build().unwrap()).unwrap()
}

fn map(keys: &[(&str, i64)]) -> OffsetMap {
    let mut map = OffsetMap::new(100, 1, 1 << 20);
    keys.iter().for_each(|(key, offset)| map.put(key.as_bytes(), *offset));
    map
}

/// The offsets that are left, `None` if the batch stays as it is; and its horizon.
fn left(pass: &Pass<'_>, batch: &Batch) -> (Option<Vec<i64>>, Option<i64>) {
    match pass.go_through(batch).unwrap() {
        Left::Whole(horizon) => (None, horizon),
        Left::Nothing => (Some(Vec::new()), None),
        Left::Some(filtered, horizon) => {
            let batch = Batch::parse(&filtered.bytes).unwrap();
            batch.check_crc().unwrap();
            let records = batch.records(1 << 20).unwrap();
            (Some(records.iter().map(|record| record.unwrap().offset).collect()), horizon)
        }
    }
}

#[test]
fn older_records_of_a_key_go_and_tombstones_get_their_time() {
    let map = map(&[("a", 102), ("b", 101), ("t", 103)]);
    let aborted = Aborted::default();
    let pass =
        Pass { map: &map, map_end: 110, clean_to: 90, aborted: &aborted, now_ms: 50, delete_retention_ms: 7 };
    let old = batch(10, &[("a", Some("1")), ("c", Some("1")), ("t", Some("1"))]);
    assert_eq!(left(&pass, &old), (Some(vec![11]), None));
    let new = batch(100, &[("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("t", None)]);
    assert_eq!(left(&pass, &new), (Some(vec![101, 102, 103]), Some(57)));
    assert_eq!(left(&pass, &batch(20, &[("x", Some("1"))])), (None, None));
    assert_eq!(left(&pass, &batch(20, &[("a", Some("1"))])), (Some(vec![]), None));
    // A record without a key is not of this kind of topic; but where the map does not reach nothing is decided.
    assert_eq!(left(&pass, &batch(20, &[("", Some("1")), ("y", Some("1"))])), (Some(vec![21]), None));
    assert_eq!(left(&pass, &batch(110, &[("", Some("1")), ("a", None)])), (None, None));
}

#[test]
fn tombstones_go_when_their_time_is_over_and_all_before_is_clean() {
    let map = map(&[]);
    let aborted = Aborted::default();
    let at = |now_ms, clean_to| Pass {
        map: &map,
        map_end: clean_to,
        clean_to,
        aborted: &aborted,
        now_ms,
        delete_retention_ms: 7,
    };
    let dead = batch(10, &[("a", None), ("b", Some("1"))]);
    let dead = Batch::parse(&dead.filter(1 << 20, Some(57), |_| true).unwrap().bytes).unwrap();
    assert_eq!(left(&at(56, 90), &dead), (None, Some(57)));
    assert_eq!(left(&at(57, 90), &dead), (Some(vec![11]), None));
    assert_eq!(left(&at(57, 11), &dead), (None, Some(57)), "the pass that met it has not come to its end");
}

#[test]
fn what_was_aborted_goes_and_markers_stay_for_their_time() {
    let producer = |base_offset, id| {
        let mut builder =
            BatchBuilder::new(Compression::Lz4).base_offset(base_offset).producer(id, 0, 0).transactional();
        builder.append(5, Some(b"k"), Some(b"v"), &[]).unwrap();
        Batch::parse(&builder.build().unwrap()).unwrap()
    };
    let range = |producer_id, first: i64, last: i64| AbortedRange {
        producer_id,
        first_offset: Offset(first),
        last_offset: Offset(last),
    };
    let map = map(&[]);
    let aborted = Aborted::new(&[range(7, 30, 40), range(7, 10, 20), range(8, 12, 13)]);
    let pass =
        Pass { map: &map, map_end: 60, clean_to: 0, aborted: &aborted, now_ms: 50, delete_retention_ms: 7 };
    for (base_offset, id, gone) in
        [(9, 7, false), (10, 7, true), (19, 7, true), (25, 7, false), (35, 7, true), (15, 8, false)]
    {
        let (offsets, _) = left(&pass, &producer(base_offset, id));
        assert_eq!(offsets.is_some(), gone, "producer={id} offset={base_offset}");
    }
    let mut marker = control_batch(ControlKind::Abort, 7, 0, 0, 5).unwrap().to_vec();
    kafka_wire::records::set_base_offset(&mut marker, 20).unwrap();
    let marker = Batch::parse(&marker.into()).unwrap();
    let Left::Some(kept, horizon) = pass.go_through(&marker).unwrap() else { panic!("it gets its time") };
    assert_eq!((kept.count, horizon), (1, Some(57)));
    let kept = Batch::parse(&kept.bytes).unwrap();
    assert!(kept.header.is_control());
    let later = Pass { clean_to: 60, now_ms: 56, ..pass };
    assert!(matches!(later.go_through(&kept).unwrap(), Left::Whole(Some(57))));
    let later = Pass { now_ms: 57, ..later };
    assert!(matches!(later.go_through(&kept).unwrap(), Left::Nothing));
}
