//! Samples to a scripted server: which message they become, and what is made of its answers.

use super::stores::told;
use super::*;
use crate::service::testing::{Answer, Asked, Served};
use arrow_array::{ArrayRef, Float64Array, StringArray, TimestampMillisecondArray};
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::sink::{OutboxSink, Sink, SinkError};
use formats::telemetry::remote_write::{Version, read};

const COLUMNS: [&str; 4] = ["name", "shop", "value", "at"];

fn schema_of_rows() -> SchemaRef {
    let at = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, None);
    schema(&[("name", DataType::Utf8), ("shop", DataType::Utf8), ("value", DataType::Float64), ("at", at)])
}

fn metrics(url: &str, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let mut all: BTreeMap<&str, &str> = [
        ("connector", "prometheus"),
        ("metric.endpoint-url", url),
        ("metric.name", COLUMNS[0]),
        ("metric.label.keys", "[shop]"),
        ("metric.sample.key", COLUMNS[2]),
        ("metric.sample.timestamp", COLUMNS[3]),
        ("timeout", "5 s"),
    ]
    .into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().filter(|(_, value)| *value != "-").collect();
    table(schema_of_rows(), &all)
}

/// A series, a value and a time.
type Row<'a> = (Option<&'a str>, Option<&'a str>, Option<f64>, Option<i64>);

fn row<'a>(shop: &'a str, value: f64, at: i64) -> Row<'a> {
    (Some("m"), Some(shop), Some(value), Some(at))
}

struct Trial {
    sink: Box<dyn OutboxSink>,
    next: i64,
}

impl Trial {
    fn new(node: &Node, url: &str, options: &[(&str, &str)]) -> Trial {
        match node.connector("prometheus").sink(&metrics(url, options), "job").unwrap() {
            Sink::Outbox(sink) => Trial { sink, next: 0 },
            _ => panic!("an outbox sink"),
        }
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.next = self.sink.open()?;
        Ok(self.next)
    }

    fn apply(&mut self, rows: &[Row<'_>]) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1))),
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2))),
            Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|row| row.3))),
        ];
        let count = rows.len() as i64;
        let rows = RecordBatch::try_new(schema_of_rows(), columns).unwrap();
        let mut batches = self.sink.encode(&batch(rows), 1_000).unwrap();
        kafka_wire::records::set_base_offset(&mut batches[0].bytes, self.next).unwrap();
        self.next += count;
        self.sink.apply(&batches[0].bytes).unwrap();
    }

    fn commit(&mut self) -> Result<i64, SinkError> {
        self.sink.commit(true, 1_000)
    }
}

/// The samples of a request, a line for each series.
fn samples(asked: &Asked) -> Vec<String> {
    let message = snap::raw::Decoder::new().decompress_vec(&asked.body).unwrap();
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    read(Version::V1, &message, &mut |sample| {
        let line = format!("{}@{}", sample.value, sample.timestamp_ms);
        match lines.last_mut().filter(|(key, _)| *key == sample.key()) {
            Some((_, samples)) => samples.push(line),
            None => lines.push((sample.key(), vec![line])),
        }
        Ok(())
    })
    .unwrap();
    lines.into_iter().map(|(key, samples)| format!("{key} {}", samples.join(" "))).collect()
}

/// A server that says of the samples of each request what the test makes of them and their number; empty ones are looks.
fn serve(
    mut say: impl FnMut(usize, &[String]) -> (u16, &'static str) + Send + 'static,
) -> (Served, Arc<std::sync::Mutex<Vec<Vec<String>>>>) {
    let sent: Arc<std::sync::Mutex<Vec<Vec<String>>>> = Arc::default();
    let shared = sent.clone();
    let served = Served::start_with(move |asked| -> Answer {
        let samples = samples(asked);
        if samples.is_empty() {
            return Some((204, Vec::new(), Vec::new()));
        }
        let mut sent = shared.lock().unwrap();
        let (status, words) = say(sent.len(), &samples);
        sent.push(samples);
        Some((status, Vec::new(), words.into()))
    });
    (served, sent)
}

#[test]
fn samples_go_by_series_and_in_the_order_of_time() {
    let (node, (served, sent)) = (Node::start(), serve(|_, _| (204, "")));
    let mut trial = Trial::new(&node, &format!("{}/api/v1/write", served.url), &[("token", "pencil")]);
    assert_eq!(trial.open().unwrap(), 0);
    trial.apply(&[
        row("b", 1.5, 2000),
        row("a", 1.0, 1000),
        row("b", 0.5, 1000),
        row("b", f64::NAN, 2000),
        (Some("up"), None, Some(f64::INFINITY), Some(5)),
        row("", 3.0, 7),
    ]);
    assert_eq!(trial.commit().unwrap(), 6);
    let expected = ["m{shop=\"a\"} 1@1000", "m{shop=\"b\"} 0.5@1000 NaN@2000", "m{} 3@7", "up{} inf@5"];
    let mut found = sent.lock().unwrap()[0].clone();
    found.sort();
    assert_eq!(found, expected);
    let head = served.asked().remove(1);
    assert!(head.starts_with("POST /api/v1/write HTTP/1.1\r\n"), "{head}");
    for header in [
        "Content-Encoding: snappy",
        "Content-Type: application/x-protobuf",
        "X-Prometheus-Remote-Write-Version: 0.1.0",
        "Authorization: Bearer pencil",
    ] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{header}: {head}");
    }
}

