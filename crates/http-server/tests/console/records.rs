//! Pages of records, what is produced, and lists.

use crate::search::search;
use crate::site::Site;
use crate::{API, JSON, OWN, numbers};
use kafka_client::Client;
use serde_json::json;

#[test]
fn pages_of_records_go_back_and_on_in_the_order_of_time() {
    let site = Site::new();
    site.filled("t", 3, 100);
    let first = site.api("topics/t/records?max=40");
    assert_eq!(numbers(&first), (60..100).rev().collect::<Vec<_>>());
    let mut seen = numbers(&first);
    let mut page = first;
    while let Some(next) = page["next"].as_str() {
        page = site.api(&format!("topics/t/records?max=40&at={next}"));
        seen.extend(numbers(&page));
    }
    assert_eq!(seen, (0..100).rev().collect::<Vec<_>>(), "none is left out or comes twice");
    let (mut seen, mut at) = (Vec::new(), String::new());
    loop {
        let page = site.api(&format!("topics/t/records?order=oldest&max=7{at}"));
        seen.extend(numbers(&page));
        match page["next"].as_str() {
            Some(next) => at = format!("&at={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&time=1000095")), [95, 96, 97, 98, 99]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&time=9000000")), [0; 0]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&partition=1&max=2")), [1, 4]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&partition=1&at=1:32")), [97]);
    let whole = site.api("topics/t/records/1/2");
    assert_eq!(
        (&whole["key"]["text"], &whole["headers"][0]),
        (&json!("k7"), &json!(["h", {"text": "v", "bytes": 1}]))
    );
    for (path, status) in [
        ("topics/none/records", 404),
        ("topics/t/records/1/999", 404),
        ("topics/t/records/9/0", 404),
        ("topics/t/records/x/0", 400),
        ("topics/t/records?max=x", 400),
        ("topics/t/records?partition=3", 400),
        ("topics/t/records?at=nonsense", 400),
        ("topics/t/search?where=nonsense", 400),
        ("topics/t/search?since=nonsense", 400),
    ] {
        let (found, answer) = site.ask("GET", &format!("{API}/{path}"), &[], "");
        assert!(found == status && answer["errors"][0].is_string(), "{path}: {found} {answer}");
    }
    site.end();
}

#[test]
fn records_of_transactions_that_are_open_or_aborted_are_not_shown() {
    let site = Site::new();
    let kafka = broker::server::start(
        broker::server::ServerConfig::new(([127, 0, 0, 1], 0).into()),
        site.broker.clone(),
    )
    .expect("a port");
    let address = kafka.local_addr().to_string();
    site.filled("t", 1, 5);
    let producer = |id: &str| {
        let client = Client::connect(&address, "test").expect("it listens");
        kafka_client::TransactionalProducer::new(client, id, std::time::Duration::from_secs(60))
            .expect("a producer")
    };
    let mut aborted = producer("a");
    aborted.write("t", 0, 2_000_000, &["aborted".to_owned()]).expect("it is taken");
    aborted.abort().expect("it aborts");
    let mut committed = producer("c");
    committed.write("t", 0, 1_000_005, &["committed".to_owned()]).expect("it is taken");
    committed.commit().expect("it commits");
    let mut open = producer("o");
    open.write("t", 0, 3_000_000, &["open".to_owned()]).expect("it is taken");
    assert_eq!(numbers(&site.api("topics/t/records")), [5, 4, 3, 2, 1, 0]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest")), [0, 1, 2, 3, 4, 5]);
    let (_, found) = search(&site, "t", "text=ed");
    assert_eq!(found.iter().filter(|line| line["record"].is_object()).count(), 1, "{found:?}");
    kafka.shutdown();
    site.end();
}

#[test]
fn a_record_is_produced_and_a_group_set_back_after_a_look() {
    let site = Site::new();
    let mut client = site.filled("t", 1, 50);
    let place = site.change(
        "topics/t/records",
        &json!({"key": {"text": "k"}, "value": {"base64": "/w=="}, "headers": [["h", {"text": "v"}], ["n", null]]}),
    );
    assert_eq!(place, json!({"partition": 0, "offset": 50}));
    let record = site.api("topics/t/records/0/50");
    assert_eq!(
        (&record["value"], &record["headers"][1]),
        (&json!({"base64": "/w==", "bytes": 1}), &json!(["n", null]))
    );
    for (body, why) in [
        (json!({"value": {}}), "'text' or 'base64'"),
        (json!({"value": {"base64": "?"}}), "base64"),
        (json!({"partition": 9}), ""),
    ] {
        let (status, words) =
            site.refused("POST", &format!("{API}/topics/t/records"), &[OWN, JSON], &body.to_string());
        assert!((400..500).contains(&status) && words.contains(why), "{body}: {status} {words}");
    }
    client
        .offset_commit("g", &[kafka_client::OffsetToCommit { topic: "t".into(), partition: 0, offset: 40 }])
        .expect("it commits");
    assert_eq!(site.api("groups")["groups"][0]["lag"], 11);
    let asked = json!({"topic": "t", "to": "time", "time": 1_000_020});
    let plan = site.change("groups/g/reset", &asked);
    assert_eq!(
        plan,
        json!({"changes": [{"partition": 0, "before": 40, "after": 20}], "done": false, "members": 0})
    );
    assert_eq!(site.api("groups/g")["lags"][0]["committed"], 40, "a look changes nothing");
    let mut confirmed = asked;
    confirmed["confirm"] = true.into();
    assert_eq!(site.change("groups/g/reset", &confirmed)["done"], true);
    let group = site.api("groups/g");
    assert_eq!((&group["lags"][0]["committed"], &group["lags"][0]["lag"]), (&json!(20), &json!(31)));
    assert_eq!(site.refused("GET", &format!("{API}/groups/none"), &[], "").0, 404);
    site.end();
}

#[test]
fn lists_come_in_pages() {
    let site = Site::new();
    let mut client = site.filled("first", 1, 3);
    for number in 0..30 {
        client.create_topic(&format!("topic-{number:02}"), 1, 1, &[]).expect("a new topic");
    }
    let page = site.api("topics?filter=TOPIC-&skip=10&max=5");
    let names: Vec<&str> =
        page["topics"].as_array().unwrap().iter().map(|topic| topic["name"].as_str().unwrap()).collect();
    assert_eq!(
        (page["found"].as_i64(), names),
        (Some(30), vec!["topic-10", "topic-11", "topic-12", "topic-13", "topic-14"])
    );
    assert_eq!(site.api("topics?sort=records&max=1")["topics"][0]["name"], "first");
    let topic = site.api("topics/first");
    assert_eq!((&topic["partitions"][0]["end"], &topic["may"]["write"]), (&json!(3), &json!(true)));
    assert!(topic["configs"].as_array().unwrap().iter().any(|config| config["key"] == "retention.ms"));
    let node = site.api("node");
    assert!(
        node["durability"]["last_sync_ns"].is_number() && node["durability"]["fenced"].is_null(),
        "{node}"
    );
    assert_eq!(node["topics"], 31);
    site.end();
}
