//! The arithmetic, the order of precedence, what is kept, and what clients see of it.

use super::bucket::Bucket;
use super::entity::{Entity, Name};
use super::rate::{Rate, Window};
use super::rules::Sharing;
use super::sensors::{Measured, Sensors};
use super::{Meter, QuotaChange, QuotaKey, QuotaRules, check_value, connected, settle};
use crate::call::{Outcome, Peer, ReplyTo, Until};
use crate::testing::{Node, batch, given, produce_request, request_frame};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::alter_client_quotas_request as alter;
use kafka_wire::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_wire::messages::create_topics_request::CreatableTopic;
use kafka_wire::messages::delete_topics_request::DeleteTopicState;
use kafka_wire::messages::describe_client_quotas_request::ComponentData;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::*;
use kafka_wire::records::Compression;

const WINDOW: Window = Window { samples: 11, sample_ms: 1_000 };

fn user(name: &str) -> Entity {
    Entity::User(Name::Of(name.into()))
}

fn set(entity: Entity, key: QuotaKey, value: f64) -> QuotaChange {
    QuotaChange::Set { entity, key, value }
}

#[test]
fn a_rate_is_the_sum_by_ten_seconds_at_the_least() {
    let mut rate = Rate::default();
    assert_eq!(rate.measure(WINDOW, 0), 0.0);
    rate.record(1_000.0, WINDOW, 0);
    assert_eq!(rate.measure(WINDOW, 0), 100.0);
    assert_eq!(rate.throttle_ms(100.0, WINDOW, 0), 0);
    rate.record(1_000.0, WINDOW, 500);
    // The part of the sample that runs counts on top of the ten whole ones: 2000 bytes in 10.5 seconds.
    assert_eq!(rate.measure(WINDOW, 500), 2_000.0 / 10.5);
    assert_eq!(rate.throttle_ms(100.0, WINDOW, 500), 9_500);
    // What it says is what it takes.
    assert_eq!(rate.throttle_ms(100.0, WINDOW, 10_000), 10_000);
    assert!(rate.measure(WINDOW, 10_999) > 100.0);
    // A sample counts until its last event is as old as the window.
    assert_eq!(rate.measure(WINDOW, 11_500), 0.0);
}

#[test]
fn samples_slide_and_are_bounded() {
    let mut rate = Rate::default();
    for second in 0..1_000 {
        rate.record(500.0, WINDOW, second * 1_000);
        rate.record(500.0, WINDOW, second * 1_000 + 900);
    }
    // Eleven whole samples and one that has just begun to run.
    let measured = rate.measure(WINDOW, 999_999);
    assert!((measured - 1_000.0).abs() < 100.0, "{measured}");
}

#[test]
fn a_bucket_holds_what_the_window_saves_up() {
    let mut bucket = Bucket::new(2.0, WINDOW, 0);
    bucket.record(22.0, 2.0, WINDOW, 0);
    assert_eq!(bucket.throttle_ms(2.0, WINDOW, 0), 0);
    bucket.record(5.0, 2.0, WINDOW, 0);
    assert_eq!(bucket.throttle_ms(2.0, WINDOW, 0), 2_500);
    assert_eq!(bucket.throttle_ms(2.0, WINDOW, 2_500), 0);
    bucket.record(22.0, 2.0, WINDOW, 1_000_000);
    assert_eq!(bucket.throttle_ms(2.0, WINDOW, 1_000_000), 0);
}