#[test]
fn what_is_refused_is_found_by_halves_and_becomes_a_dead_letter() {
    let (node, (served, sent)) = (
        Node::start(),
        serve(|_, samples| match samples.iter().any(|line| line.contains("3@3")) {
            true => (400, "out of order sample"),
            false => (200, ""),
        }),
    );
    let mut trial = Trial::new(&node, &served.url, &[("dead-letter.topic", "letters")]);
    trial.open().unwrap();
    trial.apply(&[row("a", 1.0, 1), row("a", 2.0, 2), row("a", 3.0, 3), (None, Some("x"), None, None)]);
    assert_eq!(trial.commit().unwrap(), 0, "what is refused lies in no topic yet");
    let letters = trial.sink.take_rejected();
    let shown: Vec<(String, &str)> = letters
        .iter()
        .map(|letter| (String::from_utf8(letter.value.clone().unwrap()).unwrap(), letter.reason.as_str()))
        .collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].0.starts_with("{\"name\":\"m\",\"shop\":\"a\",\"value\":3.0"), "{shown:?}");
    assert_eq!(shown[0].1, "the server answers 400: out of order sample");
    assert!(shown[1].0.contains("\"shop\":\"x\"") && shown[1].1 == "the metric has no name", "{shown:?}");
    assert_eq!(trial.commit().unwrap(), 4);
    let sizes: Vec<usize> =
        sent.lock().unwrap().iter().map(|lines| lines[0].split(' ').count() - 1).collect();
    assert_eq!(sizes, [3, 1, 2, 1, 1]);
}

#[test]
fn what_may_be_there_already_is_no_dead_letter_where_it_is_refused_as_old() {
    let node = Node::start();
    // The server takes samples whose answer never comes, and refuses them when they come again.
    let mut silences = [false, true, false, false, false, true, true].into_iter();
    let served = Served::start_with(move |asked| -> Answer {
        let (silent, samples) = (silences.next().unwrap_or(false), samples(asked));
        let is_old = samples.iter().any(|line| line.contains("1@1") || line.contains("3@3"));
        match samples.as_slice() {
            _ if silent => None,
            [] => Some((204, Vec::new(), Vec::new())),
            _ if is_old => Some((400, Vec::new(), b"Out of order sample".to_vec())),
            _ => Some((204, Vec::new(), Vec::new())),
        }
    });
    let mut trial = Trial::new(&node, &served.url, &[]);
    trial.open().unwrap();
    trial.apply(&[row("a", 1.0, 1), row("a", 2.0, 2)]);
    // A connection that was kept has ended: what was sent over it is sent again at once.
    assert_eq!(trial.commit().unwrap(), 2);
    trial.apply(&[row("a", 3.0, 3), row("a", 4.0, 4)]);
    let error = trial.commit().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    // The node dies, too.
    let mut again = Trial::new(&node, &served.url, &[]);
    assert_eq!(again.open().unwrap(), 2);
    again.apply(&[row("a", 3.0, 3), row("a", 4.0, 4)]);
    assert_eq!(again.commit().unwrap(), 4);
    // What is refused so the first time is wrong, and without the topic it fails the job.
    again.apply(&[row("a", 1.0, 1)]);
    let error = again.commit().unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("Out of order"), "{error}");
}

