//! Views while their job runs, with producers and readers on threads of their own and a real disk.

mod node;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, StringArray};
use eventlog::Committer;
use node::{Node, SCRIPT, check, totals};
use os::Os;
use runtime::{JobHandle, Submitted};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use views::{FollowerHandle, Health};

const PATIENCE: Duration = Duration::from_secs(60);

fn start(data: &std::path::Path) -> (Node, FollowerHandle, JobHandle) {
    let (node, follower) = Node::open(&Os::real(), data, Committer::Thread);
    let follower = follower.run().unwrap();
    let mut request = node.job(SCRIPT);
    request.options.step_rows_max = 8192;
    let Submitted::Running(handle) = node.runtime.submit(request).unwrap() else { panic!("the job is new") };
    let lsn = node.log.appended();
    node.log.wait_durable(lsn).unwrap();
    node.views.wait_for(lsn, &[], PATIENCE).unwrap();
    (node, follower, handle)
}

#[test]
fn views_of_one_job_agree_at_every_snapshot_and_their_changes_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let (node, _follower, handle) = start(folder.path());
    let done = Arc::new(AtomicBool::new(false));
    let sold = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..400_i64 {
                let sales: Vec<(String, i64)> = (0..1 + round % 23)
                    .map(|n| (format!("key{}", (round * 7 + n) % 31), round - n))
                    .collect();
                // Known before it can be seen.
                sold.lock().unwrap().extend(sales.clone());
                let lsn = node.sell(&sales);
                node.log.wait_durable(lsn).unwrap();
            }
            let lsn = node.log.durable();
            node.views.wait_for(lsn, &["sums"], PATIENCE).unwrap();
            done.store(true, Ordering::Release);
        });
        // A subscription: the rows at its beginning, and then the changes.
        let mut seen = node.views.snapshot();
        let mut kept: BTreeMap<(String, i64, i64), i64> = BTreeMap::new();
        let mut snapshots = 0;
        loop {
            let last = done.load(Ordering::Acquire);
            let Some(next) =
                node.views.newer_than(seen.lsn(), Duration::from_millis(if last { 0 } else { 1000 }))
            else {
                if last {
                    break;
                }
                continue;
            };
            assert!(next.lsn() > seen.lsn());
            check(&next, &sold.lock().unwrap());
            let (new, old) = (next.view("sums").unwrap(), seen.view("sums").unwrap());
            for batch in new.changes_since(old, 64).unwrap() {
                let batch = batch.unwrap();
                let keys = batch.rows.column(0).as_string::<i32>();
                let number =
                    |column: usize, row| batch.rows.column(column).as_primitive::<Int64Type>().value(row);
                for (row, diff) in batch.diffs.iter().enumerate() {
                    let changed = (keys.value(row).to_string(), number(1, row), number(2, row));
                    let count = kept.entry(changed).or_default();
                    *count += i64::from(*diff);
                    assert!((0..=1).contains(count), "a row goes before it came, or comes twice");
                }
            }
            kept.retain(|_, count| *count != 0);
            let rows: BTreeMap<String, (i64, i64)> =
                kept.keys().map(|(key, sum, count)| (key.clone(), (*sum, *count))).collect();
            assert_eq!(rows, node::sums(&next));
            snapshots += 1;
            seen = next;
        }
        assert!(snapshots > 20, "only {snapshots} snapshots");
        assert_eq!(totals(&seen).1 as usize, sold.lock().unwrap().len());
    });
    let look = || node.views.look().into_iter().find(|look| look.view.name() == "sums").unwrap();
    let health = || look().health.unwrap();
    assert_eq!(health(), Health::default());
    handle.stop();
    handle.join().unwrap();
    let error = {
        let lsn = node.sell(&[("late".into(), 1)]);
        node.views.wait_for(lsn, &["sums"], PATIENCE).unwrap_err()
    };
    assert!(error.to_string().contains("does not move: its job"), "{error}");
    let behind = health();
    assert_eq!((behind.lag_records, behind.stands.as_deref()), (1, Some("canceled")));
    let shown = look().json();
    assert_eq!(shown["health"]["lag_records"], 1);
    assert_eq!((&shown["name"], &shown["reads"]), (&"sums".into(), &0.into()));
}

/// How many writes in all; `EVENTWRIGHT_WRITES` asks for more.
fn writes() -> usize {
    std::env::var("EVENTWRIGHT_WRITES").ok().and_then(|text| text.parse().ok()).unwrap_or(4000)
}

#[test]
fn who_waits_for_a_write_reads_it_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let (node, _follower, handle) = start(folder.path());
    let writers = 4;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Others write all the time.
        let load = scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Acquire) {
                let sales: Vec<(String, i64)> =
                    (0..50).map(|n| (format!("load{}", (number + n) % 997), n)).collect();
                let lsn = node.sell(&sales);
                // No more than the job can keep up with.
                node.views.wait_for(lsn, &["sums"], PATIENCE).unwrap();
                number += 50;
            }
        });
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let node = &node;
                scope.spawn(move || {
                    let key = format!("writer{writer}");
                    let wanted: ArrayRef = Arc::new(StringArray::from(vec![key.as_str()]));
                    for count in 1..=(writes() / writers) as i64 {
                        let lsn = node.sell(&[(key.clone(), count)]);
                        let snapshot = node.views.wait_for(lsn, &["sums"], PATIENCE).unwrap();
                        let view = snapshot.view("sums").unwrap();
                        let row = view.get(std::slice::from_ref(&wanted), Some(&[1, 2])).unwrap();
                        assert_eq!(row.num_rows(), 1, "write {count} of {key} is not there");
                        let number = |column: usize| row.column(column).as_primitive::<Int64Type>().value(0);
                        assert_eq!((number(0), number(1)), (count * (count + 1) / 2, count));
                    }
                })
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        done.store(true, Ordering::Release);
        load.join().unwrap();
        results.into_iter().for_each(|result| result.unwrap());
    });
    handle.stop();
    handle.join().unwrap();
}
