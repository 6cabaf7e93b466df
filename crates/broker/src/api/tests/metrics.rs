//! What the page of metrics says after requests whose effects are known.

use super::share::{acknowledge, acquired, configure, fetch_request, furnished, poll, send};
use super::transactional::{Producer, fetch, fetch_request as fetch_of};
use crate::testing::{Node, batch, given};
use ::metrics::{Format, Page};
use kafka_wire::header::encode_request;
use kafka_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::*;
use kafka_wire::records::{Compression, ControlKind};
use std::collections::BTreeSet;

/// The page's series, each with its value.
fn page(node: &Node) -> Vec<String> {
    let mut page = Page::new(Format::Prometheus, node.broker.config().metric_series_max);
    node.broker.write_metrics(&mut page);
    page.finish().lines().filter(|line| !line.starts_with('#')).map(str::to_string).collect()
}

fn has(page: &[String], series: &[&str]) {
    for wanted in series {
        let name = wanted.rsplit_once(' ').unwrap().0;
        let found: Vec<&String> =
            page.iter().filter(|line| line.rsplit_once(' ').unwrap().0 == name).collect();
        assert_eq!(found, [wanted], "{name}");
    }
}

fn commit(node: &Node, group: &str, topic: &str, offset: i64) {
    let partition =
        OffsetCommitRequestPartition { partition_index: 0, committed_offset: offset, ..Default::default() };
    let topic =
        OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    assert_eq!(node.call(&request, 8).topics.remove(0).partitions.remove(0).error_code, 0);
}

#[test]
fn topics_errors_and_lag_are_counted() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    node.create_topic("u", 1, &[]);
    let now = node.now().wall_ms;
    let bytes = batch(Compression::None, &[(now - 9_000, "a"), (now - 7_000, "b")]).len();
    node.produce("t", 0, batch(Compression::None, &[(now - 9_000, "a"), (now - 7_000, "b")]));
    node.produce("t", 0, batch(Compression::None, &[(now - 5_000, "c"), (now - 3_500, "d")]));
    node.produce("t", 1, batch(Compression::None, &[(now, "e")]));
    node.produce("none", 0, batch(Compression::None, &[(now, "e")]));
    node.produce("none", 0, batch(Compression::None, &[(now, "e")]));
    fetch(&node, "t", 0, 0, false);
    fetch(&node, "t", 0, 2, false);
    node.call(&fetch_of("t", 0, 99, false), 12);
    // The group has the first batch and half of the second.
    commit(&node, "g", "t", 3);
    commit(&node, "done", "t", 4);
    let all = 3 * bytes - bytes + batch(Compression::None, &[(now, "e")]).len();
    has(
        &page(&node),
        &[
            "eventwright_topic_appended_records_total{topic=\"t\"} 5",
            "eventwright_topic_appended_batches_total{topic=\"t\"} 3",
            &format!("eventwright_topic_appended_bytes_total{{topic=\"t\"}} {all}"),
            &format!("kafka_server_brokertopicmetrics_bytesin_total{{topic=\"\"}} {all}"),
            "eventwright_topic_appended_records_total{topic=\"u\"} 0",
            "kafka_server_brokertopicmetrics_messagesin_total{topic=\"t\"} 5",
            // Both batches, then the second.
            &format!("eventwright_topic_fetched_bytes_total{{topic=\"t\"}} {}", 3 * bytes),
            &format!("kafka_server_brokertopicmetrics_bytesout_total{{topic=\"\"}} {}", 3 * bytes),
            "eventwright_kafka_request_errors_total{api=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 2",
            "kafka_network_requestmetrics_errors_total{request=\"Fetch\",error=\"OFFSET_OUT_OF_RANGE\"} 1",
            "eventwright_partition_high_watermark_offset{topic=\"t\",partition=\"0\"} 4",
            "kafka_topic_partition_current_offset{topic=\"t\",partition=\"1\"} 1",
            "eventwright_group_committed_offset{group=\"g\",topic=\"t\",partition=\"0\"} 3",
            "eventwright_group_lag_records{group=\"g\",topic=\"t\",partition=\"0\"} 1",
            "eventwright_group_lag_seconds{group=\"g\",topic=\"t\",partition=\"0\"} 3.5",
            "eventwright_group_lag_seconds{group=\"done\",topic=\"t\",partition=\"0\"} 0.0",
            "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 1",
            "kafka_consumergroup_lag_sum{consumergroup=\"g\",topic=\"t\"} 1",
            "eventwright_groups{type=\"classic\",state=\"Empty\"} 2",
            "eventwright_topics 2",
            "eventwright_partitions 3",
            "eventwright_log_fenced 0",
            "eventwright_log_unsynced_bytes 0",
        ],
    );
}

