//! Requests to a scripted server: what a table may say, rows alone and together, and what the server makes of them.

use super::*;
use crate::service::testing::{Answer, Asked, Served};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::sink::{OutboxSink, Sink, SinkError};
use dataflow::table::MetadataColumn;

type Options<'a> = &'a [(&'a str, &'a str)];

fn orders(url: &str, options: Options<'_>, metadata: &[&str]) -> Arc<TableDefinition> {
    let own = [("connector", "http"), ("url", url), ("format", "json"), ("timeout", "5 s")];
    let mut all: BTreeMap<&str, &str> = own.into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    let table = table(schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]), &all);
    let column = |key: &&str| MetadataColumn {
        name: key.to_string(),
        key: key.to_string(),
        data_type: if *key == "headers" { crate::landed::headers_type() } else { DataType::Utf8 },
        is_virtual: false,
    };
    Arc::new(TableDefinition { metadata: metadata.iter().map(column).collect(), ..(*table).clone() })
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let batch = ("http.sink.writer.request.mode", "batch");
    let event = [("format", "cloudevents"), ("cloudevents.source", "/s"), ("cloudevents.type", "t")];
    let binary = [event[0], event[1], event[2], ("cloudevents.mode", "binary"), batch];
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
    let cases: &[Case<'_>] = &[
        (&[], &[], ""),
        (&[], &["headers"], ""),
        (&event, &["value.id"], ""),
        (&event, &[], "an event has an 'id'"),
        (&[("url", "ftp://a")], &[], "the scheme is https, or http"),
        (&[("url", "http://u:p@a")], &[], "'******@a' is not an address"),
        (&[("insert-method", "GET")], &[], "expected one of 'POST', 'PUT', 'PATCH'"),
        (&[("http.sink.header.Host", "a")], &[], "the connector sets it itself"),
        (&[("http.sink.header.idempotency-key", "a")], &[], "one of its own"),
        (&[("http.sink.header.a b", "a")], &[], "none of HTTP"),
        (&[("http.sink.header.Authorization", "a"), ("token", "b")], &[], "says too"),
        (&[("token", "a"), ("username", "b")], &[], "two ways to log in"),
        (&[("password", "a")], &[], "needs 'username'"),
        (&[("tls.root-cas-file", "a.pem")], &[], "is for TLS: write 'https://"),
        (&[("http.sink.error.code", "44")], &[], "'44' is no status"),
        (&[batch, ("format", "csv")], &[], "several rows are one request where they are JSON"),
        (&binary, &["value.id"], "several rows are one request where they are JSON"),
        (&[batch], &["headers"], "have no headers of their own"),
    ];
    for (options, metadata, words) in cases {
        let checked = node.connector("http").check(&orders("http://a/b", options, metadata), Role::Sink);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
}

/// A sink, and an outbox in the log that it is fed from.
struct Trial {
    node: Node,
    served: Served,
    table: Arc<TableDefinition>,
    sink: Box<dyn OutboxSink>,
}

impl Trial {
    fn start(
        options: Options<'_>,
        metadata: &[&str],
        answer: impl FnMut(&Asked) -> Answer + Send + 'static,
    ) -> Trial {
        let (node, served) = (Node::start(), Served::start_with(answer));
        let table = orders(&format!("{}/hooks?shop=1", served.url), options, metadata);
        node.create_topic("outbox", 1);
        let sink = Trial::sink(&node, &table);
        Trial { node, served, table, sink }
    }

    fn sink(node: &Node, table: &Arc<TableDefinition>) -> Box<dyn OutboxSink> {
        match node.connector("http").sink(table, "job").unwrap() {
            Sink::Outbox(sink) => sink,
            _ => panic!("another sink"),
        }
    }

    /// A step writes rows with these texts; a metadata column has them too.
    fn step(&mut self, texts: &[&str]) {
        let ids = Int64Array::from_iter_values(0..texts.len() as i64);
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let mut fields = self.table.schema.fields().to_vec();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(ids), text.clone()];
        for column in &self.table.metadata {
            fields.push(Arc::new(Field::new(&column.name, column.data_type.clone(), true)));
            columns.push(text.clone());
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let batches = self.sink.encode(&batch(rows), 1).unwrap();
        self.node.append("outbox", batches);
    }

