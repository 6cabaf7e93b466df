//! Power cuts in the middle of transactions: what was acknowledged as committed is whole, all else is void.

use super::transactional::*;
use crate::testing::{Answer, Node, response};
use kafka_wire::messages::*;
use kafka_wire::records::ControlKind;
use os::sim::SplitMix;
use std::collections::{BTreeMap, BTreeSet};

const PRODUCERS: usize = 3;
const PLACES: [(&str, i32); 3] = [("t", 0), ("t", 1), ("u", 0)];

/// What a transaction has written, by place, and what became of it.
#[derive(Debug, Clone, Default)]
struct Attempt {
    written: BTreeSet<(usize, String)>,
    offset: Option<i64>,
    /// The kind of end that was asked for, and whether the answer came.
    end: Option<(bool, bool)>,
}

struct World {
    node: Option<Node>,
    random: SplitMix,
    attempts: Vec<(usize, Attempt)>,
    open: [Option<usize>; PRODUCERS],
    producers: Vec<Option<Producer>>,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let node = Node::new();
        node.create_topic("t", 2, &[]);
        node.create_topic("u", 1, &[]);
        let producers = vec![None; PRODUCERS];
        World {
            node: Some(node),
            random: SplitMix(seed),
            attempts: Vec::new(),
            open: [None; PRODUCERS],
            producers,
            seed,
        }
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    /// One request; whether the node is still alive.
    fn act(&mut self) -> bool {
        let who = self.random.below(PRODUCERS as u64) as usize;
        let group = format!("g{who}");
        let Some(mut producer) = self.producers[who].take() else {
            let request = InitProducerIdRequest {
                transactional_id: Some(format!("p{who}")),
                transaction_timeout_ms: TIMEOUT_MS,
                ..Default::default()
            };
            // It takes the id anew, which ends what its predecessor left open.
            let Answer::Frame(frame) = self.node().finish(self.node().send(&request, 4)) else {
                return false;
            };
            let answer = response::<InitProducerIdRequest>(frame, 4);
            if answer.error_code != 0 {
                return false;
            }
            self.producers[who] =
                Some(Producer::known(&format!("p{who}"), answer.producer_id, answer.producer_epoch));
            self.open[who] = None;
            return true;
        };
        let number = match self.open[who] {
            Some(number) => number,
            None => {
                self.attempts.push((who, Attempt::default()));
                self.open[who] = Some(self.attempts.len() - 1);
                self.attempts.len() - 1
            }
        };
        let node = self.node.take().unwrap();
        let attempt = &mut self.attempts[number].1;
        let alive = match self.random.below(10) {
            8 => {
                // A late copy of a request of before: granted again if nothing is open, and else refused.
                let request = InitProducerIdRequest {
                    transactional_id: Some(producer.id.clone()),
                    transaction_timeout_ms: TIMEOUT_MS,
                    producer_id: producer.producer_id,
                    producer_epoch: (producer.epoch - 1).max(0),
                    ..Default::default()
                };
                let is_late = producer.epoch > 0;
                if is_late {
                    let Answer::Frame(frame) = node.finish(node.send(&request, 4)) else {
                        panic!("no answer")
                    };
                    let answer = response::<InitProducerIdRequest>(frame, 4);
                    assert!(answer.error_code != 0 || answer.producer_epoch == producer.epoch);
                }
                true
            }
            9 if self.random.below(6) == 0 => {
                // Everything that is open lasts too long; all producers begin anew.
                node.sim.clock.advance_ms(TIMEOUT_MS as u64 + 1);
                node.broker.tick(node.now().monotonic_ms);
                let alive = node.log.commit_pending().is_ok();
                self.node = Some(node);
                self.producers = vec![None; PRODUCERS];
                self.open = [None; PRODUCERS];
                return alive;
            }
            9 => true,
            0..=3 => {
                let place = self.random.below(PLACES.len() as u64) as usize;
                let value = format!("{number}-{}", attempt.written.len());
                let (topic, partition) = PLACES[place];
                let request = producer.batch(topic, partition, &[&value]);
                attempt.written.insert((place, value));
                let Answer::Frame(frame) = node.finish(node.send(&request, 12)) else { panic!("no answer") };
                let answer = response::<ProduceRequest>(frame, 12);
                answer.responses[0].partition_responses[0].error_code == 0
            }
            4 => {
                let request = producer.offset_request(&group, "t", number as i64);
                attempt.offset = Some(number as i64);
                let Answer::Frame(frame) = node.finish(node.send(&request, 5)) else { panic!("no answer") };
                response::<TxnOffsetCommitRequest>(frame, 5).topics[0].partitions[0].error_code == 0
            }
            5 => {
                // The producer is gone; its successor begins with the id.
                self.node = Some(node);
                return true;
            }
            _ if attempt.written.is_empty() && attempt.offset.is_none() => true,
            end => {
                let commits = end == 6 || self.random.below(3) > 0;
                let kind = if commits { ControlKind::Commit } else { ControlKind::Abort };
                attempt.end = Some((commits, false));
                let outcome = node.send(&producer.end_request(kind), 5);
                if self.random.below(6) == 0 {
                    // Asked, written into the pending bytes, and never answered.
                    false
                } else if producer.take_end(&node, outcome) == 0 {
                    attempt.end = Some((commits, true));
                    self.open[who] = None;
                    true
                } else {
                    false
                }
            }
        };
        self.producers[who] = Some(producer);
        self.node = Some(node);
        alive
    }