#[test]
fn share_groups_say_what_became_of_their_records() {
    let node = furnished(&[
        ("share.record.lock.duration.ms", "1000"),
        ("share.delivery.count.limit", "2"),
        ("errors.deadletterqueue.topic.name", "dlq.dead"),
    ]);
    node.create_topic("dlq.dead", 1, &[("errors.deadletterqueue.group.enable", "true")]);
    send(&node, &["a", "b", "c", "d", "e"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 4, 1)]);
    let page_then = page(&node);
    has(
        &page_then,
        &[
            "eventwright_share_group_locked_records{group=\"queue\",topic=\"t\",partition=\"0\"} 5",
            "eventwright_share_group_lag_records{group=\"queue\",topic=\"t\",partition=\"0\"} 5",
            "eventwright_groups{type=\"share\",state=\"Empty\"} 1",
        ],
    );
    // a is done, b comes again, c is rejected; the locks of d and e end, twice those of e.
    assert_eq!(acknowledge(&node, "one", 1, &[(0, 0, 1), (1, 1, 2), (2, 2, 3)]), (0, 0));
    node.pass_ms(1_100);
    assert_eq!(acquired(&poll(&node, "one", 2, &[])), [(1, 1, 2), (3, 4, 2)]);
    assert_eq!(acknowledge(&node, "one", 3, &[(1, 1, 1), (3, 3, 1)]), (0, 0));
    node.pass_ms(1_100);
    send(&node, &["f"]);
    has(
        &page(&node),
        &[
            "eventwright_share_group_delivered_records_total{group=\"queue\"} 8",
            "eventwright_share_group_accepted_records_total{group=\"queue\"} 3",
            "eventwright_share_group_released_records_total{group=\"queue\"} 1",
            "eventwright_share_group_rejected_records_total{group=\"queue\"} 1",
            "eventwright_share_group_expired_locks_total{group=\"queue\"} 2",
            "eventwright_share_group_over_limit_records_total{group=\"queue\"} 1",
            "eventwright_share_group_dead_letters_total{group=\"queue\"} 2",
            "eventwright_topic_appended_records_total{topic=\"dlq.dead\"} 2",
            "eventwright_share_group_locked_records{group=\"queue\",topic=\"t\",partition=\"0\"} 0",
            "eventwright_share_group_lag_records{group=\"queue\",topic=\"t\",partition=\"0\"} 1",
            "eventwright_share_group_dead_records{group=\"queue\",topic=\"t\",partition=\"0\"} 0",
        ],
    );
}

#[test]
fn records_that_wait_for_their_burial_are_counted_once() {
    let node = furnished(&[("errors.deadletterqueue.topic.name", "dlq.dead")]);
    // The topic does not consent.
    node.create_topic("dlq.dead", 1, &[]);
    send(&node, &["a", "b"]);
    assert_eq!(acquired(&poll(&node, "one", 0, &[])), [(0, 1, 1)]);
    assert_eq!(acknowledge(&node, "one", 1, &[(0, 1, 3)]), (0, 0));
    let counted = |dead: usize, letters: usize| {
        has(
            &page(&node),
            &[
                "eventwright_share_group_rejected_records_total{group=\"queue\"} 2",
                &format!("eventwright_share_group_dead_letters_total{{group=\"queue\"}} {letters}"),
                &format!(
                    "eventwright_share_group_dead_records{{group=\"queue\",topic=\"t\",partition=\"0\"}} {dead}"
                ),
            ],
        );
    };
    counted(2, 0);
    node.pass_ms(10_100);
    counted(2, 0);
    configure(&node, &[("errors.deadletterqueue.topic.name", "dlq.other")]);
    node.create_topic("dlq.other", 1, &[("errors.deadletterqueue.group.enable", "true")]);
    node.pass_ms(10_100);
    counted(0, 2);
    // Asked again, the group has nothing left.
    assert_eq!(acquired(&super::share::data(node.call(&fetch_request(&node, "one", 2, &[]), 2))), []);
}

