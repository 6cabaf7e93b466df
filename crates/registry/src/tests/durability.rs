//! What the log keeps: everything after a restart, what others wrote into the topic, and nothing that is no record.

use super::*;
use kafka_wire::records::{BatchBuilder, Compression};

impl Site {
    /// Appends records as a producer would.
    fn produce(&self, records: &[(&str, Option<&str>)]) {
        self.produce_as(BatchBuilder::new(Compression::None), records);
    }

    fn produce_as(&self, mut builder: BatchBuilder, records: &[(&str, Option<&str>)]) {
        for (key, value) in records {
            builder.append(1, Some(key.as_bytes()), value.map(str::as_bytes), &[]).unwrap();
        }
        let count = builder.count() as u32;
        let bytes = builder.build().unwrap();
        let ((), lsn) = self
            .log
            .append(|frame| {
                if frame.topic("_schemas").is_none() {
                    frame.create_topic("_schemas", 1, Default::default())?;
                }
                let partition = frame.topic("_schemas").unwrap().partitions[0];
                frame.batch(partition, count, 1, &bytes).map(drop)
            })
            .map_err(|error: eventlog::LogError| error)
            .unwrap();
        self.log.wait_durable(lsn).unwrap();
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    let site = Site::new();
    site.register("a", &record(&["x"]));
    site.register("a", &record(&["x", "Y"]));
    site.register("gone", &json!("int"));
    site.delete("/subjects/gone");
    site.put("/config", json!({"compatibility": "FULL"}));
    site.put("/config/a", json!({"compatibility": "FORWARD", "normalize": true}));
    site.put("/mode/a", json!({"mode": "READONLY"}));
    let proto = "syntax = \"proto3\"; message A { int64 id = 1; }";
    site.register_as("p", json!({"schema": proto, "schemaType": "PROTOBUF"}));
    let references = json!([{"name": "A.proto", "subject": "p", "version": 1}]);
    let user = "syntax = \"proto3\"; import \"A.proto\"; message B { A a = 1; }";
    site.register_as("q", json!({"schema": user, "schemaType": "PROTOBUF", "references": references}));
    let targets = [
        "/schemas?deleted=true",
        "/subjects?deleted=true",
        "/config",
        "/config/a",
        "/mode/a",
        "/schemas/ids/5",
        "/subjects/p/versions/1/referencedby",
    ];
    let before: Vec<Value> = targets.iter().map(|target| site.get(target)).collect();
    let site = site.restart();
    let after: Vec<Value> = targets.iter().map(|target| site.get(target)).collect();
    assert_eq!(before, after);
    assert_eq!(before[6], json!([5]));
    assert_eq!(site.register("b", &json!("int")), 3, "the number of deleted content");
}

#[test]
fn a_topic_of_another_registry_is_understood() {
    let site = Site::new();
    site.register("a", &json!("int"));
    site.produce(&[
        (r#"{"keytype":"NOOP","magic":0}"#, None),
        (
            r#"{"keytype":"SCHEMA","subject":"b","version":3,"magic":1}"#,
            Some(r#"{"subject":"b","version":3,"id":77,"schema":"\"long\"","deleted":false}"#),
        ),
        (
            r#"{"keytype":"SCHEMA","subject":"b","version":4,"magic":1}"#,
            Some(r#"{"subject":"b","version":4,"id":78,"schemaType":"JSON","schema":"{}","references":null,"deleted":false}"#),
        ),
        (r#"{"keytype":"CONFIG","subject":null,"magic":0}"#, Some(r#"{"compatibilityLevel":"NONE"}"#)),
        (r#"{"keytype":"MODE","subject":"a","magic":0}"#, Some(r#"{"mode":"READONLY"}"#)),
    ]);
    assert_eq!(site.get("/subjects"), json!(["a", "b"]));
    assert_eq!(site.get("/subjects/b/versions/4")["schemaType"], "JSON");
    assert_eq!(site.get("/config")["compatibilityLevel"], "NONE");
    assert_eq!(site.get("/mode/a")["mode"], "READONLY");
    assert_eq!(site.register("c", &json!("bytes")), 79);
    site.produce(&[(
        r#"{"keytype":"DELETE_SUBJECT","subject":"b","magic":0}"#,
        Some(r#"{"subject":"b","version":3}"#),
    )]);
    assert_eq!(site.get("/subjects/b/versions"), json!([4]));
    site.produce(&[
        (r#"{"keytype":"SCHEMA","subject":"b","version":3,"magic":1}"#, None),
        (r#"{"keytype":"SCHEMA","subject":"b","version":4,"magic":1}"#, None),
    ]);
    assert_eq!(site.code("GET", "/subjects/b/versions?deleted=true", None), 40401);
    assert_eq!(site.code("GET", "/schemas/ids/77", None), 40403);
}

#[test]
fn no_schema_goes_with_its_age_whoever_made_the_topic() {
    let site = Site::new();
    site.produce(&[("{}", None)]);
    let config = || site.log.topic("_schemas").unwrap().config.clone();
    assert!(config().cleanup_delete);
    site.register("a", &json!("int"));
    assert!(config().cleanup_compact && !config().cleanup_delete);
}

#[test]
fn records_that_are_none_say_nothing() {
    let site = Site::new();
    site.produce(&[
        ("", None),
        ("no JSON", Some("{}")),
        ("{}", Some("{}")),
        (r#"{"keytype":"SCHEMA","subject":"b","version":-1,"magic":1}"#, Some("{}")),
        (r#"{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}"#, Some(r#"{"id":1}"#)),
        (r#"{"keytype":"SCHEMA","version":1}"#, Some(r#"{"id":1,"schema":"\"int\""}"#)),
        (r#"{"keytype":"OTHER","subject":"b"}"#, Some("[]")),
    ]);
    assert_eq!(site.get("/subjects?deleted=true"), json!([]));
    // A schema that nobody can read is there all the same, and in the way of what is compared with it.
    site.produce(&[(
        r#"{"keytype":"SCHEMA","subject":"b","version":1,"magic":1}"#,
        Some(r#"{"id":1,"schema":"{{"}"#),
    )]);
    assert_eq!(site.get("/schemas/ids/1")["schema"], "{{");
    assert_eq!(site.code("POST", "/subjects/b/versions", Some(json!({"schema": "\"int\""}))), 42201);
}

#[test]
fn a_batch_that_cannot_be_read_is_passed_over_and_told() {
    let site = Site::new();
    site.register("a", &json!("int"));
    let append = |bytes: &[u8]| {
        let partition = site.log.topic("_schemas").unwrap().partitions[0];
        let ((), lsn) = site.log.append(|frame| frame.batch(partition, 1, 1, bytes).map(drop)).unwrap();
        site.log.wait_durable(lsn).unwrap();
    };
    append(&[7; 100]);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1, Some(b"{}"), None, &[]).unwrap();
    let mut damaged = builder.build().unwrap().to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    append(&damaged);
    assert_eq!(site.get("/subjects"), json!(["a"]));
    assert_eq!(site.register("b", &json!("long")), 2);
    assert_eq!(site.get("/subjects"), json!(["a", "b"]));
    let told = site.told.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "each is told once: {told:?}");
    for (line, offset) in told.iter().zip([1, 2]) {
        let front = "the registry passes over what it cannot read: topic=_schemas";
        assert!(line.starts_with(&format!("{front} offsets={offset}..={offset}: ")), "{line}");
    }
}

/// A look, while a write compares for long: the same for one that waits for its sync, which holds as much.
#[test]
fn a_look_does_not_wait_for_a_write() {
    let site = Arc::new(Site::new());
    site.register("a", &json!("int"));
    let (begun, begins) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let (answers, answered) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (writer, looker) = (site.clone(), site.clone());
        scope.spawn(move || {
            let decide = |_: &crate::state::State| {
                begun.send(()).unwrap();
                goes_on.recv().unwrap();
                Ok((Vec::new(), ()))
            };
            writer.registry.write(decide).map_err(|_| "refused").unwrap();
        });
        begins.recv().unwrap();
        scope.spawn(move || answers.send(looker.get("/subjects")).unwrap());
        let answer = answered.recv_timeout(std::time::Duration::from_secs(20));
        go_on.send(()).unwrap();
        assert_eq!(answer, Ok(json!(["a"])), "it waits for the write");
    });
}

/// What a look has taken along stays as it is, and the next one has what came since.
#[test]
fn a_long_look_sees_one_state_and_holds_up_no_write() {
    let site = Site::new();
    site.register("a", &json!("int"));
    let subjects = |state: &crate::state::State| state.subjects.keys().cloned().collect::<Vec<_>>();
    let seen = site.registry.read(|state| {
        let before = subjects(state);
        assert_eq!(site.register("b", &json!("long")), 2);
        assert_eq!(site.get("/subjects"), json!(["a", "b"]));
        Ok((before, subjects(state)))
    });
    let (before, after) = seen.map_err(|_| "refused").unwrap();
    assert_eq!((before, after), (vec!["a".to_string()], vec!["a".to_string()]));
}

#[test]
fn a_topic_that_is_deleted_takes_everything_with_it() {
    let site = Site::new();
    site.register("a", &json!("int"));
    let ((), lsn) = site.log.append(|frame| frame.delete_topic("_schemas")).unwrap();
    site.log.wait_durable(lsn).unwrap();
    assert_eq!(site.get("/subjects"), json!([]));
    assert_eq!(site.register("b", &json!("long")), 1);
}

#[test]
fn schemas_that_refer_to_each_other_are_refused_and_not_followed_for_ever() {
    // Bad input 17: the API cannot make them, but who writes to the topic can.
    let site = Site::new();
    let version = |subject: &str, id: u32, others: [&str; 2]| {
        let key = format!(r#"{{"keytype":"SCHEMA","subject":"{subject}","version":1,"magic":1}}"#);
        let references =
            others.map(|other| json!({"name": format!("{other}.{subject}"), "subject": other, "version": 1}));
        let value = json!({
            "subject": subject, "version": 1, "id": id, "schema": "\"long\"", "references": references, "deleted": false,
        });
        (key, value.to_string())
    };
    let (a, b) = (version("a", 1, ["a", "b"]), version("b", 2, ["b", "a"]));
    site.produce(&[(&a.0, Some(&a.1)), (&b.0, Some(&b.1))]);
    let references = json!([{"name": "x", "subject": "a", "version": 1}]);
    let body = json!({"schema": "\"int\"", "references": references});
    assert_eq!(site.code("POST", "/subjects/c/versions", Some(body)), 42201);
    assert_eq!(site.ask("GET", "/schemas/ids/1?format=resolved", None).0, 422);
    assert_eq!(site.get("/subjects"), json!(["a", "b"]));
    assert_eq!(site.register("d", &json!("int")), 3);
}

/// What producer 7 wrote at offset 1 is aborted, by the marker at offset 2; what it writes at 4 is open until 5 is stable.
struct Decided(std::sync::atomic::AtomicI64);

impl eventlog::Transactions for Decided {
    fn last_stable_offset(&self, _: base::PartitionId, bounds: &eventlog::Bounds) -> base::Offset {
        base::Offset(self.0.load(std::sync::atomic::Ordering::Relaxed)).min(bounds.high_watermark)
    }

    fn aborted(
        &self,
        _: base::PartitionId,
        from: base::Offset,
        to: base::Offset,
    ) -> Vec<eventlog::AbortedRange> {
        let (first_offset, last_offset) = (base::Offset(1), base::Offset(2));
        let aborted = eventlog::AbortedRange { producer_id: 7, first_offset, last_offset };
        let overlaps = first_offset < to && last_offset >= from;
        overlaps.then_some(aborted).into_iter().collect()
    }
}

#[test]
fn what_a_transaction_has_not_committed_says_nothing() {
    let site = Site::new();
    let decided = std::sync::Arc::new(Decided(i64::MAX.into()));
    site.log.answer_for_transactions(decided.clone());
    assert_eq!(site.register("a", &json!("int")), 1);
    let version = |subject: &str| {
        let key = format!(r#"{{"keytype":"SCHEMA","subject":"{subject}","version":1,"magic":1}}"#);
        let value =
            format!(r#"{{"subject":"{subject}","version":1,"id":77,"schema":"\"long\"","deleted":false}}"#);
        (key, value)
    };
    let transactional = || BatchBuilder::new(Compression::None).producer(7, 0, 0).transactional();
    // Whoever may write to the topic could take back every schema and say it was never meant.
    let gone = r#"{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}"#;
    site.produce_as(transactional(), &[(gone, None)]);
    // In place of the marker and of another producer's record.
    site.produce(&[("marker", None), ("other", None)]);
    assert_eq!(site.get("/subjects"), json!(["a"]));
    assert_eq!(site.get("/subjects/a/versions"), json!([1]));
    decided.0.store(4, std::sync::atomic::Ordering::Relaxed);
    let (key, value) = version("b");
    site.produce_as(transactional(), &[(&key, Some(&value))]);
    assert_eq!(site.get("/subjects"), json!(["a"]));
    // Its number is not known yet, so none can be given.
    let body = json!({"schema": "\"string\""});
    let (status, answer) = site.ask("POST", "/subjects/c/versions", Some(body));
    assert_eq!((status, answer["error_code"].as_u64()), (503, Some(503)), "{answer}");
    decided.0.store(i64::MAX, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(site.get("/subjects"), json!(["a", "b"]));
    assert_eq!(site.register("c", &json!("string")), 78);
}