    /// What the driver of an outbox does in one turn.
    fn run(&mut self) -> Result<i64, SinkError> {
        let next = self.sink.open()?;
        self.go_on(next)
    }

    fn go_on(&mut self, next: i64) -> Result<i64, SinkError> {
        let partition = self.node.log.topic("outbox").unwrap().partitions[0];
        for slice in self.node.log.read(partition, base::Offset(next), 1 << 20).unwrap() {
            let mut bytes = Vec::new();
            slice.read(&mut bytes).unwrap();
            self.sink.apply(&bytes)?;
        }
        self.sink.commit(false, 1)
    }

    /// The node dies and is there again.
    fn begin_again(&mut self) {
        self.sink = Trial::sink(&self.node, &self.table);
    }

    fn asked(&self) -> Vec<(String, String)> {
        let asked = self.served.asked();
        asked.iter().map(|asked| asked.split_once("\r\n\r\n").unwrap()).map(owned).collect()
    }

    fn bodies(&self) -> Vec<String> {
        self.asked().into_iter().map(|(_, body)| body).collect()
    }

    fn keys(&self) -> Vec<String> {
        self.asked().iter().map(|(head, _)| header(head, "Idempotency-Key").unwrap()).collect()
    }
}

fn owned((head, body): (&str, &str)) -> (String, String) {
    (head.to_string(), body.to_string())
}

fn header(head: &str, wanted: &str) -> Option<String> {
    let mut headers = head.split("\r\n").filter_map(|line| line.split_once(": "));
    headers.find(|(name, _)| *name == wanted).map(|(_, value)| value.to_string())
}

fn status(status: u16) -> Answer {
    Some((status, Vec::new(), b"because\nof that".to_vec()))
}

fn text(asked: &Asked) -> String {
    String::from_utf8(asked.body.clone()).unwrap()
}

