//! The machine of consumer groups by itself: the assignors, and random runs in which no partition ever has two owners.

use super::assignors::Candidate;
use super::*;
use crate::group::{ClientIdentity, JoinEvent, Protocol};
use crate::state::groups::{GroupChange, Groups};
use base::TopicId;
use kafka_wire::consumer_protocol::{decode_assignment, encode_subscription};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::ConsumerProtocolSubscription;
use kafka_wire::messages::consumer_protocol_subscription::TopicPartition;
use os::sim::SplitMix;
use std::collections::{BTreeMap, BTreeSet};

/// Indexes and percentages from a seed.
struct Random(SplitMix);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Default)]
struct Catalog {
    topics: BTreeMap<String, (TopicId, u32)>,
    version: u64,
}

impl Catalog {
    fn set(&mut self, name: &str, id: u8, partitions: u32) {
        self.topics.insert(name.into(), (TopicId([id; 16]), partitions));
        self.version += 1;
    }
}

impl Topics for Catalog {
    fn find(&self, name: &str) -> Option<(TopicId, u32)> {
        self.topics.get(name).copied()
    }

    fn name_of(&self, id: TopicId) -> Option<String> {
        self.topics.iter().find(|(_, (known, _))| *known == id).map(|(name, _)| name.clone())
    }