#[test]
fn what_passes_is_sent_again_before_what_follows() {
    let (node, (served, sent)) = (
        Node::start(),
        serve(|count, samples| match (count, samples[0].as_str()) {
            (0, _) => (400, "one of them"),
            (1, _) => (503, "busy"),
            (_, line) if line.contains("2@2") => (400, "no"),
            _ => (204, ""),
        }),
    );
    let mut trial = Trial::new(&node, &served.url, &[("dead-letter.topic", "letters")]);
    trial.open().unwrap();
    trial.apply(&[row("a", 1.0, 1), row("a", 2.0, 2)]);
    trial.commit().unwrap();
    assert_eq!(trial.sink.take_rejected().len(), 1);
    assert_eq!(trial.commit().unwrap(), 2);
    let sent: Vec<String> = sent.lock().unwrap().iter().map(|lines| lines[0].clone()).collect();
    let line = |samples: &str| format!("m{{shop=\"a\"}} {samples}");
    assert_eq!(
        sent,
        [line("1@1 2@2"), line("1@1"), line("1@1 2@2"), line("1@1"), line("2@2")],
        "the second was not sent while the first was not taken"
    );
}

#[test]
fn what_is_wrong_for_good_is_said_at_once() {
    let node = Node::start();
    let answer = |status: u16, header: Option<&'static str>| {
        Served::start_with(move |_| {
            let headers = header.map(|value| ("Retry-After", value.to_string())).into_iter().collect();
            Some((status, headers, b"why".to_vec()))
        })
    };
    for (status, kind, words) in [
        (404, ErrorKind::NotFound, "--web.enable-remote-write-receiver"),
        (401, ErrorKind::Invalid, "look at 'username'"),
        (503, ErrorKind::Unavailable, "answers 503: why"),
    ] {
        let served = answer(status, None);
        let error = Trial::new(&node, &served.url, &[]).open().unwrap_err();
        assert!(error.kind == kind && error.message.contains(words), "{status}: {error}");
    }
    let served = answer(429, Some("600"));
    let mut trial = Trial::new(&node, &served.url, &[]);
    assert!(trial.open().unwrap_err().message.contains("answers 429"));
    let error = trial.open().unwrap_err();
    assert!(error.kind == ErrorKind::Retry && error.message.contains("asked again in"), "{error}");
    assert_eq!(served.asked().len(), 1);
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let fixed = ("metric.name.fixed", "shop:orders_total");
    let cases: &[Case<'_>] = &[
        (Role::Sink, &[], ""),
        (Role::Sink, &[fixed, ("metric.name", "-"), ("metric.label.keys", "name; shop")], ""),
        (Role::Source, &[], "can be written, not read"),
        (Role::Sink, &[("metric.endpoint-url", "a:9090")], "is not an address of the web"),
        (Role::Sink, &[fixed], "a metric has one name"),
        (Role::Sink, &[("metric.name", "-")], "a metric has one name"),
        (Role::Sink, &[("metric.name", "nam")], "did you mean 'name'?"),
        (Role::Sink, &[("metric.name", "value")], "has to be STRING"),
        (Role::Sink, &[("metric.label.keys", "shop,x")], "there is no column 'x'"),
        (Role::Sink, &[("metric.sample.key", "shop")], "has to be a number"),
        (Role::Sink, &[("metric.sample.timestamp", "value")], "has to be a TIMESTAMP"),
        (Role::Sink, &[("metric.name", "-"), ("metric.name.fixed", "a b")], "the name of no metric"),
        (Role::Sink, &[("password", "pencil")], "needs 'username'"),
        (Role::Sink, &[("sink.requests.max-inflight", "2")], "'sink.requests.max-inflight'"),
    ];
    for (role, options, words) in cases {
        let told = told(&node, &metrics("http://a:9090/api/v1/write", options), *role);
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
        assert!(!told.contains("pencil"), "{told}");
    }
}

#[test]
fn a_probe_sends_a_message_without_samples() {
    let (node, (served, sent)) = (Node::start(), serve(|_, _| (204, "")));
    let probed = node.connector("prometheus").probe(&metrics(&served.url, &[]), Role::Sink, 5_000);
    assert!(probed.len() == 2 && probed.iter().all(|probed| probed.found.is_ok()), "{probed:?}");
    assert!(sent.lock().unwrap().is_empty());
}