#[test]
fn each_row_is_a_request_and_what_passes_is_sent_again_in_order_with_the_same_key() {
    let mut failures = 2;
    let mut trial = Trial::start(&[], &[], move |asked| {
        if text(asked).contains("\"b\"") && failures > 0 {
            failures -= 1;
            return status(if failures == 1 { 503 } else { 429 });
        }
        status(204).map(|(status, headers, _)| (status, headers, Vec::new()))
    });
    trial.step(&["a", "b", "c"]);
    assert_eq!(trial.run().unwrap(), 3);
    let row = |id: u8, t: &str| format!("{{\"id\":{id},\"t\":\"{t}\"}}");
    assert_eq!(trial.bodies(), [row(0, "a"), row(1, "b"), row(1, "b"), row(1, "b"), row(2, "c")]);
    let keys = trial.keys();
    assert!(keys[1] == keys[2] && keys[2] == keys[3] && keys[0] != keys[1] && keys[4].ends_with("-2"));
    let head = trial.asked().remove(0).0;
    assert!(head.starts_with("POST /hooks?shop=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "Content-Type").unwrap(), "application/json");
    assert!(trial.served.url.ends_with(&header(&head, "Host").unwrap()), "{head}");
    assert!(header(&head, "User-Agent").unwrap().starts_with("eventwright/"));
    // What has been noted is not sent again.
    trial.begin_again();
    trial.step(&["d"]);
    assert_eq!(trial.run().unwrap(), 4);
    assert_eq!(trial.bodies().len(), 6);
}

#[test]
fn what_is_refused_becomes_a_dead_letter_and_the_rest_goes_on() {
    let answer = |asked: &Asked| status(if text(asked).contains("\"b\"") { 422 } else { 200 });
    let mut trial = Trial::start(&[("dead-letter.topic", "letters")], &[], answer);
    trial.step(&["a", "b", "c"]);
    assert_eq!(trial.run().unwrap(), 0);
    let letters = trial.sink.take_rejected();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(br#"{"id":1,"t":"b"}"#.as_slice()));
    assert_eq!(letters[0].reason, "the server answers 422: because of that");
    assert!(letters[0].origin.contains("outbox-offset=1") && letters[0].topic == "letters");
    assert_eq!(trial.sink.commit(false, 1).unwrap(), 3);
    let mut without = Trial::start(&[], &[], |_| status(400));
    without.step(&["a"]);
    let error = without.run().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("answers 400") && error.message.contains("dead-letter.topic"), "{error}");
}

#[test]
fn statuses_mean_what_the_table_says() {
    let codes = [
        ("dead-letter.topic", "l"),
        ("http.sink.error.code", "404, 5XX"),
        ("http.sink.error.code.exclude", "409"),
    ];
    let mut statuses = [404, 503, 409].into_iter();
    let mut trial = Trial::start(&codes, &[], move |_| status(statuses.next().unwrap()));
    trial.step(&["a", "b", "c"]);
    trial.run().unwrap();
    assert_eq!(trial.sink.take_rejected().len(), 2);
    assert_eq!((trial.sink.commit(false, 1).unwrap(), trial.bodies().len()), (3, 3));
}

const BATCH: (&str, &str) = ("http.sink.writer.request.mode", "batch");

#[test]
fn rows_of_a_step_are_one_request_and_the_same_one_after_a_crash() {
    let options = [BATCH, ("http.sink.request.batch.size", "2")];
    let mut count = 0;
    let mut trial = Trial::start(&options, &[], move |_| {
        count += 1;
        // The third is taken, and the answer gets lost, also where it is sent over a new connection at once.
        (!(3..=4).contains(&count)).then(|| (200, Vec::new(), Vec::new()))
    });
    trial.step(&["a", "b", "c"]);
    trial.step(&["d"]);
    trial.step(&["e", "f"]);
    let error = trial.run().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    trial.begin_again();
    assert_eq!(trial.run().unwrap(), 6);
    let texts: Vec<String> = trial
        .bodies()
        .iter()
        .map(|body| {
            let rows: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
            rows.iter().map(|row| row["t"].as_str().unwrap()).collect()
        })
        .collect();
    assert_eq!(texts, ["ab", "c", "d", "d", "d", "ef"]);
    let keys = trial.keys();
    assert!(
        keys[2] == keys[3] && keys[3] == keys[4] && keys[0].ends_with("-0-1") && keys[1].ends_with("-2"),
        "{keys:?}"
    );
    assert!(keys[5].ends_with("-4-5"), "{keys:?}");
}

#[test]
fn of_rows_that_are_refused_together_each_is_sent_alone() {
    let options = [BATCH, ("dead-letter.topic", "letters")];
    let answer = |asked: &Asked| status(if text(asked).contains("\"b\"") { 400 } else { 200 });
    let mut trial = Trial::start(&options, &[], answer);
    trial.step(&["a", "b", "c"]);
    assert_eq!(trial.run().unwrap(), 0);
    assert_eq!(trial.sink.take_rejected().len(), 1);
    assert_eq!(trial.sink.commit(false, 1).unwrap(), 3);
    let bodies = trial.bodies();
    assert_eq!(bodies.len(), 4);
    assert_eq!(bodies[3], r#"[{"id":2,"t":"c"}]"#);
    let keys = trial.keys();
    // What a server has said of the whole must not be what it says of the first row.
    assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{keys:?}");
}

#[test]
fn a_log_in_that_is_refused_ends_the_job_unless_it_was_right_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let token = format!("${{file:{}}}", file.display());
    let wanted = Arc::new(std::sync::Mutex::new("Bearer first".to_string()));
    let now = wanted.clone();
    let mut trial = Trial::start(&[("token", &token)], &[], move |asked| {
        status(if header(&asked.head, "Authorization").unwrap() == *now.lock().unwrap() { 200 } else { 401 })
    });
    std::fs::write(&file, "wrong").unwrap();
    trial.step(&["a"]);
    let error = trial.run().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("answers 401") && !error.message.contains("wrong"), "{error}");
    std::fs::write(&file, "first").unwrap();
    assert_eq!(trial.run().unwrap(), 1);
    *wanted.lock().unwrap() = "Bearer second".into();
    trial.step(&["b"]);
    assert_eq!(trial.run().unwrap_err().kind, ErrorKind::Unavailable);
    std::fs::write(&file, "second").unwrap();
    assert_eq!(trial.run().unwrap(), 2);
}

#[test]
fn names_and_passwords_and_headers_are_sent() {
    let options = [("username", "shop"), ("password", "pass:word"), ("http.sink.header.X-Shop", "1")];
    let mut trial = Trial::start(&options, &[], |_| status(200));
    trial.step(&["a"]);
    trial.run().unwrap();
    let head = trial.asked().remove(0).0;
    assert_eq!(header(&head, "Authorization").unwrap(), "Basic c2hvcDpwYXNzOndvcmQ=");
    assert_eq!(header(&head, "X-Shop").unwrap(), "1");
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let mut trial =
        Trial::start(&[], &[], |_| Some((429, vec![("Retry-After", "100".into())], b"slowly".to_vec())));
    trial.step(&["a"]);
    let error = trial.run().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry);
    assert!(error.message.contains("answers 429: slowly"), "{error}");
    let error = trial.sink.open().unwrap_err();
    assert!(error.kind == ErrorKind::Retry && error.message.contains("asked again in "), "{error}");
    assert_eq!(trial.bodies().len(), 1);
}

