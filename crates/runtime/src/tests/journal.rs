//! Records and checkpoints there and back, cut short and mutated; the fold over a job's life.

use crate::coordinates::{Cursor, Range, ScanSplits};
use crate::journal::{Change, Counts, FeedPosition, Journal, LAYER, Record, SnapshotRecord, StepRecord};
use crate::operators::{OperatorRecord, Role};
use arrow_schema::{DataType, Field};
use dataflow::engine::{ColumnsLayout, TableLayout};
use dataflow::plan::Table;
use dataflow::source::{Position, Split};
use eventlog::{Entry, Fold, Layer};
use os::sim::SplitMix;
use std::collections::BTreeMap;
use std::sync::Arc;

fn scans() -> Vec<ScanSplits> {
    let split = |id: &str, end, fingerprint: &str| Split {
        id: id.into(),
        start: Position(i64::MIN),
        end,
        fingerprint: fingerprint.into(),
    };
    vec![
        ScanSplits { scan: 0, splits: vec![split("orders/0", None, ""), split("orders/1", None, "")] },
        ScanSplits { scan: 3, splits: vec![split("städte.csv", Some(Position(i64::MAX)), "12 bytes")] },
        ScanSplits { scan: u32::MAX, splits: Vec::new() },
    ]
}

fn counts(number: u64) -> Counts {
    Counts {
        rows_in: BTreeMap::from([(0, number), (3, 1)]),
        rows_out: BTreeMap::from([(7, number / 2)]),
        late_rows: 1,
        skipped_records: 2,
        dead_letters: u64::MAX >> 8,
    }
}

fn step(job: &str, number: u64) -> Record {
    let range = |split, finished| Range {
        scan: 0,
        split,
        from: Position(number as i64),
        to: Position(number as i64 + 1),
        finished,
        idle: split == 2,
    };
    let step = StepRecord {
        number,
        clock_ms: -1,
        ranges: vec![range(0, false), range(1, true), range(2, false)],
        output_hash: u64::MAX - number,
        counts: counts(number),
    };
    Record::Step { job: job.into(), step }
}

fn snapshot(job: &str, step: u64) -> Record {
    let cursors = vec![Cursor { scan: 3, split: 0, position: Position(12), finished: true }];
    let snapshot = SnapshotRecord { step, clock_ms: 17, file: format!("{step:020}.snapshot"), cursors };
    Record::Snapshot { job: job.into(), snapshot }
}

fn started(job: &str) -> Record {
    Record::Started {
        job: job.into(),
        instance: 42,
        engine_version: 7,
        plan: u64::MAX,
        origin: 3,
        scans: scans(),
    }
}

/// Two lives: one that has ended, one in the middle.
fn records() -> Vec<Record> {
    let mut records = vec![started("ended"), started("größe 1"), step("ended", 1)];
    records.extend((1..=3).map(|number| step("größe 1", number)));
    records.push(Record::Finished { job: "ended".into() });
    records.push(snapshot("größe 1", 2));
    records.push(step("größe 1", 4));
    records.push(fed("größe 1", 0, Some(b"offset 3")));
    records.push(fed("größe 1", 0, Some(b"offset 5")));
    records.push(fed("größe 1", 0, None));
    records.push(fed("größe 1", 3, None));
    records
}

fn operator(tag: u32, role: Role) -> OperatorRecord {
    let (scans, sinks) = (vec![0, 3], if tag == 0 { Vec::new() } else { vec![7] });
    let (table, text) = ("größe".to_string(), format!("Node({tag})"));
    let of_table = Table { address: 1, layout: 2, startup: 3 };
    let identity = u64::MAX - u64::from(tag);
    let (columns, uses, readers) = (5, 6, 7);
    let (family, layout) = (8, layout(tag));
    OperatorRecord {
        tag,
        identity,
        family,
        layout,
        role,
        columns,
        uses,
        readers,
        of_table,
        scans,
        sinks,
        table,
        text,
    }
}