    fn names(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn candidates<'a>(members: &'a [(&'a str, Vec<u8>, Partitions)]) -> Vec<Candidate<'a>> {
    members
        .iter()
        .map(|(id, topics, before)| Candidate {
            member_id: id,
            instance_id: None,
            topics: topics.iter().map(|id| TopicId([*id; 16])).collect(),
            before,
        })
        .collect()
}

fn partitions(given: &[(u8, &[i32])]) -> Partitions {
    given.iter().map(|(id, ones)| (TopicId([*id; 16]), ones.iter().copied().collect())).collect()
}

fn sizes(given: &[(u8, u32)]) -> BTreeMap<TopicId, u32> {
    given.iter().map(|(id, size)| (TopicId([*id; 16]), *size)).collect()
}

#[test]
fn range_gives_neighbours_and_the_same_ones_of_topics_of_the_same_size() {
    let sizes = sizes(&[(1, 5), (2, 5)]);
    let members = [("b", vec![1, 2], Partitions::new()), ("a", vec![1, 2], Partitions::new())];
    let given = Assignor::Range.assign(&candidates(&members), &sizes);
    assert_eq!(given[1], partitions(&[(1, &[0, 1, 2]), (2, &[0, 1, 2])]));
    assert_eq!(given[0], partitions(&[(1, &[3, 4]), (2, &[3, 4])]));
    // A new member comes behind those that are there, whatever its id: they keep the beginnings of what they have.
    let members = [
        ("0", vec![1, 2], Partitions::new()),
        ("a", vec![1, 2], given[1].clone()),
        ("b", vec![1, 2], given[0].clone()),
    ];
    let again = Assignor::Range.assign(&candidates(&members), &sizes);
    assert_eq!(again[1], partitions(&[(1, &[0, 1]), (2, &[0, 1])]));
    assert_eq!(again[2], partitions(&[(1, &[2, 3]), (2, &[2, 3])]));
    assert_eq!(again[0], partitions(&[(1, &[4]), (2, &[4])]));
}

#[test]
fn uniform_moves_no_more_than_balance_asks_for() {
    let sizes = sizes(&[(1, 6)]);
    let members = [("a", vec![1], Partitions::new()), ("b", vec![1], Partitions::new())];
    let two = Assignor::Uniform.assign(&candidates(&members), &sizes);
    assert_eq!(two, [partitions(&[(1, &[0, 2, 4])]), partitions(&[(1, &[1, 3, 5])])]);
    let members =
        [("a", vec![1], two[0].clone()), ("b", vec![1], two[1].clone()), ("c", vec![1], Partitions::new())];
    let three = Assignor::Uniform.assign(&candidates(&members), &sizes);
    assert_eq!(
        three,
        [partitions(&[(1, &[0, 2])]), partitions(&[(1, &[1, 3])]), partitions(&[(1, &[4, 5])])]
    );
    // One leaves: the others keep all of theirs.
    let members = [("a", vec![1], three[0].clone()), ("c", vec![1], three[2].clone())];
    let left = Assignor::Uniform.assign(&candidates(&members), &sizes);
    assert_eq!(left, [partitions(&[(1, &[0, 1, 2])]), partitions(&[(1, &[3, 4, 5])])]);
}

/// Whatever the members subscribe to and had before: every partition that somebody may have is given once, to one who
/// may have it, and no partition can move from one member to another so that the two come nearer to each other.
#[test]
fn assignments_are_whole_disjoint_and_balanced() {
    for seed in 0..1_000 {
        let mut random = Random(SplitMix(seed));
        let sizes: BTreeMap<TopicId, u32> =
            (0..1 + random.below(4)).map(|id| (TopicId([id as u8; 16]), random.below(7) as u32)).collect();
        let ids: Vec<String> = (0..1 + random.below(5)).map(|id| format!("m{id}")).collect();
        let same = random.chance(40);
        let subscription = |random: &mut Random| {
            sizes.keys().copied().filter(|_| same || random.chance(60)).collect::<BTreeSet<_>>()
        };
        let mut before: Vec<Partitions> = ids
            .iter()
            .map(|_| {
                let mut had = Partitions::new();
                for (topic, size) in &sizes {
                    // One partition too many: it no longer exists.
                    let ones: BTreeSet<i32> = (0..=*size as i32).filter(|_| random.chance(30)).collect();
                    if !ones.is_empty() {
                        had.insert(*topic, ones);
                    }
                }
                had
            })
            .collect();
        for assignor in [Assignor::Uniform, Assignor::Range] {
            let candidates: Vec<Candidate<'_>> = ids
                .iter()
                .zip(&before)
                .map(|(member_id, before)| Candidate {
                    member_id,
                    instance_id: None,
                    topics: subscription(&mut random),
                    before,
                })
                .collect();
            let given = assignor.assign(&candidates, &sizes);
            let mut owners: BTreeMap<(TopicId, i32), usize> = BTreeMap::new();
            for (index, partitions) in given.iter().enumerate() {
                for (topic, ones) in partitions {
                    assert!(candidates[index].topics.contains(topic), "seed {seed}");
                    for one in ones {
                        assert!(owners.insert((*topic, *one), index).is_none(), "seed {seed}: given twice");
                    }
                }
            }
            let wanted: usize = sizes
                .iter()
                .filter(|(topic, _)| candidates.iter().any(|candidate| candidate.topics.contains(*topic)))
                .map(|(_, size)| *size as usize)
                .sum();
            assert_eq!(owners.len(), wanted, "seed {seed}");
            if assignor == Assignor::Uniform {
                let count = |index: usize| owners.values().filter(|owner| **owner == index).count();
                for ((topic, _), owner) in &owners {
                    for (other, candidate) in candidates.iter().enumerate() {
                        let may = candidate.topics.contains(topic);
                        assert!(!may || count(*owner) <= count(other) + 1, "seed {seed}: {given:?}");
                    }
                }
                // Asked again with what it gave, it gives the same.
                let again: Vec<Candidate<'_>> = candidates
                    .iter()
                    .zip(&given)
                    .map(|(candidate, before)| Candidate { before, ..candidate.clone() })
                    .collect();
                assert_eq!(assignor.assign(&again, &sizes), given, "seed {seed}");
            }
            before = given;
        }
    }
}

/// A client as it behaves: it owns what it was told to, gives up what it was told to, and knows its epoch.
#[derive(Debug, Clone, Default)]
struct Client {
    id: String,
    instance: Option<String>,
    epoch: i32,
    topics: BTreeSet<String>,
    pattern: Option<String>,
    owned: Partitions,
    is_classic: bool,
    /// A classic member that has joined has to fetch its assignment.
    has_to_sync: bool,
    /// Says everything in its next heartbeat: it changed its subscription, or its last answer got lost.
    says_all: bool,
}

struct Run {
    random: Random,
    catalog: Catalog,
    groups: Groups,
    clients: Vec<Client>,
    seen: Option<u64>,
    next_id: usize,
    next_topic: u8,
    story: Vec<String>,
}

const GROUP: &str = "g";

impl Run {
    fn new(seed: u64) -> Run {
        let mut catalog = Catalog::default();
        catalog.set("ta", 1, 3);
        catalog.set("tb", 2, 4);
        Run {
            random: Random(SplitMix(seed)),
            catalog,
            groups: Groups::default(),
            clients: Vec::new(),
            seen: None,
            next_id: 0,
            next_topic: 10,
            story: Vec::new(),
        }
    }

    fn known(&self) -> (ConsumerGroup, Owners) {
        self.groups
            .consumer(GROUP)
            .map(|known| (known.group.clone(), known.owners.clone()))
            .unwrap_or_default()
    }

    fn decide<R, X>(&mut self, decide: impl FnOnce(&mut Decision<'_>) -> Result<R, X>) -> Result<R, X> {
        let (group, owners) = self.known();
        let exists = self.groups.consumer(GROUP).is_some();
        let world = World {
            topics: &self.catalog,
            may_see: &|_| true,
            members_max: 100,
            default_assignor: Assignor::Uniform,
            topics_changed: self.seen != Some(self.catalog.version),
            may_assign: self.random.chance(70),
            patterns_are_old: false,
        };
        let mut decision = Decision::new(group.clone(), &owners, &world);
        let result = decide(&mut decision)?;
        let (after, looked) = decision.finish();
        if looked {
            self.seen = Some(self.catalog.version);
        }
        for change in changes(exists.then_some(&group), &after) {
            // Through the log's form.
            let change = GroupChange::Consumer { group: GROUP.into(), change };
            let read = GroupChange::decode(&change.encode()).unwrap();
            assert_eq!(read, change);
            self.groups.apply(read);
        }
        assert_eq!(self.groups.consumer(GROUP).unwrap().group, after, "{:#?}", self.story);
        Ok(result)
    }

    /// Everything is read back as after a crash; what is soft is gone.
    fn restart(&mut self) {
        let mut state = crate::state::BrokerState { groups: self.groups.clone(), ..Default::default() };
        let mut bytes = Vec::new();
        state.checkpoint(&mut bytes);
        state = crate::state::BrokerState::restore(Some(&bytes)).unwrap();
        assert_eq!(state.groups, self.groups);
        self.groups = state.groups;
        self.seen = None;
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..12 if self.clients.len() < 5 => self.arrive(),
            12..16 if !self.clients.is_empty() => self.die(),
            16..20 if !self.clients.is_empty() => self.leave(),
            20..24 => {
                let name = ["ta", "tb", "tc", "td"][self.random.below(4)];
                if self.random.chance(70) {
                    // A topic that comes back is another one.
                    self.next_topic += 1;
                    let (id, partitions) =
                        self.catalog.find(name).unwrap_or((TopicId([self.next_topic; 16]), 0));
                    self.catalog.set(name, id.0[0], (partitions + 1).min(7));
                } else if self.catalog.topics.remove(name).is_some() {
                    self.catalog.version += 1;
                }
            }
            24..26 => self.restart(),
            26..32 if !self.clients.is_empty() => {
                let index = self.random.below(self.clients.len());
                let (topics, pattern) = self.subscription();
                let client = &mut self.clients[index];
                client.topics = topics;
                client.pattern = if client.is_classic { None } else { pattern };
                client.says_all = true;
            }
            _ if !self.clients.is_empty() => {
                let index = self.random.below(self.clients.len());
                self.beat(index, 10);
            }
            _ => {}
        }
        self.check();
    }

    fn subscription(&mut self) -> (BTreeSet<String>, Option<String>) {
        let names = ["ta", "tb", "tc", "td"];
        let topics =
            names.into_iter().filter(|_| self.random.chance(60)).map(str::to_string).collect::<BTreeSet<_>>();
        let pattern =
            self.random.chance(20).then(|| ["t.", "t[ab]", "nothing"][self.random.below(3)].to_string());
        (topics, pattern)
    }

    fn arrive(&mut self) {
        self.next_id += 1;
        let (topics, pattern) = self.subscription();
        let is_classic = self.random.chance(30);
        let client = Client {
            id: format!("m{:03}", self.next_id),
            instance: (!is_classic && self.random.chance(20)).then(|| format!("i{}", self.next_id)),
            topics,
            pattern: if is_classic { None } else { pattern },
            is_classic,
            ..Client::default()
        };
        self.clients.push(client);
        self.beat(self.clients.len() - 1, 0);
    }

    /// The client is gone, and its session runs out.
    fn die(&mut self) {
        let index = self.random.below(self.clients.len());
        let client = self.clients.remove(index);
        self.story.push(format!("{} dies", client.id));
        if self.groups.consumer(GROUP).is_some() {
            let remove = |decision: &mut Decision<'_>| {
                decision.remove(std::slice::from_ref(&client.id));
                Ok::<_, E>(())
            };
            self.decide(remove).unwrap();
        }
    }

    /// The client goes and says so; a static one comes back under another id.
    fn leave(&mut self) {
        let index = self.random.below(self.clients.len());
        if self.clients[index].epoch == 0 {
            return;
        }
        let client = self.clients.remove(index);
        self.story.push(format!("{} leaves", client.id));
        let epoch = if client.instance.is_some() { LEFT_STATIC_EPOCH } else { LEFT_EPOCH };
        let left =
            self.decide(|decision| decision.leave(GROUP, &client.id, client.instance.as_deref(), epoch));
        if left.is_ok() && client.instance.is_some() {
            self.next_id += 1;
            let id = format!("m{:03}", self.next_id);
            self.clients.push(Client { id, epoch: 0, owned: Partitions::new(), ..client });
            self.beat(self.clients.len() - 1, 0);
        }
    }

    fn beat(&mut self, index: usize, lost_percent: usize) {
        if self.clients[index].is_classic {
            self.classic_turn(index);
        } else {
            self.consumer_turn(index, lost_percent);
        }
    }

    fn consumer_turn(&mut self, index: usize, lost_percent: usize) {
        let client = self.clients[index].clone();
        let all = client.epoch == 0 || client.says_all;
        let beat = Heartbeat {
            member_id: client.id.clone(),
            epoch: client.epoch,
            instance_id: client.instance.clone(),
            rebalance_timeout_ms: if all { 1_000 } else { -1 },
            topics: all.then(|| client.topics.clone()),
            pattern: all.then(|| client.pattern.clone().unwrap_or_default()),
            owned: Some(client.owned.clone()),
            ..Heartbeat::default()
        };
        let result = self.decide(|decision| decision.heartbeat(GROUP, &beat));
        let lost = self.random.chance(lost_percent);
        self.story.push(format!("{beat:?} -> {result:?} lost={lost}"));
        let client = &mut self.clients[index];
        match result {
            _ if lost => client.says_all = true,
            Ok(answer) => {
                client.says_all = false;
                client.epoch = answer.epoch;
                if let Some(assignment) = answer.assignment {
                    client.owned = assignment;
                }
            }
            Err(error) => {
                assert!(
                    matches!(error.code, E::FencedMemberEpoch | E::UnknownMemberId | E::UnreleasedInstanceId),
                    "{error:?} {:#?}",
                    self.story
                );
                client.owned.clear();
                client.epoch = 0;
            }
        }
    }

    fn classic_turn(&mut self, index: usize) {
        let (group, owners) = self.known();
        let client = self.clients[index].clone();
        let joins = client.epoch == 0 || client.says_all;
        if !joins && client.has_to_sync {
            let sync = crate::group::SyncEvent {
                group: GROUP.into(),
                generation: client.epoch,
                member_id: client.id.clone(),
                instance_id: None,
                protocol_type: Some(CONSUMER.into()),
                protocol_name: Some("cooperative".into()),
                assignments: Vec::new(),
            };
            let synced = sync_classic(&group, &sync, &self.catalog);
            self.story.push(format!("{} syncs: {synced:?}", client.id));
            let client = &mut self.clients[index];
            match synced {
                Ok(reply) => {
                    client.has_to_sync = false;
                    client.owned = Partitions::new();
                    for topic in decode_assignment(reply.assignment).unwrap().assigned_partitions {
                        let (id, _) = self.catalog.find(&topic.topic).unwrap();
                        client.owned.insert(id, topic.partitions.into_iter().collect());
                    }
                    // A cooperative member joins again when it has given something up; the heartbeat says so too.
                }
                Err(E::RebalanceInProgress) => client.says_all = true,
                Err(E::UnknownMemberId | E::IllegalGeneration) => {
                    client.owned.clear();
                    client.epoch = 0;
                }
                Err(other) => panic!("{other:?} {:#?}", self.story),
            }
            return;
        }
        if !joins {
            let beat = ClassicBeat {
                member_id: &client.id,
                instance_id: None,
                generation: client.epoch,
                topics_changed: self.seen != Some(self.catalog.version),
            };
            let beat = heartbeat_classic(&group, &owners, &self.catalog, &beat);
            self.story.push(format!("{} beats: {beat:?}", client.id));
            let client = &mut self.clients[index];
            match beat {
                Ok(()) => return,
                Err(E::RebalanceInProgress) => client.says_all = true,
                Err(_) => {
                    client.owned.clear();
                    client.epoch = 0;
                }
            }
        }
        let client = self.clients[index].clone();
        let owned_partitions = client
            .owned
            .iter()
            .filter_map(|(id, ones)| {
                let topic = self.catalog.name_of(*id)?;
                Some(TopicPartition { topic, partitions: ones.iter().copied().collect() })
            })
            .collect();
        let subscription = ConsumerProtocolSubscription {
            topics: client.topics.iter().cloned().collect(),
            owned_partitions,
            ..Default::default()
        };
        let metadata = encode_subscription(&subscription, 3).unwrap();
        let join = JoinEvent {
            group: GROUP.into(),
            member_id: client.id.clone(),
            instance_id: None,
            fresh_member_id: "unused".into(),
            client: ClientIdentity::default(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 1_000,
            protocol_type: CONSUMER.into(),
            protocols: vec![Protocol { name: "cooperative".into(), metadata }],
            require_known_member_id: true,
            supports_skipping_assignment: true,
        };
        if self.groups.consumer(GROUP).is_none() {
            return;
        }
        let joined = self.decide(|decision| decision.join_classic(&join, false));
        self.story.push(format!("{} joins: {joined:?}", client.id));
        let (reply, _) = joined.unwrap();
        let client = &mut self.clients[index];
        client.epoch = reply.generation;
        client.has_to_sync = true;
        client.says_all = false;
    }

    /// No partition is owned by two, neither as the clients see it nor as the group does.
    fn check(&self) {
        let mut owners: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
        for client in &self.clients {
            for (topic, ones) in &client.owned {
                for one in ones {
                    if let Some(other) = owners.insert((*topic, *one), &client.id) {
                        panic!("{one} is owned by {other} and {}: {:#?}", client.id, self.story);
                    }
                }
            }
        }
        let (group, known) = self.known();
        let mut held: BTreeSet<(TopicId, i32)> = BTreeSet::new();
        for (id, member) in &group.members {
            assert!(member.current.epoch <= group.target_epoch && group.target_epoch <= group.epoch);
            for (topic, ones) in member.current.assigned.iter().chain(&member.current.revoking) {
                for one in ones.keys() {
                    assert!(held.insert((*topic, *one)), "{one} has two owners: {:#?}", self.story);
                    assert_eq!(known.owner(*topic, *one), Some(id.as_str()), "{:#?}", self.story);
                }
            }
        }
        assert_eq!(Owners::of(&group), known, "{:#?}", self.story);
    }

    /// Nothing happens any more but heartbeats: in the end everybody has what it is meant to have, and all of it.
    fn settle(&mut self) {
        for _ in 0..60 {
            for index in 0..self.clients.len() {
                self.beat(index, 0);
                self.check();
            }
        }
        let (group, _) = self.known();
        if self.clients.is_empty() {
            return;
        }
        if group.members.is_empty() {
            assert!(self.clients.iter().all(|client| client.is_classic), "{:#?}", self.story);
            return;
        }
        assert_eq!(group.state(), "Stable", "{:#?} {group:#?}", self.story);
        let mut owned: BTreeSet<(TopicId, i32)> = BTreeSet::new();
        for client in &self.clients {
            assert_eq!(client.epoch, group.epoch, "{:#?}", self.story);
            owned.extend(client.owned.iter().flat_map(|(id, ones)| ones.iter().map(|one| (*id, *one))));
        }
        let mut wanted: BTreeSet<(TopicId, i32)> = BTreeSet::new();
        for (name, (id, partitions)) in &self.catalog.topics {
            if group.is_subscribed(name) {
                wanted.extend((0..*partitions as i32).map(|one| (*id, one)));
            }
        }
        assert_eq!(owned, wanted, "{:#?} {:?} {:?}", self.story, self.clients, group);
    }
}

#[test]
fn no_partition_has_two_owners_and_in_the_end_all_are_owned() {
    for seed in 0..150 {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            run.step();
        }
        run.settle();
    }
}

#[test]
fn no_damage_to_the_records_of_groups_goes_unnoticed_or_does_harm() {
    let mut run = Run::new(3);
    for _ in 0..200 {
        run.step();
    }
    let (group, _) = run.known();
    for change in changes(None, &group) {
        let bytes = GroupChange::Consumer { group: GROUP.into(), change }.encode();
        for length in 0..bytes.len() {
            assert!(GroupChange::decode(&bytes[..length]).is_err());
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0xff;
            // Whatever it says now: it is read without harm.
            if let Ok(change) = GroupChange::decode(&damaged) {
                Groups::default().apply(change);
            }
        }
    }
}
