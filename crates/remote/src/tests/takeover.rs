//! Who writes is decided by the store, whatever goes wrong on the way.

use super::node::{DATA, expected, settings};
use super::{Memory, Model, SimNode};
use crate::error::RemoteError;
use crate::standby::{Standby, TAKEOVER_FILE, Watch};
use crate::store::SharedPlace;
use base::Lsn;
use os::sim::{SimOs, SplitMix};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SEEDS: u64 = 60;
const TAKEOVERS: u64 = 4;

/// A node that was taken over from and does not know it.
struct Old {
    node: SimNode,
    /// What the store had of it.
    shipped: Lsn,
    /// Where the node begins that took over: nothing behind it is acknowledged by this one.
    taken_at: Lsn,
}

struct World {
    seed: u64,
    random: SplitMix,
    store: Memory,
    model: Model,
    value: u64,
    /// What was acknowledged of the topic with `durability=remote`: all frames up to here.
    acknowledged: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let store = Memory::new(seed);
        World { seed, random: SplitMix(seed), store, model: Model::new(), value: 0, acknowledged: 0 }
    }

    fn below(&mut self, of: u64) -> u64 {
        self.random.next_u64() % of
    }

    /// Work of a node that may write.
    fn work(&mut self, node: &SimNode) {
        for _ in 0..1 + self.below(3) {
            let topic = self.below(2) as usize;
            let lsn = node.append(topic, self.value).unwrap();
            self.model.insert(lsn.0, (topic, self.value));
            self.value += 1;
        }
        if self.below(3) > 0 {
            node.log.commit_pending().unwrap();
        }
    }

    /// One attempt to ship, or to keep the store small.
    fn ship(&mut self, node: &mut SimNode) {
        match self.below(4) {
            0 => drop(node.keeper.step()),
            _ => match node.shipper.step() {
                Ok(_) | Err(RemoteError::Store(_)) => {}
                Err(other) => panic!("seed={}: {other}", self.seed),
            },
        }
        self.acknowledged = self.acknowledged.max(node.log.shipped().unwrap().0);
        let seen = node.values(0);
        let shipped = expected(&self.model, 0, node.log.shipped().unwrap().0);
        assert!(shipped.starts_with(&seen), "seed={}: consumers see nothing that is not shipped", self.seed);
    }

    /// What a node has is what was appended up to its last frame, and all that was acknowledged is there.
    fn check(&self, node: &SimNode) {
        let last = node.log.durable().0;
        assert!(last >= self.acknowledged, "seed={}: {} of {}", self.seed, last, self.acknowledged);
        for topic in 0..2 {
            assert_eq!(node.values(topic), expected(&self.model, topic, last), "seed={}", self.seed);
        }
    }
}

/// A machine that follows, with its clock.
struct Follower {
    sim: SimOs,
    standby: Standby,
}

fn follow(world: &World, seed: u64) -> Follower {
    let sim = SimOs::new(seed);
    let place: SharedPlace = Arc::new(world.store.clone());
    let watch = Watch { takeover_after: Duration::from_secs(5) };
    loop {
        match Standby::open(&sim.os(), Path::new(DATA), &place, watch) {
            Ok(standby) => return Follower { sim, standby },
            Err(RemoteError::Store(_)) => {}
            Err(other) => panic!("seed={}: {other}", world.seed),
        }
    }
}

impl Follower {
    /// One look; whether it has taken over.
    fn turn(&mut self, seed: u64) -> bool {
        match self.standby.turn() {
            Ok(is_taken) => is_taken,
            Err(RemoteError::Store(_)) => false,
            Err(other) => panic!("seed={seed}: {other}"),
        }
    }
}