/// Tables with and without columns and times to live.
fn layout(tag: u32) -> Vec<TableLayout> {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Binary, true)));
    let types = vec![DataType::Int64, DataType::Decimal128(38, 2), list];
    let columns = vec![ColumnsLayout { identity: u64::MAX, types }];
    let groups = TableLayout { table: 0, shape: 1, ttl_ms: Some(u64::from(tag)), columns };
    vec![groups, TableLayout { table: 1, shape: 0, ttl_ms: None, columns: Vec::new() }]
}

/// A job whose statement changes: it reads the second scan no more, and another one instead.
fn changed_records() -> Vec<Record> {
    let job = "changed".to_string();
    let mut scans_now = vec![scans()[0].clone()];
    scans_now.push(ScanSplits { scan: 8, splits: scans()[1].splits.clone() });
    let Record::Snapshot { snapshot, .. } = snapshot(&job, 3) else { panic!("it is one") };
    let change = Change {
        engine_version: 8,
        plan: 5,
        scans: scans_now,
        operators: vec![operator(0, Role::Scan), operator(8, Role::Scan), operator(9, Role::State)],
        next_tag: 10,
        snapshot,
    };
    let operators = vec![operator(0, Role::Scan), operator(3, Role::Scan), operator(7, Role::Sink)];
    vec![
        started(&job),
        Record::Operators { job: job.clone(), operators, next_tag: 8 },
        step(&job, 1),
        step(&job, 2),
        fed(&job, 0, Some(b"offset 3")),
        fed(&job, 3, None),
        Record::Altered { job, change },
    ]
}

fn fed(job: &str, scan: u32, position: Option<&[u8]>) -> Record {
    let feed = FeedPosition { scan, position: position.map(<[u8]>::to_vec), ended: scan == 3 };
    Record::Fed { job: job.into(), feed }
}

fn folded() -> std::sync::Arc<Journal> {
    let journal = Journal::restore(None).unwrap();
    for record in records() {
        journal.fold(&Entry::Layer { layer: LAYER, bytes: &record.encode() }).unwrap();
    }
    journal
}

fn checkpoint(journal: &Journal) -> Vec<u8> {
    let mut bytes = Vec::new();
    journal.checkpoint(&mut bytes);
    bytes
}

#[test]
fn records_are_read_as_they_were_written() {
    for record in records().into_iter().chain(changed_records()) {
        assert_eq!(Record::decode(&record.encode()).unwrap(), record);
    }
}

#[test]
fn records_cut_short_or_with_bytes_behind_them_are_refused() {
    for record in records().into_iter().chain(changed_records()) {
        let bytes = record.encode();
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length]).is_err(), "{record:?} cut to {length} bytes");
        }
        assert!(Record::decode(&[&bytes[..], &[0]].concat()).is_err(), "{record:?} and a byte");
    }
    assert!(Record::decode(&[9, 0, 0, 0, 0]).is_err(), "there is no kind 9");
}

#[test]
fn mutated_records_are_refused_or_read_as_something_that_can_be_written() {
    let mut random = SplitMix(5);
    for record in records().into_iter().chain(changed_records()) {
        for _ in 0..4000 {
            let mut bytes = record.encode();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = if random.one_in(2) { u8::MAX } else { random.next_u64() as u8 };
            }
            if let Ok(read) = Record::decode(&bytes) {
                assert_eq!(Record::decode(&read.encode()).unwrap(), read);
            }
        }
    }
}

