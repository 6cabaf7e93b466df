//! Dead letters: shown, and sent back.

use crate::site::Site;
use crate::{API, JSON, OWN, append};
use kafka_client::Client;
use kafka_wire::records::{BatchBuilder, Compression};
use serde_json::{Value, json};

#[test]
fn letters_of_jobs_are_shown_and_sent_back_as_far_as_they_came_from_a_topic() {
    let site = Site::new();
    let mut client = site.filled("source", 2, 0);
    client.create_topic("unread", 1, 1, &[]).expect("a new topic");
    let mut letter = |origin: &str, reason: &str, value: &str| {
        let headers = [("origin", Some(origin.as_bytes())), ("reason", Some(reason.as_bytes()))];
        append(&mut client, "unread", 1, value.as_bytes(), &headers);
    };
    letter("source partition=1 offset=7", "no JSON", "{");
    letter("events.csv line=3", "no number", "x,y");
    letter("source partition=0 offset=9", "a column is missing", "{}");
    letter("__landed partition=0 offset=1", "no JSON", "[");
    let page = site.api("letters/unread");
    let seen = |page: &Value| {
        let letters = page["letters"].as_array().expect("a list").iter();
        letters.map(|one| (one["origin"].clone(), one["may_send"] == true)).collect::<Vec<_>>()
    };
    assert_eq!(
        seen(&page),
        [
            (json!("source-1@7"), true),
            (json!("events.csv line=3"), false),
            (json!("source-0@9"), true),
            (json!("__landed partition=0 offset=1"), false)
        ]
    );
    assert_eq!((&page["letters"][0]["cause"], &page["letters"][0]["group"]), (&json!("no JSON"), &json!("")));
    assert_eq!(seen(&site.api("letters/unread?text=no%20JSON")).len(), 2);
    assert_eq!(seen(&site.api("letters/unread?group=g")).len(), 0);

    let told = |name: &str| {
        let letters = page["letters"].as_array().expect("a list").iter();
        letters.map(|one| one[name] == true).collect::<Vec<_>>()
    };
    assert_eq!(told("of_job"), [true; 4]);
    assert_eq!((told("copy"), told("gone")), (vec![true; 4], vec![false; 4]));

    // A look sends nothing; a filter picks, and what it sent still waits.
    let redrive = |body: Value| site.change("letters/unread/redrive", &body);
    let to =
        |partition: i64, records: i64| json!({"topic": "source", "partition": partition, "records": records});
    let look = redrive(json!({"text": "no JSON"}));
    assert_eq!(
        (&look["to"], &look["done"], &look["noted"]),
        (&json!([to(1, 1)]), &json!(false), &json!(false))
    );
    assert_eq!(site.api("topics/source/records")["records"], json!([]));
    assert_eq!(redrive(json!({"text": "no JSON", "confirm": true}))["letters"], 1);
    let sent = site.api("topics/source/records");
    assert_eq!(
        (&sent["records"][0]["value"]["text"], &sent["records"][0]["headers"]),
        (&json!("{"), &json!([]))
    );
    let look = redrive(json!({}));
    assert_eq!((&look["to"], &look["left"]), (&json!([to(0, 1), to(1, 1)]), &json!(2)));
    let why = look["left_first"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("events.csv line=3, which is no topic"), "{look}");
    assert_eq!(redrive(json!({"confirm": true}))["letters"], 2);
    assert_eq!(redrive(json!({}))["letters"], 0, "all that can be sent were");
    assert_eq!(redrive(json!({"again": true}))["letters"], 2);
    assert_eq!(redrive(json!({"partition": 0, "offset": 2}))["to"], json!([to(0, 1)]));
    let body = json!({"partition": 0, "offset": 1}).to_string();
    let (status, words) = site.refused("POST", &format!("{API}/letters/unread/redrive"), &[OWN, JSON], &body);
    assert!(status == 400 && words.contains("events.csv line=3, which is no topic"), "{status} {words}");
    site.end();
}

/// Headers of a share group's letter, which may say anything.
fn of_group(topic: &str, partition: &str, offset: &str) -> Vec<(String, String)> {
    let headers =
        [("topic", topic), ("partition", partition), ("offset", offset), ("group", "g"), ("message", "no")];
    headers.map(|(name, value)| (format!("__dlq.errors.{name}"), value.to_string())).into()
}

fn append_letter(client: &mut Client, headers: &[(String, String)], value: Option<&[u8]>) {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&name[..], Some(value.as_bytes()))).collect();
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(1_000_000, None, value, &headers).expect("it fits");
    client.produce("dlq", 0, batch.build().expect("a batch"), -1).expect("it is taken");
}