#[test]
fn the_nearest_quota_counts() {
    let key = QuotaKey::ProducerByteRate;
    let name = |name: &str| Name::Of(name.into());
    let both = |user, client| Entity::UserClient { user, client };
    let in_order = [
        (both(name("u"), name("c")), Sharing::UserClient),
        (both(name("u"), Name::Default), Sharing::UserClient),
        (Entity::User(name("u")), Sharing::User),
        (both(Name::Default, name("c")), Sharing::UserClient),
        (both(Name::Default, Name::Default), Sharing::UserClient),
        (Entity::User(Name::Default), Sharing::User),
        (Entity::Client(name("c")), Sharing::Client),
        (Entity::Client(Name::Default), Sharing::Client),
    ];
    let mut rules = QuotaRules::default();
    assert_eq!(rules.limit_of_client(key, "u", "c"), None);
    for (index, (entity, sharing)) in in_order.iter().enumerate().rev() {
        // Another key of a nearer entity says nothing about this one.
        rules.apply(&set(in_order[0].0.clone(), QuotaKey::RequestPercentage, 1.0));
        rules.apply(&set(entity.clone(), key, index as f64 + 1.0));
        assert_eq!(rules.limit_of_client(key, "u", "c"), Some((*sharing, index as f64 + 1.0)));
    }
    assert_eq!(rules.limit_of_client(key, "other", "other"), Some((Sharing::UserClient, 5.0)));
    assert_eq!(rules.count(), 9);
    let restored = QuotaRules::restore(Some(&rules.checkpoint())).unwrap();
    assert_eq!(restored.entities().collect::<Vec<_>>(), rules.entities().collect::<Vec<_>>());
    for (entity, _) in &in_order {
        let removed = QuotaChange::Removed { entity: entity.clone(), key };
        let written = QuotaChange::decode(&removed.encode()).unwrap();
        // Twice, as after a crash.
        rules.apply(&written);
        rules.apply(&written);
    }
    assert_eq!((rules.limit_of_client(key, "u", "c"), rules.count()), (None, 1));
    assert_eq!(rules.entities().count(), 1);
}

#[test]
fn addresses_have_quotas_of_their_own() {
    let mut rules = QuotaRules::default();
    let key = QuotaKey::ConnectionCreationRate;
    rules.apply(&set(Entity::Ip(Name::Default), key, 5.0));
    rules.apply(&set(Entity::Ip(Name::Of("10.0.0.1".into())), key, 9.0));
    assert_eq!(rules.limit_of_address("10.0.0.1"), Some(9.0));
    assert_eq!(rules.limit_of_address("10.0.0.2"), Some(5.0));
    let parts = |ip: &str| [("ip".to_string(), Some(ip.to_string()))];
    assert_eq!(Entity::from_parts(parts("::ffff:10.0.0.1")), Ok(Entity::Ip(Name::Of("10.0.0.1".into()))));
    assert_eq!(Entity::from_parts(parts("nohost")).unwrap_err(), "'nohost' is not an IP address");
}