/// Time passes for the follower alone until it takes over.
fn take_over(world: &mut World, mut follower: Follower) -> SimNode {
    let mut turns = 0;
    loop {
        follower.sim.clock.advance_ms(1000);
        if follower.turn(world.seed) {
            break;
        }
        turns += 1;
        assert!(turns < 500, "seed={}: the standby never took over", world.seed);
    }
    let Follower { sim, standby } = follower;
    drop(standby);
    // It may lose its power before it serves anybody.
    if world.below(3) == 0 {
        sim.disk.power_cut(world.below(u64::MAX));
    }
    SimNode::open_patiently(&sim, &world.store, &settings())
        .unwrap_or_else(|error| panic!("seed={}: {error}", world.seed))
}

#[test]
fn nothing_acknowledged_is_lost_and_the_old_node_is_fenced() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let mut node = SimNode::open(&SimOs::new(seed), &world.store, &settings()).unwrap();
        node.create_topics();
        while node.shipper.step().unwrap() {}
        world.store.fail_one_in([0, 20, 40, 80][(seed % 4) as usize]);
        let mut old: Vec<Old> = Vec::new();
        for round in 0..TAKEOVERS {
            // Half of them follow all the while, the others come when it is over.
            let number = seed * 100 + round;
            let mut follower = (world.below(2) == 0).then(|| follow(&world, number));
            for _ in 0..30 + world.below(60) {
                if let Some(follower) = follower.as_mut().filter(|_| world.below(4) == 0) {
                    assert!(!follower.turn(seed), "seed={seed}: nobody was silent");
                }
                world.work(&node);
                for _ in 0..world.below(4) {
                    world.ship(&mut node);
                }
                if world.below(25) == 0 {
                    // The machine comes back.
                    let sim = node.sim.clone();
                    drop(node);
                    sim.disk.power_cut(world.below(u64::MAX));
                    node = SimNode::open_patiently(&sim, &world.store, &settings()).unwrap();
                    let last = node.log.durable().0;
                    world.model.retain(|lsn, _| *lsn <= last);
                    world.check(&node);
                }
            }
            let follower = follower.unwrap_or_else(|| follow(&world, number));
            let taker = take_over(&mut world, follower);
            let last = taker.log.durable().0;
            assert!(last >= world.acknowledged, "seed={seed}: {last} of {}", world.acknowledged);
            let shipped = node.log.shipped().unwrap();
            // What lies behind is lost, and no more than what was shown to be unshipped.
            world.model.retain(|lsn, _| *lsn <= last);
            world.check(&taker);
            old.push(Old { node: std::mem::replace(&mut node, taker), shipped, taken_at: Lsn(last) });
            if world.below(2) == 0 {
                world.store.let_late_puts_arrive();
            }
            for one in &mut old {
                let _ = one.node.append(0, 1 << 40);
                let _ = one.node.log.commit_pending();
                fenced(one, seed);
            }
        }
        world.store.fail_one_in(0);
        while node.shipper.step().unwrap() {}
        while node.keeper.step().unwrap() {}
        world.check(&node);
        let (log, copied) = super::node::restored(&world.store, None).unwrap();
        assert_eq!(copied.lsn, node.log.durable().0, "seed={seed}");
        for topic in 0..2 {
            let expected = expected(&world.model, topic, copied.lsn);
            assert_eq!(super::node::values(&log, topic), expected, "seed={seed}");
        }
    }
}

/// An old node goes on until the store answers: it acknowledges nothing that is not in the log of the new one.
fn fenced(one: &mut Old, seed: u64) {
    for _ in 0..10_000 {
        match one.node.shipper.step() {
            Err(RemoteError::Fenced(words)) => {
                assert!(words.contains("has taken over"), "{words}");
                return;
            }
            // What had arrived before the other one's epoch counts.
            Ok(true) => {
                assert!(one.node.log.shipped().unwrap() >= one.shipped);
                let shipped = one.node.log.shipped().unwrap();
                assert!(shipped <= one.taken_at, "seed={seed}: {shipped} of {}", one.taken_at);
            }
            Ok(false) => panic!("seed={seed}: the old node ships on"),
            Err(_) => {}
        }
    }
    panic!("seed={seed}: the old node is not fenced");
}

