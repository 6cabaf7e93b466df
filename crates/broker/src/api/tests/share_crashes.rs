//! Power cuts while a queue is worked off: what was acknowledged, and answered, never comes again; the rest does.

use super::share::*;
use crate::testing::{Answer, Node, response};
use kafka_wire::messages::*;
use os::sim::SplitMix;
use std::collections::{BTreeMap, BTreeSet};

/// What the consumers know.
#[derive(Default)]
struct Known {
    acknowledged: BTreeSet<i64>,
    /// Asked, and never answered: they may come again or not.
    unsure: BTreeSet<i64>,
    deliveries: BTreeMap<i64, i16>,
}

fn ask(node: &Node, member: &str, epoch: i32, acks: &[Ack]) -> Option<share_fetch_response::PartitionData> {
    let request = fetch_request(node, member, epoch, acks);
    let Answer::Frame(frame) = node.finish(node.send(&request, 2)) else { return None };
    let answer = response::<ShareFetchRequest>(frame, 2);
    (answer.error_code == 0).then(|| data(answer))
}

fn run(seed: u64) {
    let mut random = SplitMix(seed);
    let mut node =
        furnished(&[("share.delivery.count.limit", "10"), ("errors.deadletterqueue.topic.name", "dlq.t")]);
    const RECORDS: i64 = 40;
    for _ in 0..RECORDS / 4 {
        send(&node, &["a", "b", "c", "d"]);
    }
    let mut known = Known::default();
    for _ in 0..6 {
        node.sim.disk.stop_at_operation(Some(node.sim.disk.operations() + 1 + random.below(60)));
        let mut held: Vec<i64> = Vec::new();
        for epoch in 0.. {
            let acks: Vec<Ack> =
                held.iter().filter(|_| random.below(3) > 0).map(|at| (*at, *at, 1)).collect();
            known.unsure.extend(acks.iter().map(|ack| ack.0));
            let Some(data) = ask(&node, "one", epoch, &acks) else { break };
            assert_eq!(data.acknowledge_error_code, 0, "seed={seed}");
            for ack in &acks {
                known.unsure.remove(&ack.0);
                known.acknowledged.insert(ack.0);
                held.retain(|at| *at != ack.0);
            }
            for (first, last, deliveries) in acquired(&data) {
                for offset in first..=last {
                    assert!(!known.acknowledged.contains(&offset), "seed={seed}: {offset} came again");
                    let before = known.deliveries.insert(offset, deliveries).unwrap_or(0);
                    assert!(deliveries > before, "seed={seed}: {offset} forgot a delivery");
                    held.push(offset);
                }
            }
            if epoch > 20 || random.below(12) == 0 {
                break;
            }
        }
        node.sim.disk.stop_at_operation(None);
        node = node.crash(random.below(u64::MAX));
    }
    // Nothing is lost: what was not acknowledged is delivered, or it is not known whether it was acknowledged.
    let mut seen = known.acknowledged.clone();
    for epoch in 0..60 {
        let acks: Vec<Ack> = seen.difference(&known.acknowledged).map(|at| (*at, *at, 1)).collect();
        let data = ask(&node, "last", epoch, &acks).unwrap();
        known.acknowledged.extend(acks.iter().map(|ack| ack.0));
        for (first, last, deliveries) in acquired(&data) {
            assert!(deliveries <= 10);
            seen.extend(first..=last);
        }
    }
    let dead = node.log.topic("dlq.t").map_or(0, |topic| node.log.bounds(topic.partitions[0]).unwrap().end.0);
    let missing: Vec<i64> =
        (0..RECORDS).filter(|at| !seen.contains(at) && !known.unsure.contains(at)).collect();
    assert_eq!(missing.len() as i64, dead, "seed={seed}: {missing:?} are lost");
}

#[test]
fn what_was_acknowledged_never_comes_again_and_the_rest_does() {
    for seed in 0..40 {
        run(seed);
    }
}
