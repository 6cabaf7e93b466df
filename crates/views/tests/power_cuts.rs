//! Views through power cuts on a simulated disk: every snapshot is the query over the first so many sales, in all views
//! of the job at once, before a cut and right after the start behind it.

mod node;

use eventlog::Committer;
use node::{Node, SCRIPT, check, simulated};
use os::Random;
use os::sim::SimRandom;
use std::path::Path;

#[test]
fn every_snapshot_is_the_query_over_a_prefix_of_the_topic() {
    let (mut cuts, mut snapshots, mut rebuilt) = (0, 0, 0);
    for seed in 0..12 {
        let world = simulated(seed);
        let os = world.os();
        let random = SimRandom::new(seed);
        let mut sold: Vec<(String, i64)> = Vec::new();
        // What was durable, and so must be there after a cut.
        let mut counted_before_cut = 0;
        for life in 0..6 {
            let (node, mut follower) = Node::open(&os, Path::new("/data"), Committer::Manual);
            // The job does not run yet, and the rows are there.
            if life > 0 {
                let bounds = node.log.bounds(node.partition).unwrap();
                sold.truncate(bounds.end.0 as usize);
                if node.views.snapshot().view("totals").is_ok() {
                    let count = check(&node.views.snapshot(), &sold);
                    assert!(count >= counted_before_cut, "{count} of {counted_before_cut} are left");
                    rebuilt += usize::from(count > 0);
                }
            }
            let request = node.job(SCRIPT);
            let mut machine = node.runtime.machine(request).unwrap();
            for _ in 0..60 {
                match random.next_u64() % 5 {
                    0 | 1 => {
                        let sales: Vec<(String, i64)> = (0..1 + random.next_u64() % 40)
                            .map(|_| {
                                let number = random.next_u64();
                                (format!("key{}", number % 13), (number % 1000) as i64 - 500)
                            })
                            .collect();
                        node.sell(&sales);
                        sold.extend(sales);
                    }
                    2 => drop(machine.turn().unwrap()),
                    3 => drop(node.log.commit_pending().unwrap()),
                    _ => {
                        follower.turn().unwrap();
                    }
                }
                let snapshot = node.views.snapshot();
                if snapshot.view("totals").is_ok() {
                    counted_before_cut = check(&snapshot, &sold);
                    snapshots += 1;
                }
            }
            drop((machine, follower));
            world.disk.power_cut(random.next_u64());
            cuts += 1;
        }
    }
    assert_eq!(cuts, 72);
    assert!(snapshots > 1000 && rebuilt > 30, "snapshots={snapshots} rebuilt={rebuilt}");
}