#[test]
fn transactions_are_open_and_end() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let mut ended = Producer::init(&node, "a");
    for kind in [ControlKind::Commit, ControlKind::Abort, ControlKind::Commit] {
        assert_eq!(ended.write(&node, "t", 0, &["x"]), 0);
        assert_eq!(ended.end(&node, kind), 0);
    }
    let mut open = Producer::init(&node, "b");
    assert_eq!(open.write(&node, "t", 0, &["x"]), 0);
    node.pass_ms(2_500);
    let series = [
        "eventwright_transactions_open 1",
        "eventwright_transactions_oldest_age_seconds 2.5",
        "eventwright_transactional_ids 2",
        "eventwright_transactions_committed_total 2",
        "eventwright_transactions_aborted_total 1",
    ];
    has(&page(&node), &series);
    node.pass_ms(600_000);
    // The time-out has ended it.
    has(&page(&node), &["eventwright_transactions_open 0", "eventwright_transactions_aborted_total 2"]);
}

#[test]
fn topics_that_are_too_many_are_one_and_the_oldest_stay() {
    let node = Node::with(given(&[("metrics.series.max", "2")]));
    for name in ["z", "y", "x", "a"] {
        node.create_topic(name, 1, &[]);
        node.produce(name, 0, batch(Compression::None, &[(0, "r")]));
    }
    let page = page(&node);
    let topics: BTreeSet<&str> = page
        .iter()
        .filter_map(|line| line.strip_prefix("eventwright_topic_appended_records_total{topic=\""))
        .collect();
    assert_eq!(topics, BTreeSet::from(["z\"} 1", "y\"} 1", "(other)\"} 2"]));
    has(&page, &["kafka_server_brokertopicmetrics_messagesin_total{topic=\"\"} 4"]);
}

#[test]
fn every_family_of_the_page_is_in_the_list_and_named_once() {
    let names: Vec<&str> = eventlog::metric_families()
        .into_iter()
        .chain(crate::metric_families())
        .map(|family| {
            assert!(family.help.ends_with('.'), "{}", family.name);
            assert_eq!(
                family.name.ends_with("_total"),
                family.kind == ::metrics::Kind::Counter,
                "{}",
                family.name
            );
            family.name
        })
        .collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let node = Node::new();
    let mut page = Page::new(Format::Prometheus, 10);
    node.broker.write_metrics(&mut page);
    let text = page.finish();
    let told = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let told: Vec<&str> = told.collect();
    assert!(told.len() > 40 && told.iter().all(|name| names.contains(name)), "{told:?}");
}

/// What clients name is in quotes and escaped, the rest is one series, and who asks makes none.
#[test]
fn names_of_clients_neither_multiply_series_nor_break_the_page() {
    let node = Node::with(given(&[("metrics.series.max", "3")]));
    node.create_topic("t", 1, &[]);
    node.produce("t", 0, batch(Compression::None, &[(0, "r"), (0, "s")]));
    let hostile = "a\"} 1\nforged_total{x=\"\\";
    commit(&node, hostile, "t", 1);
    let before = page(&node);
    let shown = r#"{consumergroup="a\"} 1\nforged_total{x=\"\\",topic="t",partition="0"}"#;
    has(&before, &[format!("kafka_consumergroup_current_offset{shown} 1").as_str()]);
    let few = (0..3).map(|number| format!("group-{number}"));
    few.for_each(|group| commit(&node, &group, "t", 1));
    let bounded = page(&node).len();
    for number in 3..200 {
        commit(&node, &format!("group-{number}"), "t", 1);
        // Each client has an id of its own.
        let asked = encode_request(&ListGroupsRequest::default(), 4, 1, Some(&format!("client-{number}\n")));
        node.finish(node.handle(bytes::Bytes::from(asked.unwrap().concat()).slice(4..)));
    }
    let after = page(&node);
    assert_eq!(after.len(), bounded);
    assert!(after.iter().any(|line| line.contains("consumergroup=\"(other)\"")));
    assert!(!after.iter().any(|line| line.contains("client-") || line.starts_with("forged")));
}