#[test]
fn a_standby_takes_over_when_it_is_told_to_though_the_other_one_works() {
    let mut world = World::new(1);
    let mut node = SimNode::open(&SimOs::new(1), &world.store, &settings()).unwrap();
    node.create_topics();
    let sim = SimOs::new(2);
    let place: SharedPlace = Arc::new(world.store.clone());
    let watch = Watch { takeover_after: Duration::from_secs(5) };
    let mut standby = Standby::open(&sim.os(), Path::new(DATA), &place, watch).unwrap();
    for _ in 0..20 {
        world.work(&node);
        node.log.commit_pending().unwrap();
        while node.shipper.step().unwrap() {}
        sim.clock.advance_ms(4_000);
        assert!(!standby.turn().unwrap(), "the other one is not silent");
    }
    // It has nothing to write, and shows that it is there.
    for _ in 0..5 {
        node.shipper.beat().unwrap();
        sim.clock.advance_ms(4_000);
        assert!(!standby.turn().unwrap());
    }
    world.work(&node);
    node.log.commit_pending().unwrap();
    os::Disk::create(&*sim.disk, &Path::new(DATA).join(TAKEOVER_FILE), 0).unwrap();
    assert!(standby.turn().unwrap());
    assert!(matches!(node.shipper.step(), Err(RemoteError::Fenced(_))));
    let taker = SimNode::open(&sim, &world.store, &settings()).unwrap();
    assert_eq!(taker.epoch, node.epoch + 2);
    assert!(!os::Disk::exists(&*sim.disk, &Path::new(DATA).join(TAKEOVER_FILE)).unwrap());
}

#[test]
fn an_idle_node_finds_that_it_was_taken_over() {
    let mut world = World::new(3);
    let mut node = SimNode::open(&SimOs::new(3), &world.store, &settings()).unwrap();
    node.create_topics();
    while node.shipper.step().unwrap() {}
    let follower = follow(&world, 4);
    take_over(&mut world, follower);
    assert!(matches!(node.shipper.beat(), Err(RemoteError::Fenced(_))));
    // Nor does it come back by a start.
    let sim = node.sim.clone();
    drop(node);
    let again = SimNode::open(&sim, &world.store, &settings()).err().unwrap();
    assert!(matches!(again, RemoteError::Fenced(_)), "{again}");
}

#[test]
fn a_store_without_conditions_is_refused() {
    let store = Memory::new(5);
    store.keep_no_conditions();
    let refused = SimNode::open(&SimOs::new(5), &store, &settings()).err().unwrap();
    assert!(refused.to_string().contains("has the condition that it is not"), "{refused}");
}

#[test]
fn a_store_that_is_away_holds_up_remote_topics_alone() {
    let mut world = World::new(6);
    let mut node = SimNode::open(&SimOs::new(6), &world.store, &settings()).unwrap();
    node.create_topics();
    while node.shipper.step().unwrap() {}
    world.store.go_away(true);
    for topic in [0, 1] {
        let lsn = node.append(topic, 7).unwrap();
        world.model.insert(lsn.0, (topic, 7));
    }
    node.log.commit_pending().unwrap();
    assert!(node.shipper.step().is_err());
    node.sim.clock.advance_ms(3_000);
    let remote = node.log.metrics().remote.unwrap();
    assert!(remote.lag_bytes > 0 && remote.lag_ms >= 3_000, "{remote:?}");
    assert_eq!((node.values(0), node.values(1)), (vec![], vec![7]));
    world.store.go_away(false);
    while node.shipper.step().unwrap() {}
    assert_eq!((node.values(0), node.values(1)), (vec![7], vec![7]));
    let remote = node.log.metrics().remote.unwrap();
    assert_eq!((remote.lag_bytes, remote.lag_ms), (0, 0));
}