/// What cannot go back is named and passed over: it neither holds up the others nor waits for ever.
#[test]
fn letters_that_cannot_go_back_hold_nobody_up() {
    let site = Site::new();
    let mut client = site.filled("source", 1, 3);
    client.create_topic("dlq", 1, 1, &[]).expect("a new topic");
    client.create_topic("narrow", 1, 1, &[("max.message.bytes", "200")]).expect("a new topic");
    append_letter(&mut client, &of_group("deleted", "0", "0"), Some(b"its topic is gone"));
    append_letter(&mut client, &of_group("source", "7", "0"), Some(b"its partition is gone"));
    append_letter(&mut client, &of_group("source", "0", "77"), None);
    append_letter(&mut client, &[("h".into(), "v".into())], Some(b"no letter"));
    append_letter(&mut client, &of_group("narrow", "0", "0"), Some("x".repeat(1_000).as_bytes()));
    append_letter(&mut client, &of_group("narrow", "0", "1"), Some(b"small enough"));
    for own in ["__consumer_offsets", "__view.totals", "_schemas"] {
        append_letter(&mut client, &of_group(own, "0", "0"), Some(b"forged"));
    }
    // A note alone stands for the record where it lay.
    append_letter(&mut client, &of_group("source", "0", "1"), None);
    let redrive = |body: Value| site.change("letters/dlq/redrive", &body);
    let look = redrive(json!({}));
    // That a topic refuses a record is found when it is sent.
    assert_eq!((&look["letters"], &look["left"]), (&json!(3), &json!(7)));
    let sent = redrive(json!({"confirm": true}));
    let to = |topic: &str| json!({"topic": topic, "partition": 0, "records": 1});
    assert_eq!((&sent["to"], &sent["left"]), (&json!([to("narrow"), to("source")]), &json!(8)));
    let whys: Vec<&str> = sent["left_first"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["why"].as_str().expect("words"))
        .collect();
    for wanted in [
        "from deleted-0, and there is no such partition any more",
        "from source-7",
        "no record at source-0@77 any more",
        "is no dead letter",
        "__consumer_offsets-0@0, which is no topic",
        "_schemas-0@0, which is no topic",
    ] {
        assert!(whys.iter().any(|why| why.contains(wanted)), "{wanted}: {whys:?}");
    }
    assert_eq!(
        site.api("topics/source/records")["records"][0]["value"]["text"],
        "{\"number\": 1, \"said\": \"Hello 1\"}"
    );
    // They are dealt with, all of them.
    let again = redrive(json!({}));
    assert_eq!((&again["letters"], &again["left"], &again["next"]), (&json!(0), &json!(0), &Value::Null));
    for offset in [0, 1, 2, 6] {
        let body = json!({"partition": 0, "offset": offset, "confirm": true}).to_string();
        let (status, words) =
            site.refused("POST", &format!("{API}/letters/dlq/redrive"), &[OWN, JSON], &body);
        assert!(status == 404 || status == 400, "{offset}: {status} {words}");
    }
    site.end();
}

#[test]
fn a_redrive_goes_on_where_the_one_before_ended() {
    let site = Site::new();
    let mut client = site.filled("source", 1, 0);
    client.create_topic("dlq", 2, 1, &[]).expect("a new topic");
    let mut fill = |partition: i32, count: usize, value: &str| {
        for first in (0..count).step_by(2_000) {
            let mut batch = BatchBuilder::new(Compression::None);
            for number in first..count.min(first + 2_000) {
                let origin = format!("source partition=0 offset={number}");
                let headers = [("origin", Some(origin.as_bytes())), ("reason", Some(&b"no"[..]))];
                batch.append(0, None, Some(value.as_bytes()), &headers).expect("it fits");
            }
            client.produce("dlq", partition, batch.build().expect("a batch"), -1).expect("it is taken");
        }
    };
    fill(0, 12_000, "many");
    fill(1, 50_000, "few");
    fill(1, 1, "last");
    let redrive = |body: Value| site.change("letters/dlq/redrive", &body);
    // Which are sent, in pieces.
    let pieces = |mut body: Value| {
        let mut all = Vec::new();
        loop {
            let answer = redrive(body.clone());
            all.push((
                answer["letters"].as_i64().expect("a count"),
                answer["looked_at"].as_i64().expect("a count"),
            ));
            body["from"] = answer["next"].clone();
            if body["from"].is_null() {
                return all;
            }
        }
    };
    assert_eq!(
        pieces(json!({"text": "many", "confirm": true})),
        [(10_000, 10_000), (2_000, 50_000), (0, 2_001)]
    );
    let ends = |topic: &str| site.api(&format!("topics/{topic}"))["partitions"][0]["end"].clone();
    assert_eq!(ends("source"), 12_000, "none went twice");
    // A filter that fits little looks at no more than so many at once.
    assert_eq!(pieces(json!({"text": "last"})), [(0, 50_000), (1, 12_001)]);
    // All, those among them that were sent before.
    let again = pieces(json!({"again": true}));
    assert_eq!(
        again.iter().map(|piece| piece.0).collect::<Vec<_>>(),
        [10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 2_001]
    );
    // What waits goes on by itself.
    for wanted in [10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 2_001, 0] {
        assert_eq!(redrive(json!({"confirm": true}))["letters"], wanted);
    }
    let body = json!({"from": {"x": 1}}).to_string();
    assert_eq!(site.refused("POST", &format!("{API}/letters/dlq/redrive"), &[OWN, JSON], &body).0, 400);
    site.end();
}