    fn crash(&mut self) {
        let node = self.node.take().unwrap();
        node.sim.disk.stop_at_operation(None);
        let cut = self.random.below(u64::MAX);
        self.node = Some(node.crash(cut));
        self.producers = vec![None; PRODUCERS];
        self.open = [None; PRODUCERS];
    }

    /// Everything that was left open times out, and then what readers see is compared with what was acknowledged.
    fn check(&mut self) {
        self.node().pass_ms(TIMEOUT_MS as u64 + 1);
        self.producers = vec![None; PRODUCERS];
        self.open = [None; PRODUCERS];
        let seed = self.seed;
        let mut seen: BTreeMap<(usize, String), u32> = BTreeMap::new();
        for (place, (topic, partition)) in PLACES.into_iter().enumerate() {
            let mut offset = 0;
            loop {
                let data = fetch(self.node(), topic, partition, offset, true);
                assert_eq!(data.last_stable_offset, data.high_watermark, "seed={seed}: something hangs");
                for value in values(&data) {
                    *seen.entry((place, value)).or_default() += 1;
                }
                let next = kafka_wire::records::Batches::new(data.records.unwrap_or_default());
                match next.last() {
                    Some(batch) => offset = batch.unwrap().header.next_offset(),
                    None => break,
                }
            }
        }
        let mut positions = [-1; PRODUCERS];
        for (number, (who, attempt)) in self.attempts.iter().enumerate() {
            let visible = attempt.written.iter().filter(|record| seen.contains_key(*record)).count();
            let whole = visible == attempt.written.len();
            let position = committed_offset(self.node(), &format!("g{who}"), "t", true).0;
            match attempt.end {
                Some((true, true)) => {
                    assert!(whole, "seed={seed}: acknowledged {number} is not whole: {attempt:?}")
                }
                // Nobody was told; but a part of it is never seen.
                Some((true, false)) => {
                    assert!(whole || visible == 0, "seed={seed}: {number} is torn: {attempt:?}")
                }
                _ => assert_eq!(visible, 0, "seed={seed}: {number} was not committed: {attempt:?}"),
            }
            if let (Some(offset), Some((true, acknowledged))) = (attempt.offset, attempt.end) {
                // Without records only the position can tell.
                let counts =
                    if attempt.written.is_empty() { acknowledged || position >= offset } else { visible > 0 };
                if counts {
                    positions[*who] = offset;
                }
            }
        }
        for (who, expected) in positions.into_iter().enumerate() {
            let found = committed_offset(self.node(), &format!("g{who}"), "t", true);
            assert_eq!(found, (expected, 0), "seed={seed}: the offsets of g{who}");
        }
        assert!(seen.values().all(|count| *count == 1), "seed={seed}: seen twice: {seen:?}");
    }
}

#[test]
fn acknowledged_commits_are_whole_after_a_power_cut_and_the_rest_is_void() {
    let mut commits = 0;
    for seed in seeds() {
        let mut world = World::new(seed);
        for _ in 0..1 + seed % 3 {
            let stops = world.random.below(2) == 0;
            let operations = world.random.below(60);
            if stops {
                let disk = &world.node().sim.disk;
                disk.stop_at_operation(Some(disk.operations() + 1 + operations));
            }
            for _ in 0..operations {
                if !world.act() {
                    break;
                }
            }
            world.crash();
            world.check();
        }
        commits += world.attempts.iter().filter(|(_, one)| one.end == Some((true, true))).count();
    }
    assert!(commits > 100, "hardly anything was committed: {commits}");
}

/// EVENTWRIGHT_SEEDS=first..last runs other seeds.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("EVENTWRIGHT_SEEDS").ok();
    let range = given.and_then(|text| {
        let (first, last) = text.split_once("..")?;
        Some(first.parse().ok()?..last.parse().ok()?)
    });
    range.unwrap_or(0..150)
}