#[test]
fn a_fold_knows_each_job_and_keeps_only_the_steps_that_a_recovery_needs() {
    let journal = folded();
    assert_eq!(journal.jobs(), [("ended".to_string(), true), ("größe 1".to_string(), false)]);
    let job = journal.job("größe 1").unwrap();
    assert_eq!((job.instance, job.engine_version, job.plan), (42, 7, u64::MAX));
    assert_eq!(job.scans, scans());
    assert_eq!(job.steps.iter().map(|step| step.number).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(job.snapshot.unwrap().file, "00000000000000000002.snapshot");
    assert_eq!((job.last_step, job.counts.rows_in[&0]), (4, 1 + 2 + 3 + 4));
    // A feed that gives no position has gone no further.
    let feed = |scan| journal.feed("größe 1", scan).unwrap();
    assert_eq!((feed(0).position.as_deref(), feed(0).ended), (Some(&b"offset 5"[..]), false));
    assert_eq!((feed(3).position, feed(3).ended), (None, true));
    let ended = journal.job("ended").unwrap();
    assert!(ended.finished && ended.steps.is_empty());
    assert_eq!(ended.counts, counts(1));
    // What concerns nobody who is known changes nothing, nor do entries of other layers.
    let before = checkpoint(&journal);
    journal.apply(&step("unknown", 1));
    journal.apply(&snapshot("unknown", 1));
    journal.fold(&Entry::Layer { layer: Layer::GROUP_OFFSETS, bytes: b"not ours" }).unwrap();
    assert_eq!(checkpoint(&journal), before);
    let error = journal.fold(&Entry::Layer { layer: LAYER, bytes: b"\x09damaged" }).unwrap_err();
    assert!(error.to_string().contains("an entry of the journal of jobs"), "{error}");
}

#[test]
fn a_change_makes_another_job_of_one_that_keeps_its_name_and_what_it_still_reads() {
    let journal = Journal::restore(None).unwrap();
    changed_records().iter().for_each(|record| journal.apply(record));
    let job = journal.job("changed").unwrap();
    assert_eq!((job.instance, job.engine_version, job.plan), (42, 8, 5));
    assert_eq!((job.last_step, job.changed_step, job.next_tag), (3, 3, 10));
    assert!(job.steps.is_empty());
    assert_eq!(job.snapshot.as_ref().unwrap().step, 3);
    assert_eq!(job.scans.iter().map(|scan| scan.scan).collect::<Vec<_>>(), [0, 8]);
    assert_eq!(job.former_scans, scans()[1..]);
    assert_eq!(job.feeds.keys().copied().collect::<Vec<_>>(), [0]);
    assert_eq!([0, 8, 9].map(|tag| job.node_of(tag)), [0, 1, 2]);
    assert_eq!(job.counts.rows_in[&0], 1 + 2, "what was counted stays");
    let restored = Journal::restore(Some(&checkpoint(&journal))).unwrap();
    assert_eq!(restored.job("changed"), Some(job));
}

#[test]
fn a_checkpoint_restores_the_fold_and_damage_to_it_is_refused() {
    let journal = folded();
    let bytes = checkpoint(&journal);
    let restored = Journal::restore(Some(&bytes)).unwrap();
    assert_eq!(checkpoint(&restored), bytes);
    for (name, _) in journal.jobs() {
        assert_eq!(restored.job(&name), journal.job(&name));
    }
    // Of each of two jobs: no operators, the next tag, the last change, no former scans.
    let operators = 2 * (4 + 4 + 8 + 4);
    let feeds = 2 * 4 + 2 * 10 + b"offset 5".len();
    for length in 0..bytes.len() {
        // Without all feeds, or operators, it is a checkpoint from before there were any.
        let is_whole = [operators, operators + feeds].contains(&(bytes.len() - length));
        assert_eq!(Journal::restore(Some(&bytes[..length])).is_ok(), is_whole, "cut to {length} bytes");
    }
    let mut random = SplitMix(6);
    for _ in 0..4000 {
        let mut damaged = bytes.clone();
        let at = random.below(bytes.len() as u64) as usize;
        damaged[at] ^= 1 << random.below(8);
        if let Ok(read) = Journal::restore(Some(&damaged)) {
            let written = checkpoint(&read);
            assert_eq!(checkpoint(&Journal::restore(Some(&written)).unwrap()), written);
        }
    }
}
