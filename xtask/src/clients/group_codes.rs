//! The codes and the words with which groups refuse, both protocols of them: no client library shows them all.
//! `cargo xtask clients group-codes` runs it, and `--kafka` shows that Kafka says the same.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use kafka_client::{Client, ClientOptions, Connection};
use kafka_wire::ErrorCode as E;
use kafka_wire::consumer_protocol::encode_subscription;
use kafka_wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::messages::leave_group_request::MemberIdentity;
use kafka_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_wire::messages::*;

use crate::counts::Counts;

/// What a member waits for comes with its next heartbeats.
const LIMIT: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(100);

struct Codes {
    connection: Connection,
    topic: String,
    topic_id: [u8; 16],
    group: String,
    counts: Counts,
}

type Beat = ConsumerGroupHeartbeatRequest;

/// Asks for everything that is refused, and counts what is refused as it should be.
pub fn run(bootstrap: &str) -> Result<Counts> {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let topic = format!("group-codes-{unique}");
    Client::connect(bootstrap, "codes")?.create_topic(&topic, 4, 1, &[])?;
    let mut connection = Connection::open(bootstrap, &ClientOptions::new("codes"))?;
    let wanted = metadata_request::MetadataRequestTopic { name: Some(topic.clone()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
    let topic_id = connection.call_version(&request, 12)?.topics[0].topic_id;
    let group = format!("group-codes-{unique}");
    let mut codes = Codes { connection, topic, topic_id, group, counts: Counts::default() };
    codes.ready()?;
    codes.requests()?;
    codes.one_member()?;
    codes.commits()?;
    codes.static_members()?;
    codes.descriptions()?;
    codes.classic_members()?;
    codes.older_epochs()?;
    codes.empty()?;
    codes.other_classic_groups()?;
    codes.configurations()?;
    Ok(codes.counts)
}

impl Codes {
    fn equal(&mut self, what: &str, code: E, wanted: E) {
        self.said(what, (code, None), wanted, None);
    }

    /// Where words are wanted, they have to be the same.
    fn said(
        &mut self,
        what: &str,
        (code, words): (E, Option<String>),
        wanted: E,
        wanted_words: Option<&str>,
    ) {
        if code == wanted && (wanted_words.is_none() || words.as_deref() == wanted_words) {
            self.counts.pass();
            println!("ok {what}: {code}");
        } else {
            let (words, wanted_words) = (words.unwrap_or_default(), wanted_words.unwrap_or_default());
            self.counts.fail(format!("FAILED {what}: {code} '{words}', wanted {wanted} '{wanted_words}'"));
        }
    }

    /// Kafka's coordinator may still be loading when the first request comes.
    fn ready(&mut self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        loop {
            // Kafka makes the topic of its groups when somebody looks for a coordinator.
            let request =
                FindCoordinatorRequest { coordinator_keys: vec![self.group.clone()], ..Default::default() };
            self.connection.call_version(&request, 4)?;
            let code = self.beat(&self.alive("nobody", 1))?.0;
            let loading = [E::CoordinatorLoadInProgress, E::NotCoordinator, E::CoordinatorNotAvailable];
            if !loading.contains(&code) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the coordinator says {code} for {LIMIT:?}");
            }
            std::thread::sleep(BETWEEN);
        }
    }

    fn alive(&self, member: &str, epoch: i32) -> Beat {
        Beat {
            group_id: self.group.clone(),
            member_id: member.into(),
            member_epoch: epoch,
            ..Default::default()
        }
    }

    fn joining(&self, member: &str) -> Beat {
        Beat {
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![self.topic.clone()]),
            topic_partitions: Some(Vec::new()),
            ..self.alive(member, 0)
        }
    }

    fn beat(&mut self, request: &Beat) -> Result<(E, Option<String>, ConsumerGroupHeartbeatResponse)> {
        let answer = self.connection.call_version(request, 1)?;
        Ok((error_of(answer.error_code)?, answer.error_message.clone(), answer))
    }

    fn refused(&mut self, what: &str, request: &Beat, wanted: E, words: &str) -> Result<()> {
        let (code, said, _) = self.beat(request)?;
        self.said(what, (code, said), wanted, Some(words));
        Ok(())
    }

    /// Beats until `is_there`, giving up and taking what it is told, and answers the member's epoch.
    fn until(&mut self, member: &str, epoch: i32, is_there: impl Fn(i32, &[i32]) -> bool) -> Result<i32> {
        let end = Instant::now() + LIMIT;
        let mut epoch = epoch;
        let mut owned: Vec<i32> = Vec::new();
        while Instant::now() < end {
            let mut topic_partitions = Vec::new();
            if !owned.is_empty() {
                topic_partitions.push(TopicPartitions { topic_id: self.topic_id, partitions: owned.clone() });
            }
            // It says everything each time, so that it is told everything.
            let request = Beat {
                topic_partitions: Some(topic_partitions),
                member_epoch: epoch,
                ..self.joining(member)
            };
            let (code, words, answer) = self.beat(&request)?;
            if code != E::None {
                bail!("{member} is refused while it waits: {code} {words:?}");
            }
            epoch = answer.member_epoch;
            if let Some(assignment) = answer.assignment {
                owned = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
            }
            if is_there(epoch, &owned) {
                return Ok(epoch);
            }
            std::thread::sleep(BETWEEN);
        }
        bail!("{member} did not get there within {LIMIT:?}: epoch {epoch}, partitions {owned:?}")
    }

    fn requests(&mut self) -> Result<()> {
        let invalid = E::InvalidRequest;
        let first = self.joining("a");
        let cases = [
            ("no member id", Beat { member_id: String::new(), ..first.clone() }, "MemberId can't be empty."),
            ("no group id", Beat { group_id: String::new(), ..first.clone() }, "GroupId can't be empty."),
            (
                "an empty instance id",
                Beat { instance_id: Some(String::new()), ..first.clone() },
                "InstanceId can't be empty.",
            ),
            (
                "an empty rack id",
                Beat { rack_id: Some(String::new()), ..first.clone() },
                "RackId can't be empty.",
            ),
            (
                "no rebalance time-out",
                Beat { rebalance_timeout_ms: -1, ..first.clone() },
                "RebalanceTimeoutMs must be provided in first request.",
            ),
            (
                "partitions unknown",
                Beat { topic_partitions: None, ..first.clone() },
                "TopicPartitions must be empty when (re-)joining.",
            ),
            (
                "no subscription",
                Beat { subscribed_topic_names: None, ..first.clone() },
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            ),
            ("a dynamic member that is away", self.alive("a", -2), "InstanceId can't be null."),
            ("epoch -3", self.alive("a", -3), "MemberEpoch is invalid."),
        ];
        for (what, request, words) in cases {
            self.refused(what, &request, invalid, words)?;
        }
        let request = Beat { server_assignor: Some("best".into()), ..first.clone() };
        let words = "ServerAssignor best is not supported. Supported assignors: uniform, range.";
        self.refused("an unknown assignor", &request, E::UnsupportedAssignor, words)?;
        let request = Beat { subscribed_topic_regex: Some("(".into()), ..first };
        let code = self.beat(&request)?.0;
        self.equal("a pattern that is none", code, E::InvalidRegularExpression);
        let words = format!("Consumer group {} not found.", self.group);
        self.refused("a member of a group that is not there", &self.alive("a", 1), E::GroupIdNotFound, &words)
    }

    fn one_member(&mut self) -> Result<()> {
        let first = self.joining("a");
        let (code, _, answer) = self.beat(&first)?;
        self.equal("the first member", code, E::None);
        let epoch = self.until("a", answer.member_epoch, |_, owned| owned.len() == 4)?;
        let words = format!("Member x is not a member of group {}.", self.group);
        self.refused("an unknown member", &self.alive("x", 1), E::UnknownMemberId, &words)?;
        self.refused("an unknown member that leaves", &self.alive("x", -1), E::UnknownMemberId, &words)?;
        let words = format!(
            "The consumer group member has a greater member epoch ({}) than the one known by the group coordinator \
             ({epoch}). The member must abandon all its partitions and rejoin.",
            epoch + 1
        );
        self.refused("a greater epoch", &self.alive("a", epoch + 1), E::FencedMemberEpoch, &words)?;
        let (code, _, answer) = self.beat(&first)?;
        self.equal("the same member joins again", code, E::None);
        if answer.member_epoch != epoch || answer.assignment.is_none() {
            bail!("joining again told {answer:?}, not epoch {epoch} with all partitions");
        }
        Ok(())
    }

    fn commit(&mut self, member: &str, epoch: i32, partition: i32, version: i16) -> Result<E> {
        self.commit_of(&self.group.clone(), member, epoch, partition, version)
    }

    fn commit_of(
        &mut self,
        group: &str,
        member: &str,
        epoch: i32,
        partition: i32,
        version: i16,
    ) -> Result<E> {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: 3,
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: self.topic.clone(),
            topic_id: self.topic_id,
            partitions: vec![partition],
        };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: epoch,
            member_id: member.into(),
            topics: vec![topic],
            ..Default::default()
        };
        error_of(self.connection.call_version(&request, version)?.topics[0].partitions[0].error_code)
    }

    fn fetch(&mut self, member: Option<&str>, epoch: i32) -> Result<E> {
        let topics = vec![OffsetFetchRequestTopics {
            name: self.topic.clone(),
            partition_indexes: vec![0],
            ..Default::default()
        }];
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone(),
            member_id: member.map(str::to_string),
            member_epoch: epoch,
            topics: Some(topics),
        };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        error_of(self.connection.call_version(&request, 9)?.groups[0].error_code)
    }

    fn commits(&mut self) -> Result<()> {
        let epoch = self.epoch_of("a")?;
        for version in [9, 10] {
            let code = self.commit("a", epoch, 0, version)?;
            self.equal(&format!("OffsetCommit {version} of a member"), code, E::None);
            let code = self.commit("a", epoch + 1, 0, version)?;
            self.equal(&format!("OffsetCommit {version} with a greater epoch"), code, E::StaleMemberEpoch);
            let code = self.commit("x", epoch, 0, version)?;
            self.equal(&format!("OffsetCommit {version} of an unknown member"), code, E::UnknownMemberId);
            let code = self.commit("", -1, 0, version)?;
            self.equal(&format!("OffsetCommit {version} without a member"), code, E::UnknownMemberId);
        }
        let code = self.commit("a", epoch, 0, 8)?;
        self.equal("OffsetCommit 8 of a member", code, E::UnsupportedVersion);
        let none = format!("{}-none", self.group);
        for (version, wanted) in [(8, E::IllegalGeneration), (9, E::GroupIdNotFound)] {
            let code = self.commit_of(&none, "a", 1, 0, version)?;
            self.equal(&format!("OffsetCommit {version} in a group that is not there"), code, wanted);
        }
        for (what, member, epoch, wanted) in [
            ("of a member", Some("a"), epoch, E::None),
            ("with a greater epoch", Some("a"), epoch + 1, E::StaleMemberEpoch),
            ("with a smaller epoch", Some("a"), epoch - 1, E::StaleMemberEpoch),
            ("of an unknown member", Some("x"), epoch, E::UnknownMemberId),
            ("without a member", None, -1, E::None),
        ] {
            let code = self.fetch(member, epoch)?;
            self.equal(&format!("OffsetFetch 9 {what}"), code, wanted);
        }
        self.transactional_commits(epoch)
    }

    fn transactional_commits(&mut self, epoch: i32) -> Result<()> {
        let id = self.group.clone();
        let request = InitProducerIdRequest {
            transactional_id: Some(id.clone()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let end = Instant::now() + LIMIT;
        let producer = loop {
            let key_type = 1;
            let coordinator =
                FindCoordinatorRequest { coordinator_keys: vec![id.clone()], key_type, ..Default::default() };
            self.connection.call_version(&coordinator, 4)?;
            let answer = self.connection.call_version(&request, 4)?;
            match error_of(answer.error_code)? {
                E::None => break answer,
                other if Instant::now() > end => bail!("InitProducerId says {other} for {LIMIT:?}"),
                _ => std::thread::sleep(BETWEEN),
            }
        };
        for (what, member, generation, wanted) in [
            ("of a member", "a", epoch, E::None),
            ("without a member", "", -1, E::None),
            ("with a greater epoch", "a", epoch + 1, E::IllegalGeneration),
            ("of an unknown member", "x", epoch, E::UnknownMemberId),
        ] {
            let partition = TxnOffsetCommitRequestPartition { committed_offset: 1, ..Default::default() };
            let request = TxnOffsetCommitRequest {
                transactional_id: id.clone(),
                group_id: self.group.clone(),
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                generation_id_or_member_epoch: generation,
                member_id: member.into(),
                topics: vec![TxnOffsetCommitRequestTopic {
                    name: self.topic.clone(),
                    partitions: vec![partition],
                    ..Default::default()
                }],
                ..Default::default()
            };
            let answer = self.connection.call_version(&request, 5)?;
            let code = error_of(answer.topics[0].partitions[0].error_code)?;
            self.equal(&format!("TxnOffsetCommit 5 {what}"), code, wanted);
        }
        let request = EndTxnRequest {
            transactional_id: id,
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            committed: false,
        };
        let code = error_of(self.connection.call_version(&request, 5)?.error_code)?;
        self.equal("the transaction is aborted", code, E::None);
        Ok(())
    }

    fn described(&mut self, group: &str) -> Result<consumer_group_describe_response::DescribedGroup> {
        let request = ConsumerGroupDescribeRequest { group_ids: vec![group.into()], ..Default::default() };
        Ok(self.connection.call_version(&request, 1)?.groups.remove(0))
    }

    fn epoch_of(&mut self, member: &str) -> Result<i32> {
        let group = self.described(&self.group.clone())?;
        let found = group.members.iter().find(|one| one.member_id == member);
        Ok(found.with_context(|| format!("{member} is not in {group:?}"))?.member_epoch)
    }

    fn static_members(&mut self) -> Result<()> {
        let instance = |request: Beat| Beat { instance_id: Some("i".into()), ..request };
        let code = self.beat(&instance(self.joining("s")))?.0;
        self.equal("a static member", code, E::None);
        let words = "Static member t with instance id i cannot join the group because the instance id is owned by s member.";
        self.refused(
            "a second one under its instance id",
            &instance(self.joining("t")),
            E::UnreleasedInstanceId,
            words,
        )?;
        let words = "Static member t with instance id i was fenced by member s.";
        self.refused(
            "another member under its instance id",
            &instance(self.alive("t", 1)),
            E::FencedInstanceId,
            words,
        )?;
        let request = Beat { instance_id: Some("j".into()), ..self.alive("s", 1) };
        self.refused("an unknown instance id", &request, E::UnknownMemberId, "Instance id j is unknown.")?;
        let (code, _, answer) = self.beat(&instance(self.alive("s", -2)))?;
        self.equal("it goes away", code, E::None);
        if answer.member_epoch != -2 {
            bail!("a static member that goes away is told {answer:?}");
        }
        let code = self.beat(&instance(self.joining("t")))?.0;
        self.equal("it comes back under another id", code, E::None);
        let request = instance(self.alive("s", 1));
        let words = "Static member s with instance id i was fenced by member t.";
        self.refused("its old id", &request, E::FencedInstanceId, words)?;
        let code = self.beat(&instance(self.alive("t", -1)))?.0;
        self.equal("it leaves for good", code, E::None);
        Ok(())
    }

    fn descriptions(&mut self) -> Result<()> {
        let group = self.group.clone();
        for (version, wanted, words) in [
            (5, E::None, None),
            (6, E::GroupIdNotFound, Some(format!("Group {group} is not a classic group."))),
        ] {
            let request = DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() };
            let answer = self.connection.call_version(&request, version)?.groups.remove(0);
            if answer.group_state != "Dead" {
                bail!("the state of a consumer group in DescribeGroups is {}", answer.group_state);
            }
            let said = (error_of(answer.error_code)?, answer.error_message);
            self.said(
                &format!("DescribeGroups {version} of a consumer group"),
                said,
                wanted,
                words.as_deref(),
            );
        }
        let none = format!("{group}-none");
        let answer = self.described(&none)?;
        let words = format!("Group {none} not found.");
        let said = (error_of(answer.error_code)?, answer.error_message);
        self.said("ConsumerGroupDescribe of no group", said, E::GroupIdNotFound, Some(&words));
        let listed = self.connection.call_version(&ListGroupsRequest::default(), 5)?;
        let found =
            listed.groups.iter().find(|one| one.group_id == group).context("the group is not listed")?;
        let (kind, protocol) = (found.group_type.to_lowercase(), found.protocol_type.clone());
        let is_right = (kind.as_str(), protocol.as_str()) == ("consumer", "consumer");
        self.equal(
            &format!("ListGroups: type {kind}, protocol type {protocol}"),
            if is_right { E::None } else { E::UnknownServerError },
            E::None,
        );
        let request = DeleteGroupsRequest { groups_names: vec![group.clone()] };
        let answer = error_of(self.connection.call_version(&request, 2)?.results[0].error_code)?;
        self.equal("DeleteGroups of a group with members", answer, E::NonEmptyGroup);
        let answer = self.delete_offset()?;
        self.equal("OffsetDelete of a topic that is subscribed to", answer, E::GroupSubscribedToTopic);
        Ok(())
    }

    fn delete_offset(&mut self) -> Result<E> {
        let partition = OffsetDeleteRequestPartition { partition_index: 0 };
        let topic = OffsetDeleteRequestTopic { name: self.topic.clone(), partitions: vec![partition] };
        let request = OffsetDeleteRequest { group_id: self.group.clone(), topics: vec![topic] };
        error_of(self.connection.call_version(&request, 0)?.topics[0].partitions[0].error_code)
    }

    fn classic_joining(&self, member: &str, name: &str) -> Result<JoinGroupRequest> {
        let subscription =
            ConsumerProtocolSubscription { topics: vec![self.topic.clone()], ..Default::default() };
        let metadata = encode_subscription(&subscription, 3)?;
        Ok(JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: member.into(),
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol { name: name.into(), metadata }],
            ..Default::default()
        })
    }

    fn syncing(&self, member: &str, generation: i32) -> SyncGroupRequest {
        SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: member.into(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            ..Default::default()
        }
    }

    fn classic_beat(&mut self, member: &str, generation: i32) -> Result<E> {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: member.into(),
            ..Default::default()
        };
        error_of(self.connection.call_version(&request, 4)?.error_code)
    }

    fn classic_members(&mut self) -> Result<()> {
        let request = self.classic_joining("", "range")?;
        let answer = self.connection.call_version(&request, 9)?;
        self.equal(
            "JoinGroup to a consumer group, without an id",
            error_of(answer.error_code)?,
            E::MemberIdRequired,
        );
        let member = answer.member_id;
        let answer = self.connection.call_version(&self.classic_joining(&member, "range")?, 9)?;
        self.equal("JoinGroup to a consumer group", error_of(answer.error_code)?, E::None);
        if !answer.leader.is_empty()
            || !answer.members.is_empty()
            || answer.protocol_name.as_deref() != Some("range")
        {
            bail!("a classic member is told {answer:?}");
        }
        let generation = answer.generation_id;
        let request = JoinGroupRequest { session_timeout_ms: 1, ..self.classic_joining("", "range")? };
        let refused = error_of(self.connection.call_version(&request, 9)?.error_code)?;
        self.equal("JoinGroup with too short a session", refused, E::InvalidSessionTimeout);
        let other = self.classic_joining("", "roundrobin")?;
        let refused = error_of(self.connection.call_version(&other, 9)?.error_code)?;
        self.equal("JoinGroup with another protocol", refused, E::InconsistentGroupProtocol);
        let connect =
            JoinGroupRequest { protocol_type: "connect".into(), ..self.classic_joining("", "range")? };
        let refused = error_of(self.connection.call_version(&connect, 9)?.error_code)?;
        self.equal("JoinGroup with another protocol type", refused, E::InconsistentGroupProtocol);
        let syncs = [
            ("of an unknown member", self.syncing("x", generation), E::UnknownMemberId),
            ("of a member of the other protocol", self.syncing("a", generation), E::UnknownMemberId),
            ("with another generation", self.syncing(&member, generation + 1), E::IllegalGeneration),
            (
                "with another protocol",
                SyncGroupRequest {
                    protocol_name: Some("roundrobin".into()),
                    ..self.syncing(&member, generation)
                },
                E::InconsistentGroupProtocol,
            ),
            (
                "with another protocol type",
                SyncGroupRequest {
                    protocol_type: Some("connect".into()),
                    ..self.syncing(&member, generation)
                },
                E::InconsistentGroupProtocol,
            ),
        ];
        for (what, request, wanted) in syncs {
            let refused = error_of(self.connection.call_version(&request, 5)?.error_code)?;
            self.equal(&format!("SyncGroup {what}"), refused, wanted);
        }
        for (what, member, generation, wanted) in [
            ("of an unknown member", "x", generation, E::UnknownMemberId),
            ("of a member of the other protocol", "a", generation, E::UnknownMemberId),
            ("with another generation", &member, generation + 1, E::IllegalGeneration),
        ] {
            let refused = self.classic_beat(member, generation)?;
            self.equal(&format!("Heartbeat {what}"), refused, wanted);
        }
        let code = self.commit(&member, generation + 1, 0, 8)?;
        self.equal("OffsetCommit 8 of a classic member with another generation", code, E::IllegalGeneration);
        // The groups' epochs have moved: the classic member has to come again, and gets its share then.
        let end = Instant::now() + LIMIT;
        let mut epoch = self.epoch_of("a")?;
        let mut generation = generation;
        loop {
            epoch = self.until("a", epoch, |_, _| true)?;
            if self.classic_beat(&member, generation)? == E::RebalanceInProgress {
                let answer = self.connection.call_version(&self.classic_joining(&member, "range")?, 9)?;
                generation = answer.generation_id;
            }
            let synced = self.connection.call_version(&self.syncing(&member, generation), 5)?;
            let described = self.described(&self.group.clone())?;
            if synced.error_code == 0 && described.group_state == "Stable" {
                break;
            }
            if Instant::now() > end {
                bail!("the group does not come to rest: {described:?}");
            }
            // What it is to keep, and no more, is what it has.
            let kept =
                described.members.iter().find(|one| one.member_id == "a").map(|one| &one.target_assignment);
            let kept = kept.into_iter().flat_map(|kept| &kept.topic_partitions);
            let owned = kept
                .map(|topic| TopicPartitions {
                    topic_id: topic.topic_id,
                    partitions: topic.partitions.clone(),
                })
                .collect();
            self.beat(&Beat { topic_partitions: Some(owned), ..self.alive("a", epoch) })?;
            epoch = self.epoch_of("a")?;
            std::thread::sleep(BETWEEN);
        }
        let members = self.described(&self.group.clone())?.members;
        let mut kinds: Vec<i8> = members.iter().map(|one| one.member_type).collect();
        kinds.sort_unstable();
        if kinds != [0, 1] {
            bail!("the kinds of members are {kinds:?}");
        }
        let leaving =
            ["x", member.as_str()].map(|id| MemberIdentity { member_id: id.into(), ..Default::default() });
        let request = LeaveGroupRequest {
            group_id: self.group.clone(),
            members: leaving.to_vec(),
            ..Default::default()
        };
        let answer = self.connection.call_version(&request, 5)?;
        self.equal("LeaveGroup", error_of(answer.error_code)?, E::None);
        for (what, index, wanted) in [("an unknown member", 0, E::UnknownMemberId), ("a member", 1, E::None)]
        {
            let code = error_of(answer.members[index].error_code)?;
            self.equal(&format!("LeaveGroup of {what}"), code, wanted);
        }
        Ok(())
    }

    /// KIP-1251: an older epoch will do for partitions that the member has had since.
    fn older_epochs(&mut self) -> Result<()> {
        // The others are gone: it gets all, and that is what it has at this epoch.
        let epoch = self.epoch_of("a")?;
        let before = self.until("a", epoch, |_, owned| owned.len() == 4)?;
        self.beat(&self.joining("b"))?;
        let epoch = self.until("a", before, |epoch, owned| epoch > before && owned.len() == 2)?;
        let described = self.described(&self.group.clone())?;
        let mine = described.members.iter().find(|one| one.member_id == "a").context("a is gone")?;
        let kept = mine.assignment.topic_partitions[0].partitions.clone();
        let lost = (0..4).find(|partition| !kept.contains(partition)).context("nothing was given up")?;
        let code = self.commit("a", before, kept[0], 9)?;
        self.equal("OffsetCommit with an older epoch of what it has had since", code, E::None);
        let code = self.commit("a", before, lost, 9)?;
        self.equal("OffsetCommit with an older epoch of what it has no more", code, E::StaleMemberEpoch);
        let code = self.commit("a", epoch, lost, 9)?;
        self.equal("OffsetCommit with its epoch of what it has no more", code, E::None);
        Ok(())
    }

    fn empty(&mut self) -> Result<()> {
        for member in ["a", "b"] {
            let (code, _, answer) = self.beat(&self.alive(member, -1))?;
            self.equal(&format!("{member} leaves"), code, E::None);
            if answer.member_epoch != -1 || answer.assignment.is_some() {
                bail!("a member that leaves is told {answer:?}");
            }
        }
        let code = self.commit("", -1, 0, 9)?;
        self.equal("OffsetCommit without a member, when there is none", code, E::None);
        let code = self.delete_offset()?;
        self.equal("OffsetDelete when there is no member", code, E::None);
        let request = DeleteGroupsRequest { groups_names: vec![self.group.clone()] };
        for (what, wanted) in [("a group without members", E::None), ("no group", E::GroupIdNotFound)] {
            let answer = self.connection.call_version(&request, 2)?.results[0].error_code;
            self.equal(&format!("DeleteGroups of {what}"), error_of(answer)?, wanted);
        }
        Ok(())
    }

    fn other_classic_groups(&mut self) -> Result<()> {
        let group = self.group.clone();
        let mut request =
            JoinGroupRequest { protocol_type: "connect".into(), ..self.classic_joining("", "range")? };
        request.member_id = self.connection.call_version(&request, 9)?.member_id;
        let answer = self.connection.call_version(&request, 9)?;
        self.equal("a classic group of another type", error_of(answer.error_code)?, E::None);
        let words = format!(
            "Cannot upgrade classic group {group} to consumer group because the group does not use the consumer embedded \
             protocol."
        );
        self.refused("a consumer that joins it", &self.joining("a"), E::GroupIdNotFound, &words)?;
        let words = format!("Group {group} is not a consumer group.");
        self.refused("a consumer in it", &self.alive("a", 1), E::GroupIdNotFound, &words)?;
        let answer = self.described(&group)?;
        let said = (error_of(answer.error_code)?, answer.error_message);
        self.said("ConsumerGroupDescribe of a classic group", said, E::GroupIdNotFound, Some(&words));
        Ok(())
    }

    fn configure(&mut self, group: &str, key: &str, value: &str) -> Result<(E, Option<String>)> {
        let config = AlterableConfig { name: key.into(), config_operation: 0, value: Some(value.into()) };
        let resource =
            AlterConfigsResource { resource_type: 32, resource_name: group.into(), configs: vec![config] };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let answer = self.connection.call_version(&request, 1)?.responses.remove(0);
        Ok((error_of(answer.error_code)?, answer.error_message))
    }

    fn configurations(&mut self) -> Result<()> {
        let group = self.group.clone();
        let (session, heartbeat) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
        let bound = |key: &str, relation: &str, bound: &str| {
            format!("{key} must be {relation} than or equal to {bound}")
        };
        for (what, key, value, wanted, words) in [
            ("a session time-out", session, "50000", E::None, None),
            (
                "too short a session time-out",
                session,
                "1000",
                E::InvalidConfig,
                Some(bound(session, "greater", "group.consumer.min.session.timeout.ms")),
            ),
            (
                "too long a heartbeat interval",
                heartbeat,
                "20000",
                E::InvalidConfig,
                Some(bound(heartbeat, "less", "group.consumer.max.heartbeat.interval.ms")),
            ),
            (
                "an unknown key",
                "no.such.key",
                "1",
                E::InvalidConfig,
                Some("Unknown group config name: no.such.key".into()),
            ),
        ] {
            let said = self.configure(&group, key, value)?;
            self.said(&format!("the configuration of a group: {what}"), said, wanted, words.as_deref());
        }
        let said = self.configure("", session, "50000")?;
        self.said(
            "the configuration of all groups",
            said,
            E::InvalidRequest,
            Some("Default group resources are not allowed."),
        );
        Ok(())
    }
}

fn error_of(number: i16) -> Result<E> {
    E::from_number(number).with_context(|| format!("the code {number} is not known"))
}