#[test]
fn damaged_records_are_refused() {
    let change = set(user("u"), QuotaKey::ProducerByteRate, 7.0);
    let bytes = change.encode();
    assert_eq!(QuotaChange::decode(&bytes).unwrap(), change);
    for length in 0..bytes.len() {
        assert!(QuotaChange::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert!(QuotaChange::decode(&set(user("u"), QuotaKey::ProducerByteRate, f64::NAN).encode()).is_err());
    let mut rules = QuotaRules::default();
    rules.apply(&change);
    let checkpoint = rules.checkpoint();
    for length in 0..checkpoint.len() {
        assert!(QuotaRules::restore(Some(&checkpoint[..length])).is_err(), "{length}");
    }
}

#[test]
fn values_are_checked() {
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(check_value(QuotaKey::RequestPercentage, value).is_err(), "{value}");
    }
    assert!(check_value(QuotaKey::RequestPercentage, 0.5).is_ok());
    assert!(check_value(QuotaKey::ProducerByteRate, 10.5).is_err());
    assert!(check_value(QuotaKey::ProducerByteRate, 10.000_000_1).is_ok());
    assert!(check_value(QuotaKey::ConnectionCreationRate, 1e12).is_err());
}

#[test]
fn the_number_of_sensors_is_bounded() {
    let mut sensors = Sensors::default();
    for number in 0..30_000 {
        let measured = Measured::of_client(Sharing::Client, "u", &number.to_string());
        sensors.rate(QuotaKey::ProducerByteRate, measured, number).record(1.0, WINDOW, number);
    }
    assert!(sensors.count() <= 10_000);
    let long = |byte: &str| Measured::of_client(Sharing::Client, "", &byte.repeat(5_000));
    assert_eq!(long("x"), long("y"));
}

/// (entity parts, key, value or none to remove it).
fn entry(parts: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]) -> alter::EntryData {
    let part = |(kind, name): &(&str, Option<&str>)| alter::EntityData {
        entity_type: kind.to_string(),
        entity_name: name.map(str::to_string),
    };
    let op = |(key, value): &(&str, Option<f64>)| alter::OpData {
        key: key.to_string(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    };
    alter::EntryData { entity: parts.iter().map(part).collect(), ops: ops.iter().map(op).collect() }
}

fn change(node: &Node, entries: Vec<alter::EntryData>) -> Vec<i16> {
    let request = AlterClientQuotasRequest { entries, validate_only: false };
    node.call(&request, 1).entries.into_iter().map(|entry| entry.error_code).collect()
}

fn described(node: &Node, components: Vec<ComponentData>, strict: bool) -> Result<Vec<String>, i16> {
    let response = node.call(&DescribeClientQuotasRequest { components, strict }, 1);
    let Some(entries) = response.entries else { return Err(response.error_code) };
    let mut lines: Vec<String> = entries
        .iter()
        .map(|entry| {
            let parts = entry
                .entity
                .iter()
                .map(|part| format!("{}={}", part.entity_type, part.entity_name.as_deref().unwrap_or("*")));
            let values = entry.values.iter().map(|value| format!("{}={}", value.key, value.value));
            parts.chain(values).collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort();
    Ok(lines)
}

fn component(kind: &str, match_type: i8, name: Option<&str>) -> ComponentData {
    ComponentData { entity_type: kind.into(), match_type, r#match: name.map(str::to_string) }
}

#[test]
fn quotas_outlive_restarts_and_crashes_and_are_described() {
    let mut node = Node::new();
    let entries = vec![
        entry(
            &[("user", Some("u"))],
            &[("producer_byte_rate", Some(5.0)), ("request_percentage", Some(0.5))],
        ),
        entry(&[("user", None), ("client-id", Some("c"))], &[("consumer_byte_rate", Some(7.0))]),
        entry(&[("ip", None)], &[("connection_creation_rate", Some(3.0))]),
    ];
    assert_eq!(change(&node, entries), [0, 0, 0]);
    let all = [
        "ip=* connection_creation_rate=3",
        "user=* client-id=c consumer_byte_rate=7",
        "user=u producer_byte_rate=5 request_percentage=0.5",
    ];
    for round in 0..3 {
        assert_eq!(described(&node, vec![], false).unwrap(), all, "{round}");
        node = if round == 0 { node.restart() } else { node.crash(round) };
    }
    let users = |strict| described(&node, vec![component("user", 2, None)], strict).unwrap();
    assert_eq!(users(false), all[1..]);
    assert_eq!(users(true), all[2..]);
    assert_eq!(described(&node, vec![component("user", 1, None)], false).unwrap(), all[1..2]);
    assert_eq!(described(&node, vec![component("user", 0, Some("u"))], true).unwrap(), all[2..]);
    for wrong in [
        vec![component("", 2, None)],
        vec![component("user", 0, None)],
        vec![component("user", 1, Some("u"))],
        vec![component("user", 9, None)],
        vec![component("user", 2, None), component("user", 2, None)],
        vec![component("user", 2, None), component("ip", 2, None)],
    ] {
        assert_eq!(described(&node, wrong.clone(), false), Err(E::InvalidRequest as i16), "{wrong:?}");
    }
    let unknown = described(&node, vec![component("group", 2, None)], false);
    assert_eq!(unknown, Err(E::UnsupportedVersion as i16));
    let removed =
        entry(&[("user", Some("u"))], &[("producer_byte_rate", None), ("request_percentage", None)]);
    assert_eq!(change(&node, vec![removed]), [0]);
    assert_eq!(described(&node.crash(9), vec![], false).unwrap(), all[..2]);
}

#[test]
fn wrong_changes_are_refused_with_words() {
    let node = Node::new();
    let rate = [("producer_byte_rate", Some(5.0))];
    let user = [("user", Some("u"))];
    for wrong in [
        entry(&[], &rate),
        entry(&[("group", Some("g"))], &rate),
        entry(&[("user", Some(""))], &rate),
        entry(&[("user", Some("u")), ("user", Some("v"))], &rate),
        entry(&[("user", Some("u")), ("ip", Some("10.0.0.1"))], &rate),
        entry(&[("ip", Some("10.0.0.1"))], &rate),
        entry(&[("ip", Some("not an address"))], &[("connection_creation_rate", Some(1.0))]),
        entry(&user, &[("connection_creation_rate", Some(1.0))]),
        entry(&user, &[("producer_byte_rat", Some(1.0))]),
        entry(&user, &[("producer_byte_rate", Some(0.0))]),
        entry(&user, &[("producer_byte_rate", Some(1.5))]),
        entry(&user, &[("producer_byte_rate", Some(1.0)), ("producer_byte_rate", None)]),
        entry(&user, &[("producer_byte_rat", None), ("producer_byte_rate", Some(-1.0))]),
    ] {
        let request = AlterClientQuotasRequest { entries: vec![wrong.clone()], validate_only: false };
        let answer = node.call(&request, 1).entries.remove(0);
        assert_eq!(answer.error_code, E::InvalidRequest as i16, "{wrong:?}");
        assert!(answer.error_message.is_some_and(|text| !text.is_empty()), "{wrong:?}");
    }
    assert_eq!(change(&node, vec![entry(&user, &rate), entry(&user, &rate)]), [0, E::InvalidRequest as i16]);
    let request =
        AlterClientQuotasRequest { entries: vec![entry(&[("user", None)], &rate)], validate_only: true };
    assert_eq!(node.call(&request, 1).entries[0].error_code, 0);
    assert_eq!(described(&node, vec![], false).unwrap(), ["user=u producer_byte_rate=5"]);
}

/// The answer to a client, for whom the connection stays the same.
fn ask<R: kafka_wire::Request>(node: &Node, peer: &Peer, request: &R, version: i16) -> R::Response {
    node.call_as(peer, request, version)
}

#[test]
fn a_producer_above_its_quota_waits() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let everybody = entry(&[("client-id", None)], &[("producer_byte_rate", Some(100.0))]);
    assert_eq!(change(&node, vec![everybody]), [0]);
    let peer = Node::peer();
    let value = "x".repeat(2_000);
    let request = produce_request("t", 0, batch(Compression::None, &[(1, &value)]));
    let bytes = request_frame(&request, 9).len() as f64;
    let first = ask(&node, &peer, &request, 9);
    assert_eq!(first.responses[0].partition_responses[0].error_code, 0);
    // The sum by ten seconds, against 100 a second.
    let expected = ((bytes / 10.0 - 100.0) / 100.0 * 10_000.0).round() as i32;
    assert_eq!(first.throttle_time_ms, expected);
    assert_eq!(peer.mute.left_ms(node.now().monotonic_ms), Some(expected as u64));
    // Another connection of the client shares the quota; what it waited is over then.
    assert!(ask(&node, &Node::peer(), &request, 9).throttle_time_ms > expected);
    node.pass_ms(30_000);
    assert_eq!(peer.mute.left_ms(node.now().monotonic_ms), None);
    assert_eq!(ask(&node, &peer, &request, 9).throttle_time_ms, expected);
    // Without an answer the connection is not read either.
    let silent = ProduceRequest { acks: 0, ..request.clone() };
    let quiet = Node::peer();
    assert!(matches!(node.broker.handle(request_frame(&silent, 9), &quiet, node.now()), Outcome::Silent));
    assert!(quiet.mute.left_ms(node.now().monotonic_ms).is_some());
    // No longer.
    assert_eq!(change(&node, vec![entry(&[("client-id", None)], &[("producer_byte_rate", None)])]), [0]);
    assert_eq!(ask(&node, &Node::peer(), &request, 9).throttle_time_ms, 0);
}

fn fetch(session_id: i32, session_epoch: i32) -> FetchRequest {
    let partition = FetchPartition { partition: 0, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    let topics = if session_epoch > 0 { Vec::new() } else { vec![topic] };
    FetchRequest { max_bytes: 1 << 20, topics, session_id, session_epoch, ..Default::default() }
}

fn fetched_bytes(response: &FetchResponse) -> usize {
    let parts = response.responses.iter().flat_map(|topic| &topic.partitions);
    parts.map(|part| part.records.as_ref().map_or(0, |records| records.len())).sum()
}

#[test]
fn a_consumer_above_its_quota_gets_nothing_until_it_has_waited() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let value = "x".repeat(500);
    for _ in 0..20 {
        node.produce("t", 0, batch(Compression::None, &[(1, &value)]));
    }
    let of_user = entry(&[("user", Some("ANONYMOUS"))], &[("consumer_byte_rate", Some(200.0))]);
    assert_eq!(change(&node, vec![of_user]), [0]);
    let peer = Node::peer();
    let first = ask(&node, &peer, &fetch(0, 0), 11);
    let bytes = fetched_bytes(&first);
    // Not more than the window allows, though the client asked for more.
    assert!((1_000..=2_000).contains(&bytes), "{bytes}");
    assert_eq!(first.throttle_time_ms, 0);
    let second = ask(&node, &peer, &fetch(first.session_id, 1), 11);
    assert_eq!((fetched_bytes(&second), second.error_code), (0, 0));
    assert!(second.throttle_time_ms > 0 && second.session_id == first.session_id);
    assert!(peer.mute.left_ms(node.now().monotonic_ms).is_some());
    // The session goes on where it was.
    node.pass_ms(12_000);
    let third = ask(&node, &peer, &fetch(first.session_id, 2), 11);
    assert_eq!((fetched_bytes(&third), third.throttle_time_ms), (bytes, 0));
    // A full answer would have to name its partitions: no session comes of it.
    let sessions = crate::sync::lock(&node.broker.sessions).len();
    let full = ask(&node, &peer, &fetch(0, 0), 11);
    assert_eq!((full.session_id, full.responses.len()), (0, 0));
    assert!(full.throttle_time_ms > 0);
    assert_eq!(crate::sync::lock(&node.broker.sessions).len(), sessions);
}

#[test]
fn a_batch_larger_than_the_window_is_given_once_in_a_while() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    node.produce("t", 0, batch(Compression::None, &[(1, &"x".repeat(5_000))]));
    let small = entry(&[("client-id", Some("test"))], &[("consumer_byte_rate", Some(10.0))]);
    assert_eq!(change(&node, vec![small]), [0]);
    assert!(fetched_bytes(&ask(&node, &Node::peer(), &fetch(0, -1), 11)) > 5_000);
    let second = ask(&node, &Node::peer(), &fetch(0, -1), 11);
    assert!(fetched_bytes(&second) == 0 && second.throttle_time_ms > 0);
    node.pass_ms(11_000);
    assert!(fetched_bytes(&ask(&node, &Node::peer(), &fetch(0, -1), 11)) > 5_000);
}

#[test]
fn changes_to_topics_above_the_quota_are_refused_or_slowed_down() {
    let node = Node::with(given(&[("controller.quota.window.num", "2")]));
    let of_all = entry(&[("user", None)], &[("controller_mutation_rate", Some(1.0))]);
    assert_eq!(change(&node, vec![of_all]), [0]);
    let create = |name: &str, version| {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 3,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let peer = Node::peer();
        let response = ask(&node, &peer, &request, version);
        let muted = peer.mute.left_ms(node.now().monotonic_ms);
        (response.topics[0].error_code, response.throttle_time_ms, muted)
    };
    // Two tokens are there, and three are taken.
    assert_eq!(create("a", 7), (0, 0, None));
    let exceeded = E::ThrottlingQuotaExceeded as i16;
    assert_eq!(create("b", 7), (exceeded, 1_000, Some(1_000)));
    // Old clients do not know that error.
    assert_eq!(create("b", 5), (0, 4_000, Some(4_000)));
    let delete = |version| {
        let topic = DeleteTopicState { name: Some("a".into()), ..Default::default() };
        let request = match version {
            6.. => DeleteTopicsRequest { topics: vec![topic], ..Default::default() },
            _ => DeleteTopicsRequest { topic_names: vec!["a".into()], ..Default::default() },
        };
        let response = node.call(&request, version);
        (response.responses[0].error_code, response.throttle_time_ms)
    };
    assert_eq!(delete(6), (exceeded, 4_000));
    let more = |version| {
        let topic = CreatePartitionsTopic { name: "b".into(), count: 5, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
        let response = node.call(&request, version);
        (response.results[0].error_code, response.throttle_time_ms)
    };
    assert_eq!(more(3), (exceeded, 4_000));
    assert_eq!(more(2), (0, 6_000));
    node.pass_ms(6_000);
    assert_eq!(delete(6), (0, 0));
}

#[test]
fn who_takes_up_more_time_than_its_share_waits() {
    let node = Node::new();
    let share = entry(&[("user", None), ("client-id", None)], &[("request_percentage", Some(1.0))]);
    assert_eq!(change(&node, vec![share]), [0]);
    let peer = Node::peer();
    let meter = Meter::new(node.broker.quotas.current(), "User:u", "c", &peer);
    // A reply that comes after a wait in which the thread did something else.
    let told = |work_ns: u64| {
        let reply_to = ReplyTo { api: ApiKey::ListGroups, version: 4, correlation_id: 42 };
        let outcome = Outcome::wait(Until::Turn, None, move |broker, _, _| {
            reply_to.encode(broker, &ListGroupsResponse::default())
        });
        let settled = settle(&node.broker, meter.clone(), 0, work_ns, outcome);
        node.receive::<ListGroupsRequest>(settled, 4).throttle_time_ms
    };
    // 10 hundredths of a second in ten seconds are one percent.
    assert_eq!(told(100_000_000), 0);
    // Half as much again: five seconds, but no more than one is told at once.
    assert_eq!(told(50_000_000), 1_000);
    assert_eq!(peer.mute.left_ms(node.now().monotonic_ms), Some(1_000));
    let late = node.now().monotonic_ms;
    assert!(meter.overtime_ms(&node.broker, late) > 0);
    node.pass_ms(12_000);
    assert_eq!(told(1), 0);
}

#[test]
fn addresses_are_held_off_for_a_while() {
    let node = Node::new();
    assert_eq!(connected(&node.broker, "10.0.0.1"), None);
    let of_all = entry(&[("ip", None)], &[("connection_creation_rate", Some(1.0))]);
    assert_eq!(change(&node, vec![of_all]), [0]);
    for _ in 0..10 {
        assert_eq!(connected(&node.broker, "10.0.0.1"), None);
    }
    assert_eq!(connected(&node.broker, "10.0.0.1"), Some(1_000));
    assert_eq!(connected(&node.broker, "10.0.0.2"), None);
    node.pass_ms(11_000);
    assert_eq!(connected(&node.broker, "10.0.0.1"), None);
}

#[test]
fn a_node_without_quotas_measures_nothing() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    node.produce("t", 0, batch(Compression::None, &[(1, "x")]));
    assert_eq!(crate::sync::lock(&node.broker.sensors).count(), 0);
}