#[test]
fn a_place_that_is_not_there_ends_the_job() {
    for (code, words) in [(404, "look at 'url'"), (301, "answers 301 to /there")] {
        let mut trial =
            Trial::start(&[], &[], move |_| Some((code, vec![("Location", "/there".into())], Vec::new())));
        trial.step(&["a"]);
        let error = trial.run().unwrap_err();
        assert!(error.kind == ErrorKind::NotFound && error.message.contains(words), "{error}");
    }
}

#[test]
fn several_requests_are_under_way_at_once() {
    let mut trial = Trial::start(&[("sink.requests.max-inflight", "3")], &[], |_| status(200));
    trial.step(&["a", "b", "c", "d"]);
    assert_eq!(trial.run().unwrap(), 4);
    let mut keys = trial.keys();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
}

const EVENT: [(&str, &str); 3] =
    [("format", "cloudevents"), ("cloudevents.source", "/shop"), ("cloudevents.type", "sold")];

#[test]
fn events_are_sent_in_each_mode_of_their_binding() {
    let sent = |more: Options<'_>| {
        let options = [EVENT.as_slice(), more].concat();
        let mut trial = Trial::start(&options, &["value.id"], |_| status(200));
        trial.step(&["ü 1"]);
        trial.run().unwrap();
        trial.asked().remove(0)
    };
    let (head, body) = sent(&[]);
    assert!(header(&head, "content-type").unwrap().starts_with("application/cloudevents+json"), "{head}");
    let event: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&event["id"], &event["data"]["t"]), (&"ü 1".into(), &"ü 1".into()));
    let (head, body) = sent(&[("cloudevents.mode", "binary")]);
    let name = |name: &str| header(&head, name).unwrap();
    assert_eq!(
        (name("ce-id"), name("ce-source"), name("ce-type")),
        ("%C3%BC%201".into(), "/shop".into(), "sold".into())
    );
    assert_eq!(
        (name("content-type"), body),
        ("application/json".into(), r#"{"id":0,"t":"ü 1"}"#.to_string())
    );
    let (head, body) = sent(&[BATCH]);
    assert!(
        header(&head, "Content-Type").unwrap().starts_with("application/cloudevents-batch+json"),
        "{head}"
    );
    let events: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    assert_eq!((events.len(), &events[0]["type"]), (1, &"sold".into()));
}

#[test]
fn a_probe_says_what_works_and_sends_no_row() {
    let probed = |url: &str, answer: u16| {
        let served = Served::start_with(move |asked| {
            assert!(asked.head.starts_with("OPTIONS /hooks"));
            status(answer)
        });
        let url = if url.is_empty() { format!("{}/hooks", served.url) } else { url.to_string() };
        let node = Node::start();
        let found = node.connector("http").probe(&orders(&url, &[], &[]), Role::Sink, 2000);
        found.into_iter().map(|probed| (probed.step, probed.found.is_ok())).collect::<Vec<_>>()
    };
    assert_eq!(probed("", 405), [("reached", true), ("answered", true)]);
    assert_eq!(probed("", 401), [("reached", true), ("logged in", false)]);
    assert_eq!(probed("", 503), [("reached", true), ("answered", false)]);
    assert_eq!(probed("http://127.0.0.1:1/", 200), [("reached", false)]);
}

#[test]
fn no_request_goes_to_a_metadata_service() {
    let node = Node::start();
    let table = orders("http://169.254.169.254/latest", &[], &[]);
    let error = Trial::sink(&node, &table).open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("metadata service"), "{error}");
}
